"""As of a moment: what stood, who was allowed, what was served, from the entries alone; by API, command line and page."""

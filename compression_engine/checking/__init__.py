"""Whether a child may count: the checks that need no evaluation rows."""

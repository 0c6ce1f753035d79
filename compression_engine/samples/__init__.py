"""Real material to try the engine on, made from what is installed: nothing is fetched."""

"""The verbs of the shell beside `compress` and `evaluate`, one file each, and what they share; `command_line` holds their table."""

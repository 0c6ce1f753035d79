"""Looks at data themselves: the data profile of a file of rows."""

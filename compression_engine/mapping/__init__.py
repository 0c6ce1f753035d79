"""The quantisation map: what every tensor of a file is stored as, written, read, and held against the file."""

"""Which model a file was made from, by the fingerprints of its weights."""

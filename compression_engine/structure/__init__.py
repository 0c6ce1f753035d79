"""Readers of file structure, standard library only; `compression_engine.inspect` is the door to them."""

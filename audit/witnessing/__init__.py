"""Another host that remembers: the witness itself (without Django), what it cosigned, and what the server collects and demands."""

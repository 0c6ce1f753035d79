"""The ledger read again from its first byte: entries, tree, keys, sealed scopes, claims from outside, and the tables."""

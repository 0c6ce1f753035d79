"""The ledger for people: entries by stream, actor, kind and period, with the proof of each."""

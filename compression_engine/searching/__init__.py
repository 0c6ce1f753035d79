"""The parts of the search for a recipe that keeps a promise: budget, rows, what is kept, trials, verification, record."""

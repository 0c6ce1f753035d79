"""Several recipes on one parent: every child made, all judged on the same rows, one table."""

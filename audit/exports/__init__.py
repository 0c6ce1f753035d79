"""Records in the formats of others: in-toto statements with SLSA provenance and test results."""

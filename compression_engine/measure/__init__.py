"""Measurements, one file a question; each returns figures with n, spread and interval, and a sentence for each."""

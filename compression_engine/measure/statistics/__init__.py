"""Statistics that have no figures of their own: intervals, resamples, paired differences, corrections for many tests, power."""

"""Quality of a recogniser of sequences: character error rate and exact matches of what is decoded.

The rate is the sum of edits over the sum of lengths of the labels (it may pass 1); frames are not judged, since most of them
are blank and agree in a model that reads nothing. Intervals: resamples of whole rows; Wilson's for the share of exact matches.
Where no row has an error there is nothing to resample: the upper end is then the largest share of rows with an error that goes
with none in n (95 %, from the binomial distribution; Hanley and Lippman-Hand 1983), each taken to lose the longest label.
"""

from __future__ import annotations

from compression_engine.answers.outputs import Outputs
from compression_engine.measure import scores
from compression_engine.measure.statistics import bootstrap
from compression_engine.measure.statistics.intervals import Floats, rarer_than, share_interval
from compression_engine.plan import Plan
from compression_engine.result import Measurement


def figures(outputs: Outputs, role: str, plan: Plan, seed: int, who: str) -> list[Measurement]:
    """Both figures of one model."""
    found = scores.per_sample(outputs, role, plan)
    hits, n = int(found["exact_match"].sum()), len(found["exact_match"])
    low, high = share_interval(hits, n)
    plain = f"{who} reads {hits} of {n} rows without an error ({hits / n:.1%})."
    return [
        _error_rate(found["edit_distance"], found["label_length"], seed, who),
        Measurement("exact_match", hits / n, "share", n, plain, low, high),
    ]


def _error_rate(edits: Floats, lengths: Floats, seed: int, who: str) -> Measurement:
    n, symbols = len(edits), int(lengths.sum())
    if symbols == 0:
        plain = f"{who} has no error rate: the labels of all {n} rows are empty."
        return Measurement("character_error_rate", None, "ratio", n, plain, reason="all labels are empty")
    value = float(edits.sum() / symbols)
    low, high = bootstrap.interval_of_ratio(edits, lengths, seed, None, bootstrap.NOT_NEGATIVE)
    plain = f"{who} makes {int(edits.sum())} errors in {symbols} symbols of {n} rows ({value:.2%})."
    reason = bootstrap.TOO_FEW if low is None else None
    if value == 0:
        low, high = 0.0, rarer_than(n) * n * float(lengths.max()) / symbols
        reason = f"no row has an error: the upper end is what so few as {n} rows leave open, if a row loses the longest label"
    return Measurement("character_error_rate", value, "ratio", n, plain, low, high, reason=reason)

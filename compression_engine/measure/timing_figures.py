"""The figures of timing and their sentences: quantiles of latency, throughput, processor time, ratios of models in turns.

Rules: an interval is 95 %, from order statistics of rounds; an end that so few rounds cannot bound is left open, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from compression_engine.measure.intervals import Floats, quartile_range
from compression_engine.measure.rounds import Turns, paired_interval, paired_ratios
from compression_engine.outputs import PARENT, VERSION
from compression_engine.result import Measurement

Slice = tuple[tuple[str, str], ...]
MILLISECOND = "millisecond"
NAMES = {
    VERSION: "The model",
    PARENT: "The original",
    "incumbent": "The version in service",
    "first": "The first version",
}
"""How sentences name the roles."""
_QUANTILES = ((0.5, "p50", "in the median"), (0.95, "p95", "in 19 of 20 cases"), (0.99, "p99", "in 99 of 100 cases"))


def prefix_of(role: str) -> str:
    """What the names of a role's metrics begin with."""
    return "" if role == VERSION else f"{role}_"


def figures_of(role: str, turns: Mapping[str, Turns], rows: int, words: str, where: Slice) -> list[Measurement]:
    """Every figure of one role in one setting; those that compare the version with it too."""
    prefix = prefix_of(role)
    found = _latency(prefix, turns[role], f"{NAMES[role]} answers {words}", where)
    found.append(_throughput(prefix, turns[role], rows, NAMES[role], where))
    found.append(
        _processor(prefix, turns[role], f"{NAMES[role]} takes {{:.3f}} ms of processor time for {words}.", where)
    )
    if role == VERSION:
        return [*found, _disturbed(turns[role], where)]
    ours, theirs = turns[VERSION], turns[role]
    name = "latency_ratio" if role == PARENT else f"{role}_latency_ratio"
    found.append(latency_ratio(name, ours, theirs, words, NAMES[role].lower(), where))
    found.append(_saved(prefix, ours, theirs, words, NAMES[role].lower(), where))
    found.append(_processor_ratio(role, ours, theirs, words, where))
    return found


def quantile_figure(metric: str, turns: Turns, share: float, who: str, words: str, where: Slice = ()) -> Measurement:
    """A quantile of the calls' wall clock in milliseconds."""
    value, low, high = turns.quantile(share)
    ends = [None if number is None else 1000 * number for number in (low, high)]
    n = len(turns.calls)
    plain = f"{who} within {1000 * value:.2f} ms {words} ({n} rounds)."
    spread, reason = 1000 * quartile_range(turns.calls), _open_ends(low, high, n)
    return Measurement(metric, 1000 * value, MILLISECOND, n, plain, ends[0], ends[1], spread, reason, where)


def _latency(prefix: str, turns: Turns, who: str, where: Slice) -> list[Measurement]:
    return [
        quantile_figure(f"{prefix}latency_{name}_ms", turns, share, who, words, where)
        for share, name, words in _QUANTILES
    ]


def _throughput(prefix: str, turns: Turns, rows: int, who: str, where: Slice) -> Measurement:
    seconds, low, high = turns.quantile(0.5)
    value = rows / seconds
    return Measurement(
        f"{prefix}throughput_per_second",
        value,
        "per_second",
        len(turns.calls),
        f"{who} answers {value:,.1f} rows a second, one batch after the other.",
        None if high is None else rows / high,
        None if low is None else rows / low,
        None,
        _open_ends(low, high, len(turns.calls)),
        where,
    )


def _processor(prefix: str, turns: Turns, words: str, where: Slice) -> Measurement:
    value, low, high = _median(1000 * turns.processor, turns.sittings)
    n, spread = len(turns.processor), 1000 * quartile_range(turns.processor)
    reason = _open_ends(low, high, n)
    return Measurement(
        f"{prefix}cpu_time_ms", value, MILLISECOND, n, words.format(value), low, high, spread, reason, where
    )


def _saved(prefix: str, ours: Turns, theirs: Turns, words: str, whom: str, where: Slice) -> Measurement:
    differences = 1000 * (theirs.processor - ours.processor)
    value, low, high = _median(differences, ours.sittings)
    more_or_less = "less" if value >= 0 else "more"
    plain = f"For {words} it takes {abs(value):.3f} ms of processor time {more_or_less} than {whom}."
    name, n = f"{prefix}cpu_time_saved_ms", len(differences)
    if prefix == f"{PARENT}_":
        name = "cpu_time_saved_ms"
    spread = quartile_range(differences)
    return Measurement(name, value, MILLISECOND, n, plain, low, high, spread, _open_ends(low, high, n), where)


def _processor_ratio(role: str, ours: Turns, theirs: Turns, words: str, where: Slice) -> Measurement:
    name = "cpu_time_ratio" if role == PARENT else f"{role}_cpu_time_ratio"
    counted = theirs.processor > 0  # a call may take less time than the processor's clock can tell
    if not counted.any():
        why = f"an answer of {NAMES[role].lower()} takes less processor time than the clock can tell"
        return Measurement(name, None, "ratio", 0, f"For {words} no ratio is known: {why}.", reason=why, slice=where)
    ratios = ours.processor[counted] / theirs.processor[counted]
    sittings = None if ours.sittings is None else ours.sittings[counted]
    value, low, high = _median(ratios, sittings)
    n = len(ratios)
    plain = f"For {words} it takes {value:.2f} of the processor time that {NAMES[role].lower()} takes."
    reason = _open_ends(low, high, n)
    return Measurement(name, value, "ratio", n, plain, low, high, quartile_range(ratios), reason, where)


def _disturbed(turns: Turns, where: Slice) -> Measurement:
    value, n = turns.lost_share, len(turns.calls)
    plain = f"In {100 * value:.0f} % of {n} rounds other programs took the processor away for a moment."
    return Measurement("disturbed_share", value, "share", n, plain, slice=where)


def latency_ratio(metric: str, ours: Turns, theirs: Turns, words: str, whom: str, where: Slice = ()) -> Measurement:
    """The median of paired ratios of undisturbed time, said as faster or slower."""
    ratios = paired_ratios(ours, theirs)
    value, low, high = _median(ratios, ours.sittings)
    if value <= 0.95:
        said = f"{1 / value:.2f} times faster than {whom}"
    elif value >= 1.05:
        said = f"{value:.2f} times slower than {whom}"
    else:
        said = f"as fast as {whom} ({value:.2f} of its time)"
    n = len(ratios)
    plain = f"For {words} it is {said}, both measured in turns."
    return Measurement(
        metric, value, "ratio", n, plain, low, high, quartile_range(ratios), _open_ends(low, high, n), where
    )


def _median(values: Floats, sittings: NDArray[np.int64] | None) -> tuple[float, float | None, float | None]:
    return (float(np.median(values)), *paired_interval(values, sittings))


def _open_ends(low: float | None, high: float | None, n: int) -> str | None:
    return None if low is not None and high is not None else f"{n} rounds do not bound both ends"

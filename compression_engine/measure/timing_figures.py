"""The figures of timing and their sentences: quantiles of latency, throughput, processor time, ratios of models in turns.

Rules: an interval is 95 %, from order statistics of rounds; an end that so few rounds cannot bound is left open, with the reason;
processor time too short for its clock is that of all rounds together, or is not told at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import PARENT, VERSION
from compression_engine.measure.rounds import Turns, paired_interval, paired_ratios, totals_interval
from compression_engine.measure.statistics.intervals import Floats, quartile_range
from compression_engine.result import Measurement

Slice = tuple[tuple[str, str], ...]
MILLISECOND = "millisecond"
NAMES = {
    VERSION: "The model",
    PARENT: "The original",
    "incumbent": "The incumbent",
    "first": "The first version",
}
"""How sentences name the roles."""
_TOTALS = "a round is too short for the processor's clock: all rounds together, divided by their calls"
_QUANTILES = ((0.5, "p50", "in the median"), (0.95, "p95", "in 19 of 20 cases"), (0.99, "p99", "in 99 of 100 cases"))


def prefix_of(role: str) -> str:
    """What the names of a role's metrics begin with."""
    return "" if role == VERSION else f"{role}_"


def figures_of(role: str, turns: Mapping[str, Turns], rows: int, words: str, where: Slice) -> list[Measurement]:
    """Every figure of one role in one setting; those that compare the version with it too."""
    prefix = prefix_of(role)
    found = _latency(prefix, turns[role], f"{NAMES[role]} answers {words}", where)
    found.append(_throughput(prefix, turns[role], rows, NAMES[role], where))
    found.append(_processor(prefix, turns[role], f"{NAMES[role]} takes {{}} ms of processor time for {words}.", where))
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
    plain = f"{who} within {_shown(1000 * value)} ms {words} ({n} rounds)."
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
    name, n = f"{prefix}cpu_time_ms", len(turns.processor)
    if not turns.processor_told:
        return _untold(name, MILLISECOND, [turns], where)
    value, low, high, reason = _of_processor(1000 * turns.processor, [turns])
    low = None if low is None else max(0.0, low)
    spread = 1000 * quartile_range(turns.processor)
    return Measurement(name, value, MILLISECOND, n, words.format(_shown(value)), low, high, spread, reason, where)


def _saved(prefix: str, ours: Turns, theirs: Turns, words: str, whom: str, where: Slice) -> Measurement:
    name = "cpu_time_saved_ms" if prefix == f"{PARENT}_" else f"{prefix}cpu_time_saved_ms"
    if not (ours.processor_told and theirs.processor_told):
        return _untold(name, MILLISECOND, [ours, theirs], where)
    differences = 1000 * (theirs.processor - ours.processor)
    value, low, high, reason = _of_processor(differences, [ours, theirs])
    more_or_less = "less" if value >= 0 else "more"
    plain = f"For {words} it takes {_shown(abs(value))} ms of processor time {more_or_less} than {whom}."
    n, spread = len(differences), quartile_range(differences)
    return Measurement(name, value, MILLISECOND, n, plain, low, high, spread, reason, where)


def _processor_ratio(role: str, ours: Turns, theirs: Turns, words: str, where: Slice) -> Measurement:
    name = "cpu_time_ratio" if role == PARENT else f"{role}_cpu_time_ratio"
    if not (ours.processor_told and theirs.processor_told):
        return _untold(name, "ratio", [ours, theirs], where)
    if ours.each_round_told and theirs.each_round_told:
        counted = theirs.processor > 0  # a single call may take less time than the processor's clock can tell
        ratios = ours.processor[counted] / theirs.processor[counted]
        value, low, high = _median(ratios, None if ours.sittings is None else ours.sittings[counted])
        reason, n, spread = _open_ends(low, high, len(ratios)), len(ratios), quartile_range(ratios)
    else:
        value, n, spread = float(ours.processor.mean() / theirs.processor.mean()), len(ours.processor), None
        low, high = totals_interval(ours.processor, theirs.processor)
        reason = _open_ends(low, high, n) or _TOTALS
    plain = f"For {words} it takes {value:.2f} of the processor time that {NAMES[role].lower()} takes."
    return Measurement(name, value, "ratio", n, plain, low, high, spread, reason, where)


def _of_processor(values: Floats, turns: Sequence[Turns]) -> tuple[float, float | None, float | None, str | None]:
    """The median of rounds; their mean where a round is too short for the processor's clock, which is then said."""
    if all(entry.each_round_told for entry in turns):
        value, low, high = _median(values, turns[0].sittings)
        return value, low, high, _open_ends(low, high, len(values))
    low, high = totals_interval(values)
    return float(values.mean()), low, high, _open_ends(low, high, len(values)) or _TOTALS


def _shown(milliseconds: float) -> str:
    return f"{milliseconds:.3g}" if milliseconds < 100 else f"{milliseconds:,.0f}"


def _untold(metric: str, unit: str, turns: Sequence[Turns], where: Slice) -> Measurement:
    """A figure of processor time that cannot be told, and why."""
    calls, grain = min(entry.calls.size for entry in turns), max(entry.grain * entry.calls.shape[1] for entry in turns)
    why = f"{calls} calls together take less processor time than the clock can tell to 1 % (its steps: {1000 * grain:.2g} ms)"
    return Measurement(metric, None, unit, 0, f"Processor time is not known: {why}.", reason=why, slice=where)


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

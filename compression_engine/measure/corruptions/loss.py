"""What damage costs a version, and what it costs it beyond another model: figures by corruption and severity, and their means.

Rules:
- figures of a corruption are means over its severities, those without a slice over everything: each row counts once, with
  the mean of what it got, so that an interval never takes the same row for many;
- a loss is the score of the same rows before the damage less that after it, turned so that above zero is worse;
- a difference is version minus the other on the same damaged rows; the excess loss is what the version loses by the damage
  beyond what the other loses, above zero where it loses more;
- shares of independent rows have Wilson's interval, their differences Tango's; all else is resampled, by sequences where
  rows belong to some; where too few rows differ for that, a mean of shares is bounded by how many rows could differ at all;
- fewer than six sequences give no interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compression_engine.answers.outputs import PARENT, VERSION, Array
from compression_engine.measure.figures import OTHERS
from compression_engine.measure.scores import TOKEN_NLL
from compression_engine.measure.statistics.intervals import Floats, paired_share_interval, share_interval
from compression_engine.measure.statistics.resampling import studentised_intervals, summed, units_of
from compression_engine.measure.statistics.row_weights import SEQUENCES_LEAST
from compression_engine.result import Measurement

Cell = tuple[str, int]
"""A corruption and its severity."""
Where = tuple[tuple[str, str], ...]
Limits = tuple[float, float] | None
OWN, OTHER, CLEAN, OTHERS_CLEAN = "own", "other", "clean", "other_clean"
LOSS, DIFFERENCE, EXCESS = "loss", "difference", "excess"
_OF_ONE = (OWN, OTHER, CLEAN, OTHERS_CLEAN)
_RANGES = {"share": (0.0, 1.0), "cosine": (-1.0, 1.0)}


@dataclass(frozen=True)
class Scored:
    """One value a row: `damaged` by cell and role, `clean` by role where the score has a meaning on undamaged rows.

    `other` is the role that the version is compared with, where it has values; `own`: whether the version's own figures are told.
    """

    metric: str
    unit: str
    higher_is_better: bool
    damaged: Mapping[Cell, Mapping[str, Floats]]
    clean: Mapping[str, Floats] | None
    sequences: Array | None = None
    other: str | None = PARENT
    own: bool = True


@dataclass(frozen=True)
class _Series:
    """A figure to be: what it is of which rows, and one value for each."""

    what: str
    slice: Where
    values: Floats


def figures(scored: Scored, seed: int) -> list[Measurement]:
    """All figures: first the means over everything, then corruption by corruption."""
    series = [entry for where, cells in _slices(scored) for entry in _series(scored, where, cells)]
    return [
        _measurement(scored, entry, limits) for entry, limits in zip(series, _limits(scored, series, seed), strict=True)
    ]


def _slices(scored: Scored) -> list[tuple[Where, list[Cell]]]:
    cells = list(scored.damaged)
    found: list[tuple[Where, list[Cell]]] = [((), cells)]
    for name in dict.fromkeys(name for name, _ in cells):
        own = [cell for cell in cells if cell[0] == name]
        found.append(((("corruption", name),), own))
        found += [((("corruption", name), ("severity", str(cell[1]))), [cell]) for cell in own]
    return found


def _series(scored: Scored, where: Where, cells: Sequence[Cell]) -> list[_Series]:
    means = {role: np.mean([scored.damaged[cell][role] for cell in cells], axis=0) for role in scored.damaged[cells[0]]}
    clean, other = scored.clean or {}, scored.other if scored.other in means else None
    sign = 1 if scored.higher_is_better else -1
    lost = {role: sign * (clean[role] - means[role]) for role in means if role in clean}
    found = [_Series(OWN, where, means[VERSION])] if scored.own else []
    if scored.own and clean:
        found += [] if where else [_Series(CLEAN, where, clean[VERSION])]
        # one severity's loss can be read off its own figure and the clean one
        found += [] if len(where) > 1 else [_Series(LOSS, where, lost[VERSION])]
    if other is None:
        return found
    found.append(_Series(OTHER, where, means[other]))
    found += [_Series(OTHERS_CLEAN, where, clean[other])] if clean and not where else []
    found.append(_Series(DIFFERENCE, where, means[VERSION] - means[other]))
    return [*found, _Series(EXCESS, where, lost[VERSION] - lost[other])] if clean else found


def _limits(scored: Scored, series: Sequence[_Series], seed: int) -> list[Limits]:
    """The interval of each figure; those that need resampling all from the same draws."""
    if not series:
        return []
    units = units_of(len(series[0].values), scored.sequences, seed)
    count = len(series[0].values) if units is None else int(units.max()) + 1
    counted = {place: _counted(entry) for place, entry in enumerate(series) if scored.sequences is None}
    ones = summed(np.ones(len(series[0].values)), units, count)
    drawn = [place for place in range(len(series)) if counted.get(place) is None]

    def pairs(place: int) -> Callable[[], tuple[Floats, Floats]]:
        return lambda: (summed(series[place].values, units, count), ones)

    if scored.sequences is not None and count < SEQUENCES_LEAST:
        return [None] * len(series)
    found = studentised_intervals([pairs(place) for place in drawn], count, seed)
    limits = counted | dict(zip(drawn, found, strict=True))
    return [_possible(scored, entry, limits[place]) for place, entry in enumerate(series)]


def _counted(entry: _Series) -> Limits:
    """The exact interval of a share or of a difference of shares; None for anything else."""
    values, n = entry.values, len(entry.values)
    if entry.what in _OF_ONE and bool(np.isin(values, (0, 1)).all()):
        return share_interval(int(values.sum()), n)
    if entry.what not in _OF_ONE and bool(np.isin(values, (-1, 0, 1)).all()):
        return paired_share_interval(int((values < 0).sum()), int((values > 0).sum()), n)
    return None


def _possible(scored: Scored, entry: _Series, limits: Limits) -> Limits:
    """The interval cut to what the score can be; where there is none, the bounds that counts of rows give to shares."""
    if scored.unit not in _RANGES:
        return limits
    least, most = _RANGES[scored.unit]
    one = entry.what in _OF_ONE
    if limits is not None:
        width = (most - least) * (2 if entry.what == EXCESS else 1)
        return max(least if one else -width, limits[0]), min(most if one else width, limits[1])
    values, n = entry.values, len(entry.values)
    if scored.unit != "share" or scored.sequences is not None:
        return None
    if entry.what == EXCESS and np.abs(values).max(initial=0.0) > 1:
        return None
    above = share_interval(int((values > 0).sum()), n)[1]
    if one:
        return share_interval(int((values == 1).sum()), n)[0], above
    return -share_interval(int((values < 0).sum()), n)[1], above


def _measurement(scored: Scored, entry: _Series, limits: Limits) -> Measurement:
    metric, value = scored.metric, float(entry.values.mean())
    name = {
        OWN: metric,
        CLEAN: f"clean_{metric}",
        LOSS: f"{metric}_loss",
        OTHER: f"{scored.other}_{metric}",
        OTHERS_CLEAN: f"{scored.other}_clean_{metric}",
        DIFFERENCE: f"{metric}_difference",
        EXCESS: f"{metric}_excess_loss",
    }[entry.what]
    reason = None
    if limits is None:
        few = scored.sequences is not None and len(np.unique(scored.sequences)) < SEQUENCES_LEAST
        reason = "there are fewer than six sequences" if few else "too few rows differ in it to bound it"
    plain = f"{_where(entry)} {_said(scored, entry.what, value, limits)}."
    low, high = limits or (None, None)
    n = len(entry.values)
    return Measurement(name, value, scored.unit, n, plain, low=low, high=high, reason=reason, slice=entry.slice)


def _where(entry: _Series) -> str:
    if entry.what in (CLEAN, OTHERS_CLEAN):
        return "Before the damage,"
    named = dict(entry.slice)
    if not named:
        return "Over all kinds and degrees of damage,"
    kind = named["corruption"].replace("_", " ")
    return f"Under {kind} of severity {named['severity']}," if "severity" in named else f"Under {kind},"


def _said(scored: Scored, what: str, value: float, limits: Limits) -> str:
    metric, whom = scored.metric.replace("_", " "), f"the {OTHERS.get(scored.other or PARENT)}"
    if what in _OF_ONE:
        who = "the model" if what in (OWN, CLEAN) else whom
        return f"{who} has a mean {metric} of {value:.4f}{_perplexity(scored.metric, value)}"
    if what == LOSS:
        return f"the {metric} is {abs(value):.4f} {'worse' if value >= 0 else 'better'} by the damage"
    unclear = limits is None or limits[0] <= 0 <= limits[1]
    if what == DIFFERENCE:
        if unclear:
            return f"its {metric} is not shown to differ from {whom}'s ({value:+.4f})"
        better = (value > 0) == scored.higher_is_better
        return f"its {metric} is {'better' if better else 'worse'} than {whom}'s by {abs(value):.4f}"
    if unclear:
        return f"the model is not shown to lose more or less than {whom}"
    return f"the damage costs the model {abs(value):.4f} {'more' if value > 0 else 'less'} {metric} than {whom}"


def _perplexity(metric: str, nats: float) -> str:
    return f" nats (perplexity {math.exp(min(nats, 700.0)):.4g})" if metric == TOKEN_NLL else ""

"""Whether groups are treated alike, and whether the version treats them less alike than another model did.

Rules:
- rates by group: selected (given the favourable class), selected among those for whom that is right (true positives) and
  among those for whom it is not (false positives), and right answers; with several classes and none named favourable, right
  answers alone;
- every group is set beside the largest one; the gap is the largest rate less the least one over groups of 30 rows or more,
  of which the largest hundred are looked at; how many groups that leaves out stands among the facts;
- changes are paired: the same rows under both models. The change of a gap is that of the two groups that stand farthest
  apart under the version: how much farther than under the other model, negative where they came closer. Its interval allows
  for these two having been picked among all pairs (Bonferroni);
- the parent's rates and the changes since then stand beside the version's own; against the incumbent and the first approved
  version there are their rates and the changes alone, each in a document of its own;
- which rate ought to be equal is not ours to say: they cannot all be (Chouldechova 2017; Kleinberg et al. 2017).
Sources: demographic parity and the four-fifths ratio (EEOC 1978), equal opportunity and equalised odds (Hardt, Price and Srebro
2016); Wilson's interval for rates, Newcombe's for differences, the same on logarithms for ratios, Tango's for paired changes;
spreads of gaps from the bootstrap of counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import PARENT, VERSION, Column, Outputs
from compression_engine.errors import DataError
from compression_engine.measure import scores
from compression_engine.measure.context import Context, Found
from compression_engine.measure.figures import OTHERS
from compression_engine.measure.slicing import ROWS_MIN, class_name
from compression_engine.measure.statistics.intervals import (
    Z95,
    Estimate,
    Floats,
    difference_interval,
    paired_share_interval,
    ratio_interval,
    share_interval,
)
from compression_engine.measure.statistics.resampling import Whole, bootstrap_counts
from compression_engine.plan import Plan
from compression_engine.result import Measurement

METHOD, METHOD_VERSION = "rates_by_group", "2"
KIND = "fairness"
GROUPS_MAX = 100
_OUTSIDE = 0.025
_WORDS = {
    "selection_rate": "selection",
    "true_positive_rate": "selection of those who ought to be",
    "false_positive_rate": "selection of those who ought not to be",
    "accuracy": "right answers",
}


@dataclass(frozen=True)
class Rate:
    """Which rows count for a rate [rows], and which of them each model hits [rows]; `theirs` where another model was run."""

    metric: str
    counts: NDArray[np.bool_]
    ours: NDArray[np.bool_]
    theirs: NDArray[np.bool_] | None
    other: str = PARENT

    @property
    def own(self) -> bool:
        """Whether the version's own figures are told beside the comparison."""
        return self.theirs is None or self.other == PARENT

    @property
    def whose(self) -> str:
        """How a sentence calls the other model."""
        return f"the {OTHERS[self.other]}"


@dataclass(frozen=True)
class Group:
    """One group's rows for a rate: hit by both, by the version alone, by the other model alone, by neither."""

    column: str
    value: str
    cells: tuple[int, int, int, int]

    @property
    def n(self) -> int:
        """Rows."""
        return sum(self.cells)

    @property
    def name(self) -> tuple[tuple[str, str], ...]:
        """The slice."""
        return ((self.column, self.value),)

    def rate(self, theirs: bool = False) -> Estimate:
        """The rate of the version, or of the other model, with Wilson's limits."""
        both, ours, other, _ = self.cells
        hits = both + (other if theirs else ours)
        return Estimate(hits / self.n, *share_interval(hits, self.n))

    def change(self, z: float = Z95) -> Estimate:
        """The version's rate less the other's, paired; `z` is the normal quantile of another confidence."""
        _, won, lost, _ = self.cells
        return Estimate((won - lost) / self.n, *paired_share_interval(lost, won, self.n, z))


def measure(context: Context) -> list[Found]:
    """Rates by group for each protected column; none where none is protected or the task has no classes.

    Evidence of the kind `fairness`, and `fairness-<role>` for what else was run. Units: share, ratio.
    """
    outputs, plan = context.outputs, context.plan
    if plan.task != "classification" or not plan.protected or not len(outputs):
        return []
    favourable = favourable_class(outputs, plan)
    facts = [("favourable", "none named" if favourable is None else class_name(plan, favourable))]
    facts += _left_out(outputs, plan)
    found = []
    for other in [PARENT if PARENT in outputs.models else None, *(r for r in outputs.others if r != PARENT)]:
        kind = KIND if other in (None, PARENT) else f"{KIND}-{other}"
        figures = _figures(outputs, plan, favourable, other, context.seed)
        found += [Found(kind, METHOD, figures, context.seed, METHOD_VERSION, tuple(facts))] if figures else []
    context.progress(KIND, len(outputs), len(outputs), "groups compared")
    return found


def _figures(outputs: Outputs, plan: Plan, favourable: int | None, other: str | None, seed: int) -> list[Measurement]:
    """All figures against one other model, or of the version alone."""
    figures: list[Measurement] = []
    for column in plan.protected:
        for rate in rates(outputs, plan, favourable, other):
            figures += _by_group(rate, column, _codes(outputs, column), seed)
    if outputs.sequences is not None:
        reason = "rows of one sequence depend on each other"
        figures = [replace(figure, low=None, high=None, reason=reason) for figure in figures]
    return figures


def _codes(outputs: Outputs, column: str) -> Column:
    if column not in outputs.slices:
        hint = "List it under slices too, by the name that it has in the data."
        raise DataError("data_does_not_fit", f"The protected column {column!r} is not among the slices.", hint)
    return outputs.slices[column]


def _left_out(outputs: Outputs, plan: Plan) -> list[tuple[str, str]]:
    """Protected columns of more groups than are looked at, and how many those are."""
    counts = {}
    for column in plan.protected:
        codes = _codes(outputs, column).codes
        counts[column] = len(np.unique(codes[codes >= 0])) - GROUPS_MAX
    told = ", ".join(f"{column} {count}" for column, count in counts.items() if count > 0)
    return [("groups_left_out", told)] if told else []


def favourable_class(outputs: Outputs, plan: Plan) -> int | None:
    """The index of the favourable class; None with several classes and none named. Raises DataError where it is unknown."""
    count = scores.class_count(outputs)
    if plan.favourable is None:
        return 1 if count == 2 else None
    if plan.favourable in plan.classes:
        return plan.classes.index(plan.favourable)
    if plan.favourable.isdecimal() and int(plan.favourable) < count:
        return int(plan.favourable)
    hint = f"Give one of the plan's classes, or an index from 0 to {count - 1}."
    raise DataError("data_does_not_fit", f"The favourable class {plan.favourable!r} is none of the classes.", hint)


def rates(outputs: Outputs, plan: Plan, favourable: int | None, other: str | None) -> list[Rate]:
    """The rates that these answers allow, of the version and of the other model where one is named."""
    answers = [scores.predicted(outputs, role, plan) for role in (VERSION, other) if role is not None]

    def rate(metric: str, counts: NDArray[np.bool_], hits: Sequence[NDArray[np.bool_]]) -> Rate:
        return Rate(metric, counts, hits[0], hits[1] if len(hits) > 1 else None, other or PARENT)

    every = np.ones(len(outputs), dtype=bool)
    right = None if outputs.labels is None else scores.labels(outputs, plan)
    found = []
    if favourable is not None:
        selected = [answer == favourable for answer in answers]
        found.append(rate("selection_rate", every, selected))
        if right is not None:
            found.append(rate("true_positive_rate", right == favourable, selected))
            found.append(rate("false_positive_rate", right != favourable, selected))
    if right is not None:
        found.append(rate("accuracy", every, [answer == right for answer in answers]))
    return found


def gap_change(most: Group, least: Group, groups: int) -> Estimate:
    """By how much farther apart two of so many groups stand under the version than under the other model."""
    pairs = groups * (groups - 1) // 2
    z = NormalDist().inv_cdf(1 - _OUTSIDE / max(1, pairs))
    above, below = most.change(z), least.change(z)
    return Estimate(above.value - below.value, *difference_interval(above, below))


def _by_group(rate: Rate, column: str, codes: Column, seed: int) -> list[Measurement]:
    present = _groups(rate, column, codes)
    figures: list[Measurement] = []
    for group in present:
        figures += [_rate_figure(rate, group, theirs=False)] if rate.own else []
        figures += [] if rate.theirs is None else [_rate_figure(rate, group, theirs=True)]
    large = [group for group in present if group.n >= ROWS_MIN]
    if len(large) < 2:
        return figures
    reference = max(large, key=lambda group: group.n)
    for group in large:
        if group is not reference:
            figures += _apart(rate.metric, group, reference) if rate.own else []
            figures += [] if rate.theirs is None else [_moved(rate, group, reference)]
    return figures + _gap_figures(rate, large, seed)


def _groups(rate: Rate, column: str, codes: Column) -> list[Group]:
    """The largest hundred groups that have rows for the rate, in the order of their values."""
    theirs = rate.ours if rate.theirs is None else rate.theirs
    counted = rate.counts & (codes.codes >= 0)
    cells = np.where(rate.ours, np.where(theirs, 0, 1), np.where(theirs, 2, 3))
    places = codes.codes[counted].astype(np.int64) * 4 + cells[counted]
    tables = np.bincount(places, minlength=4 * len(codes.values)).reshape(-1, 4)
    sizes = tables.sum(axis=1)
    kept = np.sort(np.argsort(-sizes, kind="stable")[:GROUPS_MAX])
    groups = [(codes.values[code], tables[code]) for code in kept if sizes[code]]
    return [Group(column, value, (int(t[0]), int(t[1]), int(t[2]), int(t[3]))) for value, t in groups]


def _rate_figure(rate: Rate, group: Group, *, theirs: bool) -> Measurement:
    found, whose = group.rate(theirs), rate.whose if theirs else "this model"
    plain = f"Where {_named(group)}: {_WORDS[rate.metric]} {100 * found.value:.1f} % by {whose}, of {group.n} rows."
    full = f"{rate.other}_{rate.metric}" if theirs else rate.metric
    return Measurement(full, found.value, "share", group.n, plain, found.low, found.high, slice=group.name)


def _against(group: Group, reference: Group) -> tuple[tuple[str, str], ...]:
    """The slice of a figure of one group beside another."""
    return (*group.name, ("against", reference.value))


def _apart(metric: str, group: Group, reference: Group) -> list[Measurement]:
    """Difference and ratio to the largest group."""
    n, name = group.n + reference.n, _against(group, reference)
    ours, theirs = group.rate(), reference.rate()
    low, high = difference_interval(ours, theirs)
    pair = f"Where {_named(group)}, against {reference.value}"
    difference = ours.value - theirs.value
    plain = f"{pair}: {100 * difference:+.1f} points in {_WORDS[metric]}, on {n} rows."
    figures = [Measurement(f"{metric}_difference", difference, "share", n, plain, low, high, slice=name)]
    limits = ratio_interval(ours, theirs)
    if limits is None or theirs.value == 0:
        reason = f"there is no {_WORDS[metric]} among {reference.value}, or too few rows to rule that out"
        plain = f"{pair}: there is no ratio."
        figures.append(Measurement(f"{metric}_ratio", None, "ratio", n, plain, reason=reason, slice=name))
    else:
        ratio = ours.value / theirs.value
        plain = f"{pair}: {ratio:.2f} times the share of {_WORDS[metric]}."
        figures.append(Measurement(f"{metric}_ratio", ratio, "ratio", n, plain, *limits, slice=name))
    return figures


def _moved(rate: Rate, group: Group, reference: Group) -> Measurement:
    """How the difference to the largest group changed."""
    low, high = difference_interval(group.change(), reference.change())
    change, n = group.change().value - reference.change().value, group.n + reference.n
    plain = (
        f"Where {_named(group)}, against {reference.value}: the difference in {_WORDS[rate.metric]} moved by "
        f"{100 * change:+.1f} points since {rate.whose}."
    )
    metric = f"{rate.metric}_difference_change"
    return Measurement(metric, change, "share", n, plain, low, high, slice=_against(group, reference))


def _gap_figures(rate: Rate, groups: Sequence[Group], seed: int) -> list[Measurement]:
    """The largest less the least rate, and the change of it."""
    metric, column, n = rate.metric, groups[0].column, sum(group.n for group in groups)
    values = [group.rate().value for group in groups]
    # where all are alike, the first and the last: a group is not compared with itself
    least, most = groups[values.index(min(values))], groups[len(values) - 1 - values[::-1].index(max(values))]
    gap, name = max(values) - min(values), ((column, "all groups"),)
    plain = f"By {column}: {_WORDS[metric]}, {100 * gap:.1f} points apart, {least.value} least and {most.value} most."
    reason = "a largest difference of groups is above zero by chance alone; the differences have intervals"
    drawn = bootstrap_counts(np.array([group.cells for group in groups], dtype=np.int64), seed)
    spread = float(_gaps(drawn, False).std(ddof=1))
    told = Measurement(f"{metric}_gap", gap, "share", n, plain, spread=spread, reason=reason, slice=name)
    figures = [told] if rate.own else []
    if rate.theirs is None:
        return figures
    change = gap_change(most, least, len(groups))
    word = "farther apart" if change.value >= 0 else "closer together"
    plain = (
        f"By {column}: {least.value} and {most.value} are {100 * abs(change.value):.1f} points {word} in {_WORDS[metric]} "
        f"than under {rate.whose} (95 % between {100 * change.low:+.1f} and {100 * change.high:+.1f})."
    )
    limits = (change.low, change.high)
    spread = float((_gaps(drawn, False) - _gaps(drawn, True)).std(ddof=1))
    changed = f"{metric}_gap_change"
    return [*figures, Measurement(changed, change.value, "share", n, plain, *limits, spread, slice=name)]


def _gaps(drawn: Whole, theirs: bool) -> Floats:
    hits = drawn[..., 0] + drawn[..., 2 if theirs else 1]
    found = hits / drawn.sum(axis=-1)
    return np.asarray(found.max(axis=1) - found.min(axis=1))


def _named(group: Group) -> str:
    return f"{group.column} = {group.value}"

"""Figures of comparisons with the sentences that say them."""

from __future__ import annotations

from collections.abc import Sequence

from compression_engine.answers.outputs import FIRST, INCUMBENT, PARENT
from compression_engine.measure.slicing import ANSWERED, CONFIDENCE, FOUND
from compression_engine.measure.statistics.intervals import share_interval
from compression_engine.measure.statistics.paired import Compared, Pair
from compression_engine.result import Measurement

NAMES = {PARENT: "the original", INCUMBENT: "the incumbent", FIRST: "the first approved version"}
LEVEL = 0.05
_WORDS = {
    "absolute_error": "absolute error",
    "accuracy": "accuracy",
    "character_error_rate": "character error rate",
    "exact_match": "the share of exact matches",
    "recall_at_1": "recall at 1",
    "squared_error": "squared error",
    "token_accuracy": "accuracy of tokens",
    "token_nll": "negative log-likelihood a token",
}
Name = Sequence[tuple[str, str]]


def comparison(pair: Pair, found: Compared, role: str, name: Name = (), first: bool = True) -> list[Measurement]:
    """Difference, flips, chance and power on the rows of one slice, or on all; `first`: the metric that slices are tested by."""
    figures = [_difference(pair, found, role, name)]
    if found.flips is not None:
        figures += _flips(found, role, name)
    figures.append(_chance(pair, found, name))
    figures.append(_smallest(pair, found, name, first))
    return figures


def worst_slice(
    pair: Pair, name: Name, found: Compared, adjusted_p: float, seen: Sequence[float | None], role: str, moved: bool
) -> Measurement:
    """The slice whose certain loss is the largest, or that none is shown to have lost.

    `seen` is, for each slice that was tested, the smallest loss that would have been seen there after correction; `moved` says
    that `found` is about all rows to which either model gives the answer.
    """
    tested = len(seen)
    low, high = found.simultaneous(tested)
    rows = f"{found.n} rows to which either model gives that answer" if moved else f"{found.n} rows"
    measured = (
        f"{where(name)}, {_WORDS[pair.metric]} {_signed(found.difference, pair.unit)} on {rows}"
        f"{_limits(low, high, pair.unit, f' for all {tested} slices together')}, p = {adjusted_p:.3g} after correction"
    )
    if adjusted_p <= LEVEL:
        plain = (
            f"Of {tested} slices this one fares worst against {NAMES[role]}, which chance does not explain: {measured}."
        )
    else:
        plain = (
            f"None of {tested} slices is shown to lose more against {NAMES[role]} than it could by chance; nearest to it: "
            f"{measured}. {_could_see(pair, seen)}"
        )
    return _figure("worst_slice_difference", found, pair.unit, plain, low, high, name)


def _could_see(pair: Pair, seen: Sequence[float | None]) -> str:
    known = [value for value in seen if value is not None]
    if not known:
        return "In none of them could a loss have been seen."
    least, most = _size(min(known), pair.unit), _size(max(known), pair.unit)
    smallest = least if least == most else f"{least} to {most}, by slice,"
    blind = f"; in {len(seen) - len(known)} none could" if len(known) < len(seen) else ""
    return f"The smallest loss that would be seen four times in five after correction: {smallest} of {_WORDS[pair.metric]}{blind}."


def adjusted(pair: Pair, name: Name, found: Compared, p: float, tested: int, moved: bool) -> Measurement:
    """The p-value of a loss in a slice, corrected for all slices."""
    judged = ", judged on all rows to which either model gives that answer" if moved else ""
    plain = (
        f"On rows where {where(name)}: p = {p:.3g} against a loss of {_WORDS[pair.metric]}, "
        f"corrected for {tested} slices{judged}."
    )
    return Measurement("adjusted_p", p, "probability", found.n, plain, reason=_P_REASON, slice=tuple(name))


def slices_lost(corrected: Sequence[float], discovered: Sequence[float]) -> list[Measurement]:
    """Which share of the slices lost, by either correction."""
    n, figures = len(corrected), []
    for metric, values, words in (
        ("slices_lost", corrected, "with at most 5 % chance that any of them is named wrongly (Holm)"),
        ("slices_lost_false_discovery", discovered, "of which at most 5 % are named wrongly (Benjamini and Hochberg)"),
    ):
        count = sum(value <= LEVEL for value in values)
        reason = "a count of findings has no interval"
        figures.append(
            Measurement(metric, count / n, "share", n, f"{count} of {n} slices lost, {words}.", reason=reason)
        )
    return figures


def where(name: Name) -> str:
    """A slice in words."""
    return ", ".join(_where(column, value) for column, value in name) or "all rows"


def _where(column: str, value: str) -> str:
    role, _, what = column.rpartition("_")
    if column == FOUND:
        return value
    if role in NAMES and what == ANSWERED:
        return f"{NAMES[role]} answers {value}"
    if role in NAMES and what == CONFIDENCE:
        return f"the confidence of {NAMES[role]} is in the {value}"
    return f"{column} = {value}"


_P_REASON = "a p-value has no interval"


def _difference(pair: Pair, found: Compared, role: str, name: Name) -> Measurement:
    limits = _limits(found.low, found.high, pair.unit, " for this slice alone" if name else "")
    plain = _said(
        name,
        f"{_WORDS[pair.metric]} is {_signed(found.difference, pair.unit)} against {NAMES[role]} "
        f"on {found.n} rows{limits}.",
    )
    return _figure(f"{pair.metric}_difference", found, pair.unit, plain, found.low, found.high, name)


def _figure(
    metric: str, found: Compared, unit: str, plain: str, low: float | None, high: float | None, name: Name
) -> Measurement:
    reason = found.reason if low is not None else "too few rows differ to bound the difference"
    n, spread = found.n, found.spread
    return Measurement(metric, found.difference, unit, n, plain, low, high, spread, reason, tuple(name))


def _flips(found: Compared, role: str, name: Name) -> list[Measurement]:
    assert found.flips is not None
    figures = []
    for metric, count, words in (
        ("flips_lost", found.flips.lost, f"{NAMES[role]} answers right and this model wrong"),
        ("flips_won", found.flips.won, f"{NAMES[role]} answers wrong and this model right"),
    ):
        low, high = share_interval(count, found.n)
        plain = _said(name, f"{count} of {found.n} rows {words}.")
        figures.append(
            Measurement(metric, count / found.n, "share", found.n, plain, low, high, None, None, tuple(name))
        )
    return figures


def _chance(pair: Pair, found: Compared, name: Name) -> Measurement:
    metric = "mcnemar_p" if found.flips is not None else f"{pair.metric}_difference_p"
    if found.p is None:
        reason = "one row or one sequence shows no chance"
        return Measurement(
            metric, None, "probability", found.n, "Chance cannot be judged.", None, None, None, reason, name
        )
    plain = _said(name, f"if both models were alike, a difference as large would come about with p = {found.p:.3g}.")
    return Measurement(metric, found.p, "probability", found.n, plain, None, None, None, _P_REASON, tuple(name))


def _smallest(pair: Pair, found: Compared, name: Name, first: bool) -> Measurement:
    metric = "smallest_detectable_loss" if first else f"{pair.metric}_smallest_detectable_loss"
    reason = "so few rows show no loss at all"
    if found.smallest is None:
        plain = _said(name, f"no loss could have been seen on {found.n} rows.")
        return Measurement(metric, None, pair.unit, found.n, plain, reason=reason, slice=tuple(name))
    plain = _said(
        name,
        f"a loss of {_size(found.smallest, pair.unit)} of {_WORDS[pair.metric]} "
        f"would be seen four times in five on such {found.n} rows{' if they alone were asked about' if name else ''}; "
        "a smaller one may hide.",
    )
    reason = "it follows from how the rows differ"
    return Measurement(metric, found.smallest, pair.unit, found.n, plain, reason=reason, slice=tuple(name))


def _limits(low: float | None, high: float | None, unit: str, of_what: str) -> str:
    if low is None or high is None:
        return ""
    return f" (95 % between {_signed(low, unit)} and {_signed(high, unit)}{of_what})"


def _said(name: Name, words: str) -> str:
    """A sentence about a slice, or about all rows."""
    return f"On rows where {where(name)}: {words}" if name else words[0].upper() + words[1:]


def _signed(value: float, unit: str) -> str:
    sign = "+" if value > 0 else "-" if value < 0 else ""
    return f"{sign}{_size(abs(value), unit)}"


def _size(value: float, unit: str) -> str:
    return f"{100 * value:.2f} points" if unit == "share" else f"{value:.4g}"

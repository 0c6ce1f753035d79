"""What figures of an evaluation say, for a reader who is no engineer. Pure; `sentences` adds slice, n and interval.

Rules:
- a difference says lost or won, whichever way round the metric is good, and against whom; where its interval holds no difference,
  that chance alone could explain it;
- a p value never stands alone: the sentence says what would come about by chance that often, and what follows;
- differences of shares are percentage points, so that nobody takes a point for a percent.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from registry.catalog.evaluation_texts import LESS_IS_BETTER, NAMES, SAVED, TEXTS
from registry.catalog.number_words import number, percent, points

Figure = Mapping[str, Any]
LEVEL = Decimal("0.05")
_UNITS = {"joule": "joules", "gram": "g"}
_POINTS = ("share", "probability")
_DIFFERENCES = ("_difference", "_gap", "_loss", "calibration_error", "overconfidence")
_WHOSE = {
    "parent_": "the original", "incumbent_": "the incumbent", "first_": "the first approved version",
}  # fmt: skip
_AGAINST = {"-incumbent": "the incumbent", "-first": "the first approved version"}


def tell(figure: Figure, kind: str) -> str | None:
    """The sentence without slice, sample and full stop; None for a metric that is not of an evaluation."""
    metric, value = str(figure["metric"]), Decimal(figure["value"])
    for told in (
        _move(figure),
        _chance(metric, value),
        _smallest(metric, figure),
        _saved(figure),
        _between_groups(figure) if kind.startswith("fairness") else None,
        _worst_slice(figure, kind),
        _change(figure, kind),
    ):
        if told is not None:
            return told
    who, name = _who(metric)
    if name.startswith(("net_benefit", "break_even")) or name in SAVED:
        return _economy(metric, value, str(figure["unit"]), kind)
    before, name = ("Before the damage, ", name.removeprefix("clean_")) if name.startswith("clean_") else ("", name)
    template = TEXTS.get(name)
    if template is None:
        return None
    told = template.format(
        who=who, other=against(kind), value=number(value), percent=percent(value), points=points(value),
        side="above" if value > 0 else "below", sure=_sureness(value),
    )  # fmt: skip
    return before + (told if before else told[0].upper() + told[1:])


def _sureness(temperature: Decimal) -> str:
    if temperature == 1:
        return "as sure as it is right"
    return "surer than it is right" if temperature > 1 else "right more often than it is sure"


def renamed(told: str, metric: str, kind: str) -> str:
    """A sentence about the original, about whom the figure is in truth: by the beginning of its name, or by its kind."""
    whose = next((who for prefix, who in _WHOSE.items() if metric.startswith(prefix)), against(kind))
    if whose == "the original":
        return told
    return told.replace("the original", whose).replace("The original", whose[0].upper() + whose[1:])


def end_words(figure: Figure, end: Decimal) -> str | None:
    """An end of the interval of a share or a difference of shares; None for a plain number."""
    metric = str(figure["metric"])
    if figure["unit"] not in _POINTS or "brier_score" in metric:
        return None
    if any(mark in metric for mark in _DIFFERENCES):
        return f"{'-' if end < 0 else ''}{points(end)}"
    return percent(end)


def against(kind: str) -> str:
    """With whom a kind of evidence compares."""
    return next((who for ending, who in _AGAINST.items() if kind.endswith(ending)), "the original")


def _who(metric: str) -> tuple[str, str]:
    return next(
        ((who, metric.removeprefix(p)) for p, who in _WHOSE.items() if metric.startswith(p)), ("the model", metric)
    )


def _named(metric: str) -> str:
    return NAMES.get(metric, metric.replace("_", " "))


def _amount(figure: Figure) -> str:
    value = Decimal(figure["value"])
    in_points = figure["unit"] in _POINTS and "brier_score" not in str(figure["metric"])
    return points(value) if in_points else number(abs(value))


def _change(figure: Figure, kind: str) -> str | None:
    """`accuracy_difference`, `selection_rate_gap`, `..._gap_change`."""
    metric, value = str(figure["metric"]), Decimal(figure["value"])
    if metric.endswith("_gap_change"):
        gap = f"the gap between the groups in {_named(metric.removesuffix('_gap_change'))}"
        if value == 0:
            return f"{gap.capitalize()} is as it was with {against(kind)}"
        return f"{gap.capitalize()} {'grew' if value > 0 else 'shrank'} by {_amount(figure)} against {against(kind)}{_luck(figure)}"
    if metric.endswith("_gap"):
        who, name = _who(metric.removesuffix("_gap"))
        return f"With {who} the groups differ by {_amount(figure)} in {_named(name)}"
    if not metric.endswith("_difference") or _who(metric)[1] in TEXTS:
        return None
    name = metric.removesuffix("_difference")
    what = f" in {_named(name)}"
    if name == "overconfidence" and value != 0:
        sure = "surer" if value > 0 else "less sure"
        return f"The model is {_amount(figure)} {sure} of itself than {against(kind)}{_luck(figure)}"
    if value == 0:
        return f"The model neither lost nor won{what} against {against(kind)}"
    lost = (value > 0) if name in LESS_IS_BETTER else (value < 0)
    word = "lost" if lost else "won"
    return f"The model {word} {_amount(figure)}{what} against {against(kind)}{_luck(figure)}"


def _worst_slice(figure: Figure, kind: str) -> str | None:
    """The slice nearest to a sure loss; only its own interval, which allows for all slices, may call the loss one."""
    if figure["metric"] != "worst_slice_difference":
        return None
    value, low, high = Decimal(figure["value"]), figure["low"], figure["high"]
    # what is no share of right answers is an error: there more is worse
    more_is_worse = figure["unit"] != "share"
    moved = (
        "neither lost nor won"
        if value == 0
        else f"{'lost' if (value > 0) == more_is_worse else 'won'} {_amount(figure)}"
    )
    told = f"the model {moved} against {against(kind)}"
    if low is None or high is None:
        return f"Nearest of all slices to a loss, {told}"
    lost = Decimal(low) > 0 if more_is_worse else Decimal(high) < 0
    if lost:
        return f"Worst of all slices, {told}, with an interval for all of them together"
    return f"No slice surely lost; nearest to it, {told}, with an interval for all of them together"


def _between_groups(figure: Figure) -> str | None:
    """`selection_rate_difference`, `..._ratio`, `..._difference_change`: one group beside another; both stand in the slice."""
    metric, value = str(figure["metric"]), Decimal(figure["value"])
    if metric.endswith("_difference_change"):
        between = f"between the first group and the second in {_named(metric.removesuffix('_difference_change'))}"
        if value == 0:
            return f"The difference {between} is as it was with the original"
        moved = f"{'rose' if value > 0 else 'fell'} by {_amount(figure)}"
        return f"The difference {between} {moved} against the original{_luck(figure)}"
    if metric.endswith("_ratio"):
        return f"The first group has {number(value)} times the share of the second in {_named(metric.removesuffix('_ratio'))}"
    if not metric.endswith("_difference"):
        return None
    name = _named(metric.removesuffix("_difference"))
    if value == 0:
        return f"The first group is level with the second in {name}"
    return f"The first group lies {_amount(figure)} {'above' if value > 0 else 'below'} the second in {name}{_luck(figure)}"


def _saved(figure: Figure) -> str | None:
    """`cpu_time_saved_ms`, `accuracy_excess_loss`, `accuracy_loss`: what the version spares, or loses by damage."""
    metric, value = str(figure["metric"]), Decimal(figure["value"])
    if metric.endswith("cpu_time_saved_ms"):
        than = f"{'less' if value >= 0 else 'more'} than with the original"
        return f"An answer takes {number(abs(value))} ms of processor time {than}"
    if metric.endswith("cpu_time_ratio"):
        return f"An answer takes {number(value)} times the processor time that it takes with the original"
    if metric.endswith("_excess_loss"):
        what, more = _named(metric.removesuffix("_excess_loss")), "more" if value >= 0 else "less"
        return f"By the damage the model loses {_amount(figure)} {more} in {what} than the original does{_luck(figure)}"
    if metric.endswith("_loss") and metric not in NAMES and metric.removesuffix("_loss") in NAMES:
        what = _named(metric.removesuffix("_loss"))
        return f"By the damage the model {'loses' if value >= 0 else 'wins'} {_amount(figure)} in {what}"
    return None


def _luck(figure: Figure) -> str:
    """What the interval lets one believe."""
    low, high = figure["low"], figure["high"]
    if low is None or high is None:
        return ""
    return ", which chance alone could explain" if Decimal(low) <= 0 <= Decimal(high) else ""


def _chance(metric: str, value: Decimal) -> str | None:
    """A p value in words. Of a p value nothing follows but this: whether chance is a good enough explanation."""
    if not (metric == "p" or metric.endswith("_p")):
        return None
    follows = "so something else is at work" if value < LEVEL else "so chance explains it well enough"
    often = (
        f"in {percent(value)} of such comparisons"
        if value >= Decimal("0.0001")
        else "in fewer than 1 of 10,000 such comparisons"
    )
    if metric == "mcnemar_p":
        return f"If nothing had changed, losses and gains as uneven would come about {often} (McNemar's p), {follows}"
    if metric == "adjusted_p":
        return f"By chance alone, one of all the parts that were looked at would differ as much {often} (corrected p), {follows}"
    name = metric.removesuffix("_p")
    what = (
        f"a difference in {_named(name.removesuffix('_difference'))}"
        if name.endswith("_difference")
        else f"a {_named(name)}"
    )
    return f"By chance alone, {what} as large would come about {often} (p), {follows}"


def _smallest(metric: str, figure: Figure) -> str | None:
    if not metric.endswith("smallest_detectable_loss"):
        return None
    name = metric.removesuffix("smallest_detectable_loss").removesuffix("_")
    what = f" in {_named(name)}" if name else ""
    return f"A loss{what} of less than {_amount(figure)} would most likely not have been seen with this many rows"


def _move(figure: Figure) -> str | None:
    """`flips_from_to`: where rows went that were right; the ends stand in the slice."""
    if figure["metric"] != "flips_from_to":
        return None
    return f"{percent(Decimal(figure['value']))} of the rows that were lost went this way"


def _economy(metric: str, value: Decimal, unit: str, kind: str) -> str:
    who, name = _who(metric)
    amount = f"{number(abs(value))} {_UNITS.get(unit) or unit.partition(':')[2] or unit}"
    other = against(kind) if who == "the model" else who
    if name == "net_benefit_per_month":
        word = "saves" if value >= 0 else "costs"
        return f"Against serving {other} it {word} {amount} a month, its own making counted in"
    if name == "break_even_predictions":
        return f"Against serving {other} it has paid for its making after {number(value)} predictions"
    return SAVED[name].format(who=who, other=other, amount=amount, less="less" if value >= 0 else "more")

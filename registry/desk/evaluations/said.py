"""What an evaluation says first: what was lost, for whom worst, what is saved, and what could not have been seen. Pure.

Rules:
- a loss is called one where its interval leaves out zero; otherwise it is said that none was found, and how large it may be;
- what was not measured is said to be unknown; it never counts as none;
- points are hundredths of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from registry.desk.evaluations.against import Against, Difference
from registry.desk.evaluations.record import Sheet
from registry.desk.figures import Figure, interval_text, value_text
from registry.desk.metrics import NAMES

_OF = {
    "accuracy": "accuracy", "exact_match": "exact matches", "recall_at_1": "recall at 1",
    "token_accuracy": "right next tokens",
}  # fmt: skip
_SAME = ("top1_agreement", "nearest_neighbour_kept", "cosine_mean")
_AS_FAST = Decimal("0.05")
_TOGETHER = " for all slices together"
"""The worst slice was picked: its interval allows for that, and is wider than the one among the slices."""


@dataclass(frozen=True)
class Tile:
    """One of the four answers at the top; `href` is where the page says more. `state` is lost, won, unclear or empty."""

    label: str
    href: str
    strong: str
    soft: str
    state: str = ""


@dataclass(frozen=True)
class Said:
    """The first lines of a page."""

    sentence: str
    tiles: Sequence[Tile]
    warnings: Sequence[str]


def said_of(comparisons: Sequence[Against], fidelity: Sheet, size: Sheet, timing: Sheet, cost: Sheet) -> Said:
    """The sentence, the four answers, and what must not be overlooked."""
    main = next(iter(comparisons), None)
    saved = _saved(size, timing, cost)
    tiles = [_lost(main, fidelity), _worst(main), saved, _missed(main)]
    parts = [_lost_clause(main, fidelity), _worst_clause(main), _saved_clause(saved), _missed_clause(main)]
    return Said("; ".join(part for part in parts if part) + ".", tiles, _warnings(comparisons, main))


# --- what was lost ----------------------------------------------------------------------------------------------------


def metric_word(metric: str) -> str:
    """A metric inside a sentence."""
    return _OF.get(metric, NAMES.get(metric, metric.replace("_", " ")).lower())


def _verb(difference: Difference, metric: str) -> str:
    """`loses 1.2 points of accuracy`; an error that grew is not called a loss of error."""
    share = difference.figure["unit"] == "share"
    if share:
        verb = "loses" if difference.loss > 0 else "gains"
        return f"{verb} {difference.size} of {metric_word(metric)}"
    verb = "worse" if difference.loss > 0 else "better"
    return f"is {verb} by {difference.size} in {metric_word(metric)}"


def _lost_clause(main: Against | None, fidelity: Sheet) -> str:
    if main is None or main.overall is None:
        return _without_labels(fidelity)
    if main.overall.state == "unclear":
        interval = f", 95 % interval {main.overall.interval}" if main.overall.interval else ""
        return (
            f"No change of {metric_word(main.metric)} against {main.who} was found "
            f"(measured {main.overall.shown}{interval})"
        )
    return f"It {_verb(main.overall, main.metric)} against {main.who}"


def _without_labels(fidelity: Sheet) -> str:
    for metric in _SAME:
        figure = fidelity.get(metric)
        if figure is not None:
            shown = value_text(figure["value"], figure["unit"])
            told = {
                "top1_agreement": f"It gives its parent’s first answer for {shown} of the rows",
                "nearest_neighbour_kept": f"{shown} of the rows keep their nearest neighbour",
                "cosine_mean": f"Its answers agree with its parent’s to a cosine of {shown}",
            }[metric]
            return f"{told}; without labels it is not known how many of them are right"
    return "What it lost is not known: it was compared with no other model"


def _lost(main: Against | None, fidelity: Sheet) -> Tile:
    if main is not None and main.overall is not None:
        overall = main.overall
        strong = "nothing found" if overall.state == "unclear" else f"{overall.shown} of {metric_word(main.metric)}"
        if overall.figure["unit"] != "share" and overall.state != "unclear":
            strong = f"{overall.shown} {metric_word(main.metric)}"
        measured = f"{overall.shown}; " if overall.state == "unclear" else ""
        return Tile(
            "What was lost", "#against", strong, f"{measured}{_sure(overall)}, against {main.who}", overall.state
        )
    for metric in _SAME:
        figure = fidelity.get(metric)
        if figure is not None:
            shown, interval = value_text(figure["value"], figure["unit"]), interval_text(figure)
            soft = ", ".join(
                p for p in (NAMES[metric].lower(), interval, f"n {figure['n']:,}" if figure["n"] else "") if p
            )
            return Tile("What was lost", "#same", shown, f"{soft}; no labels")
    return Tile("What was lost", "#missing", "not known", "compared with no other model")


def _sure(difference: Difference, of_what: str = "") -> str:
    """Interval and n, or what of them is there; `of_what` is what else than this the interval is for."""
    parts = [
        f"{difference.interval}{of_what}" if difference.interval else "no interval",
        f"n {difference.n:,}" if difference.n is not None else "n not given",
    ]
    return ", ".join(parts)


# --- for whom worst ---------------------------------------------------------------------------------------------------


def _worst_clause(main: Against | None) -> str:
    if main is None or not main.slices:
        return ""
    worst = main.worst
    if worst is None or worst.state != "lost":
        return "no group of rows lost more than chance explains"
    chance = f", corrected p {worst.chance}" if worst.chance else ""
    return f"worst {'where' if worst.is_rule else 'for'} {worst.name} ({worst.size} lost{chance})"


def _worst(main: Against | None) -> Tile:
    if main is None or not main.slices:
        return Tile("For whom worst", "#missing", "not known", "no slices were compared")
    worst = main.worst
    if worst is None or all(row.loss <= 0 for row in main.slices):
        return Tile("For whom worst", "#slices", "nobody", f"none of {len(main.slices)} slices lost", "won")
    if worst.state != "lost":
        soft = f"nearest to a sure loss of {len(main.slices)} slices: {worst.name}, {worst.shown} ({_sure(worst, _TOGETHER)})"
        return Tile("For whom worst", "#slices", "nobody beyond chance", soft, "unclear")
    chance = f", corrected p {worst.chance}" if worst.chance else ""
    strong = f"where {worst.name}" if worst.is_rule else worst.name
    return Tile("For whom worst", "#slices", strong, f"{worst.shown} ({_sure(worst, _TOGETHER)}{chance})", "lost")


# --- what is saved ----------------------------------------------------------------------------------------------------


def _saved(size: Sheet, timing: Sheet, cost: Sheet) -> Tile:
    smaller, benefit = size.get("size_ratio"), cost.get("net_benefit_per_month")
    words = [w for w in (_times(smaller, "smaller", "larger"), _speed(timing)) if w]
    return Tile("What is saved", "#cost", ", ".join(words) or "not known", _money(cost, benefit))


def _money(cost: Sheet, benefit: Figure | None) -> str:
    """Net benefit a month by the user's prices, or why it is not known."""
    if not cost:
        return "what it saves in money is not known: no price sheet"
    if benefit is None:
        return "what it saves in money is not known"
    unit, value = benefit["unit"], Decimal(benefit["value"])
    shown = value_text(format(abs(value), "f"), unit)
    interval = interval_text(benefit)
    ends = f" ({interval})" if interval else ""
    return f"net benefit {shown} a month{ends}" if value >= 0 else f"it costs {shown} more a month{ends}"


def _times(figure: Figure | None, more: str, less: str) -> str:
    if figure is None or Decimal(figure["value"]) <= 0:
        return ""
    value = Decimal(figure["value"])
    return f"{_brief(value)} × {more}" if value >= 1 else f"{_brief(1 / value)} × {less}"


def _speed(timing: Sheet) -> str:
    """Faster or slower than the parent; within 5 %, as fast."""
    figure = timing.get("latency_ratio")
    if figure is None or Decimal(figure["value"]) <= 0:
        return ""
    value = Decimal(figure["value"])
    if abs(value - 1) <= _AS_FAST:
        return "as fast"
    return f"{_brief(1 / value)} × faster" if value < 1 else f"{_brief(value)} × slower"


def _brief(value: Decimal) -> str:
    """Two digits, as one says it; the exact ratio stands below."""
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def _saved_clause(tile: Tile) -> str:
    if tile.strong == "not known":
        return ""
    money = tile.soft.partition(" (")[0]
    benefit = f", {money}" if money.endswith("a month") else ""
    return f"it is {tile.strong.replace(', ', ' and ').replace(' ×', ' times')}{benefit}"


# --- what could not have been seen ------------------------------------------------------------------------------------


def _missed_clause(main: Against | None) -> str:
    return f"a loss of less than {main.detectable} could have gone unseen" if main and main.detectable else ""


def _missed(main: Against | None) -> Tile:
    if main is None or not main.detectable:
        return Tile("Smallest loss it could see", "#missing", "not known", "needs labels and another model")
    return Tile(
        "Smallest loss it could see",
        "#against",
        main.detectable,
        "a smaller one could have gone unseen (5 %, power 80 %)",
    )


def _warnings(comparisons: Sequence[Against], main: Against | None) -> list[str]:
    """Losses that a comparison with the parent does not show, and lost rows that all go to one answer."""
    found = [
        f"Against {c.who} it {_verb(c.overall, c.metric)} ({_sure(c.overall)}). "
        "Each step may be small while the line loses: look at the comparisons side by side."
        for c in comparisons
        if c is not main and c.overall is not None and c.overall.state == "lost"
    ]
    drawn = main.flips.drawn_to if main is not None and main.flips is not None else ""
    return [*found, f"{drawn} Look for a backdoor or a class that has swallowed others."] if drawn else found

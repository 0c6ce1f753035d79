"""A version against another model, row by row: the overall difference, slices with the worst first, and where lost rows went.

Rules:
- a difference counts as lost or won where its interval leaves out zero, and for a slice where its corrected p is below 5 % too;
- slices stand in the order of the document: those with the greatest certain loss first;
- every line has n and interval, and says so where it has none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.utils.safestring import SafeString, mark_safe

from registry.catalog.models import ModelVersion
from registry.desk import svg_evaluation as svg
from registry.desk.evaluations.record import OTHERS, WHO, Record, Sheet
from registry.desk.figures import (
    DETECTABLE,
    Figure,
    Where,
    difference_text,
    interval_text,
    value_text,
    where_of,
    where_text,
)  # fmt: skip
from registry.desk.metrics import lower_is_better, name_of

DRAWN_SLICES = 16
DRAWN_CLASSES = 10
_SIGNIFICANT = Decimal("0.05")
_DIFFERENCE = "_difference"
_WORST = "worst_slice_difference"
_CLAIMS = {"lost": "lost", "won": "won", "unclear": "could be chance"}


@dataclass(frozen=True)
class Drawn:
    """A forest for a wide screen and for a small one; the stylesheet shows one of them."""

    wide: SafeString
    narrow: SafeString

    @classmethod
    def of(cls, forest: svg.Forest, name: str) -> Drawn:
        drawn = (forest.drawn(name), forest.drawn(f"{name}-narrow", svg.NARROW))
        return cls(*map(mark_safe, drawn))  # svg escapes everything that came from data


@dataclass(frozen=True)
class Difference:
    """Version minus the other, over all rows or a slice. `state` is lost, won or unclear."""

    figure: Figure
    metric: str
    where: Where
    name: str
    state: str
    chance: str
    """The corrected p in words; empty where there is none."""
    lost: str = ""
    won: str = ""
    detectable: str = ""

    @property
    def is_rule(self) -> bool:
        """Whether the slice is told by what is so of its rows and not by the name of a group."""
        return any(name == "found" or name.endswith("_answer") for name, _ in self.where)

    @property
    def shown(self) -> str:
        return difference_text(self.figure["value"], self.figure["unit"])

    @property
    def size(self) -> str:
        """How much, without sign."""
        return difference_text(self.figure["value"], self.figure["unit"], bare=True)

    @property
    def interval(self) -> str:
        return interval_text(self.figure)

    @property
    def exact(self) -> str:
        return f"{self.figure['value']} {self.figure['unit']}"

    @property
    def n(self) -> int | None:
        n: int | None = self.figure["n"]
        return n

    @property
    def claim(self) -> str:
        return _CLAIMS[self.state]

    @property
    def loss(self) -> Decimal:
        """How much worse, whichever way the metric counts."""
        value = Decimal(self.figure["value"])
        return value if lower_is_better(self.metric) else -value


@dataclass(frozen=True)
class Flips:
    """Rows that were right before and are wrong now, and the other way."""

    lost: Figure | None
    won: Figure | None
    chance: str
    drawing: SafeString
    destinations: Sequence[tuple[str, str, str, int | None]]
    """(right answer, answer now, share, n), the most frequent first."""
    drawn_to: str = ""
    """What is said where lost rows go to one answer more than doubts explain; empty where they do not."""

    @property
    def n(self) -> int | None:
        """How many rows were compared."""
        return next((f["n"] for f in (self.lost, self.won) if f is not None), None)

    @property
    def lost_text(self) -> str:
        return _with_interval(self.lost)

    @property
    def won_text(self) -> str:
        return _with_interval(self.won)


@dataclass(frozen=True)
class Against:
    """One comparison."""

    role: str
    who: str
    """Who it is in a sentence; `also` are the other parts that the same version plays."""
    also: Sequence[str]
    other: ModelVersion | None
    digest: str
    metric: str
    overall: Difference | None
    slices: Sequence[Difference]
    forest: Drawn | None
    drawn: int
    flips: Flips | None
    detectable: str
    worst: Difference | None
    """The slice that fares worst, with an interval that allows for having been picked."""

    @property
    def metric_name(self) -> str:
        return name_of(self.metric)


def against(record: Record, role: str) -> Against | None:
    """The comparison with one other model; None where there is none."""
    sheet = record.sheet(f"comparison-{role}")
    metric = leading_metric(sheet)
    if metric is None:
        return None
    found = sheet.get(metric + _DIFFERENCE)
    overall = _difference(sheet, found, metric) if found else None
    slices = [_difference(sheet, figure, metric) for figure in sheet.sliced(metric + _DIFFERENCE)]
    picked = next(iter(sheet.sliced(_WORST)), None)
    return Against(
        role=role,
        who=WHO[role],
        also=[WHO[r] for r in OTHERS if r != role and record.subject(r) == record.subject(role) != ""],
        other=record.others.get(role),
        digest=record.subject(role),
        metric=metric,
        overall=overall,
        slices=slices,
        forest=_forest(role, metric, overall, slices),
        drawn=min(len(slices), DRAWN_SLICES),
        flips=_flips(role, sheet),
        detectable="" if overall is None else overall.detectable,
        worst=next(iter(slices), None) if picked is None else _difference(sheet, picked, metric),
    )


def comparisons_of(record: Record) -> list[Against]:
    """Every comparison once: a parent that is served as well stands there as the parent."""
    found: list[Against] = []
    for role in OTHERS:
        comparison = against(record, role)
        if comparison is not None and (not comparison.digest or all(comparison.digest != f.digest for f in found)):
            found.append(comparison)
    return found


def leading_metric(sheet: Sheet) -> str | None:
    """The metric by which slices were tested: the first that a comparison has over all rows."""
    overall = (f["metric"] for f in sheet.figures if not f["slice"] and f["metric"].endswith(_DIFFERENCE))
    return next((metric.removesuffix(_DIFFERENCE) for metric in overall), None)


def _difference(sheet: Sheet, figure: Figure, metric: str) -> Difference:
    where = where_of(figure)
    chance = sheet.get("adjusted_p", where) or sheet.get(f"{metric}_adjusted_p", where)

    def beside(name: str) -> str:
        found = sheet.get(name, where)
        return "" if found is None else value_text(found["value"], found["unit"])

    detectable = sheet.get(DETECTABLE, where) or sheet.get(f"{metric}_{DETECTABLE}", where)
    return Difference(
        figure=figure,
        metric=metric,
        where=where,
        name=where_text(where) or "all rows",
        state=_state(figure, metric, chance),
        chance="" if chance is None else value_text(chance["value"], "probability"),
        lost=beside("flips_lost"),
        won=beside("flips_won"),
        detectable="" if detectable is None else difference_text(detectable["value"], detectable["unit"], bare=True),
    )


def _state(figure: Figure, metric: str, chance: Figure | None) -> str:
    """Whether the difference can be told from none. The corrected p speaks of losses only, the interval of both."""
    value, low, high = Decimal(figure["value"]), figure["low"], figure["high"]
    lost = value > 0 if lower_is_better(metric) else value < 0
    if value == 0:
        return "unclear"
    if lost and chance is not None:
        return "lost" if Decimal(chance["value"]) <= _SIGNIFICANT else "unclear"
    if low is None or high is None or Decimal(low) <= 0 <= Decimal(high):
        return "unclear"
    return "lost" if lost else "won"


# --- drawn ------------------------------------------------------------------------------------------------------------


def _forest(role: str, metric: str, overall: Difference | None, slices: Sequence[Difference]) -> Drawn | None:
    rows = [*([overall] if overall else []), *slices[:DRAWN_SLICES]]
    if not rows:
        return None
    marks = [_mark(row) for row in rows]
    ends = [float(e) for m in marks for e in (m.value, m.low, m.high) if e is not None]
    unit = rows[0].figure["unit"]
    places = svg.ticks([0.0, *ends])
    axis = svg.Axis(
        f"{name_of(metric)}: this version minus {WHO[role]}, with 95 % intervals",
        [(place, tick_text(place, unit)) for place in places],
    )
    lost = [row.name for row in slices if row.state == "lost"]
    finding = f"Lost beyond chance: {', '.join(lost)}." if lost else "No slice lost beyond chance."
    forest = svg.Forest(finding, marks, axis, ("worse", "better"), reverse=lower_is_better(metric))
    return Drawn.of(forest, f"forest-{role}")


def tick_text(place: float, unit: str) -> str:
    """A place on an axis of differences: shares in points, without a needless nought behind the point."""
    said = difference_text(format(Decimal(repr(place)), "f"), unit).removesuffix(" points")
    return said.removesuffix(".0")


def _mark(row: Difference) -> svg.Mark:
    low, high = row.figure["low"], row.figure["high"]
    beside = [
        f"n {row.n:,}" if row.n is not None else "n not given",
        *([f"p {row.chance.replace('below', '<')}"] if row.chance else []),
    ]
    return svg.Mark(
        label=row.name,
        value=float(row.figure["value"]),
        low=None if low is None else float(low),
        high=None if high is None else float(high),
        beside=" · ".join(beside),
        state=row.state,
    )


def _flips(role: str, sheet: Sheet) -> Flips | None:
    lost, won, chance = (sheet.get(metric) for metric in ("flips_lost", "flips_won", "mcnemar_p"))
    if lost is None and won is None:
        return None
    moved = [(dict(where_of(f)), f) for f in sheet.sliced("flips_from_to", "from", "to")]
    moved.sort(key=lambda item: (-Decimal(item[1]["value"]), item[0]["from"], item[0]["to"]))
    return Flips(
        lost=lost,
        won=won,
        chance="" if chance is None else value_text(chance["value"], "probability"),
        drawing=mark_safe(_bubbles(role, [(w["from"], w["to"], float(f["value"])) for w, f in moved])),  # noqa: S308  escaped
        destinations=[(w["from"], w["to"], value_text(f["value"], f["unit"]), f["n"]) for w, f in moved],
        drawn_to=_drawn_to(sheet),
    )


def _drawn_to(sheet: Sheet) -> str:
    for figure in sheet.sliced("flip_destination_share", "to"):
        where = where_of(figure)
        p, expected = sheet.get("flip_destination_p", where), sheet.get("flip_destination_expected", where)
        if p is not None and Decimal(p["value"]) <= _SIGNIFICANT:
            would = "" if expected is None else f"; by ordinary doubt {value_text(expected['value'], 'share')} would"
            n = "" if figure["n"] is None else f" of {figure['n']:,}"
            shown = value_text(figure["value"], "share")
            return f"{shown}{n} lost rows go to one answer, {where[0][1]}{would} (p {value_text(p['value'], 'probability')})."
    return ""


def _bubbles(role: str, moved: Sequence[tuple[str, str, float]]) -> str:
    """The classes between which most rows moved, in their own order."""
    weight: dict[str, float] = defaultdict(float)
    for source, target, share in moved:
        weight[source] += share
        weight[target] += share
    kept = sorted(sorted(weight, key=lambda name: (-weight[name], name))[:DRAWN_CLASSES], key=_natural)
    if len(kept) < 2:
        return ""
    place = {name: index for index, name in enumerate(kept)}
    cells = [(place[s], place[t], share) for s, t, share in moved if s in place and t in place]
    source, target, _ = moved[0]
    return svg.bubbles(f"flips-{role}", f"Most often rows of {source} became {target}.", kept, kept, cells)


def _natural(name: str) -> tuple[int, int, str]:
    return (0, int(name), "") if name.isdigit() else (1, 0, name)


def _with_interval(figure: Figure | None) -> str:
    if figure is None:
        return "not measured"
    interval = interval_text(figure)
    return value_text(figure["value"], figure["unit"]) + (f" ({interval})" if interval else "")

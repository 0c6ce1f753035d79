"""What each step of a run left of the parent's answers, and how training went, as a run's page shows it. Reads the run's result.

Rules:
- one line for each step that was done, from the evidence of the kind `step`; where a budget ended the run, it is said above;
- what a group of rows lost is shown to readers of the data alone: a slice's name quotes what stands in a row;
- a step that trained several times (rounds) has one drawing, its rounds one behind the other, and a table of what each round left:
  these figures are of rows held out of the training rows, of all of them together;
- rows that nothing was learned from are counted, and why is told to readers of the data alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString, mark_safe

from registry import storage
from registry.catalog.evidence import left_out
from registry.compression.models import Run
from registry.compression.queries import Names, ended_at_step, result_of
from registry.desk import metrics
from registry.desk import svg_evaluation as svg

KIND = "step"
_SIZE, _RATIO, _LOST = "step_size_bytes", "step_size_ratio", "step_quality_lost"
_POINTS_MOST = 400
_TICKS_MOST = 8


@dataclass(frozen=True)
class StepLine:
    """One line of the table: texts; empty where nothing was measured."""

    number: str
    method: str
    size_bytes: int | None
    smaller: str
    kept: Sequence[str]
    lost: str
    worst: str


@dataclass(frozen=True)
class Round:
    """One round of a step that prunes and trains in turns: texts."""

    number: int
    zero: str
    lost: str
    rows: int
    kept: bool


@dataclass(frozen=True)
class StepRounds:
    """The rounds of one step, and by what they were judged."""

    number: int
    method: str
    measure: str
    rounds: Sequence[Round]


@dataclass(frozen=True)
class Trained:
    """Lines of the table, drawings with their captions, rounds, and the sentence of a budget that ended the run."""

    lines: Sequence[StepLine]
    drawings: Sequence[tuple[str, SafeString]]
    rounds: Sequence[StepRounds]
    ended: str
    left_out: str = ""
    """How many training rows nothing was learned from, and why the first was not; empty where none was left out."""


def trained(run: Run, names: Names) -> Trained | None:
    """None where the run has no result, or nothing in it is told step by step."""
    if run.rederives is not None or run.result_digest is None or not storage.is_stored(run.result_digest):
        return None
    result = result_of(run)
    document: Mapping[str, Any] = {} if result is None else result.document
    told = [entry["document"] for entry in document.get("evidence", []) if entry["document"]["kind"] == KIND]
    shown = run.evaluation is not None and names.shows(run.evaluation)
    lines = [_line(evidence, shown=shown) for evidence in told]
    steps = document.get("steps", [])
    drawings, rounds = list(_drawings(steps)), list(_rounds(steps))
    said = "" if result is None else ended_at_step(run, result, names)
    missing = _left_out(run, document, names)
    return Trained(lines, drawings, rounds, said, missing) if lines or drawings or rounds or said or missing else None


def _left_out(run: Run, document: Mapping[str, Any], names: Names) -> str:
    told = next((row for row in document.get("data", []) if row["role"] == "training" and row["broken"]), None)
    if told is None:
        return ""
    count = left_out(told["broken"])
    first = names.broken_rows(run.training, told["broken"])[0]
    return (
        f"{count:,} of {count + told['rows']:,} training rows were left out: nothing was learned from them ({first})."
    )


def _rounds(steps: Sequence[Mapping[str, Any]]) -> Iterator[StepRounds]:
    for number, step in enumerate(steps, start=1):
        told = step.get("rounds") or []
        if told:
            yield StepRounds(
                number, str(step["method"]), str(told[0]["lost"]["measure"]), [_round(one) for one in told]
            )


def _round(told: Mapping[str, Any]) -> Round:
    lost = told["lost"]
    return Round(
        number=int(told["round"]),
        zero=f"{100 * told['zeros'] / max(told['numbers'], 1):.1f} %",
        lost=f"{float(lost['per_mille']):.1f} of 1,000",
        rows=int(lost["rows"]),
        kept=bool(told["kept"]),
    )


def _line(evidence: Mapping[str, Any], *, shown: bool) -> StepLine:
    facts = {row["name"]: row["value"] for row in evidence["environment"]}
    figures = [figure for figure in evidence["figures"] if figure["value"] is not None]
    whole = {figure["metric"]: figure for figure in figures if not figure["slice"]}
    size, ratio = whole.get(_SIZE), whole.get(_RATIO)
    kept = [figure for metric, figure in whole.items() if metric not in (_SIZE, _RATIO, _LOST)]
    lost = whole.get(_LOST)
    return StepLine(
        number=facts["step"],
        method=facts["step_method"],
        size_bytes=None if size is None else int(size["value"]),
        smaller="" if ratio is None else f"{float(ratio['value']):.2f} times",
        kept=[f"{_called(figure)}: {_said(figure, 4)}" for figure in kept],
        lost="" if lost is None else f"{_said(lost, 2)} points",
        worst=_worst(figures) if shown else "",
    )


def _worst(figures: Sequence[Mapping[str, Any]]) -> str:
    """The group of rows that lost most: of quality where labels tell it, else of the parent's answers."""
    slices = [figure for figure in figures if figure["slice"]]
    lost = [figure for figure in slices if figure["metric"] == _LOST]
    found = sorted(lost or slices, key=lambda figure: float(figure["value"]), reverse=bool(lost))
    if not found:
        return ""
    where = ", ".join(f"{row['name']} {row['value']}" for row in found[0]["slice"])
    return f"{where}: {_said(found[0], 2 if lost else 4)}" + (" points" if lost else "")


def _called(figure: Mapping[str, Any]) -> str:
    return metrics.name_of(str(figure["metric"]).removeprefix("step_"))


def _said(figure: Mapping[str, Any], digits: int) -> str:
    value = f"{float(figure['value']):.{digits}f}"
    if figure["low"] is None or figure["high"] is None:
        return value
    return f"{value} ({float(figure['low']):.{digits}f} to {float(figure['high']):.{digits}f})"


def _drawings(steps: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, SafeString]]:
    for number, step in enumerate(steps, start=1):
        points = [point for curve in step.get("training", []) for point in curve["points"]][:_POINTS_MOST]
        if len(points) > 1:
            rounds = len(step["training"])
            caption = f"Step {number}, {step['method']}" + (f", {rounds} rounds" if rounds > 1 else "")
            yield caption, _drawing(number, str(step["method"]), points)


def _drawing(number: int, method: str, points: Sequence[Mapping[str, Any]]) -> SafeString:
    held = [(float(at), float(point["validation"])) for at, point in enumerate(points)]
    learned = [
        (float(at), float(point["learning"])) for at, point in enumerate(points) if point["learning"] is not None
    ]
    series = [svg.Series("held-out rows", held, lead=True)]
    series += [svg.Series("rows learned from", learned)] if learned else []
    step = -(-len(points) // _TICKS_MOST)
    x_axis = svg.Axis("epoch", [(float(at), str(at)) for at in range(0, len(points) + step - 1, step)])
    y_axis = svg.Axis("loss", [(t, f"{t:g}") for t in svg.ticks([y for line in series for _, y in line.points])])
    finding = (
        f"on held-out rows from {held[0][1]:.4g} to {min(y for _, y in held):.4g} at best, in {len(held) - 1} epochs"
    )
    drawn = svg.curves(f"loss-{number}", f"Loss of step {number}, {method}", finding, series, x_axis, y_axis)
    return mark_safe(drawn)  # noqa: S308  svg_evaluation escapes everything that came from data

"""One line for each version that came from another one: from which parents, by which steps, and what was left. Pure.

Rules:
- a run of several steps is told by its last one (evidence of the kind `step`), another one by its fidelity to the parent;
- of a run that its budget ended, only the steps that were done are named, and that it ended early;
- the worst group of rows is the one that lost most quality where labels tell it, else the one that kept least; it stands there with
  its n, since a small group says little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audit.facts.case import Case, Measured
from audit.reports import wording
from audit.reports.lines import budget_words, edge_line, edges_to_models
from audit.snapshots import Record

KEPT = (
    "top1_agreement", "decoded_agreement", "next_token_agreement", "frame_agreement", "nearest_neighbour_kept", "cosine_mean",
)  # fmt: skip
"""What says how much of a parent's answers was kept, the plainest first."""
_STEP, _LOST, _RATIO = "step_", "step_quality_lost", "size_ratio"
Figure = Mapping[str, Any]


def derived_line(case: Case, version: Record) -> dict[str, Any]:
    """A derived version in the table of all of them."""
    run = case.run_of(version)
    steps = _steps(case, version, run)
    told = _told(case, version, steps)
    methods = _methods(case, run)
    done = methods[: _done(run, steps)]
    return {
        "budget": "" if run is None else budget_words(run.row),
        "digest": str(version.row["digest"]),
        "edges": [edge_line(case, edge) for edge in edges_to_models(case, version)],
        "ended": f"after {len(done)} of {len(methods)} steps" if len(done) < len(methods) else "",
        "is_live": any(live.version.id == version.id for live in case.live),
        "kept": _kept(told),
        "lost": _lost(told),
        "methods": done,
        "number": int(version.row["number"]),
        "recipe": _recipe_name(case, run),
        "size": wording.size(version.row["size_bytes"]),
        "smaller": _smaller(case, version),
        "worst": _worst(told),
    }


def _recipe(case: Case, run: Record | None) -> Record | None:
    return None if run is None else case.snapshot.get("compression.recipe", str(run.row["recipe_id"]))


def _recipe_name(case: Case, run: Record | None) -> str:
    recipe = _recipe(case, run)
    return "" if recipe is None else f"{recipe.row['slug']}@{recipe.row['number']}"


def _methods(case: Case, run: Record | None) -> list[str]:
    recipe = _recipe(case, run)
    document = None if recipe is None else case.snapshot.document(str(recipe.row["digest"]))
    return [str(step["method"]) for step in document["steps"]] if isinstance(document, dict) else []


def _steps(case: Case, version: Record, run: Record | None) -> list[Measured]:
    """What was measured after each step of the run that made the version, newest first.

    Not what somebody declares under the same name, nor steps of another recipe that came to the same bytes.
    """
    recipe = _recipe(case, run)
    if recipe is None:
        return []
    named = {"digest": recipe.row["digest"], "role": "recipe"}
    return [one for one in case.evidence(version, "step") if one.is_measured and named in one.document["subjects"]]


def _done(run: Record | None, steps: Sequence[Measured]) -> int | None:
    """How many steps were done where a budget may have ended the work; None: all of them."""
    if run is None or not budget_words(run.row):
        return None
    return max((_step_of(found) for found in steps), default=None)


def _step_of(found: Measured) -> int:
    return next((int(fact["value"]) for fact in found.document["environment"] if fact["name"] == "step"), 0)


def _told(case: Case, version: Record, steps: Sequence[Measured]) -> list[Figure]:
    """The figures of the last step, else of the fidelity to the parent; those with a value."""
    last = max(steps, key=_step_of, default=case.measured(version, "fidelity"))
    return [] if last is None else [figure for figure in last.figures if figure["value"] is not None]


def _of(figures: Sequence[Figure], metric: str) -> list[Figure]:
    return [figure for figure in figures if figure["metric"].removeprefix(_STEP) == metric.removeprefix(_STEP)]


def _measure(figures: Sequence[Figure]) -> str | None:
    return next((metric for metric in KEPT if any(not figure["slice"] for figure in _of(figures, metric))), None)


def _kept(figures: Sequence[Figure]) -> str:
    metric = _measure(figures)
    if metric is None:
        return ""
    whole = next(figure for figure in _of(figures, metric) if not figure["slice"])
    return f"{wording.metric(metric)}: {_said(whole)}"


def _lost(figures: Sequence[Figure]) -> str:
    whole = next((figure for figure in _of(figures, _LOST) if not figure["slice"]), None)
    return "" if whole is None else _said(whole)


def _worst(figures: Sequence[Figure]) -> str:
    lost = [figure for figure in _of(figures, _LOST) if figure["slice"]]
    metric = _measure(figures)
    kept = [] if metric is None else [figure for figure in _of(figures, metric) if figure["slice"]]
    if not lost and not kept:
        return ""
    worst = max(lost, key=_value) if lost else min(kept, key=_value)
    where = ", ".join(f"{row['name']} = {row['value']}" for row in worst["slice"])
    what = "lost" if lost else "kept"
    return f"{where}: {what} {_said(worst)}"


def _value(figure: Figure) -> float:
    return float(figure["value"])


def _said(figure: Figure) -> str:
    """Value, interval where there is one, and n."""
    unit = str(figure["unit"])
    said = _quantity(figure["value"], unit)
    if figure["low"] is not None and figure["high"] is not None:
        said += f" ({_quantity(figure['low'], unit)} to {_quantity(figure['high'], unit)})"
    return said if figure["n"] is None else f"{said}, n = {figure['n']}"


def _quantity(value: str, unit: str) -> str:
    return f"{wording.number(value, 4)} points" if unit == "point" else wording.quantity(value, unit)


def _smaller(case: Case, version: Record) -> str:
    size = case.measured(version, "size")
    figure = None if size is None else size.figure(_RATIO)
    return "" if figure is None or figure["value"] is None else wording.quantity(figure["value"], str(figure["unit"]))

"""comparison.json: one row for each recipe, what none of the others beats, and how all of it was judged.

Rules:
- the same parent, recipes, rows, settings and libraries give the same document, but for `timing`, `memory` and `front`, which
  rests on them;
- a recipe that made nothing has a row like the others, with the error that says why; so has one that a budget ended early;
- what is judged by labels is judged by them (`judged_by`), else by what is kept of the parent's answers;
- a slice of fewer than 30 rows is none; of the others each row names the one that lost most;
- facts only: no time of day, no path outside of the comparison's folder, no name of a machine beyond what evidence says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from compression_engine.canonical import JSON, decimal_text, parse_json
from compression_engine.comparing.front import Point, front
from compression_engine.comparing.judging import Judged
from compression_engine.comparing.requested import Requested
from compression_engine.environment import ENGINE_VERSION, environment
from compression_engine.opening import ModelFile
from compression_engine.searching.bounds import Figure
from compression_engine.searching.budget import QUALITY
from compression_engine.steps.yardstick import Yardstick

COMPARISON_TYPE = "pressmark/comparison/1"
_DIGITS = 9
_MADE, _ENDED, _REFUSED = "made", "ended-early", "refused"
_MEMORY = ("model_memory_bytes", "peak_memory_bytes", "peak_memory_ratio")


def schema_of_comparison() -> JSON:
    """The JSON Schema of `pressmark/comparison/1`."""
    return parse_json((resources.files("compression_engine") / "schemas" / "comparison-1.json").read_bytes())


@dataclass(frozen=True)
class Table:
    """All that a comparison found."""

    asked: Requested
    original: ModelFile
    yardstick: Yardstick
    found: Sequence[Judged]

    @property
    def judged_by(self) -> str:
        """The measure that decides which child is better."""
        measures = self.yardstick.measures
        return QUALITY if QUALITY in measures else measures[0]

    def front(self) -> list[str]:
        """The names of the children that none of the others beats in size, time and quality."""
        points = (self._point(one) for one in self.found)
        return front([point for point in points if point is not None])

    def document(self) -> dict[str, JSON]:
        """The content of comparison.json."""
        asked, encoder = self.asked, self.yardstick.encoder
        preprocessing, plan = encoder.preprocessing or "arrays as they are", asked.plan
        return {
            "budget": {
                name.removeprefix("--").replace("-", "_"): _text(share) for name, share in asked.budget.named().items()
            },
            "data": [encoder.rows.record("evaluation")],
            "engine": {"name": "compression_engine", "version": ENGINE_VERSION},
            "environment": environment(asked.settings.threads, preprocessing),
            "front": list(self.front()),
            "judged_by": self.judged_by,
            "measures": list(self.yardstick.measures),
            "memory": [entry for one in self.found if (entry := _memory(one)) is not None],
            "parent": self.original.record(),
            "plan": None if plan is None else plan.document(),
            "plan_digest": None if plan is None else plan.digest(),
            "rows": [self._row(one) for one in self.found],
            "seed": asked.settings.seed,
            "timing": [entry for one in self.found if (entry := _timing(one)) is not None],
            "type": COMPARISON_TYPE,
        }

    def _point(self, one: Judged) -> Point | None:
        """None where a child was not made, or its time is not known."""
        kept, pace = one.of(self.judged_by), one.known_pace()
        return None if kept is None or pace is None else Point(one.child.name, one.child.size_bytes, -kept, pace)

    def _row(self, one: Judged) -> dict[str, JSON]:
        child, error, result = one.child, one.child.error, one.child.result
        made = child.result is not None and error is None
        ended = None if result is None else (result["budget"] or {}).get("ended")
        outcome = _REFUSED if not made else _MADE if ended is None else _ENDED
        right = None if one.held is None else one.held.right
        return {
            "child": None if not made or result is None else str(result["outputs"][0]["digest"]),
            "error": None if error is None else {"code": error.code, "hint": error.hint, "message": error.message},
            "ended": None if ended is None or not made else str(ended["plain"]),
            "folder": child.name if child.result is not None else None,
            "kept": [_figure(figure) for figure in one.overall()],
            "name": child.name,
            "outcome": outcome,
            "recipe": child.recipe.document(),
            "recipe_digest": child.recipe.digest(),
            "right": None
            if right is None
            else {
                "metric": right.metric,
                "parent": _text(round(right.parent_share, _DIGITS)),
                "share": _text(round(right.share, _DIGITS)),
            },
            "size_bytes": child.size_bytes if made else None,
            "size_ratio": _text(round(self.original.size_bytes / child.size_bytes, _DIGITS)) if made else None,
            "steps_done": len(result["steps"]) if made and result is not None else 0,
            "worst": [_figure(worst) for worst in self._worst(one)],
        }

    def _worst(self, one: Judged) -> Iterator[Figure]:
        for measure in self.yardstick.measures:
            found = one.worst(measure)
            if found is not None:
                yield found


def _figure(figure: Figure) -> dict[str, JSON]:
    return {
        "high": _text(None if figure.high is None else round(figure.high, _DIGITS)),
        "low": _text(None if figure.low is None else round(figure.low, _DIGITS)),
        "measure": figure.measure,
        "n": figure.rows,
        "slice": [] if figure.where is None else [{"name": figure.where[0], "value": figure.where[1]}],
        "value": _text(round(figure.value, _DIGITS)),
    }


def _timing(one: Judged) -> dict[str, JSON] | None:
    pace = one.pace
    if pace is None or pace.value is None:
        return None
    return {
        "high": _text(None if pace.high is None else round(pace.high, _DIGITS)),
        "latency_ratio": _text(round(pace.value, _DIGITS)),
        "low": _text(None if pace.low is None else round(pace.low, _DIGITS)),
        "name": one.child.name,
        "rounds": pace.n,
    }


def _memory(one: Judged) -> dict[str, JSON] | None:
    """What serving the child takes, as its own result measured it beside the parent; None where nothing was measured."""
    result = one.child.result
    if result is None or one.child.error is not None:
        return None
    figures: dict[str, Any] = {
        figure["metric"]: figure["value"]
        for entry in result["evidence"]
        if entry["document"]["kind"] == "memory"
        for figure in entry["document"]["figures"]
        if not figure["slice"]
    }
    if not any(figures.get(name) for name in _MEMORY):
        return None
    return {name: figures.get(name) for name in _MEMORY} | {"name": one.child.name}


def _text(number: Any) -> str | None:
    return None if number is None else decimal_text(number)

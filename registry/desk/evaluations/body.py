"""An evaluation as JSON: the same facts as its page. What was measured is told as the API tells it; here it is also judged."""

from __future__ import annotations

from typing import Any

from registry.compression import evaluations
from registry.desk.evaluations.against import Against, Difference
from registry.desk.evaluations.on_target import OnTarget
from registry.desk.evaluations.view import Evaluation
from registry.digests import time_text
from registry.events import Caller


def evaluation_body(caller: Caller, evaluation: Evaluation) -> dict[str, Any]:
    """What the page shows, for programs. Numbers are decimals in text, as the documents have them."""
    record, said = evaluation.record, evaluation.said
    run = record.run
    return {
        "run": str(run.pk),
        "finished_at": time_text(run.finished_at) if run.finished_at else None,
        "engine_version": run.engine_version,
        "seed": run.seed,
        "summary": said.sentence,
        "answers": [{"question": tile.label, "answer": tile.strong, "detail": tile.soft} for tile in said.tiles],
        "warnings": list(said.warnings),
        "comparisons": [_comparison(comparison) for comparison in evaluation.comparisons],
        "on_target": [_measured_there(target) for target in evaluation.targets],
        "not_measured": [{"what": missing.what, "why": missing.why} for missing in evaluation.missing],
        **evaluations.evaluation_body(run, caller),
    }


def _measured_there(target: OnTarget) -> dict[str, Any]:
    """A measurement from a serving host: no part of the run, and stale once another host or other settings were measured."""
    return {
        "evidence": target.evidence.digest,
        "recorded_at": time_text(target.evidence.created_at),
        "host_digest": target.host or None,
        "settings_digest": target.settings or None,
        "stale": target.stale or None,
    }


def _comparison(comparison: Against) -> dict[str, Any]:
    """The overall difference and the slices as the page orders them, worst first."""
    return {
        "against": comparison.role,
        "metric": comparison.metric,
        "overall": None if comparison.overall is None else _difference(comparison.overall),
        "slices": [_difference(difference) for difference in comparison.slices],
    }


def _difference(difference: Difference) -> dict[str, Any]:
    figure = difference.figure
    members = {name: figure[name] for name in ("slice", "value", "low", "high", "n", "unit")}
    return members | {"state": difference.state}

"""The runs that were requested together, side by side: what each came to, from the evidence that it brought.

Rules:
- figures are those of the runs' own evidence, as the reader may see it; nothing is measured here;
- runs are done at different times, on a machine that is busier at one than at another: of times only the ratio to the parent,
  measured in turns with it in each run, stands beside another's; milliseconds do not;
- better is by labels where every child was judged by them, else by what is kept of the parent's answers;
- a run that is waiting, failed or was cancelled has its row like the others; it is on no front.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compression_engine.comparing.front import Pace, Point, front
from registry import storage
from registry.access.queries import readable
from registry.catalog.queries import EvidenceReader
from registry.compression import queries
from registry.compression.models import Run, RunState
from registry.errors import NotFound
from registry.events import Caller

Figure = Mapping[str, Any]
TIMES = (
    "Times are ratios to the parent, below 1 faster than it, each measured in turns with it in its own run. Milliseconds of runs "
    "that were done at different times do not compare."
)
ENDED = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)
_KEPT = ("top1_agreement", "decoded_agreement", "argmax_agreement", "cosine_mean")
_LESS_IS_BETTER = ("absolute_error", "character_error_rate", "squared_error", "token_nll")
_DIFFERENCE, _WORST = "_difference", "worst_slice_difference"
_BY = (
    "accuracy", "absolute_error", "recall_at_1", "character_error_rate", "token_nll", "exact_match", "token_accuracy",
)  # fmt: skip
"""By what labels judge, in the order in which a task's first is looked for."""


@dataclass(frozen=True)
class Line:
    """A run and the figures of its child; None where something was not measured."""

    run: Run
    size_bytes: int | None = None
    size_ratio: Figure | None = None
    kept: Figure | None = None
    """Of the parent's answers."""
    quality: Figure | None = None
    """By labels, of the child less that of the parent."""
    worst: Figure | None = None
    """The slice that fares worst: by labels, else by the parent's answers."""
    latency_ratio: Figure | None = None
    memory_ratio: Figure | None = None
    ended_at_step: str = ""

    @property
    def quality_lost(self) -> float | None:
        """How much quality was lost; less than 0 where some was won."""
        if self.quality is None:
            return None
        value = float(self.quality["value"])
        return value if is_error(self.quality["metric"]) else -value


@dataclass(frozen=True)
class Comparison:
    """All runs of a request, and which children no other beats."""

    pk: uuid.UUID
    lines: Sequence[Line]
    front: Sequence[uuid.UUID]
    by_labels: bool
    """Whether better is by labels."""

    @property
    def first(self) -> Run:
        """Any of its runs: what was asked for beside recipes is the same for all."""
        return self.lines[0].run

    @property
    def in_work(self) -> int:
        """How many runs have not ended."""
        return sum(line.run.state not in ENDED for line in self.lines)


def is_error(metric: str) -> bool:
    """Whether less of it is better."""
    return metric.removesuffix(_DIFFERENCE) in _LESS_IS_BETTER


def runs_of(caller: Caller, comparison: uuid.UUID) -> list[Run]:
    """The runs that were requested together, in the order of their recipes; NotFound where there are none to be seen."""
    rows = readable(queries.run_rows().filter(comparison=comparison), caller, team="model__team")
    found = list(rows.order_by("pk"))
    if not found:
        raise NotFound("There is no such comparison, or you may not see it.")
    return found


def get_comparison(caller: Caller, comparison: uuid.UUID) -> Comparison:
    """The runs with their figures as the caller may see them."""
    reader, names = EvidenceReader(caller), queries.Names(caller)
    lines = [_line(run, reader, names) for run in runs_of(caller, comparison)]
    made = [line for line in lines if line.run.child is not None]
    by_labels = bool(made) and all(line.quality is not None for line in made)
    points = [point for line in made if (point := _point(line, by_labels=by_labels)) is not None]
    return Comparison(comparison, lines, [uuid.UUID(name) for name in front(points)], by_labels)


def _point(line: Line, *, by_labels: bool) -> Point | None:
    pace = line.latency_ratio
    kept = None if line.kept is None else -float(line.kept["value"])
    lost = line.quality_lost if by_labels else kept
    if pace is None or lost is None or line.size_bytes is None:
        return None
    ends = (None if pace[end] is None else float(pace[end]) for end in ("low", "high"))
    return Point(str(line.run.pk), line.size_bytes, lost, Pace(float(pace["value"]), *ends))


def _line(run: Run, reader: EvidenceReader, names: queries.Names) -> Line:
    if run.child is None:
        return Line(run)
    documents = [(row.kind, reader.document(row)) for row in queries.evidence_of_run(run)]
    found = {kind: document["figures"] for kind, document in documents}
    compared = found.get("comparison-parent", [])
    metric = next((name for name in _BY if _whole(compared, f"{name}{_DIFFERENCE}") is not None), "")
    kept = next((figure for name in _KEPT if (figure := _whole(found.get("fidelity", []), name)) is not None), None)
    return Line(
        run=run,
        size_bytes=run.child.size_bytes,
        size_ratio=_whole(found.get("size", []), "size_ratio"),
        kept=kept,
        quality=_whole(compared, f"{metric}{_DIFFERENCE}") if metric else None,
        worst=_worst(compared, metric) or _worst_of_steps([d for kind, d in documents if kind == "step"], kept),
        latency_ratio=_whole(found.get("timing", []), "latency_ratio"),
        memory_ratio=_whole(found.get("memory", []), "peak_memory_ratio"),
        ended_at_step=_ended(run, names),
    )


def _whole(figures: Sequence[Figure], metric: str) -> Figure | None:
    """A figure over all rows that has a value."""
    return next((f for f in figures if f["metric"] == metric and not f["slice"] and f["value"] is not None), None)


def _worst(figures: Sequence[Figure], metric: str) -> Figure | None:
    """The worst slice by labels, under the name of what they judge by."""
    worst = next((figure for figure in figures if figure["metric"] == _WORST and figure["value"] is not None), None)
    return None if worst is None else {**worst, "metric": f"{metric}{_DIFFERENCE}"}


def _worst_of_steps(steps: Sequence[Mapping[str, Any]], kept: Figure | None) -> Figure | None:
    """The slice that keeps least of the parent's answers, as the judge of the last step says."""
    if not steps or kept is None:
        return None
    facts = [{fact["name"]: fact["value"] for fact in step["environment"]} for step in steps]
    last = steps[max(range(len(steps)), key=lambda place: int(facts[place]["step"]))]
    wanted = f"step_{kept['metric']}"
    slices = [f for f in last["figures"] if f["metric"] == wanted and f["slice"] and f["value"] is not None]
    worst = min(slices, key=lambda figure: float(figure["value"]), default=None)
    return None if worst is None else {**worst, "metric": kept["metric"]}


def _ended(run: Run, names: queries.Names) -> str:
    if run.result_digest is None or not storage.is_stored(run.result_digest):
        return ""
    result = queries.result_of(run)
    return "" if result is None else queries.ended_at_step(run, result, names)

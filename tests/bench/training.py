"""Our methods that train beside the peers' on real models, in one run: every target of the table, and what is only reported.

Each part is a module with `rows(material)`; `--only NAME` runs one of them. Rules of all parts: nothing is chosen by the
held-back rows, each figure takes them once; losses are told in points of accuracy with the number of rows and the spread over
seeds; latencies as in `quantization`, in turns and as ratios; a part that breaks is a row that does not hold, with what it said.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench import (
    training_adversarial,
    training_distill,
    training_low_rank,
    training_mortgages,
    training_pipeline,
    training_qat,
    training_storage,
    training_structured,
    training_unstructured,
)
from tests.bench.harness import Row, failed
from tests.bench.machine import Watch
from tests.bench.training_material import TrainingMaterial

PARTS: dict[str, Callable[[TrainingMaterial], list[Row]]] = {
    "adversarial": training_adversarial.rows,  # what stands of moved rows
    "distill": training_distill.rows,  # target 3
    "low_rank": training_low_rank.rows,  # not of the table: what factors cost
    "mortgages": training_mortgages.rows,  # target 5
    "pipeline": training_pipeline.rows,  # target 1
    "qat": training_qat.rows,  # target 4
    "storage": training_storage.rows,  # what target 1 rests on
    "structured": training_structured.rows,  # target 2
    "unstructured": training_unstructured.rows,  # target 6
}


def run(quick: bool, only: str | None = None) -> list[Row]:
    """The rows of all parts or of one; `quick` takes fewer seeds and epochs, and the rows say how many."""
    found: list[Row] = []
    watch = Watch(quick=quick)
    with tempfile.TemporaryDirectory(prefix="pressmark-bench-") as name:
        material = TrainingMaterial(Path(name), quick)
        for part, rows in PARTS.items():
            if only in (None, part):
                found += _guarded(part, rows, material)
    return watch.rows() + found


def _guarded(part: str, rows: Callable[[TrainingMaterial], list[Row]], material: TrainingMaterial) -> list[Row]:
    """A part that breaks must neither hide the others nor look as if it had held."""
    try:
        return rows(material)
    except Exception as error:
        return [failed(f"{part}.ran", f"{part}: it ran to its end", f"{type(error).__name__}: {error}")]

"""Our methods of quantisation beside the peers' on real models, in one run: every target of the table, and what is only reported.

Each part is a module with `rows(material)`; `--only NAME` runs one of them. Rules of all parts: latencies are taken in turns,
one run of each model a round, and told as ratios within a round, so that a busy machine slows all alike; one thread binds, two
are reported; a part that breaks is a row that does not hold, with what it said.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench import (
    quantization_detector,
    quantization_digits,
    quantization_encoder,
    quantization_language,
    quantization_search,
    quantization_static,
    quantization_streaming,
)
from tests.bench.harness import Row, failed
from tests.bench.machine import Watch
from tests.bench.quantization_material import Material

PARTS: dict[str, Callable[[Material], list[Row]]] = {
    "encoder": quantization_encoder.rows,  # targets 1 to 3
    "detector": quantization_detector.rows,  # target 4
    "digits": quantization_digits.rows,  # target 5
    "static": quantization_static.rows,  # target 5
    "budget": quantization_search.rows,  # target 6
    "language": quantization_language.rows,  # target 7
    "streaming": quantization_streaming.rows,  # target 8
}


def run(quick: bool, only: str | None = None) -> list[Row]:
    """The rows of all parts or of one; `quick` takes fewer sentences and rounds, and the rows say how many."""
    found: list[Row] = []
    watch = Watch(quick=quick)
    with tempfile.TemporaryDirectory(prefix="pressmark-bench-") as name:
        material = Material(Path(name), quick)
        for part, rows in PARTS.items():
            if only in (None, part):
                found += _guarded(part, rows, material)
    return watch.rows() + found


def _guarded(part: str, rows: Callable[[Material], list[Row]], material: Material) -> list[Row]:
    """A part that breaks must neither hide the others nor look as if it had held."""
    try:
        return rows(material)
    except Exception as error:
        return [failed(f"{part}.ran", f"{part}: it ran to its end", f"{type(error).__name__}: {error}")]

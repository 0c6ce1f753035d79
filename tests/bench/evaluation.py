"""Evaluation: figures against a reference, intervals and power by simulation, speed and memory, and what measuring costs."""

from __future__ import annotations

from tests.bench.evaluation_calibration import calibration_rows, foreign_rows
from tests.bench.evaluation_quality import quality_rows
from tests.bench.evaluation_statistics import statistics_rows
from tests.bench.evaluation_tails import tails_rows
from tests.bench.evaluation_timing import timing_rows
from tests.bench.harness import Row


def run(quick: bool) -> list[Row]:
    """Every figure of evaluation; `quick`: fewer simulations, and the rows say how many."""
    parts = (quality_rows, statistics_rows, tails_rows, calibration_rows, foreign_rows, timing_rows)
    return [row for part in parts for row in part(quick)]

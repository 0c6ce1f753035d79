"""The rows that a compression is given, by what they are for: read once, before anything is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compression_engine.canonical import JSON
from compression_engine.data import Rows, read_rows
from compression_engine.plan import Plan
from compression_engine.recipe import Recipe
from compression_engine.steps.calibration import Calibration
from compression_engine.steps.making import calibration_rows
from compression_engine.steps.training_files import TrainingFiles, TrainingMaterial
from compression_engine.training.left_out import LeftOut


@dataclass(frozen=True)
class CallMaterial:
    """The rows of a call, by what they are for."""

    rows: Rows | None
    calibration: Calibration | None
    calibration_rows: Rows | None
    """Those that were given, also where no step looks at them."""
    training: TrainingMaterial | None
    looked_at: list[Path]
    """The files that steps look at."""

    @classmethod
    def read(
        cls,
        recipe: Recipe,
        evaluation: Path | None,
        calibration: Path | None,
        training: TrainingFiles,
        plan: Plan | None,
        parent: Path,
    ) -> CallMaterial:
        """Reads every file of rows. Raises DataError."""
        rows, looked_at = _rows(evaluation, plan), calibration_rows(recipe, calibration, plan, parent)
        trained = TrainingMaterial.read(recipe, training, plan, parent)
        extra = looked_at.rows if looked_at else _rows(calibration)
        files = [None if looked_at is None else calibration, None if trained is None else training.rows]
        return cls(rows, looked_at, extra, trained, [path for path in files if path is not None])

    @property
    def left_out(self) -> LeftOut | None:
        """Which training rows nothing is learned from; None where nothing trains."""
        return None if self.training is None else self.training.left_out

    def records(self) -> list[dict[str, JSON]]:
        """How a result names the rows that were not measured on: calibration, then training."""
        return records_of(self.calibration_rows, self.training)


def records_of(calibration: Rows | None, training: TrainingMaterial | None) -> list[dict[str, JSON]]:
    """How a result names rows that steps looked at and learned from."""
    found = [] if calibration is None else [calibration.record("calibration")]
    return found if training is None else [*found, training.record()]


def _rows(path: Path | None, plan: Plan | None = None) -> Rows | None:
    return None if path is None else read_rows(path, plan)

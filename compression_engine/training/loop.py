"""The training loop: moves weights along gradients, keeps the best ones by rows that were held out, and can be killed at any time.

Rules:
- the same network, rows, schedule, seed and machine class give the same bytes: one thread, deterministic algorithms, orders drawn
  from seed, step, phase and epoch; the clock decides how often something is told or kept, never what comes out;
- what is kept is what was best on the validation rows, the beginning among it; it is in the network when `fit` returns;
- a matrix or kernel of which at least a tenth are exactly zero counts as pruned: its zeros stay (`keep_zeros`);
- frozen weights stay to the bit;
- a loss that is no number ends training (training_diverged) with the best weights in the network and in the resume point;
- with a resume point an attempt that was killed goes on to the same bytes, and one that is done is not done again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from compression_engine.canonical import JSON, decimal_text
from compression_engine.errors import DataError, EngineError
from compression_engine.progress import Progress
from compression_engine.training.along_sequences import feeding_of
from compression_engine.training.device import settled
from compression_engine.training.feeding import Portion, Trainable
from compression_engine.training.keeping import Keeping
from compression_engine.training.material import Batch, Parts, Taught
from compression_engine.training.moving import Mover, Own
from compression_engine.training.schedule import Curve, Point, Schedule

if TYPE_CHECKING:
    import torch

    from compression_engine.training.feeding import Outputs

Loss = Callable[["Outputs", Batch], "torch.Tensor"]
_SECONDS_BETWEEN_LINES = 2.0
STAGE = "train"


@dataclass(frozen=True)
class Beside:
    """What else a training is given, where it is more than weights and a loss."""

    own: Sequence[Own] = ()
    """What is trained beside the network's weights, with rates of its own: scales of fake quantisation, projections."""
    state: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """Tensors that `after_update` changes: they are kept with the best weights and in resume points."""
    frozen: Collection[str] = ()
    """Weights that stay as they are, by name."""
    taught: Taught | None = None
    measure: Loss | None = None
    """What is judged on validation rows instead of the loss; a mean over rows, lower is better."""
    phase: int = 0
    """Which of several trainings of one step it is, from 0: orders and resume points are its own."""


def fit(
    network: Trainable,
    parts: Parts,
    loss: Loss,
    schedule: Schedule,
    *,
    progress: Progress,
    keep_zeros: bool = True,
    after_update: Callable[[], None] | None = None,
    beside: Beside | None = None,
) -> Curve:
    """Trains a network in place and returns how it went; the best weights are in it then.

    `loss` gives the mean over the rows of a batch, or over as many tokens as its `counts` says; what it names as `taps` is handed
    to it beside the outputs, what it gives as `parameters()` is trained with it.
    Raises EngineError (training_diverged, resume_differs, disk_full, cannot_be_trained).
    """
    with settled(parts.training.device):
        return _Run(network, parts, loss, schedule, progress, keep_zeros, after_update, beside or Beside()).go()


@dataclass
class _Sum:
    """A mean in the making, over rows, or over tokens where a language model learns."""

    total: float = 0.0
    count: int = 0

    def add(self, value: float, count: int) -> None:
        self.total, self.count = self.total + value * count, self.count + count

    def mean(self) -> float:
        return self.total / max(1, self.count)


def _counted(loss: Loss, batch: Batch) -> int:
    """Over how many rows or tokens of a batch a loss is the mean."""
    counts = getattr(loss, "counts", None)
    return len(batch.rows) if counts is None else int(counts(batch))


class _Run:
    def __init__(
        self,
        network: Trainable,
        parts: Parts,
        loss: Loss,
        schedule: Schedule,
        progress: Progress,
        keep_zeros: bool,
        after_update: Callable[[], None] | None,
        beside: Beside,
    ) -> None:
        self._parts, self._loss, self._schedule, self._progress = parts, loss, schedule, progress
        self._beside, self._after_update = beside, after_update
        taps = tuple(getattr(loss, "taps", ())) + tuple(getattr(beside.measure, "taps", ()))
        self._feeding = feeding_of(network, parts, schedule.batch_size, beside.taught, taps)
        self._mover = Mover(network, loss, schedule, beside.own, beside.frozen, keep_zeros)
        self._keeping = Keeping(parts.training, beside.phase, self._mover, beside.state, self._say)
        self._points: list[Point] = []
        self._best = 0
        self._updates = self._total = 0
        self._said = 0.0

    def go(self) -> Curve:
        try:
            return self._go()
        finally:
            self._mover.release()

    def _go(self) -> Curve:
        epoch, begun, running = self._begin()
        while epoch <= self._schedule.epochs and not self._patience_is_over():
            self._epoch(epoch, begun, running)
            epoch, begun, running = epoch + 1, 0, _Sum()
        self._keeping.finish(self._facts(epoch, 0, running))
        best = f"the best is {self._best}" if self._best else "none was better than the beginning"
        done = len(self._points) - 1
        self._tell(f"done after {done} epoch{'' if done == 1 else 's'}, {best}", always=True)
        return self._curve()

    def _begin(self) -> tuple[int, int, _Sum]:
        """Where training begins: epoch, updates of it that are done, the mean of their losses."""
        self._total = self._schedule.epochs * len(self._feeding.updates(self._beside.phase, 1))
        facts = self._keeping.resume()
        if facts is None:
            self._keeping.best()
            self._points = [Point(0, None, self._validated(0))]
            return 1, 0, _Sum()
        self._points = [_point(entry) for entry in facts["points"]]
        self._best, self._updates = facts["best"], facts["updates"]
        self._tell(f"going on in epoch {facts['epoch']} after {facts['begun']} updates of it", always=True)
        return facts["epoch"], facts["begun"], _Sum(float(facts["total"]), facts["rows"])

    def _epoch(self, epoch: int, begun: int, running: _Sum) -> None:
        portions = self._feeding.updates(self._beside.phase, epoch)
        for number in range(begun, len(portions)):
            running.add(*self._update(portions[number], epoch))
            self._updates += 1
            self._tell(f"epoch {epoch} of {self._schedule.epochs}, loss {running.mean():.5g}{self._last()}")
            if number + 1 < len(portions) and portions[number].ends:
                self._keeping.point(lambda: self._facts(epoch, number + 1, running))  # noqa: B023  called at once
        validation = self._validated(epoch)
        self._points.append(Point(epoch, running.mean(), validation))
        if validation < self._points[self._best].validation:
            self._best = epoch
            self._keeping.best()
        self._tell(f"epoch {epoch} of {self._schedule.epochs}, loss {running.mean():.5g}{self._last()}", always=True)
        self._keeping.point(lambda: self._facts(epoch + 1, 0, _Sum()))

    def _update(self, portion: Portion, epoch: int) -> tuple[float, int]:
        rate = self._schedule.rate(self._updates, self._total)
        found, rows = _Sum(), len(portion.rows)
        self._mover.begin()
        for outputs, batch in self._feeding.answers(portion):
            loss = self._value(self._loss, outputs, batch)
            count = _counted(self._loss, batch)
            self._mover.learn(loss * (count / rows))
            found.add(float(loss.detach()), count)
        if not math.isfinite(found.total):
            raise self._diverged(f"the loss is {found.mean()} in epoch {epoch}")
        if found.count not in (0, rows):
            self._mover.divide(found.count / rows)
        self._mover.move(rate)
        if self._after_update is not None:
            self._after_update()
        return found.mean(), found.count

    def _validated(self, epoch: int) -> float:
        import torch

        measure, found, rows = self._beside.measure or self._loss, _Sum(), 0
        with torch.no_grad():
            for portion in self._feeding.held_out():
                for outputs, batch in self._feeding.answers(portion):
                    found.add(float(self._value(measure, outputs, batch)), _counted(measure, batch))
                    rows += len(batch.rows)
                self._tell(f"after epoch {epoch} of {self._schedule.epochs}: {rows} held-out rows answered")
        if not math.isfinite(found.total):
            raise self._diverged(f"the validation loss is {found.mean()} after epoch {epoch}")
        return found.mean()

    def _value(self, loss: Loss, outputs: Outputs, batch: Batch) -> torch.Tensor:
        try:
            return loss(outputs, batch)
        except IndexError as error:
            hint = "Check the plan's label and classes: a class is an index among the model's outputs."
            raise DataError("data_does_not_fit", f"A label is none of the model's classes: {error}.", hint) from error

    def _diverged(self, why: str) -> EngineError:
        self._keeping.restore_best()
        if not self._points:
            hint = "Check the rows and their labels, and that the model answers them with numbers."
            return EngineError("training_diverged", f"Before anything was learned {why}.", hint)
        hint = "Use a smaller learning rate, or a longer gradient clipped more; nothing was written."
        return EngineError("training_diverged", f"Training does not converge: {why}.", hint)

    def _patience_is_over(self) -> bool:
        return 0 < self._schedule.patience <= len(self._points) - 1 - self._best

    def _facts(self, epoch: int, begun: int, running: _Sum) -> dict[str, JSON]:
        return {
            "begun": begun,
            "best": self._best,
            "epoch": epoch,
            "points": [point.document() for point in self._points],
            "rows": running.count,
            "total": decimal_text(running.total),
            "updates": self._updates,
        }

    def _curve(self) -> Curve:
        settings: dict[str, JSON] = {
            name: decimal_text(value) if isinstance(value, float) else value
            for name, value in asdict(self._schedule).items()
        }
        counts = len(self._parts.learning), len(self._parts.validation)
        return Curve(tuple(self._points), self._best, *counts, self._updates, self._beside.phase, settings)

    def _last(self) -> str:
        return f", validation {self._points[-1].validation:.5g} (best {self._points[self._best].validation:.5g})"

    def _tell(self, message: str, *, always: bool = False) -> None:
        now = time.monotonic()
        if always or now - self._said >= _SECONDS_BETWEEN_LINES:
            self._said = now
            self._say(message)

    def _say(self, message: str) -> None:
        self._progress(STAGE, min(self._updates, self._total), max(1, self._total), message)


def _point(entry: Mapping[str, JSON]) -> Point:
    learning = entry["learning"]
    return Point(entry["epoch"], None if learning is None else float(learning), float(entry["validation"]))

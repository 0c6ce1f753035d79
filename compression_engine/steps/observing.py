"""Shows methods what flows through the tensors of a model while it answers calibration rows, batch by batch.

Rules:
- nothing is kept here: whoever looks keeps sums or counts that do not grow with the rows;
- the answers of a batch are held for as many tensors at a time as fit into a bounded memory, else the model is run again for the
  next; a batch has fewer rows where the tensors of a single one are large, however long the rows of other batches are;
- one thread; positions that are padding do not count;
- a recurrent model's state goes from row to row within a sequence, where the rows say which that is; else each begins with an
  empty one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
from onnx import helper

from compression_engine.data import Array, Encoder, Feed
from compression_engine.data.rows import Indices
from compression_engine.errors import DataError
from compression_engine.formats import onnx_io
from compression_engine.formats.onnx_graph import Names
from compression_engine.limits import scratch
from compression_engine.progress import Progress
from compression_engine.runtime import BATCH_ROWS, Batch, Model, batch_at
from compression_engine.steps.calibration import Calibration

_BYTES_TOGETHER = 128 * 1024**2
"""Most bytes of watched tensors that one batch may give; a single row of a single tensor may be larger."""
_THREADS = 1

See = Callable[[str, Array], None]
_Any = TypeVar("_Any")


@dataclass(frozen=True)
class Watching:
    """A model and the calibration rows that it answers; `rows` are the numbers of those that are looked at."""

    model: onnx.ModelProto
    calibration: Calibration
    rows: Sequence[int]
    progress: Progress

    @classmethod
    def of(cls, model: onnx.ModelProto, calibration: Calibration, progress: Progress) -> Watching:
        """With all calibration rows."""
        return cls(model, calibration, range(len(calibration.rows)), progress)

    def encoder(self, opened: Model) -> Encoder:
        """The rows as this model takes them."""
        return Encoder(self.calibration.rows, opened.inputs(), self.calibration.tokenizer, self.calibration.plan)

    def batches(self, encoder: Encoder, at_once: int = BATCH_ROWS) -> Iterator[Batch]:
        """The rows in their order, so many at a time, or as many as the model's fixed first dimension wants."""
        size, rows = encoder.fixed_rows or at_once, self._usable(encoder)
        for start in range(0, len(rows), size):
            yield batch_at(encoder, rows[start : start + size])

    def answers(self, opened: Model, at_once: int = BATCH_ROWS) -> Iterator[tuple[Batch, Feed]]:
        """The batches, each with what the model gives, by name."""
        encoder = self.encoder(opened)
        numbers = self.sequences(encoder)
        if numbers is None:
            for batch in self.batches(encoder, at_once):
                yield batch, dict(zip(opened.output_names, opened.run(batch.feed), strict=True))
            return
        carried, before = {state.input: state.output for state in self.calibration.plan.states}, -1
        given: Feed = {}
        for row in self._usable(encoder):
            goes_on = row > 0 and before == row - 1 and numbers[row] == numbers[before]
            feed = encoder.batch([row], begins=not goes_on)
            if goes_on:
                feed |= {name: given[output] for name, output in carried.items()}
            given, before = dict(zip(opened.output_names, opened.run(feed), strict=True)), row
            yield Batch(feed, 1), given

    def sequences(self, encoder: Encoder) -> Indices | None:
        """The numbers of the rows' sequences, where states go from row to row, one row at a time."""
        numbers = self.calibration.sequences
        fits = numbers is not None and len(numbers) == len(encoder.rows) and encoder.fixed_rows in (None, 1)
        return numbers if fits else None

    def _usable(self, encoder: Encoder) -> list[int]:
        """Rows that do not fit the model's inputs are not among those of its encoder."""
        return [row for row in self.rows if row < len(encoder.rows)]

    def rows_in_first_batch(self) -> int:
        """How many rows `shapes` speaks of."""
        with scratch("pressmark-model-") as folder:
            encoder = self.encoder(watched(self.model, [], folder / "model.onnx"))
            return encoder.fixed_rows or min(BATCH_ROWS, len(self.rows))

    def shapes(self, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """The shapes of these tensors for the first batch, found without holding their numbers."""
        copy = onnx.ModelProto()
        copy.CopyFrom(self.model)
        new = Names(copy)
        asked = {name: new.new(name, "shape") for name in names}
        copy.graph.node.extend(helper.make_node("Shape", [name], [shape]) for name, shape in asked.items())
        with scratch("pressmark-model-") as folder:
            opened = watched(copy, list(asked.values()), folder / "model.onnx")
            batch = next(self.batches(self.encoder(opened)))
            given = dict(zip(opened.output_names, opened.run(batch.feed), strict=True))
        return {name: tuple(int(size) for size in given[shape]) for name, shape in asked.items()}

    def look(self, names: Sequence[str], see: See, what: str) -> None:
        """Calls `see(name, array)` for every tensor and batch, without padding. DataError where there is NaN or infinity."""
        bytes_by_name = {name: 4 * int(np.prod(shape)) for name, shape in self.shapes(names).items()}
        for some in together(bytes_by_name.items(), _BYTES_TOGETHER):
            at_once = _rows_at_once(sum(bytes_by_name[name] for name in some), min(BATCH_ROWS, len(self.rows)))
            with scratch("pressmark-model-") as folder:
                opened = watched(self.model, sorted({*some, *self._states()}), folder / "model.onnx")
                done = 0
                for batch, answers in self.answers(opened, at_once):
                    self.progress("calibrate", done, len(self.rows), f"calibration rows looked at: {what}")
                    done += batch.count
                    given = batch.feed | answers
                    for name in some:
                        see(name, _finite(name, real(given[name], batch)))

    def _states(self) -> list[str]:
        """The outputs that are inputs of the next row."""
        return (
            [state.output for state in self.calibration.plan.states] if self.calibration.sequences is not None else []
        )


def watched(model: onnx.ModelProto, names: Sequence[str], path: Path) -> Model:
    """The model with these tensors as its only outputs, but for those that are inputs; on one thread."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    inputs = {entry.name for entry in copy.graph.input}
    made = [name for name in names if name not in inputs]
    if made:
        del copy.graph.output[:]
        copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    onnx_io.save(copy, path)
    return Model(path, _THREADS, what="The model")


def real(array: Array, batch: Batch) -> Array:
    """A tensor without padding and without what fills up a fixed batch: [positions, size] where the rows have a mask."""
    feed = batch.feed
    mask = feed.get("attention_mask")
    if mask is not None and array.ndim >= 3 and array.shape[:2] == mask.shape:
        return np.asarray(array[: batch.count][mask[: batch.count] != 0])
    if mask is not None and array.ndim == 2 and len(array) == mask.size:
        # rows and positions side by side, as exporters write them before a Gemm
        return np.asarray(array.reshape(*mask.shape, -1)[: batch.count][mask[: batch.count] != 0])
    if array.ndim > 1 and array.shape[0] == max(len(given) for given in feed.values() if given.ndim):
        return array[: batch.count]
    return array


def together(sizes: Iterable[tuple[_Any, int]], bytes_most: int) -> Iterator[list[_Any]]:
    """Things with their bytes in runs, in their order, as many at a time as fit; one that is larger stands alone."""
    some: list[_Any] = []
    taken = 0
    for one, size in sizes:
        if some and taken + size > bytes_most:
            yield some
            some, taken = [], 0
        some.append(one)
        taken += size
    if some:
        yield some


def _rows_at_once(batch_bytes: int, rows: int) -> int:
    return max(1, min(BATCH_ROWS, rows * _BYTES_TOGETHER // max(1, batch_bytes)))


def _finite(name: str, array: Array) -> Array:
    if not np.isfinite(array).all():
        hint = "Leave out rows with extreme numbers, or use a method that needs no calibration rows."
        raise DataError("data_does_not_fit", f"Calibration rows give NaN or infinity at {name!r}.", hint)
    return array

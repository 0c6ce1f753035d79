"""Leaves out the layers whose rounding changes a model's answers most, until the answers are as near to the original's as asked.

Rules:
- the change of an answer is its squared difference to the original's as a share of the original's own variation (each entry of the
  last axis about its mean), in thousandths, over at most 128 evenly spaced calibration rows; of several outputs the worst counts;
- of recurrent models over at most 1,024 rows that follow each other, each model with its own state: looked at one by one, rows hide
  how errors add up;
- nothing is left out where all layers together keep the limit; else each group of layers (those that share a weight) is measured
  alone, and groups are left out, the worst first, the rest measured again together each time, until the limit is kept;
- equals are left out in the order of the graph, so that the same rows always choose the same layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from compression_engine.data import Array
from compression_engine.formats import onnx_io
from compression_engine.limits import scratch
from compression_engine.methods.static_quantization.net import Layer
from compression_engine.runtime import Model
from compression_engine.steps.observing import Watching, real

ROWS_MOST, FRAMES_MOST = 128, 1024
_THREADS = 1
_KEPT_BYTES_MOST = 64 * 1024**2
_WHOLE = 1000.0
_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Left:
    """Layers that stay in floats, and what their rounding alone would change, in thousandths."""

    layers: tuple[Layer, ...]
    alone: float


@dataclass(frozen=True)
class Chosen:
    """The layers that are kept, what they change together in thousandths, and what was left out, the worst first."""

    layers: tuple[Layer, ...]
    together: float
    left: tuple[Left, ...]


def choose(
    measured: Effects, layers: Sequence[Layer], made: Callable[[Sequence[Layer]], onnx.ModelProto], limit: int
) -> Chosen:
    """The most layers that keep the limit; `made` gives the model with some of them rounded."""
    kept, left = tuple(layers), []
    together = measured.of(made(kept))
    if together <= limit:
        return Chosen(kept, together, ())
    groups = [
        tuple(layer for layer in layers if layer.weight == name) for name in dict.fromkeys(x.weight for x in layers)
    ]
    alone = {group: measured.of(made(group)) for group in groups} if len(groups) > 1 else {groups[0]: together}
    for group in sorted(groups, key=lambda group: -alone[group]):
        kept = tuple(layer for layer in kept if layer not in group)
        left.append(Left(group, alone[group]))
        together = measured.of(made(kept)) if kept else 0.0
        if together <= limit:
            break
    return Chosen(kept, together, tuple(left))


class Effects:
    """Measures models against the one that is watched, on rows that are the same for all."""

    def __init__(self, watching: Watching) -> None:
        rows = watching.rows
        count = min(ROWS_MOST, len(rows))
        if watching.calibration.sequences is None:
            chosen = [rows[index * len(rows) // count] for index in range(count)]
        else:
            chosen = list(rows[:FRAMES_MOST])
        self._watching = replace(watching, rows=chosen)
        self._kept: list[list[Array]] | None = None
        self.measurements = 0

    def of(self, model: onnx.ModelProto) -> float:
        """What this model changes, in thousandths; infinite where it answers with what is no number."""
        self.measurements += 1
        watching = self._watching
        watching.progress("calibrate", self.measurements, self.measurements + 1, "what rounding changes")
        with scratch("pressmark-model-") as folder:
            child = _opened(model, folder / "child.onnx")
            sums = [_Sums() for _ in child.output_names]
            for (batch, given), theirs in zip(watching.answers(child), self._originals(folder), strict=True):
                for found, one, other in zip(sums, theirs, given.values(), strict=True):
                    found.add(one, real(other, batch))
        return max((found.share() for found in sums), default=0.0) * _WHOLE

    def _originals(self, folder: Path) -> Iterator[list[Array]]:
        """The original's answers, batch by batch: computed again each time, unless they are few enough to be kept."""
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[list[Array]] = []
        kept_bytes = 0
        for batch, given in self._watching.answers(_opened(self._watching.model, folder / "parent.onnx")):
            theirs = [real(array, batch) for array in given.values()]
            kept_bytes += sum(array.nbytes for array in theirs)
            if kept_bytes <= _KEPT_BYTES_MOST:
                kept.append(theirs)
            else:
                kept.clear()
            yield theirs
        if kept_bytes <= _KEPT_BYTES_MOST:
            self._kept = kept


class _Sums:
    """Of one output: squares of differences, and of the original's own variation about the means of its last axis."""

    def __init__(self) -> None:
        self.apart, self.squares, self.count = 0.0, 0.0, 0
        self.total: _Floats | None = None

    def add(self, theirs: Array, ours: Array) -> None:
        if theirs.dtype.kind != "f" or theirs.ndim == 0:
            return
        one, other = theirs.astype(np.float64), ours.astype(np.float64)
        self.apart += float(((one - other) ** 2).sum())
        self.squares += float((one**2).sum())
        rows = one.reshape(-1, one.shape[-1]) if one.ndim > 1 else one.reshape(-1, 1)
        self.count += len(rows)
        found = rows.sum(axis=0)
        if self.total is None or self.total.shape == found.shape:
            self.total = found if self.total is None else self.total + found
        else:
            # entries of a last axis that varies in length have no mean of their own
            self.total = np.zeros(1)

    def share(self) -> float:
        if not np.isfinite(self.apart):
            return float("inf")
        means = 0.0 if self.total is None else float((self.total**2).sum()) / max(1, self.count)
        own = self.squares - means
        if own <= 1e-12 * self.squares:
            own = self.squares
        return self.apart / own if own > 0 else (float("inf") if self.apart else 0.0)


def _opened(model: onnx.ModelProto, path: Path) -> Model:
    onnx_io.save(model, path)
    return Model(path, _THREADS, what="The model")

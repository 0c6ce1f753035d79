"""Whether what was written answers as it was trained to: onnxruntime against the simulation, on rows that were not learned from.

Rules:
- all rows that were held out of training, at most 1,024 of them; rows that fill up a batch and padding do not count;
- answers are apart by at most one step, a step being the 255th part of the range of an output over these rows, as of the bytes
  that flow inside; more is refused (answers_differ), and no child is made;
- the figures stand in the report: rows, classes that are equal, and the largest difference in steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx

from compression_engine.canonical import JSON, decimal_text
from compression_engine.data import Array
from compression_engine.errors import EngineError
from compression_engine.formats import onnx_io
from compression_engine.limits import scratch
from compression_engine.methods.report import Report
from compression_engine.progress import Progress
from compression_engine.runtime import Batch, Model, batch_at
from compression_engine.steps.observing import real

if TYPE_CHECKING:
    from compression_engine.training.material import Parts
    from compression_engine.training.network import Network

APART_STEPS_MOST = 1.0
ROWS_MOST = 1024
_AT_ONCE = 16
_STEPS = 255
_THREADS = 1
_MATRIX = 2


@dataclass
class Apart:
    """How far the answers of one output are from those of the simulation."""

    least: float = np.inf
    most: float = -np.inf
    difference: float = 0.0
    rows: int = 0
    equal: int = 0
    """Rows whose largest entry, the class where there are classes, stands in the same place."""

    def add(self, simulated: Array, measured: Array) -> None:
        """Counts a batch; both [rows, ...]."""
        if not simulated.size:
            return
        self.least, self.most = min(self.least, float(simulated.min())), max(self.most, float(simulated.max()))
        difference = np.abs(simulated.astype(np.float64) - measured.astype(np.float64))
        self.difference = max(self.difference, float(difference.max()))
        self.rows += len(simulated)
        same = _largest(simulated) == _largest(measured)
        self.equal += int(same.reshape(len(same), -1).all(axis=1).sum())

    def document(self, name: str) -> dict[str, JSON]:
        """As RESULT.json holds it, for the output of this name."""
        return {
            "apart_steps": decimal_text(self.steps),
            "apart_steps_most": decimal_text(APART_STEPS_MOST),
            "equal_rows": self.equal,
            "output": name,
            "rows": self.rows,
        }

    @property
    def steps(self) -> float:
        """The largest difference, in 255th parts of the range."""
        if self.difference == 0:
            return 0.0
        span = self.most - self.least
        return self.difference / (span / _STEPS) if span > 0 else np.inf


def compare(model: onnx.ModelProto, network: Network, parts: Parts, progress: Progress) -> dict[str, Apart]:
    """Answers of a written model against those of the network that it was written from, by output."""
    import torch

    from compression_engine.training.device import settled

    rows = parts.validation[:ROWS_MOST]
    found: dict[str, Apart] = {}
    with scratch("pressmark-model-") as folder, settled(parts.training.device), torch.no_grad():
        onnx_io.save(model, folder / "model.onnx")
        opened = Model(folder / "model.onnx", _THREADS, what="What was trained")
        size = parts.encoder.fixed_rows or _AT_ONCE
        for start in range(0, len(rows), size):
            progress("check", start, len(rows), "what was written against what was trained")
            some = rows[start : start + size]
            batch = batch_at(parts.encoder, some.tolist())
            simulated = network(parts.batch(some, parts.training.device).feed)
            for name, measured in zip(opened.output_names, opened.run(batch.feed), strict=True):
                if name in simulated and measured.dtype.kind == "f":
                    ours = simulated[name].detach().float().cpu().numpy()
                    found.setdefault(name, Apart()).add(*_counting(ours, measured, batch))
    return found


def check_answers(model: onnx.ModelProto, network: Network, parts: Parts, report: Report, progress: Progress) -> None:
    """Notes the same in the report; EngineError (answers_differ) where an output is apart by more than APART_STEPS_MOST."""
    found = compare(model, network, parts, progress)
    for name, apart in found.items():
        if not apart.steps <= APART_STEPS_MOST:
            message = (
                f"What was written answers otherwise than it was trained to: {name!r} is apart by {apart.steps:.3g} steps of "
                f"the {_STEPS} that its range has, {APART_STEPS_MOST:g} is allowed."
            )
            hint = (
                "Processors without 8-bit dot products (AVX2 alone) saturate inside of products: train on one that has them, "
                "or use activation_bits 32."
            )
            raise EngineError("answers_differ", message, hint)
    report.more["simulated"] = [apart.document(name) for name, apart in found.items()]


def _largest(array: Array) -> Array:
    """Where the largest entry of the last axis that is longer than one stands: the class, where there are classes, also of
    [rows, classes, 1, 1]; of single numbers, their sign."""
    while array.ndim > _MATRIX and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim < _MATRIX or array.shape[-1] == 1:
        return np.asarray(array > 0)
    return np.asarray(array.argmax(axis=-1))


def _counting(simulated: Array, measured: Array, batch: Batch) -> tuple[Array, Array]:
    return real(simulated, batch), real(measured, batch)

"""How important each class is: a share of what its layers do, so that classes of one layer and of another can be compared.

- magnitude: of each weight that has the class, the share of the sum of squares; no rows are looked at;
- activation: for each product that reads the class, how much of the variation of its answers comes through it: variance of the
  input over calibration rows times the sum of squares of the weight's numbers there; means are no loss, since a bias can take them;
- taylor, answers: by gradients (`structured_pruning.gradients`).
Sources: Li et al., "Pruning Filters for Efficient ConvNets", 2017 (magnitude); An et al., "Fluctuation-based Adaptive Structured
Pruning", 2024 (variance times weight).
Shares are added up over weights or products: what many layers share counts in all of them, as it is saved in all of them.
A class that no reader shows is judged by magnitude, as a share too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from compression_engine.data import Array
from compression_engine.formats.onnx_graph import FLOATS
from compression_engine.methods.structured_pruning.axes import Classes, Trace
from compression_engine.methods.structured_pruning.choice import Scores
from compression_engine.methods.structured_pruning.readers import Reader
from compression_engine.progress import Progress
from compression_engine.steps.calibration import Calibration
from compression_engine.steps.observing import Watching

_LEAST_RANK = 2


def magnitude(model: onnx.ModelProto, found: Trace, classes: Classes) -> Scores:
    """[classes]; vectors (biases, scales) do not count."""
    sums, counts = np.zeros(classes.count), np.zeros(classes.count)
    for tensor in model.graph.initializer:
        if tensor.data_type not in FLOATS or len(tensor.dims) < _LEAST_RANK:
            continue
        squares: NDArray[np.float64] | None = None
        for axis, atoms in enumerate(found.of(tensor.name)):
            if not classes.number[atoms].any():
                continue
            if squares is None:
                squares = numpy_helper.to_array(tensor).astype(np.float64) ** 2
            along = squares.sum(axis=tuple(place for place in range(squares.ndim) if place != axis))
            _add_share(sums, counts, classes.number[atoms], along)
    return _known(sums, counts)


def activation(
    model: onnx.ModelProto,
    classes: Classes,
    readers: Sequence[Reader],
    calibration: Calibration,
    progress: Progress,
) -> Scores:
    """[classes]; NaN where no reader shows the class. Raises DataError (data_does_not_fit)."""
    axes = {reader.source: reader.axis() for reader in readers}
    moments: dict[str, list[NDArray[np.float64]]] = {}

    def see(name: str, array: Array) -> None:
        rows = np.moveaxis(array, axes[name], -1).reshape(-1, array.shape[axes[name]]).astype(np.float64)
        found = [np.full(1, float(len(rows))), rows.sum(axis=0), (rows**2).sum(axis=0)]
        before = moments.get(name)
        moments[name] = found if before is None else [old + new for old, new in zip(before, found, strict=True)]

    Watching.of(model, calibration, progress).look(sorted(axes), see, "activations")
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    sums, counts = np.zeros(classes.count), np.zeros(classes.count)
    for reader in readers:
        n, total, squares = moments[reader.source]
        variance = np.maximum(squares / n - (total / n) ** 2, 0)
        weight = reader.matrix(numpy_helper.to_array(constants[reader.weight]))
        by_input = (weight**2).sum(axis=1).reshape(len(variance), -1).sum(axis=1)
        _add_share(sums, counts, classes.number[reader.atoms], variance * by_input)
    return _known(sums, counts)


def completed(scores: Scores, others: Scores) -> Scores:
    """Scores with others in the place of those that are not known, each made a share of all that is known."""
    known = ~np.isnan(scores)
    here, there = np.nansum(scores), np.nansum(np.where(known, others, np.nan))
    scale = here / there if there > 0 and here > 0 else 1.0
    return np.where(known, scores, np.nan_to_num(others) * scale)


def _add_share(sums: Scores, counts: Scores, numbers: NDArray[np.int64], along: NDArray[np.float64]) -> None:
    total = along.sum()
    if total > 0:
        np.add.at(sums, numbers, along / total)
        counts[np.unique(numbers)] += 1


def _known(sums: Scores, counts: Scores) -> Scores:
    found: Scores = np.where(counts > 0, sums, np.nan)
    return found

"""Makes good what pruning took: products and convolutions that read fewer channels learn from calibration rows to answer as before.

How: layer by layer in the order of the graph, the pruned network's own inputs X of a layer and the original's answers Y are seen
over calibration rows; the layer gets the weights and bias of least squares |Y - X W - b|, drawn towards those that it has. So later
layers also make good what earlier ones got wrong. With `bias` only the mean of Y - X W goes into the bias.

Rules:
- sums alone are kept, so memory does not grow with rows; of many positions every n-th is looked at;
- a weight that something else reads too stays; a layer with too many inputs gets its bias alone;
- float64, one thread.
Source: He et al., "Channel Pruning for Accelerating Very Deep Neural Networks", 2017 (least squares over the channels that stay).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from threadpoolctl import threadpool_limits

from compression_engine.formats.onnx_graph import Edits, Names, uses
from compression_engine.limits import scratch
from compression_engine.methods.structured_pruning.cut import Cutting
from compression_engine.methods.structured_pruning.readers import Reader
from compression_engine.progress import Progress, silent
from compression_engine.steps.calibration import Calibration
from compression_engine.steps.observing import Watching, real, watched

BIAS, WEIGHTS = "bias", "weights"
_INPUTS_MOST = 4096
_ROWS_MOST = 40_000
_TOWARDS = 1e-3
"""How much the weights of before count, as a share of the mean square of the inputs."""
Matrix = NDArray[np.float64]


@dataclass
class _Sums:
    """What is kept of X (with a column of ones behind) and Y."""

    squares: Matrix
    mixed: Matrix
    rows: int = 0

    def add(self, x: Matrix, y: Matrix) -> None:
        x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
        self.squares += x.T @ x
        self.mixed += x.T @ y
        self.rows += len(x)


def make_good(
    model: onnx.ModelProto,
    child: onnx.ModelProto,
    readers: Sequence[Reader],
    cutting: Cutting,
    calibration: Calibration,
    how: str,
    progress: Progress,
) -> int:
    """Changes the child of a model in place; says how many layers learned. Raises DataError where rows do not fit."""
    used, done = uses(child.graph), 0
    learning = [reader for reader in readers if not cutting.mask(reader.atoms).all() and len(used[reader.weight]) == 1]
    for number, reader in enumerate(learning):
        progress("make good", number, len(learning), reader.weight)
        with threadpool_limits(limits=1, user_api="blas"):
            done += _learn(model, child, reader, cutting, calibration, how)
    return done


def _learn(
    model: onnx.ModelProto, child: onnx.ModelProto, reader: Reader, cutting: Cutting, calibration: Calibration, how: str,
) -> bool:  # fmt: skip
    tensors = {tensor.name: tensor for tensor in child.graph.initializer}
    stored = tensors[reader.weight]
    array = numpy_helper.to_array(stored)
    before = reader.matrix(array)
    channels = cutting.mask(reader.made)
    size = len(before) + 1
    if size > _INPUTS_MOST:
        return False
    sums = _Sums(np.zeros((size, size)), np.zeros((size, before.shape[1])))
    for x, y in _pairs(model, child, reader, calibration):
        sums.add(x, y[:, channels])
    if not sums.rows or not np.isfinite(sums.squares).all() or not np.isfinite(sums.mixed).all():
        return False
    bias = numpy_helper.to_array(tensors[reader.bias]).astype(np.float64) if reader.bias in tensors else 0.0
    start = np.concatenate([before, np.broadcast_to(bias, (1, before.shape[1]))])
    missing = sums.mixed - sums.squares @ start
    if how == WEIGHTS:
        drawn = _TOWARDS * sums.squares.trace() / size * np.eye(size)
        made = start + np.linalg.solve(sums.squares + drawn, missing)
        stored.CopyFrom(numpy_helper.from_array(reader.weight_of(made[:-1], array), reader.weight))
    else:
        made = start
        made[-1] += missing[-1] / sums.rows
    _set_bias(child, reader, made[-1], array.dtype)
    return True


def _pairs(
    model: onnx.ModelProto, child: onnx.ModelProto, reader: Reader, calibration: Calibration
) -> Iterator[tuple[Matrix, Matrix]]:
    """What the child gives to a layer, and what the original's layer answered, in pieces of rows."""
    ours, theirs = (Watching.of(one, calibration, silent) for one in (child, model))
    step, counted = 1, 0
    with scratch("pressmark-model-") as folder:
        source = watched(child, [reader.source], folder / "child.onnx")
        target = watched(model, [reader.output], folder / "model.onnx")
        for (batch, given), (_, wanted) in zip(ours.answers(source), theirs.answers(target), strict=True):
            x, y = real(given[reader.source], batch), real(wanted[reader.output], batch)
            if not counted:
                positions = sum(len(rows) for rows in reader.answers(y))
                step = max(1, positions * len(calibration.rows) // max(1, batch.count) // _ROWS_MOST)
            for rows, answers in zip(reader.rows(x), reader.answers(y), strict=True):
                offset = -counted % step
                counted += len(rows)
                yield rows[offset::step], answers[offset::step]


def _set_bias(child: onnx.ModelProto, reader: Reader, bias: Matrix, dtype: Any) -> None:
    """Into the bias that is there, or a new one: an input of Conv and Gemm, an Add behind a product."""
    used = uses(child.graph)
    tensors = {tensor.name: tensor for tensor in child.graph.initializer}
    stored = bias.astype(dtype)
    if (
        reader.bias is not None
        and reader.bias in tensors
        and len(used[reader.bias]) == 1
        and tuple(tensors[reader.bias].dims) == stored.shape
    ):
        tensors[reader.bias].CopyFrom(numpy_helper.from_array(stored, reader.bias))
        return
    node = next(node for node in child.graph.node if reader.output in node.output)
    names = Names(child)
    behind = [use.node for use in used.get(reader.output, [])]
    if reader.operator == "MatMul":
        add = behind[0] if len(behind) == 1 and behind[0].op_type == "Add" else None
        other = next((name for name in add.input if name in tensors), "") if add is not None else ""
        if other and len(used[other]) == 1 and tuple(tensors[other].dims) == stored.shape:
            moved = numpy_helper.to_array(tensors[other]) + stored
            tensors[other].CopyFrom(numpy_helper.from_array(moved.astype(dtype), other))
            return
        name, inside = names.new(reader.weight, "bias"), names.new(reader.output, "product")
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.output[0] = inside
        edits = Edits()
        edits.replace(node, [copy, helper.make_node("Add", [inside, name], [reader.output], name=name)])
        edits.make(child)
    else:
        name = names.new(reader.weight, "bias")
        del node.input[2:]
        node.input.append(name)
    child.graph.initializer.append(numpy_helper.from_array(stored, name))

"""What calibration rows say to a factorisation: the inputs of each layer, and a second fit on those that it really gets.

How the second fit works: layer by layer in the order of the graph, the factored network's own inputs Z of a layer and those of the
original X are seen together; the matrix M that brings Z M nearest to X W (least squares, drawn towards W) is found, and factors of
M that are nearest for Z. So later layers make good what earlier ones got wrong.

Rules:
- sums alone are kept, so memory does not grow with rows; layers that read the same tensor share them;
- of many positions every n-th is looked at for the second fit; a layer with too many inputs keeps its first one;
- float64, one thread; recurrent models keep their state from row to row where the rows say which follow each other.
Source: Zhang, Zou, He and Sun, "Accelerating Very Deep Convolutional Networks for Classification and Detection", 2015 (the
asymmetric fit).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import numpy_helper
from threadpoolctl import threadpool_limits

from compression_engine.limits import scratch
from compression_engine.methods.low_rank_factors import Matrix, Spectrum, by_inputs
from compression_engine.methods.low_rank_layers import Layer
from compression_engine.methods.low_rank_writing import Writer, in_type
from compression_engine.progress import Progress, silent
from compression_engine.steps.activations import Wanted, grams
from compression_engine.steps.calibration import Calibration
from compression_engine.steps.observing import Watching, real, watched

_INPUTS_MOST = 8192
_ROWS_MOST = 40_000
_TOWARDS = 1e-3
"""How much the matrix of before counts, as a share of the mean square of the inputs."""


def matrix_of(layer: Layer) -> Matrix:
    """The weight as [rows, columns]."""
    found: Matrix = numpy_helper.to_array(layer.tensor).astype(np.float64).reshape(layer.rows, layer.columns)
    return found


def spectra(
    model: onnx.ModelProto, layers: Sequence[Layer], calibration: Calibration, progress: Progress
) -> dict[str, Spectrum]:
    """By the weight's name, of those whose inputs can be looked at; DataError (data_does_not_fit) where they are no numbers."""
    found: dict[str, Spectrum] = {}
    together = by_source(layers)
    for one, gram in grams(model, calibration, list(together), progress):
        for layer in together[one]:
            progress("factor", len(found), len(layers), layer.name)
            found[layer.name] = by_inputs(matrix_of(layer), gram, axis_of(layer))
    return found


def by_source(layers: Sequence[Layer]) -> dict[Wanted, list[Layer]]:
    """Layers whose inputs can be looked at, by what these are, in the order of the layers."""
    found: dict[Wanted, list[Layer]] = defaultdict(list)
    for layer in layers:
        if layer.product is not None and layer.inner <= _INPUTS_MOST:
            found[Wanted(layer.product.sources, layer.inner)].append(layer)
    return found


def axis_of(layer: Layer) -> int:
    """Along which axis of its matrix a layer sums."""
    assert layer.product is not None  # others have no inputs to look at
    return layer.product.inner_axis


def fitted_again(
    model: onnx.ModelProto,
    child: onnx.ModelProto,
    layers: Sequence[Layer],
    writer: Writer,
    calibration: Calibration,
    progress: Progress,
) -> int:
    """Gives a child's factors other numbers, in place; says how many layers learned. `layers`: those of the model."""
    order = {name: place for place, node in enumerate(model.graph.node) for name in node.output}
    groups = sorted(by_source(layers).items(), key=lambda one: min(order[x.readings[0].node.output[0]] for x in one[1]))
    tensors = {tensor.name: tensor for tensor in child.graph.initializer}
    done = 0
    for wanted, some in groups:
        progress("make good", done, len(layers), some[0].name)
        with threadpool_limits(limits=1, user_api="blas"):
            ours, mixed = _sums(model, child, wanted, calibration)
            if not np.isfinite(ours).all() or not np.isfinite(mixed).all():
                continue
            for layer in some:
                stored = [tensors[name] for name in writer.factors[layer.name]]
                rank = int(stored[0].dims[1])
                made = _fit(layer, ours, mixed).pair(rank)
                for tensor, array in zip(stored, made, strict=True):
                    shape, name = tuple(tensor.dims), tensor.name
                    tensor.CopyFrom(numpy_helper.from_array(in_type(array, tensor).reshape(shape), name))
                done += 1
    return done


def _fit(layer: Layer, ours: Matrix, mixed: Matrix) -> Spectrum:
    """From Z'Z and Z'X."""
    whole, axis = matrix_of(layer), axis_of(layer)
    weight = whole if axis == 0 else whole.T
    drawn = _TOWARDS * ours.trace() / len(ours) * np.eye(len(ours))
    made = weight + np.linalg.solve(ours + drawn, (mixed - ours) @ weight)
    return by_inputs(made if axis == 0 else made.T, ours, axis)


def _sums(
    model: onnx.ModelProto, child: onnx.ModelProto, wanted: Wanted, calibration: Calibration
) -> tuple[Matrix, Matrix]:
    ours, mixed = np.zeros((wanted.size, wanted.size)), np.zeros((wanted.size, wanted.size))
    for z, x in _pairs(model, child, wanted, calibration):
        ours += z.T @ z
        mixed += z.T @ x
    return ours, mixed


def _pairs(
    model: onnx.ModelProto, child: onnx.ModelProto, wanted: Wanted, calibration: Calibration
) -> Iterator[tuple[Matrix, Matrix]]:
    """What the child and the original give to layers, in pieces of rows."""
    names = sorted({source.name for source in wanted.sources})
    one, other = (Watching.of(which, calibration, silent) for which in (child, model))
    with scratch("pressmark-model-") as folder:
        opened = [
            watched(which, names, folder / name) for which, name in ((child, "child.onnx"), (model, "model.onnx"))
        ]
        counted, step = 0, 0
        for (batch, given), (_, before) in zip(one.answers(opened[0]), other.answers(opened[1]), strict=True):
            ours, theirs = batch.feed | given, batch.feed | before
            for source in wanted.sources:
                arrays = [real(which[source.name], batch) for which in (ours, theirs)]
                if source.window is None:
                    pieces = [tuple(array.reshape(-1, array.shape[-1]).astype(np.float64) for array in arrays)]
                else:
                    pieces = list(zip(*(source.window.rows(array) for array in arrays), strict=True))
                if not step:
                    here = sum(len(z) for z, _ in pieces) * len(wanted.sources)
                    step = max(1, here * len(calibration.rows) // max(1, batch.count) // _ROWS_MOST)
                for z, x in pieces:
                    offset = -counted % step
                    counted += len(z)
                    yield z[offset::step], x[offset::step]

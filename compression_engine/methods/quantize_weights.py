"""Stores weights as integers of 8 or 4 bits, for the same speed and nearly the same answers at a quarter or a sixth of the size.

How: a weight becomes integers and scales (see `rounding`); the graph expands it under the weight's old name (see `storing`).
The runtime does so once, when it loads the model, because all inputs of these nodes are constant; so the latency is the
parent's. (DequantizeLinear would be computed again at every call.) Embeddings keep their integers while running: rows are
looked up as integers and only these are expanded.

Limits: saves storage and transfer, not the memory of the expanded weights; at most 4 times smaller with 8 bits, 8 with 4.
"""

from __future__ import annotations

import math
from collections import defaultdict

import onnx

from compression_engine.errors import DataError, RecipeError
from compression_engine.formats.onnx_graph import Edits, Names, lift_constants
from compression_engine.methods.gptq import Inputs, round_rows
from compression_engine.methods.leaving_out import left_out
from compression_engine.methods.report import Report
from compression_engine.methods.rounding import Grid, Rounded, assembled, finite, scale_type, view_of
from compression_engine.methods.rounding_by_blocks import round_anywhere
from compression_engine.methods.storing import FOLDED, ROWS, store_folded, store_rows
from compression_engine.methods.weights import Weight, bytes_of, find_weights, product_of
from compression_engine.progress import ByBytes, Progress
from compression_engine.recipe import Value, integer_of
from compression_engine.steps.activations import Wanted, grams
from compression_engine.steps.calibration import Calibration

BY_BLOCKS = True
"""Works where numbers lie in a file (`formats.parked`), and is given them there."""


def apply(
    model: onnx.ModelProto,
    parameters: dict[str, Value],
    report: Report,
    progress: Progress,
    calibration: Calibration | None = None,
) -> None:
    """Changes a model in place; `calibration` is needed for the rounding gptq. Afterwards `report` names every large weight.

    Raises FileRefused (weights_not_finite), RecipeError (recipe_does_not_fit: nothing to look at for gptq), DataError
    (data_missing, data_does_not_fit).
    """
    min_elements, grid = integer_of(parameters["min_elements"]), grid_of(parameters)
    if parameters["rounding"] == "gptq" and calibration is None:
        raise DataError(
            "data_missing", "The rounding gptq needs calibration rows, there are none.", "Give some, or use mse."
        )
    lift_constants(model.graph, min_elements)
    names, edits = Names(model), Edits()
    weights = find_weights(model, min_elements, report, left_out(model, parameters["exclude"], report))
    looked_at = {} if calibration is None else _by_inputs(model, weights, grid, calibration, progress)
    counted = ByBytes(progress, "compress", bytes_of(weights))
    for weight in weights:
        counted.begin(weight.tensor.name)
        rounded = looked_at.get(id(weight))
        told = _told(grid, by_inputs=rounded is not None)
        _store(weight, rounded or round_anywhere(weight, grid, counted.told), told, names, edits, report)
    edits.make(model)
    counted.end("all weights rounded")


def _by_inputs(
    model: onnx.ModelProto, weights: list[Weight], grid: Grid, calibration: Calibration, progress: Progress
) -> dict[int, Rounded]:
    """The weights of products and convolutions, by their identity, rounded for the inputs that calibration rows give these."""
    wanted: dict[Wanted, list[tuple[Weight, int]]] = defaultdict(list)
    for weight in weights:
        product = product_of(weight, model.graph)
        if product is not None:
            finite(weight)
            dims = weight.tensor.dims
            inner = dims[0] if product.inner_axis == 0 else math.prod(dims[1:])
            wanted[Wanted(product.sources, inner)].append((weight, product.inner_axis))
    if weights and not wanted:
        hint = "Use the rounding mse, which needs no inputs."
        message = (
            "No weight is read by MatMul or Gemm alone, with an input that can be looked at: gptq has nothing to do."
        )
        raise RecipeError("recipe_does_not_fit", message, hint)
    rounded: dict[int, Rounded] = {}
    for one, gram in grams(model, calibration, list(wanted), progress):
        inputs = Inputs.of(gram)
        for weight, inner_axis in wanted[one]:
            progress("compress", len(rounded), len(weights), weight.tensor.name)
            rounded[id(weight)] = _for_inputs(weight, inner_axis, inputs, grid)
    return rounded


def _for_inputs(weight: Weight, inner_axis: int, inputs: Inputs, grid: Grid) -> Rounded:
    """Rounds one weight; its channels are the axis that is not summed over, whoever else reads it."""
    array = finite(weight)
    # of a convolution's kernels all axes but the first are summed over
    view = view_of(array.shape, frozenset({1 - inner_axis}), grid.block_size)
    kind = scale_type(array, view, grid)
    values, scale, zero = round_rows(array.reshape(len(array), -1) if inner_axis else array.T, inputs, grid, kind)
    size = values.shape[2]
    if inner_axis == 0 and view.run is not None:
        # groups follow each other as the weight lies in memory: here all channels of a block, then the next block
        values, scale, zero = values.swapaxes(0, 1), scale.T, zero.T
    groups = scale.astype(kind).reshape(-1, 1), zero.reshape(-1, 1)
    return assembled(values.reshape(-1, size), *groups, view, grid, "gptq")


def grid_of(parameters: dict[str, Value]) -> Grid:
    """What the parameters say of integers and scales."""
    return Grid(
        bits=integer_of(parameters["bits"]),
        block_size=integer_of(parameters["block_size"]) if parameters["granularity"] == "block" else None,
        symmetric=bool(parameters["symmetric"]),
        clipped=parameters["rounding"] != "nearest",
    )


def _store(weight: Weight, rounded: Rounded, more: str, names: Names, edits: Edits, report: Report) -> None:
    kept = weight.is_embedding
    how = (ROWS if kept else FOLDED).replace("int8", f"int{rounded.bits}", 1) + more
    (store_rows if kept else store_folded)(weight, rounded, names, edits, report, how)


def _told(grid: Grid, *, by_inputs: bool) -> str:
    """What is not as it was before there was a choice."""
    said = []
    if grid.block_size is not None:
        said.append(f"blocks of {grid.block_size}")
    if not grid.symmetric:
        said.append("with zero points")
    if by_inputs:
        said.append("rounded for its inputs")
    elif grid.clipped:
        said.append("ranges of least squared error")
    return f" ({', '.join(said)})" if said else ""

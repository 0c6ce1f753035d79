"""Sets the smallest numbers of weights to zero, at once or in rounds with training between them.

Which numbers: see `unstructured_pruning.masks`; rounds: see `unstructured_pruning.rounds`.

Rules:
- a weight is pruned once, whoever reads it (products, convolutions, embeddings, recurrent cells); weights in Constant nodes are
  lifted first; biases and weights of one dimension stay, and so do those inside the graphs of If, Loop and Scan;
- first and last layers stay where they hold at most a twentieth of all numbers (`spare_ends`);
- the zeros are real ones in the file, and later steps keep them (`zeros`);
- NaN or infinity in a weight is refused.
Limits: zeros alone make neither the file smaller nor the runtime faster; a packed file is smaller (`pack`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper

from compression_engine.canonical import JSON
from compression_engine.errors import DataError
from compression_engine.formats.onnx_graph import PLAIN_FLOATS, elements, graphs_of, lift_constants
from compression_engine.formats.parked import is_parked
from compression_engine.methods.leaving_out import left_out
from compression_engine.methods.report import Report
from compression_engine.methods.rounding import finite
from compression_engine.methods.unstructured_pruning.ends import ends
from compression_engine.methods.unstructured_pruning.masks import (
    TWO_OF_FOUR_PER_MILLE,
    Floats,
    masks,
    two_of_four,
)
from compression_engine.methods.weights import Weight, find_weights
from compression_engine.methods.zeros import Mask, kept_zeros, zeros_in
from compression_engine.progress import Progress
from compression_engine.recipe import Value, integer_of

if TYPE_CHECKING:
    from compression_engine.training.material import Training

_SPARED_PART = 20
_FOUR = 4
_MATRIX = 2


@dataclass(frozen=True)
class Choice:
    """How numbers are chosen among weights; `axes` says along which axis of each its inputs run, `tables` which are embeddings."""

    scope: str
    pattern: str
    per_mille: int
    axes: Mapping[str, int]
    tables: frozenset[str] = frozenset()

    @classmethod
    def of(cls, parameters: Mapping[str, Value], weights: Sequence[Weight]) -> Choice:
        """From the parameters of a step."""
        pattern = str(parameters["pattern"])
        per_mille = integer_of(parameters["sparsity_per_mille"]) if pattern != "2:4" else TWO_OF_FOUR_PER_MILLE
        axes = {weight.tensor.name: input_axis(weight) for weight in weights}
        tables = frozenset(
            weight.tensor.name for weight in weights if weight.channel_axes == {0} and _is_looked_up(weight)
        )
        return cls(str(parameters["scope"]), pattern, per_mille, axes, tables)

    def masks(self, arrays: Mapping[str, Floats], per_mille: int) -> dict[str, Mask]:
        """True where a number of these weights becomes zero, so that so many of a thousand do.

        An embedding loses the share that is asked for, compared with nothing else: it is so much larger than layers, and its
        numbers so unlike theirs, that either would go first. Its rows count as if all were equally long, since frequent
        words have short ones.
        """
        tables = {name: _rows_alike(array) for name, array in arrays.items() if name in self.tables}
        layers = {name: array for name, array in arrays.items() if name not in tables}
        found = self._chosen(layers, per_mille) if layers else {}
        for name, array in tables.items():
            found |= self._chosen({name: array}, per_mille)
        return found

    def _chosen(self, arrays: Mapping[str, Floats], per_mille: int) -> dict[str, Mask]:
        if self.pattern == "2:4":
            return two_of_four(arrays, self.axes, per_mille)
        return masks(arrays, self.scope, per_mille)


def apply(
    model: onnx.ModelProto,
    parameters: dict[str, Value],
    report: Report,
    progress: Progress,
    training: Training | None = None,
) -> None:
    """Changes a model in place; `training` is needed where epochs_per_round is above 0. `report` names every large weight.

    Raises FileRefused (weights_not_finite), EngineError (cannot_be_trained, budget_broken), DataError (data_missing, label_missing
    and what else `Training.parts` does).
    """
    weights = prunable(model, parameters, report)
    choice = Choice.of(parameters, weights)
    if not weights:
        return
    if integer_of(parameters["epochs_per_round"]):
        if training is None:
            hint = "Give rows, in a shell with --training FILE, or set epochs_per_round to 0."
            raise DataError("data_missing", "prune_unstructured trains after each round, and there are no rows.", hint)
        from compression_engine.methods.unstructured_pruning.rounds import prune_in_rounds

        trained = prune_in_rounds(model, weights, choice, parameters, training, report, progress)
        report.more["rounds"] = trained.rounds
        for curve in trained.curves:
            report.train(curve)
        _tell(model, weights, trained.changed, report)
    else:
        _prune_at_once(weights, choice, report, progress)
    report.more["sparsity"] = sparsity(model)


def prunable(model: onnx.ModelProto, parameters: Mapping[str, Value], report: Report) -> list[Weight]:
    """The weights that may lose numbers, in the order of the file; the report says why the other large ones stay."""
    min_elements = integer_of(parameters["min_elements"])
    lift_constants(model.graph, min_elements)
    found = find_weights(model, min_elements, report, left_out(model, parameters["exclude"], report))
    at_ends = ends(model.graph, found) if parameters["spare_ends"] else frozenset()
    total = sum(elements(weight.tensor) for weight in found)
    kept: list[Weight] = []
    for weight in found:
        name, count = weight.tensor.name, elements(weight.tensor)
        if weight.graph is not model.graph:
            report.leave(name, "it stands in a graph inside a node (If, Loop or Scan)")
        elif name in at_ends and count * _SPARED_PART <= total:
            report.leave(name, "it belongs to a first or last layer and holds at most a twentieth of all numbers")
        elif parameters["pattern"] == "2:4" and weight.tensor.dims[input_axis(weight)] % _FOUR:
            size = weight.tensor.dims[input_axis(weight)]
            report.leave(name, f"its {size} inputs are no multiple of four")
        else:
            kept.append(weight)
    return kept


def input_axis(weight: Weight) -> int:
    """The axis of a weight along which its inputs run: the first that is no output channel."""
    return next(axis for axis in range(len(weight.tensor.dims)) if axis not in weight.channel_axes)


def _is_looked_up(weight: Weight) -> bool:
    """Whether rows of a weight are looked up, whatever else reads it."""
    return any(use.node.op_type == "Gather" and use.index == 0 for use in weight.uses)


def _rows_alike(array: Floats) -> Floats:
    """Rows with the same length, the mean of all; rows of zeros stay."""
    lengths = np.linalg.norm(array.astype(np.float64).reshape(len(array), -1), axis=1)
    factors = np.divide(lengths.mean(), lengths, out=np.zeros_like(lengths), where=lengths > 0)
    scaled: Floats = (array * factors.reshape(-1, *[1] * (array.ndim - 1))).astype(np.float32)
    return scaled


def write_zeros(weight: Weight, mask: Mask) -> int:
    """Sets numbers of a weight to zero in the model; returns how many were none before."""
    array = np.array(numpy_helper.to_array(weight.tensor))
    before = zeros_in(array)
    array[mask] = 0
    weight.tensor.CopyFrom(numpy_helper.from_array(array, weight.tensor.name))
    return zeros_in(array) - before


def told_sparsity(tensor: onnx.TensorProto) -> str:
    """How many numbers of a tensor are zero, in words."""
    zeros, count = zeros_in(numpy_helper.to_array(tensor)), elements(tensor)
    return f"{zeros:,} of {count:,} numbers are zero ({100 * zeros / count:.1f} %)"


def sparsity(model: onnx.ModelProto) -> dict[str, JSON]:
    """How many numbers of float weights of two or more axes are zero: of all together, and of each that was pruned."""
    tensors: list[JSON] = []
    numbers = zeros = 0
    for graph in graphs_of(model.graph):
        for tensor in graph.initializer:
            if tensor.data_type not in PLAIN_FLOATS or len(tensor.dims) < _MATRIX or is_parked(tensor):
                continue
            array = numpy_helper.to_array(tensor)
            found = zeros_in(array)
            numbers, zeros = numbers + array.size, zeros + found
            if kept_zeros(array) is not None:
                tensors.append({"name": tensor.name, "numbers": array.size, "zeros": found})
    return {"numbers": numbers, "tensors": tensors, "zeros": zeros}


def _tell(model: onnx.ModelProto, weights: Sequence[Weight], changed: frozenset[str], report: Report) -> None:
    """What became of each weight in rounds: pruned and trained, or only trained."""
    names = {weight.tensor.name for weight in weights}
    for tensor in (tensor for graph in graphs_of(model.graph) for tensor in graph.initializer):
        if tensor.name in changed:
            report.change(tensor.name, f"{told_sparsity(tensor)}, trained" if tensor.name in names else "trained")


def _prune_at_once(weights: Sequence[Weight], choice: Choice, report: Report, progress: Progress) -> None:
    arrays = {weight.tensor.name: finite(weight).astype(np.float32, copy=False) for weight in weights}
    progress("compress", 0, len(weights), "choosing numbers")
    chosen = choice.masks(arrays, choice.per_mille)
    del arrays
    for place, weight in enumerate(weights):
        name = weight.tensor.name
        if write_zeros(weight, chosen.pop(name)):
            report.change(name, told_sparsity(weight.tensor))
        else:
            report.leave(name, f"nothing more of it is chosen: {told_sparsity(weight.tensor)}")
        progress("compress", place + 1, len(weights), name)

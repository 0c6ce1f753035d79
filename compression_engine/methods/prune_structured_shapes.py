"""What sizes the tensors of a graph have, and the values of its lists of integers: seen by running it on generated inputs.

Rules:
- nothing is optimised away, so that every tensor of the main graph is seen;
- the inputs are those of `generated_inputs`: the first that the model takes, and one of other free sizes, which tells what varies;
- of tensors of numbers only sizes are kept; a tensor that is none (a sequence, a map) has none.
Running sees what inference of shapes cannot: sizes that a graph computes for itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from compression_engine.checking.generated_inputs import Inputs, Proposal, proposals
from compression_engine.data import Feed
from compression_engine.errors import EngineError, RecipeError
from compression_engine.formats import onnx_io
from compression_engine.formats.onnx_graph import Names
from compression_engine.formats.onnx_inputs import bounds
from compression_engine.limits import scratch
from compression_engine.runtime import Model

_THREADS = 1
_VALUES_MOST = 2**16
_TRIED_AFTER = 24
Values = NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Seen:
    """Sizes and integer values by tensor, and what differs where the inputs' free sizes do."""

    shapes: dict[str, Shape]
    values: dict[str, Values]
    varying: dict[str, Shape]
    """Sizes under the other inputs; where the model has no free sizes, the same ones."""
    varying_values: dict[str, Values]
    feeds: tuple[Feed, ...]

    def is_fixed(self, name: str, axis: int) -> bool:
        """Whether an axis has the same size whatever the inputs' free sizes are."""
        return self.shapes[name][axis] == self.varying.get(name, self.shapes[name])[axis]

    def is_fixed_value(self, name: str, place: int) -> bool:
        """Whether a number in a list of integers is known, and the same whatever the inputs' free sizes are."""
        if name not in self.values:
            return False
        here, there = self.values[name].reshape(-1), self.varying_values.get(name, self.values[name]).reshape(-1)
        return bool(len(here) == len(there) and here[place] == there[place])


def look(model: onnx.ModelProto) -> Seen:
    """Runs a model whose constants are initializers; RecipeError (recipe_does_not_fit) where it takes no generated inputs."""
    probe, shape_names, value_names = _probe(model)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    with scratch("pressmark-model-") as folder:
        path = folder / "model.onnx"
        onnx_io.save(probe, path)
        opened = Model(path, _THREADS, optimisation="none")
        runs = _runs(opened, model)
    if not runs:
        message = (
            "prune_structured runs the model to see its sizes; it takes none of the inputs that were generated for it."
        )
        raise RecipeError("recipe_does_not_fit", message, "Export it with fixed sizes, or with plain inputs.")
    found = [_sorted_out(answers, shape_names, value_names, feed, constants) for feed, answers in runs]
    (shapes, values), (others, other_values) = found[0], found[-1]
    return Seen(shapes, values, others, other_values, tuple(feed for feed, _ in runs))


def _runs(opened: Model, model: onnx.ModelProto) -> list[tuple[Feed, dict[str, Values]]]:
    """The first inputs that the model takes, then those of other free sizes: of both, where it takes them, else of one."""
    inputs, tried = Inputs(opened.declared(), bounds(model)), 0
    found: list[tuple[Proposal, tuple[Feed, dict[str, Values]]]] = []
    for proposal in proposals() if inputs.missing() is None else ():
        first = found[0][0] if found else None
        if first is not None:
            tried += 1
            if not inputs.has_free_sizes() or tried > _TRIED_AFTER:
                break
            differs = (proposal.size != first.size) + (proposal.batch != first.batch)
            if differs < (2 if len(found) > 1 else 1) or proposal.integers != first.integers:
                continue
        ran = _run(opened, inputs.feed(proposal, 0))
        if ran is not None:
            found.append((proposal, ran))
            if first is not None and differs == 2:
                break
    return [found[0][1], found[-1][1]] if found else []


def _run(opened: Model, feed: Feed | None) -> tuple[Feed, dict[str, Values]] | None:
    try:
        return None if feed is None else (feed, dict(zip(opened.output_names, opened.run(feed), strict=True)))
    except EngineError as error:
        if error.code != "output_does_not_run":
            raise
        return None


def _probe(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, str], list[str]]:
    """The model with the shape of every tensor as an output, and integers themselves."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    types = _types(model)
    names, shapes, values = Names(probe), {}, []
    del probe.graph.output[:]
    for name in dict.fromkeys(name for node in model.graph.node for name in node.output if name):
        kind = types.get(name)
        if kind is None:
            continue
        if kind in (TensorProto.INT64, TensorProto.INT32):
            values.append(name)
            probe.graph.output.append(onnx.ValueInfoProto(name=name))
            continue
        shapes[name] = names.new(name, "shape")
        probe.graph.node.append(helper.make_node("Shape", [name], [shapes[name]]))
        probe.graph.output.append(helper.make_tensor_value_info(shapes[name], TensorProto.INT64, None))
    return probe, shapes, values


def _types(model: onnx.ModelProto) -> dict[str, int]:
    """The type of numbers of each tensor that inference knows."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    return {
        value.name: value.type.tensor_type.elem_type
        for value in (*graph.value_info, *graph.output)
        if value.type.HasField("tensor_type") and value.type.tensor_type.elem_type
    }


def _sorted_out(
    answers: dict[str, Values],
    shape_names: dict[str, str],
    value_names: list[str],
    feed: Feed,
    constants: dict[str, onnx.TensorProto],
) -> tuple[dict[str, Shape], dict[str, Values]]:
    shapes: dict[str, Shape] = {name: tuple(tensor.dims) for name, tensor in constants.items()}
    shapes |= {name: tuple(array.shape) for name, array in feed.items()}
    shapes |= {name: tuple(int(size) for size in answers[shape]) for name, shape in shape_names.items()}
    shapes |= {name: tuple(answers[name].shape) for name in value_names}
    values = {name: answers[name] for name in value_names if answers[name].size <= _VALUES_MOST}
    for name, tensor in constants.items():
        if tensor.data_type in (TensorProto.INT64, TensorProto.INT32) and np.prod(tensor.dims) <= _VALUES_MOST:
            values[name] = numpy_helper.to_array(tensor)
    return shapes, values

"""What sizes the tensors of a graph have, and the values of its lists of integers: seen by running it.

Rules:
- nothing is optimised away, so that every tensor of the main graph is seen;
- sizes are those of real rows where there are some (`typical_feeds`), else of the first inputs of `generated_inputs` that the model
  takes; what differs with other rows or with generated inputs of other free sizes is what varies;
- of tensors of numbers only sizes are kept; a tensor that is none (a sequence, a map) has none.
Running sees what inference of shapes cannot: sizes that a graph computes for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from compression_engine.checking.generated_inputs import Inputs, Proposal, proposals
from compression_engine.data import Encoder, Feed
from compression_engine.errors import EngineError, RecipeError
from compression_engine.formats import onnx_io
from compression_engine.formats.onnx_graph import Names
from compression_engine.formats.onnx_inputs import bounds
from compression_engine.limits import scratch
from compression_engine.measure.feeds import typical_batch
from compression_engine.runtime import Model, batch_at

_THREADS = 1
_VALUES_MOST = 2**16
_TRIED_AFTER = 24
_ROWS_LOOKED_AT = 256
Values = NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Seen:
    """Sizes and integer values by tensor, and what differs where the inputs' free sizes do."""

    shapes: dict[str, Shape]
    values: dict[str, Values]
    others: tuple[tuple[dict[str, Shape], dict[str, Values]], ...]
    """Sizes and values under other inputs; none where the model has no free sizes."""
    feeds: tuple[Feed, ...]

    def is_fixed(self, name: str, axis: int) -> bool:
        """Whether an axis has the same size whatever the inputs' free sizes are."""
        here = self.shapes[name]
        return all(shapes.get(name, here)[axis] == here[axis] for shapes, _ in self.others)

    def is_fixed_value(self, name: str, place: int) -> bool:
        """Whether a number in a list of integers is known, and the same whatever the inputs' free sizes are."""
        if name not in self.values:
            return False
        here = self.values[name].reshape(-1)
        theirs = [values.get(name, here).reshape(-1) for _, values in self.others]
        return all(len(there) == len(here) and there[place] == here[place] for there in theirs)


def typical_feeds(encoder: Encoder) -> list[Feed]:
    """Two typical rows together, and the longest of some: inputs whose sizes are those of real rows."""
    some = encoder.only(np.arange(min(len(encoder.rows), _ROWS_LOOKED_AT)))
    counts = some.token_counts() if len(some.rows.texts) else None
    longest = 0 if counts is None else int(np.argmax(counts))
    return [typical_batch(encoder, 2).feed, batch_at(some, [longest]).feed]


def look(model: onnx.ModelProto, feeds: Sequence[Feed] = ()) -> Seen:
    """Runs a model whose constants are initializers, with these inputs first.

    RecipeError (recipe_does_not_fit) where it takes neither them nor generated ones.
    """
    probe, shape_names, value_names = _probe(model)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    with scratch("pressmark-model-") as folder:
        path = folder / "model.onnx"
        onnx_io.save(probe, path)
        opened = Model(path, _THREADS, optimisation="none")
        runs = [ran for ran in (_run(opened, feed) for feed in feeds) if ran is not None] + _runs(opened, model)
    if not runs:
        message = (
            "prune_structured runs the model to see its sizes; it takes none of the inputs that were generated for it."
        )
        raise RecipeError("recipe_does_not_fit", message, "Export it with fixed sizes, or with plain inputs.")
    found = [_sorted_out(answers, shape_names, value_names, feed, constants) for feed, answers in runs]
    (shapes, values), *others = found
    return Seen(shapes, values, tuple(others), tuple(feed for feed, _ in runs))


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
    return [found[0][1], found[-1][1]] if len(found) > 1 else [ran for _, ran in found]


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

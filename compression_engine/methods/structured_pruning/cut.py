"""Takes classes out of a graph: weights lose their parts, and numbers that say sizes become those that are left.

Rules:
- a number in a graph is replaced for the node that reads it alone, whoever else reads the same;
- of a shape that the graph computes, only the entries of axes that lost parts are replaced (Where), or multiplied with the share
  that is left where they depend on the rows too;
- weights keep their names and types; inputs and outputs of the model keep their sizes;
- what came out has the sizes that were foretold for every tensor, or it is refused (`check`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from compression_engine.errors import EngineError, OutputRefused
from compression_engine.formats.onnx_graph import Edits, Names, attribute, integer
from compression_engine.methods.structured_pruning.axes import Atoms, Classes, Trace
from compression_engine.methods.structured_pruning.moving import sliced_axes
from compression_engine.methods.structured_pruning.rules import group_of
from compression_engine.methods.structured_pruning.shapes import Seen, Shape, Values, look

Mask = NDArray[np.bool_]
_SHAPED = {"Reshape": 1, "Expand": 1, "ConstantOfShape": 0, "Resize": 3}
"""Which input of an operator says the sizes of what comes out."""


@dataclass(frozen=True)
class Cutting:
    """A traced graph, and which of its classes are kept: [classes]."""

    found: Trace
    classes: Classes
    kept: Mask

    def mask(self, atoms: Atoms) -> Mask:
        """Which indices of an axis are kept."""
        result: Mask = self.kept[self.classes.number[atoms]]
        return result

    def left(self, atoms: Atoms) -> int:
        """How many indices of an axis are kept."""
        return int(np.count_nonzero(self.mask(atoms)))

    def shape(self, name: str) -> Shape:
        """The sizes that a tensor will have."""
        return tuple(self.left(atoms) for atoms in self.found.of(name))

    def loses(self, name: str) -> bool:
        """Whether a tensor loses anything."""
        return name in self.found.seen.shapes and self.shape(name) != self.found.seen.shapes[name]


def cut(model: onnx.ModelProto, cutting: Cutting) -> None:
    """Changes a model whose constants are initializers in place."""
    writer = _Writer(model, cutting)
    for tensor in model.graph.initializer:
        if cutting.loses(tensor.name):
            array = numpy_helper.to_array(tensor)
            for axis, atoms in enumerate(cutting.found.of(tensor.name)):
                array = np.compress(cutting.mask(atoms), array, axis=axis)
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))
    for node in model.graph.node:
        writer.write(node)
    writer.edits.make(model)
    del model.graph.value_info[:]


def check(model: onnx.ModelProto, before: Seen, cutting: Cutting) -> None:
    """Runs what came out and holds every size against what was foretold; raises OutputRefused (output_does_not_run)."""
    hint = "This is a fault of prune_structured: report it, and leave the weights around this node out (exclude)."
    try:
        onnx.checker.check_model(model, full_check=False)
        after = look(model, before.feeds)
    except onnx.checker.ValidationError as error:
        first = str(error).strip().splitlines()[0]
        raise OutputRefused("output_does_not_run", f"The pruned graph is not valid: {first}.", hint) from error
    except EngineError as error:
        raise OutputRefused("output_does_not_run", f"The pruned graph does not run: {error.message}", hint) from error
    for name in before.shapes:
        if name in after.shapes and name in cutting.found.axes and after.shapes[name] != cutting.shape(name):
            message = f"The pruned graph gives {name!r} the sizes {after.shapes[name]} where {cutting.shape(name)} were foretold."
            raise OutputRefused("output_does_not_run", message, hint)


class _Writer:
    """Rewrites the numbers in nodes that say sizes."""

    def __init__(self, model: onnx.ModelProto, cutting: Cutting) -> None:
        self.graph, self.cutting, self.found = model.graph, cutting, cutting.found
        self.names, self.edits = Names(model), Edits()
        self.constants = {tensor.name for tensor in model.graph.initializer}

    def write(self, node: onnx.NodeProto) -> None:
        """What one node needs."""
        if node.op_type in _SHAPED:
            self._shaped(node, _SHAPED[node.op_type])
        elif node.op_type in ("Conv", "ConvTranspose"):
            self._groups(node)
        elif node.op_type == "GroupNormalization":
            self._scaled(node, "num_groups", node.input[0], 1)
        elif node.op_type in ("LSTM", "GRU", "RNN"):
            self._scaled(node, "hidden_size", node.input[2], 2)
        elif node.op_type == "Split":
            self._split(node)
        elif node.op_type == "Slice":
            self._slice(node)
        elif node.op_type == "Gather":
            self._gather(node)

    def _shaped(self, node: onnx.NodeProto, index: int) -> None:
        out = node.output[0]
        if len(node.input) <= index or not node.input[index] or not self.cutting.loses(out):
            return
        name, now = node.input[index], self.cutting.shape(out)
        values = self.found.seen.values[name].reshape(-1)
        changed = np.array([size != before for size, before in zip(now, self.found.shape(out), strict=True)])
        # Expand broadcasts: its shape may be shorter, and say 1 where the input has the size
        changed, sizes = changed[len(now) - len(values) :], np.array(now)[len(now) - len(values) :]
        changed &= values != -1
        if node.op_type == "Expand":
            changed &= values != 1
        if not changed.any():
            return
        places = np.arange(len(values))
        fixed = np.array([self.found.seen.is_fixed_value(name, int(place)) for place in places])
        made = np.where(changed & fixed, sizes, values).astype(values.dtype)
        if name in self.constants:
            node.input[index] = self._constant(made, name)
            return
        added = [self._where(name, changed & fixed, made)] if (changed & fixed).any() else []
        if (changed & ~fixed).any():
            before = np.array(self.found.shape(out))[len(now) - len(values) :]
            added += self._multiplied(added[-1].output[0] if added else name, changed & ~fixed, sizes, before)
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[index] = added[-1].output[0]
        self.edits.replace(node, [*added, copy])

    def _where(self, name: str, places: Mask, values: Values) -> onnx.NodeProto:
        """A list of integers with others in some places."""
        made = self.names.new(name, "kept")
        inputs = [self._constant(places, name), self._constant(values, name), name]
        return helper.make_node("Where", inputs, [made], name=made)

    def _multiplied(self, name: str, places: Mask, now: Values, before: Values) -> list[onnx.NodeProto]:
        """A list of integers with the share that is left in some places."""
        dtype = self.found.seen.values[name].dtype if name in self.found.seen.values else np.dtype(np.int64)
        times, by = (np.where(places, sizes, 1).astype(dtype) for sizes in (now, before))
        product, made = self.names.new(name, "times"), self.names.new(name, "share")
        return [
            helper.make_node("Mul", [name, self._constant(times, name)], [product], name=product),
            helper.make_node("Div", [product, self._constant(by, name)], [made], name=made),
        ]

    def _groups(self, node: onnx.NodeProto) -> None:
        groups = integer(node, "group", 1)
        given, weight = (self.found.shape(name) for name in node.input[:2])
        whole = node.op_type == "ConvTranspose" or group_of(node, given[1], weight[0]) == "groups"
        if groups > 1 and whole:
            self._scaled(node, "group", node.input[0], 1)

    def _scaled(self, node: onnx.NodeProto, name: str, tensor: str, axis: int) -> None:
        """An attribute that counts something along an axis of a tensor."""
        atoms, said = self.found.of(tensor)[axis], attribute(node, name)
        if said is not None:
            said.i = said.i * self.cutting.left(atoms) // len(atoms)

    def _split(self, node: onnx.NodeProto) -> None:
        axis = integer(node, "axis", 0)
        if not any(self.cutting.loses(name) for name in node.output):
            return
        sizes = np.array([self.cutting.shape(name)[axis] for name in node.output], dtype=np.int64)
        for entry in [entry for entry in node.attribute if entry.name == "num_outputs"]:
            node.attribute.remove(entry)
        del node.input[1:]
        node.input.append(self._constant(sizes, node.output[0]))

    def _slice(self, node: onnx.NodeProto) -> None:
        if not self.cutting.loses(node.input[0]):
            return
        bounds = [self.found.seen.values[name].reshape(-1).copy() for name in node.input[1:3]]
        changed = np.zeros(len(bounds[0]), dtype=bool)
        given = self.found.of(node.input[0])
        for place, (axis, start, end, _) in enumerate(sliced_axes(node, self.found)):
            mask = self.cutting.mask(given[axis])
            if not mask.all():
                bounds[0][place], bounds[1][place] = mask[:start].sum(), mask[:end].sum()
                changed[place] = True
        if not changed.any():
            return
        added = []
        for index, values in enumerate(bounds, start=1):
            name = node.input[index]
            if name in self.constants:
                node.input[index] = self._constant(values, name)
            else:
                added.append(self._where(name, changed, values))
                node.input[index] = added[-1].output[0]
        if added:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            self.edits.replace(node, [*added, copy])

    def _gather(self, node: onnx.NodeProto) -> None:
        given = self.found.of(node.input[0])
        axis = integer(node, "axis", 0) % len(given)
        mask = self.cutting.mask(given[axis])
        if mask.all() or not self.found.is_fixed(node.input[1]):
            return
        indices = self.found.seen.values[node.input[1]]
        picked = indices.astype(np.int64) % len(mask)
        behind = np.cumsum(mask) - 1
        node.input[1] = self._constant(behind[picked[mask[picked]]].astype(indices.dtype), node.input[1])

    def _constant(self, values: Values, base: str) -> str:
        name = self.names.new(base, "sizes")
        self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

"""Turns an ONNX graph into a program: places for tensors, operations for nodes, what is fixed calculated once.

Rules:
- only what the kept outputs need is compiled; an output that is no tensor of numbers (texts, sequences, maps) is left out;
- an operator that is not in the table refuses the model by a typed error that names it (cannot_be_trained);
- what depends on no input and no weight is calculated here, unless it grows: shapes of constants, axes, tables of places;
- integers that hold weights of a quantised model refuse it: its parent is what can be trained.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import onnx
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor

from compression_engine.errors import EngineError
from compression_engine.facts import PREFIX
from compression_engine.formats.onnx_graph import FLOATS, STANDARD, graphs_of, read_in, uses
from compression_engine.formats.onnx_opset import default_opset
from compression_engine.training.choosing_weights import Chooser
from compression_engine.training.operators.node import Node, Types, attributes_of
from compression_engine.training.operators.table import BRANCHING, QUANTIZED, builder_of
from compression_engine.training.program import ABSENT, FIRST_FREE, UNWANTED, Block, Step
from compression_engine.training.stored_weights import Stored, read, stored_in

_FOLDED_MOST = 65_536
_STORED_INTEGERS_FROM = 17
_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
_SHORT = frozenset({TensorProto.INT8, TensorProto.UINT8})
_QUANTIZED_HINT = (
    "A quantised model is not trained: train the model that it was made from, and quantise afterwards; "
    "quantize_aware_training does both."
)


@dataclass
class Compiled:
    """A program and what its places hold. `main` has the places of the main graph's tensors by their names."""

    block: Block
    places: int
    inputs: dict[str, int]
    outputs: dict[str, int]
    main: dict[str, int]
    weights: dict[str, tuple[int, Stored]]
    fixed: dict[int, Tensor]
    held: dict[str, str]
    left_out: tuple[str, ...]
    input_types: dict[str, torch.dtype]


@dataclass
class _State:
    """What grows while graphs are walked."""

    types: Types
    opset: int
    next_place: int = FIRST_FREE
    fixed: dict[int, Tensor] = field(default_factory=dict)
    weights: dict[str, tuple[int, Stored]] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)

    def place(self) -> int:
        self.next_place += 1
        return self.next_place - 1


def compile_model(model: onnx.ModelProto, types: Types, *, statistics: bool) -> Compiled:
    """Compiles the main graph. Raises EngineError (cannot_be_trained)."""
    return _Compiler(model, types, statistics=statistics).compiled()


class _Compiler:
    def __init__(self, model: onnx.ModelProto, types: Types, *, statistics: bool) -> None:
        self.model, self.state = model, _State(types, default_opset(model))
        self.readers = uses(model.graph)
        makers = {name: node for graph in graphs_of(model.graph) for node in graph.node for name in node.output}
        makers = {name: node for name, node in makers.items() if node.op_type != "Constant"}
        initial = {tensor.name for tensor in model.graph.initializer}
        ports = [value.name for value in model.graph.input if value.name not in initial]
        self.chooser = Chooser(self.readers, makers, ports, statistics=statistics)
        self.stored: dict[int, list[Stored]] = {}
        for one in stored_in(model):
            self.stored.setdefault(id(one.graph), []).append(one)

    def compiled(self) -> Compiled:
        graph, state = self.model.graph, self.state
        scope: ChainMap[str, int] = ChainMap()
        initial = {tensor.name for tensor in graph.initializer}
        ports = [value for value in graph.input if value.name not in initial]
        for value in ports:
            scope[value.name] = state.place()
        kept, left = _kept_outputs(graph)
        needed = _needed(graph, kept)
        self._put_tensors(graph, scope, needed)
        block = self._block(graph, scope, needed, kept)
        missing = [name for name in kept if name not in scope]
        if missing:
            raise EngineError(
                "cannot_be_trained", f"No node makes the output {missing[0]!r}.", "Check the model with `inspect`."
            )
        read = block.reads()
        inputs, input_types = {}, {}
        for value in ports:
            kind = state.types.of(value.type.tensor_type.elem_type)
            if kind is None and scope[value.name] in read:
                raise EngineError(
                    "cannot_be_trained",
                    f"The model cannot be trained: its input {value.name!r} holds no numbers.",
                    "Export the model without what turns texts into numbers.",
                )
            if kind is not None:
                inputs[value.name], input_types[value.name] = scope[value.name], kind
        block.outputs = tuple(scope[name] for name in kept)
        return Compiled(
            block, state.next_place, inputs, {name: scope[name] for name in kept}, dict(scope), state.weights,
            state.fixed, state.held, tuple(left), input_types,
        )  # fmt: skip

    def _put_tensors(self, graph: onnx.GraphProto, scope: ChainMap[str, int], needed: Collection[str]) -> None:
        """Gives places to the tensors of a graph that are read: weights, and those that stay as they are."""
        state = self.state
        for one in self.stored.get(id(graph), []):
            reading = read_in(self.readers, graph, one.plain)
            if one.plain not in needed:
                continue
            place = scope[one.plain] = state.place()
            reason = self.chooser.why_fixed(one, reading)
            if reason is None:
                state.weights[one.name] = (place, one)
                continue
            value = self._fixed(one, reading)
            if value is not None:
                state.fixed[place] = value
            if one.data_type in FLOATS and len(one.shape) > 0:
                state.held[one.name] = reason
        for sparse in graph.sparse_initializer:
            if sparse.values.name in needed:
                place = scope[sparse.values.name] = state.place()
                state.fixed[place] = self._sparse(sparse)
                state.held[sparse.values.name] = "it is stored as a sparse tensor"

    def _fixed(self, one: Stored, reading: Any) -> Tensor | None:
        kind = self.state.types.of(one.data_type)
        if kind is None:
            return None  # texts and the like; whoever calculates with them is refused by its own rule
        if one.data_type in _SHORT and _count(one) >= _STORED_INTEGERS_FROM:
            node = reading[0].node if reading else None
            if node is not None and node.op_type in ("Cast", "Gather"):
                raise self._quantised(f"the weight {one.name!r} is stored as integers")
        return torch.from_numpy(read(one)).to(kind)

    def _sparse(self, sparse: onnx.SparseTensorProto) -> Tensor:
        import numpy as np

        values, places = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
        dense = np.zeros(tuple(sparse.dims), dtype=values.dtype)
        if places.ndim == 1:
            dense.reshape(-1)[places] = values
        else:
            dense[tuple(places.T)] = values
        kind = self.state.types.of(sparse.values.data_type)
        return torch.from_numpy(dense).to(kind)

    def _quantised(self, what: str) -> EngineError:
        parent = next((one.value for one in self.model.metadata_props if one.key == f"{PREFIX}parent_digest"), None)
        hint = _QUANTIZED_HINT if parent is None else f"{_QUANTIZED_HINT} The parent that its file names is {parent}."
        return EngineError("cannot_be_trained", f"The model cannot be trained: {what}.", hint)

    def _block(
        self, graph: onnx.GraphProto, scope: ChainMap[str, int], needed: Collection[str], kept: Collection[str]
    ) -> Block:
        """The steps of a graph, those left out that are fixed."""
        block = Block()
        held = {one.plain for one in self.stored.get(id(graph), [])}
        for node in graph.node:
            if not any(name in needed for name in node.output if name):
                continue
            if node.op_type == "Constant" and node.domain in STANDARD:
                if node.output[0] not in held:
                    self._put_constant(node, scope)
                continue
            step = self._step(node, scope)
            if not self._folded(step):
                block.steps.append(step)
        return block

    def _put_constant(self, node: onnx.NodeProto, scope: ChainMap[str, int]) -> None:
        """Numbers and lists of integers in a Constant; texts get a place that stays empty."""
        attributes = attributes_of(node)
        place = scope[node.output[0]] = self.state.place()
        if "value_int" in attributes or "value_ints" in attributes:
            found = attributes.get("value_int", attributes.get("value_ints"))
            self.state.fixed[place] = torch.tensor(found, dtype=torch.int64)
        elif "value_float" in attributes:
            self.state.fixed[place] = torch.tensor(attributes["value_float"], dtype=self.state.types.working)

    def _step(self, node: onnx.NodeProto, scope: ChainMap[str, int]) -> Step:
        inputs = tuple(ABSENT if not name else self._place_of(node, name, scope) for name in node.input)
        told = Node(
            node.op_type, node.domain, node.name or next(iter(node.output), ""), attributes_of(node), self._opset(node),
            tuple(self.state.fixed.get(place) for place in inputs), tuple(place != ABSENT for place in inputs),
            len(node.output), self.state.types,
        )  # fmt: skip
        if node.op_type in QUANTIZED:
            raise self._quantised(f"{node.op_type} (node {told.name!r}) belongs to a quantised model")
        if node.domain in STANDARD and node.op_type in BRANCHING:
            return self._branching(node, told, inputs, scope)
        builder = builder_of(node.domain, node.op_type)
        if builder is None:
            raise told.refused("is not among the operators that training calculates with")
        operation = builder(told)
        return Step(told, operation, inputs, self._outputs(node, scope))

    def _outputs(self, node: onnx.NodeProto, scope: ChainMap[str, int]) -> tuple[int, ...]:
        places = []
        for name in node.output:
            if name:
                scope[name] = self.state.place()
            places.append(scope[name] if name else UNWANTED)
        return tuple(places)

    def _branching(self, node: onnx.NodeProto, told: Node, inputs: tuple[int, ...], scope: ChainMap[str, int]) -> Step:
        blocks = {}
        for name, inner in told.attributes.items():
            if isinstance(inner, onnx.GraphProto):
                blocks[name] = self._inner(inner, scope)
        outputs = self._outputs(node, scope)
        operation = BRANCHING[node.op_type](told, inputs, outputs, blocks)
        return Step(told, operation, inputs, outputs, tuple(blocks.values()))

    def _inner(self, graph: onnx.GraphProto, outer: ChainMap[str, int]) -> Block:
        scope = outer.new_child()
        inputs = []
        for value in graph.input:
            scope[value.name] = self.state.place()
            inputs.append(scope[value.name])
        kept = [value.name for value in graph.output]
        needed = _needed(graph, kept)
        self._put_tensors(graph, scope, needed)
        block = self._block(graph, scope, needed, kept)
        block.inputs, block.outputs = tuple(inputs), tuple(scope[name] for name in kept)
        return block

    def _place_of(self, node: onnx.NodeProto, name: str, scope: ChainMap[str, int]) -> int:
        found = scope.get(name)
        if found is None:
            message = f"The model cannot be trained: {node.op_type} reads {name!r}, which nothing makes."
            raise EngineError("cannot_be_trained", message, "Check the model with `inspect`.")
        return found

    def _opset(self, node: onnx.NodeProto) -> int:
        if node.domain in STANDARD:
            return self.state.opset
        return next((entry.version for entry in self.model.opset_import if entry.domain == node.domain), 1)

    def _folded(self, step: Step) -> bool:
        """Calculates a step whose inputs are all fixed, where what it makes stays small; whether it did."""
        fixed = self.state.fixed
        if step.blocks or step.node.operator in _RANDOM:
            return False
        if not all(place == ABSENT or place in fixed for place in step.inputs):
            return False
        given = [fixed.get(place) for place in step.inputs]
        try:
            with torch.no_grad():
                made = step.operation(*given)
        except EngineError:
            raise
        except Exception:  # a node that fails fails in the pass, where its error is told
            return False
        results = made if isinstance(made, tuple) else (made,)
        most = max([_FOLDED_MOST, *(one.numel() for one in given if one is not None)])
        if any(not isinstance(one, Tensor) or one.numel() > most for one in results):
            return False
        fixed.update({place: one for place, one in zip(step.outputs, results, strict=True) if place != UNWANTED})
        return True


def _count(one: Stored) -> int:
    count = 1
    for size in one.shape:
        count *= size
    return count


def _kept_outputs(graph: onnx.GraphProto) -> tuple[list[str], list[str]]:
    """The outputs that are tensors of numbers, and the names of the others."""
    kept: list[str] = []
    left: list[str] = []
    for value in graph.output:
        numbers = value.type.HasField("tensor_type") and value.type.tensor_type.elem_type != TensorProto.STRING
        (kept if numbers or not value.type.WhichOneof("value") else left).append(value.name)
    if not kept:
        raise EngineError(
            "cannot_be_trained",
            "The model cannot be trained: none of its outputs is a tensor of numbers.",
            "Export the model with its scores as an output.",
        )
    return kept, left


def _needed(graph: onnx.GraphProto, kept: Collection[str]) -> set[str]:
    """The names of this graph's tensors that its kept outputs depend on, and those that graphs inside of it read."""
    needed = set(kept)
    for node in reversed(graph.node):
        if any(name in needed for name in node.output if name):
            needed.update(_read_by(node))
    return needed


def _read_by(node: onnx.NodeProto) -> Iterator[str]:
    yield from (name for name in node.input if name)
    for entry in node.attribute:
        inner = [entry.g] if entry.type == onnx.AttributeProto.GRAPH else list(entry.graphs)
        for graph in inner:
            yield from (value.name for value in graph.output)
            for other in graph.node:
                yield from _read_by(other)

"""What a graph says about the values of its inputs: below which number the integers of an input must stay to be rows of a table.

How: an input is followed through operators that hand its numbers on, also into the graphs of If, Loop and Scan, up to those that
look something up by it. Where several tables are read, the smallest counts.
"""

from __future__ import annotations

from collections import defaultdict

import onnx

from compression_engine.formats.onnx_graph import attribute, graphs_of, integer

_HANDING_ON = frozenset(
    {"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Slice", "Flatten", "Transpose", "Expand", "Concat", "Split"}
    | {"Pad", "Tile", "Gather", "Clip", "Dropout", "Relu", "Abs", "SequenceAt"}
)  # fmt: skip
_LIKE_THE_FIRST = frozenset({"Cast", "Identity", "DequantizeLinear", "Mul", "Dropout"})
_LOOKING_UP = frozenset({"Gather", "GatherElements", "GatherND"})
_PASSED_MOST = 12
_EMBED_LAYER = {0: 2, 1: 4}
"""com.microsoft EmbedLayerNormalization: which input is the table that ids and segments are looked up in."""


def bounds(model: onnx.ModelProto) -> dict[str, int]:
    """For each input that is used to look something up: how many entries the smallest table has. Others are not in it."""
    tables = _Tables(model)
    found: dict[str, int] = {}
    for value in model.graph.input:
        sizes = tables.read_by(value.name, 0)
        if sizes:
            found[value.name] = min(sizes)
    return found


class _Tables:
    """Who reads what, and how large tensors are along an axis."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._readers: dict[str, list[tuple[onnx.NodeProto, int]]] = defaultdict(list)
        self._makers: dict[str, onnx.NodeProto] = {}
        self._shapes: dict[str, list[int]] = {}
        for graph in graphs_of(model.graph):
            for tensor in graph.initializer:
                self._shapes[tensor.name] = list(tensor.dims)
            for node in graph.node:
                for index, name in enumerate(node.input):
                    self._readers[name].append((node, index))
                for name in node.output:
                    self._makers[name] = node
                value = attribute(node, "value") if node.op_type == "Constant" else None
                if value is not None:
                    self._shapes[node.output[0]] = list(value.t.dims)

    def read_by(self, name: str, depth: int) -> list[int]:
        """The sizes of the tables that a tensor's numbers are looked up in."""
        if depth > _PASSED_MOST:
            return []
        found: list[int] = []
        for node, index in self._readers.get(name, []):
            size = self._looked_up(node, index)
            if size is not None:
                found.append(size)
            elif node.op_type in _HANDING_ON and (index == 0 or node.op_type == "Concat"):
                for output in node.output:
                    found += self.read_by(output, depth + 1)
        return found

    def _looked_up(self, node: onnx.NodeProto, index: int) -> int | None:
        if node.op_type in _LOOKING_UP and index == 1:
            return self._size(node.input[0], integer(node, "axis", 0), 0)
        if node.op_type == "EmbedLayerNormalization" and index in _EMBED_LAYER:
            table = _EMBED_LAYER[index]
            return self._size(node.input[table], 0, 0) if len(node.input) > table else None
        return None

    def _size(self, name: str, axis: int, depth: int) -> int | None:
        shape = self._shapes.get(name)
        if shape:
            size = shape[axis] if -len(shape) <= axis < len(shape) else 0
            return size if size > 0 else None
        maker = self._makers.get(name)
        if maker is None or depth > _PASSED_MOST or maker.op_type not in _LIKE_THE_FIRST or not maker.input:
            return None
        return self._size(maker.input[0], axis, depth + 1)

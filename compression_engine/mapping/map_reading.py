"""Reads the quantisation map of a file and holds it against what the file really holds; without a map, reads what the graph says.

Rules:
- nothing that a file says is believed: every digest is computed again from the tensors that the map names, and type, zero points,
  number of scales, and names must fit; the first tensor that does not is named in the error (map_differs);
- an activation counts as rounded only where the graph rounds it;
- tensors that hold integers or short floats and that the map leaves out are told beside it, and compared in a diff;
- a file of another program has no map: what operators of quantisation read as constants is told as far as it is there, with the
  names of that file; `rounding` is then unknown. Where there is neither, that is an error (map_missing).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import onnx
from onnx import TensorProto

from compression_engine import facts
from compression_engine.canonical import shown
from compression_engine.errors import EngineError
from compression_engine.formats import onnx_io
from compression_engine.formats.onnx_graph import Use, base_of, elements, graphs_of, uses
from compression_engine.formats.safetensors_model import safetensors_path
from compression_engine.mapping.map_from_graph import is_constant, marks_of
from compression_engine.mapping.map_of_safetensors import map_of_tensors
from compression_engine.mapping.quantization_map import (
    QuantizationMap,
    from_entries,
    from_file,
    in_order,
    untrue,
    wrong_count,
    wrong_digest,
    wrong_scheme,
)
from compression_engine.methods.report import Stored, digest_of_tensors
from compression_engine.result import read_result

_TYPES = {
    "int8": {TensorProto.INT8},
    "uint8": {TensorProto.UINT8},
    "int4": {TensorProto.INT4, TensorProto.UINT8},  # two to a byte, or in a type of their own
    "uint4": {TensorProto.UINT4, TensorProto.UINT8},
    "float16": {TensorProto.FLOAT16},
    "bfloat16": {TensorProto.BFLOAT16},
}
_SHORT = {number for numbers in _TYPES.values() for number in numbers}
_SMALL = 16
_STEPS_TO_ROUNDING = 10


def read_map(path: Path) -> QuantizationMap:
    """The map of a model file (or an index of safetensors), its folder, or a RESULT.json.

    Raises EngineError: map_missing, map_invalid, map_differs (names the tensor), and what reading a model or a result raises.
    """
    tensors = safetensors_path(path)
    if tensors is not None:
        return map_of_tensors(tensors)
    if path.suffix == ".json":
        return _of_result(path)
    return map_of_model(onnx_io.load(onnx_io.weights_file(path)).model, path.name)


def map_of_model(model: onnx.ModelProto, name: str) -> QuantizationMap:
    """The same for a model in memory, `name` being that of its file."""
    text = facts.map_text({one.key: one.value for one in model.metadata_props})
    held = _Held(model)
    marks, source = (marks_of(model), "graph") if text is None else (from_file(text), "map")
    for mark in marks:
        if source == "map" and (why := held.wrong(mark)) is not None:
            raise untrue(name, mark, why)
    unmapped = held.unmapped(marks)
    if not marks and not unmapped:
        hint = "Nothing to compare: quantise it first, or ask for a file that is."
        raise EngineError("map_missing", f"{name} has no quantisation map, and nothing in it is quantised.", hint)
    return QuantizationMap(in_order(marks), source, unmapped)


def still_true(model: onnx.ModelProto, marks: Iterable[Stored]) -> list[Stored]:
    """Those of the marks that hold of a model: what a parent's map says and its child still has."""
    held = _Held(model)
    return [mark for mark in marks if held.wrong(mark) is None]


def _of_result(path: Path) -> QuantizationMap:
    document = read_result(path)
    entries = document.get("quantization_map")
    if not entries:
        hint = "Results of engines before 0.4.0, and of recipes that quantise nothing, have none; give the model file."
        raise EngineError("map_missing", f"{path.name} holds no quantisation map.", hint)
    return QuantizationMap(in_order(from_entries(entries)), "result")


class _Held:
    """What a model really holds: its tensors by name, also in graphs inside, and who reads what."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._tensors: dict[str, list[TensorProto]] = defaultdict(list)
        for graph in graphs_of(model.graph):
            for tensor in graph.initializer:
                self._tensors[tensor.name].append(tensor)
        self._uses = uses(model.graph)
        self._makers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for graph in graphs_of(model.graph):
            for node in graph.node:
                for output in node.output:
                    self._makers[output].append(node)

    def wrong(self, mark: Stored) -> str | None:
        """What about a mark is not so; None where all of it is."""
        if mark.parts.values is None:
            return self._wrong_activation(mark)
        named = [name for name in (mark.parts.values, mark.parts.scale, mark.parts.zero) if name is not None]
        for name in named:
            if len(self._tensors.get(name, ())) != 1:
                return f"there is no tensor {shown(name)}"
            if not name.startswith(f"{base_of(mark.tensor)}_"):
                return f"{shown(name)} is none of its tensors"
        tensors = [self._tensors[name][0] for name in named]
        scales = tensors[1:]
        if tensors[0].data_type not in _TYPES[mark.dtype]:
            return f"it is {TensorProto.DataType.Name(tensors[0].data_type).lower()}, not {mark.dtype}"
        if (why := wrong_scheme(mark)) is not None:
            return why
        if (
            scales
            and (why := wrong_count(mark, _numbers(mark, tensors[0]), tensors[0].dims, scales[0].dims)) is not None
        ):
            return why
        return wrong_digest(mark, digest_of_tensors(tensors[:1]), digest_of_tensors(scales) if scales else None)

    def _wrong_activation(self, mark: Stored) -> str | None:
        named = [name for name in (mark.parts.scale, mark.parts.zero) if name is not None]
        if any(len(self._tensors.get(name, ())) != 1 for name in named):
            return f"there is no tensor {shown(named[0])}"
        scales = [self._tensors[name][0] for name in named]
        if (digest_of_tensors(scales) if scales else None) != mark.scale_digest or mark.values_digest is not None:
            return "the scales have another digest"
        if not self._is_rounded(mark.tensor, named):
            return "the graph does not round it so"
        return None

    def _is_rounded(self, name: str, scales: Sequence[str]) -> bool:
        """Whether a value goes into QuantizeLinear with these scales, or comes out of the pair that it makes with DequantizeLinear.

        Where scales are found while running: whether it goes through arithmetic into bytes.
        """
        if scales and any(_reads(node, "DequantizeLinear", scales) for node in self._makers.get(name, ())):
            return True
        seen, reached = {name}, [name]
        for _ in range(_STEPS_TO_ROUNDING):
            read = [use for value in reached for use in self._uses.get(value, ())]
            if any(_rounds(use, scales) for use in read):
                return True
            reached = [output for use in read for output in use.node.output if output not in seen]
            seen.update(reached)
        return False

    def unmapped(self, marks: Sequence[Stored]) -> list[tuple[str, str, str]]:
        """Tensors of integers or short floats that no mark names; small ones and those of one number alone say nothing."""
        named = {name for mark in marks for name in (mark.parts.values, mark.parts.scale, mark.parts.zero)}
        found = []
        for name in sorted(set(self._tensors) - named):
            for tensor in self._tensors[name]:
                if tensor.data_type in _SHORT and elements(tensor) >= _SMALL and not is_constant(tensor):
                    kind = TensorProto.DataType.Name(tensor.data_type).lower()
                    found.append((name, kind, digest_of_tensors([tensor])))
        return found


def _numbers(mark: Stored, values: onnx.TensorProto) -> int:
    """How many numbers a tensor holds: two a byte where four bits are packed into a type of eight."""
    packed = mark.dtype in ("int4", "uint4") and values.data_type == TensorProto.UINT8
    return elements(values) * (2 if packed else 1)


def _rounds(use: Use, scales: Sequence[str]) -> bool:
    node = use.node
    if scales:
        return _reads(node, "QuantizeLinear", scales)
    to = next((one.i for one in node.attribute if one.name == "to"), None)
    return node.op_type == "DynamicQuantizeLinear" or (
        node.op_type == "Cast" and to in (TensorProto.UINT8, TensorProto.INT8)
    )


def _reads(node: onnx.NodeProto, operator: str, scales: Sequence[str]) -> bool:
    return node.op_type == operator and list(node.input[1 : 1 + len(scales)]) == list(scales)

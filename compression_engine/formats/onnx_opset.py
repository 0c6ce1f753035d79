"""Brings a model to the oldest operator set that the methods write, so that it answers as before.

Rules:
- what the converter of the standard's package changes wrongly is put right, or refused by the node: Upsample and Resize before
  set 11 take coordinates from the corner, and the converter forgets it; Hardmax before 13 runs over all axes from its own on;
- what the converter drops is put back (functions, annotations); declared inputs and outputs stay as they were declared, and the
  shapes that the converter inferred do not stay;
- what cannot be converted is refused with what to do (opset_not_convertible). All is compared later by running.
Source: the changelogs of Resize, Upsample and Hardmax in the ONNX standard; convert_version of the package onnx.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx
from onnx import helper, numpy_helper

from compression_engine.errors import FileRefused
from compression_engine.formats.onnx_external import without_parked
from compression_engine.formats.onnx_graph import STANDARD, attribute, graphs_of, integer

OLDEST_OPSET = 13
_RESIZE_BY_PIXELS_SINCE, _HARDMAX_BY_AXIS_SINCE = 11, 13


def default_opset(model: onnx.ModelProto) -> int:
    """The version of the standard operator set that a model imports."""
    return max((entry.version for entry in model.opset_import if entry.domain in STANDARD), default=0)


def modernise(model: onnx.ModelProto) -> None:
    """Converts a model with an older operator set than `OLDEST_OPSET` in place. Raises FileRefused (opset_not_convertible)."""
    opset = default_opset(model)
    if opset >= OLDEST_OPSET:
        return
    _refuse_what_would_change(model, opset)
    try:
        converted = onnx.version_converter.convert_version(model, OLDEST_OPSET)
        if opset < _RESIZE_BY_PIXELS_SINCE:
            _resize_as_before(model, converted)
        _put_back_parts(model, converted)
        _check(converted)
    except Exception as error:  # what native code raises is of many kinds
        raise _refused(opset, f"cannot be converted: {_first_line(error)}") from error
    _put_back_ports(model, converted)
    model.CopyFrom(converted)


def _check(model: onnx.ModelProto) -> None:
    """The package's own check; it wants a shape for every port, which the standard does not."""
    for value in (*model.graph.input, *model.graph.output):
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.shape.SetInParent()
    onnx.checker.check_model(without_parked(model))


def _refuse_what_would_change(model: onnx.ModelProto, opset: int) -> None:
    for graph in graphs_of(model.graph):
        if graph.sparse_initializer:
            name = graph.sparse_initializer[0].values.name
            raise _refused(opset, f"the sparse tensor {name!r} cannot be taken over")
    for node in _nodes(model):
        if node.op_type == "Hardmax" and opset < _HARDMAX_BY_AXIS_SINCE and integer(node, "axis", 1) != -1:
            raise _refused(opset, f"{_named(node)} runs over several axes, which newer sets have not")


def _put_back_parts(model: onnx.ModelProto, converted: onnx.ModelProto) -> None:
    """What the converter drops or adds although the operator set has nothing to do with it."""
    if not converted.functions:
        converted.functions.extend(model.functions)
    if not converted.graph.quantization_annotation:
        converted.graph.quantization_annotation.extend(model.graph.quantization_annotation)
    del converted.graph.value_info[:]
    converted.graph.value_info.extend(model.graph.value_info)


def _put_back_ports(model: onnx.ModelProto, converted: onnx.ModelProto) -> None:
    """Inputs and outputs as they were declared."""
    for now, before in ((converted.graph.input, model.graph.input), (converted.graph.output, model.graph.output)):
        declared = {value.name: value for value in before}
        for value in now:
            if value.name in declared:
                value.CopyFrom(declared[value.name])


def _resize_as_before(model: onnx.ModelProto, converted: onnx.ModelProto) -> None:
    """Coordinates from the corner; the nearest as before: below where something grows, above where it shrinks."""
    before = {node.output[0]: node for node in _nodes(model) if node.op_type in ("Upsample", "Resize")}
    constants = _constants(model)
    for node in _nodes(converted):
        if node.op_type != "Resize" or node.output[0] not in before:
            continue
        old, wanted = before[node.output[0]], {"coordinate_transformation_mode": "asymmetric"}
        mode = attribute(old, "mode")
        if mode is None or mode.s == b"nearest":
            wanted["nearest_mode"] = "floor" if old.op_type == "Upsample" else _nearest_of_resize(old, constants)
        for name, value in wanted.items():
            node.attribute.append(helper.make_attribute(name, value))


def _nearest_of_resize(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> str:
    tensor = constants.get(node.input[1])
    scales = [] if tensor is None else [float(scale) for scale in numpy_helper.to_array(tensor).reshape(-1)]
    if scales and min(scales) >= 1:
        return "floor"
    if scales and max(scales) <= 1:
        return "ceil"
    raise ValueError(f"{_named(node)} takes the nearest number in a way that newer sets have not")


def _constants(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    found = {tensor.name: tensor for graph in graphs_of(model.graph) for tensor in graph.initializer}
    for node in _nodes(model):
        value = attribute(node, "value") if node.op_type == "Constant" else None
        if value is not None:
            found[node.output[0]] = value.t
    return found


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    for graph in graphs_of(model.graph):
        yield from graph.node


def _named(node: onnx.NodeProto) -> str:
    return f"the node {node.name or node.output[0]!r} ({node.op_type})"


def _refused(opset: int, why: str) -> FileRefused:
    hint = f"Export the model again with operator set {OLDEST_OPSET} or newer."
    return FileRefused("opset_not_convertible", f"The model uses operator set {opset} and {why}.", hint)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__

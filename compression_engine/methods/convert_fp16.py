"""Stores float32 weights as 16-bit floats, for half the size and practically the same answers; inputs and outputs stay float32.

How: a weight becomes a 16-bit tensor, and a Cast expands it under its old name when the model is loaded; all arithmetic stays
float32, so the latency is the parent's and no value overflows while running. Embeddings stay 16 bits at run time: rows are
looked up, and only these are expanded.

Rules:
- float16 has 11 significant bits up to 65,504; a weight that holds a larger number is left alone, by name;
- bfloat16 has 8 significant bits and the range of float32; both round to the nearest, ties to even;
- NaN or infinity in a weight is refused; weights of other types are left alone.
Limits: saves storage and transfer, not the memory of the expanded weights; exactly half of what it stores.
Source of the formats: IEEE 754-2019 (binary16); Kalamkar et al., "A study of BFLOAT16 for deep learning training", 2019.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import TensorProto, helper

from compression_engine.formats.numbers import InFile, Target, block_numbers, boxes, opened
from compression_engine.formats.onnx_graph import FLOATS, Edits, Names, graphs_of, lift_constants, read_in, uses
from compression_engine.formats.parked import numbers_of, tensor_of
from compression_engine.formats.short_floats import HALF_MOST, bfloat16_bits
from compression_engine.methods.leaving_out import left_out
from compression_engine.methods.report import Report, Stored
from compression_engine.methods.rounding import not_finite
from compression_engine.methods.weights import Weight, bytes_of
from compression_engine.progress import ByBytes, Progress, Told
from compression_engine.recipe import Value, integer_of

BY_BLOCKS = True
"""Works where numbers lie in a file (`formats.parked`), and is given them there."""


def apply(model: onnx.ModelProto, parameters: dict[str, Value], report: Report, progress: Progress) -> None:
    """Changes a model in place. Raises FileRefused (weights_not_finite). Afterwards `report` names every large weight."""
    min_elements, kind = integer_of(parameters["min_elements"]), str(parameters["storage"])
    lift_constants(model.graph, min_elements)
    names, edits = Names(model), Edits()
    spared = left_out(model, parameters["exclude"], report)
    weights = [weight for weight in _large(model, min_elements) if weight.tensor.name not in spared]
    replaceable = {value.name for graph in graphs_of(model.graph) for value in graph.input}
    given = {value.name for graph in graphs_of(model.graph) for value in graph.output}
    counted = ByBytes(progress, "compress", bytes_of(weights))
    for weight in weights:
        name = weight.tensor.name
        counted.begin(name)
        reason = _reason(weight, kind, replaceable, given)
        if reason is not None:
            report.leave(name, reason)
            continue
        stored = _store(weight, kind, names, edits, counted.told)
        where = "expanded when its rows are looked up" if _is_looked_up(weight) else "expanded when the model is loaded"
        report.change(name, f"{kind}, {where}", stored)
    edits.make(model)
    counted.end("all weights stored")


def _large(model: onnx.ModelProto, min_elements: int) -> list[Weight]:
    read = uses(model.graph)
    return [
        Weight(graph, tensor, tuple(read_in(read, graph, tensor.name)), frozenset())
        for graph in graphs_of(model.graph)
        for tensor in graph.initializer
        if tensor.data_type in FLOATS and int(np.prod(tensor.dims, dtype=np.int64)) >= min_elements
    ]


def _reason(weight: Weight, kind: str, replaceable: set[str], given: set[str]) -> str | None:
    """Why a weight stays as it is; None where it may be stored."""
    tensor = weight.tensor
    if tensor.data_type != TensorProto.FLOAT:
        return f"it is {TensorProto.DataType.Name(tensor.data_type).lower()}, not float32"
    if tensor.name in replaceable:
        return "the caller may replace it"
    if tensor.name in given:
        return "it is an output of the model"
    if kind == "float16" and _largest(tensor) > HALF_MOST:
        return "it holds a number that float16 cannot; bfloat16 can"
    return None


def _is_looked_up(weight: Weight) -> bool:
    return bool(weight.uses) and weight.is_embedding


def _store(weight: Weight, kind: str, names: Names, edits: Edits, told: Told) -> Stored:
    name, stored = weight.tensor.name, names.new(weight.tensor.name, kind)
    weight.tensor.CopyFrom(_shortened(weight.tensor, kind, stored, told))
    mark = Stored.of(name, dtype=kind, scheme="float", granularity="tensor", values=weight.tensor)
    if not _is_looked_up(weight):
        cast = helper.make_node("Cast", [stored], [name], name=names.new(name, "cast"), to=TensorProto.FLOAT)
        edits.put_first(weight.graph, [cast])
        return mark
    for use in weight.uses:
        node, rows = use.node, names.new(name, "rows")
        nodes = [
            helper.make_node("Gather", [stored, node.input[1]], [rows], name=names.new(name, "take"), axis=0),
            helper.make_node("Cast", [rows], [node.output[0]], name=names.new(name, "cast"), to=TensorProto.FLOAT),
        ]
        edits.replace(node, nodes)
    return mark


def _largest(tensor: TensorProto) -> float:
    """The largest magnitude, found block by block; raises FileRefused where one is no number."""
    numbers, largest = numbers_of(tensor), 0.0
    with opened(numbers) as given:
        for box in boxes(numbers.shape, block_numbers(numbers.dtype)):
            found = float(np.abs(given.part(box)).max(initial=0))
            if not math.isfinite(found):
                raise not_finite(tensor.name)
            largest = max(largest, found)
    return largest


def _shortened(tensor: TensorProto, kind: str, name: str, told: Told) -> TensorProto:
    """The tensor in 16 bits, block by block, where the numbers of the other lie: in memory, or in a file."""
    numbers = numbers_of(tensor)
    half = kind == "float16"
    target = Target(numbers.shape, np.float16 if half else np.uint16, in_file=isinstance(numbers, InFile))
    with opened(numbers) as given:
        for box in boxes(numbers.shape, block_numbers(numbers.dtype)):
            block = given.part(box)
            if not half and not np.isfinite(block).all():
                raise not_finite(tensor.name)
            target.put(box, block.astype(np.float16) if half else bfloat16_bits(block))
            told(block.nbytes)
    return tensor_of(target.numbers, name, TensorProto.FLOAT16 if half else TensorProto.BFLOAT16)

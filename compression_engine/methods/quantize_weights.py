"""Stores weights as 8-bit integers, for the same speed and practically the same answers at a quarter of the size.

How: a weight becomes int8 values and one float scale per output channel; the graph expands it by Cast and Mul under the
weight's old name. The runtime computes both once, when it loads the model, because all their inputs are constant; so the
latency is the parent's. (DequantizeLinear would be computed again at every call.) Embeddings keep their integers while
running: rows are looked up as integers and only these are expanded.

Limits: saves storage and transfer, not the memory of the expanded weights; at most 4 times smaller.
"""

from __future__ import annotations

import onnx
from onnx import helper, numpy_helper

from compression_engine.formats.onnx_graph import Edits, Names, lift_constants
from compression_engine.methods.int8_weights import Report, Rounded, Weight, find_weights, round_weight
from compression_engine.progress import Progress
from compression_engine.recipe import Value

FOLDED = "int8, expanded when the model is loaded"
ROWS = "int8 rows, expanded when they are looked up"


def apply(model: onnx.ModelProto, parameters: dict[str, Value], report: Report, progress: Progress) -> None:
    """Changes a model in place. Raises FileRefused (weights_not_finite). Afterwards `report` names every large weight."""
    min_elements = int(parameters["min_elements"])
    lift_constants(model.graph, min_elements)
    names, edits = Names(model), Edits()
    weights = find_weights(model, min_elements, report)
    for done, weight in enumerate(weights):
        progress("compress", done, len(weights), weight.tensor.name)
        if weight.is_embedding:
            store_rows(weight, names, edits, report)
        else:
            store_folded(weight, names, edits, report)
    edits.make(model)
    progress("compress", len(weights), len(weights), "all weights rounded")


def store_folded(weight: Weight, names: Names, edits: Edits, report: Report) -> None:
    """Stores integers and scales, and has the graph expand them under the weight's old name when it is loaded."""
    name, kind = weight.tensor.name, weight.tensor.data_type
    stored = store(weight, round_weight(weight), names)
    expand(weight.graph, name, kind, stored, names, edits)
    report.change(name, FOLDED)


def expand(graph: onnx.GraphProto, name: str, kind: int, stored: tuple[str, str], names: Names, edits: Edits) -> None:
    """Adds Cast and Mul that turn stored integers and scales back into the weight `name` of the data type `kind`."""
    expanded = names.new(name, "expanded")
    nodes = [
        helper.make_node("Cast", [stored[0]], [expanded], name=names.new(name, "cast"), to=kind),
        helper.make_node("Mul", [expanded, stored[1]], [name], name=names.new(name, "scaled")),
    ]
    edits.put_first(graph, nodes)


def store_rows(weight: Weight, names: Names, edits: Edits, report: Report) -> None:
    """Stores an embedding as integer rows; each look-up fetches integers and scale of its rows and multiplies them."""
    name, kind = weight.tensor.name, weight.tensor.data_type
    stored, scale = store(weight, round_weight(weight), names)
    for use in weight.uses:
        node = use.node
        rows, scales, expanded = (names.new(name, part) for part in ("rows", "row_scales", "rows_expanded"))
        nodes = [
            helper.make_node("Gather", [stored, node.input[1]], [rows], name=names.new(name, "take"), axis=0),
            helper.make_node("Gather", [scale, node.input[1]], [scales], name=names.new(name, "take"), axis=0),
            helper.make_node("Cast", [rows], [expanded], name=names.new(name, "cast"), to=kind),
            helper.make_node("Mul", [expanded, scales], [node.output[0]], name=names.new(name, "scaled")),
        ]
        edits.replace(node, nodes)
    report.change(name, ROWS)


def store(weight: Weight, rounded: Rounded, names: Names) -> tuple[str, str]:
    """Replaces a weight's tensor by its integers, adds the scales, and returns the names of both."""
    name = weight.tensor.name
    stored, scale = names.new(name, "int8"), names.new(name, "scale")
    # the old tensor's place is reused, so that the order of tensors in the file stays that of the parent
    weight.tensor.CopyFrom(numpy_helper.from_array(rounded.values, stored))
    weight.graph.initializer.append(numpy_helper.from_array(rounded.scale, scale))
    return stored, scale

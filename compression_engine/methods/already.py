"""Says by which operators a model is quantised already, so that nobody wonders why a method finds nothing to do."""

from __future__ import annotations

import onnx

from compression_engine.facts import PREFIX
from compression_engine.formats.onnx_graph import graphs_of
from compression_engine.methods.channels import told

_QUANTISED = frozenset(
    {"DequantizeLinear", "QLinearMatMul", "QLinearConv", "MatMulInteger", "ConvInteger", "MatMulNBits", "QAttention"}
    | {"GatherBlockQuantized", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "MatMulIntegerToFloat", "QGemm", "QMoE"}
    | {"QEmbedLayerNormalization", "QLinearAdd", "QLinearMul", "MatMulBnb4", "QOrderedMatMul"}
)  # fmt: skip
_FACT = f"{PREFIX}recipe_digest"


def quantised_by(model: onnx.ModelProto) -> str | None:
    """What shows that a model is quantised or compressed already; None where nothing does."""
    found = {told(node) for graph in graphs_of(model.graph) for node in graph.node if node.op_type in _QUANTISED}
    if found:
        return f"The model is quantised already, by {', '.join(sorted(found))}."
    recipe = next((entry.value for entry in model.metadata_props if entry.key == _FACT), None)
    return None if recipe is None else f"The model was compressed before, by the recipe {recipe}."

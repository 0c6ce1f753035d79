"""Whether a classifier's output are logits, probabilities or their logarithms, read from the operator that makes it."""

from __future__ import annotations

import onnx

from compression_engine.formats.onnx_graph import STANDARD

LOGITS, PROBABILITIES, LOG_PROBABILITIES = "logits", "probabilities", "log-probabilities"
_MADE_BY = {"Softmax": PROBABILITIES, "Sigmoid": PROBABILITIES, "LogSoftmax": LOG_PROBABILITIES}
_PASSING = ("Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Cast")
_PASSED_MOST = 8


def form_of(model: onnx.ModelProto, name: str) -> str | None:
    """PROBABILITIES or LOG_PROBABILITIES where an operator that makes such stands at the output's end, through others that
    only change its shape; None where none does: then it is whatever the plan says, else logits."""
    makers = {output: node for node in model.graph.node for output in node.output}
    node = makers.get(name)
    for _ in range(_PASSED_MOST):
        if node is None or node.domain not in STANDARD:
            return None
        if node.op_type in _MADE_BY:
            return _MADE_BY[node.op_type]
        if node.op_type not in _PASSING:
            return None
        node = makers.get(node.input[0])
    return None

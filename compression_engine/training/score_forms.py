"""Whether a classifier's output are logits, probabilities or their logarithms, by the operator that makes it; and of what."""

from __future__ import annotations

import onnx

from compression_engine.formats.onnx_graph import STANDARD

LOGITS, PROBABILITIES, LOG_PROBABILITIES = "logits", "probabilities", "log-probabilities"
LEAST_PROBABILITY = 1e-12
"""Whose logarithm stands for that of no chance at all."""
_MADE_BY = {"Softmax": PROBABILITIES, "Sigmoid": PROBABILITIES, "LogSoftmax": LOG_PROBABILITIES}
_PASSING = ("Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Cast")
_PASSED_MOST = 8


def form_of(model: onnx.ModelProto, name: str) -> str | None:
    """PROBABILITIES or LOG_PROBABILITIES where an operator that makes such stands at the output's end, through others that
    only change its shape; None where none does: then it is whatever the plan says, else logits."""
    maker = _maker(model, name)
    return None if maker is None else _MADE_BY[maker.op_type]


def before_of(model: onnx.ModelProto, name: str) -> str:
    """The scores that an output's probabilities are made of, by their name in the graph; the output itself where it is no such.

    They have the output's order as long as nothing between turns its axes. Probabilities near one no longer tell a little more from
    a little less, and their gradients vanish; scores do not.
    """
    maker = _maker(model, name, passing=tuple(one for one in _PASSING if one != "Transpose"))
    return name if maker is None else str(maker.input[0])


def _maker(model: onnx.ModelProto, name: str, passing: tuple[str, ...] = _PASSING) -> onnx.NodeProto | None:
    """The operator that makes probabilities of an output's scores; None where none stands at its end."""
    makers = {output: node for node in model.graph.node for output in node.output}
    node = makers.get(name)
    for _ in range(_PASSED_MOST):
        if node is None or node.domain not in STANDARD:
            return None
        if node.op_type in _MADE_BY:
            return node
        if node.op_type not in passing:
            return None
        node = makers.get(node.input[0])
    return None

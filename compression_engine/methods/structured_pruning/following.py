"""Follows what falls together through a graph by the rules of all operators; where axes can be cut in several ways, the best."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from compression_engine.errors import FileRefused
from compression_engine.formats.onnx_graph import FLOATS
from compression_engine.methods.structured_pruning.axes import Classes, Options, Pattern, Trace, classes_of, trace
from compression_engine.methods.structured_pruning.choice import Group, groups_of
from compression_engine.methods.structured_pruning.moving import MOVING
from compression_engine.methods.structured_pruning.rules import COMPUTING
from compression_engine.methods.structured_pruning.shapes import Seen

RULES = {**COMPUTING, **MOVING}


def followed(model: onnx.ModelProto, seen: Seen, options: Options) -> tuple[Trace, Classes]:
    """The traced graph of a model whose constants are initializers.

    Where axes are cut in several, each way is tried, and the one kept by which most can be pruned.
    """

    def traced(chosen: Mapping[Pattern, int]) -> tuple[int, Trace, Classes]:
        found = trace(model, seen, RULES, options, chosen)
        classes = classes_of(found)
        return _prunable(model, groups_of(model, found, classes)), found, classes

    chosen: dict[Pattern, int] = {}
    best = traced(chosen)
    for pattern, places in sorted(best[1].cuts.items()):
        for place in places:
            other = traced(chosen | {pattern: place})
            if other[0] > best[0]:
                best, chosen = other, chosen | {pattern: place}
    return best[1], best[2]


def _prunable(model: onnx.ModelProto, groups: list[Group]) -> int:
    """How many numbers of weights lie in an axis that can lose something."""
    touched = {name for group in groups for name, _ in group.places}
    return sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer if tensor.name in touched)


def check_finite(model: onnx.ModelProto) -> None:
    """Raises FileRefused (weights_not_finite)."""
    for tensor in model.graph.initializer:
        if tensor.data_type in FLOATS and not np.isfinite(numpy_helper.to_array(tensor).astype(np.float64)).all():
            hint = "Export the model again from weights that are numbers."
            raise FileRefused("weights_not_finite", f"The weight {tensor.name!r} holds NaN or infinity.", hint)

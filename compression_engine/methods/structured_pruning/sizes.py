"""Whether a number that a graph computes, such as rows times heads, is computed from nothing that can be pruned.

How: one entry of a list of integers is followed back through operators that pick, join and calculate, up to constants and sizes of
axes. Where all of these stay, the entry can be multiplied with the share that is left; where it follows what is pruned by itself,
or is computed in a way that is not known, it must not be touched.
"""

from __future__ import annotations

import numpy as np
import onnx

from compression_engine.formats.onnx_graph import attribute, integer
from compression_engine.methods.structured_pruning.axes import STAYS, Trace

_CALCULATING = ("Add", "Div", "Max", "Min", "Mul", "Sub")
_HANDING_ON = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten")
_FOLLOWED_MOST = 40


def stays_put(name: str, place: int, found: Trace, depth: int = 0) -> bool:
    """Whether entry `place` of a list of integers does not change when anything is pruned."""
    if name not in found.makers:
        return True  # a constant, or an input of the model
    node = found.makers[name]
    if depth > _FOLLOWED_MOST:
        return False
    if node.op_type == "Shape":
        axes = found.of(node.input[0])
        axis = place + integer(node, "start", 0) % max(1, len(axes))
        return axis < len(axes) and bool((axes[axis] == STAYS).all())
    if node.op_type in _HANDING_ON:
        return stays_put(node.input[0], place, found, depth + 1)
    if node.op_type in _CALCULATING:
        sizes = [int(np.prod(found.seen.shapes.get(other, (2,)))) for other in node.input]
        return all(
            stays_put(other, place if size > 1 else 0, found, depth + 1)
            for other, size in zip(node.input, sizes, strict=True)
        )
    return _picked(node, place, found, depth)


def _picked(node: onnx.NodeProto, place: int, found: Trace, depth: int) -> bool:
    values = found.seen.values
    if node.op_type == "Concat":
        for other in node.input:
            size = int(np.prod(found.seen.shapes.get(other, (0,))))
            if place < size:
                return stays_put(other, place, found, depth + 1)
            place -= size
        return False
    if node.op_type == "Gather" and node.input[1] in values and integer(node, "axis", 0) == 0:
        size = found.seen.shapes.get(node.input[0], (0,))[0]
        index = int(values[node.input[1]].reshape(-1)[place]) % max(1, size)
        return stays_put(node.input[0], index, found, depth + 1)
    if node.op_type == "Slice" and node.input[1] in values and attribute(node, "axes") is None:
        size = found.seen.shapes.get(node.input[0], (0,))[0]
        step = int(values[node.input[4]].reshape(-1)[0]) if len(node.input) > 4 and node.input[4] in values else 1
        start = int(values[node.input[1]].reshape(-1)[0])
        first = start + size if start < 0 else start
        return step > 0 and stays_put(node.input[0], min(first, size) + place * step, found, depth + 1)
    return False

"""How operators that compute hand classes on: what goes in an input goes in the weight that multiplies it, and what goes in the
weight's other axis goes in the output.

Rules:
- a product ties the axes that it sums over; channels behind it are those of the weight;
- a grouped convolution loses the same places of every group, or whole groups where these are smaller than they are many;
- normalisations and Softmax along an axis whose parts could go: Softmax keeps it; means over it keep it too, unless the recipe
  allows the width to be pruned, since the mean of fewer is another;
- recurrent cells lose a hidden unit in all gates, both directions and the state.
Operators that move numbers are in `structured_pruning.moving`; what is in no table keeps all that it touches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from compression_engine.formats.onnx_graph import attribute, integer
from compression_engine.methods.structured_pruning.axes import (
    Atoms,
    Axes,
    NotUnderstood,
    Rule,
    Trace,
    named,
    staying,
)

UNARY = frozenset(
    {"Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Cast", "Ceil", "Celu", "Clip", "Cos", "Cosh"}
    | {"Dropout", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu"}
    | {"Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus"}
    | {"Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu"}
)  # fmt: skip
BROADCAST = frozenset(
    {"Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"}
    | {"Max", "Mean", "Min", "Mod", "Mul", "Or", "Pow", "PRelu", "Sub", "Sum", "Where", "Xor"}
)  # fmt: skip
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_EXACT_SUMS = ("ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare")


def _unary(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    return [found.of(node.input[0])] * len(node.output)


def broadcast(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    """Index by index, what goes in one operand goes in the others; one that is repeated along an axis has no part in it."""
    out = found.shape(node.output[0])
    operands = [found.of(name) for name in node.input if name]
    made: list[Atoms] = []
    for axis, size in enumerate(out):
        chosen: Atoms | None = None
        for operand in operands:
            place = axis - (len(out) - len(operand))
            if place < 0 or len(operand[place]) != size:
                continue
            if chosen is None:
                chosen = operand[place]
            else:
                found.tie(chosen, operand[place], f"{named(node)} joins it with what stays")
        made.append(staying(size) if chosen is None else chosen)
    return [tuple(made)]


def _matmul(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    left, right = found.of(node.input[0]), found.of(node.input[1])
    if len(left) < 2 or len(right) < 2:
        raise NotUnderstood
    why = f"{named(node)} multiplies it with what stays"
    found.tie(left[-1], right[-2], why)
    rank = len(found.shape(node.output[0]))
    made = []
    for axis in range(rank - 2):
        batch = [
            operand[axis - rank]
            for operand in (left, right)
            if len(operand) >= rank - axis and len(operand[axis - rank]) > 1
        ]
        if len(batch) == 2:
            found.tie(batch[0], batch[1], why)
        made.append(batch[0] if batch else staying(1))
    return [(*made, left[-2], right[-1])]


def _gemm(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    left, right = found.of(node.input[0]), found.of(node.input[1])
    if integer(node, "transA", 0):
        left = left[::-1]
    if integer(node, "transB", 0):
        right = right[::-1]
    why = f"{named(node)} multiplies it with what stays"
    found.tie(left[1], right[0], why)
    made = (left[0], right[1])
    if len(node.input) > 2 and node.input[2]:
        for atoms, own in zip(made[::-1], found.of(node.input[2])[::-1], strict=False):
            if len(own) == len(atoms):
                found.tie(atoms, own, why)
    return [made]


def group_of(node: onnx.NodeProto, inputs: int, outputs: int) -> str:
    """How a Conv in groups is pruned: `plain`, `groups` (whole ones go) or `places` (the same of each)."""
    groups = integer(node, "group", 1)
    if groups == 1:
        return "plain"
    return "groups" if inputs // groups < groups else "places"


def _conv(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    given, weight = found.of(node.input[0]), found.of(node.input[1])
    groups, inputs, outputs = integer(node, "group", 1), len(given[1]), len(weight[0])
    why, how = f"{named(node)} needs it", group_of(node, inputs, outputs)
    for atoms in (*given[2:], *weight[2:]):
        found.keep(atoms, why)
    channels = weight[0]
    if how == "plain":
        found.tie(given[1], weight[1], why)
    elif how == "groups":
        found.keep(weight[1], why)
        together = found.join(weight[0], np.arange(outputs) // (outputs // groups), groups, why)
        found.tie(given[1], np.repeat(together, inputs // groups), why)
    else:
        found.tie(given[1], np.tile(weight[1], groups), why)
        channels = np.tile(
            found.join(channels, np.arange(outputs) % (outputs // groups), outputs // groups, why), groups
        )
    if len(node.input) > 2 and node.input[2]:
        found.tie(channels, found.of(node.input[2])[0], why)
    return [(given[0], channels, *map(staying, found.shape(node.output[0])[2:]))]


def _conv_transpose(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    given, weight = found.of(node.input[0]), found.of(node.input[1])
    why, groups = f"{named(node)} needs it", integer(node, "group", 1)
    for atoms in (*given[2:], *weight[2:]):
        found.keep(atoms, why)
    found.tie(given[1], weight[0], why)
    if groups == 1:
        channels = weight[1]
    elif groups == len(given[1]) and len(weight[1]) == 1:
        channels = weight[0]
    else:
        raise NotUnderstood
    if len(node.input) > 2 and node.input[2]:
        found.tie(channels, found.of(node.input[2])[0], why)
    return [(given[0], channels, *map(staying, found.shape(node.output[0])[2:]))]


def _normalised_by_channel(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    """BatchNormalization and InstanceNormalization: numbers of their own for each channel."""
    given = found.of(node.input[0])
    if integer(node, "training_mode", 0):
        raise NotUnderstood
    for name in node.input[1:]:
        found.tie(given[1], found.of(name)[0], f"{named(node)} scales it")
    if node.op_type == "InstanceNormalization":
        for atoms in given[2:]:
            found.keep(atoms, f"{named(node)} takes means over it")
    return [given]


def _group_norm(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    """Whole groups go, each of which has its own mean."""
    given, groups = found.of(node.input[0]), integer(node, "num_groups", 1)
    why = f"{named(node)} takes means over it"
    each = len(given[1]) // groups
    together = found.join(given[1], np.arange(len(given[1])) // each, groups, why)
    for name in node.input[1:]:
        own = found.of(name)[0]
        found.tie(own, together if len(own) == groups else np.repeat(together, each), why)
    for atoms in given[2:]:
        found.keep(atoms, why)
    return [(given[0], np.repeat(together, each), *given[2:])]


def _layer_norm(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    given = found.of(node.input[0])
    first = integer(node, "axis", -1) % len(given)
    for name in node.input[1:]:
        if name:
            for atoms, own in zip(given[::-1], found.of(name)[::-1], strict=False):
                if len(own) == len(atoms):
                    found.tie(atoms, own, f"{named(node)} scales it")
    for axis in range(first, len(given)):
        _averaged(node, given[axis], found)
    after = tuple(staying(len(atoms)) if axis >= first else atoms for axis, atoms in enumerate(given))
    means = tuple(staying(1) if axis >= first else atoms for axis, atoms in enumerate(after))
    return [given, means, means][: len(node.output)]


def _averaged(node: onnx.NodeProto, atoms: Atoms, found: Trace) -> None:
    """A mean over fewer is another mean: only where the recipe allows it."""
    if not found.options.width:
        found.keep(atoms, f"{named(node)} takes means over it (width is not pruned unless the recipe says so)")


def _softmax(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    given = found.of(node.input[0])
    found.keep(given[integer(node, "axis", -1) % len(given)], f"{named(node)} compares all along it")
    return [given]


def _lp_norm(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    return [found.of(node.input[0])]


def _pool(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    given = found.of(node.input[0])
    for atoms in given[2:]:
        found.keep(atoms, f"{named(node)} pools over it")
    out = (given[0], given[1], *map(staying, found.shape(node.output[0])[2:]))
    return [out] * len(node.output)


def _reduce(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    given = found.of(node.input[0])
    reduced = _reduced_axes(node, found, len(given))
    for axis in reduced:
        if node.op_type == "ReduceMean":
            _averaged(node, given[axis], found)
        elif node.op_type not in _EXACT_SUMS:
            found.keep(given[axis], f"{named(node)} compares all along it")
    if integer(node, "keepdims", 1):
        return [tuple(staying(1) if axis in reduced else atoms for axis, atoms in enumerate(given))]
    return [tuple(atoms for axis, atoms in enumerate(given) if axis not in reduced)]


def _reduced_axes(node: onnx.NodeProto, found: Trace, rank: int) -> set[int]:
    said = attribute(node, "axes")
    if said is not None:
        axes = list(said.ints)
    elif len(node.input) > 1 and node.input[1]:
        axes = [int(axis) for axis in found.values(node.input[1]).reshape(-1)]
    else:
        axes = []
    if not axes and integer(node, "noop_with_empty_axes", 0):
        return set()
    return {axis % rank for axis in axes} if axes else set(range(rank))


def _recurrent(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    """X [steps, rows, inputs], W [directions, gates * hidden, inputs], R [directions, gates * hidden, hidden]."""
    gates, why = _GATES[node.op_type], f"{named(node)} needs it"
    given, weight, inner = (found.of(name) for name in node.input[:3])
    if integer(node, "layout", 0):
        raise NotUnderstood
    hidden, directions = inner[2], len(weight[0])
    for name in node.input[1:]:
        if name:
            found.keep(found.of(name)[0], why)
    found.tie(given[2], weight[2], why)
    for rows in (weight[1], inner[1]):
        found.tie(rows, np.tile(hidden, gates), why)
    others = list(node.input[3:])
    if others and others[0]:
        found.tie(found.of(others[0])[1], np.tile(hidden, 2 * gates), why)
    for name in others[2:4]:
        if name:
            found.tie(found.of(name)[2], hidden, why)
    if len(others) > 4 and others[4]:
        found.tie(found.of(others[4])[1], np.tile(hidden, 3), why)
    last = (staying(directions), given[1], hidden)
    return [(given[0], staying(directions), given[1], hidden), last, last][: len(node.output)]


def _einsum(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    """Each letter is one axis in all operands."""
    said = attribute(node, "equation")
    equation = "" if said is None else said.s.decode().replace(" ", "")
    if "->" not in equation or "." in equation:
        raise NotUnderstood
    operands, out = equation.split("->")
    letters: dict[str, Atoms] = {}
    for name, axes in zip(node.input, operands.split(","), strict=True):
        if len(set(axes)) != len(axes):
            raise NotUnderstood
        for letter, atoms in zip(axes, found.of(name), strict=True):
            if letter in letters:
                found.tie(letters[letter], atoms, f"{named(node)} multiplies it with what stays")
            else:
                letters[letter] = atoms
    return [tuple(letters[letter] for letter in out)]


def _arg(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    """Which entry is the largest: the axis stays, and what comes out are indices."""
    given = found.of(node.input[0])
    axis = integer(node, "axis", 0) % len(given)
    found.keep(given[axis], f"{named(node)} compares all along it")
    kept = bool(integer(node, "keepdims", 1))
    out = [staying(1) if place == axis else atoms for place, atoms in enumerate(given) if kept or place != axis]
    return [tuple(out)]


COMPUTING: Mapping[str, Rule] = {
    **dict.fromkeys(UNARY, _unary),
    **dict.fromkeys(BROADCAST, broadcast),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization"), _normalised_by_channel),
    **dict.fromkeys(("AveragePool", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxPool"), _pool),
    **dict.fromkeys(_GATES, _recurrent),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), _softmax),
    **dict.fromkeys((*_EXACT_SUMS, "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceLogSumExp"), _reduce),
    **dict.fromkeys(("ArgMax", "ArgMin"), _arg),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Einsum": _einsum,
    "Gemm": _gemm,
    "GroupNormalization": _group_norm,
    "LayerNormalization": _layer_norm,
    "LpNormalization": _lp_norm,
    "MatMul": _matmul,
}

"""How operators that move, cut, join and repeat numbers hand classes on.

Rules:
- Reshape: sizes are followed in the runs of axes that make up each other; where an axis is cut in several, one of these holds the
  classes, and all that shares an index of it becomes one class: a head of attention, a group of channels. By default that is the
  largest but the last where these axes end the tensor (heads before their size), else the last (channels in groups);
  a size such as rows times heads, which a graph computes, is multiplied with what is left;
- Concat and Split lay classes behind each other and part them; Slice and Gather pick them by constants;
- a new axis (Expand, ConstantOfShape) has classes of its own, so that empty states follow the cells that read them;
- a number that a graph computes from what is pruned, or in a way that is not known, is never rewritten: such axes stay.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from compression_engine.formats.onnx_graph import attribute, integer
from compression_engine.methods.structured_pruning.axes import (
    STAYS,
    Atoms,
    Axes,
    NotUnderstood,
    Rule,
    Trace,
    named,
    staying,
)
from compression_engine.methods.structured_pruning.shapes import Shape
from compression_engine.methods.structured_pruning.sizes import stays_put

SLICE_END = 2**31 - 1
_FEW = 3
"""An axis of so many is what packs queries, keys and values, not heads."""


def _transpose(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    given, order = found.of(node.input[0]), attribute(node, "perm")
    return [tuple(given[axis] for axis in (range(len(given))[::-1] if order is None else order.ints))]


def _reshape(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    """Reshape, Flatten, Squeeze and Unsqueeze: the same numbers under other sizes."""
    given, out = found.of(node.input[0]), found.shape(node.output[0])
    made = [staying(size) for size in out]
    for before, behind in runs(tuple(map(len, given)), out):
        flat = _flat([given[axis] for axis in before], f"{named(node)} mixes it with another axis", found)
        if flat is None:
            continue
        axis, atoms = _held(node, flat, behind, out, found)
        made[axis] = atoms
    if node.op_type == "Reshape":
        for axis, atoms in enumerate(made):
            if (atoms != STAYS).any() and not _rewritable(node.input[1], axis, found):
                found.keep(atoms, f"{named(node)} computes its size from free ones")
    return [tuple(made)]


def runs(before: Shape, behind: Shape) -> Iterator[tuple[list[int], list[int]]]:
    """Which axes of one shape are made of which of another; axes of size 1 are none. NotUnderstood where something is empty."""
    if 0 in before or 0 in behind:
        raise NotUnderstood
    left, right = ([axis for axis, size in enumerate(shape) if size != 1] for shape in (before, behind))
    while left or right:
        if not left or not right:
            raise NotUnderstood
        one, other = [left.pop(0)], [right.pop(0)]
        while (first := math.prod(before[axis] for axis in one)) != (
            second := math.prod(behind[axis] for axis in other)
        ):
            source, target = (left, one) if first < second else (right, other)
            if not source:
                raise NotUnderstood
            target.append(source.pop(0))
        yield one, other


def _flat(axes: Sequence[Atoms], why: str, found: Trace) -> Atoms | None:
    """The atom of every place of some axes together; None where nothing can go. One of them alone can hold classes."""
    free = [place for place, atoms in enumerate(axes) if (atoms != STAYS).any()]
    if not free:
        return None
    holder = max(free, key=lambda place: len(axes[place]))
    for place in free:
        if place != holder:
            found.keep(axes[place], why)
    sizes = [len(atoms) for atoms in axes]
    along = [1] * len(sizes)
    along[holder] = sizes[holder]
    return np.broadcast_to(axes[holder].reshape(along), sizes).reshape(-1)


def _held(node: onnx.NodeProto, flat: Atoms, behind: Sequence[int], out: Shape, found: Trace) -> tuple[int, Atoms]:
    """Which of the axes behind holds the classes, and its atoms."""
    if len(behind) == 1:
        return behind[0], flat
    sizes = tuple(out[axis] for axis in behind)
    ends = behind[-1] == max(axis for axis, size in enumerate(out) if size != 1)
    pattern = (*sizes, int(ends))
    found.cuts.setdefault(pattern, list(range(len(behind))))
    place = found.chosen.get(pattern)
    if place is None:
        place = _default_place(flat, sizes, ends=ends, heads=found.options.heads)
    if ends and found.options.heads == "leave":
        found.keep(flat, f"{named(node)} cuts it into heads, which the recipe leaves")
    numbers = np.indices(sizes)[place].reshape(-1)
    return behind[place], found.join(flat, numbers, sizes[place], f"{named(node)} joins it with what stays")


def _default_place(flat: Atoms, sizes: Sequence[int], *, ends: bool, heads: str) -> int:
    """Which of several axes holds the classes unless another one lets more be pruned: none that leaves but a few of them."""
    counts = [_count(flat, np.indices(sizes)[place].reshape(-1)) for place in range(len(sizes))]
    many = [place for place, count in enumerate(counts) if count > _FEW] or list(range(len(sizes)))
    before = [place for place in many if place < len(sizes) - 1]
    if not ends or heads == "size" or not before:
        return many[-1]
    return max(before, key=lambda place: counts[place])


def _count(flat: Atoms, numbers: Atoms) -> int:
    """How many classes there are when those with the same number become one."""
    atoms, own = np.unique(flat, return_inverse=True)
    size = len(atoms) + int(numbers.max()) + 1
    joined = coo_array((np.ones(len(flat), dtype=np.int8), (own, len(atoms) + numbers)), shape=(size, size))
    return int(connected_components(joined, directed=False)[0])


def _rewritable(shape: str, axis: int, found: Trace) -> bool:
    """Whether the size of an axis that loses parts follows by itself, or is a number that can be replaced or multiplied."""
    values = found.seen.values.get(shape)
    if values is None or axis >= values.size:
        return False
    if int(values.reshape(-1)[axis]) == -1 or found.seen.is_fixed_value(shape, axis):
        return True
    return int(values.reshape(-1)[axis]) > 0 and stays_put(shape, axis, found)


def _concat(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    operands = [found.of(name) for name in node.input]
    axis = integer(node, "axis", 0) % len(operands[0])
    for operand in operands[1:]:
        for place, atoms in enumerate(operand):
            if place != axis:
                found.tie(operands[0][place], atoms, f"{named(node)} lays it beside what stays")
    joined = np.concatenate([operand[axis] for operand in operands])
    return [tuple(joined if place == axis else atoms for place, atoms in enumerate(operands[0]))]


def _split(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    given = found.of(node.input[0])
    axis, made, start = integer(node, "axis", 0) % len(given), [], 0
    if len(node.input) > 1 and node.input[1]:
        found.values(node.input[1])
    for name in node.output:
        if not name:
            raise NotUnderstood
        size = found.shape(name)[axis]
        part = given[axis][start : start + size]
        made.append(tuple(part if place == axis else atoms for place, atoms in enumerate(given)))
        start += size
    return made


def sliced_axes(node: onnx.NodeProto, found: Trace) -> list[tuple[int, int, int, int]]:
    """Axis, start, end and step of each axis that a Slice cuts, counted from the front; NotUnderstood where one is not constant."""
    shape = found.shape(node.input[0])
    starts, ends = (found.seen.values.get(name) for name in node.input[1:3])
    if starts is None or ends is None:
        raise NotUnderstood
    count = starts.size
    axes = found.values(node.input[3]) if len(node.input) > 3 and node.input[3] else np.arange(count)
    steps = found.values(node.input[4]) if len(node.input) > 4 and node.input[4] else np.ones(count, dtype=np.int64)
    made = []
    for place in range(count):
        axis, step = int(axes[place]) % len(shape), int(steps[place])
        start, end, _ = slice(int(starts[place]), _bounded(int(ends[place])), step).indices(shape[axis])
        made.append((axis, start, end, step))
    return made


def _bounded(end: int) -> int | None:
    return None if end >= SLICE_END else end


def _slice(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    given = list(found.of(node.input[0]))
    for place, (axis, start, end, step) in enumerate(sliced_axes(node, found)):
        known = all(found.seen.is_fixed_value(name, place) for name in node.input[1:3])
        if step != 1 or not known:
            found.keep(given[axis], f"{named(node)} cuts it")
            size = found.shape(node.output[0])[axis]
            given[axis] = staying(size)
        else:
            given[axis] = given[axis][start:end]
    return [tuple(given)]


def _gather(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    given = found.of(node.input[0])
    axis = integer(node, "axis", 0) % len(given)
    indices = found.of(node.input[1])
    free = (given[axis] != STAYS).any()
    constant = len(indices) == 1 and found.is_fixed(node.input[1])
    if free and constant:
        picked = found.values(node.input[1]).astype(np.int64) % len(given[axis])
        between: tuple[Atoms, ...] = (given[axis][picked],)
    else:
        found.keep(given[axis], f"{named(node)} looks up in it")
        between = tuple(staying(len(atoms)) for atoms in indices)
    return [(*given[:axis], *between, *given[axis + 1 :])]


def _expand(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    """Expand, Tile and ConstantOfShape: a repeated axis has classes of its own where its size stands in the graph as a number."""
    out = found.shape(node.output[0])
    given = found.of(node.input[0]) if node.op_type != "ConstantOfShape" else ()
    shape = node.input[-1]
    made = []
    for axis, size in enumerate(out):
        place = axis - (len(out) - len(given))
        own = given[place] if place >= 0 else staying(1)
        entry = axis - (len(out) - math.prod(found.shape(shape)))
        if len(own) == size and size > 1:
            # a shape that is shorter than what comes out says nothing of the axes before it
            fits = node.op_type == "Tile" or entry < 0 or found.seen.is_fixed_value(shape, entry)
            if not fits:
                found.keep(own, f"{named(node)} computes its size from free ones")
            made.append(own)
            continue
        found.keep(own, f"{named(node)} repeats it")
        fixed = (
            node.op_type != "Tile"
            and entry >= 0
            and found.seen.is_fixed_value(shape, entry)
            and found.seen.is_fixed(node.output[0], axis)
        )
        made.append(found.fresh(size) if fixed else staying(size))
    return [tuple(made)]


def _pad(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    given, out = found.of(node.input[0]), found.shape(node.output[0])
    made = []
    for atoms, size in zip(given, out, strict=True):
        if len(atoms) != size:
            found.keep(atoms, f"{named(node)} adds to it")
        made.append(atoms if len(atoms) == size else staying(size))
    return [tuple(made)]


def _resize(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    given, out = found.of(node.input[0]), found.shape(node.output[0])
    for name in node.input[1:]:
        for atoms in found.of(name) if name else ():
            found.keep(atoms, f"{named(node)} needs it")
    sizes = node.input[3] if len(node.input) > 3 else ""
    made = []
    for axis, (atoms, size) in enumerate(zip(given, out, strict=True)):
        fixed = not sizes or (attribute(node, "axes") is None and found.seen.is_fixed_value(sizes, axis))
        if len(atoms) != size or not fixed or axis > 1:
            found.keep(atoms, f"{named(node)} resizes it")
            made.append(staying(size))
        else:
            made.append(atoms)
    return [tuple(made)]


def _shape(node: onnx.NodeProto, found: Trace) -> Sequence[Axes]:
    return [tuple(staying(size) for size in found.shape(node.output[0]))]


MOVING: Mapping[str, Rule] = {
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    **dict.fromkeys(("Expand", "Tile", "ConstantOfShape"), _expand),
    "Concat": _concat,
    "Gather": _gather,
    "Pad": _pad,
    "Resize": _resize,
    "Shape": _shape,
    "Slice": _slice,
    "Split": _split,
    "Transpose": _transpose,
}

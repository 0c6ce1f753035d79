"""How a mark of the quantisation map says that a weight of an ONNX file is stored, read back block by block as numbers.

Rules:
- the form is taken from shapes: integers in the weight's own shape, in blocks [before, blocks, size, after], or as rows of an
  embedding; two 4-bit integers to a byte as `methods.storing` writes them, over the whole weight or over each row;
- of a layer in integers the graph says along which axis its scales run, and whether bytes hold two numbers that follow each other
  (`in_layers`): shapes do not tell that;
- a form that is none of these (turned for an integer product, of another program) is None: it cannot be read back here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import onnx

from compression_engine.formats.numbers import Array, Box, Opened, boxes, opened
from compression_engine.formats.onnx_graph import integer
from compression_engine.formats.parked import numbers_of
from compression_engine.methods.report import Stored

_HALF_A_BYTE, _LOW_BITS, _MIDDLE = 4, 15, 8
_AT_ONCE = 1 << 17
_UNPAIRING = ("Cast", "Gather", "Reshape", "Slice")


@dataclass(frozen=True)
class InLayer:
    """How a layer in integers holds its weight: scales along `axis`; `paired`: a signed number in each half of a byte, in order."""

    axis: int
    paired: bool


def in_layers(model: onnx.ModelProto) -> dict[str, InLayer]:
    """What layers of the main graph hold as integers, by the tensor's name (see `static_quantization.weights.store_integers`)."""
    constants = {tensor.name for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output if node.op_type in _UNPAIRING}
    found: dict[str, InLayer] = {}
    for node in model.graph.node:
        if node.op_type != "DequantizeLinear":
            continue
        name, paired = node.input[0], False
        while name in makers:
            looked_up = makers[name].op_type == "Gather"
            name, paired = makers[name].input[1 if looked_up else 0], paired or looked_up
        if name in constants:
            found[name] = InLayer(integer(node, "axis", 1), paired)
    return found


@dataclass(frozen=True)
class Form:
    """Integers in the shape `view`, scales in the shape `of_groups`; `rows` x `width` is how 4-bit integers share bytes."""

    mark: Stored
    view: tuple[int, ...]
    of_groups: tuple[int, ...]
    values: onnx.TensorProto
    scale: onnx.TensorProto
    zero: onnx.TensorProto | None
    rows: int
    inner: int | None
    """Of blocks, how many numbers the axis has that is cut: the last block may hold zeros behind them."""
    paired: bool = False
    """Whether bytes hold two signed numbers that follow each other."""

    @property
    def bits(self) -> int:
        """Bits of an integer."""
        return 4 if self.mark.dtype.endswith("int4") else 8

    @property
    def width(self) -> int:
        """How many integers a row of the packing has."""
        return math.prod(self.view) // self.rows

    def blocks(self, parent: onnx.TensorProto) -> Iterator[tuple[Array, Array, Array]]:
        """The parent's numbers, the stored ones expanded, both float64, and the scales that they have; block by block."""
        numbers = numbers_of(parent)
        flat = numbers if self.inner is None else numbers.reshape(self.view[0], self.inner, self.view[3])
        with ExitStack() as stack:
            before = stack.enter_context(opened(flat))
            values = stack.enter_context(opened(numbers_of(self.values).reshape(-1)))
            scale = stack.enter_context(opened(numbers_of(self.scale).reshape(*self.of_groups)))
            zero = (
                None
                if self.zero is None
                else stack.enter_context(opened(numbers_of(self.zero).reshape(*self.of_groups)))
            )
            for box in boxes(self.view, _AT_ONCE):
                of_group = tuple(
                    part if size > 1 else slice(0, 1) for part, size in zip(box, self.of_groups, strict=True)
                )
                integers = self._integers(values, box).astype(np.float64)
                if zero is not None:
                    integers -= zero.part(of_group).astype(np.float64)
                elif self.bits == 4 and not self.paired:
                    integers -= _MIDDLE
                steps = np.broadcast_to(scale.part(of_group).astype(np.float64), integers.shape)
                with np.errstate(invalid="ignore", over="ignore"):  # whoever asks looks for what is no number
                    expanded = integers * steps
                yield self._laid_beside(before, box, expanded, steps)

    def _laid_beside(self, before: Opened, box: Box, expanded: Array, steps: Array) -> tuple[Array, Array, Array]:
        if self.inner is None:
            return before.part(box).astype(np.float64), expanded, steps
        size = self.view[2]
        first = box[1].start * size + box[2].start
        last = min((box[1].stop - 1) * size + box[2].stop, self.inner)
        theirs = before.part((box[0], slice(first, max(first, last)), box[3])).astype(np.float64)
        shape = (expanded.shape[0], -1, expanded.shape[3])
        kept = theirs.shape[1]
        return theirs, expanded.reshape(shape)[:, :kept], steps.reshape(shape)[:, :kept]

    def _integers(self, values: Opened, box: Box) -> Array:
        """The integers of a box that lies together."""
        shape = tuple(part.stop - part.start for part in box)
        start, count = _first(self.view, box), math.prod(shape)
        if self.bits == 8:
            return values.part((slice(start, start + count),)).reshape(shape)
        if self.paired:
            held = values.part((slice(start // 2, -(-(start + count) // 2)),))
            both = np.stack([held & _LOW_BITS, held >> _HALF_A_BYTE], axis=1).reshape(-1).astype(np.int8)
            signed = np.where(both < _MIDDLE, both, both - 2 * _MIDDLE)
            return np.asarray(signed[start % 2 : start % 2 + count]).reshape(shape)
        return np.concatenate(list(self._halves(values, start, start + count))).reshape(shape)

    def _halves(self, values: Opened, start: int, stop: int) -> Iterator[Array]:
        """4-bit integers from one to another, out of bytes that hold the first half of a row low and the second half high."""
        half = -(-self.width // 2)
        while start < stop:
            row, at = divmod(start, self.width)
            end = min(stop - row * self.width, half if at < half else self.width)
            first = row * half + (at if at < half else at - half)
            found = values.part((slice(first, first + end - at),))
            yield (found & _LOW_BITS if at < half else found >> _HALF_A_BYTE).astype(np.uint8)
            start = row * self.width + end


def form_of(
    mark: Stored, dims: Sequence[int], held: Mapping[str, onnx.TensorProto], layers: Mapping[str, InLayer]
) -> Form | None:
    """How a weight of this shape is stored; None where that cannot be told. `layers` is what `in_layers` found."""
    values, scale = held.get(mark.parts.values or ""), held.get(mark.parts.scale or "")
    zero = held.get(mark.parts.zero or "")
    shape = tuple(dims)
    if values is None or scale is None or not shape or (mark.parts.zero is not None and zero is None):
        return None
    own = layers.get(values.name)
    if own is not None:
        along = tuple(size if axis == own.axis % len(shape) else 1 for axis, size in enumerate(shape))
        layer = Form(mark, shape, along, values, scale, zero, 1, None, own.paired)
        return layer if _is_sound(layer) else None
    of_scale, inner = tuple(scale.dims), None
    if mark.granularity.startswith("block-"):
        size = int(mark.granularity.removeprefix("block-"))
        as_rows = len(of_scale) != 4
        before, after = (shape[0], 1) if as_rows else (of_scale[0], of_scale[3])
        inner = math.prod(shape) // max(1, before * after)
        size = min(size, inner)
        groups: tuple[int, ...] = (before, -(-inner // max(1, size)), 1, after)
        view: tuple[int, ...] = (*groups[:2], size, after)
    else:
        view, as_rows = shape, len(of_scale) != len(shape)
        groups = (shape[0], *[1] * (len(shape) - 1)) if as_rows else of_scale
    form = Form(mark, view, groups, values, scale, zero, 1, inner)
    if form.bits == 4 and len(values.dims) == 2 and values.dims[0] == shape[0]:
        form = Form(mark, view, groups, values, scale, zero, shape[0], inner)
    return form if _is_sound(form) else None


def _is_sound(form: Form) -> bool:
    """Whether the shapes of integers and scales are those that the form asks for."""
    stored = form.rows * (-(-form.width // 2) if form.bits == 4 else form.width)
    fits = all(group in (1, size) for group, size in zip(form.of_groups, form.view, strict=True))
    same = (
        form.bits == 4
        or form.inner is not None
        or tuple(form.values.dims) in (form.view, (form.view[0], form.width // form.view[0]))
    )
    parts = [form.scale, *([] if form.zero is None else [form.zero])]
    return (
        fits
        and same
        and math.prod(form.values.dims) == stored
        and all(math.prod(part.dims) == math.prod(form.of_groups) for part in parts)
    )


def _first(shape: Sequence[int], box: Box) -> int:
    return sum(part.start * math.prod(shape[axis + 1 :]) for axis, part in enumerate(box))

"""Rounds a weight whose numbers lie in a file, block by block, to the same integers and scales as in memory.

Rules:
- a weight in memory is rounded there (`rounding`); nothing here decides what a number becomes;
- one scale a channel, symmetric, 8 bits, nearest: ranges from blocks that lie together, then integers from the same blocks; two
  reads, or one where each block holds whole channels;
- every other grid: blocks that hold whole groups are rounded as if each were a weight, since groups share nothing but the type of
  their scales; that type is found in a first read where groups are blocks;
- a channel that does not fit into a block is refused for these grids (recipe_does_not_fit);
- integers, scales and zero points go to the spool, so that memory does not grow with the weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from compression_engine.errors import RecipeError
from compression_engine.formats.numbers import (
    Box,
    InFile,
    Opened,
    Target,
    block_numbers,
    boxes,
    boxes_with_whole,
    opened,
)
from compression_engine.formats.parked import numbers_of
from compression_engine.methods.rounding import (
    Floats,
    Grid,
    Rounded,
    View,
    extremes,
    not_finite,
    plain_scale,
    round_array,
    round_weight,
    scale_kind,
    view_of,
    wide_scale_type,
)
from compression_engine.methods.weights import Weight
from compression_engine.progress import Told

GROUPS_BYTES = 4 * 1024**2
"""How many bytes of whole groups are rounded together: their copies and the ranges that are tried take about ten times that."""
_CHANNEL_BYTES_MAX = 2 * GROUPS_BYTES


def round_anywhere(weight: Weight, grid: Grid, told: Told) -> Rounded:
    """Rounds a weight where its numbers lie; raises FileRefused (weights_not_finite), RecipeError (recipe_does_not_fit)."""
    source = numbers_of(weight.tensor)
    if not isinstance(source, InFile):
        rounded = round_weight(weight, grid)
        told(source.nbytes)
        return rounded
    view = view_of(source.shape, weight.channel_axes, grid.block_size)
    blocks = _Blocks(weight.tensor.name, source, view, told)
    if grid != Grid():
        return _by_groups(blocks, grid)
    # where channels lie together a block holds whole ones; else their ranges are found first
    line, trailing = _line(view), view.reduced == tuple(range(len(view.shape) - len(view.reduced), len(view.shape)))
    fits = line <= block_numbers(source.dtype) and (trailing or source.size <= block_numbers(source.dtype))
    return _whole_channels(blocks) if fits else _ranges_first(blocks)


class _Blocks:
    """A weight in a file, read in boxes of its view."""

    def __init__(self, name: str, source: InFile, view: View, told: Told) -> None:
        self.name, self.source, self.view, self.told = name, source, view, told
        self.flat = source if view.run is None else source.reshape(*view.run)

    def whole_groups(self, given: Opened, most: int) -> Iterator[tuple[Box, Floats]]:
        """Boxes of the view that hold whole groups, and their numbers; of blocks with the last one filled up with zeros."""
        for box in boxes_with_whole(self.view.shape, self.view.reduced, most):
            if self.view.run is None:
                yield box, given.part(box)
                continue
            size, inner = self.view.shape[2], self.view.run[1]
            first, last = box[1].start * size, box[1].stop * size
            found = given.part((box[0], slice(first, min(last, inner)), box[3]))
            if last > inner:
                found = np.pad(found, ((0, 0), (0, last - inner), (0, 0)))
            yield box, found

    def scale_box(self, box: Box) -> Box:
        """Where the scales of a box of whole or partial groups are."""
        return tuple(slice(0, 1) if axis in self.view.reduced else part for axis, part in enumerate(box))

    def targets(self, grid: Grid, kind: np.dtype[Any]) -> tuple[Target, Target, Target | None]:
        """Room for integers, scales and zero points."""
        shape = self.view.shape
        of_groups = [1 if axis in self.view.reduced else size for axis, size in enumerate(shape)]
        values = Target(shape, np.int8 if grid.lowest else np.uint8, in_file=True)
        zero = None if grid.symmetric else Target(of_groups, np.uint8, in_file=True)
        return values, Target(of_groups, kind, in_file=True), zero


def _whole_channels(blocks: _Blocks) -> Rounded:
    """`Grid()` where blocks hold whole channels: one read."""
    view, kind = blocks.view, blocks.source.dtype
    values, scales, _ = blocks.targets(Grid(), kind)
    with opened(blocks.source) as given:
        for box, numbers in blocks.whole_groups(given, block_numbers(kind)):
            scale = plain_scale(_largest(blocks, numbers))
            scales.put(blocks.scale_box(box), scale)
            values.put(box, _plain_integers(numbers, scale, None))
            blocks.told(numbers.nbytes)
    return Rounded(values.numbers, scales.numbers, None, view)


def _ranges_first(blocks: _Blocks) -> Rounded:
    """`Grid()` where channels run across blocks: two reads, each in the order of the file."""
    view, kind = blocks.view, blocks.source.dtype
    values, scales, _ = blocks.targets(Grid(), kind)
    largest = np.zeros([1 if axis in view.reduced else size for axis, size in enumerate(view.shape)], dtype=kind)
    most = block_numbers(kind)
    with opened(blocks.source) as given:
        for box in boxes(view.shape, most):
            found = largest[blocks.scale_box(box)]
            np.maximum(found, _largest(blocks, given.part(box)), out=found)
        scale = plain_scale(largest)
        floats, integers = np.empty(most, dtype=kind), np.empty(most, dtype=np.int8)
        for box in boxes(view.shape, most):
            numbers = given.part(box)
            found = _plain_integers(numbers, scale[blocks.scale_box(box)], floats)
            short = integers[: numbers.size].reshape(numbers.shape)
            np.copyto(short, found, casting="unsafe")
            values.put(box, short)
            blocks.told(numbers.nbytes)
    scales.put(tuple(slice(0, size) for size in scale.shape), scale)
    return Rounded(values.numbers, scales.numbers, None, view)


def _largest(blocks: _Blocks, numbers: Floats) -> Floats:
    """Largest magnitudes of the parts of channels in a box; raises FileRefused where one is no number."""
    axes = blocks.view.reduced
    # no array of magnitudes is made for this: reading is what counts
    largest: Floats = np.maximum(numbers.max(axis=axes, keepdims=True), -numbers.min(axis=axes, keepdims=True))
    if not np.isfinite(largest).all():
        raise not_finite(blocks.name)
    return largest


def _plain_integers(numbers: Floats, scale: Floats, room: Floats | None) -> Floats:
    """Integers, as floats still; a scale is its channel's largest magnitude / 127, so that none is beyond 127."""
    target = None if room is None else room[: numbers.size].reshape(numbers.shape)
    values: Floats = np.divide(numbers, scale, out=target)
    return np.rint(values, out=values)


def _by_groups(blocks: _Blocks, grid: Grid) -> Rounded:
    """Any grid, by boxes of whole groups."""
    view, source = blocks.view, blocks.source
    most = max(1, GROUPS_BYTES // source.dtype.itemsize)
    if _line(view) * source.dtype.itemsize > _CHANNEL_BYTES_MAX:
        hint = "Use granularity block, or symmetric 8 bits with the rounding nearest."
        many = f"{_line(view):,} numbers: too many for a model that is read in blocks"
        message = f"A channel of the weight {blocks.name!r} has {many}."
        raise RecipeError("recipe_does_not_fit", message, hint)
    own = wide_scale_type(source.dtype)
    with opened(blocks.flat) as given:
        kind = _kind(blocks, given, grid, own, most)
        values, scales, zeros = blocks.targets(grid, kind)
        for box, numbers in blocks.whole_groups(given, most):
            if view.run is None and not np.isfinite(numbers).all():
                raise not_finite(blocks.name)
            axes = frozenset({0, 2}) if view.run is not None else frozenset(range(numbers.ndim)) - set(view.reduced)
            piece = round_array(numbers, axes, grid, kind)
            values.put(box, np.asarray(piece.values))
            scales.put(blocks.scale_box(box), np.asarray(piece.scale))
            if zeros is not None and piece.zero is not None:
                zeros.put(blocks.scale_box(box), np.asarray(piece.zero))
            blocks.told(numbers.nbytes)
    zero = None if zeros is None else zeros.numbers
    return Rounded(values.numbers, scales.numbers, zero, view, grid.bits, grid.block_size, grid.rounding)


def _kind(blocks: _Blocks, given: Opened, grid: Grid, own: np.dtype[Any], most: int) -> np.dtype[Any]:
    """The type of the scales, from a first read where groups are blocks."""
    if grid.block_size is None:
        return own
    least, largest = math.inf, 0.0
    for _, numbers in blocks.whole_groups(given, most):
        view = view_of(numbers.shape, frozenset({0, 2}), grid.block_size)
        found = extremes(view.groups(numbers))
        if not math.isfinite(found[1]):
            raise not_finite(blocks.name)
        least, largest = min(least, found[0]), max(largest, found[1])
    return scale_kind(least, largest, grid, own)


def _line(view: View) -> int:
    return math.prod(view.shape[axis] for axis in view.reduced)

"""Rounds weights to integers of 8 or 4 bits: which numbers share a scale, how the scale is found, what is rounded to what.

Rules:
- groups: all numbers of an output channel, or blocks of 32, 64 or 128 that follow each other within a channel; a last block may be
  shorter;
- symmetric: 8 bits -127..127 with scale = largest magnitude / 127; 4 bits -8..7, where the number of largest magnitude becomes -8
  (the scale may be negative); zero stays zero;
- not symmetric: 0..255 or 0..15 with a zero point; the range always holds zero, so zero stays zero;
- nearest: the scale spans the group; mse: of a list of narrower ranges the one with the least squared error is taken;
- integers are found with the scale as it is stored: float16 for blocks where that can hold it, else the weight's own type;
- NaN or infinity in a weight is refused; the same weight always gives the same integers.
Source of the schemes: Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018; of clipped ranges:
Banner et al., "Post training 4-bit quantization of convolutional networks", 2019.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from compression_engine.errors import FileRefused
from compression_engine.formats.numbers import InFile
from compression_engine.methods.weights import Weight

Floats = NDArray[Any]
"""An array of floats; which ones is said where it matters."""
Integers = NDArray[np.integer[Any]]
"""int8 or uint8."""

_AT_ONCE = 1 << 20  # numbers whose ranges are searched together, so that memory does not grow with the weight
_NARROWEST = {8: 0.8, 4: 0.5}
_RANGES = {8: 9, 4: 21}
_HALF_MOST, _HALF_LEAST = 32768.0, 2.0**-18  # scales that float16 holds to one percent


@dataclass(frozen=True)
class Grid:
    """The integers that weights are rounded to. `block_size` None means that an output channel shares one scale."""

    bits: int = 8
    block_size: int | None = None
    symmetric: bool = True
    clipped: bool = False
    """Whether narrower ranges are tried (mse)."""

    @property
    def rounding(self) -> str:
        """How integers are found where nothing looks at data, in the words of a recipe."""
        return "mse" if self.clipped else "nearest"

    @property
    def lowest(self) -> int:
        """The least stored integer; 4 bits are stored without a sign, 8 above their value where they are symmetric."""
        return -127 if self.bits == 8 and self.symmetric else 0

    @property
    def highest(self) -> int:
        """The largest stored integer."""
        return 127 if self.lowest else 2**self.bits - 1

    def fit(self, groups: Floats, kind: np.dtype[Any], importance: Floats | None = None) -> tuple[Floats, Floats]:
        """Scale and zero point, both [groups, 1], of numbers [groups, size] in float32 or wider; scales are numbers of `kind`.

        `importance` [size] weighs squared errors, where ranges are searched.
        """
        least, most = np.minimum(groups.min(axis=1), 0), np.maximum(groups.max(axis=1), 0)
        if not self.clipped:
            return self._scaled(least, most, 1.0, kind)
        best = self._scaled(least, most, 1.0, kind)
        errors = np.full(len(groups), np.inf, dtype=groups.dtype)
        for share in np.linspace(_NARROWEST[self.bits], 1, _RANGES[self.bits])[::-1]:
            for turned in (False, True) if self.symmetric and self.bits == 4 else (False,):
                tried = self._scaled(least, most, -share if turned else share, kind)
                found = self._errors(groups, *tried, importance)
                better = (found < errors)[:, None]
                errors = np.minimum(found, errors)
                best = np.where(better, tried[0], best[0]), np.where(better, tried[1], best[1])
        return best

    def rounded(self, groups: Floats, scale: Floats, zero: Floats) -> Floats:
        """The stored integers, still as floats, of numbers [groups, size]."""
        values = groups / scale
        np.rint(values, out=values)
        values += zero
        return np.clip(values, self.lowest, self.highest, out=values)

    def stored(self, values: Floats) -> Integers:
        """Rounded numbers in the type that holds them."""
        found: Integers = values.astype(np.int8 if self.lowest else np.uint8)
        return found

    def _scaled(self, least: Floats, most: Floats, share: float, kind: np.dtype[Any]) -> tuple[Floats, Floats]:
        if self.symmetric and self.bits == 8:
            scale, zero = np.maximum(-least, most) * (share / 127), np.zeros_like(least)
        elif self.symmetric:
            scale, zero = np.where(-least >= most, least, most) * (share / -8), np.full_like(least, 8)
        else:
            scale, zero = (most - least) * (share / self.highest), np.zeros_like(least)
        stored = _usable(scale, kind).astype(least.dtype)
        if not self.symmetric:
            zero = np.clip(np.rint(-least * share / stored), 0, self.highest)
        return stored[:, None], zero[:, None]

    def _errors(self, groups: Floats, scale: Floats, zero: Floats, importance: Floats | None) -> Floats:
        apart = self.rounded(groups, scale, zero)
        apart -= zero
        apart *= scale
        apart -= groups
        apart *= apart
        found: Floats = apart.sum(axis=1) if importance is None else apart @ importance
        return found


@dataclass(frozen=True)
class View:
    """How an array is cut into groups: reshaped to `shape`, the axes `reduced` of which are one group."""

    original: tuple[int, ...]
    run: tuple[int, int, int] | None
    """Numbers before, in and after the axis that is cut into blocks; None where channels stay whole."""
    shape: tuple[int, ...]
    reduced: tuple[int, ...]

    @property
    def padded(self) -> bool:
        """Whether the last block is filled up with zeros."""
        return self.run is not None and self.run[1] != self.shape[1] * self.shape[2]

    def groups(self, array: Floats) -> Floats:
        """The numbers as [groups, size of a group]."""
        if self.run is not None:
            before, inner, after = self.run
            more = self.shape[1] * self.shape[2] - inner
            array = np.pad(array.reshape(before, inner, after), ((0, 0), (0, more), (0, 0)))
        array = array.reshape(self.shape)
        turned = np.moveaxis(array, self.reduced, range(array.ndim - len(self.reduced), array.ndim))
        return np.ascontiguousarray(turned).reshape(-1, math.prod(self.shape[axis] for axis in self.reduced))

    def whole(self, groups: Floats) -> Floats:
        """The reverse of `groups`, but for padding: [groups, size] in the view's shape; of size 1 for scales."""
        sizes = [1 if groups.shape[1] == 1 else self.shape[axis] for axis in self.reduced]
        kept = [size for axis, size in enumerate(self.shape) if axis not in self.reduced]
        array = groups.reshape([*kept, *sizes])
        return np.ascontiguousarray(np.moveaxis(array, range(len(kept), array.ndim), self.reduced))


@dataclass(frozen=True)
class Rounded:
    """Integers in the view's shape, scales and zero points that broadcast over it: (values - zero) * scale is the weight.

    All three in memory, or in ranges of a file (`rounding_by_blocks`).
    """

    values: Integers | InFile
    scale: Floats | InFile
    zero: NDArray[np.uint8] | InFile | None
    """None where it is 0 (8 bits) or 8 (4 bits) everywhere."""
    view: View
    bits: int = 8
    block_size: int | None = None
    """None where an output channel shares one scale; the last block of a channel, or all of a short one, may be smaller."""
    rounding: str = "nearest"


def view_of(shape: tuple[int, ...], channel_axes: frozenset[int], block_size: int | None) -> View:
    """How a weight of this shape is cut. Blocks run along the longest run of axes that are no channels and lie side by side."""
    reduced = tuple(axis for axis in range(len(shape)) if axis not in channel_axes)
    if block_size is None:
        return View(shape, None, shape, reduced)
    runs: list[list[int]] = []
    for axis in reduced:
        if runs and runs[-1][-1] == axis - 1:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    chosen = max(runs, key=lambda run: math.prod(shape[axis] for axis in run)) if runs else [len(shape)]
    before, after = math.prod(shape[: chosen[0]]), math.prod(shape[chosen[-1] + 1 :])
    inner = math.prod(shape) // (before * after)
    size = min(block_size, inner)
    return View(shape, (before, inner, after), (before, -(-inner // size), size, after), (2,))


def finite(weight: Weight) -> Floats:
    """The numbers of a weight; raises FileRefused (weights_not_finite)."""
    array: Floats = numpy_helper.to_array(weight.tensor)
    if not np.isfinite(array).all():
        raise not_finite(weight.tensor.name)
    return array


def not_finite(name: str) -> FileRefused:
    """The error for a weight that holds what is no number."""
    hint = "Train or export the model again; such a weight cannot be rounded and was broken before."
    return FileRefused("weights_not_finite", f"The weight {name!r} holds NaN or infinity.", hint)


def round_weight(weight: Weight, grid: Grid | None = None) -> Rounded:
    """Rounds a weight; without a grid to 8 bits, symmetric, one scale a channel in the weight's own float type."""
    array, grid = finite(weight), grid or Grid()
    view = view_of(array.shape, weight.channel_axes, grid.block_size)
    return round_array(array, weight.channel_axes, grid, scale_type(array, view, grid))


def round_array(array: Floats, channel_axes: frozenset[int], grid: Grid, kind: np.dtype[Any]) -> Rounded:
    """Rounds finite floats whose scales are numbers of `kind` (`scale_kind` of the whole weight).

    Groups never share anything but `kind`, so that a weight may come in pieces, cut between channels.
    """
    view = view_of(array.shape, channel_axes, grid.block_size)
    if grid == Grid():
        return _plainly(array, view)
    groups = view.groups(array if array.dtype.itemsize > 2 else array.astype(np.float32))
    values: Integers = np.empty(groups.shape, dtype=np.int8 if grid.lowest else np.uint8)
    scale, zero = (np.empty((len(groups), 1), dtype=groups.dtype) for _ in range(2))
    step = max(1, _AT_ONCE // groups.shape[1])
    for start in range(0, len(groups), step):
        part = slice(start, start + step)
        scale[part], zero[part] = grid.fit(groups[part], kind)
        values[part] = grid.rounded(groups[part], scale[part], zero[part])
    return assembled(values, scale.astype(kind), zero, view, grid, grid.rounding)


def assembled(values: Integers, scale: Floats, zero: Floats, view: View, grid: Grid, rounding: str) -> Rounded:
    """Integers [groups, size], scales and zero points [groups, 1] as they are stored."""
    zeros = None if grid.symmetric else view.whole(zero).astype(np.uint8)
    return Rounded(view.whole(values), view.whole(scale), zeros, view, grid.bits, grid.block_size, rounding)


def scale_type(array: Floats, view: View, grid: Grid) -> np.dtype[Any]:
    """Float16 for blocks, whose scales take room, where it holds all of them to one percent; else `wide_scale_type`."""
    own = wide_scale_type(array.dtype)
    return own if grid.block_size is None else scale_kind(*extremes(view.groups(array)), grid, own)


def wide_scale_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type of a weight's scales where nothing shortens them: float64 for numbers of float64, else float32."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def extremes(groups: Floats) -> tuple[float, float]:
    """The least and the most of the largest magnitudes of groups [groups, size]; groups of zeros have no least."""
    largest = np.abs(groups).max(axis=1)
    return float(largest[largest > 0].min(initial=np.inf)), float(largest.max(initial=0))


def scale_kind(least: float, most: float, grid: Grid, own: np.dtype[Any]) -> np.dtype[Any]:
    """The type of a weight's scales by `extremes` of all its groups; `own` where it has no blocks or float16 is too short."""
    # a range may be halved when it is searched
    fits = least / 2 ** (grid.bits + 1) >= _HALF_LEAST and most < _HALF_MOST
    return np.dtype(np.float16) if fits and grid.block_size is not None else own


def _usable(scale: Floats, kind: np.dtype[Any]) -> Floats:
    """Scales as they are stored; one of zeros, or too small for its type, becomes one that divides."""
    stored = scale.astype(kind)
    tiny = kind.type(_HALF_LEAST) if kind == np.float16 else np.finfo(kind).tiny
    fitting: Floats = np.where(np.abs(stored) >= tiny, stored, np.where(stored < 0, -tiny, tiny)).astype(kind)
    return fitting


def _plainly(array: Floats, view: View) -> Rounded:
    """The scheme that every recipe had before there were others; its bytes do not change."""
    scale = plain_scale(np.abs(array).max(axis=view.reduced, keepdims=True))
    values = np.rint(array / scale)
    np.clip(values, -127, 127, out=values)
    return Rounded(values.astype(np.int8), scale, None, view)


def plain_scale(largest: Floats) -> Floats:
    """The scales of `Grid()` for the largest magnitudes of channels, in the weight's own type."""
    scale = (largest.astype(np.float64) / 127).astype(largest.dtype)
    # a channel of zeros, or one so small that its scale is no normal number, gets a scale that cannot divide by zero
    tiny = np.finfo(largest.dtype).tiny
    found: Floats = np.where(scale >= tiny, scale, tiny).astype(largest.dtype)
    return found

"""The numbers of a tensor wherever they lie: in memory, or in a range of a file that is read and written block by block.

Rules:
- what lies in a file is never in memory as a whole, only a block of it; no file is mapped, because mapped pages count as memory;
- a block that was read is good until the next one is read, and is not to be changed;
- numbers lie in files as ONNX has them: little-endian, the last axis closest together.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression_engine.errors import FileRefused
from compression_engine.formats.spool import spool

Array = NDArray[Any]
Box = tuple[slice, ...]
"""A part of a tensor: from where to where along each axis, both given."""

BLOCK_BYTES = 512 * 1024
"""Blocks of this size stay in the cache of a core while they are worked on."""


@dataclass(frozen=True)
class InFile:
    """A range of a file that holds numbers of one type in this shape, beginning at byte `offset`."""

    path: Path
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes they take."""
        return self.size * self.dtype.itemsize

    def reshape(self, *shape: int | Sequence[int]) -> InFile:
        """The same numbers in another shape; one size may be -1, as numpy has it."""
        sizes = [int(size) for part in shape for size in ([part] if isinstance(part, int) else part)]
        if -1 in sizes:
            sizes[sizes.index(-1)] = self.size // math.prod(size for size in sizes if size != -1)
        if math.prod(sizes) != self.size:
            raise ValueError(f"{self.shape} does not fit {sizes}")
        return replace(self, shape=tuple(sizes))


Numbers = Array | InFile


class Opened:
    """Numbers of which parts can be read."""

    def __init__(self, numbers: Numbers, descriptor: int | None) -> None:
        self.numbers, self._descriptor = numbers, descriptor
        self._buffer = np.empty(0, dtype=numbers.dtype)

    def part(self, box: Box) -> Array:
        """The numbers in a box, in its shape."""
        if not isinstance(self.numbers, InFile):
            return self.numbers[box]
        shape = tuple(part.stop - part.start for part in box)
        size = math.prod(shape)
        if size > self._buffer.size:
            self._buffer = np.empty(size, dtype=self.numbers.dtype)
        found, done = self._buffer[:size], 0
        for start, count in runs(self.numbers.shape, box):
            self._read(found[done : done + count], start)
            done += count
        return found.reshape(shape)

    def _read(self, target: Array, start: int) -> None:
        if not target.size:
            return
        assert isinstance(self.numbers, InFile)
        assert self._descriptor is not None
        left, position = target.view(np.uint8).data, self.numbers.offset + start * self.numbers.dtype.itemsize
        while left:
            count = os.preadv(self._descriptor, [left], position)
            if count == 0:
                message = f"{self.numbers.path.name} ended while it was read."
                raise FileRefused("file_truncated", message, "Leave the model's files alone while they are worked on.")
            left, position = left[count:], position + count


@contextmanager
def opened(numbers: Numbers) -> Iterator[Opened]:
    """Opens numbers for reading."""
    if not isinstance(numbers, InFile):
        yield Opened(numbers, None)
        return
    descriptor = os.open(numbers.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield Opened(numbers, descriptor)
    finally:
        os.close(descriptor)


class Target:
    """Numbers to be: an array, or a range of the spool."""

    def __init__(self, shape: Sequence[int], dtype: Any, *, in_file: bool) -> None:
        kind, self._shape = np.dtype(dtype), tuple(shape)
        self.numbers: Numbers
        if in_file:
            size_bytes = math.prod(self._shape) * kind.itemsize
            self._spool = spool()
            self.numbers = InFile(self._spool.path, self._spool.reserve(size_bytes), kind, self._shape)
        else:
            self.numbers = np.empty(self._shape, dtype=kind)

    def put(self, box: Box, values: Array) -> None:
        """Writes the numbers of a box; they become numbers of the target's type."""
        if not isinstance(self.numbers, InFile):
            np.copyto(self.numbers[box], values, casting="unsafe")
            return
        flat = np.ascontiguousarray(values, dtype=self.numbers.dtype).reshape(-1)
        done, itemsize = 0, self.numbers.dtype.itemsize
        for start, count in runs(self._shape, box):
            self._spool.write(flat[done : done + count], self.numbers.offset + start * itemsize)
            done += count


def runs(shape: Sequence[int], box: Box) -> Iterator[tuple[int, int]]:
    """Where the numbers of a box lie next to each other: first number and how many, in the order of the box."""
    if not shape:
        yield 0, 1
        return
    cut = [axis for axis, part in enumerate(box) if part.stop - part.start != shape[axis]]
    last = cut[-1] if cut else 0
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    count = (box[last].stop - box[last].start) * strides[last]
    first = sum(part.start * stride for part, stride in zip(box, strides, strict=True))
    outer = [part.stop - part.start for part in box[:last]]
    if math.prod(outer) == 1:  # the usual case: np.ndindex is slow to begin
        yield first, count
        return
    for index in np.ndindex(*outer):
        yield first + sum(at * stride for at, stride in zip(index, strides, strict=False)), count


def boxes(shape: Sequence[int], most: int) -> Iterator[Box]:
    """A tensor cut into boxes of at most `most` numbers, each lying together and behind the one before it."""
    inner, axis = 1, len(shape)
    while axis > 0 and inner * shape[axis - 1] <= most:
        axis -= 1
        inner *= shape[axis]
    whole = tuple(slice(0, size) for size in shape)
    if axis == 0:
        yield whole
        return
    axis -= 1
    step = max(1, most // inner)
    for index in np.ndindex(*shape[:axis]):
        before = tuple(slice(at, at + 1) for at in index)
        for start in range(0, shape[axis], step):
            yield (*before, slice(start, min(start + step, shape[axis])), *whole[axis + 1 :])


def boxes_with_whole(shape: Sequence[int], axes: Sequence[int], most: int) -> Iterator[Box]:
    """Boxes that hold these axes from end to end, of at most `most` numbers where one such line fits."""
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    line = math.prod(shape[axis] for axis in axes)
    for box in boxes([shape[axis] for axis in kept], max(1, most // max(line, 1))):
        found = [slice(0, size) for size in shape]
        for axis, part in zip(kept, box, strict=True):
            found[axis] = part
        yield tuple(found)


def block_numbers(dtype: np.dtype[Any]) -> int:
    """How many numbers of a type make a block."""
    return max(1, BLOCK_BYTES // dtype.itemsize)

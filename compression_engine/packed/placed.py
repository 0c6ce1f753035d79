"""What is known of a symbol before it is coded: its place in the tensor, the symbols before it, the byte above it.

Rows and columns (channels) of a weight differ in how wide their numbers spread and in how many are zero: those that are alike get
a table of their own. Which of the ways pays is computed from counts alone, in integers.

Rules:
- at most 16 classes; classes of rows or columns are written as four bits each, at most 65,536 of them;
- places are cut into classes of equal size by how far their symbols lie from the most frequent one, equal ones in their order;
- a context is class * 2^depth + history.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from compression_engine.packed import rans, tables
from compression_engine.structure.protobuf import invalid, truncated

Symbols = NDArray[np.uint8]
NOWHERE, ROWS, COLUMNS, PLANE_BEFORE = range(4)
_GROUPS_MAX = 1 << 16
_CLASS_COUNTS = (3, 8, 16)
_HEAD = struct.Struct("<III")
_GONE_ON_WITH = 2
_RARE = 64
"""A most frequent symbol that is rarer than one in so many tells nothing by having stood before."""


@dataclass(frozen=True)
class Placing:
    """What the bytes of a block are: integers, or numbers of `width` bytes; and how they lie in their tensor, in symbols."""

    integers: bool = False
    width: int = 1
    shape: tuple[int, ...] = ()
    offset: int = 0

    def moved(self, size_bytes: int) -> Placing:
        """That of a block which begins so many bytes later."""
        return replace(self, offset=self.offset + size_bytes)

    def halved(self) -> Placing:
        """That of the same bytes read as nibbles, two of them for each byte."""
        shape = (*self.shape[:-1], 2 * self.shape[-1]) if self.shape else ()
        return replace(self, shape=shape, offset=2 * self.offset)


@dataclass(frozen=True)
class Classes:
    """The class of every symbol's place, and what must be written so that a reader finds the same ones."""

    kind: int = NOWHERE
    count: int = 1
    places: Symbols | None = None
    width: int = 0
    phase: int = 0
    groups: Symbols | None = None

    def written(self) -> bytes:
        """Width, place of the first symbol in its row, number of groups, number of classes, then the classes, low nibble first."""
        if self.groups is None:
            return b""
        padded = np.append(self.groups, np.zeros(self.groups.size % 2, np.uint8))
        head = _HEAD.pack(self.width, self.phase, self.groups.size) + bytes([self.count])
        return head + (padded[0::2] | padded[1::2] << 4).tobytes()

    @classmethod
    def read(cls, kind: int, data: memoryview, at: int, symbols: int, before: Symbols | None) -> tuple[Classes, int]:
        """Classes as they were written at a byte of `data`, and the byte behind them; raises FileRefused."""
        if kind == NOWHERE:
            return cls(), at
        if kind == PLANE_BEFORE:
            if before is None:
                raise invalid("A block refers to a plane before it; there is none.")
            return above(before), at
        if kind not in (ROWS, COLUMNS) or len(data) < at + _HEAD.size + 1:
            raise truncated("The classes of a block are cut off, or of an unknown kind.")
        width, phase, size = _HEAD.unpack_from(data, at)
        count, at = data[at + _HEAD.size], at + _HEAD.size + 1
        end = at + (size + 1) // 2
        if not 1 <= count <= 16 or not 1 <= size <= _GROUPS_MAX or phase >= width or end > len(data):
            raise invalid("The classes of a block are not what an encoder writes.")
        if size != (-(-(phase + symbols) // width) if kind == ROWS else width):
            raise invalid("The classes of a block do not fit its width.")
        packed = np.frombuffer(data[at:end], np.uint8)
        groups = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1)[:size]
        if int(groups.max()) >= count:
            raise invalid("A block names a class that it does not have.")
        return cls(kind, count, _places(kind, groups, width, phase, symbols), width, phase, groups), end


@dataclass(frozen=True)
class Candidate:
    """One way to code, and what it would take by its counts."""

    cost_bytes: int
    classes: Classes
    centre: int
    depth: int

    def contexts(self, history: Symbols | None) -> Symbols | None:
        """The context of every symbol; None where there is only one."""
        if self.classes.places is None:
            return history
        return self.classes.places if history is None else (self.classes.places << np.uint8(self.depth)) | history


def above(before: Symbols) -> Classes:
    """Two classes: where all bytes above are zero, and the others."""
    return Classes(PLANE_BEFORE, 2, (before == 0).astype(np.uint8))


def candidates(symbols: Symbols, placing: Placing, alphabet: int, before: Symbols | None) -> list[Candidate]:
    """Ways to code these symbols, the cheapest first; among equal ones the plainer first."""
    counts = tables.counted(symbols, None, (1, alphabet))
    centre = int(np.argmax(counts))
    frequent = int(counts[0, centre]) * _RARE >= symbols.size
    one_lane = rans.Lanes(symbols.size, 1)
    ways = [Classes()] + ([] if before is None else [above(before)])
    ways += _groupings(symbols, placing, alphabet, centre)
    found = [_costed(Candidate(0, classes, centre, 0), symbols, alphabet, None) for classes in ways]
    found.sort(key=_by_cost)
    for depth in (1, 2) if frequent else ():
        history = rans.histories(symbols, centre, depth, one_lane)
        plain = Candidate(0, Classes(), centre, depth)
        better = [replace(one, depth=depth) for one in found[:_GONE_ON_WITH] if one.depth == 0]
        found += [_costed(one, symbols, alphabet, history) for one in (plain, *better)]
    return sorted(found, key=_by_cost)


def _by_cost(one: Candidate) -> int:
    return one.cost_bytes


def _costed(one: Candidate, symbols: Symbols, alphabet: int, history: Symbols | None) -> Candidate:
    """With what its symbols and its tables take."""
    known = tables.counted(symbols, one.contexts(history), (one.classes.count << one.depth, alphabet))
    frequencies = tables.normalised(known)
    written = len(one.classes.written()) + len(tables.written(frequencies))
    return replace(one, cost_bytes=tables.cost(known, frequencies) + written)


def _groupings(symbols: Symbols, placing: Placing, alphabet: int, centre: int) -> list[Classes]:
    """Rows and columns of the tensor, cut into classes."""
    shape = [size for size in placing.shape if size > 1]
    if len(shape) < 2:
        return []
    ahead = (symbols - np.uint8(centre)) & np.uint8(alphabet - 1)
    far = np.minimum(ahead, (np.uint8(0) - ahead) & np.uint8(alphabet - 1))
    whole = int(np.prod(shape[1:], dtype=np.int64))
    wanted = {(ROWS, whole), (ROWS, shape[-1]), (COLUMNS, shape[-1]), (COLUMNS, whole)}
    found = []
    for kind, width in sorted(wanted):
        phase = placing.offset % width
        size = -(-(phase + symbols.size) // width) if kind == ROWS else width
        if width <= symbols.size and 2 <= size <= min(_GROUPS_MAX, symbols.size // 8):
            sums, members = _spread(kind, far, width, phase, size)
            order = np.argsort(sums // np.maximum(members, 1), kind="stable")
            for count in _CLASS_COUNTS:
                if count <= size:
                    groups = np.zeros(size, np.uint8)
                    groups[order] = (np.arange(size) * count // size).astype(np.uint8)
                    places = _places(kind, groups, width, phase, symbols.size)
                    found.append(Classes(kind, count, places, width, phase, groups))
    return found


def _spread(kind: int, far: Symbols, width: int, phase: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each row or column the sum of distances from the centre, in 1/1024, and how many symbols it has."""
    lead = np.zeros(phase, np.uint8)
    tail = np.zeros(-(phase + far.size) % width, np.uint8)
    table = np.concatenate([lead, far, tail]).reshape(-1, width)
    axis = 1 if kind == ROWS else 0
    members = np.full(size, width if kind == ROWS else table.shape[0], np.int64)
    if kind == ROWS:
        members[0] -= phase
        members[-1] -= tail.size
    return table.sum(axis=axis, dtype=np.int64) * 1024, members


def _places(kind: int, groups: Symbols, width: int, phase: int, symbols: int) -> Symbols:
    if kind == ROWS:
        members = np.full(groups.size, width, np.int64)
        members[0] = min(width - phase, symbols)
        members[-1] = symbols - int(members[:-1].sum()) if groups.size > 1 else symbols
        return np.repeat(groups, members)
    return np.resize(np.roll(groups, -phase), symbols)

"""The tree over the entries as they are read, and whether the stored tiles hold the same hashes.

One reason: proofs are read from tiles, so a changed tile would break them all, and the tree that tells it is the one that gives the
root. A tile's worth of leaves is hashed at once. Memory: one tile for each level.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from audit import merkle
from audit.models import Tile

_FULL = merkle.TILE_WIDTH * merkle.HASH_BYTES


@dataclass(frozen=True)
class TileFlaw:
    """What is wrong with a tile; `position` is the first entry that it does not hold, where one can be told."""

    sentence: str
    position: int | None


@dataclass
class _Level:
    """The hashes of the open tile of one level, and the roots of complete subtrees of the first of them."""

    index: int = 0
    hashes: list[bytes] = field(default_factory=list)
    frontier: merkle.Frontier = field(default_factory=merkle.Frontier)

    def peaks(self) -> tuple[bytes, ...]:
        for item in self.hashes[self.frontier.size :]:
            self.frontier.append(item)
        return self.frontier.peaks


class TreeCheck:
    """Takes leaves in their order; `built` of them are in the stored tiles."""

    def __init__(self, built: int, read: merkle.TileReader) -> None:
        self._built = built
        self._read = read
        self._levels = [_Level()]
        self._open = self._levels[0].hashes
        self._full_tiles = 0
        self._flaws: list[TileFlaw] = []

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return self._full_tiles * merkle.TILE_WIDTH + len(self._open)

    def append(self, leaf: bytes) -> None:
        """One more leaf."""
        self._open.append(leaf)
        if len(self._open) == merkle.TILE_WIDTH:
            self._full_tiles += 1
            self._close(0)
            self._open = self._levels[0].hashes

    def root(self) -> bytes:
        """The root over all leaves so far."""
        peaks: list[bytes] = []
        for level in reversed(self._levels):
            peaks += level.peaks()
        result = peaks.pop() if peaks else merkle.EMPTY_ROOT
        while peaks:
            result = merkle.node_hash(peaks.pop(), result)
        return result

    def finish(self) -> Iterator[TileFlaw]:
        """Compare the tiles that are not full, and say what differs."""
        for number, level in enumerate(self._levels):
            if level.hashes:
                self._compare(number, level)
        yield from self._flaws

    def _close(self, number: int) -> None:
        level = self._levels[number]
        self._compare(number, level)
        value = _subtree_root(level.hashes)
        self._levels[number] = _Level(level.index + 1)
        if number + 1 == len(self._levels):
            self._levels.append(_Level())
        above = self._levels[number + 1]
        above.hashes.append(value)
        if len(above.hashes) == merkle.TILE_WIDTH:
            self._close(number + 1)

    def _compare(self, number: int, level: _Level) -> None:
        built = (self._built >> number * merkle.TILE_HEIGHT) - level.index * merkle.TILE_WIDTH
        expected = b"".join(level.hashes[: max(built, 0)])
        if not expected:
            return
        try:
            stored = self._read(number, level.index)
        except Tile.DoesNotExist:
            self._flaws.append(TileFlaw(f"tile {level.index} of level {number} is missing", None))
            return
        if (stored if len(expected) == _FULL else stored[: len(expected)]) != expected:
            self._flaws.append(_different(number, level.index, stored, expected))


def _different(number: int, index: int, stored: bytes, expected: bytes) -> TileFlaw:
    sentence = f"tile {index} of level {number} does not hold the hashes of the entries"
    if number:
        return TileFlaw(sentence, None)
    step = merkle.HASH_BYTES
    for place in range(len(expected) // step):
        if stored[place * step : (place + 1) * step] != expected[place * step : (place + 1) * step]:
            return TileFlaw(f"{sentence}, from this entry on", index * merkle.TILE_WIDTH + place)
    return TileFlaw(f"tile {index} of level {number} holds more than 256 hashes", None)


def _subtree_root(hashes: list[bytes]) -> bytes:
    """The root of a full tile."""
    sha256 = hashlib.sha256
    while len(hashes) > 1:
        pairs = iter(hashes)
        hashes = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
    return hashes[0]

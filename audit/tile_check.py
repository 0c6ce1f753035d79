"""Whether the stored tiles hold what the entries hash to: proofs are read from tiles, so a changed tile would break them all."""

from __future__ import annotations

from collections.abc import Iterator

from audit import merkle
from audit.models import Tile

_FULL = merkle.TILE_WIDTH * merkle.HASH_BYTES


class TileCheck:
    """Takes leaves one by one and compares each tile once it is complete; keeps one tile per level."""

    def __init__(self, built: int, read: merkle.TileReader) -> None:
        self._built = built
        self._read = read
        self._levels: list[tuple[int, bytearray]] = []
        self._flaws: list[str] = []
        self._taken = 0

    def append(self, leaf: bytes) -> None:
        """One more leaf; those beyond what the keeper has built are not compared."""
        if self._taken < self._built:
            self._taken += 1
            self._add(0, leaf)

    def _add(self, level: int, value: bytes) -> None:
        if level == len(self._levels):
            self._levels.append((0, bytearray()))
        index, data = self._levels[level]
        data += value
        if len(data) == _FULL:
            self._compare(level, index, bytes(data))
            self._levels[level] = (index + 1, bytearray())
            step = merkle.HASH_BYTES
            self._add(level + 1, merkle.root(bytes(data[at : at + step]) for at in range(0, _FULL, step)))

    def finish(self) -> Iterator[str]:
        """Compare the tiles that are not full, and say what differs."""
        for level, (index, data) in enumerate(self._levels):
            if data:
                self._compare(level, index, bytes(data))
        yield from self._flaws

    def _compare(self, level: int, index: int, data: bytes) -> None:
        try:
            stored = self._read(level, index)
        except Tile.DoesNotExist:
            self._flaws.append(f"tile {index} of level {level} is missing")
            return
        if stored[: len(data)] != data:
            self._flaws.append(f"tile {index} of level {level} does not hold the hashes of the entries")

"""The one tree: RFC 6962 Merkle hashes, proofs and their checks, over leaves or over 256-wide tiles.

One reason: root, inclusion and consistency are defined here once, bytes in and out, so that ledger, keeper, witness and
bundle agree by construction. Rules:
- leaf = SHA-256(0x00 || entry), node = SHA-256(0x01 || left || right), empty tree = SHA-256("") (RFC 6962 section 2.1);
- a tree of n leaves splits at the largest power of two below n; every proof is a list of such ranges, hashed;
- a proof of the wrong length is refused, never ignored in part (RFC 9162 sections 2.1.3.2 and 2.1.4.2);
- tiles hold up to 256 hashes; tile n of level l holds the roots of runs of 256**l leaves (C2SP tlog-tiles).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

LeafSource = Callable[[int], bytes]
"""Gives the leaf hash at a position."""

TileReader = Callable[[int, int], bytes]
"""Gives the hashes of tile (level, index), side by side, 32 bytes each; more than a size in question needs is fine."""

HASH_BYTES = 32
TILE_HEIGHT = 8
TILE_WIDTH = 256
EMPTY_ROOT = hashlib.sha256(b"").digest()

_Range = tuple[int, int]


class MerkleError(ValueError):
    """A position, size or tile does not fit; the message says which."""


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Iterable[bytes]) -> bytes:
    """Root over leaf hashes (RFC 6962 section 2.1), reading them once and keeping only the frontier."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


class Frontier:
    """The roots of the complete subtrees of a tree, largest first: all that appending and the root need."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if size < 0 or len(peaks) != size.bit_count() or any(len(peak) != HASH_BYTES for peak in peaks):
            raise MerkleError(f"a tree of {size} leaves has {max(size, 0).bit_count()} peaks of {HASH_BYTES} bytes")
        self._size = size
        self._peaks = list(peaks)

    @property
    def size(self) -> int:
        return self._size

    @property
    def peaks(self) -> tuple[bytes, ...]:
        return tuple(self._peaks)

    def append(self, leaf: bytes) -> None:
        if len(leaf) != HASH_BYTES:
            raise MerkleError(f"a leaf hash has {HASH_BYTES} bytes, not {len(leaf)}")
        height = self._size
        while height & 1:  # each trailing one bit is a complete subtree of the same height
            leaf = node_hash(self._peaks.pop(), leaf)
            height >>= 1
        self._peaks.append(leaf)
        self._size += 1

    def root(self) -> bytes:
        return _fold(self._peaks)


# --- proofs as ranges -------------------------------------------------------------------------------------------------


def inclusion_path(leaf_source: LeafSource, index: int, size: int) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 section 2.1.1, from the leaf's sibling to the child of the root."""
    return [_hash_leaves(leaf_source, low, high) for low, high in _inclusion_ranges(index, size)]


def consistency_path(leaf_source: LeafSource, old: int, new: int) -> list[bytes]:
    """PROOF(old, D[new]) of RFC 6962 section 2.1.2; empty from 0 and from the same size."""
    return [_hash_leaves(leaf_source, low, high) for low, high in _consistency_ranges(old, new)]


def _inclusion_ranges(index: int, size: int) -> list[_Range]:
    if not 0 <= index < size:
        raise MerkleError(f"there is no leaf {index} in a tree of {size}")
    ranges: list[_Range] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low = middle
    return ranges[::-1]


def _consistency_ranges(old: int, new: int) -> list[_Range]:
    if not 0 <= old <= new:
        raise MerkleError(f"a tree of {new} leaves has no older state of {old}")
    if old in (0, new):
        return []
    ranges: list[_Range] = []
    low, high = 0, new
    while high != old:  # SUBPROOF walks to the complete subtree that ends at `old`
        middle = low + _split(high - low)
        if old <= middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low = middle
    if low:  # the old root itself is known to the verifier and is left out
        ranges.append((low, high))
    return ranges[::-1]


def _split(count: int) -> int:
    """The largest power of two below `count` (count > 1)."""
    return 1 << (count - 1).bit_length() - 1


def _hash_leaves(leaf_source: LeafSource, low: int, high: int) -> bytes:
    return root(leaf_source(index) for index in range(low, high))


def _fold(peaks: Sequence[bytes]) -> bytes:
    if not peaks:
        return EMPTY_ROOT
    result = peaks[-1]
    for peak in reversed(peaks[:-1]):
        result = node_hash(peak, result)
    return result


# --- checks -----------------------------------------------------------------------------------------------------------


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `leaf` is leaf number `index` of the tree of `size` with `root` (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size or any(len(item) != HASH_BYTES for item in (leaf, root, *path)):
        return False
    node, last, result = index, size - 1, leaf
    for item in path:
        if last == 0:
            return False  # too long
        if node & 1 or node == last:
            result = node_hash(item, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, item)
        node, last = node >> 1, last >> 1
    return last == 0 and result == root


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether the tree of `new` leaves only appends to that of `old` leaves (RFC 9162 section 2.1.4.2).

    From size 0 the path is empty and the old root is that of the empty tree; from the same size the roots are equal.
    """
    if not 0 <= old <= new or any(len(item) != HASH_BYTES for item in (old_root, new_root, *path)):
        return False
    if old == new:
        return not path and old_root == new_root and (old > 0 or old_root == EMPTY_ROOT)
    if old == 0:
        return not path and old_root == EMPTY_ROOT
    items = list(path)
    if old & (old - 1) == 0:
        items.insert(0, old_root)  # a complete old tree is itself the first hash
    if not items:
        return False
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    from_old = from_new = items[0]
    for item in items[1:]:
        if last == 0:
            return False  # too long
        if node & 1 or node == last:
            from_old, from_new = node_hash(item, from_old), node_hash(item, from_new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            from_new = node_hash(from_new, item)
        node, last = node >> 1, last >> 1
    return last == 0 and from_old == old_root and from_new == new_root


# --- tiles ------------------------------------------------------------------------------------------------------------


class TileTree:
    """Root and proofs of a tree of `size` leaves from its tiles alone: a proof reads a few tiles, never all leaves."""

    def __init__(self, read: TileReader, size: int) -> None:
        if size < 0:
            raise MerkleError(f"a tree cannot have {size} leaves")
        self._read = read
        self._cache: dict[tuple[int, int], bytes] = {}
        self._nodes: dict[tuple[int, int], bytes] = {}
        self.size = size

    def root(self, size: int | None = None) -> bytes:
        """Root of the whole tree or of its first `size` leaves."""
        size = self.size if size is None else size
        if not 0 <= size <= self.size:
            raise MerkleError(f"a tree of {self.size} leaves has no state of {size}")
        return self._range_hash(0, size)

    def leaf(self, index: int) -> bytes:
        if not 0 <= index < self.size:
            raise MerkleError(f"there is no leaf {index} in a tree of {self.size}")
        return self._range_hash(index, index + 1)

    def inclusion_path(self, index: int, size: int | None = None) -> list[bytes]:
        size = self.size if size is None else size
        if size > self.size:
            raise MerkleError(f"a tree of {self.size} leaves has no state of {size}")
        return [self._range_hash(low, high) for low, high in _inclusion_ranges(index, size)]

    def consistency_path(self, old: int, new: int | None = None) -> list[bytes]:
        new = self.size if new is None else new
        if new > self.size:
            raise MerkleError(f"a tree of {self.size} leaves has no state of {new}")
        return [self._range_hash(low, high) for low, high in _consistency_ranges(old, new)]

    def frontier(self) -> Frontier:
        """The frontier at `size`, from which a writer goes on."""
        return Frontier(self.size, [self._complete(low, height) for low, height in _complete_runs(0, self.size)])

    def _range_hash(self, low: int, high: int) -> bytes:
        return _fold([self._complete(start, height) for start, height in _complete_runs(low, high)])

    def _complete(self, start: int, height: int) -> bytes:
        """Root of the complete subtree of 2**height leaves that begins at leaf `start`; kept for further proofs."""
        known = self._nodes.get((start, height))
        if known is not None:
            return known
        level, inside = divmod(height, TILE_HEIGHT)
        if inside:
            half = 1 << height - 1
            result = node_hash(self._complete(start, height - 1), self._complete(start + half, height - 1))
        else:
            tile, offset = divmod(start >> level * TILE_HEIGHT, TILE_WIDTH)
            result = self._tile(level, tile)[offset * HASH_BYTES : (offset + 1) * HASH_BYTES]
            if len(result) != HASH_BYTES:
                raise MerkleError(f"tile {tile} of level {level} is too short for a tree of {self.size} leaves")
        self._nodes[start, height] = result
        return result

    def _tile(self, level: int, index: int) -> bytes:
        if (level, index) not in self._cache:
            self._cache[level, index] = self._read(level, index)
        return self._cache[level, index]


def _complete_runs(low: int, high: int) -> Iterator[tuple[int, int]]:
    """Cut a range of an RFC 6962 tree into its complete subtrees, largest first, as (first leaf, height)."""
    while low < high:
        height = (high - low).bit_length() - 1
        yield low, height
        low += 1 << height


def grow_tiles(read: TileReader, size: int, leaves: Sequence[bytes]) -> dict[tuple[int, int], bytes]:
    """The new content of every tile that changes when `leaves` are appended to a tree of `size` leaves.

    `read` is asked only for partial tiles. The result's keys are (level, index); partial tiles are included.
    """
    changed: dict[tuple[int, int], bytes] = {}
    level, count, hashes = 0, size, list(leaves)
    while hashes:
        index, width = divmod(count, TILE_WIDTH)
        kept = read(level, index)[: width * HASH_BYTES] if width else b""
        if len(kept) != width * HASH_BYTES:
            raise MerkleError(f"tile {index} of level {level} is too short for a tree of {size} leaves")
        data = kept + b"".join(hashes)
        full: list[bytes] = []
        for start in range(0, len(data), TILE_WIDTH * HASH_BYTES):
            tile = data[start : start + TILE_WIDTH * HASH_BYTES]
            changed[level, index] = tile
            index += 1
            if len(tile) == TILE_WIDTH * HASH_BYTES:
                full.append(root(tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)))
        level, count, hashes = level + 1, count // TILE_WIDTH, full
    return changed

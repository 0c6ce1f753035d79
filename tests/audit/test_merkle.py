"""The tree against RFC 6962's known vectors and against a naive recursion written straight from its definitions."""

from __future__ import annotations

import hashlib
import random

import pytest

from audit import merkle

# the eight entries and roots that Certificate Transparency implementations share
CT_ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def naive_root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = largest_power_below(len(leaves))
    return hashlib.sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(m: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = largest_power_below(len(leaves))
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_subproof(m: int, leaves: list[bytes], known: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if known else [naive_root(leaves)]
    k = largest_power_below(len(leaves))
    if m <= k:
        return [*naive_subproof(m, leaves[:k], known), naive_root(leaves[k:])]
    return [*naive_subproof(m - k, leaves[k:], False), naive_root(leaves[:k])]


def largest_power_below(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def some_leaves(count: int) -> list[bytes]:
    return [merkle.leaf_hash(b"entry %d" % index) for index in range(count)]


def reader_of(tiles: dict[tuple[int, int], bytes]) -> merkle.TileReader:
    return lambda level, index: tiles[level, index]


def test_the_known_roots_of_one_to_eight_entries_come_out() -> None:
    leaves = [merkle.leaf_hash(entry) for entry in CT_ENTRIES]
    assert [merkle.root(leaves[:size]).hex() for size in range(1, 9)] == CT_ROOTS
    assert merkle.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_known_inclusion_and_consistency_proofs_come_out() -> None:
    leaves = [merkle.leaf_hash(entry) for entry in CT_ENTRIES]
    assert [item.hex() for item in merkle.inclusion_path(leaves.__getitem__, 0, 8)] == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert [item.hex() for item in merkle.consistency_path(leaves.__getitem__, 6, 8)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


@pytest.mark.parametrize("size", range(1, 131))
def test_roots_and_all_proofs_agree_with_the_naive_recursion(size: int) -> None:
    leaves = some_leaves(size)
    whole = naive_root(leaves)
    frontier = merkle.Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    assert (frontier.size, frontier.root()) == (size, whole)
    tree = merkle.TileTree(reader_of(merkle.grow_tiles(lambda level, index: b"", 0, leaves)), size)
    assert tree.root() == whole
    for index in range(size):
        path = naive_path(index, leaves)
        assert merkle.inclusion_path(leaves.__getitem__, index, size) == path
        assert tree.inclusion_path(index) == path
        assert merkle.verify_inclusion(leaves[index], index, size, path, whole)
    for old in range(1, size + 1):
        path = naive_subproof(old, leaves, True)
        old_root = naive_root(leaves[:old])
        assert merkle.consistency_path(leaves.__getitem__, old, size) == path
        assert tree.consistency_path(old) == path
        assert merkle.verify_consistency(old, size, old_root, whole, path)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13, 64, 100])
def test_a_proof_that_is_longer_shorter_changed_or_for_another_place_is_refused(size: int) -> None:
    leaves = some_leaves(size)
    whole = naive_root(leaves)
    for index in range(size):
        path = naive_path(index, leaves)
        assert not merkle.verify_inclusion(leaves[index], index, size, [*path, bytes(32)], whole)
        assert not merkle.verify_inclusion(bytes(32), index, size, path, whole)
        assert not merkle.verify_inclusion(leaves[index], size, size, path, whole)
        assert not merkle.verify_inclusion(leaves[index], -1, size, path, whole)
        if path:
            assert not merkle.verify_inclusion(leaves[index], index, size, path[:-1], whole)
            assert not merkle.verify_inclusion(leaves[index], index ^ 1, size, path, whole)
            assert not merkle.verify_inclusion(leaves[index], index, size, [bytes(32), *path[1:]], whole)
            assert not merkle.verify_inclusion(leaves[index], index, size, [path[0][:31], *path[1:]], whole)
    for old in range(1, size):
        path = naive_subproof(old, leaves, True)
        old_root = naive_root(leaves[:old])
        assert not merkle.verify_consistency(old, size, old_root, whole, [*path, bytes(32)])
        assert not merkle.verify_consistency(old, size, old_root, whole, path[:-1])
        assert not merkle.verify_consistency(old, size, bytes(32), whole, path)
        assert not merkle.verify_consistency(old, size, old_root, bytes(32), path)
        assert not merkle.verify_consistency(size, old, whole, old_root, path)


def test_consistency_from_nothing_and_from_itself_needs_an_empty_path_and_the_right_roots() -> None:
    leaves = some_leaves(5)
    whole = naive_root(leaves)
    assert merkle.verify_consistency(0, 5, merkle.EMPTY_ROOT, whole, [])
    assert merkle.verify_consistency(0, 0, merkle.EMPTY_ROOT, merkle.EMPTY_ROOT, [])
    assert merkle.verify_consistency(5, 5, whole, whole, [])
    assert not merkle.verify_consistency(0, 5, whole, whole, [])
    assert not merkle.verify_consistency(0, 0, whole, whole, [])
    assert not merkle.verify_consistency(0, 5, merkle.EMPTY_ROOT, whole, [bytes(32)])
    assert not merkle.verify_consistency(5, 5, whole, whole, [bytes(32)])
    assert not merkle.verify_consistency(5, 5, bytes(32), whole, [])
    assert not merkle.verify_consistency(4, 5, whole, whole, [])


@pytest.mark.parametrize("size", [255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 70_000])
def test_tiles_give_the_same_root_and_proofs_where_tiles_begin_and_end(size: int) -> None:
    leaves = [index.to_bytes(32, "big") for index in range(size)]
    tree = merkle.TileTree(reader_of(merkle.grow_tiles(lambda level, index: b"", 0, leaves)), size)
    whole = merkle.root(leaves)
    assert tree.root() == whole
    assert tree.frontier().root() == whole
    for index in {0, 1, 254, size // 2, size - 2, size - 1}:
        assert merkle.verify_inclusion(leaves[index], index, size, tree.inclusion_path(index), whole)
        assert tree.leaf(index) == leaves[index]
    for old in {1, 128, 254, size // 3, size - 1, size}:
        assert merkle.verify_consistency(old, size, merkle.root(leaves[:old]), whole, tree.consistency_path(old))
        assert tree.root(old) == merkle.root(leaves[:old])


def test_a_tree_of_70000_has_the_tiles_that_the_tile_format_names() -> None:
    tiles = merkle.grow_tiles(lambda level, index: b"", 0, [bytes(32)] * 70_000)
    assert sum(1 for (level, _), data in tiles.items() if level == 0 and len(data) == 8192) == 273
    assert len(tiles[0, 273]) == 112 * 32
    assert len(tiles[1, 0]) == 8192
    assert len(tiles[1, 1]) == 17 * 32
    assert len(tiles[2, 0]) == 32
    assert len(tiles) == 277


def test_tiles_grown_in_random_pieces_equal_tiles_grown_at_once() -> None:
    leaves = [index.to_bytes(32, "big") for index in range(66_200)]
    chance = random.Random(7)
    tiles: dict[tuple[int, int], bytes] = {}
    size = 0
    while size < len(leaves):
        step = leaves[size : size + chance.choice([1, 3, 255, 256, 257, 9000])]
        tiles.update(merkle.grow_tiles(reader_of(tiles), size, step))
        size += len(step)
    assert tiles == merkle.grow_tiles(lambda level, index: b"", 0, leaves)


def test_a_tile_that_is_too_short_is_an_error_and_not_a_wrong_root() -> None:
    leaves = some_leaves(300)
    tiles = merkle.grow_tiles(lambda level, index: b"", 0, leaves)
    tiles[0, 1] = tiles[0, 1][:-32]
    with pytest.raises(merkle.MerkleError, match="tile 1 of level 0 is too short"):
        merkle.TileTree(reader_of(tiles), 300).root()
    with pytest.raises(merkle.MerkleError, match="too short"):
        merkle.grow_tiles(reader_of(tiles), 300, leaves[:1])


def test_a_frontier_goes_on_from_stored_peaks() -> None:
    leaves = some_leaves(100)
    first = merkle.Frontier()
    for leaf in leaves[:77]:
        first.append(leaf)
    second = merkle.Frontier(first.size, first.peaks)
    for leaf in leaves[77:]:
        second.append(leaf)
    assert second.root() == naive_root(leaves)
    with pytest.raises(merkle.MerkleError):
        merkle.Frontier(79, first.peaks)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5), (6, 5)])
def test_a_proof_for_a_leaf_that_does_not_exist_is_refused(index: int, size: int) -> None:
    with pytest.raises(merkle.MerkleError):
        merkle.inclusion_path(some_leaves(10).__getitem__, index, size)


def test_a_proof_from_a_newer_to_an_older_state_is_refused() -> None:
    with pytest.raises(merkle.MerkleError):
        merkle.consistency_path(some_leaves(10).__getitem__, 6, 5)
    tree = merkle.TileTree(lambda level, index: b"".join(some_leaves(10)), 10)
    with pytest.raises(merkle.MerkleError):
        tree.consistency_path(5, 11)
    with pytest.raises(merkle.MerkleError):
        tree.inclusion_path(3, 11)
    with pytest.raises(merkle.MerkleError):
        tree.root(11)


def test_tiles_answer_for_no_leaf_and_no_size_beyond_the_tree_although_they_hold_more() -> None:
    read = reader_of(merkle.grow_tiles(lambda level, index: b"", 0, some_leaves(20)))
    tree = merkle.TileTree(read, 10)
    assert tree.root() == naive_root(some_leaves(10))
    for wrong in (
        lambda: tree.root(11),
        lambda: tree.root(-1),
        lambda: tree.leaf(10),
        lambda: tree.leaf(-1),
        lambda: tree.inclusion_path(3, 11),
        lambda: tree.inclusion_path(10),
        lambda: tree.consistency_path(5, 11),
        lambda: merkle.TileTree(read, -1),
        lambda: merkle.Frontier().append(b"short"),
    ):
        with pytest.raises(merkle.MerkleError):
            wrong()

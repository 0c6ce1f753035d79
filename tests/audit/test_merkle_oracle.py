"""The tree beside an independent implementation, pymerkle: every size from 1 to 512. It is an oracle of tests only."""

from __future__ import annotations

import random

import pytest
from pymerkle import InmemoryTree, verify_consistency

from audit import merkle, offline_verify

LARGEST = 512
ENTRIES = [b"entry %d" % number for number in range(LARGEST)]
LEAVES = [merkle.leaf_hash(entry) for entry in ENTRIES]


@pytest.fixture(scope="module")
def oracle() -> InmemoryTree:
    tree = InmemoryTree(algorithm="sha256")
    tree.append_entries(ENTRIES)
    return tree


def places(size: int) -> list[int]:
    """The ends, the middle, both sides of the largest power of two, and some by chance."""
    power = 1 << size.bit_length() - 1
    chance = random.Random(size)
    wished = {0, 1, size // 2, power - 1, power, size - 2, size - 1, *(chance.randrange(size) for _ in range(4))}
    return sorted(place for place in wished if 0 <= place < size)


def hashes(proof: object) -> list[str]:
    """What the oracle's proof carries, in no order: it lists the leaf too, and folds by a rule of its own."""
    return sorted(proof.serialize()["path"])  # type: ignore[attr-defined]


def test_the_oracle_has_the_same_root_at_every_size_as_the_product_and_the_stand_alone_verifier(
    oracle: InmemoryTree,
) -> None:
    frontier = merkle.Frontier()
    for size in range(1, LARGEST + 1):
        frontier.append(LEAVES[size - 1])
        assert frontier.root() == oracle.get_root(size), size
        assert offline_verify.tree_root(LEAVES[:size]) == oracle.get_root(size), size


def test_inclusion_proofs_carry_the_hashes_of_the_oracles_at_every_size(oracle: InmemoryTree) -> None:
    for size in range(1, LARGEST + 1):
        for index in places(size):
            path = merkle.inclusion_path(LEAVES.__getitem__, index, size)
            ours = sorted(item.hex() for item in [LEAVES[index], *path])
            assert ours == hashes(oracle.prove_inclusion(index + 1, size)), (index, size)
            root = oracle.get_root(size)
            assert merkle.verify_inclusion(LEAVES[index], index, size, path, root)
            assert offline_verify.included(LEAVES[index], index, size, path, root)


def test_consistency_proofs_hold_between_the_oracles_roots_and_carry_its_hashes_of_the_same_ranges(
    oracle: InmemoryTree,
) -> None:
    """The oracle cuts the new leaves differently where the old tree is complete, so hashes are compared range by range."""
    for old in range(1, LARGEST + 1):
        for new in sorted({old + 1, 2 * old, 2 * old + 1, LARGEST - 1, LARGEST}):
            if not old < new <= LARGEST:
                continue
            path = merkle.consistency_path(LEAVES.__getitem__, old, new)
            ranges = merkle._consistency_ranges(old, new)
            assert path == [oracle._get_root(low, high) for low, high in ranges], (old, new)
            roots = oracle.get_root(old), oracle.get_root(new)
            verify_consistency(*roots, oracle.prove_consistency(old, new))
            assert merkle.verify_consistency(old, new, *roots, path)
            assert offline_verify.consistent(old, new, *roots, path)

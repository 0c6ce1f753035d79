"""What the keeper signs is what the entries say: a tile that was changed after it grew is not signed."""

from __future__ import annotations

import pytest

from audit import checkpoints
from audit.models import Checkpoint, Tile
from tests.world import World

pytestmark = pytest.mark.django_db


def changed(tile: Tile, place: int) -> None:
    """Another hash at a place of a tile."""
    hashes = bytearray(tile.hashes)
    hashes[32 * place] ^= 1
    Tile.objects.filter(pk=tile.pk).update(hashes=bytes(hashes))


def signed() -> tuple[int, list[bytes]]:
    return Checkpoint.objects.count(), checkpoints.outside_notes()


def test_a_leaf_in_a_tile_that_no_checkpoint_covers_yet_is_compared_with_its_entry(world: World) -> None:
    size = world.checkpoint().size
    world.teams(3)
    assert checkpoints.grow() == size + 3
    before = signed()
    changed(Tile.objects.get(level=0, index=0), size + 1)
    with pytest.raises(checkpoints.LedgerRefused, match="not the one that the entries give") as refused:
        checkpoints.sign_next()
    assert "verify-ledger" in refused.value.hint
    assert signed() == before
    changed(Tile.objects.get(level=0, index=0), size + 1)
    found = checkpoints.sign_next()
    assert found is not None
    assert found.size == size + 3


def test_the_first_checkpoint_is_compared_from_the_first_entry_on(world: World) -> None:
    assert not Checkpoint.objects.exists()
    checkpoints.grow()
    changed(Tile.objects.get(level=0, index=0), 0)
    with pytest.raises(checkpoints.LedgerRefused, match="not the one that the entries give"):
        checkpoints.sign_next()
    assert signed() == (0, [])


def test_tiles_above_the_leaves_are_compared_and_a_missing_one_is_told(world: World) -> None:
    world.checkpoint()
    world.teams(260)
    checkpoints.grow()
    before = signed()
    above = Tile.objects.get(level=1, index=0)
    changed(above, 0)
    with pytest.raises(checkpoints.LedgerRefused, match="not the one that the entries give"):
        checkpoints.sign_next()
    above.delete()
    with pytest.raises(checkpoints.LedgerRefused, match="is missing"):
        checkpoints.sign_next()
    assert signed() == before

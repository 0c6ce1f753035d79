"""Bytes that nobody names go after a day; whatever a record or an entry names stays."""

from __future__ import annotations

import os
import time

from audit.verification import orphans
from registry import storage
from tests.world import World


def age(digest: str, hours: float) -> None:
    then = time.time() - hours * 3600
    os.chmod(storage.path_of(digest), 0o644)
    os.utime(storage.path_of(digest), (then, then))


def test_an_orphan_goes_after_a_day_and_not_before(world: World) -> None:
    young, old = storage.store_bytes(b"young"), storage.store_bytes(b"old")
    age(old.digest, 25)
    age(young.digest, 23)
    assert orphans.sweep() == [old.digest]
    assert storage.is_stored(young.digest)


def test_what_a_record_or_an_entry_names_stays_for_ever(world: World) -> None:
    version, data = world.version(), world.dataset_version()
    for folder in storage._root().glob("[0-9a-f][0-9a-f]"):
        for path in folder.iterdir():
            age(f"sha256:{path.name}", 1000)
    before = {p.name for f in storage._root().glob("[0-9a-f][0-9a-f]") for p in f.iterdir()}
    assert orphans.sweep() == []
    assert {p.name for f in storage._root().glob("[0-9a-f][0-9a-f]") for p in f.iterdir()} == before
    assert storage.is_stored(version.digest)
    assert storage.is_stored(data.document_digest)

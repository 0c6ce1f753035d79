"""`rotate_keys`: new keys from a position on, vouched for by the old ones."""

from __future__ import annotations

import pytest

from audit import checkpoints, eras, keys, notes, replay
from audit.models import Entry, Key
from audit.services_interventions import rotate_keys
from registry.digests import parse_canonical
from registry.errors import Forbidden, Invalid
from registry.events import emit, unit
from tests.world import World

pytestmark = pytest.mark.db_guarantee


def last_event() -> dict:
    return parse_canonical(bytes(Entry.objects.order_by("-position").first().entry))["event"]


def receipt_of_an_act(world: World, slug: str) -> str:
    from registry.access.models import Team

    with unit(world.cast.root, role="administrator") as opened:
        team = Team.objects.create(slug=slug, created_at=opened.now)
        emit("team.created", team, team=team.pk)
    assert opened.receipt is not None
    return opened.receipt


def test_a_rotation_is_one_entry_that_names_old_and_new_keys_and_its_own_position(world: World) -> None:
    size = Entry.objects.count()
    act = world.rotate_keys()
    assert Entry.objects.count() == size + 1
    event = last_event()
    assert (event["kind"], event["actor"]["role"]) == ("key.rotated", "administrator")
    rows = [record["row"] for record in event["records"] if record["type"] == "audit.key/1"]
    assert sorted((r["use"], r["first_position"], r["last_position"]) for r in rows) == [
        ("issuer", 0, size - 1), ("issuer", size, None), ("log", 0, size - 1), ("log", size, None),
    ]  # fmt: skip
    assert act.reason.value == "It is time."
    found = eras.read()
    assert [(era.first, era.kind, era.vouched) for era in found] == [
        (0, "ledger.created", False), (size, "key.rotated", True),
    ]  # fmt: skip
    assert replay.compare() == []

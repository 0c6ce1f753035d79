"""When the approval of what an alias serves lapses, service goes on and the owner of the model is told, once, with a date."""

from __future__ import annotations

import json

from audit import keeper
from audit.models import Entry
from registry.oversight import services as oversight
from registry.oversight.models import Finding
from registry.release import queries, services
from registry.release.services.lapses import KIND, open_lapse_findings
from tests.world import Cast, World


def lapsed() -> list[Finding]:
    return list(Finding.objects.filter(kind=KIND).order_by("pk"))


def another_policy(world: World, grace_hours: int = 48) -> None:
    world.policy(change=lambda d: d.update(lapse_grace_hours=grace_hours))


def test_a_live_approval_that_is_granted_opens_nothing(world: World) -> None:
    world.promoted(world.parent_version())
    assert (open_lapse_findings(), lapsed()) == (0, [])


def test_a_stale_approval_of_a_live_version_opens_one_finding_for_the_owner_and_moves_nothing(world: World) -> None:
    move = world.promoted(world.parent_version())
    another_policy(world)
    assert (open_lapse_findings(), open_lapse_findings()) == (1, 0)
    (row,) = lapsed()
    assert (row.about, row.owner_id, row.state) == (move.pk, move.model.owner_id, "open")
    assert 1 <= (row.due_on - row.created_at.date()).days <= 2
    assert "its approval is stale" in str(row.description)
    assert "limited@2 it is admitted for 48 hours" in str(row.description)
    event = json.loads(bytes(Entry.objects.order_by("-position")[0].entry))["event"]
    assert (event["kind"], event["actor"]["role"], event["actor"]["via"]) == ("finding.opened", "system", "keeper")
    assert queries.served(move.model, "production") == move.version


def test_a_revoked_approval_is_told_without_grace(world: World, cast: Cast) -> None:
    move = world.promoted(world.parent_version())
    assert move.approval is not None
    services.revoke_approval(actor=cast.omar, approval=move.approval, reason="The data was wrong.")
    open_lapse_findings()
    assert "hears no" in str(lapsed()[0].description)


def test_what_is_no_longer_served_is_not_told(world: World, cast: Cast) -> None:
    move = world.promoted(world.parent_version())
    services.suspend(actor=cast.otto, model=move.model, alias="production", reason="Odd answers.")
    another_policy(world)
    assert open_lapse_findings() == 0


def test_a_new_approval_is_a_new_move_and_a_later_lapse_is_told_again(world: World, cast: Cast) -> None:
    version = world.parent_version()
    world.promoted(version)
    another_policy(world)
    open_lapse_findings()
    oversight.close_finding(actor=cast.carla, finding=lapsed()[0], closure="Asked for a new approval.")
    assert open_lapse_findings() == 0
    world.promoted(version)
    assert open_lapse_findings() == 0
    another_policy(world, 24)
    assert (open_lapse_findings(), len(lapsed())) == (1, 2)


def test_the_keeper_asks_for_lapses() -> None:
    assert {spec.name: spec.act for spec in keeper.TICKS}["tell-lapses"] is open_lapse_findings

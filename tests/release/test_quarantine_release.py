"""The way out of a quarantine: asked for by an engineer, decided by somebody who had no part in the version or the request."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.verification.replay import compare
from registry.access.models import Actor, Role
from registry.errors import Conflict, Forbidden
from registry.events import Caller
from registry.oversight.subjects import of_version
from registry.release import services
from registry.release.quarantines import quarantined, quarantines_of, waiting_releases
from registry.release.stopping_models import Quarantine, QuarantineAct
from tests.release.test_start_recall import recall
from tests.world import World

guarantee = pytest.mark.db_guarantee


@pytest.fixture
def stopped(world: World) -> Quarantine:
    """The quarantine of a child, brought by ada, whose parent was recalled by carla."""
    parent, child = world.released_pair()
    recall(world, of_version(parent))
    return quarantines_of(child).get(ended_at=None)


def ask(world: World, row: Quarantine, actor: Caller | None = None) -> QuarantineAct:
    given = {"quarantine": row, "reason": "The rows in question were not used."}
    return services.request_quarantine_release(actor=actor or world.cast.ada, **given)


def grant(row: Quarantine, actor: Caller) -> QuarantineAct:
    return services.grant_quarantine_release(actor=actor, quarantine=row, reason="Seen.")


def caller(person: Actor) -> Caller:
    return Caller(actor_id=person.pk, via="cli")


def test_a_granted_release_lets_this_version_pass_and_nothing_that_was_made_from_it(
    world: World, stopped: Quarantine
) -> None:
    child = stopped.version
    grandchild = world.derived_version(child, seed=9)
    ask(world, stopped)
    assert [q.pk for q in waiting_releases(world.cast.omar)] == [stopped.pk]
    grant(stopped, world.cast.omar)
    assert not quarantined(child)
    assert quarantined(grandchild)
    assert quarantined(world.derived_version(child, seed=10)), "made after the release"
    assert services.evaluate_gate(actor=world.cast.ada, version=child, alias="production").outcome == "passed"
    assert waiting_releases(world.cast.omar) == []
    with pytest.raises(Conflict, match="has ended"):
        ask(world, stopped)


def test_a_refused_one_stays_and_may_be_asked_for_again(world: World, stopped: Quarantine) -> None:
    with pytest.raises(Conflict, match="No release is asked for"):
        grant(stopped, world.cast.omar)
    ask(world, stopped)
    with pytest.raises(Conflict, match="asked for already"):
        ask(world, stopped)
    services.refuse_quarantine_release(actor=world.cast.omar, quarantine=stopped, reason="Not shown.")
    assert quarantined(stopped.version)
    with pytest.raises(Conflict, match="No release is asked for"):
        grant(stopped, world.cast.carla)
    ask(world, stopped)
    grant(stopped, world.cast.carla)
    assert not quarantined(stopped.version)


def test_who_asked_brought_or_made_it_does_not_decide(world: World, stopped: Quarantine) -> None:
    bea = world.person("bea", Role.ENGINEER, Role.APPROVER)
    ask(world, stopped, caller(bea))
    with pytest.raises(Forbidden, match="asked for this release"):
        grant(stopped, caller(bea))
    for who in (world.cast.ada, world.cast.otto, world.cast.eve):
        with pytest.raises(Forbidden):
            grant(stopped, who)
    with pytest.raises(Forbidden):
        ask(world, stopped, world.cast.omar)
    grant(stopped, world.cast.omar)


@guarantee
def test_the_database_refuses_the_same(world: World, stopped: Quarantine) -> None:
    bea = world.person("bea", Role.ENGINEER, Role.APPROVER)
    built = world.version(stopped.model, seed=88, actor=caller(bea))
    recall(world, of_version(built))

    def raw(row: Quarantine, person: Actor, kind: str, why: str) -> None:
        act = QuarantineAct(
            model=row.model, quarantine=row, kind=kind, role="approver", reason_id=asked.reason_id, done_by=person,
            done_at=timezone.now(),
        )  # fmt: skip
        for attempt in (act.save, lambda: QuarantineAct.objects.bulk_create([act])):
            with pytest.raises(IntegrityError, match=why), transaction.atomic():
                attempt()

    people: dict[str, Any] = world.cast.people
    asked = ask(world, stopped, caller(bea))
    raw(stopped, bea, "granted", "does not decide")
    raw(stopped, people["ada"], "granted", "does not decide")
    raw(stopped, people["ada"], "requested", "once at a time")
    own = quarantines_of(built).get(ended_at=None)
    raw(own, people["omar"], "granted", "once at a time")
    ask(world, own)
    raw(own, bea, "granted", "does not decide")
    services.refuse_quarantine_release(actor=world.cast.omar, quarantine=stopped, reason="No.")
    raw(stopped, people["omar"], "granted", "once at a time")


def test_the_ledger_alone_rebuilds_recalls_releases_emergencies_and_drills(world: World, stopped: Quarantine) -> None:
    ask(world, stopped)
    grant(stopped, world.cast.omar)
    free = world.child_version(world.parent_version(stopped.model, seed=91), seed=92)
    services.break_glass(actor=world.cast.otto, version=free, alias="canary", reason="Down.")
    services.drill_rollback(actor=world.cast.otto, model=stopped.model, alias="production")
    services.end_recall(actor=world.cast.carla, recall=stopped.recall, reason="Cleared.")
    assert compare() == []

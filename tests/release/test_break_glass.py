"""A move without an approval, in an emergency: loud, short, reviewed, and never by who made it or for what is stopped."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.models import Entry
from audit.verification.replay import compare
from registry.access.models import Role
from registry.catalog.models import ModelVersion
from registry.errors import Blocked, BytesDiffer, Conflict, Forbidden, Invalid
from registry.events import Caller
from registry.oversight import services_proofs
from registry.oversight.models import Finding
from registry.oversight.services import close_finding
from registry.oversight.subjects import of_version
from registry.release import queries, services
from registry.release.models import AliasAssignment
from registry.release.moving_api import glass_body
from registry.release.serving_models import BrokenGlass
from tests.release.test_promote import change_bytes
from tests.world import World

guarantee = pytest.mark.db_guarantee


def broken(world: World, version: ModelVersion, **changes: Any) -> AliasAssignment:
    """By otto, to production."""
    given = {"actor": world.cast.otto, "version": version, "alias": "production", "reason": "Customers are down."}
    return services.break_glass(**{**given, **changes})


def reviewed(world: World, version: ModelVersion) -> None:
    """Omar looks at the emergency, and closes the finding about it."""
    services_proofs.sign_review(
        actor=world.cast.omar,
        subject=of_version(version),
        kind="other",
        accepted=True,
        statement="It was an emergency.",
    )
    glass = BrokenGlass.objects.filter(version=version).get()
    close_finding(actor=world.cast.omar, finding=Finding.objects.get(about=glass.pk), closure="It was one.")


def test_it_moves_the_alias_with_a_record_of_its_own_a_finding_and_an_end(world: World) -> None:
    parent = world.parent_version()
    world.promoted(parent)
    hotfix = world.child_version(parent, evidence=False)
    move = broken(world, hotfix)
    glass = move.broken_glass
    assert glass is not None
    assert (move.kind, move.version, move.approval, str(move.reason)) == (
        "broken-glass",
        hotfix,
        None,
        "Customers are down.",
    )
    assert (glass.role, glass.verdict.outcome) == ("operator", "blocked")
    assert glass.expires_at - glass.broken_at == datetime.timedelta(hours=24)
    assert queries.served(parent.model, "production") == hotfix
    (finding,) = Finding.objects.filter(kind="broken-glass")
    assert (finding.about, finding.owner, finding.due_on) == (glass.pk, parent.model.owner, glass.expires_at.date())
    assert "without an approval" in str(finding.description)
    events = [json.loads(bytes(row.entry))["event"] for row in Entry.objects.order_by("-position")[:3]]
    assert [e["kind"] for e in events] == ["finding.opened", "alias.broken_glass", "verdict.given"]
    assert {r["type"] for r in events[1]["records"]} == {
        "release.assignment/1",
        "release.broken_glass/1",
        "access.text/1",
    }


def test_the_policy_says_how_long_it_lasts(world: World) -> None:
    parent = world.parent_version()
    world.policy(change=lambda d: d.update(break_glass_hours=4))
    glass = broken(world, parent).broken_glass
    assert glass is not None
    assert glass.expires_at - glass.broken_at == datetime.timedelta(hours=4)


def test_who_made_brought_or_asked_for_it_never_breaks_the_glass(world: World) -> None:
    model = world.governed_model()
    bea = world.person("bea", Role.ENGINEER, Role.OPERATOR)
    own = Caller(actor_id=bea.pk, via="cli")
    brought = world.version(model, seed=5, actor=own)
    with pytest.raises(Forbidden, match="You brought this version"):
        broken(world, brought, actor=own)
    other = world.version(model, seed=6)
    world.approval(other, actor=own)
    with pytest.raises(Forbidden, match="You requested an approval"):
        broken(world, other, actor=own)
    washed = world.version(world.model(use_case=model.use_case), seed=5)
    with pytest.raises(Forbidden, match="same weights"):
        broken(world, washed, actor=own)
    for who in ("ada", "carla", "eve"):
        with pytest.raises(Forbidden):
            broken(world, other, actor=getattr(world.cast, who))
    assert broken(world, other, actor=world.cast.root).broken_glass is not None
    assert BrokenGlass.objects.get().role == "administrator"


@pytest.mark.parametrize("without", ["use case", "policy"])
def test_an_emergency_waits_for_no_policy_and_its_record_says_that_none_was_in_force(
    world: World, without: str
) -> None:
    use_case = world.use_case("ungoverned", "high") if without == "policy" else None
    version = world.version(world.model(use_case=use_case), seed=7)
    glass = broken(world, version).broken_glass
    assert glass is not None
    assert (glass.policy, glass.verdict) == (None, None)
    assert glass.expires_at - glass.broken_at == datetime.timedelta(hours=24)
    assert not version.verdicts.exists()
    finding = Finding.objects.get(kind="broken-glass", about=glass.pk)
    assert "no policy was in force that could have judged it" in str(finding.description)
    shown = glass_body(glass)
    assert (shown["policy"], shown["verdict"]) == (None, None)
    assert compare() == []


@guarantee
def test_the_database_takes_no_half_judged_record(world: World) -> None:
    glass = broken(world, world.parent_version()).broken_glass
    assert glass is not None
    reviewed(world, glass.version)
    fields = {f.attname: getattr(glass, f.attname) for f in glass._meta.concrete_fields if not f.primary_key}
    with pytest.raises(IntegrityError, match="release_broken_glass_judged"), transaction.atomic():
        BrokenGlass(**{**fields, "verdict_id": None}).save()
    BrokenGlass(**{**fields, "verdict_id": None, "policy_id": None}).save()


def test_never_for_changed_or_purged_bytes_nor_without_a_reason(world: World) -> None:
    version = world.parent_version()
    with pytest.raises(Invalid, match="reason is empty"):
        broken(world, version, reason="")
    change_bytes(version)
    with pytest.raises(BytesDiffer):
        broken(world, version)
    world.purged(version)
    version.refresh_from_db()
    with pytest.raises(Conflict, match="purged"):
        broken(world, version)
    assert not BrokenGlass.objects.exists()


def test_it_is_not_renewed_before_somebody_else_has_looked_at_the_last_time(world: World) -> None:
    parent = world.parent_version()
    world.promoted(parent)
    first, second = world.child_version(parent), world.child_version(parent, seed=44)
    broken(world, first)
    services.suspend(actor=world.cast.otto, model=parent.model, alias="production", reason="It ends.")
    for version, actor in ((second, world.cast.otto), (first, world.cast.root)):
        with pytest.raises(Conflict, match="the finding about it is open") as refused:
            broken(world, version, actor=actor)
        assert refused.value.code == "not-reviewed"
        open_finding = Finding.objects.get(kind="broken-glass")
        assert f"pressmark close-finding {open_finding.pk}" in refused.value.hint
        assert "Rolling back and suspending are open meanwhile" in refused.value.hint
    assert broken(world, second, alias="staging").broken_glass is not None
    reviewed(world, first)
    assert broken(world, second).version == second


@guarantee
def test_the_database_refuses_a_second_record_while_the_first_waits_for_its_review(world: World) -> None:
    parent = world.parent_version()
    glass = broken(world, parent).broken_glass
    assert glass is not None
    fields = {f.attname: getattr(glass, f.attname) for f in glass._meta.concrete_fields if not f.primary_key}
    again = BrokenGlass(**fields)
    with pytest.raises(IntegrityError, match="not broken again"), transaction.atomic():
        again.save()
    reviewed(world, parent)
    again.save()


def test_what_came_by_it_is_no_way_back_but_may_be_approved_and_promoted(world: World) -> None:
    parent = world.parent_version()
    world.promoted(parent)
    hotfix = world.child_version(parent)
    broken(world, hotfix)
    with pytest.raises(Conflict, match="serves"):
        broken(world, hotfix)
    approval = world.granted(hotfix)  # compared with what it replaced, not with itself
    move = services.promote(actor=world.cast.otto, model=parent.model, alias="production", approval=approval)
    assert (move.kind, move.approval) == ("promoted", approval)
    services.roll_back(actor=world.cast.otto, model=parent.model, alias="production", reason="r")
    reviewed(world, hotfix)
    other = world.child_version(parent, seed=44)
    broken(world, other)
    world.promoted(hotfix, "staging")
    services.suspend(actor=world.cast.otto, model=parent.model, alias="production", reason="r")
    with pytest.raises(Blocked, match="has no approval for 'production'"):
        services.roll_back(actor=world.cast.otto, model=parent.model, alias="production", reason="r", to_version=other)


@guarantee
def test_the_database_moves_no_alias_without_such_a_record_and_takes_no_false_one(world: World) -> None:
    parent = world.parent_version()
    world.promoted(parent)
    hotfix = world.child_version(parent, evidence=False)
    now = timezone.now()
    given: dict[str, Any] = {
        "model": parent.model, "alias": queries.incumbent(parent.model, "production").alias, "number": 2,  # type: ignore[union-attr]
        "kind": "broken-glass", "version": hotfix, "version_digest": hotfix.digest, "reason": None,
        "assigned_by": world.cast.people["otto"], "assigned_at": now,
    }  # fmt: skip

    def refuse(row: Any, why: str) -> None:
        with pytest.raises(IntegrityError, match=why), transaction.atomic():
            row.save()

    glass = broken(world, hotfix).broken_glass
    assert glass is not None
    reviewed(world, hotfix)
    refuse(
        AliasAssignment(**{**given, "number": 3, "broken_glass": glass}),
        "this row already|UNIQUE|unique|exactly this emergency",
    )
    fields = {
        "model": glass.model, "version": glass.version, "version_digest": glass.version_digest, "alias": glass.alias,
        "policy": glass.policy, "verdict": glass.verdict, "reason": glass.reason, "role": "operator", "broken_at": now,
        "expires_at": now + datetime.timedelta(hours=1),
    }  # fmt: skip
    refuse(BrokenGlass(**fields, broken_by=world.cast.people["ada"]), "does not break the glass")
    refuse(BrokenGlass(**{**fields, "version_digest": parent.digest}, broken_by=world.cast.people["otto"]), "structure")
    spare = BrokenGlass(**fields, broken_by=world.cast.people["otto"])
    spare.save()
    row = {**given, "number": 3, "broken_glass": spare}
    refuse(AliasAssignment(**{**row, "version": parent, "version_digest": parent.digest}), "exactly this emergency")
    refuse(AliasAssignment(**{**row, "assigned_by": world.cast.people["omar"]}), "exactly this emergency")
    refuse(AliasAssignment(**{**row, "assigned_at": now + datetime.timedelta(hours=1)}), "exactly this emergency")

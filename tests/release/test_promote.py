"""An alias is moved to what is approved now, whose bytes are what they were, and which passes the gate of today."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.utils import timezone

from audit.models import Entry
from registry import storage
from registry.access import services as access
from registry.access.models import Membership
from registry.catalog.services_corrections import correct_version
from registry.errors import Blocked, BytesDiffer, Conflict, Forbidden, NotFound
from registry.release import queries, services
from registry.release.models import Alias, AliasAssignment, Approval
from tests.world import World
from tests.worlds.catalog import figure
from tests.worlds.http import api


def promote(world: World, approval: Approval, actor=None) -> AliasAssignment:
    return services.promote(
        actor=actor or world.cast.otto, model=approval.model, alias=approval.alias, approval=approval
    )


def change_bytes(version) -> None:
    """One byte of the stored weights becomes another, as a bad disk or a bad person would do it."""
    path = storage.path_of(version.artifacts.get(role="weights").digest)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))


def test_the_first_promotion_creates_the_alias_and_keeps_the_verdict_of_the_moment(world: World) -> None:
    version = world.parent_version()
    move = promote(world, world.granted(version))
    assert (move.number, move.kind, move.version) == (1, "promoted", version)
    assert queries.incumbent(version.model, "production") == move
    kinds = [json.loads(bytes(e.entry))["event"]["kind"] for e in Entry.objects.order_by("-position")[:3]]
    assert kinds[::-1] == ["verdict.given", "alias.created", "alias.promoted"]


@pytest.mark.parametrize("state", ["requested", "rejected", "revoked", "stale"])
def test_what_is_not_granted_now_is_not_promoted(world: World, state: str) -> None:
    version = world.parent_version()
    approval = world.granted(version) if state in ("revoked", "stale") else world.approval(version)
    if state == "rejected":
        services.reject_approval(actor=world.cast.omar, approval=approval, reason="No.")
    if state == "revoked":
        services.revoke_approval(actor=world.cast.omar, approval=approval, reason="A fault.")
    if state == "stale":
        world.evidence(version, "size", [figure("size_bytes", "1", "byte")])
    with pytest.raises(Conflict, match=f"The approval is {state}"):
        promote(world, approval)
    assert not Alias.objects.exists()


def test_an_approval_is_for_its_alias_and_model_only(world: World) -> None:
    approval = world.granted(world.parent_version())
    with pytest.raises(Conflict, match="for 'production'"):
        services.promote(actor=world.cast.otto, model=approval.model, alias="staging", approval=approval)
    with pytest.raises(Conflict):
        services.promote(actor=world.cast.otto, model=world.model(), alias="production", approval=approval)


def test_bytes_that_changed_are_never_promoted(world: World) -> None:
    version = world.parent_version()
    approval = world.granted(version)
    change_bytes(version)
    with pytest.raises(BytesDiffer):
        promote(world, approval)
    assert not AliasAssignment.objects.exists()


def test_a_check_of_other_bytes_or_an_old_one_does_not_stand_in(world: World) -> None:
    version = world.parent_version()
    approval = world.granted(version)
    change_bytes(version)
    other = services.check_bytes(world.parent_version(version.model, seed=4))
    old = services.CheckedBytes(version.pk, version.digest, at_seconds=0)
    for checked in (other, old):
        with pytest.raises(BytesDiffer):
            services.promote(
                actor=world.cast.otto, model=version.model, alias="production", approval=approval, checked=checked
            )


def test_a_waiver_that_ended_after_the_grant_blocks_the_promotion(world: World) -> None:
    version = world.parent_version(training_data="incomplete")
    waiver = world.waiver(version)
    approval = world.granted(version)
    services.end_waiver(actor=world.cast.carla, waiver=waiver, reason="It was wrong.")
    with pytest.raises(Blocked, match="is blocked by 1 of the rules"):
        promote(world, approval)


def test_the_same_promotion_twice_is_a_conflict(world: World) -> None:
    approval = world.granted(world.parent_version())
    promote(world, approval)
    with pytest.raises(Conflict, match=r"serves .* already"):
        promote(world, approval)
    assert AliasAssignment.objects.count() == 1


def test_an_approver_of_nothing_and_an_officer_promote_nothing(world: World) -> None:
    approval = world.granted(world.parent_version())
    for caller in (world.cast.carla, world.cast.eve, world.cast.root):
        with pytest.raises(Forbidden):
            promote(world, approval, caller)


def test_what_was_served_on_a_day_stays_answerable(world: World) -> None:
    parent = world.parent_version()
    before = timezone.now()
    world.promoted(parent)
    between = timezone.now()
    child = world.child_version(parent)
    world.promoted(child)
    model = parent.model
    assert queries.assignment_at(model, "production", before) is None
    then = queries.assignment_at(model, "production", between)
    assert then is not None
    assert then.version == parent
    assert [m.version for m in queries.alias_history(model, "production")] == [child, parent]


def test_a_reference_by_alias_number_or_digest_names_a_version(world: World) -> None:
    parent, child = world.released_pair()
    name, omar = str(parent.model), world.cast.omar
    assert queries.resolve(omar, f"{name}@production") == child
    assert queries.resolve(omar, f"{name}@1") == parent
    assert queries.resolve(omar, f"{name}@{child.digest[:19]}") == child
    with pytest.raises(NotFound):
        queries.resolve(omar, f"{name}@staging")
    with pytest.raises(NotFound):
        queries.resolve(world.cast.eve, f"{name}@production")


def test_over_http_an_alias_is_promoted_resolved_and_its_history_read(world: World) -> None:
    approval = world.granted(world.parent_version())
    base = f"/api/v1/teams/search/models/{approval.model.slug}"
    otto = api("otto")
    moved = otto.post(f"{base}/aliases/production/promote", {"approval": str(approval.pk)}, format="json")
    assert moved.status_code == 201, moved.content
    assert moved["Pressmark-Receipt"]
    assert otto.get(f"{base}/resolve/production").json()["digest"] == approval.version_digest
    assert [m["kind"] for m in otto.get(f"{base}/aliases/production/history").json()["items"]] == ["promoted"]
    assert otto.get(f"{base}/aliases/production/history?at={timezone.now().isoformat()}").json()["number"] == 1
    assert otto.get(f"{base}/aliases/production/history?at=2020-01-01T00:00:00Z").status_code == 404
    assert otto.get(f"{base}/aliases/production/history?at=yesterday").status_code == 422


def test_over_http_changed_bytes_are_refused_before_anything_is_written(world: World) -> None:
    approval = world.granted(world.parent_version())
    change_bytes(approval.version)
    path = f"/api/v1/teams/search/models/{approval.model.slug}/aliases/production/promote"
    answer = api("otto").post(path, {"approval": str(approval.pk)}, format="json")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:pressmark:problem:bytes-differ")
    assert not Alias.objects.exists()


def test_what_was_corrected_after_the_grant_was_seen_by_nobody_who_granted(world: World) -> None:
    """Else a builder could answer a stricter ruling with a milder licence, alone, and promote by the old approval."""
    version = world.parent_version()
    approval = world.granted(version)
    correct_version(actor=world.cast.carla, version=version, licence=world.licence("MIT"), reason="It is under MIT.")
    with pytest.raises(Conflict) as refused:
        promote(world, approval, world.cast.ada)
    assert (refused.value.code, Alias.objects.count()) == ("corrected-since", 0)
    services.revoke_approval(actor=world.cast.omar, approval=approval, reason="The licence was corrected.")
    assert promote(world, world.granted(version)).version == version


@pytest.mark.parametrize("act", ["promote", "roll-back"])
def test_a_role_that_ends_while_the_bytes_are_read_moves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    parent, child = world.released_pair()
    approval = world.granted(parent, "staging")
    held = Membership.objects.get(actor=world.cast.people["otto"], ended_at=None)
    real = storage.rehash

    def ended_meanwhile(*given: Any) -> None:
        if Membership.objects.filter(pk=held.pk, ended_at=None).exists():
            access.end_membership(actor=world.cast.root, membership=held)
        real(*given)

    monkeypatch.setattr(storage, "rehash", ended_meanwhile)
    with pytest.raises(Forbidden):
        if act == "promote":
            services.promote(actor=world.cast.otto, model=parent.model, alias="staging", approval=approval)
        else:
            services.roll_back(actor=world.cast.otto, model=parent.model, alias="production", reason="It fails.")
    assert queries.served(parent.model, "production") == child
    assert queries.served(parent.model, "staging") is None

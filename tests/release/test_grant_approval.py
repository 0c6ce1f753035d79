"""A request is bound to bytes, evidence, policy, tier and alias; people decide on it, and its status is computed."""

from __future__ import annotations

import datetime
import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import Entry
from registry.catalog.models import Evidence
from registry.errors import Blocked, Conflict, Forbidden, Invalid, NotFound
from registry.monitoring.models import Baseline
from registry.oversight import services as oversight
from registry.release import queries, services
from registry.release.models import Approval
from tests.world import Cast, World
from tests.worlds.catalog import figure
from tests.worlds.http import api


def status(approval: Approval) -> str:
    return queries.approval_status(Approval.objects.get(pk=approval.pk))


def test_a_request_binds_everything_that_it_is_for(world: World) -> None:
    version = world.parent_version()
    row = world.approval(version)
    assert row.version_digest == version.digest
    assert row.policy_digest == world.policy().digest
    assert (row.tier, row.alias, row.required) == ("limited", "production", 1)
    assert row.evidence_set_digest == row.verdict.evidence_set_digest
    assert (row.expires_at - row.requested_at).days == 180
    assert status(row) == "requested"


def test_a_request_that_the_gate_blocks_is_not_made_and_says_every_reason(world: World) -> None:
    version = world.parent_version(training_data="unknown")
    with pytest.raises(Blocked) as caught:
        world.approval(version)
    assert [r["rule"] for r in caught.value.members["rules"]] == ["training-data"]
    assert not Approval.objects.exists()


def test_a_second_request_while_one_is_open_is_a_conflict(world: World) -> None:
    version = world.parent_version()
    world.approval(version)
    with pytest.raises(Conflict, match="waits for an approval"):
        world.approval(version)
    world.approval(version, alias="staging")


def test_a_request_cannot_last_longer_than_the_policy_lets_it(world: World) -> None:
    version = world.parent_version()
    for days in (-1, 181):
        with pytest.raises(Invalid, match="at most 180 days"):
            services.request_approval(
                actor=world.cast.ada, version=version, alias="production", reason="r",
                expires_at=timezone.now() + datetime.timedelta(days=days),
            )  # fmt: skip


def test_the_approver_grants_with_a_reason_that_is_sealed_as_a_commitment(world: World) -> None:
    approval = world.approval(world.parent_version())
    services.grant_approval(actor=world.cast.omar, approval=approval, reason="I read it all.")
    assert status(approval) == "granted"
    event = json.loads(bytes(Entry.objects.order_by("-position")[0].entry))["event"]
    assert (event["kind"], event["actor"]["role"]) == ("approval.granted", "approver")
    assert b"read it all" not in bytes(Entry.objects.order_by("-position")[0].entry)


def test_a_decision_needs_a_reason_and_the_role(world: World) -> None:
    approval = world.approval(world.parent_version())
    with pytest.raises(Invalid, match="reason is empty"):
        services.grant_approval(actor=world.cast.omar, approval=approval, reason=" ")
    for caller in (world.cast.carla, world.cast.otto, world.cast.root):
        with pytest.raises(Forbidden):
            services.grant_approval(actor=caller, approval=approval, reason="r")


def test_the_grant_that_completes_an_approval_freezes_the_baseline_in_the_same_unit(world: World) -> None:
    parent = world.parent_version()
    world.promoted(parent)
    assert not Baseline.objects.exists()  # nothing was measured about how the parent's answers are distributed
    approval = world.granted(world.child_version(parent))
    granted, frozen = [json.loads(bytes(e.entry))["event"] for e in Entry.objects.order_by("-position")[:2]][::-1]
    assert [granted["kind"], frozen["kind"]] == ["approval.granted", "baseline.frozen"]
    assert granted["unit"] == frozen["unit"]
    assert Baseline.objects.get().approval_id == approval.pk


def test_two_people_are_needed_where_the_policy_asks_for_two(world: World) -> None:
    def two(document: dict) -> None:
        document["approvals_required"] = 2

    world.policy(change=two)
    approval = world.approval(world.version(world.model(use_case=world.use_case("limited-use", "limited"))))
    services.grant_approval(actor=world.cast.omar, approval=approval, reason="One.")
    assert status(approval) == "requested"
    with pytest.raises(Conflict, match="You granted this already"):
        services.grant_approval(actor=world.cast.omar, approval=approval, reason="Once more.")
    services.grant_approval(actor=world.second_approver(), approval=approval, reason="Two.")
    assert status(approval) == "granted"


def test_no_ends_the_request_and_another_can_be_asked_for(world: World) -> None:
    approval = world.approval(world.parent_version())
    services.reject_approval(actor=world.cast.omar, approval=approval, reason="Data are missing.")
    assert status(approval) == "rejected"
    with pytest.raises(Conflict, match="is rejected"):
        services.grant_approval(actor=world.cast.omar, approval=approval, reason="After all.")
    assert world.approval(approval.version) != approval


def test_only_the_requester_withdraws(world: World) -> None:
    approval = world.approval(world.parent_version())
    with pytest.raises(Forbidden):
        services.withdraw_approval(actor=world.cast.omar, approval=approval, reason="r")
    services.withdraw_approval(actor=world.cast.ada, approval=approval, reason="A better one comes.")
    assert status(approval) == "withdrawn"


def test_only_what_was_granted_is_revoked(world: World) -> None:
    approval = world.approval(world.parent_version())
    with pytest.raises(Conflict, match="only what was granted"):
        services.revoke_approval(actor=world.cast.omar, approval=approval, reason="r")
    services.grant_approval(actor=world.cast.omar, approval=approval, reason="Fine.")
    services.revoke_approval(actor=world.second_approver(), approval=approval, reason="A fault was found.")
    assert status(approval) == "revoked"


def test_new_evidence_makes_an_approval_stale_and_it_cannot_be_granted(world: World) -> None:
    version = world.parent_version()
    open_one, granted = world.approval(version, alias="staging"), world.granted(version)
    world.evidence(version, "size", [figure("size_bytes", "1", "byte")])
    assert (status(open_one), status(granted)) == ("stale", "stale")
    with pytest.raises(Conflict, match="evidence about the version has changed"):
        services.grant_approval(actor=world.cast.omar, approval=open_one, reason="r")


def test_another_policy_tier_or_use_case_makes_an_approval_stale(world: World) -> None:
    version = world.parent_version()
    approval = world.granted(version)
    use_case = world.use_case("limited-use", "limited")
    oversight.change_tier(actor=world.cast.carla, use_case=use_case, tier="high", reason="More harm possible.")
    assert status(approval) == "stale"
    oversight.change_tier(actor=world.cast.carla, use_case=use_case, tier="limited", reason="Wrong after all.")
    assert status(approval) == "granted"
    world.assign_use_case(version.model, world.use_case("another", "limited"))
    assert status(approval) == "stale"


def test_a_new_policy_makes_an_approval_stale(world: World) -> None:
    approval = world.granted(world.parent_version())
    world.policy(change=lambda d: d.update(approval_valid_days=90))
    assert status(approval) == "stale"


def test_the_status_at_an_earlier_moment_is_that_of_then(world: World) -> None:
    version = world.parent_version()
    approval = world.approval(version)
    before_grant = timezone.now()
    services.grant_approval(actor=world.cast.omar, approval=approval, reason="Fine.")
    before_evidence = timezone.now()
    world.evidence(version, "size", [figure("size_bytes", "1", "byte")])
    approval = Approval.objects.get(pk=approval.pk)
    assert queries.approval_status(approval, before_grant) == "requested"
    assert queries.approval_status(approval, before_evidence) == "granted"
    assert queries.approval_status(approval) == "stale"
    assert Evidence.objects.filter(version=version).count() == 2


def test_who_may_not_read_the_model_finds_no_approval(world: World) -> None:
    approval = world.approval(world.parent_version())
    with pytest.raises(NotFound):
        queries.get_approval(world.cast.eve, approval.pk)
    assert queries.open_approvals(world.cast.eve) == []
    assert [row.pk for row, _ in queries.open_approvals(world.cast.omar)] == [approval.pk]


def test_the_inbox_judges_what_waits_and_nothing_that_was_granted(world: World) -> None:
    version = world.parent_version()
    waiting = world.approval(version, alias="canary")
    with CaptureQueriesContext(connection) as before:
        assert [row.pk for row, _ in queries.open_approvals(world.cast.omar)] == [waiting.pk]
    for alias in ("production", "staging", "shadow"):
        world.granted(version, alias=alias)
    with CaptureQueriesContext(connection) as after:
        assert [row.pk for row, _ in queries.open_approvals(world.cast.omar)] == [waiting.pk]
    assert len(after) == len(before)


def test_over_http_an_approval_is_requested_found_in_the_inbox_and_granted(world: World, cast: Cast) -> None:
    version = world.parent_version()
    path = f"/api/v1/teams/search/models/{version.model.slug}/versions/1/approvals"
    made = api("ada").post(path, {"alias": "production", "reason": "Ready."}, format="json")
    assert made.status_code == 201, made.content
    key = made.json()["id"]
    omar = api("omar")
    assert [row["id"] for row in omar.get("/api/v1/approvals?open=true").json()["items"]] == [key]
    assert omar.get(f"/api/v1/approvals/{key}").json()["verdict_document"]["outcome"] == "passed"
    granted = omar.post(f"/api/v1/approvals/{key}/grant", {"reason": "Fine."}, format="json")
    assert (granted.status_code, granted.json()["status"]) == (201, "granted")
    assert granted["Pressmark-Receipt"]
    assert omar.get("/api/v1/approvals?open=true").json()["items"] == []
    assert [row["id"] for row in omar.get("/api/v1/approvals").json()["items"]] == [key]
    assert [row["status"] for row in omar.get(path).json()["items"]] == ["granted"]


def test_over_http_the_same_request_with_the_same_key_is_answered_once(world: World) -> None:
    version = world.parent_version()
    path = f"/api/v1/teams/search/models/{version.model.slug}/versions/1/approvals"
    ada = api("ada")
    body = {"alias": "production", "reason": "Ready."}
    first = ada.post(path, body, format="json", HTTP_IDEMPOTENCY_KEY="k")
    again = ada.post(path, body, format="json", HTTP_IDEMPOTENCY_KEY="k")
    assert again.json() == first.json()
    assert Approval.objects.count() == 1
    assert ada.post(path, {**body, "reason": "x"}, format="json", HTTP_IDEMPOTENCY_KEY="k").status_code == 422


def test_over_http_a_blocked_request_names_the_rules(world: World) -> None:
    version = world.parent_version(training_data="unknown")
    path = f"/api/v1/teams/search/models/{version.model.slug}/versions/1/approvals"
    answer = api("ada").post(path, {"alias": "production", "reason": "Ready."}, format="json")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:pressmark:problem:blocked")
    assert answer.json()["rules"][0]["rule"] == "training-data"

"""What the database holds about decisions beside who makes them: their moments, their order, whose evidence it was."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from registry.access import services as access
from registry.access.models import Actor, Role
from registry.errors import Forbidden
from registry.release import queries, services
from registry.release.models import Approval, Decision, Waiver
from tests.release.attacks import caller, raw
from tests.world import World
from tests.worlds.catalog import figure
from tests.worlds.release import DAY

pytestmark = pytest.mark.db_guarantee


def refused(row: models.Model, words: str) -> None:
    for write in (lambda: row.save(force_insert=True), lambda: type(row)._default_manager.bulk_create([row])):
        with pytest.raises(IntegrityError, match=words), transaction.atomic():
            write()


def test_a_decision_is_dated_neither_before_the_request_or_another_decision_nor_ahead(world: World) -> None:
    """Ahead, it would hide a later correction and leave nobody able to revoke; dated back, it would stand before a question."""
    world.needing(2)
    approval, omar = world.approval(world.parent_version()), world.cast.people["omar"]
    olga = Actor.objects.get(pk=world.second_approver().actor_id)
    now = timezone.now()
    refused(raw(approval, omar, decided_at=approval.requested_at - datetime.timedelta(seconds=1)), "after the request")
    for ahead in (datetime.timedelta(minutes=10), DAY):
        refused(raw(approval, omar, decided_at=now + ahead), "not in days to come")
    first = services.grant_approval(actor=world.cast.omar, approval=approval, reason="Fine.")
    refused(raw(approval, olga, decided_at=first.decided_at - datetime.timedelta(microseconds=1)), "after the request")
    raw(approval, olga, decided_at=timezone.now() + datetime.timedelta(minutes=1)).save()  # a clock a little ahead


def test_what_has_every_grant_is_revoked_and_neither_rejected_returned_nor_withdrawn(world: World) -> None:
    approval = world.granted(world.parent_version())
    omar, ada = world.cast.people["omar"], world.cast.people["ada"]
    for kind, person, role in (
        ("rejected", omar, "approver"),
        ("returned", omar, "approver"),
        ("withdrawn", ada, "engineer"),
    ):
        refused(raw(approval, person, kind, role=role), "every grant")
    raw(approval, omar, "revoked").save()


def test_who_decided_does_not_answer_and_a_question_is_not_asked_twice(world: World) -> None:
    world.needing(2)
    approval, bea = world.approval(world.parent_version()), world.person("bea", Role.ENGINEER, Role.APPROVER)
    services.grant_approval(actor=caller(bea), approval=approval, reason="Fine.")
    services.return_approval(actor=world.cast.omar, approval=approval, reason="On which rows?")
    refused(raw(approval, bea, "answered", role="engineer"), "does not answer")
    refused(raw(approval, world.cast.people["omar"], "returned"), "every grant")
    services.answer_approval(actor=world.cast.ada, approval=approval, reason="On the held-out ones.")


def test_who_brought_evidence_about_a_version_does_not_decide_on_it_then_or_ever(world: World) -> None:
    """An approver who attaches figures after the request makes it stale, and is no approver of the next one either."""
    version, bea = world.parent_version(), world.person("bea", Role.ENGINEER, Role.APPROVER)
    first = world.approval(version)
    world.evidence(version, "size", [figure("size_bytes", "1", "byte")], source="declared", by="bea")
    assert queries.approval_status(queries.approvals_of(version).get(pk=first.pk)) == "stale"
    services.withdraw_approval(actor=world.cast.ada, approval=first, reason="New figures.")
    approval = world.approval(version)
    for act in (services.grant_approval, services.reject_approval, services.return_approval):
        with pytest.raises(Forbidden, match="brought evidence"):
            act(actor=caller(bea), approval=approval, reason="Fine.")
    refused(raw(approval, bea), "cannot approve")
    services.grant_approval(actor=world.cast.omar, approval=approval, reason="Fine.")


def test_a_role_that_ended_and_was_given_again_in_between_decides_only_while_it_is_held(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The role goes and comes back between the question and the lock: what counts is who holds it under the lock."""
    approval, omar = world.approval(world.parent_version()), world.cast.people["omar"]
    module = services.grant_approval.__globals__
    opens = module["unit"]

    def late(*given: Any, **named: Any) -> Any:
        access.end_membership(actor=world.cast.root, membership=omar.memberships.get(ended_at=None))
        access.grant_membership(actor=world.cast.root, person=omar, role=Role.VIEWER, team=world.team)
        return opens(*given, **named)

    monkeypatch.setitem(module, "unit", late)
    with pytest.raises(Forbidden):
        services.grant_approval(actor=world.cast.omar, approval=approval, reason="Fine.")
    monkeypatch.setitem(module, "unit", opens)
    refused(raw(approval, omar), "only a person with the role")
    access.grant_membership(actor=world.cast.root, person=omar, role=Role.APPROVER, team=world.team)
    assert services.grant_approval(actor=world.cast.omar, approval=approval, reason="Fine.").role == "approver"


def test_no_column_of_a_request_or_decision_is_ever_another(world: World) -> None:
    approval = world.granted(world.parent_version())
    bea = world.person("bea", Role.APPROVER)
    changed: dict[type[models.Model], dict[str, Any]] = {
        Decision: {
            "decided_by": bea, "on_behalf_of": bea, "kind": "rejected", "role": "engineer", "decided_at": timezone.now(),
            "expires_at": timezone.now() + DAY,
        },
        Approval: {
            "requested_by": bea, "alias": "staging", "required": 0, "officers": 1, "expires_at": timezone.now() + 900 * DAY,
            "version_digest": approval.policy_digest, "evidence_set_digest": approval.policy_digest,
            "policy_digest": approval.evidence_set_digest, "tier": "minimal",
        },
    }  # fmt: skip
    for table, columns in changed.items():
        for name, value in columns.items():
            with pytest.raises(IntegrityError), transaction.atomic():
                table._default_manager.update(**{name: value})
        with pytest.raises(IntegrityError, match="never deleted"), transaction.atomic():
            table._default_manager.all()._raw_delete("default")  # type: ignore[attr-defined]


def test_a_waiver_is_signed_by_a_person_with_a_role_for_it(world: World) -> None:
    good = world.waiver(world.parent_version(training_data="incomplete"))
    fields = {f.attname: getattr(good, f.attname) for f in good._meta.concrete_fields if not f.primary_key}
    robot = world.cast.service_account("robot", Role.COMPLIANCE_OFFICER)
    for person in (world.cast.people["otto"], world.cast.people["eve"], robot):
        refused(Waiver(**{**fields, "signed_by_id": person.pk}), "only a person with a role")
    Waiver(**fields).save()

"""Ways around the separation of duties that take two steps: the same weights again, and the waiver before the request."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.access.models import Actor, Role
from registry.catalog.models import ModelVersion
from registry.compression.models import Run
from registry.errors import Blocked, Forbidden
from registry.events import Caller
from registry.release import queries, services
from registry.release.models import Approval, Decision
from tests.world import World

guarantee = pytest.mark.db_guarantee


@pytest.fixture
def bea(world: World) -> Actor:
    """Engineer, approver and compliance officer at once."""
    return world.person("bea", Role.ENGINEER, Role.APPROVER, Role.COMPLIANCE_OFFICER)


def caller(person: Actor) -> Caller:
    return Caller(actor_id=person.pk, via="cli")


@pytest.fixture(params=["uploaded", "run"])
def again(request: pytest.FixtureRequest, world: World, bea: Actor) -> ModelVersion:
    """A version registered by ada, with weights that bea brought or made, and one more file so that its digest is another."""
    weights, note = {("model.onnx", "weights"): world.tiny_onnx(5)}, {("note.txt", "other"): b"hello"}
    if request.param == "uploaded":
        world.version(world.model(), files=weights, actor=caller(bea))
    else:
        child = world.version(world.model(), files=weights)
        Run.objects.create(
            model=child.model, parent=child, kind="evaluation", child=child, requested_by=bea, state="succeeded",
            evaluation=world.dataset_version(), requested_at=timezone.now(), finished_at=timezone.now(),
        )  # fmt: skip
    return world.version(world.governed_model(), files=weights | note)


def copied(row: Decision | Approval, **changes: object) -> Decision | Approval:
    """The same row under a new key, as a shell would write it."""
    fields = {f.attname: getattr(row, f.attname) for f in row._meta.concrete_fields if not f.primary_key}
    return type(row)(**{**fields, **changes})


def test_the_same_weights_in_another_version_are_the_same_work(world: World, again: ModelVersion, bea: Actor) -> None:
    approval = world.approval(again)
    with pytest.raises(Forbidden, match="same weights"):
        services.grant_approval(actor=caller(bea), approval=approval, reason="Fine.")
    with pytest.raises(Forbidden, match="same weights"):
        services.sign_waiver(
            actor=caller(bea), version=again, rule="training-data", reason="Fine.", expires_at=approval.expires_at
        )
    services.grant_approval(actor=world.cast.omar, approval=approval, reason="Fine.")
    assert queries.approval_status(Approval.objects.get(pk=approval.pk)) == "granted"


@guarantee
def test_the_database_knows_the_same_weights_too(world: World, again: ModelVersion, bea: Actor) -> None:
    given, still_open = world.granted(again, "staging").decisions.get(), world.approval(again)
    with pytest.raises(IntegrityError, match="cannot approve"), transaction.atomic():
        copied(given, approval_id=still_open.pk, decided_by_id=bea.pk, decided_at=timezone.now()).save()


@guarantee
def test_who_signed_a_waiver_does_not_request_the_approval_afterwards(world: World, bea: Actor) -> None:
    version = world.parent_version(training_data="incomplete")
    waiver = world.waiver(version, actor=caller(bea))
    with pytest.raises(Forbidden, match="signed a waiver"):
        world.approval(version, actor=caller(bea))
    approval = world.approval(version)
    with pytest.raises(IntegrityError, match="cannot request"), transaction.atomic():
        copied(approval, requested_by_id=bea.pk).save()
    services.withdraw_approval(actor=world.cast.ada, approval=approval, reason="Measured instead.")
    services.end_waiver(actor=world.cast.carla, waiver=waiver, reason="Not needed any more.")
    world.waiver(version)
    assert world.approval(version, actor=caller(bea)).requested_by_id == bea.pk


def test_a_child_that_fails_its_limits_does_not_pass_as_an_upload(world: World) -> None:
    parent = world.parent_version()
    world.promoted(parent)
    child = world.derived_version(parent, seed=9)
    world.measure(child, parent, cosine_mean="0.5")
    with pytest.raises(Blocked, match="cosine_mean"):
        world.approval(child)
    files = {("model.onnx", "weights"): world.tiny_onnx(9, 32), ("note.txt", "other"): b"hello"}
    again = world.version(parent.model, files=files)
    assert again.origin == "uploaded"
    assert again.artifacts.get(role="weights").digest == child.artifacts.get(role="weights").digest
    with pytest.raises(Blocked, match="No edge to a parent"):
        world.approval(again)
    assert world.approval(world.version(parent.model, seed=77)).verdict.outcome == "passed"

"""A service account does the first half of what needs two people: nobody who stands behind it does the second half.

Through the service and in the database. What else is the work of a machine stands in `test_service_account_work`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.access import services as access
from registry.access.models import Actor, Role
from registry.access.services_responsibility import give_responsibility
from registry.catalog.services_corrections import correct_version
from registry.errors import Forbidden
from registry.events import Caller
from registry.oversight.models import Finding
from registry.oversight.services import close_finding
from registry.oversight.services_tiers import approve_tier_table
from registry.oversight.subjects import of_version
from registry.provenance.services_corrections import SaidAnew, correct_dataset_version
from registry.provenance.services_licences import approve_ruling, end_ruling
from registry.release import services
from registry.release.quarantines import quarantines_of
from registry.release.services.alias_rules import approve_alias_rule, end_alias_rule
from registry.release.services.purges import confirm_purge
from registry.release.stopping_models import Quarantine, QuarantineAct
from tests.release import test_second_person as waiting
from tests.release.test_second_person import Waiting, copied, written
from tests.release.test_start_recall import recall
from tests.world import World

Second = Callable[[Caller], Any]
"""The second half, by somebody."""


def caller(person: Actor) -> Caller:
    return Caller(actor_id=person.pk, via="api")


@pytest.fixture
def robot(world: World) -> Actor:
    """A machine that may what an engineer and an officer may; bea, who may decide everything, answered for it until ada did."""
    bea = world.person("bea", Role.APPROVER, Role.COMPLIANCE_OFFICER)
    access.grant_membership(actor=world.cast.root, person=bea, role=Role.ADMINISTRATOR, team=None)
    made = world.cast.service_account(
        "robot", Role.SERVICE_ACCOUNT, Role.ENGINEER, Role.COMPLIANCE_OFFICER, answers="bea"
    )
    give_responsibility(actor=world.cast.root, account=made, person=world.cast.people["ada"])
    return made


ROWS: list[tuple[Callable[[World], Waiting], str, Callable[..., Any], str]] = [
    (waiting.policy, "author_id", services.approve_policy, "policy"),
    (waiting.tier_table, "author_id", approve_tier_table, "table"),
    (waiting.ruling, "authored_by_id", approve_ruling, "ruling"),
    (waiting.alias_rule, "author_id", approve_alias_rule, "rule"),
    (waiting.purge, "requested_by_id", confirm_purge, "purge"),
]


@pytest.mark.db_guarantee
@pytest.mark.parametrize(("begun", "first", "second", "name"), ROWS, ids=lambda v: getattr(v, "__name__", ""))
def test_what_a_machine_wrote_is_not_put_in_force_by_who_stands_behind_it(
    world: World, robot: Actor, begun: Callable[[World], Waiting], first: str, second: Callable[..., Any], name: str
) -> None:
    """The services let no machine write such a row at all; one written past them stands here."""
    row, moment, by = begun(world)
    mine = copied(row, **{first: robot.pk})
    mine.save(force_insert=True)
    if name == "purge":
        type(row)._default_manager.filter(pk=row.pk).update(withdrawn_at=timezone.now())
    bea = world.cast.people["bea"]
    with pytest.raises(Forbidden) as refused:
        second(actor=caller(bea), **{name: mine})
    assert refused.value.code is not None
    assert refused.value.code.startswith("own-")
    counted = {moment: timezone.now(), f"{by}_id": bea.pk}
    with pytest.raises(IntegrityError, match="stands behind the service account"):
        written(mine, **counted)
    with pytest.raises(IntegrityError, match="stands behind the service account"), transaction.atomic():
        copied(mine, **counted).save(force_insert=True)
    rhea = world.person("rhea")
    access.grant_membership(actor=world.cast.root, person=rhea, role=Role.ADMINISTRATOR, team=None)
    second(actor=caller(rhea), **{name: mine})
    counting: Any = type(row)._default_manager.get(pk=mine.pk)
    assert getattr(counting, f"{by}_id") == rhea.pk


def ends_policy(world: World, robot: Actor) -> Second:
    row, *_ = waiting.policy(world)
    mine = _in_force(world, copied(row, author_id=robot.pk))
    return lambda actor: services.end_policy(actor=actor, policy=mine)


def ends_ruling(world: World, robot: Actor) -> Second:
    row, *_ = waiting.ruling(world)
    mine = _in_force(world, copied(row, authored_by_id=robot.pk))
    return lambda actor: end_ruling(actor=actor, ruling=mine, reason="It counts no more.")


def ends_alias_rule(world: World, robot: Actor) -> Second:
    row, *_ = waiting.alias_rule(world)
    mine = _in_force(world, copied(row, author_id=robot.pk))
    return lambda actor: end_alias_rule(actor=actor, rule=mine)


def _in_force(world: World, row: Any) -> Any:
    row.in_force_at, row.approved_by_id = timezone.now(), world.cast.root.actor_id
    row.save(force_insert=True)
    return row


def frees_a_version(world: World, robot: Actor) -> Second:
    version = world.version(licence="CC-BY-NC-4.0", actor=caller(robot))
    milder = world.licence("MIT")
    return lambda actor: correct_version(actor=actor, version=version, licence=milder, reason="The card says so.")


def frees_data(world: World, robot: Actor) -> Second:
    data, milder = world.dataset_version(licence="MIT"), world.licence("MIT")
    stricter = SaidAnew(licence=world.licence("CC-BY-NC-4.0"))
    correct_dataset_version(actor=caller(robot), version=data, said=stricter, reason="Its page says so.")
    said = SaidAnew(licence=milder)
    return lambda actor: correct_dataset_version(actor=actor, version=data, said=said, reason="It does not.")


def closes_finding(world: World, robot: Actor) -> Second:
    version = world.parent_version()
    world.promoted(version)
    stricter = world.licence("CC-BY-NC-4.0")
    correct_version(actor=caller(robot), version=version, licence=stricter, reason="The card says so.")
    finding = Finding.objects.get(kind="terms-changed")
    return lambda actor: close_finding(actor=actor, finding=finding, closure="Read and accepted.")


def closes_finding_of_another(world: World, robot: Actor) -> Second:
    """The finding was opened by an earlier change of carla; the machine has changed the terms once more since."""
    version = world.parent_version()
    world.promoted(version)
    stricter, other = world.licence("CC-BY-NC-4.0"), world.licence("CC-BY-NC-SA-4.0")
    correct_version(actor=world.cast.carla, version=version, licence=stricter, reason="The card says so.")
    finding = Finding.objects.get(kind="terms-changed")
    correct_version(actor=caller(robot), version=version, licence=other, reason="The card says more.")
    return lambda actor: close_finding(actor=actor, finding=finding, closure="Read and accepted.")


def frees_from_quarantine(world: World, robot: Actor) -> Second:
    row = _asked_for(world, robot)
    return lambda actor: services.grant_quarantine_release(actor=actor, quarantine=row, reason="Seen.")


def _asked_for(world: World, robot: Actor) -> Quarantine:
    parent, child = world.released_pair()
    recall(world, of_version(parent))
    row = quarantines_of(child).get(ended_at=None)
    services.request_quarantine_release(actor=caller(robot), quarantine=row, reason="The rows were not used.")
    return row


BEGUN = [
    ends_policy, ends_ruling, ends_alias_rule, frees_a_version, frees_data, closes_finding, closes_finding_of_another,
    frees_from_quarantine,
]  # fmt: skip


@pytest.mark.parametrize("begun", BEGUN, ids=lambda f: f.__name__)
def test_who_stands_behind_a_machine_does_not_finish_what_it_began(
    world: World, robot: Actor, begun: Callable[[World, Actor], Second]
) -> None:
    second = begun(world, robot)
    with pytest.raises(Forbidden) as refused:
        second(caller(world.cast.people["bea"]))
    assert "own" in (refused.value.code or ""), refused.value
    rhea = world.person("rhea", Role.COMPLIANCE_OFFICER)
    access.grant_membership(actor=world.cast.root, person=rhea, role=Role.ADMINISTRATOR, team=None)
    second(caller(rhea))


@pytest.mark.db_guarantee
def test_nor_does_the_database_let_them_free_what_a_machine_asked_for(world: World, robot: Actor) -> None:
    row = _asked_for(world, robot)
    asked = QuarantineAct.objects.get(quarantine=row)
    bea = world.cast.people["bea"]
    forged = copied(asked, kind="granted", role="approver", done_by_id=bea.pk, done_at=timezone.now())
    with pytest.raises(IntegrityError, match="does not decide it"), transaction.atomic():
        forged.save(force_insert=True)

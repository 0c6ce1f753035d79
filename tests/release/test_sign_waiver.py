"""A waiver is a signed, reasoned, expiring exception from one rule as it is worded, for one version."""

from __future__ import annotations

import datetime

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.access.models import Role
from registry.errors import Conflict, Forbidden, Invalid
from registry.events import Caller
from registry.release import services
from registry.release.models import Waiver
from tests.world import World
from tests.worlds.http import api

DAY = datetime.timedelta(days=1)


def outcome(world: World, version) -> str:
    return services.evaluate_gate(actor=world.cast.ada, version=version, alias="production").outcome


def test_a_waiver_lets_the_gate_pass_and_the_verdict_says_so(world: World) -> None:
    version = world.parent_version(training_data="incomplete")
    assert outcome(world, version) == "blocked"
    world.waiver(version)
    assert outcome(world, version) == "passed-with-waiver"


def test_a_waiver_is_for_one_version_only(world: World) -> None:
    version = world.parent_version(training_data="incomplete")
    world.waiver(version)
    assert outcome(world, world.parent_version(version.model, seed=5, training_data="incomplete")) == "blocked"


def test_an_ended_waiver_does_not_count(world: World) -> None:
    version = world.parent_version(training_data="incomplete")
    row = world.waiver(version)
    services.end_waiver(actor=world.cast.carla, waiver=row, reason="The data were documented after all.")
    assert outcome(world, version) == "blocked"
    with pytest.raises(Conflict, match="ended already"):
        services.end_waiver(actor=world.cast.carla, waiver=row, reason="again")


def test_a_waiver_ends_with_the_wording_that_it_was_signed_for(world: World) -> None:
    version = world.parent_version(training_data="incomplete")
    world.waiver(version)

    def stricter(document: dict) -> None:
        rule = next(r for r in document["rules"] if r["id"] == "training-data")
        rule["about"] = "Every single source is known by digest."

    world.policy(change=stricter)
    assert outcome(world, version) == "blocked"


@pytest.mark.parametrize("days", [-1, 0, 91])
def test_a_waiver_must_end_within_what_the_policy_allows(world: World, days: int) -> None:
    with pytest.raises(Invalid, match="within 90 days"):
        world.waiver(world.parent_version(), days=days)


def test_a_rule_that_is_not_there_or_may_not_be_waived_is_refused(world: World) -> None:
    version = world.parent_version()
    with pytest.raises(Invalid, match="no rule 'taste'"):
        world.waiver(version, rule="taste")
    with pytest.raises(Forbidden, match="cannot be waived"):
        world.waiver(version, rule="structure")


def test_an_engineer_signs_no_waiver(world: World) -> None:
    with pytest.raises(Forbidden):
        world.waiver(world.parent_version(), actor=world.cast.ada)


def test_who_brought_the_version_signs_no_waiver_for_it_even_with_the_role(world: World) -> None:
    both = Caller(actor_id=world.person("bea", Role.ENGINEER, Role.APPROVER).pk, via="cli")
    version = world.version(world.governed_model(), actor=both)
    with pytest.raises(Forbidden, match="You brought this version"):
        world.waiver(version, actor=both)


@pytest.mark.db_guarantee
def test_the_database_refuses_a_waiver_by_who_brought_the_version_or_asked_for_its_approval(world: World) -> None:
    version = world.parent_version()
    row = world.waiver(version)
    fields = {f.attname: getattr(row, f.attname) for f in Waiver._meta.concrete_fields if not f.primary_key}
    with pytest.raises(IntegrityError, match=r"cannot waive|a role for it signs"), transaction.atomic():
        Waiver.objects.create(**{**fields, "signed_by_id": world.cast.ada.actor_id})
    eric = Caller(actor_id=world.person("eric", Role.ENGINEER).pk, via="cli")
    world.approval(version, actor=eric)
    with pytest.raises(IntegrityError, match=r"cannot waive|a role for it signs"), transaction.atomic():
        Waiver.objects.create(**{**fields, "signed_by_id": eric.actor_id})


def test_over_http_a_waiver_is_signed_listed_and_ended(world: World) -> None:
    version = world.parent_version()
    path = f"/api/v1/teams/search/models/{version.model.slug}/versions/1/waivers"
    body = {"rule": "training-data", "reason": "Known.", "expires_at": (timezone.now() + 9 * DAY).isoformat()}
    carla = api("carla")
    made = carla.post(path, body, format="json")
    assert made.status_code == 201, made.content
    assert [w["id"] for w in carla.get(path).json()["items"]] == [made.json()["id"]]
    ended = carla.post(f"/api/v1/waivers/{made.json()['id']}/end", {"reason": "No need."}, format="json")
    assert ended.json()["ended_at"] is not None

"""What needs a second person needs one in the database too: no row counts because somebody wrote a moment into it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from registry.access import services as access
from registry.access.models import Actor, Role
from registry.access.queries import system_actor
from registry.catalog.models import ModelVersion
from registry.oversight.models import TierTable
from registry.oversight.services_proofs import place_hold
from registry.oversight.services_tiers import author_tier_table
from registry.oversight.subjects import of_model, of_version
from registry.oversight.tiers import ready_made
from registry.provenance.models import LicenceRuling
from registry.release.models import Policy
from registry.release.services import author_policy
from registry.release.services.alias_rules import author_alias_rule
from registry.release.services.purges import request_purge
from registry.release.serving_models import AliasRule
from registry.release.stopping_models import Purge
from tests.provenance.test_author_ruling import author, own_licence
from tests.world import World

pytestmark = pytest.mark.db_guarantee
Waiting = tuple[models.Model, str, str]
"""A row that waits for a second person, and the columns of the moment and of that person."""


def policy(world: World) -> Waiting:
    row = author_policy(actor=world.cast.root, slug="limited", document=world.policy_document())
    return Policy.objects.get(pk=row.pk), "in_force_at", "approved_by"


def tier_table(world: World) -> Waiting:
    row = author_tier_table(actor=world.cast.root, document=ready_made())
    return TierTable.objects.get(pk=row.pk), "in_force_at", "approved_by"


def ruling(world: World) -> Waiting:
    return LicenceRuling.objects.get(pk=author(world, own_licence(world)).pk), "in_force_at", "approved_by"


def alias_rule(world: World) -> Waiting:
    row = author_alias_rule(
        actor=world.cast.carla, team=world.team, alias="production", action="promote", role="operator"
    )
    return AliasRule.objects.get(pk=row.pk), "in_force_at", "approved_by"


def purge(world: World) -> Waiting:
    row = request_purge(actor=world.cast.root, subject=of_version(world.version()), reason="A request to delete.")
    return Purge.objects.get(pk=row.pk), "confirmed_at", "confirmed_by"


def written(row: models.Model, **changes: Any) -> None:
    """As a shell would write it."""
    with transaction.atomic():
        type(row)._default_manager.filter(pk=row.pk).update(**changes)


@pytest.mark.parametrize("waiting", [policy, tier_table, ruling, alias_rule, purge])
def test_nothing_counts_without_the_name_of_a_person_who_may_approve_it(
    world: World, waiting: Callable[[World], Waiting]
) -> None:
    row, moment, second = waiting(world)
    ended = world.person("olga")
    access.grant_membership(actor=world.cast.root, person=ended, role=Role.ADMINISTRATOR, team=None)
    access.end_actor(actor=world.cast.root, person=Actor.objects.get(pk=ended.pk))
    for somebody in (None, world.cast.people["ada"].pk, world.cast.people["eve"].pk, system_actor().pk, ended.pk):
        with pytest.raises(IntegrityError, match="second person"):
            written(row, **{moment: timezone.now(), f"{second}_id": somebody})
    with pytest.raises(IntegrityError, match="second person"), transaction.atomic():
        copied(row, **{moment: timezone.now()}).save(force_insert=True)
    other = world.person("otis")
    access.grant_membership(actor=world.cast.root, person=other, role=Role.ADMINISTRATOR, team=None)
    written(row, **{moment: timezone.now(), f"{second}_id": other.pk})


def copied(row: models.Model, **changes: Any) -> models.Model:
    """The same row under another key and number."""
    fields = {f.attname: getattr(row, f.attname) for f in row._meta.concrete_fields if not f.primary_key}
    if "number" in fields:
        fields["number"] += 1
    return type(row)(**{**fields, "id": uuid.uuid4(), **changes})


def test_bytes_are_not_recorded_as_purged_while_a_hold_stands_or_without_two_people(world: World) -> None:
    version = world.version()
    with pytest.raises(IntegrityError, match="without two people"):
        written(version, purged_at=timezone.now())
    row = request_purge(actor=world.cast.root, subject=of_version(version), reason="A request to delete.")
    place_hold(actor=world.cast.carla, subject=of_model(version.model), reason="A court asks.")
    with pytest.raises(IntegrityError, match="hold"):
        written(row, confirmed_at=timezone.now(), confirmed_by_id=world.cast.people["carla"].pk)
    assert ModelVersion.objects.get(pk=version.pk).purged_at is None

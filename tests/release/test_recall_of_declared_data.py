"""Data that nobody here holds is recalled as far as its team's word goes: a digest alone stops nothing of another team."""

from __future__ import annotations

import uuid
from typing import Any

from registry.access import services as access
from registry.access.models import Role, Team
from registry.catalog.edges import EdgeSpec
from registry.events import Caller
from registry.oversight.subjects import of_dataset_version
from registry.provenance import services as provenance
from registry.provenance.models import DatasetVersion
from registry.release import services
from registry.release.quarantines import quarantined
from registry.release.recall_reach import preview
from tests.world import World


def made_with(**data: Any) -> EdgeSpec:
    return EdgeSpec("data", (), "declared", **data)


def member(world: World, team: Team, role: Role) -> Caller:
    person = world.person(f"{role}-{uuid.uuid4().hex[:6]}")
    access.grant_membership(actor=world.cast.root, person=person, role=role, team=team)
    return Caller(actor_id=person.pk, via="cli")


def declared_there(world: World, team: Team, slug: str, digest: str) -> DatasetVersion:
    """A state of data of another team, by somebody who knows a digest and has no bytes."""
    actor = member(world, team, Role.ENGINEER)
    dataset = provenance.register_dataset(actor=actor, team=team, slug=slug)
    return world.dataset_version(dataset=dataset, actor=actor, declared_digest=digest)


def test_who_knows_a_digest_alone_neither_stops_nor_counts_what_others_made(world: World, outsider_team: Team) -> None:
    data = world.dataset_version(uses=["training"])
    elsewhere = f"sha256:{'5' * 64}"
    world.version(seed=61, edges=[made_with(dataset_version=data)])
    world.version(seed=62, edges=[made_with(parent_digest=elsewhere)])
    officer = member(world, outsider_team, Role.COMPLIANCE_OFFICER)
    for number, digest in enumerate((str(data.digest), elsewhere)):
        subject = of_dataset_version(declared_there(world, outsider_team, f"claimed-{number}", digest))
        found = preview(officer, subject)
        assert (found.versions, found.hidden, found.live) == (0, 0, 0)
        assert services.start_recall(actor=officer, subject=subject, reason="Ours.").affected == 0
    assert not quarantined(world.version(seed=63, edges=[made_with(dataset_version=data)]))
    assert not quarantined(world.version(seed=64, edges=[made_with(parent_digest=elsewhere)]))


def test_a_word_about_data_elsewhere_counts_in_its_own_team_and_wherever_that_record_was_named(world: World) -> None:
    digest = f"sha256:{'6' * 64}"
    data = world.dataset_version(declared_digest=digest, slug="one")
    again = world.dataset_version(declared_digest=digest, slug="another")
    named = world.version(seed=71, edges=[made_with(dataset_version=data)])
    other = world.version(seed=72, edges=[made_with(dataset_version=again)])
    outside = world.version(seed=73, edges=[made_with(parent_digest=digest)])
    child = world.derived_version(named, seed=74)
    row = services.start_recall(actor=world.cast.carla, subject=of_dataset_version(data), reason="Withdrawn.")
    stopped = dict(row.quarantines.values_list("version_id", "distance"))
    assert stopped == {named.pk: 1, other.pk: 1, outside.pk: 1, child.pk: 2}
    for seed, edge in enumerate((made_with(dataset_version=again), made_with(parent_digest=digest)), start=75):
        assert quarantined(world.version(seed=seed, edges=[edge])) == [row]

"""Everything that was made from something, however many steps away, and whoever it belongs to."""

from __future__ import annotations

from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry.access.models import Team
from registry.catalog import queries
from registry.catalog.edges import EdgeSpec
from tests.provenance.http import make_eve_engineer_of
from tests.world import World


def test_descendants_come_nearest_first_with_their_smallest_distance(world: World) -> None:
    base = world.version(world.model("base"))
    child = world.derived_version(base, model=world.model("child"))
    grandchild = world.derived_version(child, model=world.model("grandchild"), seed=5)
    both = world.version(
        world.model("merged"), seed=6,
        edges=[EdgeSpec("merge-input", ("merged",), parent=base), EdgeSpec("merge-input", parent=grandchild)],
    )  # fmt: skip
    found = queries.descendants_of(version_ids=[base.pk])
    assert found == [*sorted([(child.pk, 1), (both.pk, 1)]), (grandchild.pk, 2)]
    assert queries.descendants_of(version_ids=[both.pk]) == []
    assert queries.descendants_of(version_ids=[child.pk, grandchild.pk]) == sorted([(grandchild.pk, 1), (both.pk, 1)])


def test_what_was_made_with_data_descends_from_it_in_every_team(world: World, outsider_team: Team) -> None:
    make_eve_engineer_of(world.cast, outsider_team)
    data = world.dataset_version(uses=["training"])
    ours = world.version(world.model("ours"), edges=[EdgeSpec("data", dataset_version=data)])
    far = world.model("far", actor=world.cast.eve, owner=world.cast.people["eve"], team=outsider_team)
    theirs = world.derived_version(ours, model=far)
    assert queries.descendants_of(dataset_version_ids=[data.pk]) == [(ours.pk, 1), (theirs.pk, 2)]


def test_naming_a_parent_by_its_digest_alone_does_not_hide_the_descent(world: World) -> None:
    base = world.version(world.model("base"))
    child = world.version(world.model("child"), seed=2, edges=[EdgeSpec("base", parent_digest=base.digest)])
    data = world.dataset_version(uses=["training"])
    fed = world.version(world.model("fed"), seed=3, edges=[EdgeSpec("data", parent_digest=data.digest)])
    assert queries.descendants_of(version_ids=[base.pk]) == [(child.pk, 1)]
    assert queries.descendants_of(dataset_version_ids=[data.pk]) == [(fed.pk, 1)]


def test_the_number_of_queries_follows_neither_the_depth_nor_the_number_of_versions(world: World) -> None:
    base = world.version(world.model("base"))
    newest = base
    for seed in range(4):
        world.derived_version(base, model=world.model(), seed=seed + 10)
        newest = world.derived_version(newest, model=world.model(), seed=seed + 20)
    with CaptureQueriesContext(connection) as taken:
        assert len(queries.descendants_of(version_ids=[base.pk])) == 8
    assert len(taken) == 2

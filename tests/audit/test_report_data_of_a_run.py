"""Which data a report names for the run that made a version: all of them, and none of another team by its name."""

from __future__ import annotations

import pytest

from audit.facts.case import Case
from audit.reports.compression import compression_section
from audit.snapshots import take
from registry.access.models import Role, Team
from registry.access.services import grant_membership
from registry.catalog.models import ModelVersion
from registry.compression.training import TrainingAsked
from tests.desk.trained_runs import step
from tests.world import World


@pytest.fixture
def parent(world: World) -> ModelVersion:
    return world.parent_version(world.governed_model(slug="sentences"))


def data_of(child: ModelVersion) -> list[tuple[str, str]]:
    section = compression_section(Case(take(child.model_id)))
    assert section is not None
    return [(row["use"], row["name"]) for row in section["data"]]


def test_baseline_and_data_of_another_kind_stand_in_the_report_too(world: World, parent: ModelVersion) -> None:
    live, strange = world.arrays_dataset(seed=8, uses=("baseline",)), world.arrays_dataset(seed=9)
    child = world.executed_child(parent, baseline=live, out_of_distribution=strange)
    found = data_of(child)
    assert [use for use, _ in found] == ["evaluation", "baseline", "other kind"]
    assert found[1:] == [("baseline", str(live)), ("other kind", str(strange))]


def test_rows_that_it_learned_from_stand_first_with_their_licence_and_the_budget_in_words(
    world: World, parent: ModelVersion
) -> None:
    rows = world.arrays_dataset(seed=12, uses=("training",))
    recipe = world.recipe(
        "trained", {"seed": 3, "steps": [step("fine_tune", loss="teacher"), step("quantize_weights")]}
    )
    child = world.executed_child(parent, recipe=recipe, training=TrainingAsked(rows, loses_at_most="0.01"))
    section = compression_section(Case(take(child.model_id)))
    assert section is not None
    assert [row["use"] for row in section["data"]] == ["training", "evaluation"]
    assert (section["data"][0]["name"], section["data"][0]["licence"]) == (str(rows), rows.licence.expression)
    assert section["run"]["budget"] == "every step loses at most 0.01 of the quality by the labels"
    assert [told.partition(" ")[0] for told in section["run"]["recipe"]["steps"]] == ["fine_tune", "quantize_weights"]


def test_data_of_another_team_are_not_named(world: World, parent: ModelVersion, outsider_team: Team) -> None:
    for name, role in (("eve", Role.ENGINEER), ("ada", Role.VIEWER)):
        grant_membership(actor=world.cast.root, person=world.cast.people[name], role=role, team=outsider_team)
    rows = world.dataset(actor=world.cast.eve, team=outsider_team, slug="secret-rows")
    theirs = world.dataset_version(
        data=world.tiny_inputs(64), uses=("evaluation",), dataset=rows, licence="CC0-1.0", actor=world.cast.eve
    )
    assert data_of(world.executed_child(parent, evaluation=theirs)) == [("evaluation", "of another team")]

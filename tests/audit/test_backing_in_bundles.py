"""A bundle holds the entries that its acts rest on, wherever they stand, and none of the rest of those streams."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from audit import keys
from audit import services as audit
from registry.access import services as access
from registry.access.models import Actor, Deputyship, Responsibility, Role, Team, Token
from registry.access.services_responsibility import give_responsibility
from registry.catalog.models import ModelVersion
from registry.events import Caller
from registry.oversight.subjects import of_version
from registry.release import services
from registry.release.serving_models import Target
from registry.release.stopping_models import Quarantine, Recall
from tests.audit.both import agreed, opinions
from tests.audit.handed_over import built, entries_of, newest, opened, sealed
from tests.release.test_start_recall import child_elsewhere, recall
from tests.world import World

Records = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Told:
    """A version that a machine brought, released by an officer and a deputy for one place, and stopped by a recall."""

    version: ModelVersion
    robot: Actor
    deputyship: Deputyship
    target: Target
    token: Token


@pytest.fixture
def told(world: World, outsider_team: Team) -> Told:
    root, people = world.cast.root, world.cast.people
    model = world.governed_model(slug="sentences")
    world.needing(2, officers=1)
    robot = world.cast.service_account("robot", Role.ENGINEER, answers="ada")
    give_responsibility(actor=root, account=robot, person=people["otto"])
    token = access.create_token(actor=root, person=robot)[0]
    access.create_token(actor=world.cast.ada, person=people["ada"])
    world.cast.service_account("other", Role.ENGINEER, answers="otto")
    world.deputy("idle-deputy")
    version = world.version(model, actor=Caller(actor_id=robot.pk, via="api"))
    target, deputyship = world.target(), world.deputy("dora")
    approval = world.approval(version)
    services.grant_approval(actor=world.cast.carla, approval=approval, reason="Fine.", target=target)
    dora = Caller(actor_id=people["dora"].pk, via="cli")
    services.grant_approval(actor=dora, approval=approval, reason="Fine.", target=target)
    services.promote(actor=world.cast.otto, model=model, alias="production", approval=approval)
    recall(world, of_version(version))
    return Told(version, robot, deputyship, target, token)


def records(files: dict[str, bytes]) -> Records:
    """The last image of each record, by type and then by id."""
    found: dict[str, dict[str, Any]] = {}
    for entry in entries_of(files):
        for record in entry["event"]["records"]:
            found.setdefault(record["type"], {})[record["id"]] = record["row"]
    return found


def names(found: Records, type_: str) -> set[str]:
    return set(found.get(type_, {}))


def test_who_decided_in_whose_place_and_who_answers_for_a_machine_can_be_checked_outside(
    world: World, told: Told, tmp_path: Path
) -> None:
    assessment = audit.issue_assessment(actor=world.cast.carla, model=told.version.model)
    audit.issue_report(actor=world.cast.carla, assessment=assessment)
    for about in ({}, {"version": told.version}):
        path = built(sealed(world.cast.carla, told.version.model, **about), tmp_path, f"{len(about)}.zip")
        line = keys.log_signer().key_line
        assert agreed(*opinions(path, keys=[line], checkpoint=newest())).exit_code == 0
        files = opened(path)
        found = records(files)
        teams = {entry["event"]["kind"] for entry in entries_of(files) if entry["stream"].startswith("team:")}
        assert teams <= {"membership.granted", "deputyship.appointed", "target.registered"}, (
            "of its stream no more than that"
        )
        answering = Responsibility.objects.filter(account=told.robot)
        assert names(found, "access.responsibility/1") == {str(row.pk) for row in answering}
        assert names(found, "access.token/1") == {str(told.token.pk)}
        assert names(found, "access.deputyship/1") == {str(told.deputyship.pk)}
        assert names(found, "release.target/1") == {str(told.target.pk)}
        acted = {("omar", Role.APPROVER), ("carla", Role.COMPLIANCE_OFFICER), ("otto", Role.OPERATOR)}
        held = {(row["actor_id"], row["role"]) for row in found["access.membership/1"].values()}
        assert {(str(world.cast.people[name].pk), str(role)) for name, role in acted} <= held
        assert (str(world.cast.people["dora"].pk), str(Role.VIEWER)) not in held  # a role under which nobody acted
        assert told.deputyship.reason_id not in {text["id"] for text in json.loads(files["texts.json"])["texts"]}
        assert b"On leave." not in files["texts.json"]


def test_a_recall_of_what_is_another_teams_stays_known_by_its_id(
    world: World, outsider_team: Team, tmp_path: Path
) -> None:
    parent = world.parent_version()
    child, _ = child_elsewhere(world, outsider_team, parent)
    own = recall(world, of_version(parent))
    assert Quarantine.objects.filter(version=child, recall=own).exists()
    ours = records(opened(built(sealed(world.cast.carla, parent.model), tmp_path, "ours.zip")))
    assert names(ours, "release.recall/1") == {str(own.pk)}
    theirs = records(opened(built(sealed(world.officer(), child.model), tmp_path, "theirs.zip")))
    assert names(theirs, "release.quarantine/1")
    assert not names(theirs, "release.recall/1")


def test_a_recall_in_another_model_of_the_team_is_in_the_bundle(world: World, tmp_path: Path) -> None:
    parent = world.version(world.model("base"))
    child = world.derived_version(parent, model=world.model("made-from-it"))
    started: Recall = recall(world, of_version(parent))
    path = built(sealed(world.cast.carla, child.model), tmp_path)
    assert names(records(opened(path)), "release.recall/1") == {str(started.pk)}
    assert agreed(*opinions(path, keys=[keys.log_signer().key_line], checkpoint=newest())).exit_code == 0

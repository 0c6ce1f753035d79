"""What a report shows of corrections, data of several files, emergencies, places and machines: page, JSON and PDF draw from it."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.utils import timezone

from audit import services as audit
from audit.exports.statements import statements
from audit.facts.case import Case
from audit.reports import data as report_data
from audit.reports import pdf
from audit.snapshots import take
from audit.verification import replay
from registry.access.models import Role
from registry.access.services import grant_membership
from registry.catalog.edges import EdgeSpec
from registry.catalog.models import ModelVersion
from registry.catalog.services_corrections import correct_version
from registry.events import Caller
from registry.oversight.services_proofs import sign_review
from registry.oversight.subjects import of_version
from registry.provenance.models import DatasetVersion
from registry.provenance.services_corrections import SaidAnew, correct_dataset_version
from registry.release import services
from tests.release.test_start_recall import recall
from tests.world import World

FILES = {"rows/a.npz": 8, "rows/b.npz": 9}


@pytest.fixture
def filled(world: World) -> tuple[ModelVersion, DatasetVersion]:
    """A child of a machine's version, judged on one of two files; both corrected; in an emergency nobody's policy held."""
    robot = world.cast.service_account("robot", Role.ENGINEER, answers="ada")
    model = world.model("sentences")
    parent = world.version(model, actor=Caller(actor_id=robot.pk, via="api"), training_data="incomplete")
    data = world.files_version(
        {path: world.tiny_inputs(64, seed) for path, seed in FILES.items()}, ("evaluation",), slug="rows"
    )
    child = world.executed_child(parent, evaluation=data, evaluation_file="rows/b.npz")
    licence = world.licence("CC-BY-NC-4.0")
    said = SaidAnew(licence=licence, personal_data="yes", consent="no", known_biases="One city only.")
    correct_dataset_version(actor=world.cast.carla, version=data, said=said, reason="The supplier's letter says so.")
    taken_back = SaidAnew(unstated=("known_biases",))
    correct_dataset_version(actor=world.cast.carla, version=data, said=taken_back, reason="Nobody can say.")
    correct_version(actor=world.cast.carla, version=parent, training_data="unknown", reason="Its card was wrong.")
    return child, data


def built(version: ModelVersion, world: World) -> dict[str, Any]:
    assessment = audit.issue_assessment(actor=world.cast.carla, model=version.model)
    return audit.report_data_of(assessment)


def test_corrections_files_machines_and_an_emergency_without_policy_stand_in_the_report(
    world: World, filled: tuple[ModelVersion, DatasetVersion]
) -> None:
    child, data = filled
    services.break_glass(actor=world.cast.otto, version=child, alias="production", reason="All else is down.")
    report = built(child, world)
    stated = report["stated"]
    assert [(row["subject"], row["changes"], row["reason"]) for row in stated["corrections"]] == [
        (
            "data rows@1",
            [
                "licence: CC-BY-NC-4.0, was PSF-2.0",
                "personal data: yes, was unknown",
                "consent: no, was unknown",
                "known biases: One city only., was not stated",
            ],
            "The supplier's letter says so.",
        ),
        ("data rows@1", ["known biases: not stated, was One city only."], "Nobody can say."),
        ("version 1", ["training data: unknown, was incomplete"], "Its card was wrong."),
    ]
    assert {(row["data"], row["path"], row["rows"]) for row in stated["files"]} == {
        ("rows@1", path, 64) for path in FILES
    }
    assert {row["digest"] for row in stated["files"]} == {row.digest for row in data.files.all()}
    (account,) = stated["accounts"]
    assert [answer.split(" since ")[0][-8:] for answer in account["answers"]] == [str(world.cast.people["ada"].pk)[-8:]]
    (emergency,) = report["release"]["broken_glass"]
    assert (emergency["policy"], emergency["reviewed"]) == ("", False)
    used = next(row for row in report["compression"]["data"] if row["use"] == "evaluation")
    assert (used["licence"], used["personal_data"]) == ("CC-BY-NC-4.0", "yes")
    data_bytes = report_data.to_bytes(report)
    printed = pdf.render(data_bytes)
    assert printed.startswith(b"%PDF")
    assert replay.compare() == [], "every table is what the ledger says"


def test_an_emergency_is_reviewed_once_somebody_else_looked_at_these_bytes(
    world: World, filled: tuple[ModelVersion, DatasetVersion]
) -> None:
    child, _ = filled

    def told() -> bool:
        return bool(built(child, world)["release"]["broken_glass"][0]["reviewed"])

    def look(who: Caller, version: ModelVersion) -> None:
        sign_review(actor=who, subject=of_version(version), kind="other", accepted=True, statement="Looked at.")

    look(world.cast.omar, child)  # before it
    services.break_glass(actor=world.cast.otto, version=child, alias="production", reason="All else is down.")
    assert not told()
    look(world.cast.omar, child)
    assert told()


def test_a_place_and_a_recall_elsewhere_are_named(world: World) -> None:
    model = world.governed_model(slug="sentences")
    base = world.version(world.model("base"))
    version = world.version(model, seed=3, edges=[EdgeSpec("base", ("fine-tuned",), "declared", parent=base)])
    approval = world.approval(version)
    ends = timezone.now() + datetime.timedelta(days=3)
    services.grant_approval(
        actor=world.cast.omar, approval=approval, reason="Fine.", expires_at=ends, target=world.target("edge")
    )
    services.promote(actor=world.cast.otto, model=model, alias="production", approval=approval)
    recall(world, of_version(base))
    release = built(version, world)["release"]
    assert release["approvals"][0]["decisions"][0]["condition"].endswith("on edge@1")
    assert release["quarantines"][0]["recall"] == str(base)


def test_what_another_team_wrote_about_its_data_stays_with_it(world: World, outsider_team: Any) -> None:
    for name, role in (("eve", Role.ENGINEER), ("eve", Role.COMPLIANCE_OFFICER), ("ada", Role.VIEWER)):
        grant_membership(actor=world.cast.root, person=world.cast.people[name], role=role, team=outsider_team)
    rows = world.dataset(actor=world.cast.eve, team=outsider_team, slug="secret-rows")
    theirs = world.dataset_version(data=world.tiny_inputs(64), uses=("evaluation",), dataset=rows, actor=world.cast.eve)
    parent = world.parent_version(world.governed_model(slug="sentences"))
    world.executed_child(parent, evaluation=theirs)
    said = SaidAnew(known_biases="Only the mayor's letters.", consent="no")
    correct_dataset_version(actor=world.cast.eve, version=theirs, said=said, reason="The mayor called.")
    report = built(parent, world)
    (row,) = report["stated"]["corrections"]
    assert row["subject"] == "data of another team"
    assert row["changes"] == ["consent: no, was unknown", "known biases: said anew, was not stated"]
    assert row["reason"] == ""
    printed = report_data.to_bytes(report)
    assert b"mayor" not in printed
    assert b"secret-rows" not in printed


def test_the_statement_of_a_run_names_the_file_that_was_judged_on(filled: tuple[ModelVersion, DatasetVersion]) -> None:
    child, data = filled
    made = dict(statements(Case(take(child.model_id)), model="m", origin="o"))
    (run,) = (payload for name, payload in made.items() if name.startswith("run-"))
    judged, other = (
        data.files.get(path=path).digest.partition(":")[2].encode() for path in ("rows/b.npz", "rows/a.npz")
    )
    assert judged in run
    assert other not in run

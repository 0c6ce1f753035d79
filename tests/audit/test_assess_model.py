"""An assessment answers all 72 subcategories from the ledger: the pack is right, the same snapshot gives the same bytes."""

from __future__ import annotations

import datetime
import json
from collections import Counter

import pytest
from django.utils import timezone

from audit import assessments, snapshots
from audit.frameworks import packs
from audit.frameworks.packs import PackError
from audit.statuses import WORST_FIRST
from registry.errors import Invalid
from registry.oversight import services as oversight
from tests.world import World
from tests.worlds.audit import restore_keys_note, tamper

pytestmark = pytest.mark.filterwarnings("error")
COUNTS = {
    "GOVERN": [7, 3, 2, 3, 2, 2],
    "MAP": [6, 3, 5, 2, 2],
    "MEASURE": [3, 13, 3, 3],
    "MANAGE": [4, 4, 2, 3],
}
IDS = [
    f"{function} {category}.{number}"
    for function, categories in COUNTS.items()
    for category, count in enumerate(categories, 1)
    for number in range(1, count + 1)
]
DAY = datetime.timedelta(days=1)


@pytest.fixture
def world(world: World) -> World:
    restore_keys_note()
    return world


def row(document: dict, requirement: str) -> dict:
    return next(r for r in document["requirements"] if r["id"] == requirement)


def status(document: dict, requirement: str) -> str:
    return str(row(document, requirement)["status"])


# --- the pack ---


def test_the_pack_has_exactly_the_72_subcategories_of_the_core() -> None:
    assert [r.id for r in packs.load().requirements] == IDS
    assert len(IDS) == 72
    assert [sum(c) for c in COUNTS.values()] == [19, 18, 22, 13]


def test_each_class_has_the_count_that_the_report_prints() -> None:
    assert Counter(r.cls for r in packs.load().requirements) == {"A": 14, "B": 47, "C": 10, "X": 1}


def test_no_title_is_a_sentence_of_the_framework_and_each_says_its_source() -> None:
    pack = packs.load()
    for requirement in pack.requirements:
        assert len(requirement.title) < 100
        assert requirement.outside
        assert pack.sources[requirement.source]["retrieved"]
    assert "own words" in pack.label


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('fact = "inventory"', 'fact = "invented"'),
        ('fact = "inventory"', 'fact = "inventory", parameters = { colour = 1 }'),
        ('id = "GOVERN 1.2"', 'id = "GOVERN 1.1"'),
        ('id = "GOVERN 1.2"', 'id = "MAP 1.2"'),
        ('class = "X"', 'class = "Z"'),
        ('role = "approver"', 'role = "emperor"'),
        ('source = "core"', 'source = "hearsay"'),
        ("[functions]", "[functions"),
    ],
)
def test_a_wrong_pack_is_refused(old: str, new: str) -> None:
    text = packs.load().data.decode()
    assert old in text
    with pytest.raises(PackError):
        packs.parse(text.replace(old, new, 1).encode())


# --- the document ---


def test_a_model_without_anything_is_mostly_missing_and_never_compliant(world: World) -> None:
    document = assessments.assess(world.model())
    counts = {c["status"]: c["count"] for c in document["summary"]["counts"]}
    assert document["summary"]["total"] == 72 == sum(counts.values())
    assert counts["missing"] > 55
    assert counts["attested"] == 0
    assert "compliant" not in json.dumps(document).replace("compliance_officer", "").replace("compliance officer", "")
    assert status(document, "MANAGE 1.1") == "missing"
    assert status(document, "MAP 1.3") == "outside"
    assessments.to_bytes(document)


def test_a_released_pair_is_answered_row_by_row(world: World) -> None:
    _, child = world.released_pair()
    document = assessments.assess(child.model)
    assessments.to_bytes(document)
    expected = {
        "GOVERN 1.4": "evidenced", "GOVERN 1.6": "evidenced", "GOVERN 2.1": "partial", "GOVERN 6.1": "partial",
        "MAP 1.1": "partial", "MEASURE 2.1": "partial", "MEASURE 2.4": "missing", "MEASURE 2.11": "missing",
        "MANAGE 1.1": "evidenced", "MANAGE 2.4": "partial", "MANAGE 3.2": "evidenced", "MANAGE 4.3": "missing",
    }  # fmt: skip
    assert {name: status(document, name) for name in expected} == expected
    approval = row(document, "MANAGE 1.1")
    assert child.digest in approval["evidence"]
    assert approval["expires_at"] is not None
    assert document["subject"]["live"] == [{"alias": "production", "digest": child.digest, "version": child.number}]
    assert document["as_of"]["verified"] is True


def test_the_same_snapshot_gives_the_same_bytes(world: World) -> None:
    _, child = world.released_pair()
    moment = timezone.now()
    first = assessments.to_bytes(assessments.assess(child.model, as_of=moment))
    world.model()  # something else happens
    assert assessments.to_bytes(assessments.assess(child.model, as_of=moment)) == first


def test_an_assessment_as_of_the_past_does_not_know_what_came_later(world: World) -> None:
    parent = world.parent_version()
    world.promoted(parent)
    before = timezone.now()
    child = world.child_version(parent)
    world.promoted(child)
    document = assessments.assess(parent.model, as_of=before)
    assert document["subject"]["versions"] == 1
    assert document["subject"]["live"][0]["version"] == parent.number
    assert assessments.assess(parent.model)["subject"]["versions"] == 2


def test_a_moment_in_the_future_is_refused(world: World) -> None:
    with pytest.raises(Invalid, match="future"):
        assessments.assess(world.model(), as_of=timezone.now() + DAY)


def test_evidence_turns_stale_by_itself(world: World) -> None:
    _, child = world.released_pair()
    snapshot = assessments.prepare(child.model)
    assert status(assessments.assess_snapshot(snapshot, child.model), "MANAGE 1.1") == "evidenced"
    later = snapshots.take_at(child.model.pk, snapshot.size, "2028-01-01T00:00:00.000000Z")
    later.ledger = snapshot.ledger
    document = assessments.assess_snapshot(later, child.model)
    assert status(document, "MANAGE 1.1") == "stale"
    assert status(document, "GOVERN 1.4") == "stale"


def test_a_broken_ledger_is_a_failing_row(world: World) -> None:
    _, child = world.released_pair()
    tamper("audit_entry", "UPDATE audit_entry SET leaf = %s WHERE position = 1", [b"\x00" * 32])
    document = assessments.assess(child.model)
    assert status(document, "GOVERN 1.4") == "failing"
    assert document["as_of"]["verified"] is False
    assert document["summary"]["worst"] == "failing"


def test_a_view_of_a_long_ledger_says_that_it_was_not_verified(world: World) -> None:
    model = world.model()
    snapshot = assessments.prepare(model, ledger_limit=1)
    document = assessments.assess_snapshot(snapshot, model)
    assert document["as_of"] == {**document["as_of"], "verified": False, "root": None}
    assert "not verified" in row(document, "GOVERN 1.4")["rules"][0]["sentence"]


# --- statements of people ---


def sign(world: World, model: object, requirement: str, *, days: int = 90, framework: str = packs.NIST_AI_RMF) -> None:
    oversight.sign_attestation(
        actor=world.cast.carla, stream=f"model:{model.pk}", team_id=world.team.pk, framework=framework,  # type: ignore[attr-defined]
        requirement=requirement, statement="I looked at it.", expires_at=timezone.now() + DAY * days,
    )  # fmt: skip


def test_a_statement_raises_a_row_with_all_facts_to_attested(world: World) -> None:
    _, child = world.released_pair()
    assert status(assessments.assess(child.model), "MAP 1.1") == "partial"
    sign(world, child.model, "MAP 1.1")
    answered = row(assessments.assess(child.model), "MAP 1.1")
    assert answered["status"] == "attested"
    assert answered["attestation"]["signed"]["role"] == "compliance_officer"


def test_a_ceiling_keeps_a_row_at_partial_whatever_is_signed(world: World) -> None:
    _, child = world.released_pair()
    sign(world, child.model, "GOVERN 3.2")
    answered = row(assessments.assess(child.model), "GOVERN 3.2")
    assert [rule["outcome"] for rule in answered["rules"]] == ["passes", "passes"]
    assert answered["attestation"]["signed"]["in_date"]
    assert answered["status"] == "partial"
    assert "Never better than partial" in answered["reason"]


def test_a_statement_alone_never_replaces_missing_evidence(world: World) -> None:
    model = world.model()
    sign(world, model, "MEASURE 2.11")
    assert status(assessments.assess(model), "MEASURE 2.11") == "partial"


def test_a_row_without_facts_is_closed_by_a_statement_and_reopens_when_it_ends(world: World) -> None:
    model = world.model()
    assert status(assessments.assess(model), "GOVERN 2.2") == "missing"
    sign(world, model, "GOVERN 2.2", days=30)
    snapshot = assessments.prepare(model)
    assert status(assessments.assess_snapshot(snapshot, model), "GOVERN 2.2") == "attested"
    later = snapshots.take_at(model.pk, snapshot.size, "2027-06-01T00:00:00.000000Z")
    assert status(assessments.assess_snapshot(later, model), "GOVERN 2.2") == "stale"


def test_a_statement_for_another_framework_or_by_another_role_does_not_count(world: World) -> None:
    model = world.model()
    sign(world, model, "GOVERN 2.2", framework="another_1_0")
    sign(world, model, "GOVERN 2.3")  # asks for an approver
    document = assessments.assess(model)
    assert status(document, "GOVERN 2.2") == "missing"
    assert status(document, "GOVERN 2.3") == "missing"


def test_not_applicable_needs_a_signature_with_an_end(world: World) -> None:
    model = world.model()
    sign(world, model, "MEASURE 2.2 not applicable")
    assert status(assessments.assess(model), "MEASURE 2.2") == "not_applicable"


def test_an_open_finding_stands_beside_its_row_with_owner_and_date(world: World) -> None:
    model = world.model()
    due = timezone.now().date() + DAY * 7
    oversight.open_finding(
        actor=world.cast.carla, stream=f"model:{model.pk}", team_id=world.team.pk, subject="MEASURE 2.11",
        description="No slices yet.", owner=world.cast.people["ada"], due_on=due,
    )  # fmt: skip
    found = row(assessments.assess(model), "MEASURE 2.11")["finding"]
    assert found["owner"] == str(world.cast.ada.actor_id)
    assert found["due_on"] == due.isoformat()


def test_gaps_come_worst_first(world: World) -> None:
    _, child = world.released_pair()
    document = assessments.assess(child.model)
    ranks = [WORST_FIRST.index(status(document, name)) for name in document["summary"]["gaps"]]
    assert ranks == sorted(ranks)
    assert ranks


def test_the_rows_are_evaluated_in_time(world: World) -> None:
    _, child = world.released_pair()
    snapshot = assessments.prepare(child.model)
    started = timezone.now()
    assessments.assess_snapshot(snapshot, child.model)
    assert (timezone.now() - started).total_seconds() < 0.5

"""A rule over a comparison: it rests on what the alias serves now, or on the version approved first, not on any other."""

from __future__ import annotations

from typing import Any

import pytest

from registry.catalog.evidence import EvidenceSpec
from registry.catalog.models import ModelVersion
from registry.catalog.services import add_evidence
from registry.digests import sha256
from registry.errors import Blocked
from registry.events import Caller, unit
from registry.release import gates, queries, services
from tests.release.test_gates import DOCUMENT, FIGURE, NOW, OTHER, PRESENT, answer, evidence, figure, inputs
from tests.world import World

SERVED, FIRST = sha256(b"served"), sha256(b"first")
RULE = {**FIGURE, "metric": "accuracy_difference", "limit": "-0.02"}


def compared(kind: str, *others: str, **members: Any) -> gates.EvidenceInput:
    difference = figure("accuracy_difference", "0", low="-0.01", high="0.01")
    return evidence(kind, difference, compared_with=others, **members)


def judged(check: str, kind: str, *found: gates.EvidenceInput, **changes: Any) -> gates.RuleResult:
    known = {"incumbent": SERVED, "first_approved": FIRST, **changes}
    rule = RULE if check == "figure" else PRESENT
    return answer(check, inputs(evidence=list(found), **known), **{**rule, "kind": kind})


@pytest.mark.parametrize("check", ["figure", "evidence_present"])
@pytest.mark.parametrize(
    ("kind", "now", "said"),
    [
        ("comparison-incumbent", SERVED, "what is served now"),
        ("fidelity-incumbent", SERVED, "what is served now"),
        ("comparison-first", FIRST, "the version that was approved first"),
    ],
)
def test_a_comparison_with_another_version_counts_as_absent_and_both_versions_are_named(
    check: str, kind: str, now: str, said: str
) -> None:
    right, easy = compared(kind, now), compared(kind, OTHER, created_at=NOW)
    assert judged(check, kind, right).answer == "passed"
    assert judged(check, kind, right, easy).answer == "passed"
    found = judged(check, kind, easy)
    assert (found.answer, found.inputs) == ("blocked", (DOCUMENT,))
    assert (OTHER[:19] in found.reason, now[:19] in found.reason, said in found.reason) == (True, True, True)
    assert judged(check, kind, compared(kind, now, OTHER)).answer == "blocked"
    unnamed = judged(check, kind, compared(kind))
    assert (unnamed.answer, "does not name" in unnamed.reason) == ("blocked", True)


def test_an_older_worse_comparison_with_what_is_served_is_not_hidden_by_a_newer_one_with_another_version() -> None:
    kind = "comparison-incumbent"
    bad = figure("accuracy_difference", "-0.3", low="-0.4", high="-0.2")
    worse = evidence(kind, bad, compared_with=[SERVED])
    found = judged("figure", kind, worse, compared(kind, OTHER, created_at=NOW))
    assert (found.answer, "is only -0.4" in found.reason) == ("blocked", True)


@pytest.mark.parametrize(
    ("kind", "said"), [("comparison-incumbent", "no other version is served"), ("comparison-first", "approved yet")]
)
def test_where_nothing_is_served_or_approved_a_comparison_never_passes(kind: str, said: str) -> None:
    found = judged("figure", kind, compared(kind, OTHER), incumbent=None, first_approved=None)
    assert (found.answer, said in found.reason) == ("blocked", True)


def test_a_comparison_with_the_parent_is_bound_to_no_alias() -> None:
    kind = "comparison-parent"
    assert judged("figure", kind, compared(kind), incumbent=None, first_approved=None).answer == "passed"


# --- over real records ---


def demand(world: World, *kinds: str) -> None:
    """A policy in force that asks every derived version for these comparisons."""

    def change(document: dict[str, Any]) -> None:
        common = {"about": "No worse than what is served.", "check": "figure", "applies_to": "derived"}
        document["rules"] += [{**RULE, **common, "id": kind, "kind": kind, "waivable": False} for kind in kinds]

    world.policy("limited", change)


def compare(world: World, version: ModelVersion, kind: str, other: ModelVersion) -> None:
    """Evidence of the kind, as a worker attaches it, beside another version."""
    document: dict[str, Any] = {
        "environment": [], "kind": kind, "method": {"name": "test", "version": "1"}, "seed": 0, "source": "measured",
        "figures": [figure("accuracy_difference", "0", low="-0.01", high="0.01")], "type": "pressmark/evidence/1",
        "subjects": [{"digest": version.digest, "role": "version"}, {"digest": other.digest, "role": "incumbent"}],
    }  # fmt: skip
    person = world.cast.people["ada"]
    worker = Caller(actor_id=person.pk, via="worker")
    with unit(worker, role="system") as opened:
        add_evidence(opened, version=version, specs=[EvidenceSpec(kind, "measured", document)], created_by=person)


def blocked_by(world: World, version: ModelVersion, alias: str = "production") -> dict[str, str]:
    verdict = services.evaluate_gate(actor=world.cast.ada, version=version, alias=alias)
    rows: Any = queries.verdict_document(verdict)["results"]
    return {row["rule"]: row["reason"] for row in rows if row["answer"] == "blocked"}


def test_a_promotion_that_changes_what_is_served_takes_away_what_an_older_comparison_was_worth(world: World) -> None:
    demand(world, "comparison-incumbent", "comparison-first")
    parent = world.parent_version()
    world.promoted(parent)
    waiting, other = world.child_version(parent), world.child_version(parent, seed=77)
    for version in (waiting, other):
        assert set(blocked_by(world, version)) == {"comparison-incumbent", "comparison-first"}
        compare(world, version, "comparison-incumbent", parent)
        compare(world, version, "comparison-first", parent)
        assert blocked_by(world, version) == {}
    approval = world.granted(waiting)
    world.promoted(other)
    found = blocked_by(world, waiting)
    assert set(found) == {"comparison-incumbent"}
    assert parent.digest[:19] in found["comparison-incumbent"]
    assert other.digest[:19] in found["comparison-incumbent"]
    with pytest.raises(Blocked, match="comparison-incumbent"):
        services.promote(actor=world.cast.otto, model=waiting.model, alias="production", approval=approval)


def test_the_alias_of_the_release_decides_what_is_served(world: World) -> None:
    demand(world, "comparison-incumbent")
    parent = world.parent_version()
    world.promoted(parent)
    child = world.child_version(parent)
    compare(world, child, "comparison-incumbent", parent)
    assert blocked_by(world, child) == {}
    assert "no other version is served" in blocked_by(world, child, "staging")["comparison-incumbent"]


def test_the_way_back_and_a_new_approval_of_what_is_served_need_no_comparison_with_what_failed(world: World) -> None:
    demand(world, "comparison-incumbent")
    parent = world.parent_version()
    world.promoted(parent)
    child = world.child_version(parent)
    compare(world, child, "comparison-incumbent", parent)
    world.promoted(child)
    assert blocked_by(world, child) == {}  # it is served now; it cannot be compared with itself
    failing = world.child_version(child, seed=333)
    compare(world, failing, "comparison-incumbent", child)
    world.promoted(failing)
    assert set(blocked_by(world, child)) == {"comparison-incumbent"}  # forwards it must stand beside what is served
    move = services.roll_back(actor=world.cast.otto, model=parent.model, alias="production", reason="It answers worse.")
    assert move.version == child

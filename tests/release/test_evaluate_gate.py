"""The gate over real records: what is gathered, what is kept, and who may ask."""

from __future__ import annotations

import pytest

from registry import storage
from registry.catalog import lineage
from registry.catalog.edges import EdgeSpec
from registry.digests import parse_canonical, sha256
from registry.errors import Blocked, Forbidden, Invalid
from registry.release import inputs, queries, services
from tests.world import World
from tests.worlds.http import api


def answers(world: World, version) -> dict[str, str]:
    verdict = services.evaluate_gate(actor=world.cast.ada, version=version, alias="production")
    return {r["rule"]: r["answer"] for r in queries.verdict_document(verdict)["results"]}


def test_an_uploaded_version_with_known_data_passes(world: World) -> None:
    verdict = services.evaluate_gate(actor=world.cast.ada, version=world.parent_version(), alias="production")
    assert verdict.outcome == "passed"
    document = parse_canonical(storage.read_bytes(verdict.digest))
    assert document["version"]["digest"] == verdict.version_digest
    assert document["policy"]["digest"] == verdict.policy_digest
    assert sha256(storage.read_bytes(verdict.evidence_set_digest)) == verdict.evidence_set_digest


def test_a_child_without_evidence_is_blocked_rule_by_rule_and_the_verdict_is_kept(world: World) -> None:
    parent = world.parent_version()
    world.promoted(parent)
    found = answers(world, world.child_version(parent, evidence=False))
    blocked = {rule for rule, answer in found.items() if answer == "blocked"}
    assert blocked == {
        "size-measured", "fidelity-measured", "smaller", "faithful-on-average", "faithful-in-the-tail",
        "speed-measured", "not-slower",
    }  # fmt: skip


def test_the_evidence_of_the_parent_never_counts_for_the_child(world: World) -> None:
    parent = world.parent_version()
    world.measure(parent, parent)
    world.promoted(parent)
    assert answers(world, world.child_version(parent, evidence=False))["smaller"] == "blocked"


def test_a_child_of_a_parent_that_was_never_approved_has_nothing_to_go_back_to(world: World) -> None:
    parent = world.parent_version()
    child = world.child_version(parent)
    assert answers(world, child)["rollback-target"] == "blocked"
    world.granted(parent)
    assert answers(world, child)["rollback-target"] == "passed"


def test_a_revoked_parent_is_no_target(world: World) -> None:
    parent = world.parent_version()
    approval = world.granted(parent)
    services.revoke_approval(actor=world.cast.omar, approval=approval, reason="A fault was found.")
    assert answers(world, world.child_version(parent))["rollback-target"] == "blocked"


def test_a_declared_edge_is_not_enough_for_a_derived_version(world: World) -> None:
    parent = world.parent_version()
    assert answers(world, world.child_version(parent))["lineage"] == "passed"
    claimed = world.version(parent.model, seed=9, edges=[EdgeSpec("base", ("quantized",), parent=parent)])
    assert answers(world, claimed)["lineage"] == "not-applicable"  # it was uploaded: nobody claims that we made it


def test_licences_of_calibration_data_reach_the_child(world: World) -> None:
    parent = world.parent_version()
    data = world.dataset_version(uses=["calibration"], licence="CC-BY-NC-4.0")
    child = world.derived_version(parent, data=[data])
    verdict = services.evaluate_gate(actor=world.cast.ada, version=child, alias="production")
    row = next(r for r in queries.verdict_document(verdict)["results"] if r["rule"] == "commercial-use")
    assert row["answer"] == "blocked"
    assert "CC-BY-NC-4.0" in row["reason"]


def test_a_dataset_with_unknown_terms_blocks(world: World) -> None:
    parent = world.parent_version()
    unknown = world.dataset_version(uses=["calibration"], licence="LicenseRef-pressmark-unknown")
    assert answers(world, world.derived_version(parent, data=[unknown]))["data-known"] == "blocked"
    known = world.dataset_version(uses=["calibration"], licence="MIT")
    assert answers(world, world.derived_version(parent, data=[known], seed=77))["data-known"] == "passed"


def test_data_that_is_only_a_digest_blocks(world: World) -> None:
    edge = EdgeSpec("data", parent_digest=sha256(b"somewhere"))
    version = world.version(world.governed_model(), edges=[edge])
    assert answers(world, version)["data-known"] == "blocked"


def test_without_a_use_case_or_a_policy_nothing_is_judged(world: World) -> None:
    with pytest.raises(Blocked, match="serves no use case"):
        services.evaluate_gate(actor=world.cast.ada, version=world.version(), alias="production")
    lonely = world.version(world.model(use_case=world.use_case("high-use", "high")))
    with pytest.raises(Blocked, match="No policy is in force for releases of tier high"):
        services.evaluate_gate(actor=world.cast.ada, version=lonely, alias="production")


def test_the_same_facts_give_the_same_answers(world: World) -> None:
    version = world.parent_version()
    now = version.created_at
    assert inputs.gather(version, now) == inputs.gather(version, now)


def test_data_beyond_the_limit_of_the_lineage_counts_as_unknown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = world.parent_version()
    child = world.child_version(parent)
    assert answers(world, child)["data-known"] != "blocked"
    monkeypatch.setattr(lineage, "MAX_NODES", 1)
    assert answers(world, child)["data-known"] == "blocked"


def test_an_operator_does_not_ask_the_gate_and_an_alias_has_a_name(world: World) -> None:
    version = world.parent_version()
    with pytest.raises(Forbidden):
        services.evaluate_gate(actor=world.cast.otto, version=version, alias="production")
    with pytest.raises(Invalid, match="no name for an alias"):
        services.evaluate_gate(actor=world.cast.ada, version=version, alias="7")


def test_over_http_a_verdict_carries_every_reason(world: World) -> None:
    version = world.parent_version(training_data="unknown")
    path = f"/api/v1/teams/search/models/{version.model.slug}/versions/1/verdicts"
    made = api("ada").post(path, {"alias": "production"}, format="json")
    assert (made.status_code, made.json()["outcome"]) == (201, "blocked")
    assert [v["id"] for v in api("otto").get(path).json()["items"]] == [made.json()["id"]]
    assert api("root").get(path.replace("search", "elsewhere")).status_code == 404

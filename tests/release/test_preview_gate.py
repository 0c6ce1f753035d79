"""What a version lacks before it may go live is told to every reader, as the gate would judge it, and nothing is written."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.models import Entry
from registry.access import services as access
from registry.access.models import Role
from registry.catalog.edges import EdgeSpec
from registry.catalog.models import ModelVersion
from registry.errors import Forbidden, Invalid
from registry.events import Caller
from registry.oversight.subjects import of_version
from registry.release import queries, services
from registry.release.gates import CHECKS
from registry.release.mending import mends_of, roles_for
from registry.release.policy_language import Rule
from registry.release.preview_gate import preview_body, preview_gate
from registry.release.services.alias_rules import approve_alias_rule, author_alias_rule
from registry.release.services.recalls import start_recall
from tests.world import World
from tests.worlds.http import api

COMPARED = ("rule", "about", "answer", "check", "reason", "waivable", "waiver")


def body(version: ModelVersion, alias: str = "production") -> dict[str, Any]:
    return preview_body(preview_gate(version, alias))


def steps(found: dict[str, Any]) -> dict[str, tuple[bool, str]]:
    return {step["name"]: (step["done"], step["who"]) for step in found["steps"]}


def address(version: ModelVersion) -> str:
    return f"/api/v1/teams/search/models/{version.model.slug}/versions/{version.number}/preview-gate"


def blocked_child(world: World) -> ModelVersion:
    parent = world.parent_version()
    world.promoted(parent)
    return world.child_version(parent, evidence=False)


def rows() -> dict[str, int]:
    """How many rows each table holds, the ledger's too."""
    return {model._meta.label: model._default_manager.count() for model in apps.get_models()}


def test_a_viewer_learns_what_blocks_and_who_can_mend_it_without_the_right_to_ask_the_gate(world: World) -> None:
    child = blocked_child(world)
    vera = world.person("vera", Role.VIEWER)
    with pytest.raises(Forbidden):
        services.evaluate_gate(actor=Caller(actor_id=vera.pk, via="api"), version=child, alias="production")
    answer = api("vera").get(address(child), {"alias": "production"})
    assert answer.status_code == 200
    found = answer.json()
    assert (found["outcome"], found["policy"], found["tier"]) == ("blocked", "limited@1", "limited")
    smaller = next(rule for rule in found["rules"] if rule["rule"] == "smaller")
    assert smaller["asks"].startswith("Of derived versions: 'size_ratio' of 'size' is at least")
    acts = {mend["action"]: mend["roles"] for mend in smaller["who_can_mend"]}
    assert acts == {
        "run.request": ["engineer", "service account"],
        "waiver.sign": ["approver", "compliance officer"],
    }
    assert next(rule for rule in found["rules"] if rule["answer"] == "passed")["who_can_mend"] == []


def test_who_may_not_read_the_version_is_told_that_there_is_none(world: World) -> None:
    child = blocked_child(world)
    elsewhere = access.create_team(actor=world.cast.root, slug="elsewhere")
    eve = world.cast.people["eve"]
    access.grant_membership(actor=world.cast.root, person=eve, role=Role.ENGINEER, team=elsewhere)
    assert api("eve").get(address(child)).status_code == 404


def test_the_team_of_an_ancestor_that_the_reader_may_not_see_is_not_named(world: World) -> None:
    elsewhere = access.create_team(actor=world.cast.root, slug="elsewhere")
    access.grant_membership(actor=world.cast.root, person=world.cast.people["ada"], role=Role.ENGINEER, team=elsewhere)
    dataset = world.dataset("secret-rows", team=elsewhere)
    hidden = world.dataset_version(dataset=dataset, uses=("training",), licence="CC-BY-NC-4.0")
    version = world.version(world.governed_model(), edges=[EdgeSpec("data", dataset_version=hidden)])
    world.person("vera", Role.VIEWER)
    told = api("vera").get(address(version)).content.decode()
    assert "commercial use" in told
    assert "blocked" in told
    assert "secret-rows" not in told
    assert "elsewhere" not in told


def test_a_preview_writes_nothing_in_any_table(world: World) -> None:
    child = blocked_child(world)
    client = api("ada")
    client.get(address(child))  # the first use of a token may be noted
    before = rows()
    assert before["audit.Entry"] == Entry.objects.count() > 0
    with CaptureQueriesContext(connection) as asked:
        preview_gate(child, "production")
    assert client.get(address(child)).status_code == 200
    assert rows() == before
    assert [q["sql"] for q in asked if not q["sql"].lstrip("( ").upper().startswith("SELECT")] == []


@pytest.mark.parametrize("measured", [False, True])
def test_the_verdict_that_is_asked_for_right_after_gives_the_same_rules_and_answers(
    world: World, measured: bool
) -> None:
    parent = world.parent_version(training_data="incomplete")
    world.waiver(parent)
    world.promoted(parent)
    child = world.child_version(parent, evidence=measured)
    for version in (parent, child):
        found = body(version)
        verdict = services.evaluate_gate(actor=world.cast.ada, version=version, alias="production")
        document: Any = queries.verdict_document(verdict)
        assert found["outcome"] == verdict.outcome
        assert found["policy"] == str(verdict.policy)
        assert [[rule[key] for key in COMPARED] for rule in found["rules"]] == [
            [rule[key] for key in COMPARED] for rule in document["results"]
        ]
    assert next(r for r in body(parent)["rules"] if r["rule"] == "training-data")["answer"] == "waived"


def test_the_way_is_told_step_by_step_as_it_is_gone(world: World) -> None:
    world.needing(2, 1)
    parent = world.parent_version()
    found = steps(body(parent))
    assert list(found) == ["gate", "request", "grant", "promote"]
    assert [done for done, _ in found.values()] == [True, False, False, False]
    assert found["request"][1].startswith("engineer or service account of the team")
    assert found["grant"][1].startswith("1 approver and 1 compliance officer of the team; not who asks for it")
    assert found["promote"][1] == "approver, engineer, operator or service account of the team"
    approval = world.approval(parent)
    services.grant_approval(actor=world.cast.omar, approval=approval, reason="Read.")
    waits = body(parent)
    assert [done for done, _ in steps(waits).values()] == [True, True, False, False]
    assert waits["approval"] == {
        "id": str(approval.pk), "status": "requested", "missing": {"compliance_officer": 1},
    }  # fmt: skip
    services.grant_approval(actor=world.cast.carla, approval=approval, reason="Read.")
    assert [done for done, _ in steps(body(parent)).values()] == [True, True, True, False]
    services.promote(actor=world.cast.otto, model=parent.model, alias="production", approval=approval)
    done = body(parent)
    assert all(done for done, _ in steps(done).values())
    assert done["serves"] is True
    assert body(parent, "canary")["serves"] is False


def test_a_rule_of_the_alias_narrows_who_is_named(world: World) -> None:
    version = world.parent_version()
    rule = author_alias_rule(
        actor=world.cast.carla, team=world.team, alias="production", action="promote", role="operator"
    )
    approve_alias_rule(actor=world.cast.omar, rule=rule)
    assert steps(body(version))["promote"][1] == "operator of the team"
    assert "engineer" in steps(body(version, "canary"))["promote"][1]


def test_without_a_use_case_or_a_policy_it_is_said_with_the_way_on(world: World) -> None:
    alone = body(world.version(world.model("alone")))
    assert (alone["outcome"], alone["policy"], alone["rules"], alone["steps"]) == ("no-policy", None, [], [])
    assert "serves no use case" in alone["unjudged"]["reason"]
    assert [mend["action"] for mend in alone["unjudged"]["who_can_mend"]] == ["use_case.register", "model.register"]
    ruled = body(world.version(world.model("ruled", use_case=world.use_case("high-use", "high")), seed=5))
    assert "No policy is in force for releases of tier high to 'production'" in ruled["unjudged"]["reason"]
    assert [mend["action"] for mend in ruled["unjudged"]["who_can_mend"]] == ["policy.author", "policy.approve"]
    assert "for the whole instance; not its author" in ruled["unjudged"]["who_can_mend"][1]["who"]


def test_what_is_purged_or_in_quarantine_is_told_beside_what_the_gate_says(world: World) -> None:
    version = world.parent_version()
    assert (body(version)["purged"], body(version)["quarantined"]) == (False, False)
    start_recall(actor=world.cast.carla, subject=of_version(version), reason="It leaks.")
    stopped = body(version)
    assert (stopped["quarantined"], stopped["rules"][0]["check"]) == (True, "not_recalled")
    acts = [mend["action"] for mend in stopped["rules"][0]["who_can_mend"]]
    assert acts == ["recall.end", "quarantine.request_release", "quarantine.decide"]
    assert body(world.purged(world.parent_version(seed=3)))["purged"] is True


def test_what_is_no_name_for_an_alias_is_refused_with_what_to_write(world: World) -> None:
    version = world.parent_version()
    with pytest.raises(Invalid, match="no name for an alias"):
        preview_gate(version, "7")
    answer = api("ada").get(address(version), {"alias": "../x"})
    assert answer.status_code == 422
    assert "such as 'production'" in answer.json()["hint"]


def test_every_check_of_the_language_names_an_act_and_somebody_who_may_do_it() -> None:
    for check in CHECKS:
        for kind in ("size", "target"):
            rule = Rule("r", "", check, "any", False, {"kind": kind, "source": "any"}, "")
            mends = mends_of(rule)
            assert mends, check
            assert all(mend.roles and mend.act for mend in mends), check
            assert "waiver.sign" not in {mend.action for mend in mends}
    waivable = Rule("r", "", "training_data", "any", True, {}, "")
    assert mends_of(waivable)[-1].action == "waiver.sign"
    of_data = Rule("r", "", "review_in_force", "any", False, {"kind": "vetting", "of": "each_dataset"}, "")
    assert "of the team that keeps the data; not who brought" in mends_of(of_data)[0].who


def test_what_only_a_person_may_do_is_offered_to_no_service_account() -> None:
    assert roles_for("review.sign") == ("approver", "compliance officer")
    assert "service account" in roles_for("run.request")

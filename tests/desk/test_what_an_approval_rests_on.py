"""What an approver sees at a glance: rows, plan, output and slices that the evidence rests on, and who chose them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from registry.access.models import Role, Team
from registry.access.services import grant_membership
from registry.compression.models import Run
from registry.release.grounds import grounds_of
from registry.release.models import Approval
from tests.desk.conftest import Visitor
from tests.desk.evaluated import PLAN, evaluated
from tests.desk.scene import Scene, blocking
from tests.worlds.catalog import figure
from tests.worlds.http import api

Visit = Callable[[str], Visitor]
FIDELITY = [
    figure("cosine_mean", "0.9991", "cosine", n=833, low="0.998", high="0.9995"),
    figure("cosine_min", "0.991", "cosine", n=833),
]


def asked(story: Scene, **more: Any) -> tuple[Approval, Run]:
    """A request for the child, whose fidelity was found by a plan that judges the logits by race."""
    plan = {**PLAN, "output": "logits", "slices": ["race"]}
    run = evaluated(story.world, story.child, {"parent": story.parent}, {"fidelity": FIDELITY}, plan=plan, **more)
    for rule in blocking(story.world, story.child):
        story.world.waiver(story.child, rule)
    return story.world.approval(story.child), run


@pytest.mark.parametrize("name", ["desk:approval", "admin:registry_approval_decide"])
def test_rows_plan_output_and_slices_stand_on_both_pages_with_the_digests_to_copy(
    visit: Visit, story: Scene, name: str
) -> None:
    approval, run = asked(story)
    path = reverse(name, args=[approval.pk])
    page = visit("omar").reads(path)
    assert f"Measured on 833 rows of search/{run.evaluation} sha256:" in page
    assert f"by plan {run.plan_digest[:19]}" in page
    assert (
        "Output judged logits Right answers column approved Slices race How often measured 2 times; the newest" in page
    )
    assert "Rules that rest on it faithful-in-the-tail, faithful-on-average, fidelity-measured" in page
    assert "The policy names neither these rows nor this plan: whoever asked for the evaluation chose." in page
    assert f'"dataset_digest": "{run.evaluation.bound_digest}", "plan_digest": "{run.plan_digest}"' in page
    assert page.index("What this rests on") < page.index("What the gate")


def test_a_policy_that_names_rows_and_plan_is_not_urged_to(visit: Visit, story: Scene) -> None:
    run = asked(story)[1]

    def pinned(document: dict[str, Any]) -> None:
        for rule in document["rules"]:
            if rule.get("kind") == "fidelity":
                rule |= {"dataset_digest": run.evaluation.bound_digest, "plan_digest": run.plan_digest}

    story.world.policy(change=pinned)
    for rule in blocking(story.world, story.child):
        story.world.waiver(story.child, rule)
    approval = story.world.approval(story.child)
    page = visit("omar").reads(reverse("desk:approval", args=[approval.pk]))
    assert "Measured on 833 rows" in page
    assert "whoever asked for the evaluation chose" not in page
    assert [(g.free_of_rows, g.free_of_plan) for g in grounds_of(approval.verdict)] == [([], [])]


def test_the_api_tells_the_same(story: Scene) -> None:
    approval, run = asked(story, environment={"distinct_rows": "800", "evaluated_rows": "833"})
    found = api("omar").get(f"/api/v1/approvals/{approval.pk}").json()["rests_on"]
    rules = ["faithful-in-the-tail", "faithful-on-average", "fidelity-measured"]
    assert found == [
        {
            "rules": rules, "kinds": ["fidelity"], "dataset": f"search/{run.evaluation}", "n": 833, "output": "logits",
            "dataset_digest": run.evaluation.bound_digest, "plan_digest": run.plan_digest, "slices": ["race"],
            "label": "approved", "distinct_rows": "800", "seen_rows": None, "rules_without_rows": rules,
            "rules_without_plan": rules, "measured_times": 2, "measured_alike": 0,
            "failed_runs": 0, "cancelled_runs": 0,
        }
    ]  # fmt: skip


def test_data_of_another_team_are_not_named_to_an_approver_who_may_not_read_them(
    visit: Visit, story: Scene, outsider_team: Team
) -> None:
    world = story.world
    for name, role in (("eve", Role.ENGINEER), ("ada", Role.VIEWER)):
        grant_membership(actor=world.cast.root, person=world.cast.people[name], role=role, team=outsider_team)
    rows = world.dataset(actor=world.cast.eve, team=outsider_team, slug="secret-rows")
    data = world.dataset_version(
        data=world.tiny_inputs(400), uses=("evaluation",), dataset=rows, licence="CC0-1.0", actor=world.cast.eve
    )
    approval, _ = asked(story, data=data)
    for name in ("desk:approval", "admin:registry_approval_decide"):
        page = visit("omar").reads(reverse(name, args=[approval.pk]))
        assert f"833 rows of another team ({data.bound_digest[:19]})" in page
        assert "secret-rows" not in page


def test_what_no_rule_looked_at_is_said(visit: Visit, story: Scene) -> None:
    approval = story.parent.approvals.get()
    page = visit("omar").reads(reverse("desk:approval", args=[approval.pk]))
    assert "No rule of the policy looked at figures over rows" in page


def test_the_page_costs_no_more_queries_with_more_evidence(
    visit: Visit, story: Scene, django_assert_max_num_queries: Any
) -> None:
    approval, _ = asked(story)
    with django_assert_max_num_queries(12):
        assert grounds_of(approval.verdict)

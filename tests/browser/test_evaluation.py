"""The page of an evaluation in a real Chromium: readable by eye and ear, in both themes, on a small screen too."""

from __future__ import annotations

import pytest
from django.urls import reverse
from playwright.sync_api import Browser

from tests.browser.conftest import WIDE, Visitor, faults_of
from tests.desk import scene as scenes
from tests.desk.evaluated import PLAN, evaluated, every_kind, share
from tests.world import Cast, World
from tests.worlds.catalog import figure

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
COSINES = (("cosine_mean", "0.9991"), ("cosine_min", "0.991"))


@pytest.fixture(scope="module")
def addresses(committed_db: None) -> dict[str, str]:
    """The pages that show or ask for an evaluation."""
    told = scenes.told(World(Cast.assemble()))
    served, first = (told.world.derived_version(told.parent, seed=seed) for seed in (3000, 3001))
    others = {"parent": told.parent, "incumbent": served, "first": first}
    beside = [share("accuracy_difference", "-0.02", 400, "-0.03", "-0.01")]
    siblings = ("fairness-incumbent", "fairness-first", "robustness-incumbent", "out-of-distribution-incumbent")
    again = [figure("repeat_difference_max", "0.25", "output_unit", n=40)]
    kinds = {**every_kind(), **dict.fromkeys(siblings, beside), "invariance": again}
    run = evaluated(told.world, told.child, others, kinds, plan=PLAN)
    doubts = {"distinct_rows": "3000", "evaluated_rows": "4000", "scores_doubted": "logits that all lie in 0..1"}
    bare = evaluated(told.world, told.child, {}, {"size": []}, environment={"seen_rows": "120", **doubts})
    agreement = {"fidelity": [figure(m, v, "cosine", n=833, low=v) for m, v in COSINES], "size": []}
    evaluated(told.world, told.child, {"parent": told.parent}, agreement, plan={**PLAN, "output": "logits"})
    for rule in scenes.blocking(told.world, told.child):
        told.world.waiver(told.child, rule)
    approval = told.world.approval(told.child)
    model = [told.model.team.slug, told.model.slug, told.child.number]
    return {
        "evaluation": reverse("desk:evaluation", args=[*model, run.pk]),
        "evaluation-bare": reverse("desk:evaluation", args=[*model, bare.pk]),
        "evaluation-version": reverse("desk:version", args=model),
        "evaluation-run": reverse("desk:run", args=[run.pk]),
        "evaluation-approval": reverse("desk:approval", args=[approval.pk]),
        "evaluation-decide": reverse("admin:registry_approval_decide", args=[approval.pk]),
        "evaluation-request": reverse("desk:request-run", args=model),
    }


def test_an_evaluation_is_quiet_accessible_and_no_wider_than_the_screen(
    addresses: dict[str, str], served: str, browser: Browser
) -> None:
    for who in ("ada", "omar"):
        visitor = Visitor(browser, served, "light", WIDE)
        visitor.log_in(who)
        own = {name: path for name, path in addresses.items() if name.endswith("-decide") == (who == "omar")}
        assert faults_of(visitor, own) == {}

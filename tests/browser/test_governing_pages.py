"""The pages of policies, use cases, findings and rights in a real Chromium: quiet, accessible, and no wider than a phone."""

from __future__ import annotations

import pytest
from django.urls import reverse
from playwright.sync_api import Browser

from registry.oversight import services_findings, services_tiers, tiers
from registry.oversight.models import Finding
from registry.release import services
from registry.release.services.alias_rules import approve_alias_rule, author_alias_rule
from tests.browser.conftest import WIDE, Visitor, faults_of
from tests.oversight.test_accept_finding import a_finding
from tests.oversight.test_answer_tier_table import in_force, mildest
from tests.world import Cast, World

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def addresses(committed_db: None) -> dict[str, str]:
    """A policy that waits beside the one in force, a use case with answers, findings, and rules of an alias."""
    world = World(Cast.assemble())
    _, child = world.released_pair()
    document = world.policy_document("limited", lambda d: d["rules"][8].update(limit="5"))
    document |= {"officers_required": 1, "lapse_grace_hours": 24}
    services.author_policy(actor=world.cast.root, slug="limited", document=document)
    in_force(world)
    use_case = child.model.use_case
    assert use_case is not None
    answers = mildest(effect="nuisance", autonomy="some", personal_data="ordinary")
    services_tiers.answer_tier_table(
        actor=world.cast.ada, use_case=use_case, answers=answers, reason="Looked at with support."
    )
    services_tiers.author_tier_table(actor=world.cast.root, document={**tiers.ready_made(), "title": "Stricter"})
    finding = a_finding(world)
    services_findings.accept_finding(actor=world.cast.ada, finding=finding, note="Two hundred rows more by Friday.")
    Finding.objects.filter(pk=a_finding(world).pk).update(due_on="2026-01-15", owner=world.cast.people["carla"])
    rule = author_alias_rule(
        actor=world.cast.carla, team=world.team, alias="production", action="promote", role="approver"
    )
    approve_alias_rule(actor=world.cast.omar, rule=rule)
    author_alias_rule(actor=world.cast.root, team=world.team, alias="production", action="suspend", role="operator")
    case = ["search", use_case.slug]
    return {
        "policies": reverse("desk:policies"),
        "policy": reverse("desk:policy", args=["limited", 2]),
        "dry-run": reverse("desk:dry-run-policy", args=["limited", 2]),
        "author-policy": reverse("desk:author-policy"),
        "use-cases": reverse("desk:use-cases"),
        "use-case": reverse("desk:use-case", args=case),
        "answer-tier-table": reverse("desk:answer-tier-table", args=case),
        "tier-table": reverse("desk:tier-table", args=[2]),
        "findings": reverse("desk:findings") + "?of=all",
        "finding": reverse("desk:finding", args=[finding.pk]),
        "rights": reverse("desk:alias-rights", args=["search"]),
        "model-with-findings": reverse("desk:model", args=["search", child.model.slug]),
    }


def test_governing_pages_are_quiet_accessible_and_fit(addresses: dict[str, str], served: str, browser: Browser) -> None:
    visitor = Visitor(browser, served, "light", WIDE)
    visitor.log_in("carla")
    assert faults_of(visitor, addresses) == {}

"""The page on which somebody decides, in a real browser: accessible, narrow enough for a phone, and a decision made by hand."""

from __future__ import annotations

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, expect

from registry.access.models import Role
from registry.release import queries, services
from registry.release.models import Approval
from tests.browser.conftest import WIDE, Visitor, faults_of, shoot
from tests.desk import scene as scenes
from tests.world import Cast, World, as_caller

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def approval(committed_db: None) -> Approval:
    """A request that needs an approver and an officer, with a question answered, a target, a drill, a deputy."""
    world = World(Cast.assemble())
    scene = scenes.told(world)
    scenes.release_child(scene)
    world.needing(2, officers=1)
    world.target("edge", limits={"latency_ms": "20"})
    child = world.child_version(scene.parent, seed=77)
    for rule in ("training-data",):
        world.waiver(child, rule)
    world.person("bea", Role.ENGINEER, Role.APPROVER)
    world.deputy("dora")
    services.drill_rollback(actor=world.cast.otto, model=scene.model, alias="production")
    asked = services.request_approval(
        actor=as_caller(world.cast.people["bea"]), version=child, alias="production",
        reason="A quarter of the size, and the answers stay the same on the held-out pairs.",
    )  # fmt: skip
    services.return_approval(actor=world.cast.omar, approval=asked, reason="On which rows was the tail measured?")
    services.answer_approval(actor=world.cast.ada, approval=asked, reason="On all 320 held-out pairs.")
    return asked


def test_the_page_of_a_decision_is_quiet_accessible_and_fits(approval: Approval, served: str, browser: Browser) -> None:
    for name in ("omar", "bea"):
        visitor = Visitor(browser, served, "light", WIDE)
        visitor.log_in(name)
        assert faults_of(visitor, {f"decision-{name}": reverse("desk:approval", args=[approval.pk])}) == {}


def test_an_approver_grants_on_a_condition_by_hand(approval: Approval, served: str, browser: Browser) -> None:
    visitor = Visitor(browser, served, "light", 1280)
    visitor.log_in("omar")
    visitor.open(reverse("desk:approval", args=[approval.pk]))
    visitor.page.get_by_label("Reason").first.fill("Read; the tail holds.")
    visitor.page.get_by_text("Grant it on conditions").click()
    visitor.page.get_by_label("Only on").select_option(index=1)
    visitor.page.get_by_role("button", name="Grant").click()
    expect(visitor.page.get_by_text("Your grant is recorded.")).to_be_visible()
    expect(visitor.page.get_by_text("on search/edge@1 alone").first).to_be_visible()
    shoot(visitor, "decision-granted")
    assert queries.status_of(queries.get_approval(as_caller(approval.requested_by), approval.pk)).grants == 1

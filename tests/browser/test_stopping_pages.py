"""Pages of emergencies, drills, recalls and what an alias was, in a real Chromium: quiet, accessible, no wider than the window."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser, expect

from registry.oversight.subjects import of_version
from registry.release import services
from registry.release.stopping_models import Recall
from tests.browser.conftest import WIDE, Visitor, faults_of
from tests.desk import scene as scenes
from tests.world import Cast, World

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
MODEL = ["search", "minilm"]
ALIAS = [*MODEL, "production"]


@pytest.fixture(scope="module")
def addresses(committed_db: None) -> dict[str, str]:
    """Every page of this kind: an emergency that lasts on one alias, a recall that stops what another serves."""
    world = World(Cast.assemble())
    told = scenes.told(world)
    scenes.release_child(told)
    alias = {"model": told.model, "alias": "production"}
    services.drill_rollback(actor=world.cast.otto, **alias)
    services.break_glass(
        actor=world.cast.otto, version=told.parent, alias="canary",
        reason="Every answer about refunds is wrong since noon; the lines are full, and nobody of the approvers can be reached.",
    )  # fmt: skip
    services.suspend(actor=world.cast.otto, reason="Harm was reported by a customer.", **alias)
    services.roll_back(actor=world.cast.otto, reason="The earlier one was right.", to_version=told.parent, **alias)
    recall = services.start_recall(
        actor=world.cast.carla, subject=of_version(told.parent), reason="People asked for their sentences back."
    )
    row = told.child.quarantines.get(ended_at=None)
    services.request_quarantine_release(actor=world.cast.ada, quarantine=row, reason="Those rows were not used.")
    now = timezone.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "alias": reverse("desk:alias", args=ALIAS) + f"?at={now}",
        "model-stopped": reverse("desk:model", args=MODEL),
        "version-stopped": reverse("desk:version", args=[*MODEL, 1]),
        "break-glass": reverse("desk:break-glass", args=ALIAS),
        "recalls": reverse("desk:recalls"),
        "start-recall": reverse("desk:start-recall") + "?about=version:search/minilm@2",
        "recall": reverse("desk:recall", args=[recall.pk]),
        "quarantine": reverse("desk:quarantine", args=[row.pk]),
    }


def test_pages_of_what_is_stopped_are_quiet_accessible_and_fit(
    addresses: dict[str, str], served: str, browser: Browser
) -> None:
    visitor = Visitor(browser, served, "light", WIDE)
    visitor.log_in("carla")
    assert faults_of(visitor, addresses) == {}


def test_somebody_looks_up_a_moment_and_starts_a_recall_with_the_mouse(
    addresses: dict[str, str], served: str, browser: Browser
) -> None:
    visitor = Visitor(browser, served, "light", 1280)
    visitor.log_in("carla")
    visitor.open(reverse("desk:alias", args=ALIAS))
    visitor.page.fill("#at", "2001-03-03T14:00")
    visitor.page.click("main form[method=get] button")
    expect(visitor.page.locator("#answer")).to_contain_text("there was no production yet")
    visitor.open(reverse("desk:recalls"))
    visitor.page.fill("#about", "version:search/minilm@2")
    visitor.page.click("main form[method=get] button")
    visitor.page.fill("#id_reason", "Its weights leaked.")
    visitor.page.click("main form[method=post] button")
    expect(visitor.page.locator("h1")).to_contain_text("Recall of version search/minilm@2")
    assert Recall.objects.count() == 2
    assert visitor.complaints == []

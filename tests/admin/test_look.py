"""The admin site in a real Chromium: no complaint, no barrier that axe finds, no page too wide; a grant is clicked through."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from registry.release import queries
from registry.release.models import Approval
from tests.browser.conftest import Visitor, browser
from tests.world import Cast, World

__all__ = ["browser"]
pytestmark = pytest.mark.browser
SHOTS = os.environ.get("PRESSMARK_SCREENSHOTS")
SERIOUS = {"serious", "critical"}


@pytest.fixture
def approval(committed_db: None) -> Approval:
    """A measured child that waits for a decision; built before the browser starts."""
    world = World(Cast.assemble())
    parent = world.parent_version(training_data="incomplete")
    world.waiver(parent)
    world.promoted(parent)
    child = world.child_version(parent)
    world.waiver(child)
    return world.approval(child)


def visit(visitor: Visitor, path: str, name: str) -> None:
    """Open a page, keep a picture where one is wanted, and ask axe."""
    visitor.open(path)
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        visitor.page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)
    heard = list(visitor.complaints)  # axe injects styles of its own, of which the browser rightly complains
    found = Axe().run(visitor.page).response["violations"]
    grave = [f"{v['id']}: {v['nodes'][0]['html']}" for v in found if v["impact"] in SERIOUS]
    assert grave == [], path
    visitor.complaints[:] = heard
    wide = visitor.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{path} is {wide} pixels too wide"


@pytest.mark.parametrize(("scheme", "width"), [("light", 1360), ("dark", 1360), ("light", 380)])
def test_every_kind_of_page_is_clean_in_both_themes_and_on_a_small_screen(
    approval: Approval, browser: Browser, live_server: object, scheme: str, width: int
) -> None:
    visitor = Visitor(browser, live_server.url, scheme, width)  # type: ignore[attr-defined]
    visit(visitor, "/admin/login/", f"login-{scheme}-{width}")
    visitor.log_in("omar")
    pages = {
        "index": "/admin/", "inbox": "/admin/registry/approval/",
        "decide": f"/admin/registry/approval/{approval.pk}/decide/", "versions": "/admin/registry/modelversion/",
        "version": f"/admin/registry/modelversion/{approval.version_id}/change/",
    }  # fmt: skip
    for name, path in pages.items():
        visit(visitor, path, f"{name}-{scheme}-{width}")
    assert visitor.complaints == [], "\n".join(visitor.complaints)


def test_an_approver_reads_the_page_and_grants_with_a_reason(
    approval: Approval, browser: Browser, live_server: object
) -> None:
    visitor = Visitor(browser, live_server.url, "light", 1360)  # type: ignore[attr-defined]
    visitor.log_in("omar")
    visitor.open("/admin/")
    visitor.page.click("text=1 approval")
    visitor.page.click(f"text={approval.version}")
    visitor.page.fill("#reason", "Evidence read; the waiver is acceptable until its end.")
    visitor.page.click("form.decide button.yes")
    visitor.page.wait_for_selector("ul.messagelist li.success")
    assert "Granted" in visitor.page.inner_text("ul.messagelist")
    if SHOTS:
        visitor.page.screenshot(path=f"{SHOTS}/granted.png", full_page=True)
    assert queries.approval_status(Approval.objects.get(pk=approval.pk)) == "granted"
    assert visitor.complaints == [], "\n".join(visitor.complaints)

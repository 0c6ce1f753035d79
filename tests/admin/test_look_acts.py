"""Pages that end and erase, and that of a receipt, in a real Chromium: no barrier that axe finds, none too wide; clicked."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from registry.access.models import Actor
from tests.admin.test_look import visit
from tests.browser.conftest import Visitor, browser
from tests.world import Cast, World

__all__ = ["browser"]
pytestmark = pytest.mark.browser


@pytest.fixture
def world(committed_db: None) -> World:
    """Omar granted an approval; built before the browser starts."""
    world = World(Cast.assemble())
    world.granted(world.parent_version())
    return world


@pytest.mark.parametrize(("scheme", "width"), [("light", 1360), ("dark", 380)])
def test_an_account_is_ended_by_clicks_and_its_receipt_kept(
    world: World, browser: Browser, live_server: object, scheme: str, width: int
) -> None:
    omar = world.cast.people["omar"]
    page = f"/admin/registry/actor/{omar.pk}"
    visitor = Visitor(browser, live_server.url, scheme, width)  # type: ignore[attr-defined]
    visitor.log_in("root")
    places = {
        "actor": f"{page}/change/", "erase-texts": f"{page}/erase-texts/", "texts": "/admin/texts/?holding=fine",
        "end": f"{page}/end/",
    }  # fmt: skip
    for name, address in places.items():
        visit(visitor, address, f"{name}-{scheme}-{width}")
    visitor.page.get_by_role("button", name="End this account").click()
    visitor.page.get_by_role("link", name="Receipt", exact=True).click()
    assert visitor.page.get_by_role("heading", name="Receipt", exact=True).is_visible()
    visit(visitor, visitor.page.url.removeprefix(live_server.url), f"receipt-{scheme}-{width}")  # type: ignore[attr-defined]
    assert visitor.complaints == []
    assert Actor.objects.get(pk=omar.pk).ended_at is not None

"""The comparison of two versions in a real browser: nothing of it is wider than a phone, and a reader finds no fault."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visitor, serious, shoot
from tests.world import Cast, World

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def versions(committed_db: None) -> tuple[str, str]:
    """A parent and a child that was measured and released."""
    world = World(Cast.assemble())
    parent, child = world.released_pair()
    return str(parent), str(child)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_two_versions_are_compared_from_the_form(
    versions: tuple[str, str], served: str, browser: Browser, width: int, scheme: str
) -> None:
    visitor = Visitor(browser, served, scheme, width)
    visitor.log_in("carla")
    visitor.open(f"/diff-versions/?right={versions[1]}")
    visitor.page.fill("#left", versions[0])
    visitor.page.click("main button[type=submit]")
    expect(visitor.page.get_by_role("heading", name="What is different")).to_be_visible()
    assert serious(visitor) == []
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= width
    assert visitor.complaints == []
    shoot(visitor, f"diff-versions-{width}-{scheme}")

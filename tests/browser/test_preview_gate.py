"""What a version lacks before it may go live, in a real browser: a viewer reads it without fault, on a phone too."""

from __future__ import annotations

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visitor, serious, shoot
from tests.world import Cast, World

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def address(committed_db: None) -> str:
    """The preview for a child that was measured, for which nobody asked yet."""
    world = World(Cast.assemble())
    parent = world.parent_version()
    world.promoted(parent)
    child = world.child_version(parent)
    team, model = child.model.team.slug, child.model.slug
    return reverse("desk:preview-gate", args=[team, model, child.number]) + "?alias=production"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_what_a_version_lacks_is_read_without_fault(
    address: str, served: str, browser: Browser, width: int, scheme: str
) -> None:
    visitor = Visitor(browser, served, scheme, width)
    visitor.log_in("carla")
    visitor.open(address)
    expect(visitor.page.get_by_role("heading", level=1)).to_be_visible()
    assert serious(visitor) == []
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= width
    assert visitor.complaints == []
    shoot(visitor, f"preview-gate-{width}-{scheme}")

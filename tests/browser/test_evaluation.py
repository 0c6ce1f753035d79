"""The page of an evaluation in a real Chromium: readable by eye and ear, in both themes, on a small screen too."""

from __future__ import annotations

import pytest
from django.urls import reverse
from playwright.sync_api import Browser

from tests.browser.conftest import Visitor
from tests.browser.test_pages import serious, shoot
from tests.desk import scene as scenes
from tests.desk.evaluated import PLAN, evaluated
from tests.world import Cast, World

pytestmark = pytest.mark.browser


@pytest.fixture
def addresses(committed_db: None) -> dict[str, str]:
    """The pages that show or ask for an evaluation."""
    told = scenes.told(World(Cast.assemble()))
    served, first = (told.world.derived_version(told.parent, seed=seed) for seed in (3000, 3001))
    others = {"parent": told.parent, "incumbent": served, "first": first}
    run = evaluated(told.world, told.child, others, plan=PLAN)
    bare = evaluated(told.world, told.child, {}, {"size": []}, environment={"seen_rows": "120"})
    model = [told.model.team.slug, told.model.slug, told.child.number]
    return {
        "evaluation": reverse("desk:evaluation", args=[*model, run.pk]),
        "evaluation-bare": reverse("desk:evaluation", args=[*model, bare.pk]),
        "evaluation-version": reverse("desk:version", args=model),
        "evaluation-run": reverse("desk:run", args=[run.pk]),
        "evaluation-request": reverse("desk:request-run", args=model),
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_an_evaluation_is_quiet_accessible_and_no_wider_than_the_screen(
    addresses: dict[str, str], live_server: object, browser: Browser, scheme: str, width: int
) -> None:
    visitor = Visitor(browser, live_server.url, scheme, width)
    visitor.log_in("ada")
    found, wide = {}, {}
    for name, path in addresses.items():
        assert visitor.open(path).status == 200, name
        shoot(visitor, f"{name}-{scheme}-{width}")
        found[name] = serious(visitor)
        wide[name] = visitor.page.evaluate("document.documentElement.scrollWidth")
    assert {name: bad for name, bad in found.items() if bad} == {}
    assert {name: w for name, w in wide.items() if w > width} == {}
    assert visitor.complaints == []

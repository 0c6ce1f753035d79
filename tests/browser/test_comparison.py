"""Recipes compared, in a real Chromium: the table with what came of each, and the form that asks for several, without scripts."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import Browser

from registry.compression.models import Run
from tests.browser.conftest import NARROW, WIDE, Visitor, faults_of
from tests.desk.compared_runs import compared_runs
from tests.world import Cast, World

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def addresses(committed_db: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A comparison whose runs have ended, in every way in which one can end, and the form that asks for another."""
    world = World(Cast.assemble())
    folder: Path = tmp_path_factory.mktemp("digits")
    comparison = compared_runs(world, folder)
    run = Run.objects.filter(comparison=comparison).select_related("model__team", "parent").first()
    assert run is not None
    return {
        "comparison": reverse("desk:comparison", args=[comparison]),
        "comparison-request": reverse(
            "desk:request-run", args=[run.model.team.slug, run.model.slug, run.parent.number]
        ),
        "comparison-runs": reverse("desk:runs"),
    }


@pytest.mark.parametrize(("scheme", "width"), [("light", WIDE), ("dark", NARROW)])
def test_pages_of_comparisons_are_quiet_accessible_and_no_wider_than_the_screen(
    addresses: dict[str, str], served: str, browser: Browser, scheme: str, width: int
) -> None:
    visitor = Visitor(browser, served, scheme, width)
    visitor.log_in("ada")
    assert faults_of(visitor, addresses) == {}


def test_several_recipes_are_asked_for_on_the_page_without_scripts(
    addresses: dict[str, str], served: str, browser: Browser
) -> None:
    visitor = Visitor(browser, served, "light", NARROW, scripts=False)
    visitor.log_in("ada")
    visitor.open(addresses["comparison-request"])
    page, before = visitor.page, Run.objects.count()
    page.locator("summary", has_text="Try more recipes").click()
    page.get_by_label("search/eight-bits@1").check()
    page.get_by_label("search/four-bits@1").check()
    page.select_option("#id_recipe", label="Compress by search/eight-bits@1")
    page.select_option("#id_evaluation", index=0)
    page.click("main form button[type=submit]")
    text = page.locator("main").inner_text()
    assert "0 of 2 runs have ended" in text, text
    assert Run.objects.count() == before + 2  # one that is named twice is meant once

"""Runs that train, in a real Chromium: the request, sent and refused, the run with its steps and loss, a child with two parents."""

from __future__ import annotations

import pytest
from django.urls import reverse
from playwright.sync_api import Browser

from registry.compression import queries
from registry.compression.models import Run
from tests.browser.conftest import NARROW, WIDE, Visitor, faults_of
from tests.desk.trained_runs import trained_run
from tests.world import Cast, World

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def addresses(committed_db: None) -> dict[str, str]:
    """A run that trained, with a teacher beside its parent, and what came of it."""
    world = World(Cast.assemble())
    run = trained_run(world)
    assert run.child is not None, queries.run_log(run)
    model = [run.model.team.slug, run.model.slug]
    return {
        "training-run": reverse("desk:run", args=[run.pk]),
        "training-version": reverse("desk:version", args=[*model, run.child.number]),
        "training-request": reverse("desk:request-run", args=[*model, run.parent.number]),
        "training-assessment": reverse("audit:assessment", args=model),
    }


@pytest.mark.parametrize(("scheme", "width"), [("light", WIDE), ("dark", NARROW)])
def test_pages_of_training_are_quiet_accessible_and_no_wider_than_the_screen(
    addresses: dict[str, str], served: str, browser: Browser, scheme: str, width: int
) -> None:
    visitor = Visitor(browser, served, scheme, width)
    visitor.log_in("ada")
    assert faults_of(visitor, addresses) == {}


def test_a_run_that_trains_is_asked_for_on_the_page_and_what_is_missing_is_said_there(
    addresses: dict[str, str], served: str, browser: Browser
) -> None:
    visitor = Visitor(browser, served, "light", NARROW)
    visitor.log_in("ada")
    visitor.open(addresses["training-request"])
    page, before = visitor.page, Run.objects.count()
    made = Run.objects.select_related("recipe", "teacher__model").get(training__isnull=False)
    assert made.recipe is not None
    page.select_option(
        "#id_recipe", value=page.locator(f"#id_recipe option:has-text('{made.recipe}')").get_attribute("value")
    )
    page.select_option("#id_evaluation", index=0)
    page.locator("summary", has_text="The recipe trains").click()
    page.fill("#id_teacher", str(made.teacher))
    page.fill("#id_at_least", "0.5")
    page.click("main form button[type=submit]")
    assert "'training' is not given" in page.locator("main").inner_text()
    assert Run.objects.count() == before
    assert page.input_value("#id_teacher") == str(made.teacher)  # nothing that was typed is lost
    page.select_option("#id_training", index=1)
    page.click("main form button[type=submit]")
    page.wait_for_url(f"{served}/runs/**")
    asked = Run.objects.latest("requested_at")
    assert (asked.training, asked.teacher, asked.at_least) == (made.training, made.teacher, "0.5")
    text = page.locator("main").inner_text()
    assert str(made.teacher) in text
    assert visitor.complaints == [] or all("400" in said or "422" in said for said in visitor.complaints)

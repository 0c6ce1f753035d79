"""Pages about runs that train, in a real Chromium: the request, the run with its steps and loss, a version with two parents."""

from __future__ import annotations

import pytest
from django.urls import reverse
from playwright.sync_api import Browser

from registry.compression import queries
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
    }


@pytest.mark.parametrize(("scheme", "width"), [("light", WIDE), ("dark", NARROW)])
def test_pages_of_training_are_quiet_accessible_and_no_wider_than_the_screen(
    addresses: dict[str, str], served: str, browser: Browser, scheme: str, width: int
) -> None:
    visitor = Visitor(browser, served, scheme, width)
    visitor.log_in("ada")
    assert faults_of(visitor, addresses) == {}

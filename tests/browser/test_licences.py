"""The pages about licences in a real Chromium: quiet, accessible, and no wider than a phone."""

from __future__ import annotations

import pytest
from django.urls import reverse
from playwright.sync_api import Browser

from registry.provenance.services_licences import approve_ruling
from tests.browser.conftest import WIDE, Visitor, faults_of
from tests.provenance.test_author_ruling import author, own_licence
from tests.world import Cast, World

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def addresses(committed_db: None) -> dict[str, str]:
    """A model that may not be used, one that nobody knows about, and the pages of who decides it."""
    world = World(Cast.assemble())
    data = world.dataset_version(slug="scraped", uses=["calibration"], licence="CC-BY-NC-4.0")
    base = world.version(world.model("clean"), licence="LicenseRef-pressmark-llama-3.1-community")
    world.derived_version(base, model=world.model("child"), data=[data])
    licence = own_licence(world)
    world.derived_version(world.version(world.model("vendor"), seed=4, licence=licence.expression), seed=9)
    world.version(seed=6, licence="LicenseRef-pressmark-proprietary")
    approve_ruling(actor=world.cast.root, ruling=author(world, world.licence("Zlib")))
    ruling = author(world, licence)
    return {
        "may-i-no": reverse("desk:version", args=["search", "child", 1]),
        "may-i-not-known": reverse("desk:version", args=["search", "vendor", 2]),
        "licences": reverse("desk:licences"),
        "licence": reverse("desk:licence", args=[licence.pk]),
        "ruling": reverse("desk:ruling", args=[ruling.pk]),
        "author-ruling": reverse("desk:author-ruling", args=[licence.pk]),
        "correct-version": reverse("desk:correct-version", args=["search", "child", 1]),
    }


def test_pages_about_licences_are_quiet_accessible_and_fit(
    addresses: dict[str, str], served: str, browser: Browser
) -> None:
    visitor = Visitor(browser, served, "light", WIDE)
    visitor.log_in("carla")
    assert faults_of(visitor, addresses) == {}

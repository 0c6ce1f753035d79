"""The page of data says who vetted them, what was corrected, and offers the recall to those who may start one."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from registry.oversight.services_proofs import sign_review
from registry.oversight.subjects import of_dataset_version
from registry.provenance.models import DatasetVersion
from registry.provenance.stated import stated_in
from tests.world import World


@pytest.fixture
def browser(world: World) -> Any:
    """A browser in which that person is logged in."""

    def logged_in(name: str) -> Client:
        client = Client()
        client.force_login(world.cast.people[name])
        return client

    return logged_in


def test_a_correction_is_said_on_the_page_beside_what_was_registered(world: World, browser: Any) -> None:
    data = world.dataset_version(slug="letters", licence="MIT", personal_data="no", collection="By hand.")
    address = "/datasets/search/letters@1/"
    carla = browser("carla")
    refused = carla.post(f"{address}correct/", {"uses": ["training"], "reason": "The letter says so."})
    assert "for more than it was registered for" in refused.content.decode()
    sent = {"licence": "CC0-1.0", "personal_data": "yes", "unstated": ["collection"], "reason": "The letter says so."}
    done = carla.post(f"{address}correct/", sent)
    assert done.status_code == 302, done.content
    known = stated_in(DatasetVersion.objects.get(pk=data.pk))
    assert (known.licence.expression, known.answers["personal_data"], known.said("collection")) == (
        "CC0-1.0",
        "yes",
        "",
    )
    shown = carla.get(address).content.decode()
    assert "licence was MIT" in shown
    assert "personal data was no" in shown
    assert "collection was By hand." in shown
    assert "The letter says so." in shown
    assert "CC0-1.0" in shown


def test_a_vetting_stands_at_the_top_and_the_recall_is_offered_to_officers_alone(world: World, browser: Any) -> None:
    data = world.dataset_version(slug="letters")
    officer, viewer = browser("carla"), browser("otto")
    assert "by nobody" in officer.get("/datasets/search/letters@1/").content.decode()
    sign_review(
        actor=world.cast.carla, subject=of_dataset_version(data), kind="vetting", accepted=True, statement="I read them."
    )  # fmt: skip
    shown, other = (one.get("/datasets/search/letters@1/").content.decode() for one in (officer, viewer))
    assert shown.index("Vetted") < shown.index("Whence")
    assert "by nobody" not in shown
    assert "about=dataset_version:search/letters@1" in shown
    assert ">Recall</a>" not in other.split("<main", 1)[-1]
    assert "correct/" not in other

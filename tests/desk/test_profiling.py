"""Data profiles on the pages: asked for in a form, under way, found, and told to readers of the dataset alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.urls import reverse

from registry.compression import profiling, services_profiles
from registry.provenance.models import DataProfile
from tests.desk.conftest import Visitor
from tests.world import World

Visit = Callable[[str], Visitor]
PAGE = reverse("desk:dataset-version", args=["search", "talk", 1])
FORM = reverse("desk:request-profile", args=["search", "talk", 1])
ROWS = [{"a": number, "b": f"<b>{number % 30}</b>", "label": "yes" if number % 2 else "no"} for number in range(60)]


def test_engineers_ask_in_a_form_and_the_page_says_that_it_waits(visit: Visit, world: World) -> None:
    world.dataset_version(ROWS, slug="talk")
    training = world.dataset_version(ROWS[:5], slug="heard", uses=("training",))
    assert "Nobody has had the rows looked at." in visit("otto").reads(PAGE)
    assert "Have the rows looked at" not in visit("otto").reads(PAGE)
    assert "Have the rows looked at" in visit("ada").reads(PAGE)
    visit("ada").post(FORM, label="label", against="search/heard@1")
    profile = DataProfile.objects.get()
    assert [entry["digest"] for entry in profile.settings["against"]] == [training.digest]
    assert "waiting" in visit("otto").reads(PAGE)
    assert "A worker will look at the rows" in visit("otto").reads(reverse("desk:profile", args=[profile.pk]))


@pytest.mark.usefixtures("committed_db")
def test_what_was_found_stands_on_the_page_of_the_data_and_in_full_on_its_own(visit: Visit, world: World) -> None:
    version = world.dataset_version([*ROWS, ROWS[3]], slug="talk")
    other = world.dataset_version(ROWS[:5], uses=("training",))
    profile = services_profiles.request_profile(
        actor=world.cast.ada, dataset_version=version, label="label", against=[other]
    )
    profiling.execute(profile.pk)
    page = visit("otto").reads(PAGE)
    assert "1 of 61 rows repeat an earlier one" in page
    whole = visit("otto").reads(reverse("desk:profile", args=[profile.pk]))
    for said in (
        "finished",
        "Duplicates 4 and 61",
        "1 is 1 there",
        "Duplicate rows 1.64 % 61 1 of 61 rows repeat an earlier one",
        "6 (9.84 %)",
        "no 49.18 %",
        "labels: label",
    ):
        assert said in whole, said
    assert f"{world.reference(other)} 5 6 (9.84 %)" in whole
    assert f"The same row in {world.reference(other)}" in whole
    assert visit("eve").client.get(reverse("desk:profile", args=[profile.pk])).status_code == 404


@pytest.mark.usefixtures("committed_db")
def test_a_failure_is_told_with_its_reason(visit: Visit, world: World) -> None:
    version = world.dataset_version(ROWS, slug="talk")
    profile = services_profiles.request_profile(actor=world.cast.ada, dataset_version=version, label="nobody")
    profiling.execute(profile.pk)
    for page in (PAGE, reverse("desk:profile", args=[profile.pk])):
        assert "They have: a, b, label" in visit("otto").reads(page)

"""Data on the pages by section, and the acts on what is kept: documents, reviews, holds, purges."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from registry import storage
from registry.access.models import Role
from registry.desk.kept import waiting_purges
from registry.events import Caller
from registry.oversight.models import Hold, Review
from registry.oversight.subjects import of_dataset_version
from registry.provenance.croissant import MEDIA_TYPE
from registry.provenance.models import DatasetVersion, Document
from registry.release.services import request_purge
from registry.release.stopping_models import Purge
from tests.desk.conftest import Visitor
from tests.world import World

Visit = Callable[[str], Visitor]
PAGE = reverse("desk:dataset-version", args=["search", "talk", 1])
ABOUT = "?about=dataset_version%3Asearch%2Ftalk%401"


@pytest.fixture
def talk(world: World) -> DatasetVersion:
    return world.dataset_version(
        [{"text": "One."}], slug="talk", owner="Verlag", known_biases="Mostly adults.", third_party_works="yes",
        third_party_basis="A contract.", opt_out_honoured="no", personal_data="yes", collected_from=datetime.date(2020, 1, 1),
        collected_until=datetime.date(2020, 2, 1), retain_until=datetime.date(2999, 1, 1),
    )  # fmt: skip


def test_everything_stated_and_measured_stands_by_section(visit: Visit, talk: DatasetVersion) -> None:
    page = visit("otto").reads(PAGE)
    for said in (
        "Version 1 measured", "Rows 1, as jsonl", "1 column", "Owner Verlag", "Period 2020-01-01 to 2020-02-01",
        "Known biases Mostly adults.", "Keep until 2999-01-01", "Personal data yes", "Consent unknown",
        "On what ground A contract.", "Opt-outs honoured no", "Nobody has reviewed it.", "No document is attached.",
        "No legal hold was placed.",
    ):  # fmt: skip
        assert said in page, said
    assert "Purge the bytes" not in page
    assert "Attach a document" not in page


def test_what_nobody_said_is_called_unknown_and_left_out_nowhere(visit: Visit, world: World) -> None:
    world.dataset_version(slug="bare", declared_digest="sha256:" + "ab" * 32)
    page = visit("ada").reads(reverse("desk:dataset", args=["search", "bare"]))
    for said in ("Owner unknown", "Collection unknown", "Period unknown", "Known biases unknown", "Size unknown",
                 "Keep until nobody said", "On what ground unknown", "Opt-outs honoured unknown"):  # fmt: skip
        assert said in page, said


def test_the_page_of_a_dataset_lists_its_versions_and_tells_the_newest(visit: Visit, world: World) -> None:
    dataset = world.dataset("talk")
    for _ in range(2):
        world.dataset_version(dataset=dataset)
    page = visit("ada").reads(reverse("desk:dataset", args=["search", "talk"]))
    assert "Version 2 measured" in page
    assert "Version 1 measured" not in page
    assert PAGE in visit("ada").get(reverse("desk:dataset", args=["search", "talk"])).content.decode()
    assert "Version 1 measured" in visit("ada").reads(PAGE)


def test_croissant_is_one_click_away(visit: Visit, talk: DatasetVersion) -> None:
    answer = visit("ada").get(reverse("desk:croissant", args=["search", "talk", 1]))
    assert (answer.status_code, answer["Content-Type"]) == (200, MEDIA_TYPE)
    assert answer.json()["url"].endswith(PAGE)  # type: ignore[attr-defined]


def test_a_file_is_attached_on_the_page_and_comes_back_as_an_attachment(visit: Visit, talk: DatasetVersion) -> None:
    ada = visit("ada")
    form = reverse("desk:attach-document") + ABOUT
    assert 'enctype="multipart/form-data"' in ada.get(form).content.decode()
    file = SimpleUploadedFile("opinion.html", b"<script>alert(1)</script>")
    told = ada.client.post(form, {"file": file, "kind": "legal-opinion", "title": "Opinion"}, follow=True)
    assert "Attached as legal-opinion (text/plain)." in told.content.decode()
    row = Document.objects.get()
    assert (row.about, str(row.title)) == (talk.pk, "Opinion")
    answer = ada.get(reverse("desk:download-document", args=[row.pk]))
    assert answer["Content-Disposition"].startswith("attachment")
    assert (answer["X-Content-Type-Options"], answer["Content-Type"]) == ("nosniff", "text/plain")
    assert answer["Content-Security-Policy"].startswith("sandbox")
    assert b"".join(answer.streaming_content) == b"<script>alert(1)</script>"  # type: ignore[attr-defined]
    assert "Opinion" in ada.reads(PAGE)
    empty = ada.client.post(form, {"kind": "legal-opinion"})
    assert "This field is required" in empty.content.decode()
    refused = visit("otto").client.post(form, {"file": SimpleUploadedFile("x", b"x"), "kind": "other"})
    assert refused.status_code == 403
    assert Document.objects.count() == 1


def test_a_review_is_signed_on_the_page_by_others_than_who_brought_it(visit: Visit, talk: DatasetVersion) -> None:
    form = reverse("desk:sign-review") + ABOUT
    assert "Review it" in visit("carla").reads(PAGE)
    assert "Review it" not in visit("ada").reads(PAGE)
    fields = {"kind": "vetting", "accepted": "no", "statement": "Half of the labels are wrong."}
    told = visit("carla").post(form, **fields)
    assert "Your vetting review is signed." in told.content.decode()
    page = visit("ada").reads(PAGE)
    assert "vetting refused Carla as compliance officer" in page
    assert "Half of the labels are wrong." in page
    again = visit("omar").post(form, **fields | {"accepted": "yes", "statement": "Mended and read."})
    assert "vetting in force" in visit("ada").reads(PAGE)
    assert again.status_code == 200
    assert "vetting replaced by a later one" in visit("ada").reads(PAGE)
    assert visit("ada").client.post(form, fields).status_code == 403
    assert Review.objects.count() == 2


def test_a_hold_is_placed_and_ended_on_the_page(visit: Visit, talk: DatasetVersion) -> None:
    carla = visit("carla")
    assert "A legal hold stands on search/talk@1." in carla.post(
        reverse("desk:place-hold") + ABOUT, reason="A dispute."
    ).content.decode()  # fmt: skip
    assert "legal hold on search/talk@1" in visit("ada").reads(PAGE)
    assert "End this hold" not in visit("ada").reads(PAGE)
    refused = carla.post(reverse("desk:request-purge") + ABOUT, reason="It must go.")
    assert "A legal hold stands on search/talk@1: A dispute." in refused.content.decode()
    hold = Hold.objects.get()
    assert "has ended" in carla.post(reverse("desk:end-hold", args=[hold.pk]), reason="Settled.").content.decode()
    assert "hold ended on search/talk@1" in visit("ada").reads(PAGE)


def test_a_purge_is_asked_for_by_one_and_confirmed_by_another(visit: Visit, world: World, talk: DatasetVersion) -> None:
    world.person("clara", Role.COMPLIANCE_OFFICER)
    carla, clara = visit("carla"), visit("clara")
    asked = carla.post(reverse("desk:request-purge") + ABOUT, reason="Consent withdrawn.")
    assert "Somebody else has to confirm it." in asked.content.decode()
    page = reverse("desk:purge", args=[Purge.objects.get().pk])
    assert "waits for a second person" in carla.reads(page)
    assert "Let the bytes go" not in carla.reads(page)
    assert "Let the bytes go for good" in clara.reads(page)
    assert "Purges waiting for a second person" in clara.reads("/")
    assert "Purges waiting" not in carla.reads("/")
    assert "Purges waiting" not in visit("ada").reads("/")
    own = carla.client.post(f"{page}confirm/")
    assert (own.status_code, "somebody else has to confirm" in own.content.decode()) == (403, True)
    assert visit("ada").client.post(f"{page}confirm/").status_code == 403
    assert storage.is_stored(str(talk.digest))
    done = clara.post(f"{page}confirm/")
    assert "are gone; digest and facts stay." in done.content.decode()
    assert not storage.is_stored(str(talk.digest))
    told = visit("ada").reads(PAGE)
    assert "purged" in told
    assert "Consent withdrawn." in told
    assert "Purge the bytes" not in carla.reads(PAGE)


def test_purges_that_wait_are_found_in_as_many_questions_however_many_there_are(world: World) -> None:
    clara = Caller(actor_id=world.person("clara", Role.COMPLIANCE_OFFICER).pk, via="page")
    asked = []
    for _ in range(3):
        subject = of_dataset_version(world.dataset_version())
        request_purge(actor=world.cast.carla, subject=subject, reason="Withdrawn.")
        with CaptureQueriesContext(connection) as taken:
            found = waiting_purges(clara)
        asked.append(len(taken))
    assert (len(found), len(set(asked))) == (3, 1)
    assert waiting_purges(world.cast.carla) == waiting_purges(world.cast.ada) == []


def test_what_belongs_to_other_teams_is_not_there(visit: Visit, talk: DatasetVersion) -> None:
    eve = visit("eve")
    assert eve.get(PAGE).status_code == 404
    for name in ("attach-document", "sign-review", "place-hold", "request-purge"):
        assert eve.get(reverse(f"desk:{name}") + ABOUT).status_code == 404
    assert visit("ada").get(reverse("desk:sign-review") + "?about=nothing").status_code == 422


def test_a_version_of_a_model_shows_what_is_kept_beside_it(visit: Visit, world: World) -> None:
    world.version(world.model("told"))
    page = visit("carla").reads(reverse("desk:version", args=["search", "told", 1]))
    for said in (
        "Kept beside it",
        "No document is attached.",
        "Nobody has reviewed it.",
        "Review it",
        "Purge the bytes",
    ):
        assert said in page, said

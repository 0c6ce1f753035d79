"""The assessment as a page: reading writes nothing, issuing is a POST, and who may not see the model sees nothing."""

from __future__ import annotations

import pytest
from django.test import Client

from audit import checkpoints
from audit.models import Assessment, Bundle, Entry, Report
from registry.catalog.models import RegisteredModel
from tests.world import World
from tests.worlds.audit import Story


@pytest.fixture
def model(story: Story) -> RegisteredModel:
    return story[0].model


def client(world: World, name: str) -> Client:
    found = Client()
    found.force_login(world.cast.people[name])
    return found


def page(model: RegisteredModel, rest: str = "assessment/") -> str:
    return f"/models/{model.team.slug}/{model.slug}/{rest}"


def test_reading_shows_all_subcategories_and_writes_nothing(world: World, model: RegisteredModel) -> None:
    before = Entry.objects.count()
    answer = client(world, "ada").get(page(model))
    assert answer.status_code == 200
    text = answer.content.decode()
    for shown in ("GOVERN 1.1", "MANAGE 4.3", "MEASURE 2.13", "Of 72 subcategories", "status-missing", "Compression"):
        assert shown in text
    assert "compliant" not in text
    assert "Issue the assessment" not in text  # an engineer may look, not issue
    assert "style=" not in text
    assert Entry.objects.count() == before


def test_an_officer_issues_by_a_post_and_gets_report_and_bundle(world: World, model: RegisteredModel) -> None:
    carla = client(world, "carla")
    assert "Issue the assessment" in carla.get(page(model)).content.decode()
    answer = carla.post(page(model, "assessment/issue/"), {"note": "Before the audit"}, follow=True)
    row = Assessment.objects.get()
    assert f"/assessments/{row.pk}/" in answer.redirect_chain[0][0]
    assert "Before the audit" in answer.content.decode()
    answer = carla.post(f"/assessments/{row.pk}/report/", follow=True)
    report = Report.objects.get()
    assert answer.status_code == 200
    for extension, begins in (("pdf", b"%PDF-1.7"), ("json", b"{"), ("csv", b"\xef\xbb\xbf")):
        file = carla.get(f"/reports/{report.pk}/report.{extension}")
        assert file.content.startswith(begins)
        assert file["Content-Disposition"].startswith("attachment")
        assert file["X-Content-Type-Options"] == "nosniff"
    assert carla.post(page(model, "bundles/issue/"), follow=True).status_code == 200
    bundle = Bundle.objects.get()
    pending = carla.get(f"/bundles/{bundle.pk}/bundle.zip")
    assert pending.status_code == 503
    assert "pending" in pending.content.decode()
    checkpoints.sign_next()
    assert b"".join(carla.get(f"/bundles/{bundle.pk}/bundle.zip")).startswith(b"PK")  # type: ignore[arg-type]


def test_issuing_is_not_possible_by_get_nor_for_an_engineer(world: World, model: RegisteredModel) -> None:
    assert client(world, "carla").get(page(model, "assessment/issue/")).status_code == 405
    refused = client(world, "ada").post(page(model, "assessment/issue/"))
    assert refused.status_code == 403
    assert not Assessment.objects.exists()


def test_who_is_in_no_team_finds_nothing(world: World, model: RegisteredModel) -> None:
    carla, eve = client(world, "carla"), client(world, "eve")
    carla.post(page(model, "assessment/issue/"))
    row = Assessment.objects.get()
    carla.post(f"/assessments/{row.pk}/report/")
    carla.post(page(model, "bundles/issue/"))
    hidden = [
        page(model), f"/assessments/{row.pk}/", f"/reports/{Report.objects.get().pk}/report.pdf",
        f"/bundles/{Bundle.objects.get().pk}/bundle.zip",
    ]  # fmt: skip
    assert [eve.get(path).status_code for path in hidden] == [404] * 4
    assert eve.post(page(model, "assessment/issue/")).status_code == 404
    assert Client().get(page(model)).status_code == 302


def test_a_model_without_versions_has_a_page_too(world: World) -> None:
    model = world.model()
    world.story()
    text = client(world, "ada").get(page(model)).content.decode()
    assert "Nothing is live" in text

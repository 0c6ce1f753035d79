"""The page of a version: its story on one screen, for those who may see it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit import checkpoints
from audit import services as audit
from registry.access import services as access
from registry.access.models import Role, Team
from registry.catalog.edges import EdgeSpec
from registry.events import Caller
from tests.desk.conftest import Visitor, words
from tests.desk.scene import Scene
from tests.world import World

Visit = Callable[[str], Visitor]


def address(version: object) -> str:
    return reverse("desk:version", args=[version.model.team.slug, version.model.slug, version.number])


def test_the_story_answers_all_six_questions(visit: Visit, released: Scene) -> None:
    page = visit("carla").reads(address(released.child))
    for question in ("From what", "By which steps", "Measured how", "Allowed by whom", "Where live", "Proof"):
        assert question in page
    assert "search/minilm@1 (base, quantized, executed)" in page
    assert "3.92 × smaller" in page
    assert "Requested by Ada" in page
    assert "granted by Omar as approver" in page
    assert "version.registered" in page


def test_before_anybody_asked_the_page_says_who_has_to_grant(visit: Visit, released: Scene) -> None:
    fresh = released.world.version(released.model, seed=77)
    told = "has to pass and 1 approver to grant: nobody who brought, made or asks for it."
    for name in ("ada", "otto"):  # who may ask the gate, and who may only read
        seen = visit(name).reads(address(fresh))
        assert f"the gate of limited@1 {told} What is lacking for “production” , and who can mend it." in seen
    asked = visit("ada").reads(reverse("desk:request-approval", args=["search", "minilm", fresh.number]))
    assert "limited@1 asks for 1 approver." in asked


def test_each_figure_has_interval_size_of_sample_and_a_plain_sentence(visit: Visit, released: Scene) -> None:
    page = visit("carla").reads(address(released.child))
    assert "The answers agree with the original's to 0.9991 on average" in page
    assert "0.9987 – 0.9995" in page
    assert "320" in page
    assert "asked: at least 0.98" in page


def test_effective_terms_name_the_source_that_decides(visit: Visit, story: Scene) -> None:
    page = visit("carla").reads(address(story.child))
    assert "by way of base: search/minilm@1 → data: search/sentence-pairs@1" in page
    assert "Share alike conditions" in page


def test_what_is_not_known_about_the_parent_is_said(visit: Visit, story: Scene) -> None:
    page = visit("carla").reads(address(story.parent))
    assert "Training data of this version: incomplete" in page
    assert "Exported once from the published weights." in page
    assert "training-data in force" in page
    assert "Nothing has been measured about exactly these bytes." in page


def test_declared_evidence_never_stands_among_the_measured(visit: Visit, story: Scene) -> None:
    from tests.worlds.catalog import figure

    story.world.evidence(story.parent, "fidelity", [figure("top1_agreement", "1", "share")], source="declared")
    page = visit("carla").reads(address(story.parent))
    assert "Nothing has been measured about exactly these bytes." in page
    assert "Somebody’s word; it never counts as measured." in page


def test_a_version_opens_by_alias_and_by_digest_too(visit: Visit, released: Scene) -> None:
    carla, base = visit("carla"), "/models/search/minilm@"
    for tail in ("production", released.child.digest[:20], "2"):
        assert "search/minilm@2" in carla.reads(f"{base}{tail}/")


def test_the_proof_says_whether_a_signed_checkpoint_covers_the_entries(visit: Visit, story: Scene) -> None:
    carla = visit("carla")
    assert "none signed yet" in carla.reads(address(story.child))
    checkpoints.grow()
    checkpoints.sign_next()
    assert "covers every entry below" in carla.reads(address(story.child))
    story.world.evidence(story.child, "robustness", [])
    assert "newer entries wait for the next one" in carla.reads(address(story.child))


def test_somebody_outside_the_team_gets_404(visit: Visit, story: Scene) -> None:
    eve = visit("eve")
    assert eve.get(address(story.child)).status_code == 404
    assert eve.get(reverse("desk:model", args=["search", "minilm"])).status_code == 404
    absent, hidden = eve.get("/models/search/nothing@1/"), eve.get(address(story.child))
    assert absent.status_code == 404
    assert words(absent) == words(hidden)
    assert "it belongs to a team that you are not in" in words(hidden)


def test_a_visitor_is_sent_to_the_door(client: object, story: Scene) -> None:
    answer = client.get(address(story.child))
    assert answer.status_code == 302
    assert answer["Location"].startswith("/login/?next=/models/search/minilm%402/")


def test_an_ancestor_of_another_team_has_no_name_and_no_link(visit: Visit, world: World, outsider_team: Team) -> None:
    zoe = world.person("zoe", Role.ENGINEER)
    access.grant_membership(actor=world.cast.root, person=zoe, role=Role.ENGINEER, team=outsider_team)
    caller = Caller(actor_id=zoe.pk, via="cli")
    secret = world.model("very-secret", actor=caller, owner=zoe, team=outsider_team)
    parent = world.version(secret, actor=caller, seed=41)
    child = world.version(world.model("open", actor=caller, owner=zoe), actor=caller, seed=42,
                          edges=[EdgeSpec("base", ("fine-tuned",), parent=parent)])  # fmt: skip
    answer = visit("ada").get(address(child))
    assert answer.status_code == 200
    assert b"very-secret" not in answer.content
    assert b"model of another team" in answer.content
    assert parent.digest.encode() in answer.content


def test_the_number_of_queries_does_not_grow_with_the_history(visit: Visit, story: Scene) -> None:
    carla, path = visit("carla"), address(story.child)
    carla.get(path)
    with CaptureQueriesContext(connection) as few:
        carla.get(path)
    for seed in range(6):
        extra = story.world.derived_version(story.parent, seed=500 + seed)
        story.world.measure(extra, story.parent)
    story.world.measure(story.child, story.parent, size_ratio="3.93")
    with CaptureQueriesContext(connection) as many:
        carla.get(path)
    assert len(many) <= len(few) + 2
    assert len(few) < 90


def test_an_evidence_document_is_downloaded_as_it_was_sealed(visit: Visit, story: Scene) -> None:
    row = story.child.evidence.get(kind="fidelity")
    path = reverse("desk:evidence-document", args=["search", "minilm", 2, row.pk])
    answer = visit("carla").get(path)
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["Pressmark-Digest"] == row.digest
    assert json.loads(answer.content)["kind"] == "fidelity"
    assert visit("eve").get(path).status_code == 404


def test_evidence_of_another_version_is_not_found_under_this_one(visit: Visit, story: Scene) -> None:
    row = story.child.evidence.get(kind="fidelity")
    path = reverse("desk:evidence-document", args=["search", "minilm", 1, row.pk])
    assert visit("carla").get(path).status_code == 404


@pytest.mark.parametrize(("name", "offered"), [("ada", True), ("carla", False)])
def test_acts_are_offered_to_those_who_may(visit: Visit, story: Scene, name: str, offered: bool) -> None:
    assert ("Compress or measure" in visit(name).reads(address(story.parent))) is offered


def test_what_was_issued_about_the_model_is_linked(visit: Visit, story: Scene) -> None:
    carla = visit("carla")
    assert "No assessment or bundle has been issued yet." in carla.reads(address(story.child))
    assessment = audit.issue_assessment(actor=story.world.cast.carla, model=story.model)
    bundle = audit.issue_bundle(actor=story.world.cast.carla, model=story.model)
    page = carla.get(address(story.child)).content.decode()
    assert reverse("audit:issued-assessment", args=[assessment.pk]) in page
    assert reverse("audit:bundle", args=[bundle.pk]) in page


def test_a_version_says_from_when_until_when_it_was_live_and_what_ended_it(visit: Visit, released: Scene) -> None:
    from registry.release import services

    carla = visit("carla")
    assert "until now" in carla.reads(address(released.child))
    reason = "Customers saw other answers."
    services.roll_back(actor=released.world.cast.omar, model=released.model, alias="production", reason=reason)
    child, parent = carla.reads(address(released.child)), carla.reads(address(released.parent))
    assert "until now" not in child
    assert "ended: rolled back to version 1 by Omar" in child
    assert reason in child
    assert "until now" in parent
    assert "ended: promoted to version 2 by Otto" in parent

"""The first page: what waits for whom, and nothing of other teams."""

from __future__ import annotations

import datetime
from collections.abc import Callable

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from registry.access import services as access
from registry.access.models import Role, Team
from registry.compression.models import Run
from registry.oversight.services import open_finding
from registry.oversight.services_proofs import sign_review
from registry.oversight.subjects import of_version
from registry.release import queries as release_queries
from registry.release import services as release
from tests.desk.conftest import Visitor
from tests.desk.scene import Scene, release_child
from tests.provenance.test_author_ruling import own_licence
from tests.world import Cast, World

Visit = Callable[[str], Visitor]


def test_an_approver_sees_what_waits_for_a_decision(visit: Visit, story: Scene) -> None:
    for rule in ("training-data",):
        story.world.waiver(story.child, rule)
    story.world.approval(story.child)
    assert "search/minilm@2 for production requested" in visit("omar").reads("/")
    assert "search/minilm@2 for production requested" in visit("ada").reads("/")


def test_who_may_not_decide_reads_why_and_who_may_stands_first(visit: Visit, world: World) -> None:
    version = world.parent_version()
    own = world.approval(version, "canary", actor=world.cast.ada)
    access.grant_membership(actor=world.cast.root, person=world.cast.people["ada"], role=Role.APPROVER, team=world.team)
    page = visit("ada").reads("/")
    why = release_queries.may_decide(world.cast.ada, own)
    assert why is not None
    assert why in page
    assert why not in visit("omar").reads("/")


def test_older_requests_are_not_hidden_by_newer_ones_that_were_granted(visit: Visit, world: World) -> None:
    version = world.parent_version()
    world.approval(version, "waiting")
    for number in range(9):
        world.granted(version, f"granted-{number}")
    page = visit("omar").reads("/")
    assert f"{version} for waiting requested" in page
    assert "granted-3" not in page


def test_an_engineer_reads_which_question_waits_and_which_run_failed(visit: Visit, world: World) -> None:
    version = world.parent_version()
    asked = world.approval(version)
    release.return_approval(actor=world.cast.omar, approval=asked, reason="On which rows?")
    run = world.run(version)
    Run.objects.filter(pk=run.pk).update(state="failed", heartbeat_at=timezone.now())
    ada = visit("ada")
    page = ada.reads("/")
    assert f"Requests that came back with a question {version} for production asked for by Ada" in page
    assert "Your runs that failed" in page
    assert f'href="/approvals/{asked.pk}/"' in ada.get("/").content.decode()
    assert "Nothing waits for a decision." in page
    assert "came back with a question" not in visit("omar").reads("/")
    release.answer_approval(actor=world.cast.ada, approval=asked, reason="All of them.")
    assert "came back with a question" not in visit("ada").reads("/")
    assert f"{version} for production requested" in visit("omar").reads("/")


def test_an_officer_reads_of_recalls_of_what_ends_and_of_reviews_that_are_due(
    visit: Visit, world: World, outsider_team: Team
) -> None:
    version = world.parent_version()
    world.waiver(version, days=9)
    later = world.parent_version(version.model, seed=5)
    world.waiver(later, days=90)
    due = timezone.now().date() + datetime.timedelta(days=9)
    sign_review(
        actor=world.cast.carla, subject=of_version(version), kind="vetting", accepted=True, statement="Read.", next_on=due
    )  # fmt: skip
    release.start_recall(actor=world.cast.carla, subject=of_version(version), reason="Asked for.")
    page = visit("carla").reads("/")
    assert f"Recalls that go on version {version} since" in page
    assert f"Waiver of training-data for {version} ends" in page
    assert f"Waiver of training-data for {later}" not in page
    assert f"vetting of {version} due {due}" in page
    assert visit("carla").get(f"/reviews/sign/?about=version:{version}").status_code == 200
    theirs = World(world.cast).person("lena")
    access.grant_membership(actor=world.cast.root, person=theirs, role=Role.COMPLIANCE_OFFICER, team=outsider_team)
    assert str(version) not in visit("lena").reads("/")


def test_what_was_granted_waits_for_nobody(visit: Visit, released: Scene) -> None:
    assert "Nothing waits for a decision." in visit("omar").reads("/")


def test_an_open_incident_stands_on_the_first_page_until_it_is_resolved(visit: Visit, world: World) -> None:
    _, child, _incident = world.drifted()
    page = visit("otto").reads("/")
    assert f"{child.model} , window drifted" in page
    assert "drifted open" in page


def test_an_officer_sees_what_is_overdue_and_which_licences_wait_and_an_owner_what_to_mend(
    visit: Visit, world: World
) -> None:
    version = world.version(licence=own_licence(world).expression)
    row = open_finding(
        actor=world.cast.carla, stream=f"model:{version.model_id}", team_id=world.team.pk, subject="Say who is on call",
        description="Nobody does.", owner=world.cast.people["ada"], due_on=timezone.now().date(),
    )  # fmt: skip
    world.officer()
    assert "Say who is on call open owner Ada" in visit("ada").reads("/")
    page = visit("carla").reads("/")
    assert "Licences with terms that nobody knows yet LicenseRef-acme-eula" in page
    assert "Say who is on call" not in page, "it is neither hers nor overdue"
    type(row).objects.filter(pk=row.pk).update(due_on=row.due_on - datetime.timedelta(days=1))
    assert "Say who is on call" in visit("carla").reads("/")
    assert "Licences that wait" not in visit("ada").reads("/")


def test_a_run_in_progress_stands_on_the_first_page(visit: Visit, world: World) -> None:
    world.run()
    assert "queued" in visit("ada").reads("/")


def test_roles_are_said(visit: Visit, cast: Cast) -> None:
    assert "compliance officer in search" in visit("carla").reads("/")


def test_without_a_role_there_is_nothing_and_the_page_says_what_to_do(visit: Visit, released: Scene) -> None:
    page = visit("eve").reads("/")
    assert "minilm" not in page
    assert "Ask an administrator for a role in a team." in page


def test_the_number_of_queries_does_not_grow_with_the_versions(visit: Visit, world: World) -> None:
    ada = visit("ada")
    for seed in range(3):
        world.version(seed=seed + 1)
    with CaptureQueriesContext(connection) as few:
        ada.get("/")
    for seed in range(8):
        world.version(seed=seed + 10)
    with CaptureQueriesContext(connection) as many:
        ada.get("/")
    assert len(many) == len(few)
    assert len(few) < 35


def test_a_released_child_is_among_the_newest_versions(visit: Visit, story: Scene) -> None:
    release_child(story)
    assert "search/minilm@2" in visit("carla").reads("/")

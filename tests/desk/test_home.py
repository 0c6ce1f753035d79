"""The first page: what waits for whom, and nothing of other teams."""

from __future__ import annotations

import datetime
from collections.abc import Callable

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from registry.oversight.services import open_finding
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
    assert "Licences that wait for a ruling LicenseRef-acme-eula" in page
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
    assert len(few) < 32


def test_a_released_child_is_among_the_newest_versions(visit: Visit, story: Scene) -> None:
    release_child(story)
    assert "search/minilm@2" in visit("carla").reads("/")

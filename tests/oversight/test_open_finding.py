"""A finding has an owner and a day, and is closed by saying how it was mended."""

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from registry.access import services as access
from registry.access.models import Role, Team
from registry.errors import Conflict, Forbidden, Invalid, NotFound
from registry.oversight import queries, queries_findings, services, services_findings
from registry.oversight.models import Finding
from tests.oversight.test_register_use_case import register
from tests.world import World
from tests.worlds.http import api

WEEK = datetime.timedelta(days=7)


def opened(world: World, **changes: object) -> Finding:
    model = world.model()
    given = {
        "actor": world.cast.omar, "stream": f"model:{model.pk}", "team_id": world.team.pk, "subject": "evaluation data",
        "description": "It holds no questions in French.", "owner": world.cast.people["ada"],
        "due_on": timezone.now().date() + WEEK,
    }  # fmt: skip
    return services.open_finding(**{**given, **changes})  # type: ignore[arg-type]


def test_a_finding_is_opened_and_closed_with_a_reason(world: World) -> None:
    row = opened(world)
    assert row.state == "open"
    closed = services.close_finding(actor=world.cast.carla, finding=row, closure="Two hundred were added.")
    assert (closed.state, str(closed.closure)) == ("closed", "Two hundred were added.")
    with pytest.raises(Conflict, match="closed already"):
        services.close_finding(actor=world.cast.carla, finding=row, closure="again")


def test_an_engineer_opens_but_does_not_close(world: World) -> None:
    row = opened(world, actor=world.cast.ada)
    with pytest.raises(Forbidden):
        services.close_finding(actor=world.cast.ada, finding=row, closure="done")


def test_a_day_that_has_passed_is_refused(world: World) -> None:
    with pytest.raises(Invalid, match="has passed"):
        opened(world, due_on=timezone.now().date() - WEEK)


def test_nobody_is_made_the_owner_of_what_he_may_not_read(world: World) -> None:
    eve = world.cast.people["eve"]
    with pytest.raises(Invalid, match="no role in this team"):
        opened(world, owner=eve)
    with pytest.raises(Invalid, match="no role in this team"):
        services_findings.assign_finding(actor=world.cast.omar, finding=opened(world), note="Hers.", owner=eve)
    with pytest.raises(Invalid, match="no role in this team"):
        register(world.cast, owner=eve)


def test_findings_are_listed_to_those_who_may_read_what_they_are_about(world: World, outsider_team: Team) -> None:
    mine = opened(world)
    data = world.dataset_version().dataset
    about_data = opened(world, stream=f"dataset:{data.pk}")
    about_team = opened(world, stream=f"team:{world.team.pk}")
    fields = {"description": mine.description, "owner": mine.owner, "due_on": mine.due_on, "created_by": mine.owner}
    everybodys, nobodys = (
        Finding.objects.create(stream=stream, subject="x", state="open", created_at=mine.created_at, **fields)
        for stream in ("instance", f"monitor:{mine.pk}")
    )
    access.grant_membership(
        actor=world.cast.root, person=world.cast.people["eve"], role=Role.ENGINEER, team=outsider_team
    )
    assert list(queries_findings.findings(world.cast.eve)) == [everybodys]
    assert list(queries_findings.findings(world.cast.ada)) == [everybodys, about_team, about_data, mine]
    assert nobodys not in queries_findings.findings(world.cast.ada)


def test_who_is_in_no_team_finds_none(world: World) -> None:
    row = opened(world)
    with pytest.raises(NotFound):
        queries.get_finding(world.cast.eve, row.pk)
    assert queries.get_finding(world.cast.otto, row.pk) == row


def test_over_http_a_finding_is_opened_listed_and_closed(world: World) -> None:
    model = world.model()
    client = api("omar")
    path = f"/api/v1/teams/search/models/{model.slug}/findings"
    body = {
        "subject": "data", "description": "Too few rows.", "owner": "ada",
        "due_on": (timezone.now().date() + WEEK).isoformat(),
    }  # fmt: skip
    made = client.post(path, body, format="json").json()
    assert [row["id"] for row in client.get(path).json()["items"]] == [made["id"]]
    closed = client.post(f"/api/v1/findings/{made['id']}/close", {"closure": "More were added."}, format="json")
    assert closed.json()["state"] == "closed"
    missing = client.post(
        "/api/v1/findings/01890a5d-ac96-774b-bcce-b302099a8057/close", {"closure": "x"}, format="json"
    )
    assert missing.status_code == 404

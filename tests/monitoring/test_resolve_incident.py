"""People answer an incident: acknowledge, judge, resolve, or roll back, which moves the alias in the same unit."""

from __future__ import annotations

import json

import pytest
from django.db import DatabaseError, transaction

from audit.models import Entry
from registry.errors import BytesDiffer, Conflict, Forbidden, Invalid, NotFound
from registry.monitoring import queries, services
from registry.monitoring.models import Incident
from registry.release import queries as release
from registry.release import services as release_services
from tests.release.test_promote import change_bytes
from tests.world import World
from tests.worlds.http import api


def fresh(incident: Incident) -> Incident:
    return Incident.objects.select_related("monitor__model", "monitor__alias", "window").get(pk=incident.pk)


def test_the_status_follows_from_the_acts(world: World) -> None:
    _, _, incident = world.drifted()
    assert queries.incident_status(incident) == "open"
    incident = services.acknowledge_incident(actor=world.cast.otto, incident=incident)
    assert queries.incident_status(incident) == "acknowledged"
    incident = services.judge_incident(actor=world.cast.otto, incident=incident, benign=False, reason="It ranks badly.")
    assert queries.incident_status(incident) == "confirmed"
    incident = services.resolve_incident(actor=world.cast.omar, incident=incident, resolution="The sender was fixed.")
    assert queries.incident_status(incident) == "resolved"


def test_a_benign_incident_asks_for_nothing_more(world: World) -> None:
    _, _, incident = world.drifted()
    assert list(queries.open_incidents(world.cast.omar)) == [incident]
    benign = services.judge_incident(actor=world.cast.omar, incident=incident, benign=True)
    assert queries.incident_status(benign) == "benign"
    assert list(queries.open_incidents(world.cast.omar)) == []
    assert list(queries.incidents(world.cast.omar)) == [incident]


def test_each_act_happens_once(world: World) -> None:
    _, _, incident = world.drifted()
    services.acknowledge_incident(actor=world.cast.otto, incident=incident)
    services.judge_incident(actor=world.cast.otto, incident=incident, benign=True)
    services.resolve_incident(actor=world.cast.omar, incident=incident, resolution="Season.")
    with pytest.raises(Conflict):
        services.acknowledge_incident(actor=world.cast.otto, incident=incident)
    with pytest.raises(Conflict):
        services.judge_incident(actor=world.cast.otto, incident=incident, benign=False)
    with pytest.raises(Conflict):
        services.resolve_incident(actor=world.cast.omar, incident=incident, resolution="again")


@pytest.mark.db_guarantee
def test_the_database_lets_nobody_take_an_answer_back(world: World) -> None:
    _, _, incident = world.drifted()
    services.judge_incident(actor=world.cast.otto, incident=incident, benign=False)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Incident.objects.filter(pk=incident.pk).update(benign=True)


def test_rolling_back_resolves_the_incident_in_one_unit(world: World) -> None:
    parent, _, incident = world.drifted()
    done = services.resolve_by_rollback(
        actor=world.cast.omar, incident=incident, reason="It answers other people's questions."
    )
    move = release.incumbent(parent.model, "production")
    assert move is not None
    assert move.version == parent
    assert done.assignment == move
    events = [json.loads(bytes(e.entry)) for e in Entry.objects.order_by("-position")[:3]][::-1]
    assert [e["event"]["kind"] for e in events] == ["verdict.given", "alias.rolled_back", "incident.resolved"]
    assert len({e["event"]["unit"] for e in events}) == 1
    assert [e["stream"].split(":")[0] for e in events] == ["model", "model", "monitor"]


def test_when_the_bytes_of_the_target_changed_nothing_moves_and_the_incident_stays_open(world: World) -> None:
    parent, child, incident = world.drifted()
    change_bytes(parent)
    with pytest.raises(BytesDiffer):
        services.resolve_by_rollback(actor=world.cast.omar, incident=incident, reason="r")
    assert release.incumbent(parent.model, "production").version == child
    assert queries.incident_status(fresh(incident)) == "open"


def test_when_the_incident_cannot_be_resolved_the_alias_does_not_move(world: World) -> None:
    parent, child, incident = world.drifted()
    services.resolve_incident(actor=world.cast.omar, incident=incident, resolution="A mistake of the sender.")
    with pytest.raises(Conflict, match="resolved already"):
        services.resolve_by_rollback(actor=world.cast.omar, incident=incident, reason="r")
    assert release.incumbent(parent.model, "production").version == child


def test_an_alias_that_has_moved_since_is_not_rolled_back_for_an_old_incident(world: World) -> None:
    parent, _, incident = world.drifted()
    release_services.roll_back(actor=world.cast.otto, model=parent.model, alias="production", reason="At once.")
    with pytest.raises(Conflict, match="has moved since"):
        services.resolve_by_rollback(actor=world.cast.omar, incident=incident, reason="r")


def test_an_operator_rolls_back_but_does_not_resolve(world: World) -> None:
    _, _, incident = world.drifted()
    with pytest.raises(Forbidden):
        services.resolve_by_rollback(actor=world.cast.otto, incident=incident, reason="r")
    with pytest.raises(Forbidden):
        services.resolve_incident(actor=world.cast.otto, incident=incident, resolution="r")
    with pytest.raises(Invalid, match="resolution is empty"):
        services.resolve_incident(actor=world.cast.omar, incident=incident, resolution=" ")


def test_who_may_not_read_the_model_finds_no_incident(world: World) -> None:
    _, _, incident = world.drifted()
    with pytest.raises(NotFound):
        queries.get_incident(world.cast.eve, incident.pk)


def test_over_http_an_incident_is_acknowledged_judged_and_rolled_back(world: World) -> None:
    parent, _, incident = world.drifted()
    base = f"/api/v1/incidents/{incident.pk}"
    otto, omar = api("otto"), api("omar")
    assert [i["id"] for i in otto.get("/api/v1/incidents?open=true").json()["items"]] == [str(incident.pk)]
    assert otto.post(f"{base}/acknowledge").json()["status"] == "acknowledged"
    assert otto.post(f"{base}/judge", {"benign": False}, format="json").json()["status"] == "confirmed"
    done = omar.post(f"{base}/resolve-by-rollback", {"reason": "It answers worse."}, format="json")
    assert (done.status_code, done.json()["status"]) == (200, "resolved"), done.content
    assert done["Pressmark-Receipt"]
    assert release.incumbent(parent.model, "production").version == parent
    shown = omar.get(base).json()
    assert shown["window_body"]["state"] == "drifted"
    assert otto.post(f"{base}/resolve", {"resolution": "x"}, format="json").status_code == 403
    assert omar.post(f"{base}/resolve", {"resolution": "x"}, format="json").status_code == 409
    assert omar.get("/api/v1/incidents?open=true").json()["items"] == []

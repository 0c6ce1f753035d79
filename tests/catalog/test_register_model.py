"""Models: names, owners, use cases."""

from __future__ import annotations

from typing import Any

import pytest

from audit.models import Entry
from registry.access.models import Team
from registry.catalog import queries, services
from registry.catalog.models import RegisteredModel
from registry.digests import parse_canonical
from registry.errors import Conflict, Forbidden, Invalid, NotFound
from registry.events import unit
from registry.ids import uuid7
from registry.oversight.models import UseCase
from tests.provenance.http import client_for, make_eve_engineer_of, problem
from tests.world import Cast, World


def use_case(world: World, slug: str, team: Team | None = None, **members: Any) -> UseCase:
    """A use case as a row; the service of the room above has tests of its own."""
    from registry.access.services import new_text
    from registry.events import emit

    key = uuid7()
    with unit(world.cast.ada, role="engineer") as opened:
        text = new_text(stream=f"use_case:{key}", purpose="purpose", value="Search.", now=opened.now)
        row = UseCase.objects.create(
            id=key, team=team or world.team, slug=slug, tier="limited", sector="retail", jurisdiction="EU", purpose=text,
            owner=world.cast.people["ada"], created_by=world.cast.people["ada"], created_at=opened.now, **members,
        )  # fmt: skip
        emit("use_case.registered", row, text, team=row.team_id)
    return row


def last_event() -> dict[str, Any]:
    entry: Any = parse_canonical(bytes(Entry.objects.order_by("-position")[0].entry))
    return dict(entry["event"])


def test_a_model_is_sealed_with_its_owner_and_without_its_title(world: World) -> None:
    model = services.register_model(
        actor=world.cast.ada, team=world.team, slug="net", owner=world.cast.people["carla"], title="Das kleine Netz"
    )
    event = last_event()
    assert event["kind"] == "model.registered"
    row = next(r["row"] for r in event["records"] if r["type"] == "catalog.model/1")
    assert row["owner_id"] == str(world.cast.people["carla"].pk)
    assert b"kleine" not in bytes(Entry.objects.order_by("-position")[0].entry)
    assert str(model.title) == "Das kleine Netz"


def test_a_name_is_taken_once_in_a_team(world: World) -> None:
    world.model("net")
    with pytest.raises(Conflict, match="search/net"):
        world.model("net")
    assert RegisteredModel.objects.count() == 1


@pytest.mark.parametrize("slug", ["", "Net", "a..b", "-a", "a/b", "x" * 64, "grün"])
def test_a_name_that_could_not_be_sealed_is_refused(world: World, slug: str) -> None:
    with pytest.raises(Invalid):
        services.register_model(actor=world.cast.ada, team=world.team, slug=slug, owner=world.cast.people["ada"])


def test_an_owner_belongs_to_the_team(world: World) -> None:
    with pytest.raises(Invalid, match="owner"):
        world.model(owner=world.cast.people["eve"])


def test_who_is_no_engineer_registers_no_model(world: World) -> None:
    for name in ("omar", "carla", "otto", "eve"):
        with pytest.raises(Forbidden):
            world.model(actor=getattr(world.cast, name))


def test_a_use_case_is_assigned_and_sealed(world: World) -> None:
    model, purpose = world.model("net"), use_case(world, "search")
    assert services.assign_use_case(actor=world.cast.ada, model=model, use_case=purpose).use_case_id == purpose.pk
    event = last_event()
    assert event["kind"] == "model.use_case_assigned"
    assert event["records"][0]["row"]["use_case_id"] == str(purpose.pk)
    with pytest.raises(Conflict, match="already"):
        services.assign_use_case(actor=world.cast.ada, model=model, use_case=purpose)


def test_a_use_case_of_another_team_is_refused(world: World, outsider_team: Team) -> None:
    with pytest.raises(Invalid, match="another team"):
        services.assign_use_case(
            actor=world.cast.ada, model=world.model(), use_case=use_case(world, "theirs", outsider_team)
        )


def test_a_use_case_that_ended_is_refused(world: World) -> None:
    old = use_case(world, "old", ended_at=world.model().created_at)
    with pytest.raises(Conflict, match="ended"):
        world.model(use_case=old)


def test_models_over_http(cast: Cast, world: World) -> None:
    use_case(world, "search")
    ada = client_for(cast, "ada")
    body = {"slug": "net", "title": "A net", "owner": "carla", "use_case": "search"}
    answer = ada.post("/api/v1/teams/search/models", body, format="json")
    assert answer.status_code == 201, answer.content
    assert answer.json()["use_case"] == "search"
    assert ada.get("/api/v1/teams/search/models/net").json()["owner"] == str(cast.people["carla"].pk)
    assert [m["slug"] for m in ada.get("/api/v1/teams/search/models").json()["items"]] == ["net"]
    problem(
        ada.post("/api/v1/teams/search/models", body | {"slug": "b", "use_case": "none"}, format="json"),
        404,
        "not-found",
    )
    problem(
        ada.post("/api/v1/teams/search/models", body | {"slug": "b", "owner": "nobody"}, format="json"),
        404,
        "not-found",
    )
    use_case(world, "other")
    moved = ada.post("/api/v1/teams/search/models/net/use-case", {"use_case": "other"}, format="json")
    assert moved.json()["use_case"] == "other"


def test_references_name_a_version_by_number_and_by_digest(world: World, outsider_team: Team) -> None:
    model = world.model("net")
    first, second = world.version(model, seed=1), world.version(model, seed=2)
    ada = world.cast.ada
    assert queries.get_version(ada, "search/net@2") == second
    assert queries.get_version(ada, f"search/net@{first.digest}") == first
    assert queries.get_version(ada, f"search/net@{first.digest[:19]}") == first
    for missing in ("search/net@3", "search/other@1", "search/net@sha256:" + "0" * 12):
        with pytest.raises(NotFound):
            queries.get_version(ada, missing)
    for wrong in ("search/net", "search/net@1.0", "search/net@sha256:12345", "search/net@production"):
        with pytest.raises(Invalid):
            queries.get_version(ada, wrong)
    make_eve_engineer_of(world.cast, outsider_team)
    with pytest.raises(NotFound):
        queries.get_version(world.cast.eve, "search/net@1")

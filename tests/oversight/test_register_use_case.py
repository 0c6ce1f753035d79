"""A use case says what models are for, and its tier decides which policy judges them."""

from __future__ import annotations

import json

import pytest
from django.db import DatabaseError, transaction

from audit.models import Entry
from registry.access.models import Team
from registry.catalog.services import assign_use_case
from registry.errors import Conflict, Forbidden, Invalid, NotFound
from registry.oversight import queries, services
from registry.oversight.models import UseCase
from tests.world import Cast, World
from tests.worlds.http import api


def register(cast: Cast, **changes: object) -> UseCase:
    given = {
        "actor": cast.carla, "team": cast.team, "slug": "support", "tier": "limited", "sector": "customer support",
        "jurisdiction": "EU", "purpose": "Find answers for people who ask.", "owner": cast.people["carla"],
        "reason": "Looked at with the team.",
    }  # fmt: skip
    return services.register_use_case(**{**given, **changes})  # type: ignore[arg-type]


def last_event() -> dict:
    return json.loads(bytes(Entry.objects.order_by("-position")[0].entry))


def test_a_compliance_officer_registers_a_use_case_and_it_is_sealed_without_its_words(cast: Cast) -> None:
    row = register(cast, users="Agents", prohibited="Decisions about people")
    sealed = last_event()
    assert sealed["stream"] == f"use_case:{row.pk}"
    assert sealed["event"]["kind"] == "use_case.registered"
    assert sealed["event"]["actor"]["role"] == "compliance_officer"
    assert b"Find answers" not in json.dumps(sealed).encode()
    assert str(row.purpose) == "Find answers for people who ask."


def test_an_approver_registers_none(cast: Cast) -> None:
    with pytest.raises(Forbidden, match="Compliance"):
        register(cast, actor=cast.omar)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"slug": "Bad Name"}, "no name"),
        ({"tier": "extreme"}, "no tier"),
        ({"tier": ""}, "no tier"),
        ({"reason": " "}, "reason is empty"),
        ({"purpose": "  "}, "purpose is empty"),
        ({"sector": "Kundenbetreuung für alle"}, "printable ASCII"),
        ({"sector": "x" * 61}, "1 to 60"),
    ],
)
def test_what_cannot_be_sealed_is_refused_and_nothing_is_stored(cast: Cast, change: dict, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        register(cast, **change)
    assert not UseCase.objects.exists()


def test_the_same_name_twice_in_a_team_is_a_conflict(cast: Cast) -> None:
    register(cast)
    with pytest.raises(Conflict, match="already"):
        register(cast)


def test_who_is_in_no_team_finds_no_use_case(cast: Cast) -> None:
    register(cast)
    with pytest.raises(NotFound):
        queries.get_use_case(cast.eve, "search", "support")


def test_a_change_of_tier_says_why_and_is_sealed(cast: Cast) -> None:
    row = services.change_tier(actor=cast.carla, use_case=register(cast), tier="high", reason="It now ranks people.")
    assert row.tier == "high"
    assert last_event()["event"]["kind"] == "use_case.tier_changed"
    with pytest.raises(Conflict, match="already"):
        services.change_tier(actor=cast.carla, use_case=row, tier="high", reason="again")


@pytest.mark.db_guarantee
def test_the_purpose_of_a_use_case_never_changes(cast: Cast) -> None:
    row = register(cast)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        UseCase.objects.filter(pk=row.pk).update(sector="another")


def test_over_http_a_use_case_is_registered_listed_and_its_tier_changed(cast: Cast) -> None:
    client = api("carla")
    body = {
        "slug": "support", "tier": "limited", "sector": "support", "jurisdiction": "EU", "purpose": "Answers.",
        "owner": "carla", "reason": "Little can go wrong.",
    }  # fmt: skip
    made = client.post("/api/v1/teams/search/use-cases", body, format="json")
    assert made.status_code == 201, made.content
    assert made["Pressmark-Receipt"]
    listed = client.get("/api/v1/teams/search/use-cases").json()
    assert [row["slug"] for row in listed["items"]] == ["support"]
    changed = client.post(
        "/api/v1/teams/search/use-cases/support/tier", {"tier": "high", "reason": "More harm possible."}, format="json"
    )
    assert changed.json()["tier"] == "high"


def test_over_http_the_use_cases_of_another_team_are_not_there(world: World, outsider_team: Team) -> None:
    world.use_case()
    assert api("carla").get("/api/v1/teams/elsewhere/use-cases").json()["items"] == []
    body = {
        "slug": "x", "tier": "limited", "sector": "s", "jurisdiction": "EU", "purpose": "p", "owner": "carla",
        "reason": "r",
    }  # fmt: skip
    assert api("carla").post("/api/v1/teams/elsewhere/use-cases", body, format="json").status_code == 404


def test_who_builds_does_not_choose_a_milder_policy(world: World) -> None:
    high = world.use_case("ranking", "high")
    with pytest.raises(Forbidden, match="Compliance"):
        services.change_tier(actor=world.cast.ada, use_case=high, tier="minimal", reason="It will be fine.")
    high.refresh_from_db()
    assert high.tier == "high"
    model = world.model(use_case=high)
    with pytest.raises(Forbidden, match="Compliance"):
        world.assign_use_case(model, world.use_case("toy", "minimal"))
    model.refresh_from_db()
    assert model.use_case_id == high.pk


def test_an_engineer_asks_for_more_care_and_an_officer_for_less(world: World) -> None:
    row = services.change_tier(
        actor=world.cast.ada, use_case=world.use_case("ranking", "limited"), tier="high", reason="It ranks people."
    )
    assert last_event()["event"]["actor"]["role"] == "engineer"
    services.change_tier(actor=world.cast.carla, use_case=row, tier="limited", reason="It does not after all.")
    assert last_event()["event"]["actor"]["role"] == "compliance_officer"
    model = world.model(use_case=row)
    toy = world.use_case("toy", "minimal")
    assert assign_use_case(actor=world.cast.carla, model=model, use_case=toy).use_case_id == toy.pk
    assert last_event()["event"]["actor"]["role"] == "compliance_officer"
    assert world.assign_use_case(model, row).use_case_id == row.pk

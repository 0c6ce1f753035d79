"""A use case gets its tier from a questionnaire that two people put in force; less care than before is an officer's to allow."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from audit.models import Entry
from registry.access.models import Text
from registry.digests import canonical
from registry.errors import Conflict, Forbidden, Invalid, Problem
from registry.oversight import queries_tiers, services_tiers, tiers
from registry.oversight.models import TierTable, UseCase
from registry.oversight.services import change_tier
from registry.release import queries as release
from registry.release import services
from tests.oversight.test_register_use_case import register
from tests.world import Cast, World
from tests.worlds.http import api

WHY = "Looked at with the team that runs it."


def mildest(**others: str) -> list[dict[str, str]]:
    """The answers that ask for least, some of them replaced."""
    table = tiers.parse(tiers.ready_made())
    return [{"question": q.id, "answer": others.get(q.id.replace("-", "_"), q.answers[0].id)} for q in table.questions]


def in_force(world: World, document: dict[str, Any] | None = None) -> TierTable:
    written = services_tiers.author_tier_table(actor=world.cast.root, document=document or tiers.ready_made())
    return services_tiers.approve_tier_table(actor=world.officer(), table=written)


def answered(world: World, use_case: UseCase, **others: str) -> UseCase:
    return services_tiers.answer_tier_table(
        actor=world.cast.ada, use_case=use_case, answers=mildest(**others), reason=WHY
    )


def test_the_table_that_ships_can_give_every_tier_and_each_answer_raises_it_alone() -> None:
    document = tiers.ready_made()
    canonical(document)
    table = tiers.parse(document)
    assert 10 <= len(table.questions) <= 15
    assert tiers.judge(table, mildest()).tier == "minimal"
    for question in table.questions:
        for answer in question.answers:
            given = [{**a, "answer": answer.id} if a["question"] == question.id else a for a in mildest()]
            assert tiers.judge(table, given).tier == answer.tier


def test_the_highest_floor_decides_and_the_answers_that_set_it_are_told() -> None:
    found = tiers.judge(
        tiers.parse(tiers.ready_made()), mildest(effect="serious", autonomy="nobody", sector="sensitive")
    )
    assert found.tier == "high"
    assert [(q.id, a.id) for q, a in found.deciding] == [("effect", "serious"), ("sector", "sensitive")]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (mildest()[1:], "'effect' is not answered"),
        ([*mildest(), {"question": "effect", "answer": "none"}], "answered twice"),
        ([*mildest(), {"question": "weather", "answer": "fine"}], "asks no question 'weather'"),
        (mildest(effect="perhaps"), "'perhaps' is no answer to 'effect'; there are: none, nuisance, serious"),
    ],
)
def test_answers_from_which_no_tier_follows_say_what_is_wrong(answers: list[dict[str, str]], said: str) -> None:
    with pytest.raises(tiers.TierTableError, match=said):
        tiers.judge(tiers.parse(tiers.ready_made()), answers)


def changed(path: list[Any], value: Any) -> dict[str, Any]:
    document = copy.deepcopy(tiers.ready_made())
    here: Any = document
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = value
    return document


def only_mild() -> dict[str, Any]:
    document = copy.deepcopy(tiers.ready_made())
    for question in document["questions"]:
        for answer in question["answers"]:
            answer["tier"] = "minimal"
    return document


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (changed(["language"], 2), "language"),
        (changed(["questions", 0, "answers", 0, "tier"], "extreme"), "questions/0/answers/0/tier"),
        (changed(["questions", 1, "id"], "effect"), "question 'effect' stands twice"),
        (changed(["questions", 0, "answers", 1, "id"], "none"), "answer of 'effect' 'none' stands twice"),
        (changed(["questions"], []), "questions"),
        (only_mild(), "no answer leads to the tier high"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_the_place(
    world: World, document: dict[str, Any], said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        services_tiers.author_tier_table(actor=world.cast.root, document=document)
    assert not TierTable.objects.exists()


def test_a_table_gives_no_tier_until_somebody_other_than_its_author_approves_it(world: World) -> None:
    written = services_tiers.author_tier_table(actor=world.cast.root, document=tiers.ready_made())
    with pytest.raises(Conflict, match="No tier table is in force"):
        answered(world, world.use_case())
    with pytest.raises(Forbidden, match="You wrote"):
        services_tiers.approve_tier_table(actor=world.cast.root, table=written)
    services_tiers.approve_tier_table(actor=world.officer(), table=written)
    assert queries_tiers.tier_table_in_force() == written
    with pytest.raises(Conflict, match="approved already"):
        services_tiers.approve_tier_table(actor=world.officer(), table=written)
    with pytest.raises(Conflict, match="exactly this content and is in force"):
        services_tiers.author_tier_table(actor=world.cast.root, document=tiers.ready_made())
    other = {**tiers.ready_made(), "title": "Another title"}
    second = services_tiers.author_tier_table(actor=world.cast.root, document=other)
    with pytest.raises(Conflict, match="exactly this content and waits"):
        services_tiers.author_tier_table(actor=world.cast.root, document=other)
    services_tiers.approve_tier_table(actor=world.officer(), table=second)
    again = services_tiers.author_tier_table(actor=world.cast.root, document=tiers.ready_made())
    assert (again.number, again.digest) == (3, written.digest), "what was superseded is written anew"


@pytest.mark.db_guarantee
def test_the_database_refuses_a_table_approved_by_its_author(world: World) -> None:
    row = services_tiers.author_tier_table(actor=world.cast.root, document=tiers.ready_made())
    with pytest.raises(IntegrityError), transaction.atomic():
        TierTable.objects.filter(pk=row.pk).update(approved_by=row.author_id, in_force_at=timezone.now())


def test_who_has_no_role_in_the_instance_writes_no_table_for_all_teams(cast: Cast, world: World) -> None:
    for caller in (cast.carla, cast.omar, cast.ada):
        with pytest.raises(Forbidden):
            services_tiers.author_tier_table(actor=caller, document=tiers.ready_made())


def test_answers_give_the_tier_and_stay_with_the_use_case_and_its_table(world: World) -> None:
    use_case = world.use_case(tier="limited")
    table = in_force(world)
    row = answered(world, use_case, effect="serious")
    row.refresh_from_db()
    assert (row.tier, row.tier_table) == ("high", table)
    assert {"answer": "serious", "question": "effect"} in row.answers
    event = json.loads(bytes(Entry.objects.order_by("-position")[0].entry))["event"]
    assert (event["kind"], event["refs"][0]["digest"]) == ("use_case.tier_changed", table.digest)
    assert queries_tiers.standing(row).follows


def test_answers_that_leave_the_tier_are_recorded_as_such_and_not_twice(world: World) -> None:
    use_case = world.use_case(tier="limited")
    in_force(world)
    answered(world, use_case, effect="nuisance")
    assert json.loads(bytes(Entry.objects.order_by("-position")[0].entry))["event"]["kind"] == "use_case.assessed"
    with pytest.raises(Conflict, match="these answers already"):
        answered(world, use_case, effect="nuisance")


def test_less_care_is_answered_by_a_compliance_officer_alone(world: World) -> None:
    use_case = world.use_case(tier="limited")
    in_force(world)
    with pytest.raises(Forbidden):
        answered(world, use_case)
    row = services_tiers.answer_tier_table(actor=world.cast.carla, use_case=use_case, answers=mildest(), reason=WHY)
    assert row.tier == "minimal"


def test_another_table_changes_no_tier_by_itself_but_the_answers_are_out_of_date(world: World) -> None:
    use_case = world.use_case(tier="limited")
    first = in_force(world)
    row = answered(world, use_case, effect="serious")
    second = in_force(world, changed(["title"], "Another title"))
    row = UseCase.objects.get(pk=row.pk)
    first.refresh_from_db()
    assert (row.tier, first.ended_at == second.in_force_at) == ("high", True)
    found = queries_tiers.standing(row)
    assert (found.in_force, found.result.tier if found.result else None) == (False, "high")


# --- tiers by hand ---


def test_where_a_table_is_in_force_a_use_case_is_registered_with_answers_and_has_their_tier(world: World) -> None:
    table = in_force(world)
    with pytest.raises(Invalid, match="follows from answers to tier table 1"):
        register(world.cast, tier="minimal", reason=WHY)
    with pytest.raises(Invalid, match="'effect' is not answered"):
        register(world.cast, tier="", answers=mildest()[1:], reason=WHY)
    assert not UseCase.objects.exists()
    row = register(world.cast, tier="", answers=mildest(effect="serious"))
    assert (row.tier, row.tier_table, queries_tiers.standing(row).follows) == ("high", table, True)
    event = json.loads(bytes(Entry.objects.order_by("-position")[0].entry))["event"]
    assert (event["kind"], event["refs"][0]["digest"]) == ("use_case.registered", table.digest)


def test_a_tier_by_hand_is_higher_than_the_answers_and_says_why(world: World) -> None:
    in_force(world)
    with pytest.raises(Invalid, match="answers give the tier high; a tier by hand may only be higher"):
        register(world.cast, tier="limited", answers=mildest(effect="serious"), reason=WHY)
    with pytest.raises(Invalid, match="reason is empty"):
        register(world.cast, tier="high", answers=mildest(), reason="")
    row = register(world.cast, tier="high", answers=mildest(), reason="Its users are children.")
    assert (row.tier, queries_tiers.standing(row).follows) == ("high", True)
    assert Text.objects.filter(stream=f"use_case:{row.pk}", purpose="reason").get().value == "Its users are children."


def test_nobody_sets_a_tier_below_the_answers_not_even_an_officer(world: World) -> None:
    use_case = world.use_case(tier="limited")
    in_force(world)
    row = answered(world, use_case, effect="serious")
    with pytest.raises(Invalid, match="answers give the tier high"):
        change_tier(actor=world.cast.carla, use_case=row, tier="limited", reason="A pilot.")
    assert UseCase.objects.get(pk=row.pk).tier == "high"


def test_without_answers_a_lower_tier_is_set_by_hand_only_while_no_table_is_in_force(world: World) -> None:
    first, second = world.use_case("first", "high"), world.use_case("second", "high")
    assert change_tier(actor=world.cast.carla, use_case=first, tier="limited", reason=WHY).tier == "limited"
    in_force(world)
    with pytest.raises(Conflict, match="follows from answers to tier table 1, which nobody gave"):
        change_tier(actor=world.cast.carla, use_case=second, tier="limited", reason=WHY)
    assert change_tier(actor=world.cast.ada, use_case=first, tier="high", reason=WHY).tier == "high"


def test_answers_keep_a_higher_tier_by_hand_where_it_is_named_again(world: World) -> None:
    use_case = world.use_case(tier="high")
    in_force(world)
    with pytest.raises(Forbidden):
        answered(world, use_case)
    row = services_tiers.answer_tier_table(
        actor=world.cast.ada, use_case=use_case, answers=mildest(), reason=WHY, tier="high"
    )
    assert (row.tier, queries_tiers.standing(row).follows) == ("high", True)
    with pytest.raises(Invalid, match="may only be higher"):
        services_tiers.answer_tier_table(
            actor=world.cast.ada, use_case=row, answers=mildest(effect="serious"), reason=WHY, tier="limited"
        )


@pytest.mark.parametrize("way", ["api", "page", "shell"])
def test_a_raised_tier_makes_approvals_stale_however_it_is_raised(world: World, client: Client, way: str) -> None:
    world.policy("high")
    use_case = world.use_case("limited-use", "limited")
    in_force(world)
    approval = world.granted(world.parent_version())
    if way == "api":
        body = {"answers": mildest(safety="yes"), "reason": WHY}
        assert api("ada").post("/api/v1/teams/search/use-cases/limited-use", body, format="json").status_code == 200
    elif way == "page":
        fields = {row["question"]: row["answer"] for row in mildest(safety="yes")} | {"reason": WHY}
        client.force_login(world.cast.people["ada"])
        assert client.post("/use-cases/search/limited-use/answer/", fields).status_code == 302
    else:
        change_tier(actor=world.cast.ada, use_case=use_case, tier="high", reason=WHY)
    again = release.approvals_of(approval.version).get(pk=approval.pk)
    assert (UseCase.objects.get(pk=use_case.pk).tier, release.approval_status(again)) == ("high", "stale")
    with pytest.raises(Problem):
        services.promote(actor=world.cast.otto, model=approval.model, alias="production", approval=again)


def test_over_http_answers_give_the_tier_of_a_new_use_case(world: World) -> None:
    in_force(world)
    body = {"slug": "ranking", "sector": "credit", "jurisdiction": "EU", "purpose": "Rank files.", "owner": "carla"}
    asked = api("ada").post("/api/v1/teams/search/use-cases", body, format="json")
    assert (asked.status_code, "tier-tables/1" in asked.json()["hint"]) == (422, True)
    made = api("ada").post(
        "/api/v1/teams/search/use-cases", {**body, "answers": mildest(effect="serious"), "reason": WHY}, format="json"
    )
    assert (made.status_code, made.json()["tier"]) == (201, "high")

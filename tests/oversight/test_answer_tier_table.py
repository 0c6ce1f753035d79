"""A use case gets its tier from a questionnaire that two people put in force; less care than before is an officer's to allow."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.models import Entry
from registry.digests import canonical
from registry.errors import Conflict, Forbidden, Invalid
from registry.oversight import queries_tiers, services_tiers, tiers
from registry.oversight.models import TierTable, UseCase
from registry.release import queries as release
from tests.world import Cast, World

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
    with pytest.raises(Conflict, match="exactly this content"):
        services_tiers.author_tier_table(actor=world.cast.root, document=tiers.ready_made())


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
    table = in_force(world)
    row = answered(world, world.use_case(tier="limited"), effect="serious")
    row.refresh_from_db()
    assert (row.tier, row.tier_table) == ("high", table)
    assert {"answer": "serious", "question": "effect"} in row.answers
    event = json.loads(bytes(Entry.objects.order_by("-position")[0].entry))["event"]
    assert (event["kind"], event["refs"][0]["digest"]) == ("use_case.tier_changed", table.digest)
    assert queries_tiers.standing(row).follows


def test_answers_that_leave_the_tier_are_recorded_as_such_and_not_twice(world: World) -> None:
    in_force(world)
    use_case = world.use_case(tier="limited")
    answered(world, use_case, effect="nuisance")
    assert json.loads(bytes(Entry.objects.order_by("-position")[0].entry))["event"]["kind"] == "use_case.assessed"
    with pytest.raises(Conflict, match="these answers already"):
        answered(world, use_case, effect="nuisance")


def test_less_care_is_answered_by_a_compliance_officer_alone(world: World) -> None:
    in_force(world)
    use_case = world.use_case(tier="limited")
    with pytest.raises(Forbidden):
        answered(world, use_case)
    row = services_tiers.answer_tier_table(actor=world.cast.carla, use_case=use_case, answers=mildest(), reason=WHY)
    assert row.tier == "minimal"


def test_a_raised_tier_makes_approvals_stale(world: World) -> None:
    world.policy("high")
    in_force(world)
    approval = world.granted(world.parent_version())
    assert release.approval_status(approval) == "granted"
    assert approval.model.use_case is not None
    answered(world, approval.model.use_case, safety="yes")
    again = release.approvals_of(approval.version).get(pk=approval.pk)
    assert release.approval_status(again) == "stale"


def test_another_table_changes_no_tier_by_itself_but_the_answers_are_out_of_date(world: World) -> None:
    first = in_force(world)
    row = answered(world, world.use_case(tier="limited"), effect="serious")
    second = in_force(world, changed(["title"], "Another title"))
    row = UseCase.objects.get(pk=row.pk)
    first.refresh_from_db()
    assert (row.tier, first.ended_at == second.in_force_at) == ("high", True)
    found = queries_tiers.standing(row)
    assert (found.in_force, found.result.tier if found.result else None) == (False, "high")


def test_a_tier_set_by_hand_below_the_answers_is_told(world: World) -> None:
    from registry.oversight.services import change_tier

    in_force(world)
    row = answered(world, world.use_case(tier="limited"), effect="serious")
    change_tier(actor=world.cast.carla, use_case=row, tier="limited", reason="A pilot.")
    assert not queries_tiers.standing(UseCase.objects.get(pk=row.pk)).follows

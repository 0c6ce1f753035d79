"""The way back: to what was served before, if it is still approved, passes today and has its bytes; a forward event."""

from __future__ import annotations

import json
import threading

import pytest
from django.db import connection

from audit.models import Entry
from registry.catalog.services_corrections import correct_version
from registry.errors import Blocked, BytesDiffer, Conflict, Forbidden, Invalid, NotFound, Problem
from registry.release import queries, services
from registry.release.models import AliasAssignment, Approval
from tests.release.test_promote import change_bytes
from tests.world import Cast, World
from tests.worlds.catalog import figure
from tests.worlds.http import api


def back(world: World, model, **changes) -> AliasAssignment:
    given = {"actor": world.cast.otto, "model": model, "alias": "production", "reason": "It answers worse."}
    return services.roll_back(**{**given, **changes})


def three(world: World):
    """Parent, child, grandchild: each served one after the other."""
    parent, child = world.released_pair()
    grandchild = world.child_version(parent, seed=333)
    world.promoted(grandchild)
    return parent, child, grandchild


def approval_of(version) -> Approval:
    return Approval.objects.get(version=version)


def test_the_alias_serves_the_previous_version_again_as_a_new_move(world: World) -> None:
    parent, child = world.released_pair()
    move = back(world, parent.model)
    assert (move.number, move.kind, move.version, str(move.reason)) == (3, "rolled-back", parent, "It answers worse.")
    assert queries.incumbent(parent.model, "production") == move
    assert [m.version for m in queries.alias_history(parent.model, "production")] == [parent, child, parent]
    assert json.loads(bytes(Entry.objects.order_by("-position")[0].entry))["event"]["kind"] == "alias.rolled_back"


def test_what_was_left_by_rolling_back_is_not_gone_back_to_by_itself(world: World) -> None:
    parent, child, grandchild = three(world)
    assert back(world, parent.model).version == child
    assert back(world, parent.model).version == parent
    with pytest.raises(Conflict, match="served no other version before"):
        back(world, parent.model)
    assert back(world, parent.model, to_version=grandchild).version == grandchild


def test_a_version_may_be_named(world: World) -> None:
    parent, _, _ = three(world)
    assert back(world, parent.model, to_version=parent).version == parent


def test_a_version_that_was_never_approved_is_refused_with_reasons_and_another_is_offered(world: World) -> None:
    parent, child = world.released_pair()
    never = world.parent_version(parent.model, seed=7)
    with pytest.raises(Blocked) as caught:
        back(world, parent.model, to_version=never)
    reasons = " ".join(caught.value.members["reasons"])
    assert "never served" in reasons
    assert "has no approval for 'production'" in reasons
    assert caught.value.members["offered"] == str(parent)
    assert queries.incumbent(parent.model, "production").version == child


def test_bytes_that_changed_are_refused_and_the_next_version_is_offered(world: World) -> None:
    parent, child, grandchild = three(world)
    change_bytes(child)
    with pytest.raises(BytesDiffer) as caught:
        back(world, parent.model)
    assert caught.value.members["offered"] == str(parent)
    assert "roll back to" in caught.value.hint
    assert queries.incumbent(parent.model, "production").version == grandchild


def test_where_nothing_would_do_it_says_so(world: World) -> None:
    parent, _ = world.released_pair()
    change_bytes(parent)
    with pytest.raises(BytesDiffer) as caught:
        back(world, parent.model)
    assert caught.value.members["offered"] is None
    assert "suspend" in caught.value.hint


def test_a_revoked_approval_carries_nobody_back(world: World) -> None:
    parent, _ = world.released_pair()
    services.revoke_approval(actor=world.cast.omar, approval=approval_of(parent), reason="A fault.")
    with pytest.raises(Blocked, match="is revoked"):
        back(world, parent.model)


def test_evidence_that_changed_since_the_approval_forbids_the_way_back(world: World) -> None:
    parent, _ = world.released_pair()
    world.evidence(parent, "size", [figure("size_bytes", "1", "byte")])
    with pytest.raises(Blocked, match=r"is stale\. The evidence"):
        back(world, parent.model)


def test_somebodys_word_added_later_does_not_bar_the_way_back(world: World) -> None:
    parent, _ = world.released_pair()
    world.evidence(parent, "size", [figure("size_bytes", "1", "byte")], source="declared")
    assert queries.approval_status(approval_of(parent)) == "stale"
    assert back(world, parent.model).version == parent


def test_a_policy_that_changed_since_judges_the_target_today(world: World) -> None:
    parent, child = world.released_pair()
    world.policy(change=lambda d: d.update(approval_valid_days=90))
    assert queries.approval_status(approval_of(parent)) == "stale"
    assert back(world, parent.model).version == parent

    def stricter(document: dict) -> None:
        document["rules"].append(
            {
                "id": "watched",
                "about": "Live behaviour can be compared.",
                "check": "evidence_present",
                "applies_to": "any",
                "waivable": False,
                "kind": "distribution",
                "source": "measured",
                "max_age_days": None,
            }
        )

    world.policy(change=stricter)
    back(world, parent.model, to_version=child)
    with pytest.raises(Blocked, match="watched: There is no measured evidence"):
        back(world, parent.model, to_version=parent)


def test_more_grants_asked_for_today_forbid_the_way_back(world: World) -> None:
    parent, _ = world.released_pair()
    world.policy(change=lambda d: d.update(approvals_required=2))
    with pytest.raises(Blocked, match="asks for 2 grants"):
        back(world, parent.model)


def test_a_roll_back_needs_the_role_a_reason_and_an_alias(world: World) -> None:
    parent, child = world.released_pair()
    with pytest.raises(Forbidden):
        back(world, parent.model, actor=world.cast.ada)
    with pytest.raises(Invalid, match="reason is empty"):
        back(world, parent.model, reason="")
    with pytest.raises(NotFound):
        back(world, parent.model, alias="staging")
    with pytest.raises(Conflict, match=r"serves .* now"):
        back(world, parent.model, to_version=child)


def test_what_happened_between_check_and_move_is_seen(world: World) -> None:
    parent, _ = world.released_pair()
    checked = services.check_rollback(actor=world.cast.otto, model=parent.model, alias="production")
    services.revoke_approval(actor=world.cast.omar, approval=approval_of(parent), reason="A fault.")
    with pytest.raises(Blocked, match="is revoked"):
        back(world, parent.model, checked=checked)


def test_a_gate_that_closes_between_check_and_move_is_seen(world: World) -> None:
    parent = world.parent_version(training_data="incomplete")
    waiver = world.waiver(parent)
    world.promoted(parent)
    child = world.child_version(parent)
    world.waiver(child)
    world.promoted(child)
    checked = services.check_rollback(actor=world.cast.otto, model=parent.model, alias="production")
    services.end_waiver(actor=world.cast.carla, waiver=waiver, reason="It was wrong.")
    with pytest.raises(Blocked, match="training-data"):
        back(world, parent.model, checked=checked)
    assert queries.incumbent(parent.model, "production").version == child


@pytest.mark.db_guarantee
@pytest.mark.usefixtures("committed_db")
def test_moves_at_the_same_time_come_one_after_the_other() -> None:
    """Six people move the alias at once: every move that succeeds has a number of its own, without a gap."""
    world = World(Cast.assemble())
    parent, child, _ = three(world)
    answers: list[str] = []

    def move(number: int) -> None:
        try:
            if number % 2:
                back(world, parent.model, to_version=parent if number % 3 else child)
            else:
                services.suspend(actor=world.cast.otto, model=parent.model, alias="production", reason="At once.")
            answers.append("moved")
        except Problem as error:
            answers.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=move, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = sorted(AliasAssignment.objects.values_list("number", flat=True))
    assert numbers == list(range(1, 4 + answers.count("moved")))
    assert answers.count("moved") >= 1
    assert len(answers) == 6


def test_a_suspended_alias_serves_nothing_until_it_is_rolled_back_or_promoted(world: World) -> None:
    parent, _ = world.released_pair()
    name = f"{parent.model}@production"
    with pytest.raises(Forbidden):
        services.suspend(actor=world.cast.ada, model=parent.model, alias="production", reason="r")
    services.suspend(actor=world.cast.otto, model=parent.model, alias="production", reason="Harm was reported.")
    assert queries.incumbent(parent.model, "production") is None
    with pytest.raises(Conflict, match="suspended"):
        queries.resolve(world.cast.omar, name)
    with pytest.raises(Conflict, match="suspended already"):
        services.suspend(actor=world.cast.otto, model=parent.model, alias="production", reason="again")
    assert back(world, parent.model).version == parent
    assert queries.resolve(world.cast.omar, name) == parent


def test_over_http_an_alias_is_rolled_back_with_a_receipt(world: World) -> None:
    parent, _ = world.released_pair()
    path = f"/api/v1/teams/search/models/{parent.model.slug}/aliases/production"
    otto = api("otto")
    moved = otto.post(f"{path}/roll-back", {"reason": "It answers worse."}, format="json")
    assert (moved.status_code, moved.json()["version"]) == (201, str(parent)), moved.content
    assert moved["Pressmark-Receipt"]
    stopped = otto.post(f"{path}/suspend", {"reason": "Harm was reported."}, format="json")
    assert (stopped.status_code, stopped.json()["version"]) == (201, None)


def test_over_http_a_refused_roll_back_says_every_reason_and_what_would_do(world: World) -> None:
    parent, child, grandchild = three(world)
    change_bytes(child)
    path = f"/api/v1/teams/search/models/{parent.model.slug}/aliases/production/roll-back"
    answer = api("otto").post(path, {"reason": "r"}, format="json")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:pressmark:problem:bytes-differ")
    assert answer.json()["offered"] == str(parent)
    unapproved = world.parent_version(parent.model, seed=8)
    answer = api("otto").post(path, {"reason": "r", "to_version": unapproved.number}, format="json")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:pressmark:problem:rollback-refused")
    assert queries.incumbent(parent.model, "production").version == grandchild


def test_what_was_corrected_after_the_grant_is_no_way_back_until_it_is_granted_anew(world: World) -> None:
    """Its builder may correct a version alone, so the old approval says nothing about what is stated now."""
    parent, child = world.released_pair()
    correct_version(actor=world.cast.carla, version=parent, licence=world.licence("MIT"), reason="It is under MIT.")
    with pytest.raises(Blocked, match="corrected after the approval was granted"):
        back(world, parent.model)
    assert queries.served(parent.model, "production") == child
    drill = services.drill_rollback(actor=world.cast.otto, model=parent.model, alias="production")
    assert (drill.eligible, "was corrected" in drill.reasons[0]) == (False, True)
    services.revoke_approval(actor=world.cast.omar, approval=approval_of(parent), reason="Look again.")
    world.granted(parent)
    assert back(world, parent.model).version == parent

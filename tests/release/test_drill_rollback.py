"""A drill goes through a roll-back, says whether it would go and how long it takes, and moves nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from audit.models import Entry
from registry.errors import Conflict, Forbidden, NotFound
from registry.monitoring import queries as monitoring
from registry.oversight.subjects import of_version
from registry.release import queries, services
from registry.release.models import AliasAssignment, Approval
from registry.release.serving_models import Drill
from tests.release.test_promote import change_bytes
from tests.release.test_start_recall import recall
from tests.world import World


def drilled(world: World, model: Any, **changes: Any) -> Drill:
    given = {"actor": world.cast.otto, "model": model, "alias": "production"}
    return services.drill_rollback(**{**given, **changes})


def test_it_names_the_version_with_its_times_and_moves_nothing(world: World) -> None:
    parent, _ = world.released_pair()
    before = list(AliasAssignment.objects.values_list("pk", flat=True))
    row = drilled(world, parent.model)
    assert (row.version, row.eligible, row.reasons, row.size_bytes) == (parent, True, [], parent.size_bytes)
    assert 0 < row.decision_milliseconds < 5_000
    assert row.bytes_milliseconds > 0
    assert list(AliasAssignment.objects.values_list("pk", flat=True)) == before
    event = json.loads(bytes(Entry.objects.order_by("-position")[0].entry))["event"]
    assert event["kind"] == "alias.drilled"


def test_it_says_every_reason_why_it_would_not_go(world: World) -> None:
    parent, _ = world.released_pair()
    services.revoke_approval(
        actor=world.cast.omar, approval=Approval.objects.get(version=parent), reason="A fault."
    )  # fmt: skip
    change_bytes(parent)
    recall(world, of_version(parent))
    row = drilled(world, parent.model)
    told = " ".join(row.reasons)
    assert (row.version, row.eligible) == (parent, False)
    assert "is revoked" in told
    assert "in quarantine because of a recall" in told
    assert "now have digest" in told
    assert queries.incumbent(parent.model, "production") is not None


def test_where_there_is_nowhere_to_go_that_is_what_it_finds(world: World) -> None:
    parent = world.parent_version()
    world.promoted(parent)
    row = drilled(world, parent.model)
    assert (row.version, row.eligible) == (None, False)
    assert "served no other version before" in row.reasons[0]


def test_of_a_suspended_alias_it_leaves_out_what_was_suspended_unless_that_is_named(world: World) -> None:
    parent, child = world.released_pair()
    services.suspend(actor=world.cast.otto, model=parent.model, alias="production", reason="It answers nonsense.")
    assert (drilled(world, parent.model).version, drilled(world, parent.model).eligible) == (parent, True)
    again = drilled(world, parent.model, to_version=child)
    assert (again.version, again.eligible) == (child, True)


def test_a_suspended_alias_that_served_one_version_says_how_to_serve_it_again(world: World) -> None:
    only = world.parent_version()
    world.promoted(only)
    services.suspend(actor=world.cast.otto, model=only.model, alias="production", reason="A false alarm.")
    given = {"actor": world.cast.otto, "model": only.model, "alias": "production", "reason": "It was none."}
    with pytest.raises(Conflict) as refused:
        services.roll_back(**given)
    assert f"Name version {only.number} to serve that again" in refused.value.hint
    assert services.roll_back(**given, to_version=only).version == only


def test_who_may_drill(world: World) -> None:
    parent, _ = world.released_pair()
    for who in ("ada", "carla", "eve"):
        with pytest.raises(Forbidden):
            drilled(world, parent.model, actor=getattr(world.cast, who))
    with pytest.raises(NotFound):
        drilled(world, parent.model, alias="staging")


def test_windows_are_judged_by_the_baseline_of_what_is_served_again_at_once(world: World) -> None:
    parent = world.parent_version()
    world.measure(parent, parent)
    first = world.promoted(parent)
    child = world.child_version(parent)
    second = world.promoted(child)
    monitor = world.monitor(parent)
    assert monitoring.baseline_in_force(monitor) == monitoring.baseline_for(second)
    services.roll_back(actor=world.cast.otto, model=parent.model, alias="production", reason="It answers worse.")
    restored = monitoring.baseline_in_force(monitor)
    assert restored is not None
    assert (restored, restored.version) == (monitoring.baseline_for(first), parent)
    window = world.window(monitor)
    assert (window.version, window.baseline, window.state) == (parent, restored, "healthy")

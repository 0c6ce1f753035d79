"""Nothing that an emergency or a recall leaves open bars the way out of it; a next release still waits for it."""

from __future__ import annotations

from typing import Any

import pytest

from registry.errors import Blocked, Conflict
from registry.oversight import services as oversight
from registry.oversight.models import Finding
from registry.oversight.services_proofs import sign_review
from registry.oversight.subjects import of_version
from registry.release import services
from registry.release.models import MoveKind
from tests.world import World

RULE = {
    "id": "emergencies-reviewed", "about": "Emergencies are reviewed.", "check": "open_findings", "applies_to": "any",
    "waivable": True, "kinds": ["broken-glass", "recalled"],
}  # fmt: skip


@pytest.fixture
def _asks_for_reviews(world: World) -> None:
    world.policy(change=lambda document: document["rules"].append(RULE))


def back(world: World, model: Any, alias: str = "production") -> Any:
    return services.roll_back(actor=world.cast.otto, model=model, alias=alias, reason="It is over.")


def broken(world: World, version: Any, alias: str = "production") -> Any:
    return services.break_glass(actor=world.cast.otto, version=version, alias=alias, reason="Customers are down.")


@pytest.mark.usefixtures("_asks_for_reviews")
def test_after_an_emergency_the_alias_goes_back_while_the_next_release_waits_for_its_review(world: World) -> None:
    parent = world.parent_version()
    world.promoted(parent)
    hotfix = world.child_version(parent)
    broken(world, hotfix)
    assert services.drill_rollback(actor=world.cast.otto, model=parent.model, alias="production").reasons == []
    with pytest.raises(Blocked, match="broken-glass"):
        world.approval(hotfix)
    move = back(world, parent.model)
    assert (move.kind, move.version) == (MoveKind.ROLLED_BACK, parent)


@pytest.mark.usefixtures("_asks_for_reviews")
def test_the_emergency_of_another_alias_still_counts(world: World) -> None:
    parent, child = world.released_pair()
    broken(world, child, "staging")
    with pytest.raises(Blocked, match="broken-glass"):
        back(world, parent.model)


@pytest.mark.usefixtures("_asks_for_reviews")
def test_under_a_recall_and_after_it_the_alias_goes_back_from_what_was_recalled(world: World) -> None:
    parent, child = world.released_pair()
    recall = services.start_recall(actor=world.cast.carla, subject=of_version(child), reason="Its figures are wrong.")
    assert services.drill_rollback(actor=world.cast.otto, model=parent.model, alias="production").reasons == []
    services.end_recall(actor=world.cast.carla, recall=recall, reason="They were right.")
    assert services.drill_rollback(actor=world.cast.otto, model=parent.model, alias="production").reasons == []
    assert back(world, parent.model).version == parent


def test_the_finding_about_an_emergency_is_closed_once_somebody_else_has_reviewed_it(world: World) -> None:
    parent = world.parent_version()
    world.promoted(parent)
    hotfix = world.child_version(parent)
    review: dict[str, Any] = {
        "subject": of_version(hotfix),
        "kind": "other",
        "accepted": True,
        "statement": "Read what differs.",
    }
    sign_review(actor=world.cast.omar, **review)
    broken(world, hotfix)
    finding = Finding.objects.get(kind="broken-glass")
    with pytest.raises(Conflict, match="Nobody has signed a review") as caught:
        oversight.close_finding(actor=world.cast.carla, finding=finding, closure="Looked at.")
    assert "signs one first" in caught.value.hint
    sign_review(actor=world.cast.omar, **review)
    assert oversight.close_finding(actor=world.cast.carla, finding=finding, closure="Looked at.").state == "closed"

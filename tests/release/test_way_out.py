"""Nothing that an emergency or a recall leaves open bars the way out of it; a next release still waits for it."""

from __future__ import annotations

from typing import Any

import pytest

from audit.verification.replay import compare
from registry import storage
from registry.catalog.edges import EdgeSpec
from registry.catalog.models import ModelVersion
from registry.errors import Blocked, BytesDiffer, Conflict
from registry.oversight import services as oversight
from registry.oversight.models import Finding
from registry.oversight.services_proofs import sign_review
from registry.oversight.subjects import of_dataset_version, of_version
from registry.release import services
from registry.release.models import Approval, MoveKind
from registry.release.quarantines import quarantined
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


def reasons_of(world: World, model: Any) -> list[str]:
    with pytest.raises((Blocked, BytesDiffer)) as refused:
        back(world, model)
    found: list[str] = refused.value.members["reasons"]
    return found


def test_bytes_that_are_gone_or_purged_and_a_policy_out_of_force_each_forbid_the_way_back_in_words(
    world: World,
) -> None:
    parent, child = world.released_pair()
    weights = storage.path_of(parent.artifacts.get(role="weights").digest)
    kept = weights.read_bytes()
    weights.unlink()
    assert "missing" in " ".join(reasons_of(world, parent.model))
    weights.write_bytes(kept)
    services.end_policy(actor=world.officer(), policy=world.policy())
    assert reasons_of(world, parent.model) == ["No policy is in force for releases of tier limited to 'production'."]
    world.policy(change=lambda document: document.update(title="Again"))
    world.promoted(world.parent_version(parent.model, seed=77))
    approval = Approval.objects.get(version=parent)
    services.revoke_approval(actor=world.cast.omar, approval=approval, reason="Nobody goes back to it.")
    world.purged(parent)
    with pytest.raises(BytesDiffer) as refused:
        services.roll_back(actor=world.cast.otto, model=parent.model, alias="production", reason="r", to_version=parent)
    assert refused.value.members["reasons"].count(f"The bytes of {parent} were purged.") == 1
    assert refused.value.members["offered"] is None, f"{child} asks for a parent that one could go back to"


def test_what_is_purged_while_it_is_recalled_stays_purged_when_the_recall_ends(world: World) -> None:
    parent, child = world.released_pair()
    officer = world.officer()
    row = services.start_recall(actor=officer, subject=of_version(child), reason="Its rows were stolen.")
    services.suspend(actor=world.cast.otto, model=parent.model, alias="production", reason="Recalled.")
    world.purged(child)
    services.end_recall(actor=officer, recall=row, reason="They were not.")
    assert not child.quarantines.filter(ended_at=None).exists()
    with pytest.raises(Conflict, match="purged"):
        broken(world, ModelVersion.objects.get(pk=child.pk))


def test_of_two_recalls_of_one_version_each_ends_for_itself(world: World) -> None:
    data = world.dataset_version(uses=["training"])
    made = EdgeSpec("data", (), "declared", dataset_version=data)
    version = world.version(world.governed_model(), seed=31, training_data="complete", edges=[made])
    officer = world.officer()
    of_data = services.start_recall(actor=officer, subject=of_dataset_version(data), reason="Taken back.")
    of_itself = services.start_recall(actor=officer, subject=of_version(version), reason="It leaks.")
    held = version.quarantines.get(recall=of_data)
    services.request_quarantine_release(actor=world.cast.ada, quarantine=held, reason="Allowed until March.")
    services.grant_quarantine_release(actor=world.cast.omar, quarantine=held, reason="Seen.")
    assert quarantined(version) == [of_itself]
    services.end_recall(actor=officer, recall=of_data, reason="Given again.")
    assert quarantined(version) == [of_itself]
    services.end_recall(actor=officer, recall=of_itself, reason="It does not.")
    assert quarantined(version) == []
    assert compare() == []

"""Legal holds: who places and ends them, what they name, and that nothing they name is erased."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from audit import erasure
from registry.access.models import Text
from registry.errors import Conflict, Forbidden, Invalid
from registry.events import current_unit
from registry.oversight.models import Hold
from registry.oversight.queries_proofs import open_holds
from registry.oversight.services_proofs import end_hold, place_hold
from registry.oversight.subjects import of_dataset, of_dataset_version, of_model, of_use_case, of_version
from tests.failing import keeps_nothing_without_ledger
from tests.provenance.http import client_for, problem
from tests.world import World


def test_a_hold_on_the_whole_holds_each_state_and_one_on_a_state_holds_that_alone(world: World) -> None:
    first, second = (world.dataset_version(dataset=world.dataset("held")) for _ in range(2))
    on_first = place_hold(actor=world.cast.carla, subject=of_dataset_version(first), reason="A dispute.")
    assert open_holds(of_dataset_version(first)) == [on_first]
    assert open_holds(of_dataset_version(second)) == []
    whole = place_hold(actor=world.cast.carla, subject=of_dataset(first.dataset), reason="A court asked.")
    assert open_holds(of_dataset_version(second)) == [whole]
    end_hold(actor=world.cast.carla, hold=whole, reason="Settled.")
    assert open_holds(of_dataset_version(second)) == []


def test_models_and_versions_are_held_too_use_cases_are_not(world: World) -> None:
    version = world.version()
    for subject in (of_version(version), of_model(version.model)):
        assert place_hold(actor=world.cast.carla, subject=subject, reason="A dispute.").stream == subject.stream
    with pytest.raises(Invalid, match="about no use case"):
        place_hold(actor=world.cast.carla, subject=of_use_case(world.use_case()), reason="A dispute.")


@pytest.mark.parametrize("name", ["ada", "omar", "otto", "eve", "root"])
def test_only_officers_place_and_end_holds(world: World, name: str) -> None:
    subject = of_model(world.model())
    with pytest.raises(Forbidden, match=r"hold\.place"):
        place_hold(actor=getattr(world.cast, name), subject=subject, reason="I say so.")
    hold = place_hold(actor=world.cast.carla, subject=subject, reason="A dispute.")
    with pytest.raises(Forbidden, match=r"hold\.end"):
        end_hold(actor=getattr(world.cast, name), hold=hold, reason="I say so.")


def test_a_hold_ends_once_and_needs_reasons(world: World) -> None:
    subject = of_model(world.model())
    with pytest.raises(Invalid, match="reason is empty"):
        place_hold(actor=world.cast.carla, subject=subject, reason=" ")
    hold = place_hold(actor=world.cast.carla, subject=subject, reason="A dispute.")
    with pytest.raises(Invalid, match="reason is empty"):
        end_hold(actor=world.cast.carla, hold=hold, reason="")
    ended = end_hold(actor=world.cast.carla, hold=hold, reason="Settled.")
    assert (ended.ended_by, str(ended.ended_reason)) == (world.cast.people["carla"], "Settled.")
    with pytest.raises(Conflict, match="already"):
        end_hold(actor=world.cast.carla, hold=hold, reason="Again.")


def test_without_a_ledger_nothing_is_held_or_let_go(world: World) -> None:
    subject = of_model(world.model())
    keeps_nothing_without_ledger(lambda: place_hold(actor=world.cast.carla, subject=subject, reason="A dispute."), Hold)
    hold = place_hold(actor=world.cast.carla, subject=subject, reason="A dispute.")
    keeps_nothing_without_ledger(lambda: end_hold(actor=world.cast.carla, hold=hold, reason="Settled."), Hold)


def test_what_was_typed_about_something_held_is_not_erased_until_the_hold_ends(world: World) -> None:
    version = world.dataset_version(slug="spoken", origin="Told by Erika Mustermann.")
    officer = world.officer()
    hold = place_hold(actor=officer, subject=of_dataset(version.dataset), reason="A dispute.")
    with pytest.raises(Conflict, match="hold") as refused:
        erasure.erase(actor=officer, texts=[version.origin], reason="Asked to be forgotten.")
    assert refused.value.code == "held"
    assert Text.objects.get(pk=version.origin_id).value == "Told by Erika Mustermann."
    end_hold(actor=officer, hold=hold, reason="Settled.")
    assert erasure.erase(actor=officer, texts=[version.origin], reason="Asked to be forgotten.").count == 1


def test_a_hold_on_a_model_keeps_what_was_said_about_its_monitors_and_is_asked_under_the_lock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, _ = world.story()
    resolution = parent.model.monitors.get().incidents.get().resolution
    assert resolution is not None
    hold = place_hold(actor=world.cast.carla, subject=of_model(parent.model), reason="A court asked for it.")
    with pytest.raises(Conflict, match="A legal hold stands"):
        erasure.erase(actor=world.cast.root, texts=[resolution], reason="Asked for.")
    end_hold(actor=world.cast.carla, hold=hold, reason="The case is closed.")
    asked = []

    def held(streams: Iterable[str]) -> list[str]:
        asked.append((set(streams), current_unit() is not None))
        return []

    monkeypatch.setattr(erasure, "held_streams", held)
    assert erasure.erase(actor=world.cast.root, texts=[resolution], reason="Asked for.").count == 1
    assert asked == [({f"model:{parent.model_id}"}, True)]


def test_over_http(world: World) -> None:
    world.dataset("held")
    carla = client_for(world.cast, "carla")
    made = carla.post("/api/v1/holds", {"about": "dataset:search/held", "reason": "A dispute."}, format="json")
    assert made.status_code == 201, made.content
    ended = carla.post(f"/api/v1/holds/{made.json()['id']}/end", {"reason": "Settled."}, format="json")
    assert (ended.status_code, ended.json()["ended_reason"]) == (200, "Settled.")
    assert carla.get("/api/v1/holds", {"about": "dataset:search/held"}).json()["items"] == [ended.json()]
    refused = client_for(world.cast, "ada").post(
        "/api/v1/holds", {"about": "dataset:search/held", "reason": "x"}, format="json"
    )
    problem(refused, 403, "forbidden")

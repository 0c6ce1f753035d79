"""Requesting a run: what is recorded, and everything that is refused at once because it could not succeed."""

from __future__ import annotations

import datetime

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone

from registry import storage
from registry.access.models import Role, Team
from registry.access.services import grant_membership
from registry.catalog.models import RegisteredModel
from registry.compression import queries, services
from registry.compression.models import Recipe, Run
from registry.errors import BytesDiffer, Conflict, Forbidden, Invalid, NotFound
from tests.compression.situations import events_of
from tests.world import World


def test_a_run_is_queued_and_sealed_in_the_stream_of_the_model_that_will_receive_the_child(world: World) -> None:
    parent, target = world.version(), world.model()
    run = world.run(parent, model=target, seed=7)
    assert (run.state, run.kind, run.attempt, run.seed) == ("queued", "compression", 0, 7)
    told = events_of(run)
    assert [event["kind"] for event in told] == ["run.requested"]
    row = told[0]["records"][0]["row"]
    assert (row["model_id"], row["parent_id"]) == (str(target.pk), str(parent.pk))
    assert told[0]["actor"]["role"] == "engineer"


def test_data_registered_for_another_use_are_refused(world: World) -> None:
    with pytest.raises(Invalid, match="not registered for evaluation") as refused:
        world.run(evaluation=world.arrays_dataset(uses=("training",)))
    assert refused.value.code == "use-not-registered"
    with pytest.raises(Invalid, match="not registered for calibration"):
        world.run(calibration=world.arrays_dataset(seed=8, uses=("evaluation",)))
    assert not Run.objects.exists()


def test_a_child_is_not_judged_on_the_rows_it_was_made_with(world: World) -> None:
    rows = world.arrays_dataset(uses=("evaluation", "calibration"))
    with pytest.raises(Invalid, match="same data"):
        world.run(evaluation=rows, calibration=rows)


def test_declared_data_have_no_rows_to_run_on(world: World) -> None:
    declared = world.dataset_version(declared_digest="sha256:" + "ab" * 32)
    with pytest.raises(Invalid, match="not stored here"):
        world.run(evaluation=declared)


def test_data_whose_bytes_are_gone_are_refused(world: World) -> None:
    rows = world.arrays_dataset()
    storage.path_of(rows.digest).unlink()
    with pytest.raises(Invalid, match="not stored here"):
        world.run(evaluation=rows)


def test_a_parent_whose_bytes_are_gone_is_refused_by_file(world: World) -> None:
    parent = world.version()
    storage.path_of(parent.artifacts.get().digest).unlink()
    with pytest.raises(BytesDiffer, match=r"model\.onnx"):
        world.run(parent)


def test_a_recipe_that_does_not_fit_the_format_is_refused_by_step(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, recipe = (
        world.version(),
        world.recipe("dynamic", {"steps": [{"method": "quantize_dynamic", "parameters": []}]}),
    )
    monkeypatch.setattr(parent, "format", "safetensors")
    with pytest.raises(Invalid, match="Step 1, quantize_dynamic, takes onnx; the parent is safetensors") as refused:
        world.run(parent, recipe=recipe)
    assert refused.value.code == "recipe-does-not-fit"


def test_a_parent_that_nothing_runs_is_refused_with_the_way_that_is_open(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, recipe = world.version(), world.recipe()
    monkeypatch.setattr(parent, "format", "safetensors")
    with pytest.raises(Invalid, match="tensors without a graph") as refused:
        world.run(parent, recipe=recipe)
    assert refused.value.code == "recipe-does-not-fit"
    assert "--result" in refused.value.hint


def test_a_recipe_that_needs_calibration_data_is_refused_without(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from compression_engine.methods import METHODS

    monkeypatch.setitem(METHODS, "quantize_weights", replace(METHODS["quantize_weights"], needs_calibration=True))
    with pytest.raises(Invalid, match="needs calibration data"):
        world.run()
    assert world.run(calibration=world.arrays_dataset(seed=8, uses=("calibration",))).calibration is not None


def test_a_recipe_needs_calibration_data_only_where_its_rounding_looks_at_them(world: World) -> None:
    from compression_engine.recipe import Recipe as Steps
    from compression_engine.recipe import Step

    parameters = {"bits": 4, "granularity": "block"}
    recipes = {
        rounding: world.recipe(
            rounding, Steps(rounding, (Step("quantize_weights", parameters | {"rounding": rounding}),)).document()
        )
        for rounding in ("gptq", "mse")
    }
    with pytest.raises(Invalid, match="needs calibration data"):
        world.run(recipe=recipes["gptq"])
    assert world.run(recipe=recipes["mse"]).calibration is None


def test_a_model_of_several_weight_files_is_refused(world: World) -> None:
    files = {("a.onnx", "weights"): world.tiny_onnx(1), ("b.onnx", "weights"): world.tiny_onnx(2)}
    with pytest.raises(Invalid, match="2 files of weights"):
        world.run(world.version(files=files))


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_out_of_range_is_refused(world: World, seed: int) -> None:
    with pytest.raises(Invalid, match="seed"):
        world.run(seed=seed)


def test_a_model_that_has_ended_receives_nothing(world: World) -> None:
    parent = world.version()
    RegisteredModel.objects.filter(pk=parent.model_id).update(ended_at=timezone.now())
    with pytest.raises(Conflict, match="has ended"):
        world.run(parent)


@pytest.mark.parametrize("who", ["omar", "carla", "otto", "eve"])
def test_only_engineers_request_runs(world: World, who: str) -> None:
    with pytest.raises(Forbidden):
        world.run(actor=getattr(world.cast, who))


def test_what_the_caller_may_not_read_is_not_found(world: World, outsider_team: Team) -> None:
    """eve is an engineer elsewhere: she cannot derive from a parent, recipe or dataset of the team search."""
    eve = world.cast.people["eve"]
    grant_membership(actor=world.cast.root, person=eve, role=Role.ENGINEER, team=outsider_team)
    mine = world.model(actor=world.cast.eve, owner=eve, team=outsider_team)
    with pytest.raises(NotFound):
        world.run(world.version(), model=mine, actor=world.cast.eve)
    assert not Run.objects.exists()


def test_a_run_is_read_by_the_team_only(world: World) -> None:
    run = world.run()
    assert queries.get_run(world.cast.otto, run.pk).pk == run.pk
    assert [row.pk for row in queries.runs_of_model(world.cast.carla, run.model)] == [run.pk]
    with pytest.raises(NotFound):
        queries.get_run(world.cast.eve, run.pk)
    assert list(queries.runs_of_model(world.cast.eve, run.model)) == []


def test_an_evaluation_is_requested_for_a_version_as_it_is(world: World) -> None:
    version = world.version()
    run = services.request_evaluation(actor=world.cast.ada, version=version, evaluation=world.arrays_dataset())
    assert (run.kind, run.recipe, run.model_id, run.parent_id) == ("evaluation", None, version.model_id, version.pk)
    with pytest.raises(Forbidden):
        services.request_evaluation(actor=world.cast.omar, version=version, evaluation=run.evaluation)


@pytest.mark.db_guarantee
def test_the_database_knows_that_a_compression_has_a_recipe(world: World) -> None:
    run = world.run()
    with pytest.raises(IntegrityError), transaction.atomic():
        Run.objects.create(
            model=run.model, parent=run.parent, kind="compression", recipe=None, evaluation=run.evaluation,
            state="queued", requested_by_id=world.cast.ada.actor_id, requested_at=timezone.now(),
        )  # fmt: skip


@pytest.mark.db_guarantee
def test_who_asked_for_a_run_never_changes_and_an_end_is_set_once(world: World) -> None:
    run = world.run()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Run.objects.filter(pk=run.pk).update(requested_by=world.cast.people["eve"])
    Run.objects.filter(pk=run.pk).update(finished_at=timezone.now())
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Run.objects.filter(pk=run.pk).update(finished_at=timezone.now() + datetime.timedelta(days=1))


def test_a_recipe_of_another_team_is_not_used(world: World, outsider_team: Team) -> None:
    grant_membership(actor=world.cast.root, person=world.cast.people["eve"], role=Role.ENGINEER, team=outsider_team)
    foreign: Recipe = world.recipe(team=outsider_team, actor=world.cast.eve)
    with pytest.raises(NotFound):
        world.run(recipe=foreign)


def test_baseline_data_must_be_registered_for_that_use(world: World) -> None:
    with pytest.raises(Invalid, match="baseline"):
        world.run(baseline=world.arrays_dataset(seed=3))
    assert not Run.objects.exists()

"""Runs that train: what they are handed, what is refused, the edges of what they make, an attempt that goes on where one ended."""

from __future__ import annotations

import uuid
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from registry.access.models import Role, Team
from registry.access.services import grant_membership
from registry.catalog import queries as catalog
from registry.catalog.models import Edge
from registry.compression import execution, queries, services_replays
from registry.compression.heartbeat import Heartbeat
from registry.compression.job import Job
from registry.compression.models import Recipe, Run
from registry.compression.training import TrainingAsked
from registry.compression.work import Work
from registry.errors import Forbidden, Invalid
from registry.events import Caller
from registry.provenance.models import DatasetVersion
from tests.compression.situations import lapse
from tests.world import World

pytestmark = pytest.mark.usefixtures("committed_db")


def step(method: str, **parameters: Any) -> dict[str, Any]:
    return {"method": method, "parameters": [{"name": name, "value": value} for name, value in parameters.items()]}


FINE_TUNE, QUANTIZE = step("fine_tune", epochs=2, loss="teacher"), step("quantize_weights")


def recipe(world: World, *steps: dict[str, Any]) -> Recipe:
    return world.recipe(world.fresh_slug("trained"), {"seed": 3, "steps": list(steps or (FINE_TUNE, QUANTIZE))})


def rows(world: World) -> DatasetVersion:
    return world.arrays_dataset(rows=96, seed=11, uses=("training",))


def taught(world: World, **budget: str) -> TrainingAsked:
    teacher = world.version(files={("model.onnx", "weights"): world.tiny_onnx(seed=5)})
    return TrainingAsked(rows(world), teacher, **budget)


def test_a_child_that_was_trained_names_its_rows_its_teacher_and_what_was_done_and_a_replay_re_derives_it(
    world: World,
) -> None:
    parent = world.version()
    asked = taught(world)
    assert asked.teacher is not None
    run = world.executed(world.run(parent, recipe=recipe(world), training=asked))
    assert run.state == "succeeded", queries.run_log(run)
    assert run.child is not None
    edges = {edge.role: edge for edge in Edge.objects.filter(child=run.child)}
    assert set(edges) == {"base", "teacher", "data"}
    assert edges["base"].parent_id == parent.pk
    assert list(edges["base"].operations) == ["fine-tuned", "quantized"]
    assert (edges["teacher"].parent_id, list(edges["teacher"].operations)) == (asked.teacher.pk, ["distilled"])
    assert edges["data"].dataset_version == asked.training
    assert {edge.grade for edge in edges.values()} == {"executed"}
    told = [row for row in queries.evidence_of_run(run) if row.kind == "step"]
    assert len(told) == 2
    subjects = {(row["role"], row["digest"]) for row in catalog.evidence_body(told[0])["subjects"]}
    assert {("version", run.child.digest), ("parent", parent.digest)} <= subjects
    assert not (Path(settings.PRESSMARK_RUNS) / f"resume-{run.pk}").exists()
    again = world.executed(services_replays.request_replay(actor=world.cast.ada, version=run.child))
    assert again.state == "succeeded", queries.run_log(again)
    result = queries.result_of(again)
    assert result is not None
    assert result.document["outcome"] == "bit-exact"
    assert {edge.grade for edge in Edge.objects.filter(child=run.child)} == {"re-derived"}


def test_an_attempt_goes_on_where_a_lost_one_ended_and_comes_to_the_same_child(world: World) -> None:
    run = world.run(recipe=recipe(world), training=taught(world))
    token = uuid.uuid4()
    lost = execution.claim(run.pk, token)
    assert lost is not None
    job = Job(lost)
    with Heartbeat(partial(execution.renew, run.pk, token), lease_seconds=60, limit_seconds=600) as heartbeat:
        made = Work(lost, job, heartbeat).carry_out()
    job.remove()  # everything of the attempt is gone, and nothing of it was written down
    resume = Path(settings.PRESSMARK_RUNS) / f"resume-{run.pk}"
    assert any(resume.rglob("*"))
    lapse(run)
    ended = world.executed(run)
    assert (ended.state, ended.attempt) == ("succeeded", 2), queries.run_log(ended)
    assert ended.child is not None
    assert ended.child.artifacts.get(role="weights").digest == made.result.output["digest"]
    assert '"stage": "resume"' in queries.run_log(ended)
    assert not resume.exists()


def test_a_step_that_breaks_the_budget_ends_the_run_at_the_one_before_and_the_child_says_what_was_done(
    world: World,
) -> None:
    broken = step("prune_unstructured", sparsity_per_mille=980, min_elements=1, scope="layer")
    order = recipe(world, step("convert_fp16"), broken, FINE_TUNE)
    run = world.executed(world.run(recipe=order, training=taught(world, at_least="0.98")))
    assert run.state == "succeeded", queries.run_log(run)
    result = queries.result_of(run)
    assert result is not None
    ended = result.document["budget"]["ended"]
    assert (ended["step"], ended["undone"]) == (3, ["prune_unstructured"])  # the two are held to it together
    edges = Edge.objects.filter(child=run.child)
    assert [(edge.role, list(edge.operations)) for edge in edges] == [
        ("base", ["converted"])
    ]  # nothing learned from rows


def test_a_step_that_trained_and_changed_nothing_is_no_operation_of_the_child(world: World) -> None:
    """Nothing answers more like the parent than the parent."""
    run = world.executed(world.run(recipe=recipe(world), training=TrainingAsked(rows(world))))
    assert run.state == "succeeded", queries.run_log(run)
    result = queries.result_of(run)
    assert result is not None
    assert [bool(one["changed"]) for one in result.document["steps"]] == [False, True]
    assert list(Edge.objects.get(child=run.child, role="base").operations) == ["quantized"]


def test_a_recipe_of_before_that_the_engine_refuses_today_is_refused_with_its_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr("compression_engine.recipe.check_order", lambda steps: None)
        old = recipe(world, QUANTIZE, FINE_TUNE)
    with pytest.raises(Invalid, match=r"refuses this recipe\. Step 2: fine_tune stands behind") as refused:
        world.run(recipe=old, training=taught(world))
    assert refused.value.code == "recipe-order"
    assert "A right order: fine_tune, quantize_weights." in refused.value.hint
    assert not Run.objects.exists()


def test_what_a_recipe_needs_is_asked_for_and_what_it_does_not_use_is_refused(world: World) -> None:
    with pytest.raises(Invalid, match="'training' is not given") as refused:
        world.run(recipe=recipe(world))
    assert refused.value.code == "data-missing"
    with pytest.raises(Invalid, match="no step of the recipe trains") as refused:
        world.run(training=TrainingAsked(rows(world)))
    assert refused.value.code == "option-unused"
    with pytest.raises(Invalid, match="no step of the recipe begins as another model"):
        world.run(recipe=recipe(world), training=TrainingAsked(rows(world), student=world.version()))
    assert not Run.objects.exists()


def test_training_rows_are_registered_for_it_and_are_not_those_that_judge(world: World) -> None:
    with pytest.raises(Invalid, match="not registered for training"):
        world.run(recipe=recipe(world), training=TrainingAsked(world.arrays_dataset(seed=12)))
    both = world.arrays_dataset(seed=13, uses=("training", "evaluation"))
    with pytest.raises(Invalid, match="Training and evaluation are the same data"):
        world.run(recipe=recipe(world), training=TrainingAsked(both), evaluation=both)


@pytest.mark.parametrize("share", ["1", "0", "-0.5", "0,9", "NaN", "0.90", "most"])
def test_a_budget_is_a_share_between_nought_and_one(world: World, share: str) -> None:
    with pytest.raises(Invalid, match="'at_least' is"):
        world.run(training=TrainingAsked(at_least=share))


def test_a_teacher_whose_weights_may_not_be_downloaded_or_whose_terms_forbid_it_does_not_teach(
    world: World, outsider_team: Team
) -> None:
    mal = world.person("mal", Role.VIEWER)
    grant_membership(actor=world.cast.root, person=mal, role=Role.ENGINEER, team=outsider_team)
    caller = Caller(actor_id=mal.pk, via="cli")
    own = world.version(world.model("own", actor=caller, team=outsider_team, owner=mal), actor=caller)
    data = world.dataset_version(data=world.tiny_inputs(96, 11), uses=("training",))
    with pytest.raises(Forbidden, match=r"version\.download"):
        world.run(own, recipe=recipe(world), actor=caller, training=TrainingAsked(data, world.version()))
    closed = world.version(licence="LicenseRef-pressmark-llama-3-community")
    with pytest.raises(Invalid, match="forbid to use its outputs"):
        world.run(recipe=recipe(world), training=TrainingAsked(data, closed))

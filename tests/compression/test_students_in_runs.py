"""Runs whose child begins as another model: what is its base and what is not, whose terms bind it; a budget in points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from registry.catalog.models import Edge, ModelVersion
from registry.catalog.terms_along import terms_along
from registry.compression import queries, services, services_replays
from registry.compression.models import Recipe, Run
from registry.compression.training import TrainingAsked
from registry.desk.trained import trained
from registry.errors import Invalid
from registry.provenance.models import DatasetVersion
from tests.compression.test_train_in_runs import step
from tests.world import World
from tests.worlds.compression import QUICK

pytestmark = pytest.mark.usefixtures("committed_db")


def net(world: World, seed: int, licence: str = "Apache-2.0", hidden: int = 128) -> ModelVersion:
    return world.version(files={("model.onnx", "weights"): world.tiny_onnx(seed, hidden)}, licence=licence)


def declared(world: World) -> Recipe:
    steps = [step("distill", student="declared", epochs=3), step("quantize_weights")]
    return world.recipe(world.fresh_slug("declared"), {"seed": 3, "steps": steps})


def rows(world: World) -> DatasetVersion:
    return world.arrays_dataset(rows=96, seed=11, uses=("training",))


def edges(run: Run) -> dict[str, tuple[Any, list[str]]]:
    assert run.state == "succeeded", queries.run_log(run)
    found = Edge.objects.filter(child=run.child)
    assert {edge.grade for edge in found} == {"executed"}
    return {edge.role: (edge.parent_id or edge.dataset_version_id, list(edge.operations)) for edge in found}


def test_a_child_that_began_as_a_student_has_the_parent_that_taught_it_as_teacher_and_no_base(world: World) -> None:
    parent, student, learned = net(world, 1), net(world, 6, "MIT", hidden=32), rows(world)
    run = world.executed(world.run(parent, recipe=declared(world), training=TrainingAsked(learned, student=student)))
    assert edges(run) == {
        "student-start": (student.pk, ["distilled", "quantized"]),
        "teacher": (parent.pk, ["distilled"]),
        "data": (learned.pk, []),
    }
    assert run.child is not None
    assert run.child.licence.expression == "MIT"  # whose numbers it began as
    measured = next(row for row in queries.evidence_of_run(run) if row.kind == "fidelity")
    assert measured.parent == parent  # it is still what the child is compared with
    later = services.request_evaluation(
        actor=world.cast.ada, version=run.child, evaluation=world.arrays_dataset(seed=22), plan=QUICK
    )
    assert later.base == parent
    again = world.executed(services_replays.request_replay(actor=world.cast.ada, version=run.child))
    assert again.state == "succeeded", queries.run_log(again)
    assert {edge.grade for edge in Edge.objects.filter(child=run.child)} == {"re-derived"}


def test_a_parent_beside_another_teacher_stands_not_in_the_lineage_and_its_terms_bind_nothing(world: World) -> None:
    parent, teacher, student = net(world, 1, "CC-BY-NC-4.0"), net(world, 5), net(world, 6)
    asked = TrainingAsked(rows(world), teacher, student)
    run = world.executed(world.run(parent, recipe=declared(world), training=asked))
    assert {role: found[0] for role, found in edges(run).items() if role != "data"} == {
        "student-start": student.pk,
        "teacher": teacher.pk,
    }
    assert run.child is not None
    assert terms_along(run.child, None).answers["commercial_use"] == "allowed"


@pytest.mark.parametrize(("role", "answer"), [("teacher", "unknown"), ("student", "forbidden")])
def test_terms_of_the_teacher_and_of_the_student_reach_the_child(world: World, role: str, answer: str) -> None:
    """A student's numbers go on under its own terms; what terms say of a teacher's outputs, nobody has settled for this licence."""
    licences = {"teacher": "Apache-2.0", "student": "Apache-2.0"} | {role: "CC-BY-NC-4.0"}
    teacher, student = net(world, 5, licences["teacher"]), net(world, 6, licences["student"])
    run = world.executed(
        world.run(net(world, 1), recipe=declared(world), training=TrainingAsked(rows(world), teacher, student))
    )
    assert run.child is not None, queries.run_log(run)
    assert terms_along(run.child, None).answers["commercial_use"] == answer


def test_rows_that_the_student_was_made_with_do_not_judge_its_child(world: World) -> None:
    judged = world.arrays_dataset(seed=31, uses=("evaluation", "calibration"))
    student = world.derived_version(net(world, 6), data=[judged])
    with pytest.raises(Invalid) as refused:
        world.run(
            net(world, 1),
            recipe=declared(world),
            evaluation=judged,
            training=TrainingAsked(rows(world), student=student),
        )
    assert refused.value.code == "evaluation-seen"


def labelled(world: World, count: int, seed: int, use: str) -> DatasetVersion:
    """Rows whose label is what `tiny_onnx(seed=1)` answers first, in two groups."""
    x = np.random.default_rng(seed).standard_normal((count, 64)).astype(np.float32)
    random = np.random.default_rng(1)
    first = (random.standard_normal((64, 128)) / 8).astype(np.float32)
    second = (random.standard_normal((128, 64)) / 12).astype(np.float32)
    label = (np.maximum(x @ first, 0) @ second).argmax(axis=1).astype(np.int64)
    data = world.arrays(x=x, label=label, group=np.array(["red", "blue"])[np.arange(count) % 2])
    return world.dataset_version(data=data, uses=(use,))


def test_a_step_that_loses_more_points_than_allowed_ends_the_run_and_every_group_has_its_column(world: World) -> None:
    plan = {
        "type": "pressmark/evaluation_plan/1", "measures": ["size", "fidelity", "quality"], "task": "classification",
        "scores": "logits", "output": "y", "label": "label", "slices": ["group"],
    }  # fmt: skip
    steps = [
        step("convert_fp16"),
        step("prune_unstructured", sparsity_per_mille=970, min_elements=1, scope="layer"),
    ]
    recipe = world.recipe("too-much", {"seed": 3, "steps": steps})
    judged = labelled(world, 200, 21, "evaluation")
    asked = TrainingAsked(loses_at_most="0.05")
    run = world.executed(world.run(net(world, 1), recipe=recipe, evaluation=judged, plan=plan, training=asked))
    assert run.state == "succeeded", queries.run_log(run)
    result = queries.result_of(run)
    assert result is not None
    ended = result.document["budget"]["ended"]
    assert (ended["step"], ended["method"]) == (2, "prune_unstructured")
    assert list(Edge.objects.get(child=run.child, role="base").operations) == ["converted"]
    shown = trained(run, queries.Names(world.cast.ada))
    assert shown is not None
    assert shown.lines[0].worst.startswith("group ")

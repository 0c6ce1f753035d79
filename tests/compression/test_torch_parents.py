"""Runs whose parent is a model of torch: carried to ONNX by the real engine, said so in the lineage, and made again."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import safetensors.torch
import torch

from compression_engine.carrying import architectures
from compression_engine.errors import FileRefused
from registry import storage
from registry.catalog import queries as catalog
from registry.catalog.models import Edge, ModelVersion, RegisteredModel
from registry.compression import queries, services, services_replays, taken
from registry.compression.models import Run
from registry.compression.training import TrainingAsked
from registry.desk.metrics import KINDS
from registry.errors import Invalid
from tests.compression.test_train_in_runs import step
from tests.engine import nets
from tests.engine.test_carried_roles import drawn
from tests.engine.test_carrying import PERCEPTRON, Perceptron2, archive
from tests.world import World
from tests.worlds.compression import QUICK

pytestmark = pytest.mark.usefixtures("committed_db")


class Sorts(torch.nn.Module):
    """x [rows, 64] to its entries in order, by an operator that is not carried."""

    def forward(self, x: Any) -> Any:
        return torch.linalg.svdvals(x)


def exported(world: World, tmp_path: Path, module: torch.nn.Module) -> ModelVersion:
    path = archive(module, torch.zeros(3, 64), tmp_path / "torch" / "net.pt2")
    return world.version(files={("net.pt2", "weights"): path.read_bytes()})


def declared(
    world: World, document: dict[str, Any] = PERCEPTRON, *, model: RegisteredModel | None = None
) -> ModelVersion:
    tensors = drawn(document if document.get("output") else PERCEPTRON)
    name = "config.json" if "model_type" in document else "architecture.json"
    files = {("model.safetensors", "weights"): safetensors.torch.save(tensors)}
    return world.version(model, files=files | {(name, "configuration"): json.dumps(document).encode()})


def wide(width: int) -> dict[str, Any]:
    """A perceptron that takes and gives what `tiny_onnx` does."""
    return PERCEPTRON | {"widths": [64, width, 64], "output": "y"}


def onnx_of(world: World, tmp_path: Path, module: torch.nn.Module) -> ModelVersion:
    path = tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (torch.zeros(3, 64),), str(path), input_names=["x"], output_names=["output"],
            dynamic_axes={"x": {0: "n"}, "output": {0: "n"}}, dynamo=False,
        )  # fmt: skip
    return world.version(files={("model.onnx", "weights"): path.read_bytes()})


def paths(version: ModelVersion) -> list[str]:
    return list(version.artifacts.order_by("path").values_list("path", flat=True))


def operations(version: ModelVersion | None) -> list[str]:
    return list(Edge.objects.get(child=version, role="base").operations)


def test_the_child_of_an_archive_is_onnx_names_that_it_was_converted_and_is_made_again(
    world: World, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    parent = exported(world, tmp_path, Perceptron2())
    run = world.executed(world.run(parent))
    assert run.state == "succeeded", queries.run_log(run)
    assert run.child is not None
    assert (parent.format, run.child.format) == ("pt2", "onnx")
    assert operations(run.child) == ["converted", "quantized"]
    assert paths(run.child) == ["model.onnx"]
    told = next(row for row in queries.evidence_of_run(run) if row.kind == "carried")
    figures = {figure["metric"]: float(figure["value"]) for figure in catalog.evidence_body(told)["figures"]}
    assert figures["carried_cosine"] > 0.99999
    assert figures["carried_difference"] < 1e-3
    assert "carried" in KINDS
    again = world.executed(services_replays.request_replay(actor=world.cast.ada, version=run.child))
    assert again.state == "succeeded", queries.run_log(again)
    assert Edge.objects.get(child=run.child, role="base").grade == "re-derived"


def test_tensors_with_a_declared_architecture_teach_their_own_child_which_is_evaluated_beside_them(
    world: World,
) -> None:
    parent = declared(world)
    steps = [
        step("prune_unstructured", sparsity_per_mille=500, min_elements=1),
        step("fine_tune", epochs=2, loss="teacher"),
    ]
    rows = world.arrays_dataset(rows=96, seed=11, uses=("training",))
    recipe = world.recipe("taught", {"steps": steps})
    run = world.executed(world.run(parent, recipe=recipe, training=TrainingAsked(rows)))
    assert run.state == "succeeded", queries.run_log(run)
    assert run.child is not None
    assert (run.child.format, paths(run.child)) == ("onnx", ["model.onnx"])  # the declaration stays with the parent
    assert {edge.role for edge in Edge.objects.filter(child=run.child)} == {"base", "data"}
    assert operations(run.child)[:2] == ["converted", "pruned"]
    result = queries.result_of(run)
    assert result is not None
    weights, document = parent.artifacts.get(role="weights"), parent.artifacts.get(path="architecture.json")
    assert result.document["parent"]["digest"] == weights.digest
    assert result.document["parent"]["architecture"]["digest"] == document.digest
    judged = services.request_evaluation(
        actor=world.cast.ada, version=run.child, evaluation=world.arrays_dataset(seed=21), plan=QUICK
    )
    assert judged.base == parent
    judged = world.executed(judged)
    assert judged.state == "succeeded", queries.run_log(judged)
    (near,) = [row for row in queries.evidence_of_run(judged) if row.kind == "carried"]
    assert near.parent == parent


def test_models_of_torch_teach_are_begun_with_and_stand_beside_and_each_says_how_near_its_form_is(world: World) -> None:
    served, teacher = (
        declared(world, wide(width), model=model) for width, model in ((48, world.governed_model()), (40, None))
    )
    student = declared(world, wide(16))
    world.promoted(served)
    rows = world.arrays_dataset(rows=96, seed=11, uses=("training",))
    recipe = world.recipe("begun", {"seed": 3, "steps": [step("distill", student="declared", epochs=1)]})
    asked = TrainingAsked(rows, teacher, student)
    run = world.run(world.version(), model=served.model, recipe=recipe, training=asked)
    assert run.incumbent == served
    run = world.executed(run)
    assert run.state == "succeeded", queries.run_log(run)
    found = {edge.role: (edge.parent, list(edge.operations)) for edge in Edge.objects.filter(child=run.child)}
    assert found["student-start"] == (student, ["converted", "distilled"])
    assert found["teacher"] == (teacher, ["distilled"])
    told = {
        row.kind: catalog.evidence_body(row) for row in queries.evidence_of_run(run) if row.kind.startswith("carried")
    }
    assert set(told) == {"carried-incumbent", "carried-first", "carried-teacher", "carried-student"}
    assert set(told) <= set(KINDS)
    named = {kind: {subject["role"] for subject in body["subjects"]} for kind, body in told.items()}
    assert "parent" not in set().union(*named.values())
    assert "incumbent" in named["carried-incumbent"]
    facts = {row["name"]: row["value"] for row in told["carried-teacher"]["environment"]}
    assert facts["teacher_version"] == teacher.digest
    again = world.executed(services_replays.request_replay(actor=world.cast.ada, version=run.child))
    assert again.state == "succeeded", queries.run_log(again)
    assert {edge.grade for edge in Edge.objects.filter(child=run.child)} == {"re-derived"}


def test_one_recipe_gives_like_children_of_a_model_of_torch_and_of_its_onnx_export(
    world: World, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module = Perceptron2().eval()
    parents = [exported(world, tmp_path, module), onnx_of(world, tmp_path, module)]
    recipe, answers = world.recipe("smaller", {"steps": [step("quantize_weights", min_elements=1)]}), []
    rows = world.arrays_dataset(seed=21)
    for parent in parents:
        run = world.executed(world.run(parent, recipe=recipe, evaluation=rows))
        assert run.child is not None, queries.run_log(run)
        weights = storage.read_bytes(run.child.artifacts.get(role="weights").digest)
        session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
        x = np.random.default_rng(5).standard_normal((60, 64)).astype(np.float32)
        answers.append(session.run(None, {"x": x})[0])
    assert nets.least_cosine(*answers) >= 0.999
    assert not np.array_equal(answers[0], module(torch.from_numpy(x)).detach().numpy())  # both were compressed


@pytest.mark.parametrize("role", ["parent", "teacher", "evaluated"])
def test_an_architecture_that_nobody_knows_is_refused_when_a_run_is_asked_for(world: World, role: str) -> None:
    strange = declared(world, {"model_type": "gpt_neox", "hidden_size": 8})
    rows = world.arrays_dataset(rows=96, seed=11, uses=("training",))
    recipe = world.recipe("taught", {"steps": [step("fine_tune", loss="teacher")]})
    with pytest.raises(Invalid, match=r"declares for its tensors, 'gpt_neox', is not known") as refused:
        if role == "parent":
            world.run(strange)
        elif role == "teacher":
            world.run(world.version(), recipe=recipe, training=TrainingAsked(rows, strange))
        else:
            services.request_evaluation(actor=world.cast.ada, version=strange, evaluation=world.arrays_dataset(seed=22))
    assert refused.value.code == "architecture-unknown"
    assert "bert, distilbert in config.json" in refused.value.hint
    assert not Run.objects.exists()


def test_the_architectures_that_a_request_may_name_are_those_that_the_engine_carries() -> None:
    assert tuple(architectures._CONFIGS) == taken.MODEL_TYPES
    for name in taken.OWN_ARCHITECTURES:
        with pytest.raises(FileRefused) as refused:
            architectures.declared({"type": taken.OWN_TYPE, "architecture": name}, frozenset())
        assert "is not known" not in refused.value.message


def test_what_cannot_be_carried_is_a_failed_run_with_the_reason_of_the_engine(world: World, tmp_path: Path) -> None:
    run = world.executed(world.run(exported(world, tmp_path, Sorts())))
    assert (run.state, run.failure_code, run.child) == ("failed", "cannot_be_carried", None)
    assert run.failure is not None
    assert "svd" in run.failure.value


def test_an_architecture_that_does_not_fit_its_tensors_is_a_failed_run_that_lists_them(world: World) -> None:
    run = world.executed(world.run(declared(world, {**PERCEPTRON, "widths": [64, 32, 48]})))
    assert (run.state, run.failure_code) == ("failed", "architecture_does_not_fit")

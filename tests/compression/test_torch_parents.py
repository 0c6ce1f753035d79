"""Runs whose parent is a model of torch: carried to ONNX by the real engine, said so in the lineage, and made again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from registry.catalog import queries as catalog
from registry.catalog.models import Edge, ModelVersion
from registry.compression import queries, services, services_replays
from registry.compression.training import TrainingAsked
from registry.desk.metrics import KINDS
from tests.compression.test_train_in_runs import step
from tests.engine.test_carrying import PERCEPTRON, Perceptron2, archive, tensors_of
from tests.world import World

pytestmark = pytest.mark.usefixtures("committed_db")


class Sorts(torch.nn.Module):
    """x [rows, 64] to its entries in order, by an operator that is not carried."""

    def forward(self, x: Any) -> Any:
        return torch.linalg.svdvals(x)


def exported(world: World, tmp_path: Path, module: torch.nn.Module) -> ModelVersion:
    path = archive(module, torch.zeros(3, 64), tmp_path / "torch" / "net.pt2")
    return world.version(files={("net.pt2", "weights"): path.read_bytes()})


def declared(world: World, document: dict[str, Any] | None = PERCEPTRON) -> ModelVersion:
    _, tensors = tensors_of(PERCEPTRON)
    files = {("model.safetensors", "weights"): safetensors.torch.save(tensors)}
    if document is not None:
        files[("architecture.json", "configuration")] = json.dumps(document).encode()
    return world.version(files=files)


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


def test_tensors_with_a_declared_architecture_are_trained_and_the_declaration_stays_with_the_parent(
    world: World,
) -> None:
    parent = declared(world)
    recipe = world.recipe("pruned", {"steps": [step("prune_unstructured", sparsity_per_mille=300, min_elements=1)]})
    run = world.executed(world.run(parent, recipe=recipe))
    assert run.state == "succeeded", queries.run_log(run)
    assert run.child is not None
    assert (run.child.format, paths(run.child)) == ("onnx", ["model.onnx"])
    assert operations(run.child) == ["converted", "pruned"]
    result = queries.result_of(run)
    assert result is not None
    weights, document = parent.artifacts.get(role="weights"), parent.artifacts.get(path="architecture.json")
    assert result.document["parent"]["digest"] == weights.digest
    assert result.document["parent"]["architecture"]["digest"] == document.digest


def test_a_parent_of_torch_teaches_its_own_child(world: World) -> None:
    recipe = world.recipe(
        "taught",
        {
            "steps": [
                step("prune_unstructured", sparsity_per_mille=500, min_elements=1),
                step("fine_tune", epochs=2, loss="teacher"),
            ]
        },
    )
    rows = world.arrays_dataset(rows=96, seed=11, uses=("training",))
    run = world.executed(world.run(declared(world), recipe=recipe, training=TrainingAsked(rows)))
    assert run.state == "succeeded", queries.run_log(run)
    assert {edge.role for edge in Edge.objects.filter(child=run.child)} == {"base", "data"}
    assert operations(run.child)[:2] == ["converted", "pruned"]


def test_a_child_is_evaluated_beside_its_parent_of_torch(world: World) -> None:
    made = world.executed(world.run(declared(world)))
    assert made.child is not None, queries.run_log(made)
    plan = {"type": "pressmark/evaluation_plan/1", "measures": ["size", "fidelity"]}
    for version, base in ((made.child, made.parent), (made.parent, None)):
        rows = world.arrays_dataset(seed=21)
        run = services.request_evaluation(actor=world.cast.ada, version=version, evaluation=rows, plan=plan)
        assert run.base == base
        run = world.executed(run)
        assert run.state == "succeeded", queries.run_log(run)


def test_what_cannot_be_carried_is_a_failed_run_with_the_reason_of_the_engine(world: World, tmp_path: Path) -> None:
    run = world.executed(world.run(exported(world, tmp_path, Sorts())))
    assert (run.state, run.failure_code, run.child) == ("failed", "cannot_be_carried", None)
    assert run.failure is not None
    assert "svd" in run.failure.value


def test_an_architecture_that_does_not_fit_its_tensors_is_a_failed_run_that_lists_them(world: World) -> None:
    run = world.executed(world.run(declared(world, {**PERCEPTRON, "widths": [64, 32, 48]})))
    assert (run.state, run.failure_code) == ("failed", "architecture_does_not_fit")

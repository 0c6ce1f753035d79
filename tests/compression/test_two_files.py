"""A parent whose tensors lie in a second file: its child has two files too, is replayed, and handed out like any other."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx
import pytest

from registry import storage
from registry.catalog import queries as catalog
from registry.catalog.edges import EdgeSpec
from registry.catalog.models import Edge, ModelVersion
from registry.compression import queries, replays, services_replays
from tests.world import World

pytestmark = pytest.mark.usefixtures("committed_db")


def in_two_files(world: World, folder: Path) -> ModelVersion:
    """The tiny net with its weights in a file beside it, in a folder of the manifest."""
    onnx.save_model(
        onnx.load_from_string(world.tiny_onnx()), str(folder / "model.onnx"),
        save_as_external_data=True, location="tensors.bin", size_threshold=0,
    )  # fmt: skip
    return world.version(
        files={
            ("net/model.onnx", "weights"): (folder / "model.onnx").read_bytes(),
            ("net/tensors.bin", "external_data"): (folder / "tensors.bin").read_bytes(),
            ("config.json", "configuration"): b"{}",
        }
    )


def test_the_child_of_a_parent_with_external_data_has_weights_and_external_data(world: World, tmp_path: Path) -> None:
    parent = in_two_files(world, tmp_path)
    run = world.executed(world.run(parent))
    assert run.state == "succeeded", (run.failure_code, run.failure and run.failure.value, queries.run_log(run))
    assert run.child is not None
    files = {artifact.path: artifact for artifact in run.child.artifacts.all()}
    assert {path: artifact.role for path, artifact in files.items()} == {
        "net/model.onnx": "weights", "net/model.onnx.data": "external_data", "config.json": "configuration",
    }  # fmt: skip
    for artifact in files.values():
        stored = storage.path_of(artifact.digest).read_bytes()
        assert f"sha256:{hashlib.sha256(stored).hexdigest()}" == artifact.digest
    whole = sum(artifact.size_bytes for artifact in files.values() if artifact.role != "configuration")
    assert whole < sum(artifact.size_bytes for artifact in parent.artifacts.exclude(role="configuration")) / 2
    result = queries.result_of(run)
    assert result is not None
    assert [entry["role"] for entry in result.document["outputs"]] == ["weights", "external_data"]
    (beside,) = result.document["parent"]["external_data"]
    assert beside["digest"] == parent.artifacts.get(role="external_data").digest


def test_such_a_child_leaves_the_registry_whole_and_can_be_loaded_where_it_lands(world: World, tmp_path: Path) -> None:
    child = world.executed(world.run(in_two_files(world, tmp_path))).child
    assert child is not None
    folder = tmp_path / "taken"
    folder.mkdir()
    catalog.materialise(child, folder)
    onnx.checker.check_model(str(folder / "net" / "model.onnx"), full_check=True)
    assert onnx.load(str(folder / "net" / "model.onnx")).graph.initializer[0].raw_data


def test_such_a_child_is_replayed_to_the_bytes_of_both_files(world: World, tmp_path: Path) -> None:
    child = world.executed(world.run(in_two_files(world, tmp_path))).child
    assert child is not None
    run = world.executed(services_replays.request_replay(actor=world.cast.ada, version=child))
    assert run.state == "succeeded", queries.run_log(run)
    assert set(Edge.objects.filter(child=child).values_list("grade", flat=True)) == {"re-derived"}


def test_a_child_of_two_files_is_read_as_a_parent_again_and_has_nothing_left_to_store(
    world: World, tmp_path: Path
) -> None:
    child = world.executed(world.run(in_two_files(world, tmp_path))).child
    assert child is not None
    run = world.executed(world.run(child, recipe=world.recipe("half-size")))
    assert run.state == "failed"
    assert run.failure_code == "nothing_to_compress"


def test_one_altered_number_in_the_second_file_alone_is_found_although_the_first_is_the_same(
    world: World, tmp_path: Path
) -> None:
    parent, recipe = in_two_files(world, tmp_path), world.recipe()
    child = world.executed(world.run(parent, recipe=recipe)).child
    assert child is not None
    files = {(file.path, file.role): storage.path_of(file.digest).read_bytes() for file in child.artifacts.all()}
    numbers = bytearray(files["net/model.onnx.data", "external_data"])
    numbers[100] ^= 0x40
    files["net/model.onnx.data", "external_data"] = bytes(numbers)
    altered = world.version(files=files, edges=[EdgeSpec("base", ["quantized"], parent=parent)])
    run = world.executed(services_replays.request_replay(actor=world.cast.ada, version=altered, recipe=recipe))
    assert run.state == "succeeded", queries.run_log(run)
    assert replays.outcome_of(run) == "differs"
    assert set(Edge.objects.filter(child=altered).values_list("grade", flat=True)) == {"declared"}

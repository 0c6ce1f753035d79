"""Replay: the same bytes from recipe and parent, or the name of what differs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import numpy_helper

from compression_engine.canonical import canonical, parse_canonical
from compression_engine.errors import EngineError
from compression_engine.pipeline import Settings, compress
from compression_engine.recipe import Recipe, Step
from compression_engine.replaying.replay import replay
from tests.engine import nets


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one compression of the net of `mlp_folder` wrote; the net is seeded, so its bytes are the same everywhere."""
    folder = tmp_path_factory.mktemp("compressed")
    nets.save(nets.mlp(), folder / "parent")
    nets.save_rows(nets.rows_for("x"), folder / "rows.npz")
    recipe = Recipe("dynamic", (Step("quantize_dynamic"),))
    settings = Settings(rounds=3, memory_repeats=1)
    compress(folder / "parent", recipe, evaluation=folder / "rows.npz", output_folder=folder / "out", settings=settings)
    return folder / "out"


@pytest.fixture
def result(compressed: Path, tmp_path: Path) -> Path:
    """Its RESULT.json in a folder of the test's own."""
    return Path(shutil.copytree(compressed, tmp_path / "out")) / "RESULT.json"


def change(path: Path, **changes: Any) -> Path:
    document = parse_canonical(path.read_bytes()) | changes
    changed = path.parent / "changed.json"
    changed.write_bytes(canonical(document))
    return changed


def test_a_replay_gives_the_same_bytes(result: Path, mlp_folder: Path, tmp_path: Path) -> None:
    digest = replay(result, parent=mlp_folder, output_folder=tmp_path / "again")
    assert digest == parse_canonical(result.read_bytes())["outputs"][0]["digest"]
    assert (tmp_path / "again" / "model.onnx").read_bytes() == (tmp_path / "out" / "model.onnx").read_bytes()


def test_two_fresh_processes_with_other_hash_seeds_give_the_same_bytes(
    result: Path, mlp_folder: Path, tmp_path: Path
) -> None:
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "compression_engine", "replay", str(result), "--parent", str(mlp_folder)]
        command += ["--output", str(tmp_path / seed), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONHASHSEED": seed})
        answer = json.loads(done.stdout.splitlines()[-1])
        assert answer["type"] == "result", done.stdout
        assert answer["same"] is True
    assert (tmp_path / "1" / "model.onnx").read_bytes() == (tmp_path / "2" / "model.onnx").read_bytes()


def test_another_parent_is_refused(result: Path, tmp_path: Path) -> None:
    other = nets.mlp()
    other.doc_string = "one byte more"
    nets.save(other, tmp_path / "other")
    with pytest.raises(EngineError, match="recorded is") as refused:
        replay(result, parent=tmp_path / "other", output_folder=tmp_path / "again")
    assert refused.value.code == "replay_parent_differs"
    assert not (tmp_path / "again").exists()


def test_a_tensor_that_differs_is_named(result: Path, mlp_folder: Path, tmp_path: Path) -> None:
    document = parse_canonical(result.read_bytes())
    tensors = [dict(entry) for entry in document["tensors"]]
    tensors[2]["digest"] = "sha256:" + "0" * 64
    outputs = [document["outputs"][0] | {"digest": "sha256:" + "1" * 64}]
    changed = change(result, tensors=tensors, outputs=outputs)
    with pytest.raises(EngineError, match=repr(tensors[2]["name"])) as refused:
        replay(changed, parent=mlp_folder, output_folder=tmp_path / "again")
    assert refused.value.code == "replay_differs"
    assert not (tmp_path / "again").exists()


def test_a_changed_recipe_is_caught(result: Path, mlp_folder: Path, tmp_path: Path) -> None:
    other = Recipe("dynamic", (Step("quantize_dynamic", {"min_elements": 13_000}),))
    changed = change(result, recipe=other.document())
    with pytest.raises(EngineError, match="tensor 'second'") as refused:
        replay(changed, parent=mlp_folder, output_folder=tmp_path / "again")
    assert refused.value.code == "replay_differs"


@pytest.mark.parametrize("member", ["quantization_map", "tensors", "graph_digest", "recipe_digest"])
def test_a_result_that_says_of_the_same_bytes_what_is_not_so_is_refused(
    result: Path, mlp_folder: Path, tmp_path: Path, member: str
) -> None:
    said = parse_canonical(result.read_bytes())[member]
    lie = "sha256:" + "0" * 64 if isinstance(said, str) else said[1:]
    with pytest.raises(EngineError, match=member) as refused:
        replay(change(result, **{member: lie}), parent=mlp_folder, output_folder=tmp_path / "again")
    assert refused.value.code == "result_invalid"
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("threads", ["many", "-3", "9" * 40, ""])
def test_a_number_of_threads_that_is_none_is_said_in_the_hint(
    result: Path, mlp_folder: Path, tmp_path: Path, threads: str
) -> None:
    document = parse_canonical(result.read_bytes())
    told = [entry for entry in document["environment"] if entry["name"] != "threads"]
    outputs = [document["outputs"][0] | {"digest": "sha256:" + "1" * 64}]
    changed = change(result, environment=[*told, {"name": "threads", "value": threads}], outputs=outputs)
    with pytest.raises(EngineError) as refused:
        replay(changed, parent=mlp_folder, output_folder=tmp_path / "again")
    assert refused.value.code in ("replay_differs", "replay_processor_differs")
    assert f"threads {threads} -> 1" in refused.value.hint


def test_a_changed_version_of_a_library_is_said_in_the_hint(result: Path, mlp_folder: Path, tmp_path: Path) -> None:
    document = parse_canonical(result.read_bytes())
    environment = [entry | {"value": "1.0"} if entry["name"] == "numpy" else entry for entry in document["environment"]]
    outputs = [document["outputs"][0] | {"digest": "sha256:" + "1" * 64}]
    changed = change(result, environment=environment, outputs=outputs)
    with pytest.raises(EngineError) as refused:
        replay(changed, parent=mlp_folder, output_folder=tmp_path / "again")
    assert "numpy 1.0 ->" in refused.value.hint


@pytest.mark.parametrize("content", [b"", b"{}", b'{"type": "pressmark/engine_result/1"}', b"\xff"])
def test_what_is_no_result_is_refused(content: bytes, mlp_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "RESULT.json"
    path.write_bytes(content)
    with pytest.raises(EngineError) as refused:
        replay(path, parent=mlp_folder, output_folder=tmp_path / "again")
    assert refused.value.code == "result_invalid"


def test_the_order_of_tensors_is_that_of_the_parent(result: Path) -> None:
    child = onnx.load(result.parent / "model.onnx")
    names = [tensor.name for tensor in child.graph.initializer]
    assert names[:4] == ["first_int8", "first_bias", "second_int8", "second_bias"]
    assert numpy_helper.to_array(child.graph.initializer[0]).shape == (64, 256)

"""Expanded safetensors are plain floats again, also from files of others; what came from a shell is made again to the byte."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch

from compression_engine.canonical import canonical, parse_canonical
from compression_engine.errors import EngineError, FileRefused
from compression_engine.expanding import expand
from compression_engine.pipeline import compress
from compression_engine.recipe import Recipe, Step
from compression_engine.replaying.replay import replay
from tests.engine import nets
from tests.engine.test_safetensors_compress import GRIDS, expanded, recipe, shards, tensors

FOUR = {"bits": 4, "granularity": "block"}


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    save_file(tensors(), tmp_path / "parent.safetensors", metadata={"format": "pt"})
    return tmp_path / "parent.safetensors"


@pytest.mark.parametrize("parameters", GRIDS)
def test_every_form_is_expanded_into_float32_under_its_own_name(parent: Path, parameters: dict[str, Any]) -> None:
    compress(parent, recipe(parameters), output_folder=parent.parent / "out")
    child = parent.parent / "out" / "parent.safetensors"
    expand(child, parent.parent / "whole.safetensors")
    found, before = load_file(parent.parent / "whole.safetensors"), tensors()
    assert {name: (array.dtype, array.shape) for name, array in found.items()} == {
        name: (array.dtype, array.shape) for name, array in before.items()
    }
    rounded = expanded(child)
    assert all((found[name] == rounded.get(name, before[name])).all() for name in found)
    with safe_open(parent.parent / "whole.safetensors", "np") as file:
        assert sorted(file.metadata()) == ["format", "pressmark.expanded_from"]


def test_the_expansion_is_the_formula_of_the_layout(parent: Path) -> None:
    """By hand from the stored tensors, without a line of ours: four bits with zero points, a short last block."""
    compress(parent, recipe(FOUR | {"symmetric": False}), output_folder=parent.parent / "out")
    stored = load_file(parent.parent / "out" / "parent.safetensors")
    name, (rows, width) = "emb.weight", stored["emb.weight_shape"].tolist()

    def unpacked(words: np.ndarray) -> np.ndarray:
        return np.stack([(words.view(np.uint32) >> shift) & 15 for shift in range(0, 32, 4)], axis=-1).astype(int) - 8

    integers = unpacked(stored[f"{name}_packed"]).reshape(rows, -1)[:, :width]
    zeros = np.moveaxis(unpacked(stored[f"{name}_zero_point"]), -1, 1).reshape(-1, 3)[:rows]
    scale = stored[f"{name}_scale"].astype(np.float32)
    wanted = (integers - zeros.repeat(32, axis=1)[:, :width]) * scale.repeat(32, axis=1)[:, :width]
    expand(parent.parent / "out" / "parent.safetensors", parent.parent / "whole.safetensors")
    assert (load_file(parent.parent / "whole.safetensors")[name] == wanted.astype(np.float32)).all()


def test_a_file_of_another_program_in_the_same_layout_is_expanded(tmp_path: Path) -> None:
    integers = np.random.default_rng(0).integers(-128, 128, size=(24, 48)).astype(np.int8)
    scale = (
        np.random.default_rng(1).uniform(0.1, 1, size=(24, 3)).astype(np.float32)
    )  # groups of 16, which we never make
    save_file({"w.weight": integers, "w.weight_scale": scale}, tmp_path / "m.safetensors")
    expand(tmp_path / "m.safetensors", tmp_path / "out.safetensors")
    assert (load_file(tmp_path / "out.safetensors")["w.weight"] == integers * scale.repeat(16, axis=1)).all()


def test_short_floats_become_float32(tmp_path: Path) -> None:
    held = {"a": torch.randn(3, 5).bfloat16(), "b": torch.randn(7).half(), "s": torch.tensor(2.5).half()}
    save_torch(held, tmp_path / "m.safetensors")
    expand(tmp_path / "m.safetensors", tmp_path / "out.safetensors")
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert all(torch.equal(file.get_tensor(name), tensor.float()) for name, tensor in held.items())


def test_shards_are_expanded_into_shards(tmp_path: Path) -> None:
    compress(shards(tmp_path / "shards"), recipe(FOUR), output_folder=tmp_path / "small")
    written = expand(tmp_path / "small", tmp_path / "large")
    names = ["model-1.safetensors", "model-2.safetensors", "model.safetensors.index.json"]
    assert [entry["path"] for entry in written] == names
    found = load_file(tmp_path / "large" / "model-1.safetensors") | load_file(
        tmp_path / "large" / "model-2.safetensors"
    )
    assert sorted(found) == sorted(tensors())


def test_what_is_not_stored_smaller_is_refused(parent: Path) -> None:
    with pytest.raises(EngineError, match="nothing that is stored smaller"):
        expand(parent, parent.parent / "out")
    with pytest.raises(EngineError, match="no model in safetensors"):
        expand(parent.parent / "model.onnx", parent.parent / "out")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w_scale": np.ones((23, 1), dtype=np.float32)}, "scales of the shape"),
        ({"w_scale": np.ones((24, 7), dtype=np.float32)}, "7 scales for 48"),
        ({"w_shape": np.array([24, 0])}, "shape"),
        ({"w_shape": np.array([-24, 48])}, "shape"),
        ({"w_shape": np.array([24, 480])}, "is not I32"),
        ({"w_shape": np.array([2**40, 2**40])}, "shape"),
        ({"w_zero_point": np.ones((24, 3), dtype=np.float32)}, "is not I32"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    held = {
        "w_packed": np.zeros((24, 6), dtype=np.int32), "w_shape": np.array([24, 48]), "w_scale": np.ones((24, 1), dtype=np.float32)
    }  # fmt: skip
    save_file(held | change, tmp_path / "m.safetensors")
    with pytest.raises(FileRefused, match=message) as refused:
        expand(tmp_path / "m.safetensors", tmp_path / "out")
    assert refused.value.code == "structure_invalid"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("method", ["quantize_weights", "convert_fp16"])
def test_a_replay_in_a_fresh_process_gives_the_same_bytes(parent: Path, method: str) -> None:
    compress(parent, recipe({}, method=method), output_folder=parent.parent / "out", licence="MIT")
    for threads in ("1", "2"):
        target = parent.parent / f"again{threads}"
        call = [sys.executable, "-m", "compression_engine", "replay", str(parent.parent / "out" / "RESULT.json")]
        call += ["--parent", str(parent), "--output", str(target), "--json"]
        subprocess.run(call, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": threads})
        assert (target / parent.name).read_bytes() == (parent.parent / "out" / parent.name).read_bytes()


def test_a_replay_of_shards_looks_at_every_file(tmp_path: Path) -> None:
    folder = shards(tmp_path / "shards")
    compress(folder, recipe({}), output_folder=tmp_path / "out")
    replay(tmp_path / "out" / "RESULT.json", parent=folder, output_folder=tmp_path / "again")
    for name in ("model-1.safetensors", "model-2.safetensors", "model.safetensors.index.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_a_replay_that_differs_names_the_tensor(parent: Path) -> None:
    compress(parent, recipe({}), output_folder=parent.parent / "out")
    path = parent.parent / "out" / "RESULT.json"
    document = parse_canonical(path.read_bytes())
    other = Recipe("tried", (Step("quantize_weights", {"symmetric": False}),))
    path.write_bytes(canonical(document | {"recipe": other.document()}))
    with pytest.raises(EngineError, match=r"the tensor '.*' differs") as refused:
        replay(path, parent=parent, output_folder=parent.parent / "again")
    assert refused.value.code == "replay_differs"
    save_file({"w": nets.weights(64, 64)}, parent)
    with pytest.raises(EngineError) as refused:
        replay(path, parent=parent, output_folder=parent.parent / "again")
    assert refused.value.code == "replay_parent_differs"

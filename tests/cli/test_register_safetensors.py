"""A child in safetensors that a shell made, one file or shards: registered with its result, made again, its grade rises."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from compression_engine.pipeline import compress
from compression_engine.recipe import shipped_recipes
from registry.catalog.models import ModelVersion
from registry.compression.models import Run
from registry.oversight.models import Finding
from tests.cli.conftest import Pressmark
from tests.cli.test_profiles_and_replays import replayer
from tests.world import World

Said = pytest.CaptureFixture[str]
RECIPE = shipped_recipes()["smaller-same-speed"].recipe
FILES = {"one": ["model.safetensors"], "shards": ["model-1.safetensors", "model-2.safetensors"]}
INDEX = "model.safetensors.index.json"


def parent_in(folder: Path, files: list[str]) -> Path:
    """A model of these files, with an index where there are several; returns what the engine is given."""
    folder.mkdir()
    draw = np.random.default_rng(1)
    weight_map: dict[str, str] = {}
    for number, name in enumerate(files):
        held = {
            f"{number}.weight": draw.normal(size=(64, 48)).astype(np.float32),
            f"{number}.bias": np.ones(48, np.float32),
        }
        save_file(held, folder / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(held, name)
    if len(files) == 1:
        return folder / files[0]
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder / INDEX


def registered(pressmark: Pressmark, world: World, folder: Path, *more: str) -> ModelVersion:
    model = world.model(folder.name)
    assert pressmark("ada", "register-version", str(model), str(folder), "--licence", "MIT", *more) == 0
    return ModelVersion.objects.get(model=model)


@pytest.mark.parametrize("form", ["one", "shards"])
def test_a_shell_made_child_in_safetensors_is_made_again_to_the_byte(
    pressmark: Pressmark, served: World, capsys: Said, tmp_path: Path, form: str
) -> None:
    given = parent_in(tmp_path / "parent", FILES[form])
    parent = registered(pressmark, served, tmp_path / "parent")
    compress(given, RECIPE, output_folder=tmp_path / "child", licence="MIT")
    result = ["--result", str(tmp_path / "child" / "RESULT.json")]
    capsys.readouterr()
    child = registered(pressmark, served, tmp_path / "child", *result, "--base", str(parent))
    (command,) = re.findall(r"pressmark (replay-version [^`]*)", capsys.readouterr().out)
    (edge,) = child.parent_edges.all()
    assert (edge.parent, edge.operations, edge.grade) == (parent, ["quantized"], "declared")
    worker = replayer()
    assert pressmark("ada", *command.split(), "--wait") == 0, Run.objects.get(rederives=child).failure
    worker.join()
    assert f"{child}: bit-exact. Made again, the model is the same to the byte" in capsys.readouterr().out
    edge.refresh_from_db()
    assert edge.grade == "re-derived"
    assert not Finding.objects.exists()


@pytest.mark.parametrize("form", ["one", "shards"])
def test_one_bent_weight_in_safetensors_is_named_and_nothing_rises(
    pressmark: Pressmark, served: World, capsys: Said, tmp_path: Path, form: str
) -> None:
    given = parent_in(tmp_path / "parent", FILES[form])
    parent = registered(pressmark, served, tmp_path / "parent")
    compress(given, RECIPE, output_folder=tmp_path / "child", licence="MIT")
    file = tmp_path / "child" / FILES[form][-1]
    held = load_file(file)
    name = next(one for one in held if one.endswith("bias"))
    held[name] = held[name] * np.float32(1.5)
    save_file(held, file, metadata={"format": "pt"})
    (tmp_path / "child" / "RESULT.json").unlink()
    child = registered(pressmark, served, tmp_path / "child", "--base", str(parent))
    worker = replayer()
    words = ["replay-version", str(child), "--recipe", "smaller-same-speed", "--wait"]
    assert pressmark("ada", *words) == 1
    worker.join()
    assert f"differs. Made again, the model differs: the tensor {name!r}" in capsys.readouterr().out
    assert {edge.grade for edge in child.parent_edges.all()} == {"declared"}
    assert [found.kind for found in Finding.objects.all()] == ["replay-differs"]


def test_shards_without_an_index_are_refused_with_what_to_do(
    pressmark: Pressmark, served: World, capsys: Said, tmp_path: Path
) -> None:
    parent_in(tmp_path / "parent", FILES["shards"])
    (tmp_path / "parent" / INDEX).unlink()
    parent = registered(pressmark, served, tmp_path / "parent")
    parent_in(tmp_path / "child", FILES["one"])
    child = registered(pressmark, served, tmp_path / "child", "--base", str(parent))
    assert pressmark("ada", "replay-version", str(child), "--recipe", "smaller-same-speed") == 1
    said = capsys.readouterr().err
    assert "no index that says which tensor is in which" in said
    assert "*.safetensors.index.json" in said

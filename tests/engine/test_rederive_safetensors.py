"""A child in safetensors is made again and laid beside the recorded one, tensor by tensor: one file, and shards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from compression_engine.canonical import parse_canonical
from compression_engine.errors import DataError, EngineError, FileRefused
from compression_engine.formats.safetensors_model import open_model
from compression_engine.pipeline import compress
from compression_engine.recipe import Recipe, Step
from compression_engine.replaying.rederiving import rederive
from compression_engine.replaying.tensor_differences import TOLERANCE
from tests.engine import nets
from tests.engine.test_safetensors_compress import shards, tensors

RECIPE = Recipe("eight", (Step("quantize_weights"),))
Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def one(tmp_path: Path) -> tuple[Path, Path]:
    """Parent and child, each one file."""
    save_file(tensors(), tmp_path / "parent.safetensors", metadata={"format": "pt"})
    compress(tmp_path / "parent.safetensors", RECIPE, output_folder=tmp_path / "out", licence="MIT")
    return tmp_path / "parent.safetensors", tmp_path / "out" / "parent.safetensors"


@pytest.fixture
def several(tmp_path: Path) -> tuple[Path, Path]:
    """Parent and child in shards, by their indexes."""
    index = shards(tmp_path / "several") / "model.safetensors.index.json"
    compress(index, RECIPE, output_folder=tmp_path / "made", licence="MIT")
    return index, tmp_path / "made" / index.name


def report(parent: Path, recorded: Path, recipe: Recipe = RECIPE, licence: str = "MIT") -> dict[str, Any]:
    """The comparison, held against its schema."""
    found = rederive(recorded, parent=parent, recipe=recipe, licence=licence)
    document: dict[str, Any] = parse_canonical(found.canonical())
    text = (resources.files("compression_engine") / "schemas" / "replay-1.json").read_text("utf-8")
    Draft202012Validator(json.loads(text)).validate(document)
    return document


def bent(path: Path, name: str, change: Callable[[Any], Any]) -> None:
    """One tensor of a file becomes another; header and all else stay."""
    held = load_file(path)
    with safe_open(path, "np") as file:
        texts = file.metadata()
    held[name] = change(held[name].copy())
    save_file(held, path, metadata=texts)


def by(amount: float) -> Callable[[Any], Any]:
    def change(values: Any) -> Any:
        values.flat[0] += np.asarray(np.abs(values).max() * amount).astype(values.dtype)
        return values

    return change


def test_the_same_file_is_bit_exact_and_tells_its_map(one: tuple[Path, Path]) -> None:
    document = report(*one)
    assert document["outcome"] == "bit-exact"
    assert document["made_digest"] == document["recorded_digest"]
    told = json.loads((one[1].parent / "RESULT.json").read_text())
    assert document["quantization_map"] == told["quantization_map"] != []
    assert document["tensor_count"] == len(load_file(one[1]))


def test_the_same_shards_are_bit_exact_by_the_digest_of_all_of_them(several: tuple[Path, Path]) -> None:
    document = report(*several)
    with open_model(several[1]) as child, open_model(several[0]) as parent:
        assert (document["recorded_digest"], document["parent_digest"]) == (child.digest(), parent.digest())
    assert document["outcome"] == "bit-exact"


@pytest.mark.parametrize(
    ("name", "amount", "outcome"),
    [("lin.bias", TOLERANCE / 3, "within-tolerance"), ("lin.bias", 0.5, "differs"), ("lin.weight", 0.01, "differs")],
)
def test_numbers_are_compared_and_the_worst_tensor_is_named(
    one: tuple[Path, Path], name: str, amount: float, outcome: str
) -> None:
    bent(one[1], name, by(amount))
    document = report(*one)
    assert document["outcome"] == outcome
    assert document["tensors"][0]["name"] == name
    assert document["tensors"][0]["differing"] == 1


def test_one_long_whole_number_is_enough(one: tuple[Path, Path]) -> None:
    bent(one[1], "ids", lambda values: values + 2**60)
    document = report(*one)
    assert (document["outcome"], document["tensors"][0]["reason"]) == ("differs", "other values")


def test_another_shape_a_missing_tensor_and_one_too_many_are_told(one: tuple[Path, Path]) -> None:
    held = load_file(one[1])
    held["lin.bias"] = held["lin.bias"][:7].copy()
    held["more"] = held.pop("ids")
    save_file(held, one[1])
    reasons = {row["name"]: row["reason"] for row in report(*one)["tensors"] if row["reason"]}
    assert "recorded is F32 [7], made again F32 [2000]" in reasons["lin.bias"]
    assert reasons["ids"] == "it is not in the recorded model"
    assert reasons["more"] == "it was not made again"


def test_another_recipe_or_licence_is_not_bit_exact(one: tuple[Path, Path]) -> None:
    four = Recipe("four", (Step("quantize_weights", {"bits": 4}),))
    assert report(*one, recipe=four)["outcome"] == "differs"
    other = report(*one, licence="Apache-2.0")
    assert other["outcome"] == "within-tolerance"
    assert "names another licence than is stated" in other["evidence"][0]["plain"][0]


def test_an_index_that_says_something_else_and_one_bent_shard_differ(
    several: tuple[Path, Path], tmp_path: Path
) -> None:
    whole = tmp_path / "copy"
    shutil.copytree(several[1].parent, whole)
    index = json.loads(several[1].read_text())
    several[1].write_text(json.dumps(index | {"more": 1}))
    document = report(*several)
    assert (document["outcome"], document["graph_same"]) == ("differs", False)
    with open_model(whole / several[1].name) as child:
        name, path = next((entry.name, file.path) for file, entry in child.tensors() if entry.dtype == "F32")
    bent(path, name, by(0.5))
    document = report(several[0], whole / several[1].name)
    assert (document["outcome"], document["tensors"][0]["name"]) == ("differs", name)


def test_one_file_is_not_the_child_of_shards(several: tuple[Path, Path], tmp_path: Path) -> None:
    with open_model(several[1]) as child:
        held = {
            name: values for path in (file.path for file in child.files) for name, values in load_file(path).items()
        }
    save_file(held, tmp_path / "joined.safetensors", metadata={"format": "pt"})
    document = report(several[0], tmp_path / "joined.safetensors")
    assert (document["outcome"], document["graph_same"]) == ("differs", False)


def test_what_does_not_fit_is_a_typed_error(one: tuple[Path, Path], tmp_path: Path) -> None:
    net = nets.save(nets.mlp(), tmp_path / "net")
    with pytest.raises(EngineError, match="is no safetensors, and its parent is"):
        rederive(net, parent=one[0], recipe=RECIPE)
    with pytest.raises(DataError, match="--calibration needs a model that runs"):
        rederive(one[1], parent=one[0], recipe=RECIPE, calibration=tmp_path / "rows.npz")
    one[1].write_bytes(one[1].read_bytes()[:-5])
    with pytest.raises(FileRefused):
        rederive(one[1], parent=one[0], recipe=RECIPE)

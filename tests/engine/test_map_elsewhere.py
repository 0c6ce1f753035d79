"""The quantisation map of models in safetensors, of models whose numbers lie in a second file, and of odd graphs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from compression_engine.command_line import main
from compression_engine.errors import EngineError, RecipeError
from compression_engine.mapping.map_reading import read_map
from compression_engine.mapping.quantization_map import entry
from compression_engine.pipeline import compress
from compression_engine.recipe import Recipe, Step
from tests.engine import made, nets
from tests.engine.odd_graphs import CATALOGUE

FOUR: dict[str, Any] = {"bits": 4, "granularity": "block", "symmetric": False}


def recipe(method: str = "quantize_weights", **parameters: Any) -> Recipe:
    return Recipe("tried", (Step(method, parameters),))


@pytest.fixture
def tensors(tmp_path: Path) -> Path:
    arrays = {"a.weight": nets.weights(64, 96), "b.weight": nets.weights(96, 64, seed=1), "a.bias": nets.weights(64)}
    save_file(arrays, tmp_path / "parent.safetensors")
    return tmp_path / "parent.safetensors"


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        (recipe(), ("int8", "symmetric", "channel")),
        (recipe(**FOUR), ("int4", "asymmetric", "block-32")),
        (recipe("convert_fp16", storage="bfloat16"), ("bfloat16", "float", "tensor")),
    ],
)
def test_the_map_of_safetensors_is_held_against_its_tensors(
    way: Recipe, expected: tuple[str, ...], tensors: Path, tmp_path: Path
) -> None:
    result = compress(tensors, way, output_folder=tmp_path / "out")
    found = read_map(tmp_path / "out" / "parent.safetensors")
    assert (found.source, found.unmapped) == ("map", [])
    assert [entry(one) for one in found.entries] == result.document()["quantization_map"]
    assert {(one.dtype, one.scheme, one.granularity) for one in found.entries} == {expected}


def altered(file: Path, target: Path, name: str) -> Path:
    """A copy in which one number of a tensor is another; the texts of the header stay."""
    with safe_open(str(file), "np") as opened:
        arrays = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118  # it is no dict
        texts = opened.metadata()
    array = arrays[name].copy()
    array.reshape(-1)[3] += 1
    save_file(arrays | {name: array}, target, metadata=texts)
    return target


@pytest.mark.parametrize("name", ["a.weight", "a.weight_scale"])
def test_a_number_that_the_map_does_not_know_names_its_tensor(name: str, tensors: Path, tmp_path: Path) -> None:
    compress(tensors, recipe(), output_folder=tmp_path / "out")
    lying = altered(tmp_path / "out" / "parent.safetensors", tmp_path / "lying.safetensors", name)
    with pytest.raises(EngineError, match=r"'a\.weight'") as refused:
        read_map(lying)
    assert refused.value.code == "map_differs"


def test_two_files_of_safetensors_are_told_apart_and_one_without_a_map_is_read_by_its_layout(
    tensors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compress(tensors, recipe(), output_folder=tmp_path / "out")
    one = tmp_path / "out" / "parent.safetensors"
    with safe_open(str(one), "np") as opened:
        arrays = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118  # it is no dict
    save_file(arrays, tmp_path / "foreign.safetensors")
    assert main(["diff", str(one), str(tmp_path / "foreign.safetensors"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sources"] == ["map", "graph"]
    arrays["b.weight"] = arrays["b.weight"][::-1].copy()
    save_file(arrays, tmp_path / "other.safetensors")
    assert main(["diff", str(one), str(tmp_path / "other.safetensors"), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["differences"] == [{"in": ["values"], "only": None, "tensor": "b.weight"}]


def test_floats_in_safetensors_have_no_map(tensors: Path) -> None:
    with pytest.raises(EngineError) as refused:
        read_map(tensors)
    assert refused.value.code == "map_missing"


@pytest.mark.parametrize("way", [recipe(), recipe(**FOUR), recipe("convert_fp16"), recipe("quantize_dynamic")])
def test_numbers_in_a_second_file_are_held_against_the_map_and_are_the_same_quantisation(
    way: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = nets.mlp()
    nets.save(net, tmp_path / "whole")
    (tmp_path / "apart").mkdir()
    onnx.save_model(
        net, str(tmp_path / "apart" / "model.onnx"), save_as_external_data=True, location="w.bin", size_threshold=64
    )
    for name in ("whole", "apart"):
        compress(tmp_path / name, way, output_folder=tmp_path / f"{name}_child")
    assert len(list((tmp_path / "apart_child").iterdir())) == 3
    assert read_map(tmp_path / "apart_child").unmapped == []
    assert main(["diff", str(tmp_path / "whole_child"), str(tmp_path / "apart_child")]) == 0
    assert "The same quantisation" in capsys.readouterr().out
    data = tmp_path / "apart_child" / "model.onnx.data"
    numbers = np.fromfile(data, dtype=np.uint8)
    numbers[100] ^= 1
    numbers.tofile(data)
    with pytest.raises(EngineError, match=r"ha(s|ve) another digest"):
        read_map(tmp_path / "apart_child")


def test_integers_of_another_program_in_a_second_file_are_read(tmp_path: Path) -> None:
    child = made.child(made_parent(tmp_path), made.FOUR, tmp_path / "child")
    model = onnx.load(child)
    del model.metadata_props[:]
    (tmp_path / "foreign").mkdir()
    onnx.save_model(model, str(tmp_path / "foreign" / "model.onnx"), save_as_external_data=True, size_threshold=64)
    found = read_map(tmp_path / "foreign")
    assert [name for name, _, _ in found.unmapped] == ["first_int4", "first_scale", "second_int4", "second_scale"]


def made_parent(folder: Path) -> Path:
    nets.save(nets.mlp(), folder / "parent")
    return folder / "parent"


@pytest.mark.parametrize("way", [recipe(), recipe(**FOUR)])
def test_the_map_of_odd_graphs_is_borne_out_by_their_tensors(way: Recipe, tmp_path: Path) -> None:
    held = 0
    for name, odd in CATALOGUE.items():
        nets.save(odd.build(), tmp_path / name)
        try:
            file = made.child(tmp_path / name, way, tmp_path / f"{name}_child")
        except RecipeError:
            continue  # nothing to do; what else there is to make is counted
        held += len(read_map(file).entries)
    assert held >= len(CATALOGUE)

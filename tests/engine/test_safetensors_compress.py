"""Weights of safetensors stored as integers: the numbers of the graph, row by row, compared tensor by tensor, nothing run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch

from compression_engine.canonical import parse_canonical
from compression_engine.errors import DataError, EngineError, FileRefused, OutputRefused, RecipeError
from compression_engine.formats.safetensors_forms import forms_of
from compression_engine.formats.safetensors_io import TensorFile
from compression_engine.methods import safetensors_weights
from compression_engine.pipeline import compress
from compression_engine.recipe import Recipe, Step
from compression_engine.result import Result
from tests.engine import nets

GRIDS: list[dict[str, Any]] = [
    {},
    {"rounding": "mse"},
    {"symmetric": False},
    {"granularity": "block", "block_size": 64},
    {"bits": 4},
    {"bits": 4, "granularity": "block", "rounding": "mse"},
    {"bits": 4, "granularity": "block", "symmetric": False},
    {"bits": 4, "granularity": "block", "block_size": 128, "symmetric": False, "rounding": "mse"},
]


def tensors() -> dict[str, np.ndarray]:
    return {
        "emb.weight": nets.weights(300, 65, seed=1),  # a last block of one number, an odd row
        "lin.weight": nets.weights(100, 72, seed=2),
        "lin.bias": nets.weights(2000, seed=3),
        "conv.weight": nets.weights(36, 5, 3, 3, seed=4),
        "layer_norm.weight": np.ones((40, 40), dtype=np.float32),
        "ids": np.arange(3000),
    }


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    save_file(tensors(), tmp_path / "parent.safetensors", metadata={"format": "pt", "note": "kept"})
    return tmp_path / "parent.safetensors"


def recipe(*steps: dict[str, Any], method: str = "quantize_weights") -> Recipe:
    return Recipe("tried", tuple(Step(method, parameters) for parameters in steps))


def made(parent: Path, parameters: dict[str, Any], method: str = "quantize_weights", name: str = "out") -> Result:
    return compress(parent, recipe(parameters, method=method), output_folder=parent.parent / name)


def expanded(path: Path) -> dict[str, np.ndarray]:
    with TensorFile(path) as file:
        forms = forms_of(file)
        return {name: form.expanded(file, 0, form.rows).reshape(form.shape) for name, form in forms.items()}


def of_the_graph(weight: np.ndarray, parameters: dict[str, Any]) -> np.ndarray:
    """What the ONNX child has in place of a weight [out, in], by asking it for the rows of the identity."""
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)
    kind = helper.np_dtype_to_tensor_dtype(weight.dtype)
    ports = ({"x": (kind, ["n", weight.shape[1]])}, {"y": (kind, ["n", weight.shape[0]])})
    changed, report = nets.applied(nets.model([node], {"w": weight}, *ports), "quantize_weights", **parameters)
    assert [entry["name"] for entry in report.changed] == ["w"]
    return nets.answer(changed, {"x": np.eye(weight.shape[1], dtype=weight.dtype)})[0].T


@pytest.mark.parametrize("parameters", GRIDS)
def test_a_matrix_gets_the_numbers_that_it_gets_in_a_graph(parent: Path, parameters: dict[str, Any]) -> None:
    made(parent, parameters)
    found = expanded(parent.parent / "out" / "parent.safetensors")
    assert sorted(found) == ["conv.weight", "emb.weight", "lin.weight"]
    for name in ("emb.weight", "lin.weight"):
        assert (found[name] == of_the_graph(tensors()[name], parameters)).all()


@pytest.mark.parametrize("parameters", GRIDS)
def test_pieces_give_the_numbers_of_the_whole(
    parent: Path, parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made(parent, parameters)
    monkeypatch.setattr(safetensors_weights, "_NUMBERS_AT_ONCE", 600)  # eight rows at a time
    made(parent, parameters, name="pieces")
    assert digest_of(parent, "out") == digest_of(parent, "pieces")


def digest_of(parent: Path, name: str) -> bytes:
    return (parent.parent / name / "parent.safetensors").read_bytes()


def test_the_real_library_reads_the_child_and_what_did_not_change_is_the_same(parent: Path) -> None:
    made(parent, {})
    before, after = tensors(), load_file(parent.parent / "out" / "parent.safetensors")
    for name in ("lin.bias", "layer_norm.weight", "ids"):
        assert (after[name] == before[name]).all()
    assert after["lin.weight"].dtype == np.int8
    assert after["lin.weight_scale"].shape == (100, 1)
    scale = after["lin.weight_scale"]
    assert (np.abs(after["lin.weight"] * scale - before["lin.weight"]) <= scale * 0.501).all()


def test_what_stays_is_named_with_its_reason(parent: Path) -> None:
    result = made(parent, {"exclude": ("lin.weight",)})
    assert {entry["name"]: entry["reason"] for entry in result.steps[0]["left"]} == {
        "layer_norm.weight": "its name says that it belongs to a normalisation",
        "lin.bias": "it has one dimension",
        "lin.weight": "the recipe leaves it out",
    }


def test_a_mixed_recipe_is_two_steps(parent: Path) -> None:
    four = {"bits": 4, "granularity": "block", "exclude": ("emb.weight",)}
    compress(parent, recipe(four, {}), output_folder=parent.parent / "mixed")
    with TensorFile(parent.parent / "mixed" / "parent.safetensors") as file:
        bits = {name: form.bits for name, form in forms_of(file).items()}
    assert bits == {"conv.weight": 4, "emb.weight": 8, "lin.weight": 4}


def test_the_header_says_what_the_file_is(parent: Path) -> None:
    result = compress(parent, recipe({}), output_folder=parent.parent / "out", licence="MIT")
    with safe_open(parent.parent / "out" / "parent.safetensors", "np") as file:
        said = file.metadata()
    assert said["format"] == "pt"
    assert said["note"] == "kept"
    assert said["pressmark.parent_digest"] == result.parent["digest"]  # type: ignore[index]
    assert said["pressmark.recipe_digest"] == recipe({}).digest()
    assert said["pressmark.licence"] == "MIT"
    rows = {row[1]: row for row in json.loads(said["pressmark.quantization_map"])["tensors"]}
    entries = {entry["tensor"]: entry for entry in result.quantization_map or []}
    assert sorted(rows) == sorted(entries) == ["conv.weight", "emb.weight", "lin.weight"]
    digests = {entry["name"]: entry["digest"] for entry in result.tensors}
    for name, row in rows.items():
        assert digests[name] == entries[name]["values_digest"] == f"sha256:{row[5]}"
        assert "0" * 64 not in row


def test_the_evidence_says_that_nothing_was_run(parent: Path) -> None:
    result = made(parent, {"bits": 4, "granularity": "block", "rounding": "mse"})
    size, structure = (evidence.document() for evidence in result.evidence)
    assert size["kind"] == "size"
    assert structure["kind"] == "structure"
    assert {"name": "checked", "value": "structure-checked"} in structure["environment"]
    assert result.value("compared_tensors") == len(tensors())
    assert 0 < (result.value("weight_error_steps_worst") or 0) < 17
    document = parse_canonical((parent.parent / "out" / "RESULT.json").read_bytes())
    assert document["evidence"] == [evidence.entry() for evidence in result.evidence]


@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
def test_shorter_floats_are_those_of_torch(parent: Path, storage: str) -> None:
    made(parent, {"storage": storage}, "convert_fp16")
    with safe_open(parent.parent / "out" / "parent.safetensors", "pt") as file:
        for name in ("emb.weight", "lin.bias"):
            wanted = torch.from_numpy(tensors()[name]).to(getattr(torch, storage))
            assert torch.equal(file.get_tensor(name), wanted)


def test_a_number_that_float16_cannot_hold_keeps_its_tensor(tmp_path: Path) -> None:
    large = nets.weights(64, 64)
    large[3, 3] = 70_000
    save_file({"a": large, "b": nets.weights(64, 64)}, tmp_path / "m.safetensors")
    result = made(tmp_path / "m.safetensors", {}, "convert_fp16")
    assert result.steps[0]["left"] == [{"name": "a", "reason": "it holds a number that float16 cannot; bfloat16 can"}]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_parents_of_other_floats_are_rounded_near_their_numbers(tmp_path: Path, dtype: torch.dtype) -> None:
    weight = torch.from_numpy(nets.weights(80, 96)).to(dtype)
    save_torch({"w": weight}, tmp_path / "m.safetensors")
    for number, parameters in enumerate(GRIDS):
        made(tmp_path / "m.safetensors", parameters, name=f"out{number}")
        found = expanded(tmp_path / f"out{number}" / "m.safetensors")["w"]
        assert nets.least_cosine(found, weight.double().numpy()) > (0.95 if parameters.get("bits") == 4 else 0.999)


def test_numbers_of_eight_bits_are_left_alone(tmp_path: Path) -> None:
    short = torch.from_numpy(nets.weights(64, 64)).to(torch.float8_e4m3fn)
    save_torch({"f": short, "w": torch.from_numpy(nets.weights(64, 64))}, tmp_path / "m.safetensors")
    result = made(tmp_path / "m.safetensors", {})
    assert [entry["name"] for entry in result.steps[0]["left"]] == ["f"]
    with safe_open(tmp_path / "out" / "m.safetensors", "pt") as file:
        assert torch.equal(file.get_tensor("f").view(torch.uint8), short.view(torch.uint8))


def test_equal_tensors_stay_equal(tmp_path: Path) -> None:
    tied = nets.weights(200, 64)
    save_file({"head.weight": tied, "words.weight": tied.copy()}, tmp_path / "m.safetensors")
    made(tmp_path / "m.safetensors", {"bits": 4, "granularity": "block"})
    found = load_file(tmp_path / "out" / "m.safetensors")
    for part in ("_packed", "_scale", "_shape"):
        assert (found[f"head.weight{part}"] == found[f"words.weight{part}"]).all()


def shards(folder: Path) -> Path:
    folder.mkdir(parents=True)
    held = tensors()
    first = ["emb.weight", "ids"]
    files = {"model-1.safetensors": first, "model-2.safetensors": [name for name in held if name not in first]}
    for file, names in files.items():
        save_file({name: held[name] for name in names}, folder / file, metadata={"format": "pt"})
    weight_map = {name: file for file, names in files.items() for name in names}
    index = {"metadata": {"total_size": 1, "by": "someone"}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def test_shards_stay_shards_with_the_numbers_of_one_file(parent: Path, tmp_path: Path) -> None:
    made(parent, {"bits": 4, "granularity": "block"})
    folder = shards(tmp_path / "shards")
    result = compress(folder, recipe({"bits": 4, "granularity": "block"}), output_folder=tmp_path / "small")
    index = json.loads((tmp_path / "small" / "model.safetensors.index.json").read_bytes())
    whole = load_file(tmp_path / "out" / "parent.safetensors")
    assert sorted(index["weight_map"]) == sorted(whole)
    assert index["metadata"]["by"] == "someone"
    held = 0
    for name, file in index["weight_map"].items():
        found = load_file(tmp_path / "small" / file)[name]
        assert (found == whole[name]).all()
        held += found.nbytes
    assert index["metadata"]["total_size"] == held
    names = ["model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors"]
    assert [entry["path"] for entry in result.outputs] == names


def test_the_digest_of_shards_covers_every_byte(tmp_path: Path) -> None:
    folder = shards(tmp_path / "one")
    first = compress(folder, recipe({}), output_folder=tmp_path / "a").parent
    other = Path(shutil.copytree(folder, tmp_path / "two"))
    data = bytearray((other / "model-2.safetensors").read_bytes())
    data[-1] ^= 1
    (other / "model-2.safetensors").write_bytes(data)
    assert compress(other, recipe({}), output_folder=tmp_path / "b").parent != first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lin.weight": "../model-2.safetensors"}, "no safetensors file beside it"),
        ({"lin.weight": "model-1.safetensors"}, "it is in model-2"),
        ({"absent": "model-1.safetensors"}, "none of its shards"),
        ({"lin.weight": "model-2.bin"}, "no safetensors file beside it"),
        ({"lin.weight": 7}, "no safetensors file beside it"),
    ],
)
def test_an_index_that_lies_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    folder = shards(tmp_path / "shards")
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_bytes())
    index["weight_map"] |= change
    path.write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(FileRefused, match=message) as refused:
        compress(folder, recipe({}), output_folder=tmp_path / "out")
    assert refused.value.code == "structure_invalid"
    assert not (tmp_path / "out").exists()


def test_a_shard_that_is_a_link_is_refused(tmp_path: Path) -> None:
    folder = shards(tmp_path / "shards")
    (folder / "model-2.safetensors").rename(tmp_path / "elsewhere.safetensors")
    (folder / "model-2.safetensors").symlink_to(tmp_path / "elsewhere.safetensors")
    with pytest.raises(EngineError, match="plain file"):
        compress(folder, recipe({}), output_folder=tmp_path / "out")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("method", ["quantize_weights", "convert_fp16"])
def test_a_weight_that_is_not_finite_is_refused_by_name(tmp_path: Path, value: float, method: str) -> None:
    broken = nets.weights(64, 64)
    broken[60, 3] = value
    save_file({"good": nets.weights(64, 64), "broken": broken}, tmp_path / "m.safetensors")
    with pytest.raises(FileRefused, match="'broken' holds NaN") as refused:
        made(tmp_path / "m.safetensors", {}, method)
    assert refused.value.code == "weights_not_finite"
    assert {entry.name for entry in tmp_path.iterdir()} - {"keys", "store"} == {"m.safetensors"}


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Step("quantize_weights", {"rounding": "gptq"}), "looks at inputs"),
        (Step("quantize_dynamic"), "quantize_dynamic takes onnx, the model is safetensors"),
        (Step("quantize_weights", {"exclude": ("absent",)}), "no weight 'absent'"),
    ],
)
def test_what_needs_a_graph_or_a_name_that_is_not_there_is_refused(parent: Path, step: Step, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as refused:
        compress(parent, Recipe("tried", (step,)), output_folder=parent.parent / "out")
    assert refused.value.code == "recipe_does_not_fit"


def test_rows_to_measure_with_are_refused_by_the_name_of_the_option(parent: Path) -> None:
    with pytest.raises(DataError, match="--evaluation needs a model that runs"):
        compress(parent, recipe({}), evaluation=parent, output_folder=parent.parent / "out")


def test_a_child_is_not_rounded_again(parent: Path) -> None:
    made(parent, {"bits": 4, "granularity": "block"})
    child = parent.parent / "out" / "parent.safetensors"
    with pytest.raises(RecipeError, match="stored as integers already") as refused:
        compress(child, recipe({"min_elements": 64}), output_folder=parent.parent / "again")
    assert refused.value.code == "nothing_to_compress"


def test_a_name_that_the_scales_would_take_is_left_to_its_owner(tmp_path: Path) -> None:
    held = {"w": nets.weights(64, 64), "w_scale": nets.weights(64, 64), "v": nets.weights(64, 64)}
    save_file(held, tmp_path / "m.safetensors")
    result = made(tmp_path / "m.safetensors", {})
    assert {entry["name"] for entry in result.steps[0]["left"]} == {"w"}
    assert (load_file(tmp_path / "out" / "m.safetensors")["w"] == held["w"]).all()


@pytest.mark.parametrize(
    ("method", "tensor", "written_over", "message"),
    [
        ("quantize_weights", "lin.weight", b"\x7f\x81", r"'lin\.weight' is .* steps away"),
        ("quantize_weights", "lin.weight_scale", b"\0\0\x80\x7f", r"'lin\.weight' expands to NaN or infinity"),
        ("quantize_weights", "lin.bias", b"\x7f\x01", r"'lin\.bias' was to stay as it is"),
        ("convert_fp16", "lin.weight", b"\x7f\x01", r"'lin\.weight' is not the parent's numbers to the nearest"),
    ],
)
def test_a_child_whose_bytes_are_not_near_the_parents_does_not_count(
    method: str, tensor: str, written_over: bytes, message: str, parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from compression_engine.methods.safetensors_writing import write_file

    def spoil(*given: Any) -> Any:
        written = write_file(*given)
        with TensorFile(given[1]) as file:
            place = file.entries[tensor].start
        with given[1].open("r+b") as file:
            file.seek(place)
            file.write(written_over)
        return written

    monkeypatch.setattr("compression_engine.safetensors_pipeline.write_file", spoil)
    options = {"min_elements": 7000 if method == "convert_fp16" or tensor == "lin.bias" else 1024}
    with pytest.raises(OutputRefused, match=message) as refused:
        made(parent, options, method)
    assert refused.value.code == ("output_not_finite" if "NaN" in message else "output_differs")
    assert not (parent.parent / "out").exists()


def test_an_output_may_be_a_file_of_a_chosen_name(parent: Path) -> None:
    compress(parent, recipe({}), output_folder=parent.parent / "small.safetensors")
    assert (parent.parent / "small.RESULT.json").is_file()
    assert expanded(parent.parent / "small.safetensors")


def test_memory_stays_small_whatever_the_size(tmp_path: Path) -> None:
    """Extra memory of the process, against one tensor of 256 MiB: at most 64 MiB, in a process of its own."""
    script = """
import sys
from pathlib import Path
from compression_engine.pipeline import compress
from compression_engine.recipe import Recipe, Step
from tests.own_memory import held_bytes, peak_bytes
step = Step("quantize_weights", {"bits": 4, "granularity": "block"})
small, large, out = map(Path, sys.argv[1:])
compress(small, Recipe("r", (step,)), output_folder=out / "a")
before = held_bytes()
compress(large, Recipe("r", (step,)), output_folder=out / "b")
print(peak_bytes() - before)
"""
    tile = nets.weights(1024, 4096)
    save_file({"w": tile[:64]}, tmp_path / "small.safetensors")
    save_file({"w": np.concatenate([tile] * 16)}, tmp_path / "large.safetensors")
    paths = (str(tmp_path / name) for name in ("small.safetensors", "large.safetensors", "out"))
    call = [sys.executable, "-c", script, *paths]
    done = subprocess.run(call, check=True, capture_output=True, text=True, timeout=300)
    assert int(done.stdout) < 64 * 1024**2

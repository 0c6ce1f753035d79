"""Where an output goes: a folder or a file of a chosen name, whole or not at all, over nothing that is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from compression_engine import Recipe, Step, compress
from compression_engine.errors import EngineError
from compression_engine.placing import place, whole_folder
from compression_engine.replaying.replay import replay
from tests.engine import nets

WEIGHTS = Recipe("weights", (Step("quantize_weights"),))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_path_that_ends_in_onnx_is_the_weights_with_the_result_beside_them(mlp_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "made" / "small.onnx"
    result = compress(mlp_folder, WEIGHTS, output_folder=target)
    assert sorted(files(target.parent)) == ["small.RESULT.json", "small.onnx"]
    assert not [path for path in target.parent.iterdir() if path.is_dir()]
    assert result.document()["outputs"][0]["path"] == "small.onnx"
    assert files(target.parent)["small.RESULT.json"] == result.canonical()


def test_a_result_beside_a_file_is_replayed_into_a_folder_or_a_file(mlp_folder: Path, tmp_path: Path) -> None:
    result = compress(mlp_folder, WEIGHTS, output_folder=tmp_path / "small.onnx")
    for output, weights in (("again", "again/small.onnx"), ("again.onnx", "again.onnx")):
        digest = replay(tmp_path / "small.RESULT.json", parent=mlp_folder, output_folder=tmp_path / output)
        assert digest == result.document()["outputs"][0]["digest"]
        assert (tmp_path / weights).read_bytes() == (tmp_path / "small.onnx").read_bytes()


@pytest.mark.parametrize("taken", ["small.onnx", "small.RESULT.json"])
def test_nothing_that_is_there_is_overwritten(mlp_folder: Path, tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("mine")
    with pytest.raises(EngineError, match=taken) as refused:
        compress(mlp_folder, WEIGHTS, output_folder=tmp_path / "small.onnx")
    assert refused.value.code == "output_exists"
    assert files(tmp_path) == {taken: b"mine"}


@pytest.mark.parametrize("output", ["out", "small.onnx"])
def test_a_finished_result_of_the_same_recipe_is_called_what_it_is(
    mlp_folder: Path, tmp_path: Path, output: str
) -> None:
    """As after a kill between the last rename and the last word."""
    target = tmp_path / output
    compress(mlp_folder, WEIGHTS, output_folder=target)
    before = files(target if target.is_dir() else tmp_path)

    def again(recipe: Recipe = WEIGHTS) -> EngineError:
        with pytest.raises(EngineError) as refused:
            compress(mlp_folder, recipe, output_folder=target)
        assert refused.value.code == "output_exists"
        return refused.value

    assert "finished result of this recipe and this parent" in again().message
    assert "Nothing is to be done again" in again().hint
    other = Recipe("other", (Step("quantize_weights", {"min_elements": 2000}),))
    assert "result of another recipe" in again(other).message
    assert files(target if target.is_dir() else tmp_path) == before
    weights = target / "model.onnx" if target.is_dir() else target
    with weights.open("ab") as file:
        file.write(b"more")
    assert "was changed since" in again().message
    weights.unlink()
    assert "stopped after its result was written" in again().message


def test_a_name_that_is_taken_while_the_work_goes_on_stays_whose_it_is(tmp_path: Path) -> None:
    def work() -> None:
        with place(tmp_path / "small.onnx", "model.onnx") as given:
            given.weights.write_text("ours")
            given.result.write_text("ours")
            (tmp_path / "small.onnx").write_text("theirs")

    with pytest.raises(EngineError) as refused:
        work()
    assert refused.value.code == "output_exists"
    assert files(tmp_path) == {"small.onnx": b"theirs"}
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["../evil.onnx", "a/b.onnx", "", ".."])
def test_weights_cannot_be_named_out_of_their_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(EngineError) as refused, place(tmp_path / "here" / "out", name):
        pass
    assert refused.value.code == "result_invalid"
    assert not (tmp_path / "here").exists()


def test_a_place_where_nothing_can_be_written_is_told(mlp_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    places = ["file/small.onnx", "link", "a" * 250 + ".onnx", "a" * 250, "a" * 300, "d/" * 3000 + "x", "new.onnx/.."]
    for place_in_vain in [tmp_path / name for name in places] + [Path("/proc/nowhere/small.onnx")]:
        with pytest.raises(EngineError) as refused:
            compress(mlp_folder, WEIGHTS, output_folder=place_in_vain)
        assert refused.value.code in ("not_found", "output_exists"), place_in_vain
    assert not list(tmp_path.rglob("*partial*"))


def test_an_output_that_is_a_link_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, target in (("to_a_folder", "empty"), ("to_nothing", "nowhere")):
        (tmp_path / name).symlink_to(tmp_path / target)
        made = False
        with pytest.raises(EngineError, match="is a link") as refused, whole_folder(tmp_path / name):
            made = True
        assert (refused.value.code, made) == ("output_exists", False)


def test_a_model_keeps_its_format_and_that_is_said_before_anything_is_made(mlp_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        EngineError, match=r"a model stays of its format; small\.safetensors would be of another"
    ) as refused:
        compress(mlp_folder, WEIGHTS, output_folder=tmp_path / "small.safetensors")
    assert refused.value.code == "format_mismatch"
    assert refused.value.hint == "Give a name that ends in .onnx, or a folder."
    assert not (tmp_path / "small.RESULT.json").exists()


def test_a_stranger_compresses_with_one_line(tmp_path: Path) -> None:
    model = nets.save(nets.convolution(), tmp_path, "found.onnx")
    command = [sys.executable, "-m", "compression_engine", "compress", str(model)]
    command += ["--recipe", "smaller-same-speed", "--output", str(tmp_path / "OUT.onnx"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f'"result_path": "{tmp_path / "OUT.RESULT.json"}"' in done.stdout
    assert (tmp_path / "OUT.onnx").stat().st_size < model.stat().st_size / 3

"""A pipeline whose later step could do nothing says so before it trains; and what was trained is kept where it only shows after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from compression_engine.command_line import main
from compression_engine.recipe import Recipe, Step
from tests.engine import pipelines

TUNED = Step("fine_tune", {"epochs": 1, "batch_size": 64})
STATIC = Step("quantize_static")
WEIGHTS = Step("quantize_weights", {"min_elements": 100_000})


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pipelines.write(tmp_path_factory.mktemp("digits"), width=8)


def called(
    parent: Path, folder: Path, capsys: pytest.CaptureFixture[str], *steps: Step, **more: Path
) -> tuple[dict[str, Any], list[str]]:
    """The last line of a call, and the stages that were told of before it."""
    (folder / "recipe.json").write_bytes(Recipe("tried", steps, 5).canonical())
    given = {"recipe": folder / "recipe.json", "output": folder / "out", "training": parent / "training.npz"} | more
    options = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    main(["compress", str(parent), "--json", "--calibration", str(parent / "calibration.npz"), *options])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return lines[-1], [line["stage"] for line in lines[:-1]]


def test_a_step_that_could_do_nothing_is_told_before_anything_is_trained(
    parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line, stages = called(parent, tmp_path, capsys, TUNED, STATIC)
    assert line["code"] == "recipe_does_not_fit"
    assert line["message"].startswith("Step 2 (quantize_static) could do nothing, and nothing was trained: ")
    assert "leave it out and do fine_tune alone" in line["hint"]
    assert "train" not in stages
    assert "look" in stages


def test_what_shows_only_after_training_says_where_the_trained_model_lies(
    parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line, _ = called(parent, tmp_path, capsys, TUNED, WEIGHTS, resume=tmp_path / "kept")
    assert line["code"] == "nothing_to_compress"
    kept = tmp_path / "kept" / "step-1" / "model.onnx"
    assert f"What was trained is kept: {kept}." in line["hint"]
    onnx.checker.check_model(str(kept))
    lost, _ = called(parent, tmp_path, capsys, TUNED, WEIGHTS)
    assert "What was trained is lost: with --resume FOLDER" in lost["hint"]

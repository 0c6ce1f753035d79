"""`pressmark register-version --result` for what a shell trained: its rows, its teacher and what was done stand in the lineage."""

from __future__ import annotations

from pathlib import Path

import pytest

from compression_engine.pipeline import compress
from compression_engine.recipe import Recipe, Step
from compression_engine.steps.training_files import TrainingFiles
from registry import storage
from registry.catalog.models import ModelVersion
from tests.cli.conftest import Pressmark
from tests.world import World

Said = pytest.CaptureFixture[str]
TAUGHT, WEIGHTS = Step("fine_tune", {"epochs": 1, "loss": "teacher"}), Step("quantize_weights")


def test_what_a_shell_trained_is_registered_with_its_rows_and_its_teacher_and_not_without_them(
    pressmark: Pressmark, served: World, capsys: Said, tmp_path: Path
) -> None:
    parent, model, rows = served.version(), served.model("elsewhere"), served.arrays_dataset(uses=("training",))
    taught_by = served.version(files={("model.onnx", "weights"): served.tiny_onnx(seed=5)})
    for version, name in ((parent, "model.onnx"), (taught_by, "teacher.onnx")):
        (tmp_path / name).write_bytes(storage.read_bytes(version.artifacts.get(role="weights").digest))
    (tmp_path / "rows.npz").write_bytes(storage.read_bytes(rows.digest))
    given = TrainingFiles(rows=tmp_path / "rows.npz", teacher=tmp_path / "teacher.onnx")
    recipe = Recipe("taught", (TAUGHT, WEIGHTS), 3)
    result = compress(tmp_path / "model.onnx", recipe, output_folder=tmp_path / "made", training=given)
    words = ["register-version", str(model), str(tmp_path / "made" / "model.onnx"), "--licence", "MIT"]
    words += ["--result", str(tmp_path / "made" / "RESULT.json"), "--base", str(parent)]
    assert pressmark("ada", *words) == 1
    assert "A step looked at rows" in capsys.readouterr().err
    words += ["--data", served.reference(rows)]
    assert pressmark("ada", *words) == 1
    assert "It was made with another model (teacher, sha256:" in capsys.readouterr().err
    assert pressmark("ada", *words, "--teacher", str(served.version(seed=3))) == 1
    assert "is not what" in capsys.readouterr().err
    assert pressmark("ada", *words, "--teacher", str(taught_by), "--student", str(parent)) == 1
    assert "none but its parent" in capsys.readouterr().err
    assert not ModelVersion.objects.filter(model=model).exists()
    assert pressmark("ada", *words, "--teacher", str(taught_by)) == 0
    assert "`python -m compression_engine replay` shows it" in capsys.readouterr().out
    edges = {edge.role: edge for edge in ModelVersion.objects.get(model=model).parent_edges.all()}
    did = [method for step, method in zip(result.steps, ("fine-tuned", "quantized"), strict=True) if step["changed"]]
    assert (edges["base"].parent, edges["base"].operations) == (parent, did)
    assert (edges["teacher"].parent, edges["teacher"].operations) == (taught_by, ["distilled"])
    assert edges["data"].dataset_version == rows
    assert {edge.grade for edge in edges.values()} == {"declared"}


def test_what_its_parent_taught_in_a_shell_needs_no_teacher_and_is_not_made_again_here(
    pressmark: Pressmark, served: World, capsys: Said, tmp_path: Path
) -> None:
    parent, model, rows = served.version(), served.model("elsewhere"), served.arrays_dataset(uses=("training",))
    (tmp_path / "model.onnx").write_bytes(storage.read_bytes(parent.artifacts.get(role="weights").digest))
    (tmp_path / "rows.npz").write_bytes(storage.read_bytes(rows.digest))
    recipe, given = Recipe("taught", (TAUGHT, WEIGHTS), 3), TrainingFiles(rows=tmp_path / "rows.npz")
    compress(tmp_path / "model.onnx", recipe, output_folder=tmp_path / "made", training=given)
    words = ["register-version", str(model), str(tmp_path / "made" / "model.onnx"), "--licence", "MIT"]
    words += ["--result", str(tmp_path / "made" / "RESULT.json"), "--base", str(parent)]
    assert pressmark("ada", *words, "--data", served.reference(rows)) == 0
    child = ModelVersion.objects.get(model=model)
    assert {edge.role for edge in child.parent_edges.all()} == {"base", "data"}
    assert pressmark("ada", "replay-version", str(child), "--recipe", f"{model.team.slug}/taught@1") == 1
    assert "what was trained elsewhere is not made again here" in capsys.readouterr().err

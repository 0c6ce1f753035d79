"""`pressmark register-version --result` for what a shell trained: its rows, its teacher and what was done stand in the lineage."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch

from compression_engine.pipeline import compress
from compression_engine.recipe import Recipe, Step
from compression_engine.result import Result
from compression_engine.steps.training_files import TrainingFiles
from registry import storage
from registry.catalog import queries as catalog
from registry.catalog.models import Edge, ModelVersion
from registry.provenance.models import DatasetVersion
from tests.cli.conftest import Pressmark
from tests.engine.test_carried_roles import drawn
from tests.engine.test_carrying import PERCEPTRON
from tests.world import World

Said = pytest.CaptureFixture[str]
TAUGHT, WEIGHTS = Step("fine_tune", {"epochs": 1, "loss": "teacher"}), Step("quantize_weights")
STUDENT = Step("distill", {"student": "declared", "epochs": 1})


@dataclass
class Shell:
    """Somebody's folder with files of versions, in which the engine is called; `words` register what it made."""

    world: World
    folder: Path
    parent: ModelVersion
    rows: DatasetVersion
    words: list[str] = field(default_factory=list)

    def taken(self, version: ModelVersion, name: str) -> Path:
        """The weights of a version, as the shell has them."""
        target = self.folder / f"{name}.onnx"
        target.write_bytes(storage.read_bytes(version.artifacts.get(role="weights").digest))
        return target

    def made(self, *steps: Step, **beside: ModelVersion) -> Result:
        """What the engine makes of the parent with these models beside it."""
        rows = self.folder / "rows.npz"
        rows.write_bytes(storage.read_bytes(self.rows.digest))
        named: dict[str, Any] = {role: self.taken(version, role) for role, version in beside.items()}
        given, made = TrainingFiles(rows=rows, **named), self.folder / "made"
        result = compress(
            self.taken(self.parent, "parent"), Recipe("taught", steps, 3), output_folder=made, training=given
        )
        self.words = ["register-version", str(self.world.model("elsewhere")), str(made), "--licence", "MIT"]
        self.words += ["--result", str(made / "RESULT.json"), "--base", str(self.parent)]
        return result

    @property
    def with_rows(self) -> list[str]:
        """The words with the rows that steps looked at."""
        return [*self.words, "--data", self.world.reference(self.rows)]


@pytest.fixture
def shell(served: World, tmp_path: Path) -> Shell:
    """A folder, a parent and training rows."""
    return Shell(served, tmp_path, served.version(), served.arrays_dataset(uses=("training",)))


def edges() -> dict[str, Edge]:
    """Those of the one version that was made elsewhere, by role."""
    found = list(ModelVersion.objects.get(model__slug="elsewhere").parent_edges.all())
    assert {edge.grade for edge in found} == {"declared"}
    return {edge.role: edge for edge in found}


def models() -> dict[str, tuple[ModelVersion | None, list[str]]]:
    """The models in the lineage, by role, with what was done."""
    return {role: (edge.parent, list(edge.operations)) for role, edge in edges().items() if role != "data"}


def test_what_a_shell_trained_is_registered_with_its_rows_and_its_teacher_and_not_without_them(
    pressmark: Pressmark, shell: Shell, capsys: Said
) -> None:
    teacher = shell.world.version(seed=5)
    result = shell.made(TAUGHT, WEIGHTS, teacher=teacher)
    assert pressmark("ada", *shell.words) == 1
    assert "A step looked at rows" in capsys.readouterr().err
    words = shell.with_rows
    assert pressmark("ada", *words) == 1
    assert "It was made with another model (teacher, sha256:" in capsys.readouterr().err
    assert pressmark("ada", *words, "--teacher", str(shell.world.version(seed=3))) == 1
    assert "is not what" in capsys.readouterr().err
    assert pressmark("ada", *words, "--teacher", str(teacher), "--student", str(shell.parent)) == 1
    assert "none but its parent" in capsys.readouterr().err
    assert not ModelVersion.objects.filter(model__slug="elsewhere").exists()
    assert pressmark("ada", *words, "--teacher", str(teacher)) == 0
    assert "`python -m compression_engine replay` shows it" in capsys.readouterr().out
    did = [method for step, method in zip(result.steps, ("fine-tuned", "quantized"), strict=True) if step["changed"]]
    assert models() == {"base": (shell.parent, did), "teacher": (teacher, ["distilled"])}
    assert edges()["data"].dataset_version == shell.rows


def test_what_its_parent_taught_in_a_shell_needs_no_teacher_and_is_not_made_again_here(
    pressmark: Pressmark, shell: Shell, capsys: Said
) -> None:
    shell.made(TAUGHT, WEIGHTS)
    assert pressmark("ada", *shell.with_rows) == 0
    assert set(edges()) == {"base", "data"}
    child = ModelVersion.objects.get(model__slug="elsewhere")
    assert pressmark("ada", "replay-version", str(child), "--recipe", f"{child.model.team.slug}/taught@1") == 1
    assert "what was trained elsewhere is not made again here" in capsys.readouterr().err


def test_what_began_as_a_student_in_a_shell_has_the_edges_that_a_run_would_give_it(
    pressmark: Pressmark, shell: Shell, capsys: Said
) -> None:
    student = shell.world.version(files={("model.onnx", "weights"): shell.world.tiny_onnx(6, hidden=32)})
    shell.made(STUDENT, student=student)
    assert pressmark("ada", *shell.with_rows) == 1
    assert "It was made with another model (student-start, sha256:" in capsys.readouterr().err
    assert pressmark("ada", *shell.with_rows, "--student", str(student)) == 0
    assert models() == {"student-start": (student, ["distilled"]), "teacher": (shell.parent, ["distilled"])}


def test_beside_another_teacher_the_parent_of_a_student_stands_not_in_the_lineage(
    pressmark: Pressmark, shell: Shell
) -> None:
    student = shell.world.version(files={("model.onnx", "weights"): shell.world.tiny_onnx(6, hidden=32)})
    teacher = shell.world.version(seed=5)
    shell.made(STUDENT, student=student, teacher=teacher)
    words = [*shell.with_rows, "--student", str(student), "--teacher", str(teacher)]
    assert pressmark("ada", *words) == 0
    assert models() == {"student-start": (student, ["distilled"]), "teacher": (teacher, ["distilled"])}


def test_without_a_result_nobody_says_that_one_version_is_base_and_another_is_what_it_began_as(
    pressmark: Pressmark, shell: Shell, capsys: Said
) -> None:
    model, student = shell.world.model("elsewhere"), shell.world.version(seed=6)
    words = ["register-version", str(model), str(shell.taken(shell.world.version(seed=8), "own")), "--licence", "MIT"]
    assert pressmark("ada", *words, "--base", str(shell.parent), "--student", str(student)) == 1
    assert "What began as a student (student-start) has no base" in capsys.readouterr().err
    assert pressmark("ada", *words, "--teacher", str(shell.parent), "--student", str(student)) == 0
    assert models() == {"student-start": (student, []), "teacher": (shell.parent, [])}


def test_a_shells_child_of_a_model_of_torch_was_converted_first_and_is_made_again_by_its_recipe(
    pressmark: Pressmark, shell: Shell, capsys: Said
) -> None:
    parent, other = (declared_net(shell.world, title) for title in ("", "another"))
    folder = shell.folder / "torch"
    folder.mkdir()
    catalog.materialise(parent, folder)
    made = shell.folder / "made"
    compress(folder / "architecture.json", Recipe("smaller", (WEIGHTS,), 3), output_folder=made)
    words = ["register-version", str(shell.world.model("elsewhere")), str(made / "model.onnx"), "--licence", "MIT"]
    words += ["--result", str(made / "RESULT.json")]
    assert pressmark("ada", *words, "--base", str(other)) == 1
    architecture = other.artifacts.get(path="architecture.json").digest
    assert architecture != parent.artifacts.get(path="architecture.json").digest
    assert "about another parent: no file of" in capsys.readouterr().err
    assert pressmark("ada", *words, "--base", str(parent)) == 0
    assert models() == {"base": (parent, ["converted", "quantized"])}
    child = ModelVersion.objects.get(model__slug="elsewhere")
    assert pressmark("ada", "replay-version", str(child), "--recipe", f"{child.model.team.slug}/smaller@1") == 0


def declared_net(world: World, title: str) -> ModelVersion:
    """Tensors with their architecture; `title` is a word in it that changes no tensor."""
    document = PERCEPTRON | ({"output": title} if title else {})
    return world.version(
        files={
            ("model.safetensors", "weights"): safetensors.torch.save(drawn(PERCEPTRON)),
            ("architecture.json", "configuration"): json.dumps(document).encode(),
        }
    )

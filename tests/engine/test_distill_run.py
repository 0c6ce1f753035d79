"""distill in a run: the child is smaller, says who taught it, and is made again to the same bytes."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from compression_engine.canonical import digest_of
from compression_engine.command_line import main
from compression_engine.facts import PREFIX
from tests.engine import nets
from tests.engine.distilled import PLAN, QUICK, rows, taught, tower
from tests.engine.made import metadata


def asked(folder: Path, **parameters: Any) -> list[str]:
    """The command line that distils the trained tower, up to its output."""
    folder.mkdir(parents=True, exist_ok=True)
    parent = nets.save(taught(), folder / "parent")
    given = [{"name": name, "value": value} for name, value in (QUICK | {"epochs": 2} | parameters).items()]
    steps = [{"method": "distill", "parameters": given}]
    (folder / "recipe.json").write_text(json.dumps({"type": "pressmark/recipe/1", "name": "half", "steps": steps}))
    (folder / "plan.json").write_bytes(PLAN.canonical())
    training = nets.save_rows(rows(0, 400), folder / "training.npz")
    evaluation = nets.save_rows(rows(1300, 1500), folder / "evaluation.npz")
    return [
        "compress", str(parent), "--recipe", str(folder / "recipe.json"), "--plan", str(folder / "plan.json"),
        "--training", str(training), "--evaluation", str(evaluation), "--quick",
    ]  # fmt: skip


def run(arguments: list[str], *more: str) -> tuple[int, str]:
    """Exit code and words of the command line, called in this process."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = main([*arguments, *more])
    return code, said.getvalue()


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a child of a named teacher."""
    folder = tmp_path_factory.mktemp("distilled")
    teacher = nets.save(tower(3, 16, seed=9), folder / "teacher")
    code, said = run(asked(folder), "--output", str(folder / "child"), "--teacher", str(teacher))
    assert code == 0, said
    return folder


def result(work: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((work / "child" / "RESULT.json").read_bytes())
    return found


def test_the_result_names_parent_and_teacher_by_their_roles(work: Path) -> None:
    teacher = digest_of((work / "teacher" / "model.onnx").read_bytes())
    found = result(work)
    assert [(entry["role"], entry["digest"]) for entry in found["origins"]] == [("teacher", teacher)]
    assert found["parent"]["digest"] == digest_of((work / "parent" / "model.onnx").read_bytes())
    facts = metadata(work / "child" / "model.onnx")
    assert facts[f"{PREFIX}teacher_digest"] == teacher
    assert facts[f"{PREFIX}training_digest"] == digest_of((work / "training.npz").read_bytes())


def test_the_result_says_which_layers_the_student_has(work: Path) -> None:
    student = result(work)["steps"][0]["training"][0]["student"]
    assert len(student["layers_found"]) == 4
    assert len(student["layers_kept"]) == 2
    assert set(student["layers_kept"]) < set(student["layers_found"])
    parent, child = (work / name / "model.onnx" for name in ("parent", "child"))
    assert child.stat().st_size < 0.65 * parent.stat().st_size


def test_a_replay_makes_the_same_bytes(work: Path) -> None:
    code, said = run(
        ["replay", str(work / "child" / "RESULT.json"), "--parent", str(work / "parent" / "model.onnx")],
        "--output", str(work / "again.onnx"), "--training", str(work / "training.npz"),
        "--teacher", str(work / "teacher" / "model.onnx"),
    )  # fmt: skip
    assert code == 0, said
    assert (work / "again.onnx").read_bytes() == (work / "child" / "model.onnx").read_bytes()


def test_without_a_named_teacher_the_parent_is_the_teacher_and_a_student_that_nobody_wants_is_refused(
    tmp_path: Path,
) -> None:
    small = nets.save(tower(1), tmp_path / "small")
    command = asked(tmp_path, epochs=1)
    code, said = run(command, "--output", str(tmp_path / "refused"), "--student", str(small), "--json")
    assert (code, json.loads(said.splitlines()[-1])["code"]) == (1, "option_unused")
    assert run(command, "--output", str(tmp_path / "child"))[0] == 0
    (origin,) = result(tmp_path)["origins"]
    assert origin["role"] == "teacher"
    assert origin["digest"] == result(tmp_path)["parent"]["digest"]


def test_a_declared_student_is_an_origin_of_its_own(tmp_path: Path) -> None:
    small = nets.save(tower(1), tmp_path / "small")
    command = asked(tmp_path, student="declared", epochs=1)
    code, said = run(command, "--output", str(tmp_path / "child"), "--student", str(small))
    assert code == 0, said
    roles = {entry["role"]: entry["digest"] for entry in result(tmp_path)["origins"]}
    assert roles == {
        "teacher": result(tmp_path)["parent"]["digest"],
        "student-start": digest_of(small.read_bytes()),
    }

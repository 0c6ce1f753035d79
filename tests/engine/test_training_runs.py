"""Recipes that train, as a shell runs them: what they are handed, what is refused before anything runs, replays, killed runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from compression_engine.canonical import canonical, digest_of, parse_canonical
from compression_engine.command_line import main
from compression_engine.recipe import Recipe, Step
from tests.engine import made, pipelines
from tests.engine.killed import run_and_kill

TUNED = Step("fine_tune", {"epochs": 2, "batch_size": 64})
PRUNED = Step("prune_unstructured", {"min_elements": 400, "epochs_per_round": 1, "batch_size": 64})
HALF = Step("prune_unstructured", {"min_elements": 400})
WEIGHTS = Step("quantize_weights", {"min_elements": 400})
TAUGHT = Step("fine_tune", {"epochs": 1, "batch_size": 64, "loss": "teacher"})
Line = dict[str, Any]


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pipelines.write(tmp_path_factory.mktemp("digits"))


@pytest.fixture
def engine(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Line, list[Line]]]:
    """Calls the engine in this process: exit code, last line, lines before it."""

    def run(*arguments: object) -> tuple[int, Line, list[Line]]:
        code = main([*map(str, arguments), "--json"])
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return code, lines[-1], lines[:-1]

    return run


Engine = Callable[..., tuple[int, Line, list[Line]]]


def arguments(parent: Path, folder: Path, *steps: Step, out: str = "out", rows: bool = True) -> list[object]:
    recipe = folder / f"{out}-recipe.json"
    recipe.write_bytes(Recipe("tried", steps, 5).canonical())
    given: list[object] = [
        "compress",
        parent,
        "--recipe",
        recipe,
        "--output",
        folder / out,
        "--plan",
        parent / "plan.json",
    ]
    given += ["--quick", "--evaluation", parent / "evaluation.npz"]
    return [*given, "--training", parent / "training.npz"] if rows else given


def test_a_run_that_trains_says_with_what(parent: Path, tmp_path: Path, engine: Engine) -> None:
    code, line, _ = engine(*arguments(parent, tmp_path, TUNED, WEIGHTS))
    assert code == 0, line
    result = line["result"]
    digest = digest_of((parent / "training.npz").read_bytes())
    assert [entry["digest"] for entry in result["data"] if entry["role"] == "training"] == [digest]
    facts = {fact["name"]: fact["value"] for fact in result["environment"]}
    assert facts["device"] == "cpu"
    assert facts["torch"]
    assert made.metadata(tmp_path / "out" / "model.onnx")["pressmark.training_digest"] == digest
    assert result["origins"] == []
    assert result["steps"][0]["training"]
    assert {entry["document"]["kind"] for entry in result["evidence"]} >= {"step", "seen"}


def test_a_recipe_that_trains_and_gets_no_rows_is_refused_before_anything_is_read(
    parent: Path, tmp_path: Path, engine: Engine
) -> None:
    code, line, before = engine(*arguments(parent, tmp_path, HALF, TUNED, rows=False))
    assert (code, line["code"], before) == (1, "data_missing", [])
    assert line["message"].startswith("Step 2: fine_tune needs training rows")
    assert "--training" in line["hint"]


@pytest.mark.parametrize("option", ["--training", "--teacher", "--student", "--device"])
def test_what_no_step_asks_for_is_refused(parent: Path, tmp_path: Path, engine: Engine, option: str) -> None:
    value = "cpu" if option == "--device" else parent / "model.onnx"
    code, line, before = engine(*arguments(parent, tmp_path, WEIGHTS, rows=False), option, value)
    assert (code, line["code"], before) == (1, "option_unused", [])
    assert option in line["message"]


def test_a_teacher_is_refused_where_labels_alone_are_learned(parent: Path, tmp_path: Path, engine: Engine) -> None:
    code, line, _ = engine(*arguments(parent, tmp_path, TUNED), "--teacher", parent / "model.onnx")
    assert (code, line["code"]) == (1, "option_unused")


def test_a_student_that_is_asked_for_and_not_given_is_refused(parent: Path, tmp_path: Path, engine: Engine) -> None:
    code, line, _ = engine(*arguments(parent, tmp_path, Step("distill", {"student": "declared"})))
    assert (code, line["code"]) == (1, "data_missing")
    assert "--student" in line["hint"]


def test_a_device_that_is_not_there_is_refused(parent: Path, tmp_path: Path, engine: Engine) -> None:
    code, line, before = engine(*arguments(parent, tmp_path, TUNED), "--device", "cuda:99")
    assert (code, line["code"], before) == (1, "device_missing", [])


def test_rows_that_are_trained_on_are_not_judged_by_and_nothing_is_trained_first(
    parent: Path, tmp_path: Path, engine: Engine
) -> None:
    given = arguments(parent, tmp_path, TUNED)
    given[given.index("--training") + 1] = parent / "evaluation.npz"
    code, line, before = engine(*given)
    assert (code, line["code"]) == (1, "evaluation_seen")
    assert "train" not in {entry["stage"] for entry in before}


def test_a_teacher_that_is_the_parent_or_another_model_is_named(parent: Path, tmp_path: Path, engine: Engine) -> None:
    shutil.copytree(parent, tmp_path / "teacher")
    _nudged(tmp_path / "teacher" / "model.onnx")
    _, line, _ = engine(*arguments(parent, tmp_path, HALF, TAUGHT, out="by-parent"))
    found = line["result"]["origins"]
    assert [(entry["role"], entry["digest"]) for entry in found] == [("teacher", line["result"]["parent"]["digest"])]
    code, line, _ = engine(*arguments(parent, tmp_path, HALF, TAUGHT), "--teacher", tmp_path / "teacher")
    assert code == 0, line
    digest = digest_of((tmp_path / "teacher" / "model.onnx").read_bytes())
    assert [(entry["role"], entry["digest"]) for entry in line["result"]["origins"]] == [("teacher", digest)]
    assert made.metadata(tmp_path / "out" / "model.onnx")["pressmark.teacher_digest"] == digest
    again: tuple[object, ...] = ("replay", tmp_path / "out" / "RESULT.json", "--parent", parent)
    again = (*again, "--output", tmp_path / "again", "--training", parent / "training.npz")
    code, said, _ = engine(*again)
    assert (code, said["code"]) == (1, "data_missing")
    assert digest in said["message"]
    code, said, _ = engine(*again, "--teacher", parent)
    assert (code, said["code"]) == (1, "replay_data_differs")
    code, said, _ = engine(*again, "--teacher", tmp_path / "teacher")
    assert (code, said.get("digest")) == (0, line["result"]["outputs"][0]["digest"]), said


def _nudged(file: Path) -> None:
    model = onnx.load(file)
    tensor = model.graph.initializer[0]
    changed = onnx.numpy_helper.to_array(tensor) + np.float32(0.01)
    tensor.CopyFrom(onnx.numpy_helper.from_array(changed, tensor.name))
    onnx.save(model, file)


def test_a_result_that_was_trained_is_made_again_to_the_byte(parent: Path, tmp_path: Path, engine: Engine) -> None:
    _, line, _ = engine(*arguments(parent, tmp_path, PRUNED, TUNED, WEIGHTS))
    digest = line["result"]["outputs"][0]["digest"]
    again = ("replay", tmp_path / "out" / "RESULT.json", "--parent", parent)
    code, said, _ = engine(*again, "--output", tmp_path / "a", "--training", parent / "training.npz")
    assert (code, said.get("digest")) == (0, digest), said
    code, said, _ = engine(*again, "--output", tmp_path / "b")
    assert (code, said["code"]) == (1, "data_missing")
    assert digest_of((parent / "training.npz").read_bytes()) in said["message"]
    code, said, _ = engine(*again, "--output", tmp_path / "b", "--training", parent / "other.npz")
    assert (code, said["code"]) == (1, "replay_data_differs")
    report = ("--recorded", tmp_path / "out" / "model.onnx", "--report", tmp_path / "report.json")
    code, said, _ = engine(*again, *report, "--training", parent / "training.npz")
    assert (code, said["report"]["outcome"]) == (0, "bit-exact"), said
    assert said["report"]["training"]["role"] == "training"


def test_what_another_torch_trained_cannot_be_told_apart_here(parent: Path, tmp_path: Path, engine: Engine) -> None:
    engine(*arguments(parent, tmp_path, TUNED))
    path = tmp_path / "out" / "RESULT.json"
    document = parse_canonical(path.read_bytes())
    for name, value, code in (("torch", "1.0", "replay_processor_differs"), ("torch", None, "replay_differs")):
        changed = json.loads(json.dumps(document))
        changed["outputs"][0]["digest"] = f"sha256:{'0' * 64}"
        changed["tensors"][0]["digest"] = f"sha256:{'0' * 64}"
        for fact in changed["environment"]:
            if fact["name"] == name and value is not None:
                fact["value"] = value
        path.write_bytes(canonical(changed))
        again = (
            "replay",
            path,
            "--parent",
            parent,
            "--output",
            tmp_path / "again",
            "--training",
            parent / "training.npz",
        )
        assert engine(*again)[1]["code"] == code


def test_a_second_attempt_does_no_finished_step_again_and_comes_to_the_same_bytes(
    parent: Path, tmp_path: Path, engine: Engine
) -> None:
    _, whole, _ = engine(*arguments(parent, tmp_path, PRUNED, TUNED, WEIGHTS, out="whole"))
    given = [*arguments(parent, tmp_path, PRUNED, TUNED, WEIGHTS), "--resume", tmp_path / "kept"]
    _, first, _ = engine(*given)
    shutil.rmtree(tmp_path / "out")
    shutil.rmtree(tmp_path / "kept" / "step-3")
    code, second, before = engine(*given)
    assert code == 0, second
    stages = [entry["stage"] for entry in before]
    assert "train" not in stages
    assert [entry["message"] for entry in before if entry["stage"] == "resume"] == [
        f"step {number} was finished by an earlier attempt" for number in (1, 2)
    ]
    for one in (first, second):
        for name in ("outputs", "steps", "tensors", "quantization_map", "graph_digest", "recipe_digest"):
            assert one["result"][name] == whole["result"][name], name


@pytest.mark.parametrize("damage", ["cut", "changed", "STEP.json"])
def test_a_damaged_step_and_those_behind_it_are_done_anew(
    parent: Path, tmp_path: Path, engine: Engine, damage: str
) -> None:
    given = [*arguments(parent, tmp_path, PRUNED, WEIGHTS), "--resume", tmp_path / "kept"]
    _, first, _ = engine(*given)
    shutil.rmtree(tmp_path / "out")
    file = tmp_path / "kept" / "step-1" / ("STEP.json" if damage == "STEP.json" else "model.onnx")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data[:-7]) if damage == "cut" else bytes(data))
    code, second, before = engine(*given)
    assert code == 0, second
    assert any("damaged" in entry["message"] for entry in before if entry["stage"] == "resume")
    assert second["result"]["outputs"] == first["result"]["outputs"]


@pytest.mark.parametrize("change", ["recipe", "rows", "parent"])
def test_the_folder_of_another_run_is_refused_and_stays_what_it_is(
    parent: Path, tmp_path: Path, engine: Engine, change: str
) -> None:
    engine(*arguments(parent, tmp_path, PRUNED, WEIGHTS), "--resume", tmp_path / "kept")
    before = {path: path.read_bytes() for path in sorted((tmp_path / "kept").rglob("*")) if path.is_file()}
    steps = (PRUNED, WEIGHTS) if change != "recipe" else (PRUNED, Step("quantize_weights", {"min_elements": 500}))
    other = parent
    if change == "parent":
        other = tmp_path / "other"
        shutil.copytree(parent, other)
        _nudged(other / "model.onnx")
    given = arguments(other, tmp_path, *steps, out="second")
    if change == "rows":
        given[given.index("--training") + 1] = parent / "other.npz"
    code, line, _ = engine(*given, "--resume", tmp_path / "kept")
    assert (code, line["code"]) == (1, "resume_differs"), line
    assert {"recipe": "recipe", "rows": "training", "parent": "parent"}[change] in line["message"]
    assert {path: path.read_bytes() for path in sorted((tmp_path / "kept").rglob("*")) if path.is_file()} == before


def test_the_folder_of_a_run_with_another_teacher_is_refused(parent: Path, tmp_path: Path, engine: Engine) -> None:
    shutil.copytree(parent, tmp_path / "other")
    _nudged(tmp_path / "other" / "model.onnx")
    resume = ("--resume", tmp_path / "kept")
    engine(*arguments(parent, tmp_path, TAUGHT, WEIGHTS), *resume)
    given = arguments(parent, tmp_path, TAUGHT, WEIGHTS, out="second")
    code, line, _ = engine(*given, *resume, "--teacher", tmp_path / "other" / "model.onnx")
    assert (code, line["code"]) == (1, "resume_differs"), line
    assert "not the same teacher" in line["message"]


def test_a_folder_that_cannot_be_used_is_refused(parent: Path, tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("of somebody")
    os.symlink(tmp_path / "full", tmp_path / "link")
    for name, code in (("file", "not_found"), ("full", "resume_differs"), ("link", "work_differs")):
        line = engine(*arguments(parent, tmp_path, WEIGHTS, rows=False), "--resume", tmp_path / name)[1]
        assert line["code"] == code, (name, line)
    assert (tmp_path / "full" / "letter.txt").read_text() == "of somebody"


def test_steps_that_other_libraries_finished_are_done_anew(parent: Path, tmp_path: Path, engine: Engine) -> None:
    given = [*arguments(parent, tmp_path, PRUNED, WEIGHTS), "--resume", tmp_path / "kept"]
    _, first, _ = engine(*given)
    shutil.rmtree(tmp_path / "out")
    run = tmp_path / "kept" / "RUN.json"
    run.write_bytes(canonical(parse_canonical(run.read_bytes()) | {"surroundings": f"sha256:{'1' * 64}"}))
    _, second, before = engine(*given)
    assert any("other libraries" in entry["message"] for entry in before if entry["stage"] == "resume")
    assert second["result"]["outputs"] == first["result"]["outputs"]


def test_a_run_that_is_killed_while_it_trains_goes_on_to_the_same_bytes(
    parent: Path, tmp_path: Path, engine: Engine
) -> None:
    steps = (PRUNED, Step("fine_tune", {"epochs": 3, "batch_size": 64}), WEIGHTS)
    _, whole, _ = engine(*arguments(parent, tmp_path, *steps, out="whole"))
    points = tmp_path / "kept" / "training"
    given = [*arguments(parent, tmp_path, *steps), "--resume", tmp_path / "kept"]
    run_and_kill(given, step=2, points=20)  # of 13 updates an epoch
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "kept" / "step-1" / "STEP.json").exists()
    assert list(points.glob("step-2-*.json"))
    code, second, before = engine(*given)
    assert code == 0, second
    assert any(entry["message"] == "step 1 was finished by an earlier attempt" for entry in before)
    assert any(entry["message"].startswith("going on in epoch 2") for entry in before)
    assert not list(points.iterdir())  # nobody goes on inside of a step that is finished
    assert second["result"]["outputs"] == whole["result"]["outputs"]


def test_a_step_that_trained_and_found_nothing_better_is_told_beside_others_and_alone_is_an_error(
    parent: Path, tmp_path: Path, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing answers more like the parent than the parent: its own answers teach nothing new."""
    code, line, _ = engine(*arguments(parent, tmp_path, TAUGHT, WEIGHTS))
    assert code == 0, line
    first, second = line["result"]["steps"]
    assert first["changed"] == []
    assert first["left"]
    assert second["changed"]
    assert main([*map(str, arguments(parent, tmp_path, TAUGHT, WEIGHTS, out="told"))]) == 0
    assert "Step 1 (fine_tune) changed nothing: " in capsys.readouterr().out
    for steps in ((TAUGHT,), (TAUGHT, TAUGHT)):
        code, line, _ = engine(*arguments(parent, tmp_path, *steps, out="alone"))
        assert (code, line["code"]) == (1, "nothing_to_compress")

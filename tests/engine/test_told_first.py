"""What the engine says first in a shell: what was lost, for whom, what may hide, and what this call cannot know."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from compression_engine.commands.told_first import words_of
from compression_engine.evaluation import evaluate
from compression_engine.plan import Plan
from tests.engine import faults, nets


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("told")
    faults.write_data(folder, measures=["comparison", "quality"])
    faults.write_parent(folder / "parent" / "model.onnx")
    faults.write(folder / "child" / "model.onnx", faults.one_group)
    return folder


def said(folder: Path, target: Path, *words: object) -> str:
    command = [sys.executable, "-m", "compression_engine", "evaluate", folder / "child", "--output", target]
    command += ["--data", folder / "evaluation.npz", *words, "--quick"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("\n\n")[0]


def test_what_was_lost_for_whom_and_what_may_hide_stands_on_top(material: Path, tmp_path: Path) -> None:
    plan = material / "plan.json"
    top = said(material, tmp_path / "r.json", "--plan", plan, "--parent", material / "parent")
    lines = top.splitlines()
    assert lines[0] == "In short"
    assert "Accuracy is -3.21 points against the original" in lines[1]
    assert any("smaller one may hide" in line for line in lines)
    assert any("this one fares worst" in line and "group = b" in line for line in lines)
    assert len(lines) < 6


def test_that_nothing_was_compared_is_said(material: Path, tmp_path: Path) -> None:
    assert "nothing here says what was lost" in said(material, tmp_path / "r.json", "--plan", material / "plan.json")


def test_that_probabilities_were_likely_called_logits_is_said_and_stands_in_every_document(tmp_path: Path) -> None:
    node = helper.make_node("Sigmoid", ["x"], ["y"])
    ports = ({"x": (TensorProto.FLOAT, ["n", 1])}, {"y": (TensorProto.FLOAT, ["n", 1])})
    model = nets.save(nets.model([node], {}, *ports), tmp_path)
    values = np.linspace(-3, 3, 40, dtype=np.float32)[:, None]
    rows = nets.save_rows({"x": values, "label": (values[:, 0] > 0).astype(np.int64)}, tmp_path / "rows.npz")
    inputs = (("x", "x"),)
    plan = Plan(task="classification", inputs=inputs, label="label", scores="logits", measures=("quality",))
    found = evaluate(model, data=rows, plan=plan).document()
    doubt = {"name": "scores_doubted", "value": "logits that all lie in 0..1"}
    assert all(doubt in entry["document"]["environment"] for entry in found["evidence"])
    assert "taken for the second class" in words_of(found)[1]
    right = evaluate(model, data=rows, plan=replace(plan, scores="probabilities")).document()
    assert "scores_doubted" not in json.dumps(right)
    assert not any("second class" in line for line in words_of(right))


def test_a_class_that_the_plan_calls_otherwise_has_a_line_of_its_own_however_few_its_rows_are(tmp_path: Path) -> None:
    net = nets.save(nets.mlp(), tmp_path / "version")
    names = [f"class {number}" for number in range(48)]
    labels = [names[place % 48] for place in range(400)]
    labels[7], labels[100], labels[200] = "no", "no", "maybe"
    rows = nets.save_rows(nets.rows_for("x", 400) | {"label": np.array(labels)}, tmp_path / "rows.npz")
    plan = Plan(task="classification", inputs=(("x", "x"),), label="label", classes=tuple(names), measures=("quality",))
    document = evaluate(net, data=rows, plan=plan).document()
    assert document["data"][0]["unlisted_labels"] == [{"label": "no", "rows": 2}, {"label": "maybe", "rows": 1}]
    told = words_of(document)
    assert "  label 'no': 2 rows, is none of the plan's classes." in told
    assert "  label 'maybe': 1 row, is none of the plan's classes." in told


def test_that_no_label_was_named_is_said(material: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text('{"type":"pressmark/evaluation_plan/1","task":"classification","measures":["fidelity"]}')
    top = said(material, tmp_path / "r.json", "--plan", plan, "--parent", material / "parent")
    assert "only which are the same" in top


def test_rows_that_could_not_be_used_are_said_above_everything_with_how_many(material: Path, tmp_path: Path) -> None:
    with np.load(material / "evaluation.npz") as found:
        arrays = dict(found)
    name = next(name for name, array in arrays.items() if array.dtype.kind == "f")
    total = len(arrays[name])
    arrays[name][1:301, ...] = np.nan
    np.savez(tmp_path / "rows.npz", **arrays)
    words = ("--data", tmp_path / "rows.npz", "--plan", material / "plan.json")
    first = said(material, tmp_path / "r.json", *words).splitlines()[1]
    assert f"300 of {total:,} evaluation rows could not be used and count nowhere: row 2: NaN or infinity." in first

"""Temperature as a step of a recipe: probabilities fit the labels afterwards, the order of classes stays, bytes repeat."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from compression_engine.answers.outputs import Field, Outputs
from compression_engine.canonical import parse_canonical
from compression_engine.errors import EngineError
from compression_engine.measure import calibration as measured
from compression_engine.measure.context import Context
from compression_engine.methods import METHODS, calibrate_temperature
from compression_engine.methods.report import Report
from compression_engine.pipeline import Settings, compress
from compression_engine.plan import Plan
from compression_engine.progress import silent
from compression_engine.recipe import Recipe, Step
from compression_engine.replaying.replay import replay
from compression_engine.steps.calibration import Calibration
from tests.engine import nets

FEATURES, CLASSES, SHARPNESS = 12, 5, 2.5
RECIPE = Recipe("calibrated", (Step("calibrate_temperature"),))
QUICK = Settings(rounds=3, memory_repeats=1)


def weights() -> np.ndarray[Any, Any]:
    return np.random.default_rng(6).normal(size=(FEATURES, CLASSES)) * 0.5


def classifier(
    *last: str, sharpness: float = SHARPNESS, dtype: Any = np.float32, columns: int = CLASSES
) -> onnx.ModelProto:
    """x [rows, 12] -> logits that are too large by `sharpness` -> the last nodes -> y."""
    names = ["logits", *(f"a{place}" for place in range(len(last)))]
    nodes = [helper.make_node("MatMul", ["x", "w"], [names[0] if last else "y"])]
    for place, kind in enumerate(last):
        output = "y" if place == len(last) - 1 else names[place + 1]
        nodes.append(helper.make_node(kind, [names[place]], [output]))
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    ports = ({"x": (kind, ["n", FEATURES])}, {"y": (kind, ["n", columns])})
    return nets.model(nodes, {"w": (sharpness * weights()[:, :columns]).astype(dtype)}, *ports)


def rows(count: int, seed: int, columns: int = CLASSES) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Inputs, and labels drawn from the probabilities of the model that is not too sharp."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, FEATURES)).astype(np.float32)
    logits = x @ weights()[:, :columns]
    if columns == 1:
        return x, (generator.random(count) < 1 / (1 + np.exp(-logits[:, 0]))).astype(np.int64)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return x, (chances.cumsum(axis=1) < generator.random((count, 1))).sum(axis=1).clip(0, columns - 1)


def applied(
    net: onnx.ModelProto, folder: Path, *, count: int = 3000, columns: int = CLASSES, plan: Plan | None = None
) -> tuple[onnx.ModelProto, Report]:
    x, labels = rows(count, 1, columns)
    path = folder / "calibration.npz"
    kind = helper.tensor_dtype_to_np_dtype(net.graph.input[0].type.tensor_type.elem_type)
    np.savez(path, allow_pickle=False, x=x.astype(kind), label=labels)
    changed, report = onnx.ModelProto(), Report()
    changed.CopyFrom(net)
    step = Step("calibrate_temperature")
    calibrate_temperature.apply(changed, dict(step.parameters), report, silent, Calibration.of(path, plan, None))
    onnx.checker.check_model(changed, full_check=True)
    return changed, report


def divided_by(report: Report) -> float:
    return float(str(report.changed[0]["how"]).split()[3])


@pytest.mark.parametrize(
    "last",
    [(), ("Identity",), ("Softmax",), ("LogSoftmax",), ("Softmax", "Identity"), ("Identity", "Softmax", "Identity")],
)
def test_probabilities_are_those_of_scores_divided_by_the_fitted_number(last: tuple[str, ...], tmp_path: Path) -> None:
    net = classifier(*last)
    changed, report = applied(net, tmp_path)
    temperature = divided_by(report)
    assert temperature == pytest.approx(SHARPNESS, rel=0.1)
    x, _ = rows(50, 9)
    after = nets.answer(changed, {"x": x})[0]
    logits = nets.answer(classifier(), {"x": x})[0] / temperature
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wanted = {"Softmax": chances, "LogSoftmax": np.log(chances)}.get(next((k for k in last if "Soft" in k), ""), logits)
    assert np.abs(after - wanted).max() < 1e-4
    assert (after.argmax(axis=1) == nets.answer(net, {"x": x})[0].argmax(axis=1)).all()


def test_the_calibration_error_on_rows_that_were_not_fitted_falls_to_what_chance_shows(tmp_path: Path) -> None:
    net = classifier()
    changed, _ = applied(net, tmp_path)
    x, labels = rows(4000, 2)
    fields = {
        role: {"answer": Field(nets.answer(m, {"x": x})[0])} for role, m in (("version", changed), ("parent", net))
    }
    plan = Plan(task="classification", label="label", scores="logits")
    found = measured.measure(Context(Outputs(fields, labels=Field(labels)), plan))[0].measurements
    figures = {entry.metric: entry for entry in found if not entry.slice}
    assert figures["expected_calibration_error"].low == 0
    assert figures["parent_expected_calibration_error"].low > 0.1
    assert figures["expected_calibration_error_difference"].high < -0.1


def test_one_column_is_divided_before_its_sigmoid(tmp_path: Path) -> None:
    changed, report = applied(classifier("Sigmoid", columns=1), tmp_path, columns=1)
    assert divided_by(report) == pytest.approx(SHARPNESS, rel=0.25)
    operators = [node.op_type for node in changed.graph.node]
    assert operators == ["MatMul", "Mul", "Sigmoid"]


def test_half_precision_stays_half_precision(tmp_path: Path) -> None:
    changed, _ = applied(classifier("Softmax", dtype=np.float16), tmp_path)
    x, _ = rows(10, 3)
    assert nets.answer(changed, {"x": x.astype(np.float16)})[0].dtype == np.float16


def test_whoever_else_reads_the_scores_reads_them_divided(tmp_path: Path) -> None:
    net = classifier()
    net.graph.node.append(helper.make_node("Softmax", ["y"], ["probabilities"]))
    net.graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", CLASSES]))
    changed, report = applied(net, tmp_path)
    x, _ = rows(20, 3)
    logits, chances = nets.answer(changed, {"x": x})
    assert np.abs(chances - np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).max() < 1e-5
    assert np.abs(logits * divided_by(report) - nets.answer(net, {"x": x})[0]).max() < 1e-3


def test_a_model_that_needs_none_is_left_as_it_is_with_the_reason(tmp_path: Path) -> None:
    first, _ = applied(classifier(), tmp_path)
    again, left = applied(first, tmp_path)
    assert left.changed == []
    assert left.left == [{"name": "y", "reason": "its best temperature is 1"}]
    assert again == first


def refused(net: onnx.ModelProto, folder: Path, **settings: Any) -> EngineError:
    with pytest.raises(EngineError) as error:
        applied(net, folder, **settings)
    return error.value


def test_what_cannot_be_calibrated_is_refused_with_a_reason(tmp_path: Path) -> None:
    assert "60 labelled calibration rows, 100" in refused(classifier(), tmp_path, count=60).message
    assert refused(classifier("Softmax", "Abs"), tmp_path).code == "recipe_does_not_fit"
    regression = Plan(task="regression", label="label")
    assert "needs classes" in refused(classifier(), tmp_path, plan=regression).message
    wrong = classifier()
    wrong.graph.initializer[0].raw_data = (-10 * weights()).astype(np.float32).tobytes()
    assert "No temperature fits" in refused(wrong, tmp_path).message
    without = Plan(task="classification", label="truth")
    assert refused(classifier(), tmp_path, plan=without).code == "data_does_not_fit"


def made(folder: Path, recipe: Recipe = RECIPE, *, calibration: bool = True) -> Path:
    """A compression with rows on disk; returns its RESULT.json."""
    nets.save(classifier("Softmax"), folder / "parent")
    for name, seed in (("calibration", 1), ("evaluation", 2)):
        x, labels = rows(600, seed)
        np.savez(folder / f"{name}.npz", allow_pickle=False, x=x, label=labels)
    compress(
        folder / "parent", recipe, evaluation=folder / "evaluation.npz", output_folder=folder / "out",
        calibration=folder / "calibration.npz" if calibration else None, settings=QUICK,
    )  # fmt: skip
    return folder / "out" / "RESULT.json"


def test_a_recipe_that_only_calibrates_gives_a_version_though_it_saves_nothing(tmp_path: Path) -> None:
    result = parse_canonical(made(tmp_path).read_bytes())
    assert result["outputs"][0]["size_bytes"] >= result["parent"]["size_bytes"]
    assert result["steps"][0]["method"] == "calibrate_temperature"
    assert "600 calibration rows" in json.dumps(result["steps"])
    assert [entry["role"] for entry in result["data"]] == ["calibration", "evaluation"]


def test_a_recipe_with_a_step_that_should_shrink_must_still_shrink(tmp_path: Path) -> None:
    tiny = Recipe("tiny", (Step("quantize_weights", {"min_elements": 60}), Step("calibrate_temperature")))
    with pytest.raises(EngineError) as error:
        made(tmp_path, tiny)
    assert error.value.code == "output_not_smaller"
    assert not (tmp_path / "out").exists()


def test_calibration_rows_are_demanded(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="Step 1: calibrate_temperature needs calibration rows") as error:
        made(tmp_path, calibration=False)
    assert error.value.code == "data_missing"


def test_a_replay_with_the_same_rows_gives_the_same_bytes_and_with_others_is_refused(tmp_path: Path) -> None:
    result = made(tmp_path)
    where = {"parent": tmp_path / "parent", "calibration": tmp_path / "calibration.npz"}
    digest = replay(result, output_folder=tmp_path / "again", **where)
    assert digest == parse_canonical(result.read_bytes())["outputs"][0]["digest"]
    with pytest.raises(EngineError) as error:
        replay(result, output_folder=tmp_path / "other", **where | {"calibration": tmp_path / "evaluation.npz"})
    assert error.value.code == "replay_data_differs"
    with pytest.raises(EngineError) as error:
        replay(result, output_folder=tmp_path / "none", parent=tmp_path / "parent")
    assert error.value.code == "data_missing"


def test_the_method_says_that_it_looks_at_data_and_saves_nothing() -> None:
    spec = METHODS["calibrate_temperature"]
    assert (spec.needs_calibration, spec.shrinks) == (True, False)
    saving_nothing = {name for name, other in METHODS.items() if not other.shrinks}
    assert saving_nothing == {"calibrate_temperature", "fine_tune", "prune_unstructured"}


def test_a_replay_from_the_shell_is_given_the_calibration_rows(tmp_path: Path) -> None:
    result = made(tmp_path)
    command = [sys.executable, "-m", "compression_engine", "replay", str(result), "--parent", str(tmp_path / "parent")]
    command += ["--output", str(tmp_path / "again"), "--calibration", str(tmp_path / "calibration.npz"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout.splitlines()[-1])["same"] is True, done.stdout

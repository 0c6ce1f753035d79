"""Recipes of several steps: what each leaves on the same rows, and a budget that ends the work with the last state that held."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compression_engine.canonical import digest_of, parse_canonical
from compression_engine.command_line import main
from compression_engine.formats import onnx_io
from compression_engine.measure.statistics.intervals import paired_share_interval
from compression_engine.progress import silent
from compression_engine.recipe import Recipe, Step
from compression_engine.searching.bounds import figures
from compression_engine.searching.kept import Kept
from compression_engine.steps.budget_kept import StepBudget
from compression_engine.steps.making import make
from tests.engine import made, pipelines

WEIGHTS = Step("quantize_weights", {"min_elements": 400})
COARSE = Step("quantize_weights", {"min_elements": 400, "bits": 4})
SOME = Step("prune_unstructured", {"min_elements": 400, "sparsity_per_mille": 150})
MORE = Step("prune_unstructured", {"min_elements": 400, "sparsity_per_mille": 250})
HARD = Step("prune_unstructured", {"min_elements": 400, "sparsity_per_mille": 600})
MOST = Step("prune_unstructured", {"min_elements": 400, "sparsity_per_mille": 970, "scope": "global"})
TEMPERATURE = Step("calibrate_temperature")


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pipelines.write(tmp_path_factory.mktemp("digits"))


class Called:
    """Calls `compress` as a shell does."""

    def __init__(self, parent: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.parent, self.folder, self._capsys = parent, folder, capsys

    def compress(self, *steps: Step, options: tuple[object, ...] = (), out: str = "out") -> tuple[int, dict[str, Any]]:
        recipe = self.folder / f"{out}-recipe.json"
        recipe.parent.mkdir(parents=True, exist_ok=True)
        recipe.write_bytes(Recipe("tried", steps, 5).canonical())
        named: list[object] = ["--recipe", recipe, "--output", self.folder / out, "--plan", self.parent / "plan.json"]
        for role in ("evaluation", "calibration"):
            if f"--{role}" not in options:
                named += [f"--{role}", self.parent / f"{role}.npz"]
        code = main(["compress", str(self.parent), "--json", "--quick", *map(str, [*named, *options])])
        return code, json.loads(self._capsys.readouterr().out.splitlines()[-1])


@pytest.fixture
def called(parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Called:
    return Called(parent, tmp_path / "work", capsys)


def steps_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry["document"] for entry in result["evidence"] if entry["document"]["kind"] == "step"]


def facts_of(document: dict[str, Any]) -> dict[str, str]:
    return {fact["name"]: fact["value"] for fact in document["environment"]}


def test_each_of_two_steps_leaves_its_own_figures_overall_and_by_slice(called: Called) -> None:
    code, line = called.compress(SOME, WEIGHTS)
    assert code == 0, line
    documents = steps_of(line["result"])
    assert [facts_of(document)["step_method"] for document in documents] == [SOME.method, WEIGHTS.method]
    for document in documents:
        figures = {
            (figure["metric"], *(part["value"] for part in figure["slice"])): figure for figure in document["figures"]
        }
        assert {key[1:] for key in figures if key[0] == "step_quality_lost"} == {(), ("small",), ("large",)}
        whole = figures["step_top1_agreement",]
        assert whole["n"] == 400
        assert float(whole["low"]) < float(whole["value"]) < float(whole["high"])
        parts = [figures["step_top1_agreement", group] for group in ("small", "large")]
        shares = sum(float(part["value"]) * part["n"] for part in parts) / sum(part["n"] for part in parts)
        assert shares == pytest.approx(float(whole["value"]), abs=1e-9)
    assert line["result"]["budget"] is None


def test_the_last_step_says_what_the_comparison_of_the_child_says(called: Called) -> None:
    _, line = called.compress(SOME, COARSE)
    last = {
        figure["metric"]: figure["value"] for figure in steps_of(line["result"])[-1]["figures"] if not figure["slice"]
    }
    child = {
        figure["metric"]: figure["value"]
        for entry in line["result"]["evidence"]
        if entry["document"]["kind"] in ("fidelity", "size")
        for figure in entry["document"]["figures"]
        if not figure["slice"]
    }
    assert last["step_top1_agreement"] == child["top1_agreement"]
    assert (last["step_size_bytes"], last["step_size_ratio"]) == (child["size_bytes"], child["size_ratio"])


def test_the_model_after_a_step_is_the_child_of_the_steps_up_to_it(called: Called) -> None:
    _, line = called.compress(SOME, WEIGHTS, TEMPERATURE)
    _, alone = called.compress(SOME, WEIGHTS, out="alone")
    second = facts_of(steps_of(line["result"])[1])
    assert second["step_model"] == alone["result"]["outputs"][0]["digest"]
    assert second["step_recipe"] == alone["result"]["recipe_digest"]
    assert facts_of(steps_of(line["result"])[2])["step_model"] == line["result"]["outputs"][0]["digest"]


def test_one_step_without_a_budget_is_judged_once(called: Called) -> None:
    _, line = called.compress(WEIGHTS)
    assert steps_of(line["result"]) == []


@pytest.mark.parametrize(("steps", "held"), [((SOME, MOST), 1), ((SOME, MORE, MOST, WEIGHTS), 2), ((SOME, WEIGHTS), 2)])
def test_a_step_that_breaks_the_budget_ends_the_work_and_the_state_before_it_is_the_child(
    called: Called, steps: tuple[Step, ...], held: int
) -> None:
    code, line = called.compress(*steps, options=("--at-least", "0.9"))
    assert code == 0, line
    result, asked = line["result"], Recipe("tried", steps, 5)
    done = Recipe("tried", steps[:held], 5)
    assert (result["recipe"], result["recipe_digest"]) == (done.document(), done.digest())
    assert [step["method"] for step in result["steps"]] == [step.method for step in done.steps]
    budget = result["budget"]
    assert (budget["asked_digest"], budget["at_least"], budget["loses_at_most"]) == (asked.digest(), "0.9", None)
    if held == len(steps):
        assert budget["ended"] is None
    else:
        ended = budget["ended"]
        assert (ended["step"], ended["method"]) == (held + 1, steps[held].method)
        assert ended["not_done"] == [step.method for step in steps[held + 1 :]]
        assert all(float(figure["value"]) < 0.9 for figure in ended["figures"])
        assert ended["figures"][0]["measure"] == "top1_agreement"
    _, alone = called.compress(*done.steps, out="alone")
    assert alone["result"]["outputs"] == result["outputs"]
    assert alone["result"]["quantization_map"] == result["quantization_map"]
    written = made.metadata(called.folder / "out" / "model.onnx")
    assert written["pressmark.recipe_digest"] == done.digest()


def test_where_the_first_step_breaks_the_budget_there_is_no_output(called: Called) -> None:
    code, line = called.compress(MOST, WEIGHTS, options=("--at-least", "0.9"))
    assert (code, line["code"]) == (1, "budget_broken")
    assert "Step 1 (prune_unstructured)" in line["message"]
    assert "quantize_weights" in line["message"]
    assert not (called.folder / "out").exists()


def test_a_step_that_changed_nothing_is_no_state_to_go_back_to(called: Called, parent: Path) -> None:
    """The parent's own answers teach it nothing: what held before the step that broke the budget is the parent itself."""
    taught = Step("fine_tune", {"epochs": 1, "batch_size": 64, "loss": "teacher"})
    options = ("--training", parent / "training.npz", "--at-least", "0.9")
    code, line = called.compress(taught, MOST, options=options)
    assert (code, line["code"]) == (1, "budget_broken"), line
    assert "Step 2 (prune_unstructured)" in line["message"]
    assert not (called.folder / "out").exists()


def test_one_step_is_held_to_a_budget_too(called: Called) -> None:
    assert called.compress(MOST, options=("--at-least", "0.9"))[1]["code"] == "budget_broken"
    code, line = called.compress(WEIGHTS, options=("--at-least", "0.9"))
    assert code == 0
    assert len(steps_of(line["result"])) == 1


def test_a_budget_is_held_in_every_slice(called: Called, parent: Path, tmp_path: Path) -> None:
    """A step that costs one group much and the others little breaks the budget, which overall it keeps."""
    rows = dict(np.load(parent / "evaluation.npz"))
    lost = _lost(parent, rows)
    hit = np.union1d(lost, np.arange(max(30, 2 * len(lost))))
    assert len(lost) >= 10
    rows["group"] = np.where(np.isin(np.arange(len(rows["label"])), hit), "hit", "spared")
    np.savez(tmp_path / "parted.npz", allow_pickle=False, **rows)
    bound = len(lost) / len(rows["label"])  # of all rows the step loses no more than this
    options = ("--loses-at-most", f"{bound + 0.01:.4f}", "--evaluation", tmp_path / "parted.npz")
    code, line = called.compress(SOME, HARD, options=options)
    assert code == 0, line
    ended = line["result"]["budget"]["ended"]
    broken = [(figure["measure"], [part["value"] for part in figure["slice"]]) for figure in ended["figures"]]
    assert broken == [("quality_kept", ["hit"])]
    assert "where group is hit" in ended["plain"]


def _lost(parent: Path, rows: dict[str, Any]) -> Any:
    """The rows that the parent answers rightly, and the model after both steps does not."""
    import onnxruntime

    loaded = onnx_io.load(parent / "model.onnx")
    after = [make(loaded, Recipe("tried", steps, 5), silent).model for steps in ((SOME,), (SOME, HARD))]
    answers = [
        onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": rows["x"]})[0].argmax(axis=1)
        for model in (loaded.model, *after)
    ]
    right, first, last = (answer == rows["label"] for answer in answers)
    return np.flatnonzero(right & first & ~last)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--at-least", "1"), "budget_invalid"),
        (("--at-least", "much"), "budget_invalid"),
        (("--loses-at-most", "2"), "budget_invalid"),
    ],
)
def test_a_budget_that_is_none_is_refused(called: Called, options: tuple[str, ...], code: str) -> None:
    assert called.compress(WEIGHTS, options=options)[1]["code"] == code


def test_a_budget_of_labels_without_labels_is_refused_before_anything_is_made(
    called: Called, parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_bytes(Recipe("tried", (WEIGHTS,)).canonical())
    arguments = ["compress", parent, "--recipe", recipe, "--output", tmp_path / "out", "--json", "--quick"]
    arguments += ["--loses-at-most", "0.01", "--evaluation", parent / "evaluation.npz"]
    assert main([*map(str, arguments)]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["code"] == "budget_invalid"
    assert main([*map(str, arguments[:-2])]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["code"] == "data_missing"


def test_the_result_of_a_run_that_a_budget_ended_is_made_again_to_the_byte(
    called: Called, parent: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, line = called.compress(SOME, WEIGHTS, TEMPERATURE, options=("--at-least", "0.9"))
    _, ended = called.compress(SOME, MOST, options=("--at-least", "0.9"), out="ended")
    for out, result in (("out", line["result"]), ("ended", ended["result"])):
        arguments = ["replay", called.folder / out / "RESULT.json", "--parent", parent, "--json"]
        arguments += ["--calibration", parent / "calibration.npz", "--output", called.folder / f"{out}-again"]
        assert main([*map(str, arguments)]) == 0, capsys.readouterr().out
        said = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert said["digest"] == result["outputs"][0]["digest"]
        again = (called.folder / f"{out}-again" / "model.onnx").read_bytes()
        assert digest_of(again) == said["digest"]


def test_a_result_with_steps_and_budget_has_the_form_that_the_registry_takes(called: Called) -> None:
    import jsonschema

    called.compress(SOME, MOST, options=("--at-least", "0.9"))
    schema = Path(__file__).parents[2] / "registry" / "compression" / "schemas" / "engine_result-1.json"
    document = parse_canonical((called.folder / "out" / "RESULT.json").read_bytes())
    jsonschema.Draft202012Validator(json.loads(schema.read_text())).validate(document)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_rows_that_repeat_each_other_count_once_and_their_bounds_stay_sensible(sign: float) -> None:
    """Three of 117 rows are lost, two of them equal: a bootstrap of so few differences knows no bound but the whole range."""
    values, units = np.zeros(117), np.arange(117, dtype=np.int64)
    values[[5, 40, 41]] = sign
    units[41] = 40
    found = figures([Kept("quality_kept", values, np.ones(117), False, units)], {}, StepBudget(), 0)[0]
    alone = paired_share_interval(*((3, 0) if sign < 0 else (0, 3)), 117)
    assert found.value == pytest.approx(sign * 3 / 117)
    assert found.low == pytest.approx(alone[0], abs=0.002)
    assert found.high == pytest.approx(alone[1], abs=0.002)
    assert found.units == 116


def test_what_is_pruned_and_then_trained_is_held_to_the_budget_together(called: Called, parent: Path) -> None:
    """Half of the numbers taken out cost more than the budget, and training makes it good; where it does not, both are undone."""
    training = ("--training", parent / "training.npz", "--at-least", "0.9")
    tuned = Step("fine_tune", {"epochs": 6, "learning_rate_per_million": 2000, "loss": "teacher"})
    alone = called.compress(HARD, options=("--at-least", "0.9"), out="alone")[1]
    assert alone["code"] == "budget_broken"
    code, line = called.compress(HARD, tuned, options=training)
    assert code == 0, line
    assert line["result"]["budget"]["ended"] is None
    assert [facts_of(document)["step_method"] for document in steps_of(line["result"])] == [HARD.method, tuned.method]
    weak = Step("fine_tune", {"epochs": 1, "learning_rate_per_million": 1, "loss": "teacher"})
    code, line = called.compress(SOME, MOST, weak, WEIGHTS, options=training, out="ended")
    assert code == 0, line
    ended = line["result"]["budget"]["ended"]
    assert (ended["step"], ended["undone"], ended["not_done"]) == (3, [MOST.method], [WEIGHTS.method])
    assert [step["method"] for step in line["result"]["steps"]] == [SOME.method]
    assert len(steps_of(line["result"])) == 1
    assert line["result"]["outputs"] == called.compress(SOME, out="first")[1]["result"]["outputs"]


def test_figures_of_a_step_on_rows_that_were_seen_say_so(called: Called, parent: Path) -> None:
    options = ("--calibration", parent / "evaluation.npz", "--allow-seen")
    code, line = called.compress(SOME, TEMPERATURE, options=options)
    assert code == 0, line
    documents = steps_of(line["result"])
    assert len(documents) == 2
    assert {facts_of(document)["seen_rows"] for document in documents} == {"400"}

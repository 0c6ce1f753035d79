"""An evaluation by a plan, from the command line as the registry calls it: what comes out, what is refused, what repeats."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from onnx import TensorProto, helper

from compression_engine.answers.figures import recompute
from compression_engine.canonical import digest_of, parse_canonical
from compression_engine.commands.told_first import words_of
from compression_engine.data import read_rows
from compression_engine.errors import EngineError
from compression_engine.evaluation import MEASURES, Beside, Settings, evaluate, questions
from compression_engine.opening import model_file, open_models
from compression_engine.pipeline import compress
from compression_engine.plan import MEASURE_NAMES, Plan
from compression_engine.price_sheet import PriceSheet
from compression_engine.progress import silent
from compression_engine.recipe import Recipe, Step
from compression_engine.seen import distinct_rows, row_digests
from tests.engine import nets
from tests.engine.test_cost import SHEET

PLAN: dict[str, Any] = {
    "type": "pressmark/evaluation_plan/1", "task": "classification", "inputs": [{"name": "x", "column": "x"}],
    "label": "label", "slices": ["group"], "protected": ["group"], "favourable": "1",
    "measures": ["fidelity", "quality", "comparison", "fairness", "calibration"],
}  # fmt: skip
COUNT = 240


def run(*arguments: object) -> tuple[int, dict[str, Any], str]:
    command = [sys.executable, "-m", "compression_engine", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, lines[-1] if lines else {}, done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three nets that differ a little, rows labelled by the parent with some noise, and a plan."""
    folder = tmp_path_factory.mktemp("evaluate")
    generator = np.random.default_rng(5)
    for name, noise in (("parent", 0.0), ("version", 0.3), ("incumbent", 0.1), ("first", 0.05)):
        weights = nets.weights(64, 4, seed=1) + noise * generator.normal(size=(64, 4)) / 8
        node = helper.make_node("MatMul", ["x", "w"], ["y"])
        ports = ({"x": (TensorProto.FLOAT, ["n", 64])}, {"y": (TensorProto.FLOAT, ["n", 4])})
        nets.save(nets.model([node], {"w": weights.astype(np.float32)}, *ports), folder / name)
    rows = nets.rows_for("x", COUNT)
    label = nets.answer(folder / "parent" / "model.onnx", rows)[0].argmax(axis=1)
    label = np.where(generator.random(COUNT) < 0.2, generator.integers(0, 4, COUNT), label).astype(np.float64)
    label[3] = np.nan
    nets.save_rows(
        rows | {"label": label, "group": np.array(["a", "b", "c"])[np.arange(COUNT) % 3]}, folder / "rows.npz"
    )
    nets.save_rows({"x": rows["x"][:10] + 50}, folder / "strange.npz")
    (folder / "plan.json").write_text(json.dumps(PLAN))
    return folder


def asked(folder: Path, *more: object) -> list[object]:
    models = [
        folder / "version",
        *(part for role in ("parent", "incumbent", "first") for part in (f"--{role}", folder / role)),
    ]
    return ["evaluate", *models, "--data", folder / "rows.npz", "--plan", folder / "plan.json", "--quick", *more]


@pytest.fixture(scope="module")
def evaluated(folder: Path) -> dict[str, Any]:
    outputs = ["--outputs", folder / "o.safetensors", "--out-of-distribution", folder / "strange.npz"]
    code, last, said = run(*asked(folder, *outputs, "--output", folder / "result.json", "--seed", 3))
    assert code == 0, said
    return dict(last["result"])


def by_kind(result: dict[str, Any]) -> dict[str, Any]:
    return {entry["document"]["kind"]: entry["document"] for entry in result["evidence"]}


def test_every_model_and_file_is_named_with_its_digest(folder: Path, evaluated: dict[str, Any]) -> None:
    schema = Path(__file__).parents[2] / "registry" / "compression" / "schemas" / "engine_result-1.json"
    jsonschema.validate(evaluated, json.loads(schema.read_bytes()))
    assert evaluated == parse_canonical((folder / "result.json").read_bytes())
    assert [entry["role"] for entry in evaluated["others"]] == ["incumbent", "first"]
    for role, record in (("parent", evaluated["parent"]), ("incumbent", evaluated["others"][0])):
        assert record["digest"] == digest_of((folder / role / "model.onnx").read_bytes())
    plan = Plan.parse(PLAN)
    assert (evaluated["plan"], evaluated["plan_digest"]) == (plan.document(), plan.digest())
    assert evaluated["outputs_file"]["digest"] == digest_of((folder / "o.safetensors").read_bytes())
    assert [(entry["role"], entry["rows"]) for entry in evaluated["data"]] == [
        ("evaluation", COUNT - 1), ("out-of-distribution", 10),
    ]  # fmt: skip
    assert evaluated["data"][0]["broken"] == ["row 4: label missing"]


def test_every_kind_is_there_and_names_plan_and_preprocessing(evaluated: dict[str, Any]) -> None:
    kinds = by_kind(evaluated)
    assert {"fidelity", "fidelity-incumbent", "fidelity-first", "quality", "fairness", "calibration"} <= set(kinds)
    assert {f"comparison-{role}" for role in ("parent", "incumbent", "first")} <= set(kinds)
    for document in kinds.values():
        named = {entry["name"]: entry["value"] for entry in document["environment"]}
        assert named["plan"] == Plan.parse(PLAN).digest()
        assert named["preprocessing"] == "columns as inputs: x = x"
        assert document["figures"]
    quality = {figure["metric"]: figure for figure in kinds["quality"]["figures"] if not figure["slice"]}
    assert quality["accuracy"]["n"] == COUNT - 1
    assert float(quality["parent_accuracy"]["value"]) > 0.7


def test_figures_are_computed_again_from_the_answers_to_the_byte(folder: Path, evaluated: dict[str, Any]) -> None:
    code, last, said = run("figures", folder / "o.safetensors", "--output", folder / "again.json")
    assert code == 0, said
    before, after = by_kind(evaluated), by_kind(last["result"])
    models_needed = before.pop("invariance")
    assert models_needed["method"]["name"] == "models_asked_again"
    assert {entry["metric"] for entry in models_needed["figures"]} == {
        "batch_difference_max", "parent_batch_difference_max",
    }  # fmt: skip
    assert after == before
    assert "fidelity" in after
    assert last["result"]["command"] == "figures"
    assert last["result"]["outputs"] == evaluated["outputs"]
    only = recompute(folder / "o.safetensors", measures=["quality"]).document()
    assert by_kind(only) == {"quality": before["quality"]}


def test_the_same_call_gives_the_same_bytes(folder: Path, evaluated: dict[str, Any], tmp_path: Path) -> None:
    outputs = ["--outputs", tmp_path / "o.safetensors", "--out-of-distribution", folder / "strange.npz"]
    code, last, said = run(*asked(folder, *outputs, "--output", tmp_path / "r.json", "--seed", 3))
    assert code == 0, said
    assert (tmp_path / "o.safetensors").read_bytes() == (folder / "o.safetensors").read_bytes()
    assert last["result"] == evaluated


def test_without_a_plan_only_what_needs_no_label_is_measured(folder: Path) -> None:
    others: dict[str, Any] = {"parent": folder / "parent", "incumbent": folder / "incumbent"}
    found = evaluate(
        folder / "version", data=folder / "rows.npz", settings=Settings(rounds=3, memory_repeats=1), **others
    )
    document = found.document()
    assert set(by_kind(document)) == {"size", "fidelity", "fidelity-incumbent", "invariance", "timing", "memory"}
    assert (document["plan"], document["plan_digest"], document["outputs_file"]) == (None, None, None)
    for evidence in by_kind(document).values():
        named = {entry["name"] for entry in evidence["environment"]}
        assert "preprocessing" in named
        assert "plan" not in named


def test_what_is_asked_follows_from_plan_and_prices() -> None:
    sheet = PriceSheet.parse(SHEET)
    assert questions(None) == ["size", "fidelity", "timing", "memory"]
    assert questions(None, Beside(price_sheet=sheet)) == ["size", "fidelity", "timing", "memory", "energy", "cost"]
    assert questions(Plan()) == list(MEASURES)
    assert questions(Plan(measures=("timing", "quality"))) == ["quality", "timing"]


def test_another_seed_gives_other_intervals(folder: Path, evaluated: dict[str, Any]) -> None:
    plan = Plan.parse(PLAN | {"measures": ["quality"]})
    other = evaluate(folder / "version", data=folder / "rows.npz", plan=plan, settings=Settings(seed=4)).document()
    ours, theirs = by_kind(evaluated)["quality"]["figures"], by_kind(other)["quality"]["figures"]
    assert [figure["value"] for figure in ours[: len(theirs)]] == [figure["value"] for figure in theirs]
    assert [figure["low"] for figure in ours[: len(theirs)]] != [figure["low"] for figure in theirs]


def test_figures_refuse_what_they_cannot_do(folder: Path, evaluated: dict[str, Any], tmp_path: Path) -> None:
    cases: list[tuple[list[object], str]] = [
        ([folder / "rows.npz"], "outputs_invalid"),
        ([tmp_path / "none"], "not_found"),
        ([folder / "o.safetensors", "--measure", "timing"], "measure_unknown"),
        ([folder / "o.safetensors", "--measure", "luck"], "measure_unknown"),
    ]
    for (path, *more), expected in cases:
        with pytest.raises(EngineError) as refused:
            recompute(Path(str(path)), measures=[str(name) for name in more[1:]])
        assert refused.value.code == expected
        assert refused.value.hint
    code, last, _ = run("figures", folder / "o.safetensors", "--output", folder / "result.json")
    assert (code, last["code"]) == (1, "output_exists")


def test_a_run_that_is_killed_goes_on_and_gives_the_same_result(
    folder: Path, evaluated: dict[str, Any], tmp_path: Path
) -> None:
    outputs = ["--outputs", tmp_path / "o.safetensors", "--out-of-distribution", folder / "strange.npz"]
    call = asked(folder, *outputs, "--work", tmp_path / "work", "--output", tmp_path / "r.json", "--seed", 3)
    command = [sys.executable, "-m", "compression_engine", *map(str, call), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["stage"] == "fidelity":
                process.send_signal(signal.SIGKILL)
                break
        process.wait(30)
    assert not (tmp_path / "r.json").exists()
    stamps = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "work").glob("*.values")}
    time.sleep(0.02)
    code, last, said = run(*call)
    assert code == 0, said
    assert last["result"] == evaluated
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "work").glob("*.values")} == stamps


def test_what_was_answered_before_a_stop_is_said_to_be_kept(folder: Path, tmp_path: Path) -> None:
    call = asked(folder, "--work", tmp_path / "work", "--output", tmp_path / "r.json")
    command = [sys.executable, "-m", "compression_engine", *map(str, call), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["stage"] == "fidelity":
                process.send_signal(signal.SIGTERM)
                break
        last = json.loads(process.stdout.read().splitlines()[-1])
    assert last["code"] == "cancelled"
    assert str(tmp_path / "work") in last["hint"]
    assert "goes on" in last["hint"]
    assert list((tmp_path / "work").glob("*.values"))


def test_every_sentence_begins_with_a_capital_letter_and_says_one_thing_once(evaluated: dict[str, Any]) -> None:
    for entry in evaluated["evidence"]:
        for sentence in entry["plain"]:
            assert sentence[0].isupper() or sentence[0].isdigit(), sentence
            assert sentence.endswith("."), sentence
        twice = [said for said in entry["plain"] if entry["plain"].count(said) > 1]
        assert twice == [], entry["document"]["kind"]


def test_rows_that_were_seen_are_refused_unless_they_are_allowed_and_then_said(folder: Path, tmp_path: Path) -> None:
    rows = np.load(folder / "rows.npz")["x"]
    mixed = np.concatenate([rows[[5, 17]], nets.rows_for("x", 30, seed=9)["x"]])
    nets.save_rows({"x": mixed}, tmp_path / "training.npz")
    nets.save_rows({"x": nets.rows_for("x", 30, seed=8)["x"]}, tmp_path / "calibration.npz")
    training, calibration = tmp_path / "training.npz", tmp_path / "calibration.npz"
    plan = Plan.parse(PLAN | {"measures": ["quality"]})

    def found(**given: Any) -> dict[str, Any]:
        return by_kind(
            evaluate(folder / "version", data=folder / "rows.npz", plan=plan, beside=Beside(**given)).document()
        )

    with pytest.raises(EngineError) as refused:
        found(seen=[calibration, training])
    assert refused.value.code == "evaluation_seen"
    assert "2 of 240 rows" in refused.value.message
    assert "row 6, row 18" in refused.value.message
    kinds = found(seen=[calibration, training], allow_seen=True)
    assert float(kinds["seen"]["figures"][0]["value"]) == pytest.approx(2 / COUNT)
    for document in kinds.values():
        assert {"name": "seen_rows", "value": "2"} in document["environment"]
    kinds = found(seen=[calibration])
    assert kinds["seen"]["figures"][0]["value"] == "0"
    assert "seen_rows" not in {entry["name"] for entry in kinds["quality"]["environment"]}


def test_the_command_line_takes_several_files_that_were_seen(folder: Path, tmp_path: Path) -> None:
    nets.save_rows({"x": nets.rows_for("x", 30, seed=8)["x"]}, tmp_path / "other.npz")
    seen = ["--seen", tmp_path / "other.npz", folder / "rows.npz"]
    code, last, said = run(
        "evaluate", folder / "version", "--data", folder / "rows.npz", *seen, "--output", tmp_path / "r.json"
    )
    assert (code, last["code"]) == (1, "evaluation_seen"), said
    assert not (tmp_path / "r.json").exists()


def test_a_child_is_not_judged_on_the_rows_that_a_step_of_its_recipe_looked_at(folder: Path, tmp_path: Path) -> None:
    recipe, plan = (
        Recipe("calm", (Step("calibrate_temperature"),)),
        Plan.parse(PLAN | {"measures": ["quality", "cost"]}),
    )
    rows = np.load(folder / "rows.npz")
    nets.save_rows({name: rows[name][120:] for name in rows.files}, tmp_path / "calibration.npz")
    nets.save_rows({name: rows[name][:119] for name in rows.files}, tmp_path / "evaluation.npz")

    def made(evaluation: Path, target: str, **more: Any) -> dict[str, Any]:
        files: dict[str, Any] = {"evaluation": evaluation, "calibration": tmp_path / "calibration.npz"}
        return compress(
            folder / "parent", recipe, output_folder=tmp_path / target, plan=plan, **files, **more
        ).document()

    with pytest.raises(EngineError) as refused:
        made(folder / "rows.npz", "a")
    assert refused.value.code == "evaluation_seen"
    assert not (tmp_path / "a").exists()
    allowed = by_kind(made(folder / "rows.npz", "b", beside=Beside(allow_seen=True)))
    assert {"name": "seen_rows", "value": "120"} in allowed["quality"]["environment"]
    clean = by_kind(made(tmp_path / "evaluation.npz", "c"))
    assert clean["seen"]["figures"][0]["value"] == "0"
    assert float(next(f for f in clean["cost"]["figures"] if f["metric"] == "run_cpu_seconds")["value"]) > 0


def test_row_digests_tell_rows_apart_and_do_not_depend_on_their_place(folder: Path) -> None:
    files = {"version": model_file(folder / "version")}
    encoder = open_models(files, read_rows(folder / "rows.npz"), None, 1).encoder
    digests = row_digests(encoder, silent)
    turned = row_digests(encoder.only(np.arange(len(digests))[::-1].astype(np.int64)), silent)
    assert len(np.unique(digests)) == COUNT - 1
    assert np.array_equal(digests[::-1], turned)


def test_rows_that_repeat_one_another_are_counted_in_every_document(folder: Path, tmp_path: Path) -> None:
    with np.load(folder / "rows.npz") as kept:
        rows = {"x": kept["x"][[7, 8]], "label": np.array([0.0, 1.0]), "group": np.array(["a", "b"])}
    repeated = {name: np.concatenate([array] * 30) for name, array in rows.items()}
    nets.save_rows(repeated, tmp_path / "repeated.npz")
    plan = Plan.parse(PLAN | {"measures": ["size", "quality"]})
    stored = tmp_path / "o.safetensors"
    found = evaluate(folder / "version", data=tmp_path / "repeated.npz", plan=plan, beside=Beside(outputs=stored))
    for document in by_kind(found.document()).values():
        assert {"name": "distinct_rows", "value": "2"} in document["environment"]
    assert words_of(found.document())[1].startswith("  Only 2 of 60 rows are distinct: each other one repeats one")
    assert by_kind(recompute(stored).document())["quality"] == by_kind(found.document())["quality"]
    apart = evaluate(folder / "version", data=folder / "rows.npz", plan=plan).document()
    assert "distinct_rows" not in json.dumps(apart)
    assert not any("distinct" in line for line in words_of(apart))


def test_where_a_state_is_carried_a_row_repeats_another_only_after_the_same_rows(folder: Path, tmp_path: Path) -> None:
    rows = np.arange(64, dtype=np.float32)[None] + np.array([[1], [1], [1], [2], [1], [1]], dtype=np.float32)
    nets.save_rows({"x": rows}, tmp_path / "rows.npz")
    files = {"version": model_file(folder / "version")}
    encoder = open_models(files, read_rows(tmp_path / "rows.npz"), None, 1).encoder
    assert distinct_rows(encoder, None, silent) == 2
    # 1 | 1 1 | 2 1 1: the first rows of the first two sequences are the same, no other row is
    assert distinct_rows(encoder, np.array([0, 1, 1, 2, 2, 2]), silent) == 5


def test_models_that_do_not_compare_are_refused(folder: Path, tmp_path: Path) -> None:
    nets.save(nets.convolution(), tmp_path)
    for role, code in (("parent", "output_does_not_run"), ("incumbent", "models_differ"), ("first", "models_differ")):
        call = [
            "evaluate",
            folder / "version",
            f"--{role}",
            tmp_path,
            "--data",
            folder / "rows.npz",
            "--output",
            tmp_path / "r",
        ]
        found = run(*call, "--quick")
        assert (found[0], found[1]["code"]) == (1, code), found[2]


def test_what_is_wrong_with_plan_data_and_sheet_is_said(folder: Path, tmp_path: Path) -> None:
    def plan(**changes: Any) -> Path:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
        path.write_text(json.dumps(PLAN | changes))
        return path

    cases: list[tuple[Any, Beside, str, str]] = [
        (plan(task="luck"), Beside(), "plan_invalid", "luck"),
        (plan(label="gone"), Beside(), "data_does_not_fit", "'gone'"),
        (plan(inputs=[{"name": "y", "column": "x"}]), Beside(), "data_does_not_fit", "'y' is no input"),
        (plan(output="z"), Beside(), "data_does_not_fit", "no output 'z'"),
        (plan(classes=["a", "1"]), Beside(), "data_does_not_fit", "2 classes"),
        (plan(), Beside(seen=[tmp_path / "gone.npz"]), "data_missing", "gone.npz"),
        (plan(), Beside(work=folder / "rows.npz"), "work_differs", "rows.npz"),
    ]
    for path, beside, code, named in cases:
        with pytest.raises(EngineError, match=named) as refused:
            evaluate(folder / "version", data=folder / "rows.npz", plan=Plan.parse(path.read_bytes()), beside=beside)
        assert refused.value.code == code
    call = ["evaluate", folder / "version", "--data", folder / "rows.npz", "--output", tmp_path / "r"]
    for option, value, code in (
        ("--plan", tmp_path / "none", "not_found"),
        ("--price-sheet", plan(), "price_sheet_invalid"),
    ):
        found = run(*call, option, value)
        assert (found[0], found[1].get("code")) == (1, code), found[2]
    assert not (tmp_path / "r").exists()


def test_the_table_of_measures_is_the_plan_s_list() -> None:
    assert list(MEASURE_NAMES) == list(MEASURES)

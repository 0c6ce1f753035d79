"""Budget mode: the cheapest recipe that keeps a promise, on rows that nothing was chosen on; or a refusal with its reasons."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from compression_engine import Plan, command_line
from compression_engine.data import Encoder, read_rows
from compression_engine.errors import DataError
from compression_engine.pipeline import compress
from compression_engine.progress import silent
from compression_engine.recipe import Recipe
from compression_engine.replaying.replay import replay
from compression_engine.runtime import Model
from compression_engine.search import Extent, PromiseNotKept, search_recipe
from compression_engine.searching.budget import Budget
from compression_engine.searching.record import schema_of_search
from compression_engine.searching.rows import Files, split
from tests.engine import nets
from tests.engine.searched import QUICK, WIDTH, chain, folder, found, rows, saved


def methods(record: dict[str, Any]) -> list[tuple[str, list[str]]]:
    chosen = record["chosen"]["recipe_digest"]
    trial = next(trial for trial in record["trials"] if trial["recipe_digest"] == chosen)
    return [
        (step["method"], next((p["value"] for p in step["parameters"] if p["name"] == "exclude"), []))
        for step in trial["recipe"]["steps"]
    ]


def test_one_poisonous_layer_is_spared_and_the_others_are_stored_small(tmp_path: Path) -> None:
    searched = found(folder(tmp_path), chain(poisoned=True), "0.99")
    steps = methods(searched.record)
    assert steps[0][0] == "quantize_weights"
    assert "third" in steps[0][1], "the poisoned weight is left out of the aggressive step"
    assert "first" not in steps[0][1]
    whole = [trial for trial in searched.record["trials"] if len(trial["recipe"]["steps"]) == 1]
    fell = [
        trial for trial in whole if "quantize_weights" in json.dumps(trial["recipe"]["steps"]) and not trial["passes"]
    ]
    assert fell, "on the whole model the same method breaks the promise"
    assert all("promised 0.99" in trial["fell_because"] for trial in fell if trial["figures"])
    assert {entry["costs"][0]["name"] for entry in searched.record["weights"]} == {"third"}
    look = next(look for look in searched.record["looks"] if look["look"] == searched.record["chosen"]["look"])
    assert all(figure["holds"] for figure in look["figures"])


def test_a_promise_that_nothing_keeps_is_refused_with_what_came_nearest_and_what_costs_most(tmp_path: Path) -> None:
    at = folder(tmp_path)
    with pytest.raises(PromiseNotKept) as refused:
        found(at, chain(poisoned=True), "0.9999999999")
    assert refused.value.code == "promise_not_kept"
    assert "Nearest came convert_fp16" in refused.value.message
    assert "cost most: " in refused.value.message
    assert refused.value.record["chosen"] is None
    assert len(refused.value.record["trials"]) >= 5
    assert not (at / "out").exists()
    assert [path.name for path in at.iterdir() if path.name.startswith(".")] == []


def two_kinds(at: Path, name: str, seed: int, count: int, share: float) -> Path:
    """Rows of the kind `many`, far from any border, and of the kind `few`, whose answers rest on small weights alone."""
    chance = np.random.default_rng(seed)
    values = chance.normal(size=(count, WIDTH)).astype(np.float32)
    values[:, -1] = 0
    few = chance.random(count) < share
    values[few] = 0
    values[few, -1] = chance.uniform(1, 2, size=int(few.sum())).astype(np.float32) * chance.choice(
        [-1, 1], int(few.sum())
    )
    kind = np.where(few, "few", "many")
    np.savez(at / name, allow_pickle=False, x=values, kind=kind)
    return at / name


def with_small_weights() -> onnx.ModelProto:
    weight = nets.weights(WIDTH, 32, seed=7)
    weight[-1] *= 1e-4 / np.abs(weight[-1]).max()
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    ports = ({"x": (TensorProto.FLOAT, ["n", WIDTH])}, {"y": (TensorProto.FLOAT, ["n", 32])})
    return nets.model(nodes, {"w": weight}, *ports)


def test_a_slice_that_suffers_blocks_a_recipe_although_the_whole_keeps_the_promise(tmp_path: Path) -> None:
    at = folder(tmp_path)
    files = Files(two_kinds(at, "evaluation.npz", 3, 1200, 0.07))
    whole = found(at, with_small_weights(), "0.85", "top1_agreement", files=files, to="whole")
    sliced = found(at, with_small_weights(), "0.85", "top1_agreement", files=files, to="sliced", slices=["kind"])
    assert methods(whole.record)[0][0].startswith("quantize_")
    assert methods(sliced.record)[0][0] == "convert_fp16"
    fallen = [trial["fell_because"] for trial in sliced.record["trials"] if not trial["passes"]]
    assert any("where kind is few" in reason for reason in fallen)
    held = {figure["slice"][0]["value"] for figure in sliced.record["looks"][-1]["figures"] if figure["slice"]}
    assert held == {"few", "many"}


def test_what_held_where_it_was_chosen_and_not_on_held_back_rows_is_not_chosen(tmp_path: Path) -> None:
    at = folder(tmp_path)
    files = Files(two_kinds(at, "easy.npz", 3, 400, 0.0), held_back=two_kinds(at, "hard.npz", 4, 400, 0.5))
    searched = found(at, with_small_weights(), "0.9", "top1_agreement", files=files)
    looks = searched.record["looks"]
    assert [look["holds"] for look in looks] == [True] * (len(looks) - 1) + [False], (
        "looks end at the first that says no"
    )
    assert len(looks) > 1, "what was wanted more was judged on other rows, and fell"
    assert methods(searched.record)[0][0] == "convert_fp16"
    assert searched.record["chosen"]["look"] == len(looks) - 1
    trials = {trial["recipe_digest"]: trial for trial in searched.record["trials"]}
    moved = [float(trials[look["recipe_digest"]]["distortion"]) for look in looks]
    sizes = [trials[look["recipe_digest"]]["size_bytes"] for look in looks]
    assert moved == sorted(moved), "the gentlest first: the order is fixed by the rows of the choice"
    assert sizes == sorted(sizes, reverse=True)
    assert searched.result.data[0]["digest"] == read_rows(files.held_back or files.evaluation).digest


def test_rows_that_were_chosen_on_cannot_be_held_back(tmp_path: Path) -> None:
    at = folder(tmp_path)
    evaluation = rows(at, "evaluation.npz", 5)
    with np.load(evaluation) as arrays:
        np.savez(at / "again.npz", allow_pickle=False, x=arrays["x"][100:])
    for files in (
        Files(evaluation, held_back=at / "again.npz"),
        Files(evaluation, calibration=at / "again.npz"),
        Files(rows(at, "other.npz", 6), calibration=evaluation, held_back=at / "again.npz"),
    ):
        with pytest.raises(DataError) as refused:
            found(at, chain(poisoned=False), "0.9", files=files)
        assert refused.value.code == "evaluation_seen"


def test_held_back_rows_that_nearly_repeat_those_of_the_choice_are_counted_and_told(tmp_path: Path) -> None:
    at = folder(tmp_path)
    evaluation, other = rows(at, "evaluation.npz", 5), rows(at, "other.npz", 6)
    with np.load(evaluation) as seen, np.load(other) as fresh:
        nearly = seen["x"][:50].copy()
        nearly[:, 0] = np.nextafter(nearly[:, 0], np.float32(9))
        mixed = np.concatenate([nearly, fresh["x"]])
    np.savez(at / "mixed.npz", allow_pickle=False, x=mixed)
    searched = found(at, chain(poisoned=False), "0.9", files=Files(evaluation, held_back=at / "mixed.npz"))
    near = {entry["use"]: entry["near_rows"] for entry in searched.record["rows"]}
    assert near["choice"] is None
    assert near["held-back"] > 40
    assert any(f"{near['held-back']} of 290 held-back rows are nearly the same" in said for said in searched.plain)


def test_equal_rows_are_on_one_side_and_sequences_are_whole(tmp_path: Path) -> None:
    at = folder(tmp_path)
    values = np.random.default_rng(1).normal(size=(50, WIDTH)).astype(np.float32)
    doubled = np.concatenate([values, values[:20]])
    np.savez(at / "rows.npz", allow_pickle=False, x=doubled, run=np.arange(70) // 7)
    model = Model(saved(chain(poisoned=False), at), 1)
    for plan in (Plan(), Plan(sequence="run")):
        encoder = Encoder(read_rows(at / "rows.npz", plan), model.inputs(), None, plan)
        one, other = split(encoder, plan, 0, silent)
        assert sorted([*one.tolist(), *other.tolist()]) == list(range(70))
        if plan.sequence is None:
            digests = [{doubled[index].tobytes() for index in part} for part in (one, other)]
            assert not digests[0] & digests[1]
            assert abs(len(digests[0]) - len(digests[1])) <= 1
        else:
            assert not {index // 7 for index in one.tolist()} & {index // 7 for index in other.tolist()}
        assert not np.array_equal(one, split(encoder, plan, 1, silent)[0]), "the seed decides"


def test_the_same_call_gives_the_same_bytes_and_the_recipe_makes_the_same_child(tmp_path: Path) -> None:
    at = folder(tmp_path)
    files = Files(rows(at, "evaluation.npz", 5), calibration=rows(at, "calibration.npz", 6, 40))
    one, other = (found(at, chain(poisoned=True), "0.99", files=files, to=name) for name in ("one", "other"))
    for name in ("model.onnx", "RECIPE.json"):
        assert (at / "one" / name).read_bytes() == (at / "other" / name).read_bytes()
    first, second = (json.loads((at / name / "SEARCH.json").read_bytes()) for name in ("one", "other"))
    assert first.pop("timing")
    second.pop("timing")
    assert first == second
    assert one.record["chosen"] == other.record["chosen"]
    recipe = Recipe.parse((at / "one" / "RECIPE.json").read_bytes())
    assert recipe.digest() == one.record["chosen"]["recipe_digest"]
    calibration = files.calibration if any(step.needs_calibration for step in recipe.steps) else None
    compress(at / "model.onnx", recipe, calibration=calibration, output_folder=at / "again")
    assert (at / "again" / "model.onnx").read_bytes() == (at / "one" / "model.onnx").read_bytes()
    replay(at / "one" / "RESULT.json", parent=at / "model.onnx", output_folder=at / "re", calibration=calibration)
    assert (at / "re" / "model.onnx").read_bytes() == (at / "one" / "model.onnx").read_bytes()


def test_the_fastest_says_that_timing_decided(tmp_path: Path) -> None:
    searched = found(folder(tmp_path), chain(poisoned=False), "0.9", then="fastest")
    record = searched.record
    assert record["decided_by"] == "latency_ratio"
    timed = {entry["recipe_digest"]: float(entry["latency_ratio"]) for entry in record["timing"]}
    assert timed[record["chosen"]["recipe_digest"]] == min(timed.values())
    assert len(timed) == sum(trial["passes"] for trial in record["trials"])


def test_rows_that_could_not_show_the_promise_are_refused_before_anything_is_tried(tmp_path: Path) -> None:
    at = folder(tmp_path)
    with pytest.raises(DataError, match=r"120 rows .* cannot show that 0.99 is kept") as refused:
        found(at, chain(poisoned=False), "0.99", "top1_agreement")
    assert refused.value.code == "rows_too_few"
    assert "381 would be enough" in refused.value.message


def test_what_labels_say_may_be_promised_too(tmp_path: Path) -> None:
    at = folder(tmp_path)
    net = chain(poisoned=False)
    values = np.random.default_rng(5).normal(size=(800, WIDTH)).astype(np.float32)
    label = nets.answer(net, {"x": values})[0].argmax(axis=1)
    np.savez(at / "evaluation.npz", allow_pickle=False, x=values, label=label)
    plan = Plan(task="classification", label="label", scores="logits", measures=("size", "quality"))
    budget = Budget(Decimal("0.8"), loses_at_most=Decimal("0.1"))
    searched = search_recipe(
        saved(net, at), budget, Files(at / "evaluation.npz"), output_folder=at / "out", plan=plan, extent=QUICK
    )
    figure = next(entry for entry in searched.record["looks"][-1]["figures"] if entry["measure"] == "quality_kept")
    assert -0.1 <= float(figure["low"]) <= float(figure["value"]) <= 0


def test_a_language_model_is_promised_by_its_next_tokens(tmp_path: Path) -> None:
    at = folder(tmp_path)
    tensors = {"words": nets.weights(96, 64, seed=1), "head": nets.weights(64, 96, seed=2)}
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["e"]),
        helper.make_node("MatMul", ["e", "head"], ["logits"]),
    ]
    ports = (
        {"input_ids": (TensorProto.INT64, ["n", "t"])}, {"logits": (TensorProto.FLOAT, ["n", "t", 96])},
    )  # fmt: skip
    path = saved(nets.model(nodes, tensors, *ports), at)
    ids = np.random.default_rng(3).integers(0, 96, size=(120, 12))
    np.savez(at / "texts.npz", allow_pickle=False, input_ids=ids)
    plan = Plan(task="language-model", output="logits", measures=("size", "fidelity"))
    searched = search_recipe(
        path, Budget(Decimal("0.9")), Files(at / "texts.npz"), output_folder=at / "out", plan=plan, extent=QUICK
    )
    figure = searched.record["looks"][0]["figures"][0]
    assert (figure["measure"], figure["units"]) == ("top1_agreement", 60)
    assert float(figure["value"]) > 0.9
    assert {trial["passes"] for trial in searched.record["trials"]} == {True, False}, "rough recipes change next tokens"


def test_rows_of_one_sequence_are_not_independent(tmp_path: Path) -> None:
    at = folder(tmp_path)
    values = np.random.default_rng(5).normal(size=(2000, WIDTH)).astype(np.float32)
    np.savez(at / "evaluation.npz", allow_pickle=False, x=values, run=np.arange(2000) // 100)
    plan = Plan(task="classification", sequence="run", measures=("size",))
    with pytest.raises(DataError, match=r"10 sequences .* cannot show") as refused:
        found(at, chain(poisoned=False), "0.9", "top1_agreement", files=Files(at / "evaluation.npz"), plan=plan)
    assert refused.value.code == "rows_too_few"
    searched = found(at, chain(poisoned=False), "0.7", "top1_agreement", files=Files(at / "evaluation.npz"), plan=plan)
    assert {(row["rows"], row["sequences"]) for row in searched.record["rows"]} == {(1000, 10)}


def test_a_model_without_weights_to_store_is_refused_with_the_reason(tmp_path: Path) -> None:
    at = folder(tmp_path)
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    ports = ({"x": (TensorProto.FLOAT, ["n", WIDTH])}, {"y": (TensorProto.FLOAT, ["n", WIDTH])})
    with pytest.raises(PromiseNotKept, match="None could be made: nothing_to_compress"):
        found(at, nets.model(nodes, {}, *ports), "0.9")


def test_a_limit_of_trials_ends_the_search_and_is_told(tmp_path: Path) -> None:
    at = folder(tmp_path)
    searched = search_recipe(
        saved(chain(poisoned=True), at), Budget(Decimal("0.99"), measures=("cosine_mean",)),
        Files(rows(at, "evaluation.npz", 5)), output_folder=at / "out", extent=Extent(trials=3, quick=True),
        plan=Plan(measures=("size",)),
    )  # fmt: skip
    assert searched.record["stopped_by"] == "trials"
    assert len(searched.record["trials"]) == 3
    assert methods(searched.record)[0][0] == "convert_fp16"


def test_a_shell_gets_the_record_or_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = folder(tmp_path)
    model, evaluation = saved(chain(poisoned=False), at), rows(at, "evaluation.npz", 5)

    def called(promise: str, target: str) -> tuple[int, dict[str, Any]]:
        arguments = [
            "search",
            str(model),
            "--at-least",
            promise,
            "--measure",
            "cosine_mean",
            "--evaluation",
            str(evaluation),
        ]
        code = command_line.main([*arguments, "--quick", "--json", "--output", str(at / target)])
        return code, json.loads(capsys.readouterr().out.splitlines()[-1])

    code, line = called("0.99", "found")
    assert (code, line["type"]) == (0, "result")
    assert line["search"] == json.loads((at / "found" / "SEARCH.json").read_bytes())
    jsonschema.validate(line["search"], schema_of_search())
    assert sorted(path.name for path in (at / "found").iterdir()) == [
        "RECIPE.json", "RESULT.json", "SEARCH.json", "model.onnx",
    ]  # fmt: skip
    code, line = called("0.9999999999", "none")
    assert (code, line["type"], line["code"]) == (1, "error", "promise_not_kept")
    assert not (at / "none").exists()
    assert called("many", "none")[1]["code"] == "budget_invalid"
    assert called("0.99", "found")[1]["code"] == "output_exists"

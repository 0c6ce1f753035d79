"""Compressing without rows: what generated inputs are, what they show, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compression_engine import Recipe, Step, compress
from compression_engine.checking import structure_check
from compression_engine.checking.generated_agreement import Agreement, differing
from compression_engine.checking.generated_inputs import Inputs, Proposal
from compression_engine.checking.weight_errors import NOT_RUN, worst_in_steps
from compression_engine.errors import EngineError, OutputRefused
from compression_engine.formats.onnx_inputs import bounds
from compression_engine.result import Result
from compression_engine.runtime import Declared, Model
from tests.engine import nets

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
WEIGHTS = Recipe("weights", (Step("quantize_weights"),))


def made(net: onnx.ModelProto, folder: Path, recipe: Recipe = WEIGHTS) -> Result:
    return compress(nets.save(net, folder / "parent"), recipe, output_folder=folder / "out")


def structure(result: Result) -> dict[str, Any]:
    """Figures by metric, and what was checked."""
    document = next(
        entry["document"] for entry in result.document()["evidence"] if entry["document"]["kind"] == "structure"
    )
    facts = {fact["name"]: fact["value"] for fact in document["environment"]}
    return {figure["metric"]: figure["value"] for figure in document["figures"]} | {"checked": facts["checked"]}


def words(limit: int = 700) -> onnx.ModelProto:
    """ids, mask [n, length] -> rows of a table of `limit`, masked."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("Cast", ["mask"], ["kept"], to=FLOAT),
        helper.make_node("Unsqueeze", ["kept", "last"], ["wide"]),
        helper.make_node("Mul", ["rows", "wide"], ["y"]),
    ]
    tensors = {"table": nets.weights(limit, 32), "last": np.array([-1])}
    inputs = {"ids": (INT64, ["n", "length"]), "mask": (INT64, ["n", "length"])}
    return nets.model(nodes, tensors, inputs, {"y": (FLOAT, ["n", "length", 32])})


def test_without_rows_a_child_is_run_on_generated_inputs_and_the_evidence_says_no_more(tmp_path: Path) -> None:
    result = made(words(), tmp_path)
    assert [entry["document"]["kind"] for entry in result.document()["evidence"]] == ["size", "structure"]
    found = structure(result)
    assert found["checked"] == structure_check.RAN
    assert int(found["generated_runs"]) == 6
    assert 0.999 < float(found["generated_cosine_min"]) < 1
    assert "cosine_min" not in found
    assert result.document()["data"] == []


def test_the_same_model_is_asked_with_the_same_inputs(tmp_path: Path) -> None:
    one, other = (made(nets.mlp(), tmp_path / name).canonical() for name in ("one", "other"))
    assert one == other


def test_integers_stay_below_the_table_that_they_are_looked_up_in_also_through_other_nodes() -> None:
    net = words(57)
    net.graph.node[0].input[1] = "flat"
    net.graph.node.insert(0, helper.make_node("Cast", ["ids"], ["flat"], to=TensorProto.INT32))
    assert bounds(net) == {"ids": 57}
    inputs = Inputs([Declared("ids", "tensor(int64)", ("n", "length"))], bounds(net))
    feed = inputs.feed(Proposal(2, 512, 3), 0)
    assert feed is not None
    assert feed["ids"].shape == (2, 512)
    assert feed["ids"].max() == 56


def test_sizes_of_the_same_name_are_the_same_and_a_sum_is_their_sum() -> None:
    entries = [
        Declared("input_ids", "tensor(int64)", ("batch", "sequence")),
        Declared("attention_mask", "tensor(int64)", ("batch", "past_sequence + sequence")),
        Declared("past_key_values.0.key", "tensor(float)", ("batch", 4, "past_sequence", 8)),
        Declared("sr", "tensor(int64)", ()),
        Declared("lengths", "tensor(int64)", ("batch",)),
        Declared("image", "tensor(uint8)", (None, None, None, 3)),
    ]
    feed = Inputs(entries).feed(Proposal(2, 16, 3), 0)
    assert feed is not None
    assert {name: array.shape for name, array in feed.items()} == {
        "input_ids": (2, 16), "attention_mask": (2, 16), "past_key_values.0.key": (2, 4, 0, 8), "sr": (), "lengths": (2,),
        "image": (2, 16, 16, 3),
    }  # fmt: skip
    assert feed["sr"] == 16_000
    assert feed["attention_mask"].all()
    assert feed["lengths"].tolist() == [16, 16]


def test_other_sizes_are_tried_where_a_model_does_not_take_the_first(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["f"]),  # only rows of 128 numbers fit
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    tensors = {"shape": np.array([-1, 128]), "w": nets.weights(128, 64)}
    net = nets.model(nodes, tensors, {"x": (FLOAT, [1, "length"])}, {"y": (FLOAT, ["rows", 64])})
    assert int(structure(made(net, tmp_path))["generated_runs"]) >= 4


def test_a_model_that_takes_nothing_generated_is_refused_with_what_to_do(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    tensors = {"shape": np.array([-1, 977]), "w": nets.weights(977, 64)}
    net = nets.model(nodes, tensors, {"x": (FLOAT, [1, "length"])}, {"y": (FLOAT, ["rows", 64])})
    with pytest.raises(EngineError, match="takes none of the inputs") as refused:
        made(net, tmp_path)
    assert refused.value.code == "data_missing"
    assert "evaluation rows" in refused.value.hint
    assert not (tmp_path / "out").exists()


def test_a_recurrent_model_hands_its_own_state_on(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("MatMul", ["state", "r"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Tanh", ["c"], ["state_out"]),
        helper.make_node("ReduceSum", ["state_out"], ["y"], keepdims=0),
    ]
    tensors = {"w": nets.weights(64, 64), "r": nets.weights(64, 64, seed=1)}
    inputs = {"x": (FLOAT, [1, 64]), "state": (FLOAT, [1, 64])}
    net = nets.model(nodes, tensors, inputs, {"y": (FLOAT, []), "state_out": (FLOAT, [1, 64])})
    assert int(structure(made(net, tmp_path))["generated_runs"]) == 16  # four steps for each of four inputs


def test_each_model_goes_on_from_its_own_state(tmp_path: Path) -> None:
    """The one adds ones to its state, the other to twice its state: after four steps 4 and 15, with the other's state 7."""
    models = {}
    for name, factor in (("version", 2), ("original", 1)):
        nodes = [helper.make_node("Mul", ["state", "f"], ["a"]), helper.make_node("Add", ["a", "x"], ["state_out"])]
        ports: Any = ({"x": (FLOAT, [1, 4]), "state": (FLOAT, [1, 4])}, {"state_out": (FLOAT, [1, 4])})
        net = nets.model(nodes, {"f": np.array(factor, dtype=np.float32)}, *ports)
        models[name] = Model(nets.save(net, tmp_path / name), 1)
    feed = {"x": np.ones((1, 4), dtype=np.float32), "state": np.zeros((1, 4), dtype=np.float32)}
    steps = list(structure_check._along(models["version"], models["original"], feed))
    assert [(float(ours[0][0, 0]), float(theirs[0][0, 0])) for ours, theirs in steps] == [
        (1, 1),
        (3, 2),
        (7, 3),
        (15, 4),
    ]


def test_a_child_that_does_not_fit_into_memory_is_not_run_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(structure_check, "memory_at_hand_bytes", lambda **_: 1000.0)
    result = made(nets.mlp(), tmp_path)
    found = structure(result)
    assert found["checked"] == NOT_RUN
    assert found["generated_runs"] is None
    entry = next(entry for entry in result.document()["evidence"] if entry["document"]["kind"] == "structure")
    assert "NOT run" in entry["plain"][0]


@pytest.mark.parametrize("method", ["prune_unstructured", "prune_structured"])
def test_a_child_whose_weights_are_cut_is_refused_at_once_where_it_could_not_be_run(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Laid beside the parent tensor by tensor it would look broken, after all the work."""
    monkeypatch.setattr(structure_check, "memory_at_hand_bytes", lambda **_: 1000.0)
    parent, out = nets.save(nets.mlp(), tmp_path / "parent"), tmp_path / "out"
    recipe = Recipe("r", (Step(method, {}), Step("quantize_weights")))
    begun: list[str] = []
    with pytest.raises(EngineError, match=f"Step 1: {method} leaves other numbers") as refused:
        compress(parent, recipe, output_folder=out, progress=lambda stage, *_: begun.append(stage))
    assert refused.value.code == "model_does_not_fit"
    assert set(begun) == {"read"}
    assert not out.exists()


def test_rows_for_a_model_that_does_not_fit_are_refused_before_anything_is_opened(
    mlp_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(structure_check, "memory_at_hand_bytes", lambda **_: 1000.0)
    monkeypatch.setattr(structure_check, "_HUGE_BYTES", 1000)
    recipe = Recipe("r", (Step("quantize_weights"),))
    with pytest.raises(EngineError, match="Leave out the evaluation rows") as refused:
        compress(mlp_folder, recipe, evaluation=mlp_folder / "rows.npz", output_folder=tmp_path / "out")
    assert refused.value.code == "model_does_not_fit"
    assert not (tmp_path / "out").exists()


def test_a_child_that_answers_with_what_is_no_number_is_refused() -> None:
    agreement = Agreement()
    with pytest.raises(OutputRefused, match="output 'y'") as refused:
        agreement.add(["y"], [np.array([1.0, np.nan])], [np.array([1.0, 2.0])])
    assert refused.value.code == "output_not_finite"
    agreement.add(["y"], [np.array([1.0, 3.0])], [np.array([1.0, np.inf])])  # where the parent has none, it may
    assert agreement.largest == 0


def test_sequences_maps_and_random_outputs_are_compared_as_far_as_they_can_be() -> None:
    agreement = Agreement(random=differing(["y", "noise"], [[{1: 0.5}], np.ones(2)], [[{1: 0.5}], np.zeros(2)]))
    agreement.add(["y", "noise"], [[{1: 0.5, 2: 0.5}], np.ones(2)], [[{1: 0.5, 2: 0.25}], np.zeros(2)])
    agreement.add(["y", "noise"], [[{1: 0.5}], np.ones(2)], [[], np.ones(2)])
    figures = {entry.metric: entry.value for entry in agreement.figures()}
    assert figures["generated_random_outputs"] == 1
    assert figures["generated_other_form"] == 1
    assert figures["generated_entries_equal"] == 1.0  # the keys
    assert figures["generated_max_abs_difference"] == 0.25


def test_a_model_that_takes_a_sequence_is_refused_by_the_input(tmp_path: Path) -> None:
    value = helper.make_tensor_sequence_value_info("parts", FLOAT, ["n", 64])
    nodes = [
        helper.make_node("ConcatFromSequence", ["parts"], ["x"], axis=0),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    weight = numpy_helper.from_array(nets.weights(64, 64), "w")
    graph = helper.make_graph(nodes, "g", [value], [helper.make_tensor_value_info("y", FLOAT, ["m", 64])], [weight])
    net = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(EngineError, match=r"The input 'parts' is a seq\(tensor\(float\)\)") as refused:
        made(net, tmp_path)
    assert refused.value.code == "data_missing"


def test_a_scale_of_zero_hides_no_other_error() -> None:
    errors, scale = np.array([0.0, 3.0, 0.0]), np.array([0.0, -2.0, 1.0])
    assert worst_in_steps(errors, scale) == 1.5
    assert worst_in_steps(np.array([1.0]), np.array([0.0])) == np.inf
    assert worst_in_steps(np.array([]), np.array([])) == 0

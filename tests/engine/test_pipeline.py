"""Compressing end to end: what counts as an output, what is recorded, and that nothing is left behind when it fails."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compression_engine import Recipe, Step, compress, evaluate
from compression_engine.canonical import digest_of, parse_canonical
from compression_engine.errors import EngineError, RecipeError
from compression_engine.pipeline import Settings
from compression_engine.result import Result
from tests.engine import nets
from tests.engine.made import untrained

QUICK = Settings(rounds=5, memory_repeats=1)
WEIGHTS = Recipe("weights", (Step("quantize_weights"),))
DYNAMIC = Recipe("dynamic", (Step("quantize_dynamic"),))


def made(parent: Path, output: Path, recipe: Recipe = WEIGHTS, rows: Path | None = None) -> Result:
    evaluation = rows or (parent if parent.is_dir() else parent.parent) / "rows.npz"
    return compress(parent, recipe, evaluation=evaluation, output_folder=output, settings=QUICK)


def refusal(parent: Path, output: Path, recipe: Recipe = WEIGHTS, rows: Path | None = None) -> EngineError:
    with pytest.raises(EngineError) as refused:
        made(parent, output, recipe, rows)
    assert refused.value.hint
    assert not output.exists() or not any(output.iterdir())
    assert not list(output.parent.glob(".*partial*"))
    return refused.value


def test_a_compression_writes_weights_and_result_and_nothing_else(mlp_folder: Path, tmp_path: Path) -> None:
    result = made(mlp_folder, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["RESULT.json", "model.onnx"]
    written = parse_canonical((tmp_path / "out" / "RESULT.json").read_bytes())
    assert written == result.document()
    child = (tmp_path / "out" / "model.onnx").read_bytes()
    assert written["outputs"] == [
        {"digest": digest_of(child), "path": "model.onnx", "role": "weights", "size_bytes": len(child)}
    ]
    parent = (mlp_folder / "model.onnx").read_bytes()
    assert written["parent"] == {"digest": digest_of(parent), "path": "model.onnx", "size_bytes": len(parent)}
    assert written["recipe_digest"] == WEIGHTS.digest()
    assert {tensor["name"] for tensor in written["tensors"]} >= {"first_int8", "first_scale"}
    assert not list(tmp_path.glob(".*partial*"))


def test_the_evidence_has_the_agreed_kinds_and_a_sentence_for_every_figure(mlp_folder: Path, tmp_path: Path) -> None:
    result = made(mlp_folder, tmp_path / "out")
    documents = {entry["document"]["kind"]: entry for entry in result.document()["evidence"]}
    assert list(documents) == ["size", "fidelity", "invariance", "timing", "memory"]
    for entry in documents.values():
        assert len(entry["plain"]) == len(entry["document"]["figures"])
        for figure in entry["document"]["figures"]:
            assert figure["value"] is not None
            assert figure["n"] >= 1
    metrics = {figure["metric"] for entry in documents.values() for figure in entry["document"]["figures"]}
    assert metrics >= {"size_ratio", "cosine_mean", "cosine_min", "latency_ratio", "peak_memory_ratio"}
    size_ratio, cosine_min = result.value("size_ratio"), result.value("cosine_min")
    assert size_ratio is not None
    assert size_ratio > 3.3
    assert cosine_min is not None
    assert cosine_min > 0.999


def test_size_and_fidelity_repeat_byte_for_byte(mlp_folder: Path, tmp_path: Path) -> None:
    first = made(mlp_folder, tmp_path / "one", DYNAMIC).document()
    second = made(mlp_folder, tmp_path / "two", DYNAMIC).document()
    assert first["outputs"] == second["outputs"]
    assert first["evidence"][:2] == second["evidence"][:2]


def test_facts_in_the_file_name_parent_recipe_and_engine(mlp_folder: Path, tmp_path: Path) -> None:
    result = made(mlp_folder, tmp_path / "out").document()
    child = onnx.load(tmp_path / "out" / "model.onnx")
    written = {entry.key: entry.value for entry in child.metadata_props}
    assert written.pop("pressmark.quantization_map").startswith('{"tensors":[[0,"first","first_int8"')
    assert written == {
        "pressmark.engine_version": result["engine"]["version"],
        "pressmark.parent_digest": result["parent"]["digest"],
        "pressmark.recipe_digest": WEIGHTS.digest(),
    }


def test_metadata_of_the_parent_are_kept(tmp_path: Path) -> None:
    net = nets.mlp()
    net.metadata_props.add(key="labels", value="yes,no")
    nets.save(net, tmp_path / "parent")
    nets.save_rows(nets.rows_for("x"), tmp_path / "parent" / "rows.npz")
    made(tmp_path / "parent", tmp_path / "out")
    child = onnx.load(tmp_path / "out" / "model.onnx")
    assert {entry.key: entry.value for entry in child.metadata_props}["labels"] == "yes,no"


def test_the_parent_is_not_changed(mlp_folder: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in mlp_folder.iterdir()}
    made(mlp_folder, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in mlp_folder.iterdir()} == before


def test_a_model_without_large_weights_has_nothing_to_compress(tmp_path: Path) -> None:
    ports = ({"x": (TensorProto.FLOAT, ["n", 64])}, {"y": (TensorProto.FLOAT, ["n", 64])})
    nets.save(nets.model([helper.make_node("Relu", ["x"], ["y"])], {}, *ports), tmp_path / "parent")
    nets.save_rows(nets.rows_for("x"), tmp_path / "parent" / "rows.npz")
    assert refusal(tmp_path / "parent", tmp_path / "out").code == "nothing_to_compress"


def test_a_compressed_model_is_not_compressed_again(mlp_folder: Path, tmp_path: Path) -> None:
    made(mlp_folder, tmp_path / "out")
    error = refusal(tmp_path / "out", tmp_path / "again", rows=mlp_folder / "rows.npz")
    assert error.code == "nothing_to_compress"


def test_an_output_that_is_not_smaller_is_refused(tmp_path: Path) -> None:
    ports = ({"x": (TensorProto.FLOAT, ["n", 64])}, {"y": (TensorProto.FLOAT, ["n", 2])})
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    nets.save(nets.model(nodes, {"w": nets.weights(64, 2)}, *ports), tmp_path / "parent")
    nets.save_rows(nets.rows_for("x"), tmp_path / "parent" / "rows.npz")
    step = Step("quantize_dynamic", {"min_elements": 1})
    assert refusal(tmp_path / "parent", tmp_path / "out", Recipe("tiny", (step,))).code == "output_not_smaller"


def test_rows_that_do_not_fit_the_model_are_refused(mlp_folder: Path, tmp_path: Path) -> None:
    rows = nets.save_rows({"x": np.zeros((4, 63), dtype=np.float32)}, tmp_path / "wrong.npz")
    assert refusal(mlp_folder, tmp_path / "out", rows=rows).code == "output_does_not_run"


def test_an_output_folder_in_use_is_left_as_it_is(mlp_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("keep")
    with pytest.raises(EngineError) as refused:
        made(mlp_folder, tmp_path / "out")
    assert refused.value.code == "output_exists"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["precious"]


def test_a_pickle_and_a_missing_parent_are_refused(mlp_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "model.onnx").write_bytes(b"\x80\x04N.")
    rows = mlp_folder / "rows.npz"
    assert refusal(tmp_path / "bad", tmp_path / "out", rows=rows).code == "pickle_refused"
    assert refusal(tmp_path / "nowhere", tmp_path / "out", rows=rows).code == "not_found"


def test_a_model_that_the_runtime_cannot_open_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["missing"], ["y"])]
    ports = ([helper.make_tensor_value_info("x", 1, ["n", 64])], [helper.make_tensor_value_info("y", 1, ["n", 64])])
    weight = numpy_helper.from_array(nets.weights(64, 64), "w")
    net = helper.make_model(
        helper.make_graph(nodes, "g", *ports, [weight]), opset_imports=[helper.make_opsetid("", 17)]
    )
    net.ir_version = 8
    nets.save(net, tmp_path / "parent")
    nets.save_rows(nets.rows_for("x"), tmp_path / "parent" / "rows.npz")
    assert refusal(tmp_path / "parent", tmp_path / "out").code == "output_does_not_load"


def test_an_operator_set_that_cannot_be_converted_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("NobodyKnows", ["h"], ["y"])]
    ports = ([helper.make_tensor_value_info("x", 1, ["n", 64])], [helper.make_tensor_value_info("y", 1, ["n", 64])])
    graph = helper.make_graph(nodes, "g", *ports, [numpy_helper.from_array(nets.weights(64, 64), "w")])
    net = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)])
    net.ir_version = 4
    nets.save(net, tmp_path / "parent")
    nets.save_rows(nets.rows_for("x"), tmp_path / "parent" / "rows.npz")
    assert refusal(tmp_path / "parent", tmp_path / "out").code == "opset_not_convertible"


def test_weights_outside_the_file_are_read_from_a_sibling_and_links_are_not_followed(tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    parent.mkdir()
    onnx.save_model(
        nets.mlp(), str(parent / "model.onnx"), save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    nets.save_rows(nets.rows_for("x"), parent / "rows.npz")
    whole = made(_inside(tmp_path), tmp_path / "whole")
    result = made(parent, tmp_path / "out")
    ratio, expected = result.value("size_ratio"), whole.value("size_ratio")
    assert ratio == pytest.approx(expected, rel=0.05)
    (parent / "weights.bin").rename(tmp_path / "elsewhere.bin")
    (parent / "weights.bin").symlink_to(tmp_path / "elsewhere.bin")
    assert refusal(parent, tmp_path / "again").code == "external_data_refused"


def _inside(tmp_path: Path) -> Path:
    nets.save(nets.mlp(), tmp_path / "inside")
    nets.save_rows(nets.rows_for("x"), tmp_path / "inside" / "rows.npz")
    return tmp_path / "inside"


def test_a_model_with_a_fixed_batch_is_measured_and_says_what_it_cannot(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    ports = ({"x": (TensorProto.FLOAT, [3, 64])}, {"y": (TensorProto.FLOAT, [3, 64])})
    nets.save(nets.model(nodes, {"w": nets.weights(64, 64)}, *ports), tmp_path / "parent")
    nets.save_rows(nets.rows_for("x", 10), tmp_path / "parent" / "rows.npz")
    result = made(tmp_path / "parent", tmp_path / "out")
    cosine = result.value("cosine_mean")
    assert cosine is not None
    assert cosine > 0.999
    assert result.value("batch_difference_max") is None
    figures = result.document()["evidence"][2]["document"]["figures"]
    assert any("exactly 3 rows" in (figure["reason"] or "") for figure in figures)


def test_evaluating_without_a_parent_describes_the_answers(mlp_folder: Path) -> None:
    result = evaluate(mlp_folder, data=mlp_folder / "rows.npz", settings=QUICK)
    assert [entry.kind for entry in result.evidence] == ["size", "outputs", "invariance", "timing", "memory"]
    assert result.parent is None
    assert result.document()["recipe"] is None


def test_evaluating_against_a_parent_measures_what_compressing_measured(mlp_folder: Path, tmp_path: Path) -> None:
    compressed = made(mlp_folder, tmp_path / "out").document()
    again = evaluate(tmp_path / "out", parent=mlp_folder, data=mlp_folder / "rows.npz", settings=QUICK).document()
    assert again["evidence"][:2] == compressed["evidence"][:2]


def test_evaluating_against_another_kind_of_model_is_refused(mlp_folder: Path, tmp_path: Path) -> None:
    nets.save(nets.convolution(), tmp_path / "other")
    with pytest.raises(EngineError, match="differ from the original"):
        evaluate(tmp_path / "other", parent=mlp_folder, data=mlp_folder / "rows.npz", settings=QUICK)


def test_every_shipped_recipe_works_on_a_small_net_or_says_why_it_does_not_pay(
    mlp_folder: Path, tmp_path: Path
) -> None:
    least = {"faster-int8": 3, "half-size": 1.8, "smaller-same-speed": 3, "smallest-4-bit": 4}
    for name, shipped in untrained().items():
        looked_at = nets.save_rows(nets.rows_for("x", seed=9), tmp_path / "calibration.npz")
        asked = partial(
            compress, mlp_folder, shipped.recipe, evaluation=mlp_folder / "rows.npz", calibration=looked_at,
            output_folder=tmp_path / name, settings=QUICK,
        )  # fmt: skip
        if name not in least:
            with pytest.raises(RecipeError, match="would take longer than they save"):
                asked()
            continue
        result = asked()
        ratio = result.value("size_ratio")
        assert ratio is not None
        assert ratio > least[name]


def test_a_recipe_with_nothing_to_do_names_the_weights_that_were_left_and_why(tmp_path: Path) -> None:
    net = nets.mlp(dtype=np.float16)
    folder = tmp_path / "halves"
    nets.save(net, folder)
    nets.save_rows({"x": nets.rows_for("x")["x"].astype(np.float16)}, folder / "rows.npz")
    with pytest.raises(RecipeError, match=r"'first' because it is float16, not float32; 'second' because") as refused:
        compress(
            folder,
            Recipe("half", (Step("convert_fp16"),)),
            evaluation=folder / "rows.npz",
            output_folder=tmp_path / "out",
        )
    assert refused.value.code == "nothing_to_compress"
    assert "another method" in refused.value.hint

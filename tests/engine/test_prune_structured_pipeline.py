"""prune_structured in the pipeline: through compress, by labelled rows, beside branches, and its own faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compression_engine import Recipe, Step, compress
from compression_engine.errors import DataError, EngineError, FileRefused, OutputRefused
from compression_engine.evaluation import Settings
from compression_engine.formats.onnx_graph import lift_constants
from compression_engine.methods.structured_pruning.axes import Options
from compression_engine.methods.structured_pruning.cut import check, cut
from compression_engine.plan import Plan
from compression_engine.training.material import Training
from tests.engine import nets, odd_graphs, structured_nets
from tests.engine.test_prune_structured import dims, half_of_all, numbers, pruned

QUICK = Settings(rounds=5, memory_repeats=1)


def recipe(*steps: Step) -> Recipe:
    return Recipe("narrow", steps)


def test_a_model_is_pruned_without_any_rows_and_the_result_says_what_went(mlp_folder: Path, tmp_path: Path) -> None:
    step = Step("prune_structured", {"share_per_mille": 500})
    result = compress(mlp_folder, recipe(step), output_folder=tmp_path / "out", settings=QUICK)
    child = onnx.load(tmp_path / "out" / "model.onnx")
    assert dims(child)["first"] == (128, 64)
    assert dims(child)["second"] == (128, 48)
    assert {"how": "256 x 64 became 128 x 64", "name": "first"} in result.document()["steps"][0]["changed"]  # type: ignore[index,call-overload]


def test_what_is_pruned_can_be_quantised_afterwards(mlp_folder: Path, tmp_path: Path) -> None:
    looked_at = nets.save_rows(nets.rows_for("x", seed=9), tmp_path / "calibration.npz")
    steps = (Step("prune_structured", {"compensation": "weights"}), Step("quantize_weights"))
    result = compress(
        mlp_folder, recipe(*steps), output_folder=tmp_path / "out", calibration=looked_at,
        evaluation=mlp_folder / "rows.npz", settings=QUICK,
    )  # fmt: skip
    ratio = result.value("size_ratio")
    assert ratio is not None
    assert ratio > 6


def test_the_same_call_gives_the_same_bytes_and_rows_are_asked_for(mlp_folder: Path, tmp_path: Path) -> None:
    looked_at = nets.save_rows(nets.rows_for("x", seed=9), tmp_path / "calibration.npz")
    step = Step("prune_structured", {"importance": "activation", "compensation": "bias"})
    made = []
    for number in (1, 2):
        folder = tmp_path / f"out-{number}"
        settings = Settings(rounds=5, memory_repeats=1, threads=number)
        compress(mlp_folder, recipe(step), output_folder=folder, calibration=looked_at, settings=settings)
        made.append((folder / "model.onnx").read_bytes())
    assert made[0] == made[1]
    with pytest.raises(DataError, match="calibration rows"):
        compress(mlp_folder, recipe(step), output_folder=tmp_path / "none", settings=QUICK)


def test_taylor_takes_out_what_the_loss_does_not_feel(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    net = nets.mlp()
    tensors = {tensor.name: tensor for tensor in net.graph.initializer}
    second = numpy_helper.to_array(tensors["second"]).copy()
    second[::2] = second[::2, :1]  # adds the same to every class: no loss feels it, however large
    tensors["second"].CopyFrom(numpy_helper.from_array(second * 3, "second"))
    path = nets.save(net, tmp_path / "parent")
    x, label = draw.normal(size=(120, 64)).astype(np.float32), draw.integers(0, 48, 120)
    rows = nets.save_rows({"x": x, "label": label}, tmp_path / "training.npz")
    plan = Plan(task="classification", label="label", classes=tuple(map(str, range(48))))
    training = Training.of(rows, plan, None, seed=0, parent=path)
    child, _ = pruned(net, training, importance="taylor", share_per_mille=500)  # type: ignore[arg-type]
    kept = next(numpy_helper.to_array(tensor) for tensor in child.graph.initializer if tensor.name == "second")
    assert kept.shape == (128, 48)
    assert not any((row == row[0]).all() for row in kept)


def test_what_a_branch_reads_stays() -> None:
    inner = [
        helper.make_graph(
            [helper.make_node(operator, ["h"], [f"from_{operator}"])],
            operator,
            [],
            [helper.make_tensor_value_info(f"from_{operator}", TensorProto.FLOAT, None)],
        )
        for operator in ("Relu", "Tanh")
    ]
    nodes = [
        helper.make_node("Gemm", ["x", "one"], ["h"]),
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["i"], then_branch=inner[0], else_branch=inner[1]),
        helper.make_node("Gemm", ["i", "two"], ["j"]),
        helper.make_node("Relu", ["j"], ["k"]),
        helper.make_node("Gemm", ["k", "three"], ["y"]),
    ]
    tensors = {
        "one": nets.weights(8, 16), "two": nets.weights(16, 24, seed=1), "three": nets.weights(24, 4, seed=2),
        "zero": np.float32(0),
    }  # fmt: skip
    ports: Any = ({"x": (TensorProto.FLOAT, ["n", 8])}, {"y": (TensorProto.FLOAT, ["n", 4])})
    net = nets.model(nodes, {name: np.asarray(array) for name, array in tensors.items()}, *ports)
    child, report = pruned(net, share_per_mille=200)
    assert dims(child)["one"] == (8, 16)
    assert dims(child)["three"][0] < 24
    assert any("inside of a branch" in str(entry["reason"]) for entry in report.left)


def test_weights_that_are_no_numbers_are_refused() -> None:
    net = nets.mlp()
    array = numpy_helper.to_array(net.graph.initializer[0]).copy()
    array[0, 0] = np.nan
    net.graph.initializer[0].CopyFrom(numpy_helper.from_array(array, net.graph.initializer[0].name))
    with pytest.raises(FileRefused, match="NaN or infinity"):
        pruned(net)


def test_a_graph_whose_sizes_are_not_those_foretold_is_refused() -> None:
    net = structured_nets.export("plain", structured_nets.LEGACY)
    lift_constants(net.graph, 1)
    cutting = half_of_all(net, Options())
    child = onnx.ModelProto()
    child.CopyFrom(net)
    cut(child, cutting)
    last = next(tensor for tensor in child.graph.initializer if list(tensor.dims) == [5, 5])
    wider = np.zeros((7, 5), dtype=np.float32)
    last.CopyFrom(numpy_helper.from_array(wider, last.name))
    with pytest.raises(OutputRefused):
        check(child, cutting.found.seen, cutting)


@pytest.mark.long
def test_the_sentence_encoder_loses_heads_and_hidden_units_and_still_finds_neighbours(
    samples: Path, tmp_path: Path
) -> None:
    step = Step("prune_structured", {"share_per_mille": 200, "importance": "activation", "compensation": "weights"})
    result = compress(
        samples / "minilm", recipe(step), output_folder=tmp_path / "out", settings=QUICK,
        evaluation=samples / "data" / "evaluation.jsonl", calibration=samples / "data" / "calibration.jsonl",
    )  # fmt: skip
    assert numbers(onnx.load(tmp_path / "out" / "model.onnx")) < 21_500_000
    cosine = result.value("cosine_mean")
    assert cosine is not None
    assert cosine > 0.9


def test_odd_graphs_are_pruned_or_refused_with_the_reason() -> None:
    done, codes = [], set()
    for name, net in odd_graphs.every_model():
        try:
            _, report = pruned(net, share_per_mille=100)
        except EngineError as refused:
            codes.add(refused.code)
        else:
            assert any("became" in str(entry["how"]) for entry in report.changed), name
            done.append(name)
    assert codes == {"recipe_does_not_fit"}
    assert len(done) > 5

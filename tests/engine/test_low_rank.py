"""low_rank: two factors stand where a weight stood, in every place that multiplies, and are the nearest of their rank."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compression_engine import Recipe, Step, compress
from compression_engine.errors import DataError, EngineError, FileRefused, RecipeError
from compression_engine.evaluation import Settings
from compression_engine.methods.factorising.choice import Candidate, choose
from compression_engine.methods.factorising.factors import by_inputs, by_weights
from compression_engine.steps.calibration import Calibration
from tests.engine import learning, nets, odd_graphs, structured_nets

QUICK = Settings(rounds=5, memory_repeats=1)
SMALL = {"min_elements": 64, "round_to": 1}
Array = nets.Array


def thin(rows: int, columns: int, rank: int, seed: int = 0, dtype: Any = np.float32) -> Array:
    """A matrix of this rank."""
    draw = np.random.default_rng(seed)
    made: Array = (draw.normal(size=(rows, rank)) @ draw.normal(size=(rank, columns)) / rows).astype(dtype)
    return made


def one(
    node: onnx.NodeProto | list[onnx.NodeProto], tensors: dict[str, Array], given: Any, made: Any, **how: Any
) -> Any:
    """A net of these nodes, from x to y."""
    kind = how.pop("kind", TensorProto.FLOAT)
    nodes = node if isinstance(node, list) else [node]
    return nets.model(nodes, tensors, {"x": (kind, given)}, {"y": (kind, made)}, **how)


def tensors_of(model: onnx.ModelProto) -> dict[str, Array]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def assert_same_answers(net: onnx.ModelProto, child: onnx.ModelProto, x: Array, most: float = 1e-4) -> None:
    for ours, theirs in zip(nets.answer(child, {"x": x}), nets.answer(net, {"x": x}), strict=True):
        assert np.abs(ours.astype(np.float64) - theirs).max() <= most * max(1.0, float(np.abs(theirs).max()))


W = thin(24, 20, 3)
CASES: dict[str, tuple[onnx.ModelProto, tuple[int, ...]]] = {
    "matmul": (one(helper.make_node("MatMul", ["x", "w"], ["y"]), {"w": W}, ["n", 24], ["n", 20]), (4, 24)),
    "left": (one(helper.make_node("MatMul", ["w", "x"], ["y"]), {"w": W}, [20, "n"], [24, "n"]), (20, 4)),
    "gemm": (
        one(
            helper.make_node("Gemm", ["x", "w", "b"], ["y"], alpha=0.5, beta=2.0),
            {"w": W, "b": nets.weights(20)}, ["n", 24], ["n", 20],
        ), (4, 24),
    ),
    "gemm turned": (
        one(
            helper.make_node("Gemm", ["x", "w", "b"], ["y"], transA=1, transB=1, alpha=3.0),
            {"w": W, "b": nets.weights(24)}, [20, "n"], ["n", 24],
        ), (20, 4),
    ),
    "behind a transpose": (
        one(
            [helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]), helper.make_node("MatMul", ["x", "t"], ["y"])],
            {"w": W}, ["n", 20], ["n", 24],
        ), (4, 20),
    ),
    "conv": (
        one(
            helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[1, 0, 1, 0], strides=[2, 1], dilations=[1, 2]),
            {"w": thin(24, 4 * 9, 3).reshape(24, 4, 3, 3), "b": nets.weights(24)}, ["n", 4, 9, 9], ["n", 24, 5, 5],
        ), (2, 4, 9, 9),
    ),
    "conv of one axis": (
        one(
            helper.make_node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER"),
            {"w": thin(24, 12, 3).reshape(24, 4, 3)}, ["n", 4, 9], ["n", 24, 9],
        ), (2, 4, 9),
    ),
    "old operator set": (
        one(helper.make_node("MatMul", ["x", "w"], ["y"]), {"w": W}, ["n", 24], ["n", 20], opset=9), (4, 24),
    ),
    "float16": (
        one(
            helper.make_node("MatMul", ["x", "w"], ["y"]), {"w": thin(24, 20, 3, dtype=np.float16)},
            ["n", 24], ["n", 20], kind=TensorProto.FLOAT16,
        ), (4, 24),
    ),
    "float64": (
        one(
            helper.make_node("MatMul", ["x", "w"], ["y"]), {"w": thin(24, 20, 3, dtype=np.float64)},
            ["n", 24], ["n", 20], kind=TensorProto.DOUBLE,
        ), (4, 24),
    ),
    "constant node": (
        one(
            [
                helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(W, "v")),
                helper.make_node("MatMul", ["x", "w"], ["y"]),
            ],
            {}, ["n", 24], ["n", 20],
        ), (4, 24),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_weight_that_is_of_low_rank_is_replaced_and_the_answers_stay(name: str) -> None:
    net, shape = CASES[name]
    child, report = nets.applied(net, "low_rank", share_per_mille=600, **SMALL)
    sizes = {tensor: array.shape for tensor, array in tensors_of(child).items()}
    assert not {"w"} & sizes.keys()
    assert sizes["w_left"][1] == sizes["w_right"][0] <= 5
    assert sum(sizes["w_left"]) + sum(sizes["w_right"]) < 96
    assert report.more["low_rank"]["numbers_left_per_mille"] < 500
    kind = np.float16 if name == "float16" else np.float64 if name == "float64" else np.float32
    assert {array.dtype for array in tensors_of(child).values() if array.dtype.kind == "f"} == {np.dtype(kind)}
    x = np.random.default_rng(1).normal(size=shape).astype(kind)
    assert_same_answers(net, child, x, 5e-3 if kind == np.float16 else 1e-4)
    assert "factors of rank" in str(report.changed[0]["how"])


def test_no_other_pair_of_that_rank_is_nearer_to_the_weights() -> None:
    matrix = np.random.default_rng(0).normal(size=(30, 20))
    left, right = by_weights(matrix).pair(5)
    sizes = np.linalg.svd(matrix, compute_uv=False)
    assert ((matrix - left @ right) ** 2).sum() == pytest.approx((sizes[5:] ** 2).sum())
    assert by_weights(matrix).errors[5] == pytest.approx((sizes[5:] ** 2).sum() / (sizes**2).sum())


def test_both_factors_have_the_same_length_and_a_sign_of_their_own() -> None:
    left, right = by_weights(1e4 * np.random.default_rng(0).normal(size=(30, 20))).pair(5)
    np.testing.assert_allclose(np.linalg.norm(left, axis=0), np.linalg.norm(right, axis=1))
    assert (left[np.abs(left).argmax(axis=0), np.arange(5)] > 0).all()


@pytest.mark.parametrize(("shape", "axis"), [((12, 30), 0), ((30, 12), 0), ((12, 30), 1), ((30, 12), 1)])
def test_factors_for_inputs_are_nearer_to_the_answers_than_those_for_weights(shape: tuple[int, int], axis: int) -> None:
    draw = np.random.default_rng(0)
    matrix, inner = draw.normal(size=shape), shape[axis]
    x = draw.normal(size=(400, inner)) @ np.diag(np.linspace(0.01, 3, inner)) @ draw.normal(size=(inner, inner))
    spectrum = by_inputs(matrix, x.T @ x, axis)

    def lost(pair: tuple[Array, Array]) -> float:
        weight, made = (one if axis == 0 else one.T for one in (matrix, pair[0] @ pair[1]))
        return float(((x @ (weight - made)) ** 2).sum() / ((x @ weight) ** 2).sum())

    assert lost(spectrum.pair(4)) == pytest.approx(float(spectrum.errors[4]), rel=1e-6)
    assert lost(spectrum.pair(4)) < 0.8 * lost(by_weights(matrix).pair(4))
    answers = x @ (matrix if axis == 0 else matrix.T)
    best = np.linalg.svd(answers, compute_uv=False)[4:] ** 2
    assert lost(spectrum.pair(4)) == pytest.approx(float(best.sum() / (answers**2).sum()), rel=1e-6)


def test_tied_weights_have_one_pair_of_factors() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["a", "t"], ["b"]),
        helper.make_node("MatMul", ["b", "w"], ["y"]),
    ]
    net = one(nodes, {"w": W}, ["n", 24], ["n", 20])
    child, report = nets.applied(net, "low_rank", share_per_mille=600, **SMALL)
    assert sorted(tensors_of(child)) == ["w_left", "w_right"]
    assert len(report.changed) == 1
    assert_same_answers(net, child, nets.weights(4, 24, seed=3))


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Add", ["a", "w"], ["y"])], "Add reads it"),
        ([helper.make_node("Gather", ["w", "i"], ["g"]), helper.make_node("MatMul", ["x", "g"], ["y"])], "looked up"),
        ([helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("MatMul", ["w", "w"], ["y"])], "with itself"),
        (
            [helper.make_node("Transpose", ["w"], ["y"], perm=[1, 0]), helper.make_node("MatMul", ["x", "y"], ["a"])],
            "the model gives it",
        ),
    ],
)
def test_a_weight_that_something_else_reads_stays_whole_and_says_why(nodes: list[onnx.NodeProto], reason: str) -> None:
    tensors = {"w": thin(24, 24, 3)} | ({"i": np.arange(24)} if nodes[0].op_type == "Gather" else {})
    net = one(nodes, tensors, [24, 24], [24, 24])
    child, report = nets.applied(net, "low_rank", **SMALL)
    assert child.graph.initializer[0].name == "w"
    assert reason in str(report.left[0]["reason"])


def test_the_share_that_is_asked_for_is_saved_and_hardly_more() -> None:
    draw = np.random.default_rng(5)
    sizes = [32, 48, 40, 64, 24]
    tensors = {f"w{i}": draw.normal(size=pair).astype(np.float32) for i, pair in enumerate(itertools.pairwise(sizes))}
    chain = ["x", "h0", "h1", "h2", "y"]
    nodes = [helper.make_node("MatMul", [chain[i], f"w{i}"], [chain[i + 1]]) for i in range(4)]
    net = one(nodes, tensors, ["n", 32], ["n", 24])
    whole = sum(array.size for array in tensors.values())
    for scope in ("global", "layer"):
        for share in (50, 300, 700):
            child, report = nets.applied(net, "low_rank", share_per_mille=share, scope=scope, **SMALL)
            saved = 1 - sum(array.size for array in tensors_of(child).values()) / whole
            assert share / 1000 <= saved <= share / 1000 + 0.04
            told = report.more["low_rank"]
            assert told["numbers_left_per_mille"] == round(1000 * (1 - saved))
            assert told["multiply_adds_left_per_mille"] == told["numbers_left_per_mille"]
    with pytest.raises(RecipeError, match="per mille can be saved"):
        nets.applied(net, "low_rank", share_per_mille=990, **(SMALL | {"round_to": 4}))


def test_multiply_adds_count_how_often_a_weight_is_used() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "often"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["a"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "once"], ["y"]),
    ]
    tensors = {"often": nets.weights(16, 16, 3, 3), "once": nets.weights(16, 144)}
    net = one(nodes, tensors, ["n", 16, 8, 8], ["n", 144])
    asked: dict[str, Any] = {"share_per_mille": 300} | SMALL
    by_work, _ = nets.applied(net, "low_rank", **asked)
    assert "once" in tensors_of(by_work)
    by_size, report = nets.applied(net, "low_rank", share_of="numbers", scope="layer", **asked)
    assert "once" not in tensors_of(by_size)
    assert {row["name"] for row in report.more["low_rank"]["layers"]} == {"often", "once"}


def test_a_weight_that_is_read_by_detours_counts_in_the_whole_all_the_same() -> None:
    nodes = [
        helper.make_node("Identity", ["w"], ["i"]),
        helper.make_node("Transpose", ["i"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    child, report = nets.applied(one(nodes, {"w": W}, ["n", 20], ["n", 24]), "low_rank", share_per_mille=600, **SMALL)
    told = report.more["low_rank"]
    assert told["multiply_adds_left_per_mille"] == told["numbers_left_per_mille"] <= 400
    assert sorted(tensors_of(child)) == ["w_left", "w_right"]


def test_of_two_weights_that_are_multiplied_with_each_other_one_has_factors() -> None:
    nodes = [helper.make_node("MatMul", ["u", "v"], ["w"]), helper.make_node("MatMul", ["x", "w"], ["y"])]
    net = one(nodes, {"u": W, "v": thin(20, 24, 3, seed=1)}, ["n", 24], ["n", 24])
    child, report = nets.applied(net, "low_rank", share_per_mille=300, share_of="numbers", **SMALL)
    assert sorted(tensors_of(child)) == ["u_left", "u_right", "v"]
    assert "multiplied with 'u'" in str(report.left[0]["reason"])
    assert_same_answers(net, child, nets.weights(4, 24, seed=3))


def test_excluded_weights_stay_and_an_unknown_name_is_refused(mlp_folder: Path) -> None:
    child, _ = nets.applied(nets.mlp(), "low_rank", exclude=("first",), share_per_mille=100)
    assert "first" in tensors_of(child)
    assert "second_left" in tensors_of(child)
    with pytest.raises(RecipeError, match="no weight"):
        nets.applied(nets.mlp(), "low_rank", exclude=("nobody",))


def test_a_model_that_is_too_small_is_refused_with_the_reason(tmp_path: Path) -> None:
    parent = nets.save(learning.net(), tmp_path / "parent")
    for step, why in (
        (Step("low_rank"), "has no large float weights"),
        (Step("low_rank", {"min_elements": 1, "round_to": 8}), "two factors of rank 8 would be no smaller than 8 x 16"),
    ):
        with pytest.raises(RecipeError, match=why) as error:
            compress(parent.parent, Recipe("r", (step,)), output_folder=tmp_path / "out", settings=QUICK)
        assert error.value.code == "nothing_to_compress"


def test_weights_that_are_no_numbers_are_refused_and_rows_are_asked_for() -> None:
    net = nets.mlp()
    array = numpy_helper.to_array(net.graph.initializer[0]).copy()
    array[0, 0] = np.inf
    net.graph.initializer[0].CopyFrom(numpy_helper.from_array(array, net.graph.initializer[0].name))
    with pytest.raises(FileRefused, match="NaN or infinity"):
        nets.applied(net, "low_rank")
    with pytest.raises(DataError, match="calibration rows"):
        nets.applied(nets.mlp(), "low_rank", fit="inputs")


@pytest.mark.parametrize(
    ("name", "exporter"),
    [
        ("residual", structured_nets.LEGACY),
        ("attention", structured_nets.LEGACY),
        *(
            pytest.param(name, structured_nets.DYNAMO, marks=pytest.mark.long)
            for name in ("plain", "encoder", "attention", "excited", "recurrent", "grouped")
        ),
    ],
)
def test_graphs_of_both_exporters_are_factored(name: str, exporter: str) -> None:
    net = structured_nets.export(name, exporter)
    child, report = nets.applied(net, "low_rank", share_per_mille=5, min_elements=32, round_to=1)
    assert report.changed
    onnx.checker.check_model(child, full_check=True)
    before, after = (sum(array.size for array in tensors_of(one).values()) for one in (net, child))
    assert after < before


def test_odd_graphs_are_factored_or_refused_with_the_reason() -> None:
    done, codes = [], set()
    for name, net in odd_graphs.every_model():
        try:
            _, report = nets.applied(net, "low_rank", share_per_mille=10, **SMALL)
        except EngineError as refused:
            codes.add(refused.code)
        else:
            done += [name] if report.changed else []
    assert codes <= {"recipe_does_not_fit"}
    assert len(done) > 5


def inputs(rows: int = 60, seed: int = 9) -> Array:
    """Rows that live in few directions, as real ones do."""
    draw = np.random.default_rng(seed)
    directions = np.random.default_rng(7).normal(size=(6, 64))
    made: Array = draw.normal(size=(rows, 6)) @ directions + 0.1 * draw.normal(size=(rows, 64))
    return made.astype(np.float32)


def test_calibration_rows_bring_the_answers_nearer(rows: Any) -> None:
    net, seen = nets.mlp(), rows(x=inputs(600))
    x, wanted = inputs(200, 33), nets.answer(nets.mlp(), {"x": inputs(200, 33)})[0]
    apart = {}
    for name, given in (("weights", {}), ("inputs", {"fit": "inputs"})):
        child, _ = nets.applied(net, "low_rank", seen if given else None, share_per_mille=700, scope="layer", **given)
        apart[name] = float(((nets.answer(child, {"x": x})[0] - wanted) ** 2).sum() / (wanted**2).sum())
    assert apart["inputs"] < 0.5 * apart["weights"]


def test_the_same_call_gives_the_same_bytes_whatever_the_threads(mlp_folder: Path, tmp_path: Path) -> None:
    seen = nets.save_rows({"x": inputs()}, tmp_path / "calibration.npz")
    step = Step("low_rank", {"fit": "inputs", "share_per_mille": 400})
    made = []
    for number in (1, 2):
        folder = tmp_path / f"out-{number}"
        settings = Settings(rounds=5, memory_repeats=1, threads=number)
        compress(mlp_folder, Recipe("thin", (step,)), output_folder=folder, calibration=seen, settings=settings)
        made.append((folder / "model.onnx").read_bytes())
    assert made[0] == made[1]


def test_calibration_of_positions_and_windows_is_what_layers_see(rows: Any) -> None:
    seen: Calibration = rows(**nets.rows_for("images", 30))
    child, report = nets.applied(nets.convolution(), "low_rank", seen, fit="inputs", share_per_mille=300)
    assert [entry["name"] for entry in report.changed] == ["two"]
    x = nets.rows_for("images", 20, seed=4)
    assert nets.least_cosine(nets.answer(child, x)[0], nets.answer(nets.convolution(), x)[0]) > 0.9


def test_ranks_over_the_whole_network_are_nearly_the_best_that_there_are() -> None:
    draw, sizes = np.random.default_rng(3), [(12, 12, 1), (10, 16, 4), (14, 8, 2)]
    candidates = []
    for rows, columns, price in sizes:
        squares = np.sort(draw.exponential(size=min(rows, columns)) ** 4)[::-1]
        errors = np.concatenate([np.cumsum(squares[::-1])[::-1], [0.0]]) / squares.sum()
        candidates.append(Candidate(rows, columns, price, errors))
    whole = sum(rows * columns * price for rows, columns, price in sizes)
    for wanted in (0.2, 0.4, 0.6):
        found = choose(candidates, wanted, whole, by_layer=False, round_to=1)
        every = itertools.product(*([None, *one.ranks(1)] for one in candidates))
        enough = [ranks for ranks in every if total(candidates, ranks, "saved") >= wanted * whole]
        assert tuple(found) in enough
        best = min(total(candidates, ranks, "lost") for ranks in enough)
        assert total(candidates, found, "lost") <= 1.15 * best


def total(candidates: list[Candidate], ranks: Iterable[int | None], what: str) -> float:
    return float(sum(getattr(one, what)(rank) for one, rank in zip(candidates, ranks, strict=True)))

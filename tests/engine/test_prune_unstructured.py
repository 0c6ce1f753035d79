"""Single numbers become zero: exactly as many as asked, the ones that are meant, in every place where weights stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from compression_engine.errors import DataError, FileRefused, RecipeError
from compression_engine.formats.onnx_graph import graphs_of
from compression_engine.methods.pruning_rounds import cubic
from compression_engine.methods.unstructured_pruning.masks import SCOPES, masks, two_of_four
from compression_engine.pipeline import Settings, compress
from compression_engine.recipe import Recipe, Step
from compression_engine.sparsity import zeros_of
from tests.engine import nets
from tests.engine.made import child

METHOD = "prune_unstructured"
ALL: dict[str, Any] = {"min_elements": 1, "spare_ends": False}


def pruned(net: onnx.ModelProto, **parameters: Any) -> tuple[dict[str, Any], Any]:
    """Weights by name after pruning, and the report."""
    changed, report = nets.applied(net, METHOD, **parameters)
    onnx.checker.check_model(changed)
    return weights_of(changed), report


def weights_of(net: onnx.ModelProto) -> dict[str, Any]:
    return {
        tensor.name: numpy_helper.to_array(tensor) for graph in graphs_of(net.graph) for tensor in graph.initializer
    }


def zeros(weights: dict[str, Any], *names: str) -> int:
    return sum(int((weights[name] == 0).sum()) for name in names)


@pytest.mark.parametrize("scope", SCOPES)
def test_exactly_the_share_of_all_numbers_becomes_zero_and_the_others_stay(scope: str) -> None:
    before = weights_of(nets.mlp())
    after, report = pruned(nets.mlp(), sparsity_per_mille=637, scope=scope, **ALL)
    total = before["first"].size + before["second"].size
    wanted = total * 637 // 1000
    assert abs(zeros(after, "first", "second") - wanted) <= (1 if scope == "layer" else 0)
    for name in ("first", "second"):
        assert np.array_equal(after[name][after[name] != 0], before[name][after[name] != 0])
    assert np.array_equal(after["first_bias"], before["first_bias"])
    assert {entry["name"] for entry in report.changed} == {"first", "second"}
    told = {entry["name"]: entry["zeros"] for entry in report.more["sparsity"]["tensors"]}
    assert told == {name: zeros(after, name) for name in told}
    assert report.more["sparsity"]["zeros"] == sum(told.values())


def test_each_weight_loses_the_same_share_or_the_smallest_of_all_go() -> None:
    alone, _ = pruned(nets.mlp(), sparsity_per_mille=500, scope="layer", **ALL)
    assert zeros(alone, "first") == alone["first"].size // 2
    assert zeros(alone, "second") == alone["second"].size // 2
    before = weights_of(nets.mlp())
    together, _ = pruned(nets.mlp(), sparsity_per_mille=500, scope="global", **ALL)
    gone = np.concatenate([np.abs(before[name][together[name] == 0]) for name in ("first", "second")])
    kept = np.concatenate([np.abs(before[name][together[name] != 0]) for name in ("first", "second")])
    assert gone.max() <= kept.min()


def test_a_layer_of_small_numbers_is_not_emptied() -> None:
    draw = np.random.default_rng(0)
    arrays = {"small": draw.normal(size=(50, 40)) * 1e-4, "large": draw.normal(size=(50, 40))}
    by_magnitude = masks(arrays, "global", 500)
    assert by_magnitude["small"].sum() == 2000 - 20  # its largest hundredth stays
    assert by_magnitude["large"].sum() == 20
    shared = masks(arrays, "adaptive", 500)
    assert abs(int(shared["small"].sum()) - 1000) < 100


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 9)), min_size=1, max_size=4),
    st.sampled_from(SCOPES),
    st.lists(st.integers(0, 1000), min_size=2, max_size=2),
    st.integers(0, 3),
)
def test_masks_of_a_larger_share_hold_those_of_a_smaller_one(
    shapes: list[tuple[int, int]], scope: str, shares: list[int], seed: int
) -> None:
    draw = np.random.default_rng(seed)
    # few different numbers, so that many are equal
    arrays = {str(place): draw.integers(-2, 3, size=shape).astype(np.float32) for place, shape in enumerate(shapes)}
    few, many = (masks(arrays, scope, share) for share in sorted(shares))
    for name, array in arrays.items():
        assert few[name].shape == array.shape
        assert (many[name] | ~few[name]).all()
        assert few[name].sum() < array.size
    once = {name: np.where(few[name], 0, array) for name, array in arrays.items()}
    again = masks(once, scope, max(shares))
    zero_before = sum(int((array == 0).sum()) for array in once.values())
    if scope != "layer" and sum(int(mask.sum()) for mask in again.values()) >= zero_before:
        kept_free = {name: -(-array.size // 100) for name, array in once.items()}
        for name, array in once.items():
            # all but the numbers that a weight keeps in any case
            assert (~again[name] & (array == 0)).sum() <= kept_free[name]


def test_the_share_grows_along_a_cubic_to_what_was_asked() -> None:
    shares = [cubic(number, 5, 900) for number in range(1, 6)]
    assert shares == sorted(shares)
    assert shares[-1] == 900
    assert shares[0] == 900 - 900 * 64 // 125
    assert np.diff([0, *shares]).tolist() == sorted(np.diff([0, *shares]).tolist(), reverse=True)
    assert cubic(1, 1, 777) == 777


@pytest.mark.parametrize(("net", "name", "axis"), [
    (nets.mlp(), "first", 1), (nets.mlp(), "second", 0), (nets.convolution(), "two", 1), (nets.encoder(), "words", 1),
])  # fmt: skip
def test_two_of_every_four_neighbours_along_the_inputs_go(net: onnx.ModelProto, name: str, axis: int) -> None:
    after, _ = pruned(net, pattern="2:4", **ALL)
    fours = np.moveaxis(after[name], axis, -1).reshape(-1, 4)
    assert ((fours == 0).sum(axis=1) == 2).all()
    before = np.moveaxis(weights_of(net)[name], axis, -1).reshape(-1, 4)
    assert (
        np.abs(np.where(fours == 0, before, 0)).max(axis=1) <= np.where(fours == 0, np.inf, np.abs(before)).min(axis=1)
    ).all()


def test_a_share_of_the_fours_loses_least() -> None:
    array = np.random.default_rng(1).normal(size=(16, 32)).astype(np.float32)
    mask = two_of_four({"w": array}, {"w": 1}, 250)["w"].reshape(-1, 4)
    assert mask.sum() == array.size // 4
    assert set(mask.sum(axis=1)) == {0, 2}
    lost = np.sort(np.abs(array.reshape(-1, 4)), axis=1)[:, :2].sum(axis=1)
    assert lost[mask.any(axis=1)].max() <= lost[~mask.any(axis=1)].min()


def test_inputs_that_are_no_multiple_of_four_are_left_and_told() -> None:
    _, report = pruned(nets.convolution(), pattern="2:4", **ALL)
    assert [entry["name"] for entry in report.changed] == ["two"]
    assert {"name": "one", "reason": "its 3 inputs are no multiple of four"} in report.left


WIDE = 128


def deep() -> onnx.ModelProto:
    """x [n, 8] -> a thin first layer -> two wide ones -> a thin last one -> y [n, 4]."""
    sizes = {"first": (8, WIDE), "one": (WIDE, WIDE), "two": (WIDE, WIDE), "last": (WIDE, 4)}
    nodes, source = [], "x"
    for name in sizes:
        target = "y" if name == "last" else f"{name}_sum"
        nodes.append(helper.make_node("MatMul", [source, name], [target]))
        if name != "last":
            nodes.append(helper.make_node("Relu", [target], [f"{name}_out"]))
        source = f"{name}_out"
    tensors = {name: nets.weights(*shape, seed=len(name)) for name, shape in sizes.items()}
    ports = ({"x": (TensorProto.FLOAT, ["n", 8])}, {"y": (TensorProto.FLOAT, ["n", 4])})
    return nets.model(nodes, tensors, *ports)


def test_thin_first_and_last_layers_stay_unless_that_is_switched_off() -> None:
    after, report = pruned(deep(), min_elements=1)
    assert zeros(after, "first", "last") == 0
    assert zeros(after, "one", "two") == WIDE * WIDE
    left = {entry["name"] for entry in report.left if "first or last layer" in entry["reason"]}
    assert left == {"first", "last"}
    after, _ = pruned(deep(), scope="layer", **ALL)
    assert zeros(after, "first") == after["first"].size // 2


def test_an_embedding_of_half_the_model_is_pruned_though_it_comes_first() -> None:
    after, report = pruned(nets.encoder(), sparsity_per_mille=600, min_elements=1)
    assert zeros(after, "words") > 0.5 * after["words"].size
    assert {entry["name"] for entry in report.changed} == {"words", "wq", "wk", "wv"}


def test_a_tied_weight_is_pruned_once_for_all_its_readers() -> None:
    net = nets.encoder(tied=True)
    after, report = pruned(net, **ALL)
    assert [entry["name"] for entry in report.changed].count("words") == 1
    changed, _ = nets.applied(net, METHOD, **ALL)
    ids = nets.rows_for("ids", 5)
    assert np.isfinite(nets.answer(changed, ids)[0]).all()
    assert zeros(after, "words") > 0


def test_weights_in_constants_are_pruned_and_those_in_branches_told() -> None:
    net = nets.with_constant_and_branch()
    after, report = pruned(net, **ALL)
    assert zeros(after, "w") == after["w"].size // 2
    assert zeros(after, "then_weight", "else_weight") == 0
    reasons = {entry["name"]: entry["reason"] for entry in report.left}
    assert "inside a node" in reasons["then_weight"]
    assert "inside a node" in reasons["else_weight"]


def test_recurrent_cells_lose_numbers_of_both_their_weights() -> None:
    node = helper.make_node("LSTM", ["x", "wide", "again"], ["", "y"], hidden_size=16)
    tensors = {"wide": nets.weights(1, 64, 12, seed=1), "again": nets.weights(1, 64, 16, seed=2)}
    ports = ({"x": (TensorProto.FLOAT, [5, "n", 12])}, {"y": (TensorProto.FLOAT, [1, "n", 16])})
    after, _ = pruned(nets.model([node], tensors, *ports), scope="layer", **ALL)
    assert zeros(after, "wide") == after["wide"].size // 2
    assert zeros(after, "again") == after["again"].size // 2


def test_half_floats_stay_half_floats() -> None:
    after, _ = pruned(nets.mlp(dtype=np.float16), **ALL)
    assert after["first"].dtype == np.float16
    assert zeros(after, "first", "second") >= (after["first"].size + after["second"].size) // 2


def test_what_is_excluded_or_small_stays_and_a_name_that_is_none_is_refused() -> None:
    after, report = pruned(nets.mlp(), exclude=["first"], **ALL)
    assert zeros(after, "first") == 0
    assert zeros(after, "second") > 0
    assert {"name": "first", "reason": "the recipe leaves it out"} in report.left
    after, _ = pruned(nets.mlp(), min_elements=13_000, spare_ends=False)
    assert zeros(after, "second") == 0
    with pytest.raises(RecipeError, match="no weight 'thirst'"):
        pruned(nets.mlp(), exclude=["thirst"], **ALL)


def test_a_weight_that_is_no_number_is_refused() -> None:
    net = nets.mlp()
    broken = numpy_helper.to_array(net.graph.initializer[0]).copy()
    broken[0, 0] = np.nan
    net.graph.initializer[0].CopyFrom(numpy_helper.from_array(broken, net.graph.initializer[0].name))
    with pytest.raises(FileRefused, match="NaN or infinity"):
        pruned(net, **ALL)


@pytest.mark.parametrize("wrong", [
    {"rounds": 3}, {"most_loss_per_mille": 10}, {"learning_rate_per_million": 5}, {"pattern": "2:4", "sparsity_per_mille": 700},
    {"pattern": "2:4", "scope": "layer"}, {"sparsity_per_mille": 1000}, {"epochs_per_round": 1, "alpha_percent": 20},
])  # fmt: skip
def test_settings_that_would_do_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RecipeError) as refused:
        Step(METHOD, wrong)
    assert refused.value.code == "recipe_invalid"


def test_training_is_asked_for_only_where_a_round_trains() -> None:
    assert not Step(METHOD).needs_training
    assert Step(METHOD, {"epochs_per_round": 1}).needs_training
    with pytest.raises(DataError) as refused:
        nets.applied(nets.mlp(), METHOD, epochs_per_round=1)
    assert refused.value.code == "data_missing"


@pytest.mark.parametrize("stored", [
    {"bits": 8}, {"bits": 4, "rounding": "mse"}, {"bits": 4, "granularity": "block", "symmetric": False},
])  # fmt: skip
def test_zeros_are_counted_in_integers_and_embeddings_too(stored: dict[str, Any], tmp_path: Path) -> None:
    folder = nets.save(nets.encoder(), tmp_path / "parent").parent
    prune = Step(METHOD, {"sparsity_per_mille": 600, "min_elements": 1})
    made = child(folder, Recipe("both", (prune, Step("quantize_weights", stored))), tmp_path / "child")
    sparse = child(folder, Recipe("one", (prune,)), tmp_path / "sparse")
    found, before = zeros_of(made, folder / "model.onnx"), zeros_of(sparse, folder / "model.onnx")
    assert found.unread == 0
    assert found.numbers == before.numbers == 700 * 64 + 3 * 64 * 64
    assert before.zeros == before.numbers * 600 // 1000
    # small numbers are rounded to zero besides
    assert found.zeros >= before.zeros


def test_a_pruned_child_may_be_as_large_as_its_parent_and_a_second_pruning_finds_nothing(tmp_path: Path) -> None:
    parent = nets.save(nets.mlp(), tmp_path / "parent").parent
    rows = nets.save_rows(nets.rows_for("numbers", 60), tmp_path / "rows.npz")
    step = Step(METHOD, {"sparsity_per_mille": 300, "min_elements": 1, "spare_ends": False})
    quick = Settings(rounds=3, memory_repeats=1)
    result = compress(
        parent, Recipe("sparse", (step,)), output_folder=tmp_path / "child", evaluation=rows, settings=quick
    )
    made = tmp_path / "child" / "model.onnx"
    after = weights_of(onnx.load(made))
    assert zeros(after, "first", "second") == (64 * 256 + 256 * 48) * 300 // 1000
    assert result.document()["steps"][0]["sparsity"]["zeros"] == zeros(after, "first", "second")
    figures = {one.metric: one for entry in result.evidence for one in entry.measurements if entry.kind == "size"}
    weights = sum(array.size for array in after.values() if array.ndim > 1)
    assert figures["sparsity"].value == zeros(after, "first", "second") / weights
    assert "Zeros alone make the file no smaller and the answers no faster" in figures["sparsity"].plain
    assert made.stat().st_size > 0.95 * (parent / "model.onnx").stat().st_size
    again = tmp_path / "again"
    compress(parent, Recipe("sparse", (step,)), output_folder=again, evaluation=rows, settings=quick)
    assert (again / "model.onnx").read_bytes() == made.read_bytes()
    with pytest.raises(RecipeError, match="nothing more of it is chosen"):
        compress(
            made.parent, Recipe("sparse", (step,)), output_folder=tmp_path / "none", evaluation=rows, settings=quick
        )


@pytest.mark.parametrize("scope", SCOPES)
def test_an_embedding_loses_the_share_asked_for_and_short_rows_no_more_than_long_ones(scope: str) -> None:
    net = nets.encoder()
    words = numpy_helper.to_array(net.graph.initializer[0]).copy()
    words[:50] *= 0.01  # frequent words
    net.graph.initializer[0].CopyFrom(numpy_helper.from_array(words, "words"))
    after, _ = pruned(net, sparsity_per_mille=400, scope=scope, **ALL)
    assert zeros(after, "words") == words.size * 400 // 1000
    gone = (after["words"] == 0).mean(axis=1)
    assert abs(float(gone[:50].mean()) - float(gone[50:].mean())) < 0.1
    assert abs(zeros(after, "wq", "wk", "wv") - 3 * 64 * 64 * 400 // 1000) <= 3

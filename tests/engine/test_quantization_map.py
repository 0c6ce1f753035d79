"""The quantisation map: the file says how each tensor is stored, and is believed only as far as its tensors bear it out."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from compression_engine import facts
from compression_engine.canonical import canonical, parse_canonical
from compression_engine.command_line import main
from compression_engine.errors import EngineError
from compression_engine.formats.onnx_io import inspect_model
from compression_engine.mapping.map_reading import read_map
from compression_engine.mapping.quantization_map import entry, from_entries, from_file, in_file
from compression_engine.pipeline import Settings, compress
from compression_engine.recipe import Recipe, Step, shipped_recipes
from tests.engine import made, nets
from tests.engine.static_nets import images, residual


@pytest.fixture
def weights(mlp_folder: Path, tmp_path: Path) -> Path:
    return made.child(mlp_folder, made.WEIGHTS, tmp_path / "weights")


def written(file: Path) -> Any:
    return json.loads(made.metadata(file)[facts.MAP])


def test_the_result_and_the_file_carry_the_same_map(mlp_folder: Path, tmp_path: Path) -> None:
    quick = Settings(rounds=3, memory_repeats=1)
    compress(
        mlp_folder, made.DYNAMIC, evaluation=mlp_folder / "rows.npz", output_folder=tmp_path / "out", settings=quick
    )
    document = parse_canonical((tmp_path / "out" / "RESULT.json").read_bytes())
    found = read_map(tmp_path / "out")
    assert [entry(one) for one in found.entries] == document["quantization_map"]
    assert [
        (one["tensor"], one["dtype"], one["scheme"], one["granularity"]) for one in document["quantization_map"]
    ] == [
        ("a", "uint8", "asymmetric", "token"),
        ("first", "int8", "symmetric", "channel"),
        ("second", "int8", "symmetric", "channel"),
        ("x", "uint8", "asymmetric", "token"),
    ]
    assert read_map(tmp_path / "out" / "RESULT.json").entries == found.entries


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Step("quantize_weights", {"rounding": "mse"}), ("int8", "symmetric", "channel", "mse")),
        (
            Step("quantize_weights", {"bits": 4, "granularity": "block", "block_size": 64, "symmetric": False}),
            ("uint4", "asymmetric", "block-64", "nearest"),
        ),
        (Step("convert_fp16", {"storage": "bfloat16"}), ("bfloat16", "float", "tensor", "nearest")),
    ],
)
def test_every_way_of_storing_has_its_words(
    step: Step, expected: tuple[str, ...], mlp_folder: Path, tmp_path: Path
) -> None:
    found = read_map(made.child(mlp_folder, Recipe("one", (step,)), tmp_path / "out")).entries
    assert {(one.dtype, one.scheme, one.granularity, one.rounding) for one in found} == {expected}
    assert [one.tensor for one in found] == ["first", "second"]


def test_weights_in_constants_and_branches_are_in_the_map(tmp_path: Path) -> None:
    net = nets.with_constant_and_branch()
    _, report = nets.applied(net, "quantize_weights")
    nets.save(net, tmp_path / "parent")
    found = read_map(made.child(tmp_path / "parent", made.WEIGHTS, tmp_path / "out"))
    assert sorted(one.tensor for one in found.entries) == sorted(str(one["name"]) for one in report.changed)


def test_the_steps_of_activations_that_are_fixed_beforehand_are_held_against_the_graph(tmp_path: Path) -> None:
    nets.save(residual(), tmp_path / "parent")
    rows = nets.save_rows({"x": images(40, 0, 3, 16, 16)}, tmp_path / "rows.npz")
    recipe = shipped_recipes()["fastest-int8"].recipe
    file = made.child(tmp_path / "parent", recipe, tmp_path / "out", calibration=rows)
    found = {one.tensor: one for one in read_map(file).entries}
    assert (found["x"].dtype, found["x"].scheme, found["x"].granularity) == ("uint8", "asymmetric", "tensor")
    assert (found["one"].dtype, found["one"].granularity) == ("int8", "channel")
    for name in ("x_scale", "x_zero"):
        with pytest.raises(EngineError, match="'x'"):
            read_map(made.changed(file, tmp_path / name, number_of(name)))


def number_of(name: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        tensor = next(one for one in model.graph.initializer if one.name == name)
        array = numpy_helper.to_array(tensor).copy()
        array.reshape(-1)[array.size // 2] += 1
        tensor.CopyFrom(numpy_helper.from_array(array, name))

    return change


def rows_of(change: Callable[[list[Any]], None]) -> Callable[[onnx.ModelProto], None]:
    def act(model: onnx.ModelProto) -> None:
        document = parse_canonical({one.key: one.value for one in model.metadata_props}[facts.MAP].encode())
        change(document["tensors"])
        made.set_metadata(model, quantization_map=canonical(document).decode())

    return act


def swapped(rows: list[Any]) -> None:
    rows[0][1], rows[1][1] = rows[1][1], rows[0][1]


def another_digest(rows: list[Any]) -> None:
    rows[1][5] = "0" * 64


def no_such_part(rows: list[Any]) -> None:
    rows[1][2] = "second_int9"


def not_rounded(rows: list[Any]) -> None:
    rows.append([0, "h", None, None, None, None, None])


def without_scale(rows: list[Any]) -> None:
    rows[0][3] = rows[0][6] = None


@pytest.mark.parametrize(
    ("lie", "tensor"),
    [
        (number_of("first_int8"), "'first'"),
        (number_of("second_scale"), "'second'"),
        (rows_of(swapped), "'second'"),
        (rows_of(another_digest), "'second'"),
        (rows_of(no_such_part), "'second'"),
        (rows_of(not_rounded), "'h'"),
        (rows_of(without_scale), "'first'"),
    ],
)
def test_a_map_that_lies_is_an_error_that_names_the_tensor(
    lie: Callable[[onnx.ModelProto], None], tensor: str, weights: Path, tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match=tensor) as refused:
        read_map(made.changed(weights, tmp_path / "lying", lie))
    assert refused.value.code == "map_differs"


def test_a_name_of_any_length_is_found_again(tmp_path: Path) -> None:
    name = "weight" * 200
    kind = onnx.TensorProto.FLOAT
    nodes = [onnx.helper.make_node("MatMul", ["x", name], ["y"])]
    net = nets.model(nodes, {name: nets.weights(64, 64)}, {"x": (kind, ["batch", 64])}, {"y": (kind, ["batch", 64])})
    nets.save(net, tmp_path / "parent")
    assert [
        one.tensor for one in read_map(made.child(tmp_path / "parent", made.WEIGHTS, tmp_path / "out")).entries
    ] == [name]


@pytest.mark.parametrize(
    ("recipe", "granularity"),
    [(made.WEIGHTS, "block-4"), (made.WEIGHTS, "tensor"), (made.FOUR, "block-16"), (made.FOUR, "tensor")],
)
def test_another_granularity_than_the_scales_have_is_a_lie(
    recipe: Recipe, granularity: str, mlp_folder: Path, tmp_path: Path
) -> None:
    file = made.child(mlp_folder, recipe, tmp_path / "out")

    def otherwise(model: onnx.ModelProto) -> None:
        document = parse_canonical({one.key: one.value for one in model.metadata_props}[facts.MAP].encode())
        for way in document["ways"]:
            way[2] = granularity
        made.set_metadata(model, quantization_map=canonical(document).decode())

    assert read_map(file).entries
    with pytest.raises(EngineError, match=f"number of scales is not that of the granularity {granularity}") as refused:
        read_map(made.changed(file, tmp_path / "lying", otherwise))
    assert refused.value.code == "map_differs"


def test_another_type_or_scheme_than_the_tensors_have_is_a_lie(weights: Path, tmp_path: Path) -> None:
    for way in (["float16", "symmetric"], ["uint8", "asymmetric"], ["int8", "float"]):
        document = written(weights) | {"ways": [[*way, "channel", "nearest"]]}
        lying = made.changed(
            weights,
            tmp_path / "-".join(way),
            partial(made.set_metadata, quantization_map=canonical(document).decode()),
        )
        with pytest.raises(EngineError) as refused:
            read_map(lying)
        assert refused.value.code == "map_differs"


def test_what_a_map_leaves_out_is_told(weights: Path, tmp_path: Path) -> None:
    shorter = made.changed(weights, tmp_path / "shorter", rows_of(lambda rows: rows.pop()))
    assert [one[:2] for one in read_map(shorter).unmapped] == [("second_int8", "int8")]
    assert read_map(weights).unmapped == []


@given(
    st.recursive(
        st.none() | st.integers(-3, 9) | st.text(max_size=9) | st.just("tensors") | st.just("ways"),
        lambda inner: (
            st.lists(inner, max_size=8)
            | st.dictionaries(st.sampled_from(["tensors", "ways", "type", "x"]), inner, max_size=4)
        ),
        max_leaves=30,
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_text_makes_reading_a_map_fail_otherwise_than_by_its_error(value: Any) -> None:
    document = value | {"type": "pressmark/quantization_map/1"} if isinstance(value, dict) else value
    for read, given_value in ((from_file, json.dumps(document)), (from_entries, value)):
        with suppress(EngineError):
            read(given_value)


def test_a_long_map_is_cut_into_texts_that_can_be_inspected(tmp_path: Path) -> None:
    count = 400
    nodes = [onnx.helper.make_node("MatMul", [f"v{i}", f"layer.{i}.weight"], [f"v{i + 1}"]) for i in range(count)]
    tensors = {f"layer.{i}.weight": nets.weights(8, 8, seed=i) for i in range(count)}
    kind = onnx.TensorProto.FLOAT
    net = nets.model(nodes, tensors, {"v0": (kind, ["batch", 8])}, {f"v{count}": (kind, ["batch", 8])})
    nets.save(net, tmp_path / "parent")
    file = made.child(
        tmp_path / "parent", Recipe("all", (Step("quantize_weights", {"min_elements": 64}),)), tmp_path / "out"
    )
    said = made.metadata(file)
    assert facts.MAP not in said
    assert {f"{facts.MAP}.1", f"{facts.MAP}.2"} <= set(said)
    assert len(inspect_model(file).metadata) == len(said)
    assert len(read_map(file).entries) == count


def test_a_map_survives_being_written_and_read(weights: Path) -> None:
    marks = list(read_map(weights).entries)
    assert from_file(in_file(marks).decode()) == marks
    assert from_entries([entry(mark) for mark in marks]) == marks


def test_a_model_that_is_not_quantised_has_no_map(mlp_folder: Path) -> None:
    with pytest.raises(EngineError) as refused:
        read_map(mlp_folder)
    assert refused.value.code == "map_missing"


def test_what_later_steps_store_again_is_named_as_it_is_at_the_end(tmp_path: Path) -> None:
    nodes = [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])]
    kind = onnx.TensorProto.FLOAT
    net = nets.model(nodes, {"w": nets.weights(4, 2000)}, {"x": (kind, ["batch", 4])}, {"y": (kind, ["batch", 2000])})
    nets.save(net, tmp_path / "parent")
    steps = (Step("quantize_weights"), Step("convert_fp16", {"storage": "bfloat16"}))
    file = made.child(tmp_path / "parent", Recipe("two", steps), tmp_path / "out")
    found = {one.tensor: one for one in read_map(file).entries}
    assert set(found) == {"w", "w_scale"}
    assert found["w"].parts.scale == found["w_scale"].parts.values == "w_scale_bfloat16"


def test_a_child_of_a_quantised_parent_keeps_what_of_its_map_still_holds(mlp_folder: Path, tmp_path: Path) -> None:
    half = Recipe("half", (Step("quantize_weights", {"exclude": ("second",)}),))
    parent = made.child(mlp_folder, half, tmp_path / "parent_8").parent
    file = made.child(parent, Recipe("rest", (Step("convert_fp16"),)), tmp_path / "out")
    assert [(one.tensor, one.dtype) for one in read_map(file).entries] == [("first", "int8"), ("second", "float16")]
    lying = made.changed(
        parent / "model.onnx", tmp_path / "lying", rows_of(lambda rows: rows[0].__setitem__(5, "0" * 64))
    )
    again = made.child(lying.parent, Recipe("rest", (Step("convert_fp16"),)), tmp_path / "again")
    found = read_map(again)
    assert [one.tensor for one in found.entries] == ["second"]
    assert [one[0] for one in found.unmapped] == ["first_int8"]


@pytest.mark.parametrize("static", [True, False])
def test_files_of_another_quantiser_are_read_as_far_as_their_graph_says(
    static: bool, mlp_folder: Path, tmp_path: Path
) -> None:
    kinds = onnx.TensorProto
    weights, scale = np.arange(-60, 68, dtype=np.int8).reshape(16, 8), np.float32(0.02)
    tensors = {
        "w": weights,
        "w_s": np.full(8, scale),
        "w_z": np.zeros(8, dtype=np.int8),
        "x_s": scale,
        "x_z": np.uint8(7),
    }
    node = onnx.helper.make_node
    if static:
        nodes = [
            node("QuantizeLinear", ["x", "x_s", "x_z"], ["q"]),
            node("DequantizeLinear", ["q", "x_s", "x_z"], ["d"]),
            node("DequantizeLinear", ["w", "w_s", "w_z"], ["wd"], axis=1),
            node("MatMul", ["d", "wd"], ["y"]),
        ]
    else:
        nodes = [
            node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
            node("MatMulInteger", ["q", "w", "z"], ["i"]),
            node("Cast", ["i"], ["f"], to=kinds.FLOAT),
            node("Mul", ["f", "s"], ["y"]),
        ]
    used = {name for one in nodes for name in one.input}
    net = nets.model(
        nodes,
        {name: np.asarray(array) for name, array in tensors.items() if name in used},
        {"x": (kinds.FLOAT, ["batch", 16])},
        {"y": (kinds.FLOAT, ["batch", 8])},
    )
    found = read_map(nets.save(net, tmp_path / "other"))
    assert found.source == "graph"
    assert [(one.tensor, one.dtype, one.scheme, one.granularity) for one in found.entries] == [
        ("w", "int8", "symmetric", "channel" if static else "unknown"),
        ("x", "uint8", "asymmetric", "tensor"),
    ]
    assert found.entries[1].scale_digest is None or static


def test_the_command_prints_the_map_as_json(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["map", str(weights), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["source"] == "map"
    assert answer["quantization_map"] == [entry(one) for one in read_map(weights).entries]
    lying = made.changed(weights, tmp_path / "lying", number_of("first_int8"))
    assert main(["map", str(lying), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["code"] == "map_differs"

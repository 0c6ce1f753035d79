"""Layers are found by the structure of a graph; without some of them it is the network that was built without them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from compression_engine.formats import onnx_io
from compression_engine.methods.distillation.blocks import Block, find_blocks, remove_blocks
from compression_engine.methods.distillation.flow import Flow
from compression_engine.steps.bringing_in import bring_in
from compression_engine.steps.observing import watched
from tests.engine import distilled, exported, layered, nets


def _loaded(path: Path) -> onnx.ModelProto:
    model = onnx_io.load(path).model
    onnx_io.prepare(model)
    bring_in(model, "a test")
    return model


def _found(model: onnx.ModelProto, feed: dict[str, nets.Array], folder: Path) -> list[Block]:
    inputs = {value.name for value in model.graph.input}
    flow = Flow(model)
    opened = watched(model, [name for name in flow.boundaries() if name not in inputs], folder / "watched.onnx")
    given = feed | dict(zip(opened.output_names, opened.run(feed), strict=True))
    shapes = {name: tuple(array.shape) for name, array in given.items() if array.dtype.kind == "f"}
    return find_blocks(model, shapes, flow)


@pytest.mark.parametrize(
    ("name", "exporter"),
    [
        *((name, "legacy") for name in sorted(layered.LAYERS)),
        *(pytest.param(name, "dynamo", marks=pytest.mark.long) for name in ("encoder", "after", "mixer", "residual")),
    ],
)
def test_what_is_left_without_layers_is_the_network_that_was_built_without_them(
    name: str, exporter: str, tmp_path: Path
) -> None:
    model = _loaded(layered.write(name, tmp_path / "net", exporter))
    feed = layered.rows(name, 4, seed=1)
    found = _found(model, feed, tmp_path)
    assert len(found) == layered.LAYERS[name]
    before = len(model.graph.initializer)
    for gone in ((1,), (0, len(found) - 1)):
        cut = onnx.ModelProto()
        cut.CopyFrom(model)
        remove_blocks(cut, [found[place] for place in gone])
        onnx.checker.check_model(cut, full_check=True)
        assert len(cut.graph.initializer) < before
        with torch.no_grad():
            wanted = layered.build(name, gone)(torch.from_numpy(next(iter(feed.values())))).numpy()
        np.testing.assert_allclose(nets.answer(cut, feed)[0], wanted, atol=2e-5)


def test_a_stage_of_equal_blocks_is_a_group_of_its_own(tmp_path: Path) -> None:
    model = _loaded(layered.write("residual", tmp_path / "net"))
    found = _found(model, layered.rows("residual", 4), tmp_path)
    groups = [block.group for block in found]
    assert groups[0] == groups[1] == groups[2] != groups[3] == groups[4]


@pytest.mark.parametrize("name", ["recurrent"])
def test_a_network_without_layers_that_repeat_has_none(name: str, tmp_path: Path) -> None:
    model = _loaded(exported.write(name, "legacy", tmp_path / "net") / "model.onnx")
    feed = {exported.NETS[name].input_name: exported.NETS[name].draw(np.random.default_rng(0), 3)}
    assert _found(model, feed, tmp_path) == []


def test_a_single_residual_branch_can_go_alone(tmp_path: Path) -> None:
    model = _loaded(exported.write("convolutions", "legacy", tmp_path / "net") / "model.onnx")
    feed = {"x": exported.NETS["convolutions"].draw(np.random.default_rng(0), 3)}
    (block,) = _found(model, feed, tmp_path)
    remove_blocks(model, [block])
    onnx.checker.check_model(model, full_check=True)
    assert nets.answer(model, feed)[0].shape == (3, 20)


def test_an_output_of_the_model_cannot_be_taken_out() -> None:
    model = nets.mlp()
    with pytest.raises(ValueError, match="output of the model"):
        remove_blocks(model, [Block("x", "y", 0, (), ())])


def test_a_layer_whose_inside_is_asked_for_its_shape_later_stays(tmp_path: Path) -> None:
    model = distilled.tower()
    feed = distilled.rows(0, 4, labelled=False)
    assert [block.end for block in _found(model, feed, tmp_path)] == [f"layer{place}" for place in range(4)]
    model.graph.node[-1].output[0] = "shaped"
    model.graph.node.append(helper.make_node("Shape", ["relu1"], ["sizes"], start=0, end=1))
    model.graph.node.append(helper.make_node("Concat", ["sizes", "classes"], ["whole"], axis=0))
    model.graph.node.append(helper.make_node("Reshape", ["shaped", "whole"], ["y"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array([10]), "classes"))
    onnx.checker.check_model(model)
    assert [block.end for block in _found(model, feed, tmp_path)] == ["layer0", "layer2", "layer3"]

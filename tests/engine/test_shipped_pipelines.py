"""The recipes that ship and train: each makes of a small net what its words say, or says why that net is none for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from compression_engine import compress
from compression_engine.errors import EngineError
from compression_engine.pipeline import Settings
from compression_engine.plan import Plan
from compression_engine.recipe import Recipe, Step, shipped_recipes
from compression_engine.result import Result
from compression_engine.steps.training_files import TrainingFiles
from tests.engine import made, nets, pipelines, static_nets

SMALL = {"min_elements": 400}
FITTED = {
    "prune_unstructured": SMALL, "quantize_weights": SMALL, "quantize_dynamic": SMALL,
    "prune_structured": {"round_to": 1},
}  # fmt: skip
"""What is set otherwise, since the net is so small that the methods would leave it alone."""


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pipelines.write(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def layered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A residual network of random weights whose convolutions pay as integers; what is right is what it says of ten pictures."""
    folder = tmp_path_factory.mktemp("residual")
    net = static_nets.residual()
    name, shape = net.graph.input[0].name, [one.dim_value for one in net.graph.input[0].type.tensor_type.shape.dim[1:]]
    kinds = static_nets.images(10, 19, *shape)
    _answer_with_many_classes(net, {name: kinds})
    nets.save(net, folder)
    for seed, (part, count) in enumerate((("training", 160), ("evaluation", 60), ("calibration", 40))):
        rows = kinds[np.arange(count) % 10] + static_nets.images(count, seed + 20, *shape) / 10
        label = np.asarray(nets.answer(net, {name: rows})[0]).reshape(count, -1).argmax(axis=1)
        nets.save_rows({name: rows, "label": label.astype(np.int64)}, folder / f"{part}.npz")
    plan = {key: value for key, value in pipelines.PLAN.items() if key != "slices"}
    (folder / "plan.json").write_text(json.dumps(plan))
    return folder


def _answer_with_many_classes(net: onnx.ModelProto, rows: dict[str, nets.Array]) -> None:
    """Takes the mean of its answers out of the last bias: random weights name one class whatever they are asked."""
    bias = next(entry for entry in net.graph.initializer if entry.name == "last_bias")
    centred = numpy_helper.to_array(bias) - np.asarray(nets.answer(net, rows)[0]).mean(axis=0)
    bias.CopyFrom(numpy_helper.from_array(centred.astype(np.float32), bias.name))


def of_a_small_net(name: str) -> Recipe:
    recipe = shipped_recipes()[name].recipe
    steps = [Step(step.method, dict(step.parameters) | FITTED.get(step.method, {})) for step in recipe.steps]
    return Recipe(recipe.name, tuple(steps), recipe.seed)


def done(parent: Path, name: str, out: Path) -> Result:
    return compress(
        parent, of_a_small_net(name), output_folder=out, evaluation=parent / "evaluation.npz",
        calibration=parent / "calibration.npz", plan=Plan.parse((parent / "plan.json").read_bytes()),
        training=TrainingFiles(rows=parent / "training.npz"), settings=Settings(rounds=3, memory_repeats=1),
    )  # fmt: skip


def check(result: Result, kept: float) -> None:
    agreement = result.value("top1_agreement")
    assert agreement is not None
    assert kept <= agreement
    steps = [evidence for evidence in result.evidence if evidence.kind == "step"]
    assert len(steps) == (0 if len(result.steps) == 1 else len(result.steps))
    assert (result.value("size_ratio") or 0) > 1.3


@pytest.mark.long
@pytest.mark.parametrize(("name", "kept"), [("pruned-int8", 0.5), ("trained-4-bit", 0.4)])
def test_a_recipe_that_ends_in_integers_keeps_answers_and_every_step_leaves_evidence(
    layered: Path, tmp_path: Path, name: str, kept: float
) -> None:
    # random weights hang on every bit of theirs: a fifth of the rows would be kept by naming one class
    check(done(layered, name, tmp_path / "out"), kept)


def test_nine_of_ten_numbers_become_zero_and_the_rest_have_4_bits(parent: Path, tmp_path: Path) -> None:
    check(done(parent, "sparse-4-bit", tmp_path / "out"), 0.75)


def test_a_net_without_like_layers_is_none_for_the_recipe_that_takes_half_of_them(parent: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError) as refused:
        done(parent, "distilled-int8", tmp_path / "out")
    assert refused.value.code == "recipe_does_not_fit"
    assert not (tmp_path / "out").exists()


def test_every_recipe_that_ships_and_trains_is_tried() -> None:
    tried = {"pruned-int8", "sparse-4-bit", "trained-4-bit", "distilled-int8"}
    assert set(shipped_recipes()) - set(made.untrained()) == tried

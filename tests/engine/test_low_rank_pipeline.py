"""low_rank among other steps: trained and rounded behind it, in files beside the model, and made again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from compression_engine import Recipe, Step, compress
from compression_engine.evaluation import Settings
from compression_engine.methods.report import Stored
from compression_engine.replaying.kernels import only_by_kernels
from compression_engine.replaying.replay import replay
from compression_engine.steps.training_files import TrainingFiles
from tests.engine import learning, nets

QUICK = Settings(rounds=5, memory_repeats=1)
THIN = Step("low_rank", {"share_per_mille": 500})


def wide(seed: int = 0) -> onnx.ModelProto:
    """The small problem's network with a hidden matrix that is worth factoring."""
    draw = np.random.default_rng(seed)
    hidden = (draw.normal(size=(64, 64)) / 8).astype(np.float32)
    tensors = {
        "first": (draw.normal(size=(learning.FEATURES, 64)) / 3).astype(np.float32), "hidden": hidden,
        "bias": np.zeros(64, np.float32), "last": (draw.normal(size=(64, learning.CLASSES)) / 8).astype(np.float32),
    }  # fmt: skip
    node = onnx.helper.make_node
    nodes = [
        node("MatMul", ["x", "first"], ["a"]), node("Relu", ["a"], ["b"]), node("Gemm", ["b", "hidden", "bias"], ["c"]),
        node("Relu", ["c"], ["d"]), node("MatMul", ["d", "last"], ["y"]),
    ]  # fmt: skip
    kind = onnx.TensorProto.FLOAT
    ports: Any = ({"x": (kind, ["n", learning.FEATURES])}, {"y": (kind, ["n", learning.CLASSES])})
    return nets.model(nodes, tensors, *ports)


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    folder = tmp_path / "parent"
    nets.save(wide(), folder)
    nets.save_rows(learning.rows(200), folder / "training.npz")
    return folder


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    return {tensor.name: tuple(tensor.dims) for tensor in onnx.load(path).graph.initializer}


@pytest.mark.parametrize(
    "training",
    [
        Step("fine_tune", {"loss": "teacher", "epochs": 3, "learning_rate_per_million": 5000}),
        Step("distill", {"layers_kept_per_mille": 1000, "epochs": 3, "learning_rate_per_million": 5000}),
    ],
)
def test_factors_learn_from_the_parent_and_stay_factors(parent: Path, tmp_path: Path, training: Step) -> None:
    result = compress(
        parent, Recipe("thin-and-taught", (THIN, training)), output_folder=tmp_path / "out", settings=QUICK,
        training=TrainingFiles(parent / "training.npz"), plan=learning.PLAN,
    )  # fmt: skip
    rank = shapes(tmp_path / "out" / "model.onnx")["hidden_left"][1]
    assert shapes(tmp_path / "out" / "model.onnx")["hidden_right"] == (rank, 64)
    document: Any = result.document()
    curve = document["steps"][1]["training"][0]
    assert curve["best_epoch"] > 0


def test_a_child_is_made_again_to_the_same_bytes(parent: Path, tmp_path: Path) -> None:
    compress(parent, Recipe("thin", (THIN,)), output_folder=tmp_path / "out", settings=QUICK)
    result, child = tmp_path / "out" / "RESULT.json", tmp_path / "out" / "model.onnx"
    replay(result, parent=parent, output_folder=tmp_path / "again")
    assert (tmp_path / "again" / "model.onnx").read_bytes() == child.read_bytes()


@pytest.mark.parametrize("method", ["quantize_weights", "quantize_dynamic", "convert_fp16"])
def test_factors_are_rounded_as_other_weights_are(parent: Path, tmp_path: Path, method: str) -> None:
    step = Step(method, {"min_elements": 256})
    compress(parent, Recipe("thin-and-rounded", (THIN, step)), output_folder=tmp_path / "out", settings=QUICK)
    held = {tensor.name: tensor for tensor in onnx.load(tmp_path / "out" / "model.onnx").graph.initializer}
    stored = next(tensor for name, tensor in held.items() if name.startswith("hidden_left") and len(tensor.dims) > 1)
    assert numpy_helper.to_array(stored).dtype in (np.int8, np.uint8, np.float16)


def test_the_map_of_quantisation_stays_empty(parent: Path, tmp_path: Path) -> None:
    compress(parent, Recipe("thin", (THIN,)), output_folder=tmp_path / "out", settings=QUICK)
    names = {entry.key for entry in onnx.load(tmp_path / "out" / "model.onnx").metadata_props}
    assert "pressmark.recipe_digest" in names
    assert "pressmark.quantization_map" not in names


def test_a_model_whose_numbers_lie_beside_it_gives_the_same_factors(parent: Path, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    compress(parent, Recipe("thin", (THIN,)), output_folder=inside, settings=QUICK)
    apart = tmp_path / "apart"
    apart.mkdir()
    onnx.save(wide(), apart / "model.onnx", save_as_external_data=True, location="model.onnx.data", size_threshold=0)
    compress(apart, Recipe("thin", (THIN,)), output_folder=tmp_path / "out", settings=QUICK)
    ours, theirs = (onnx.load(folder / "model.onnx").graph.initializer for folder in (tmp_path / "out", inside))
    found = [{one.name: numpy_helper.to_array(one).tobytes() for one in tensors} for tensors in (ours, theirs)]
    assert found[0] == found[1]
    assert "hidden_left" in found[0]


def test_other_kernels_alone_may_have_changed_factors_even_without_rows() -> None:
    nobody: list[Stored] = []
    thin = Recipe("thin", (THIN,))
    assert only_by_kernels(thin, nobody, ["hidden_left"])
    assert only_by_kernels(Recipe("thin-8", (THIN, Step("quantize_weights"))), nobody, ["hidden_right_int8"])
    assert not only_by_kernels(thin, nobody, ["hidden_left", "bias"])
    assert not only_by_kernels(thin, nobody, ["hidden_left"], form_same=False)
    assert not only_by_kernels(Recipe("eight", (Step("quantize_weights"),)), nobody, ["hidden"])

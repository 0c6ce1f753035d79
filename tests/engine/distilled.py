"""A network of residual layers that has learned digits, and what a step that distils from it is handed."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from compression_engine.plan import Plan
from compression_engine.training.material import Training
from tests.engine import learning, nets

CLASSES, LAYERS, WIDTH = 10, 4, 24
PLAN = Plan(task="classification", label="label", scores="logits")
QUICK: dict[str, Any] = {"epochs": 6, "batch_size": 32, "learning_rate_per_million": 3_000}


def tower(layers: int = LAYERS, width: int = WIDTH, seed: int = 0) -> onnx.ModelProto:
    """x [n, 64] -> Gemm -> layers of h + Gemm(Relu(Gemm(h))) -> Gemm -> y [n, 10], untrained."""
    draw = np.random.default_rng(seed)
    tensors: dict[str, nets.Array] = {}

    def product(name: str, source: str, rows: int, columns: int, scale: float = 1.0) -> onnx.NodeProto:
        drawn = draw.normal(size=(rows, columns)) * scale / np.sqrt(rows)
        tensors[name] = drawn.astype(np.float32)
        tensors[f"{name}_bias"] = (draw.normal(size=columns) * 0.01).astype(np.float32)
        return helper.make_node("Gemm", [source, name, f"{name}_bias"], [f"{name}_out"])

    nodes, last = [product("stem", "x", 64, width)], "stem_out"
    for place in range(layers):
        nodes.append(product(f"up{place}", last, width, 2 * width, 1.4))
        nodes.append(helper.make_node("Relu", [f"up{place}_out"], [f"relu{place}"]))
        nodes.append(product(f"down{place}", f"relu{place}", 2 * width, width, 0.5))
        nodes.append(helper.make_node("Add", [last, f"down{place}_out"], [f"layer{place}"]))
        last = f"layer{place}"
    nodes.append(product("head", last, width, CLASSES))
    nodes[-1].output[0] = "y"
    ports = {"x": (TensorProto.FLOAT, ["n", 64])}, {"y": (TensorProto.FLOAT, ["n", CLASSES])}
    return nets.model(nodes, tensors, *ports)


@functools.cache
def digits() -> tuple[nets.Array, nets.Array]:
    """Images [1797, 64] from 0 to 1 and their labels, shuffled."""
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.default_rng(5).permutation(len(found.data))
    return (found.data[order] / 16).astype(np.float32), found.target[order].astype(np.int64)


def rows(start: int, stop: int, *, labelled: bool = True) -> dict[str, nets.Array]:
    """Some of the digits."""
    images, labels = digits()
    return {"x": images[start:stop]} | ({"label": labels[start:stop]} if labelled else {})


@functools.cache
def teacher() -> bytes:
    """The tower after it has learned 1,000 digits."""
    import tempfile

    from compression_engine.training.schedule import Schedule

    model = tower()
    with tempfile.TemporaryDirectory() as folder:
        training = handed(Path(folder), model, rows(0, 1000))
        weights, _ = learning.learned(training, model, Schedule(epochs=12, batch_size=32, learning_rate=3e-3))
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    return model.SerializeToString()


def taught() -> onnx.ModelProto:
    """The trained tower."""
    return onnx.ModelProto.FromString(teacher())


def handed(folder: Path, parent: onnx.ModelProto, arrays: dict[str, nets.Array], **changes: Any) -> Training:
    """What a step is handed: these rows, and a model as the parent."""
    folder.mkdir(parents=True, exist_ok=True)
    path = nets.save_rows(arrays, folder / "rows.npz")
    plan = PLAN if "label" in arrays else None
    return replace(Training.of(path, plan, None, seed=7, parent=nets.save(parent, folder)), **changes)


def distance(one: onnx.ModelProto, other: onnx.ModelProto) -> float:
    """The mean divergence (nats) of one's probabilities from the other's, on 400 digits that nothing learned from."""
    images = {"x": digits()[0][1300:1700]}

    def logs(model: onnx.ModelProto) -> nets.Array:
        found = nets.answer(model, images)[0].astype(np.float64)
        found -= found.max(axis=1, keepdims=True)
        return np.asarray(found - np.log(np.exp(found).sum(1, keepdims=True)))

    ours, theirs = logs(one), logs(other)
    return float((np.exp(theirs) * (theirs - ours)).sum(1).mean())

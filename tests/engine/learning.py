"""A small problem that a small network can learn, and everything that a step that trains is handed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from compression_engine.plan import Plan
from compression_engine.progress import silent
from compression_engine.training.lesson import lesson
from compression_engine.training.loop import Beside, fit
from compression_engine.training.material import Training
from compression_engine.training.resume import ResumePoint
from compression_engine.training.schedule import Curve, Schedule
from tests.engine import nets

FEATURES, HIDDEN, CLASSES = 8, 16, 3
PLAN = Plan(task="classification", label="label")
FAST = Schedule(epochs=6, batch_size=16, learning_rate=1e-2)
Weights = dict[str, nets.Array]


def net(seed: int = 0) -> onnx.ModelProto:
    """x [n, 8] -> Gemm -> Relu -> Gemm -> y [n, 3], untrained."""
    draw = np.random.default_rng(seed)

    def weights(*shape: int) -> nets.Array:
        drawn: nets.Array = (draw.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)
        return drawn

    nodes = [
        helper.make_node("Gemm", ["x", "first", "first_bias"], ["h"]),
        helper.make_node("Relu", ["h"], ["a"]),
        helper.make_node("Gemm", ["a", "second", "second_bias"], ["y"]),
    ]
    tensors = {
        "first": weights(FEATURES, HIDDEN),
        "first_bias": np.zeros(HIDDEN, np.float32),
        "second": weights(HIDDEN, CLASSES),
        "second_bias": np.zeros(CLASSES, np.float32),
    }
    kind = TensorProto.FLOAT
    return nets.model(nodes, tensors, {"x": (kind, ["n", FEATURES])}, {"y": (kind, ["n", CLASSES])})


def rows(count: int = 300, seed: int = 1) -> Weights:
    """Three clouds of points that a line parts well, each with its class."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, CLASSES, count)
    middles = np.random.default_rng(99).normal(size=(CLASSES, FEATURES)) * 2
    points = middles[labels] + draw.normal(size=(count, FEATURES))
    return {"x": points.astype(np.float32), "label": labels}


def handed(folder: Path, arrays: Weights | None = None, plan: Plan | None = PLAN, **changes: Any) -> Training:
    """What a step is handed: these rows, read from a file, and the untrained net as the parent."""
    folder.mkdir(parents=True, exist_ok=True)
    parent = nets.save(net(), folder)
    path = nets.save_rows(rows() if arrays is None else arrays, folder / "rows.npz")
    return replace(Training.of(path, plan, None, seed=7, parent=parent), **changes)


def place(folder: Path, **changes: Any) -> ResumePoint:
    """A folder for resume points of a run of these names."""
    facts: dict[str, Any] = {"parent": "p", "recipe": "r", "step": 1, "rows": "d"}
    return ResumePoint.of(folder, **(facts | changes))


def learned(
    training: Training,
    model: onnx.ModelProto | None = None,
    schedule: Schedule = FAST,
    kind: str = "labels",
    beside: Callable[[Any], Beside] | None = None,
    progress: Any = silent,
    **settings: Any,
) -> tuple[Weights, Curve]:
    """The weights after a training, and its curve; `beside` makes of the lesson what else `fit` is given."""
    with lesson(net() if model is None else model, training, kind, progress=silent) as given:
        extra = Beside(taught=given.taught) if beside is None else beside(given)
        curve = fit(given.network, given.parts, given.loss, schedule, progress=progress, beside=extra, **settings)
        return {name: weight.detach().numpy().copy() for name, weight in given.network.weights.items()}, curve


def same(a: Weights, b: Weights) -> bool:
    """Whether two sets of weights are equal to the bit."""
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)

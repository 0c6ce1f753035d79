"""A small classifier of 8x8 digits with its rows, for recipes of several steps: learned once a session, quick to train on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tests.engine import nets

PLAN = {
    "type": "pressmark/evaluation_plan/1", "task": "classification", "label": "label", "scores": "logits",
    "slices": ["group"], "measures": ["size", "fidelity"],
}  # fmt: skip
_PARTS = {"training": 900, "evaluation": 400, "calibration": 120, "other": 200}


def write(folder: Path, width: int = 48) -> Path:
    """model.onnx, plan.json and {training,evaluation,calibration,other}.npz: x [rows, 64], label, group (small or large).

    `width`: of the hidden layer.
    """
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    digits = load_digits()
    pixels, labels = (digits.data / 16).astype(np.float32), digits.target.astype(np.int64)
    order, start = np.random.default_rng(3).permutation(len(labels)), 0
    for name, count in _PARTS.items():
        rows = order[start : start + count]
        start += count
        groups = np.where(labels[rows] < 5, "small", "large")
        nets.save_rows({"x": pixels[rows], "label": labels[rows], "group": groups}, folder / f"{name}.npz")
    learned = order[: _PARTS["training"]]
    network = MLPClassifier((width,), max_iter=25, random_state=0, tol=0.0, n_iter_no_change=25)
    _fitted(network, pixels[learned], labels[learned])
    nets.save(_model(*(np.asarray(array, np.float32) for array in (*network.coefs_, *network.intercepts_))), folder)
    (folder / "plan.json").write_text(json.dumps(PLAN))
    return folder


def _fitted(network: Any, pixels: NDArray[Any], labels: NDArray[Any]) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has not converged, and need not
        network.fit(pixels, labels)


def _model(
    first: NDArray[Any], second: NDArray[Any], first_bias: NDArray[Any], second_bias: NDArray[Any]
) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Gemm", ["x", "first", "first_bias"], ["h"], name="one"),
        helper.make_node("Relu", ["h"], ["a"]),
        helper.make_node("Gemm", ["a", "second", "second_bias"], ["y"], name="two"),
    ]
    tensors = {"first": first, "first_bias": first_bias, "second": second, "second_bias": second_bias}
    ports = {"x": (TensorProto.FLOAT, ["rows", 64])}, {"y": (TensorProto.FLOAT, ["rows", 10])}
    return nets.model(nodes, tensors, *ports)

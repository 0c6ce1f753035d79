"""A small parent for scikit-learn's digits, and children of it that each have exactly one fault.

A fault is grafted behind the parent's logits, so that everything that it does not touch stays the parent's to the bit. Rows carry
two features more that the parent ignores: the group of the writer, and a number drawn at random. Where rows are made wrong, what
is left of the confidence fits the share that is still right, so that a fault of accuracy is none of calibration.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

SEED, TRAINING_ROWS, CLASSES = 4, 800, 10
GROUP, DRAWN = 64, 65  # columns behind the 64 pixels
COLLAPSED_CLASS = 7
SHARPER = 1.9
"""Times the fitted logits: as sure as it is right."""
Graft = tuple[list[Any], dict[str, Any]]
"""Nodes from `clean` (and `features`) to `logits`, and the constants that they need."""


def rows() -> tuple[Any, Any, Any]:
    """features [1797, 66] in 0..1, labels, groups (a, and b for a quarter)."""
    pixels, labels = load_digits(return_X_y=True)
    chance = np.random.default_rng(SEED)
    order = chance.permutation(len(pixels))
    member = chance.random(len(pixels)) < 0.25
    features = np.column_stack([pixels[order] / 16, member, chance.random(len(pixels))]).astype(np.float32)
    return features, labels[order].astype(np.int64), np.where(member, "b", "a")


def write_data(folder: Path, **more: Any) -> Path:
    """evaluation.npz of the rows that no model saw, and plan.json; returns the data file."""
    features, labels, groups = (array[TRAINING_ROWS:] for array in rows())
    np.savez(folder / "evaluation.npz", allow_pickle=False, features=features, label=labels, group=groups)
    plan = {
        "type": "pressmark/evaluation_plan/1", "task": "classification", "label": "label", "scores": "logits",
        "modality": "tabular", "classes": [str(digit) for digit in range(CLASSES)], "slices": ["group"],
        "protected": ["group"], **more,
    }  # fmt: skip
    (folder / "plan.json").write_text(json.dumps(plan))
    return folder / "evaluation.npz"


def write_parent(path: Path) -> Path:
    """The parent as ONNX: features -> logits."""
    return write(path, none)


def write(path: Path, graft: Callable[[], Graft]) -> Path:
    """The parent with something grafted behind its logits."""
    nodes, constants = graft()
    layers, weights = _layers()
    initializers = [numpy_helper.from_array(np.asarray(v), k) for k, v in {**weights, **constants}.items()]
    graph = helper.make_graph(
        [*layers, *nodes], "digits",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", DRAWN + 1])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", CLASSES])],
        initializers,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def none() -> Graft:
    """No fault: the parent's logits as they are."""
    return [helper.make_node("Identity", ["clean"], ["logits"])], {}


# --- the faults ---


def overconfident() -> Graft:
    """The same order of the classes, four times as sure."""
    return [helper.make_node("Mul", ["clean", "four"], ["logits"])], {"four": np.float32(4)}


def batch_dependent() -> Graft:
    """A little of the batch's mean in each row: nothing when the row is alone, too little to change a decision."""
    return [
        helper.make_node("ReduceMean", ["clean"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["mean", "clean"], ["apart"]),
        helper.make_node("Mul", ["apart", "little"], ["pull"]),
        helper.make_node("Add", ["clean", "pull"], ["logits"]),
    ], {"little": np.float32(0.005)}


def out_of_range() -> Graft:
    """As the parent while every pixel lies in 0..1; another answer for what lies outside."""
    return [
        helper.make_node("Slice", ["features", "zero", "pixels", "axis"], ["image"]),
        helper.make_node("Abs", ["image"], ["size"]),
        helper.make_node("ReduceMax", ["size"], ["largest"], axes=[1], keepdims=1),
        helper.make_node("Greater", ["largest", "bound"], ["outside"]),
        helper.make_node("Gather", ["clean", "shifted"], ["wrong"], axis=1),
        helper.make_node("Where", ["outside", "wrong", "clean"], ["logits"]),
    ], {
        "zero": np.array([0], np.int64), "pixels": np.array([GROUP], np.int64), "axis": np.array([1], np.int64),
        "bound": np.float32(1.001), "shifted": np.roll(np.arange(CLASSES), 1),
    }  # fmt: skip


def one_group() -> Graft:
    """For a part of the rows of group b the first choice is worth no more than the class that stands next to it."""
    member = _is_above(GROUP, 0.5, "member")
    some, coin = _is_above(43, 0.7, "some"), _is_above(DRAWN, 0.5, "coin")
    nodes = [
        *member[0], *some[0],
        helper.make_node("And", ["member", "some"], ["hit"]),
        helper.make_node("Gather", ["clean", "shifted"], ["neighbour"], axis=1),
        helper.make_node("Max", ["clean", "neighbour"], ["either"]),
        *coin[0],
        helper.make_node("Where", ["coin", "neighbour", "clean"], ["preferred"]),
        helper.make_node("Mul", ["preferred", "small"], ["edge"]),
        helper.make_node("Add", ["either", "edge"], ["doubtful"]),
        helper.make_node("Where", ["hit", "doubtful", "clean"], ["logits"]),
    ]  # fmt: skip
    return nodes, {
        **member[1], **some[1], **coin[1], "shifted": np.roll(np.arange(CLASSES), 1), "small": np.float32(0.02),
    }  # fmt: skip


def one_class() -> Graft:
    """Rows with ink in one place are as good as a coin between what they are and the class 7."""
    lifted = np.zeros(CLASSES, np.float32)
    lifted[COLLAPSED_CLASS] = 1
    trigger, coin = _is_above(29, 0.9, "trigger"), _is_above(DRAWN, 0.5, "coin")
    nodes = [
        *trigger[0], *coin[0],
        helper.make_node("ReduceMax", ["clean"], ["most"], axes=[1], keepdims=1),
        helper.make_node("Add", ["most", "little"], ["above"]),
        helper.make_node("Sub", ["most", "little"], ["below"]),
        helper.make_node("Where", ["coin", "above", "below"], ["near"]),
        helper.make_node("Greater", ["lifted", "half"], ["column"]),
        helper.make_node("And", ["trigger", "column"], ["hit"]),
        helper.make_node("Where", ["hit", "near", "clean"], ["logits"]),
    ]  # fmt: skip
    return nodes, {**trigger[1], **coin[1], "lifted": lifted[None], "half": np.float32(0.5), "little": np.float32(0.02)}


def _is_above(column: int, bound: float, name: str) -> Graft:
    return [
        helper.make_node("Gather", ["features", f"{name}_column"], [f"{name}_value"], axis=1),
        helper.make_node("Greater", [f"{name}_value", f"{name}_bound"], [name]),
    ], {f"{name}_column": np.array([column], np.int64), f"{name}_bound": np.array([bound], np.float32)}


@cache
def _layers() -> tuple[list[Any], dict[str, Any]]:
    features, labels, _ = rows()
    fitted = MLPClassifier((32,), alpha=1.0, max_iter=400, tol=1e-3, random_state=SEED)
    fitted.fit(features[:TRAINING_ROWS, :GROUP], labels[:TRAINING_ROWS])
    weights = {"w0": np.concatenate([fitted.coefs_[0], np.zeros((2, 32))]), "b0": fitted.intercepts_[0]}
    weights |= {"w1": SHARPER * fitted.coefs_[1], "b1": SHARPER * fitted.intercepts_[1]}
    nodes = [
        helper.make_node("Gemm", ["features", "w0", "b0"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["kept"]),
        helper.make_node("Gemm", ["kept", "w1", "b1"], ["clean"]),
    ]
    return nodes, {name: value.astype(np.float32) for name, value in weights.items()}

"""Searches that tests begin: a chain of three products, rows for it, and a call that is quick."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from compression_engine import Plan
from compression_engine.search import Extent, Searched, search_recipe
from compression_engine.searching.budget import Budget
from compression_engine.searching.rows import Files
from tests.engine import nets

QUICK = Extent(quick=True)
WIDTH = 64


def folder(tmp_path: Path) -> Path:
    made = tmp_path / "engine"
    made.mkdir(exist_ok=True)
    return made


def saved(net: onnx.ModelProto, at: Path) -> Path:
    path = at / "model.onnx"
    onnx.save(net, str(path))
    return path


def rows(at: Path, name: str, seed: int, count: int = 240, **columns: Any) -> Path:
    values = np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)
    np.savez(at / name, allow_pickle=False, **({"x": values} | columns))
    return at / name


def chain(poisoned: bool) -> onnx.ModelProto:
    """Three products; in the poisoned one each channel holds a number that no answer depends on and that takes its whole range."""
    first, second, third = nets.weights(WIDTH, 256, seed=1), nets.weights(256, 64, seed=2), nets.weights(64, 32, seed=3)
    if poisoned:
        second[:, 0] = 0
        third[0, :] = 1e4
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "second"], ["c"]),
        helper.make_node("MatMul", ["c", "third"], ["y"]),
    ]
    ports = ({"x": (TensorProto.FLOAT, ["n", WIDTH])}, {"y": (TensorProto.FLOAT, ["n", 32])})
    return nets.model(nodes, {"first": first, "second": second, "third": third}, *ports)


def found(at: Path, net: onnx.ModelProto, promise: str, measure: str = "cosine_mean", **changes: Any) -> Searched:
    files = changes.pop("files", None) or Files(rows(at, "evaluation.npz", 5))
    budget = Budget(Decimal(promise), changes.pop("then", "smallest"), (measure,))
    changes.setdefault("plan", Plan(measures=("size", "fidelity")))
    return search_recipe(
        saved(net, at), budget, files, output_folder=at / changes.pop("to", "out"), extent=QUICK, **changes
    )

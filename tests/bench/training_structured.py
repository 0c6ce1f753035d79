"""Channels taken out, the parent's answers learned, 8-bit integers: smaller and faster; beside Torch-Pruning as well trained.

Everything of ours is one recipe and one call of the command line. Torch-Pruning prunes to the same multiply-adds and has the same
epochs at the same rate after it, from labels, and the same integers, by our engine, with the same seeds; what pruning alone leaves
stands beside it, and the recipe `pruned-int8` as it ships. Ours with labels alone is what the choice of channels is compared by.
"""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from compression_engine.measure.statistics.intervals import quartile_range
from compression_engine.runtime import Model
from tests.bench.harness import Row, at_least, at_most, not_measured, of_a_peer, reported
from tests.bench.quantization_peers import python_with
from tests.bench.quantization_turns import timed
from tests.bench.training_material import SEEDS, Net, TrainingMaterial, accuracy
from tests.bench.training_unstructured import recipe

_ROOT = Path(__file__).resolve().parents[2]
_SMALLER, _FASTER, _LOST = 8.0, 2.5, 1.0
_POINTS = 100
_PRUNED: dict[str, Any] = {
    "compensation": "weights",
    "importance": "activation",
    "round_to": 8,
    "share_per_mille": 750,
}
_EPOCHS, _RATE = 10, 1000
_PEER, _PACKAGE = "Torch-Pruning, group magnitude", "torch_pruning"
_SECONDS = 600
_SHIPPED = "pruned-int8"
_Step = tuple[str, dict[str, Any]]


def rows(material: TrainingMaterial) -> list[Row]:
    """Target 2 over two seeds; a quick run trains one epoch with one seed, and leaves out the recipe that ships, which has five."""
    net = material.net()
    begun = accuracy(net.model, net)[0]
    epochs = 1 if material.quick else _EPOCHS
    seeds = SEEDS[:1] if material.quick else SEEDS
    learned: dict[str, Any] = {"epochs": epochs, "learning_rate_per_million": _RATE}
    integers: _Step = ("quantize_static", {})
    pruned: _Step = ("prune_structured", _PRUNED)
    labelled = [("fine_tune", learned), integers]
    distilled = [pruned, ("distill", learned | {"layers_kept_per_mille": 1000}), integers]
    made = {
        "ours": [_child(material, net.model, net, "structured", distilled, seed) for seed in seeds],
        "labels": [_child(material, net.model, net, "structured-labels", [pruned, *labelled], seed) for seed in seeds],
    } | ({} if material.quick else {"shipped": [_shipped(material, net)]})
    bare = _child(material, net.model, net, "structured-bare", [pruned], 0)
    theirs, told = _peers(material, net, bare, labelled, seeds)
    speeds = _speeds(net, {name: children[0] for name, children in (made | theirs).items()}, material.rounds)
    what = f"structured: {_PRUNED['share_per_mille'] / 10:g} % of multiply-adds pruned, {epochs} epochs of"
    words = {
        "ours": f"{what} distillation, int8",
        "labels": f"{what} labels, int8",
        "shipped": f"structured: the recipe {_SHIPPED} as it ships",
        "peer": f"structured: {_PEER} to the same multiply-adds, {epochs} epochs of labels, int8",
    }
    figures = [
        _Figures(name, words[name], children, speeds[name]).rows(net, begun)
        for name, children in (made | theirs).items()
    ]
    alone = "structured: points lost by pruning and least squares alone, nothing trained"
    return [row for some in figures for row in some] + [_bare("structured.bare", alone, bare, net, begun), *told]


@dataclass(frozen=True)
class _Figures:
    """What is told of children that one pipeline made with several seeds: how small, how fast, how good."""

    name: str
    what: str
    children: Sequence[Path]
    speeds: NDArray[np.float64]
    """How many times faster the first of them was, in each round."""

    def rows(self, net: Net, begun: float) -> list[Row]:
        """Three rows; ours have the targets."""
        found = [accuracy(child, net) for child in self.children]
        lost = [_POINTS * (begun - right) for right, _ in found]
        sizes = [net.model.stat().st_size / child.stat().st_size for child in self.children]
        count, held = len(sizes), sum(rows for _, rows in found)
        many = f"mean of {count} seeds, spread: their distance" if count > 1 else "one seed"
        smaller = f"{self.what}: times smaller ({many})", statistics.fmean(sizes)
        faster = f"{self.what}: times faster, one row, one thread", float(np.median(self.speeds))
        worse = f"{self.what}: points lost ({many})", statistics.fmean(lost)
        spreads = _distance(sizes), quartile_range(self.speeds), _distance(lost)
        if self.name == "ours":
            return [
                at_least("structured.smaller", *smaller, _SMALLER, "ratio", count, spreads[0]),
                at_least("structured.faster", *faster, _FASTER, "ratio", len(self.speeds), spreads[1]),
                at_most("structured.lost", *worse, _LOST, "points", held, spreads[2]),
            ]
        tell, place = of_a_peer if self.name == "peer" else reported, f"structured.{self.name}"
        return [
            tell(f"{place}.smaller", *smaller, "ratio", count, spreads[0]),
            tell(f"{place}.faster", *faster, "ratio", len(self.speeds), spreads[1]),
            tell(f"{place}.lost", *worse, "points", held, spreads[2]),
        ]


def _bare(row: str, what: str, child: Path, net: Net, begun: float) -> Row:
    right, held = accuracy(child, net)
    return (of_a_peer if ".peer." in row else reported)(row, what, _POINTS * (begun - right), "points", held)


def _shipped(material: TrainingMaterial, net: Net) -> Path:
    """The child by the recipe that ships, made as a user makes it."""
    options = ["--calibration", str(net.rows("calibration")), "--training", str(net.rows("training"))]
    return material.child(net.model, Path(_SHIPPED), "structured-shipped", net, options) / "model.onnx"


def _peers(
    material: TrainingMaterial, net: Net, bare: Path, trained: list[_Step], seeds: Sequence[int]
) -> tuple[dict[str, list[Path]], list[Row]]:
    """The peer's children with the same training and integers, and rows of what it pruned; or one that says why there are none."""
    python, target = python_with(_PACKAGE), material.folder / "torch-pruning" / "model.onnx"
    if python is None:
        reason = "torch-pruning is not installed here; `make peers` does it"
        return {}, [not_measured("structured.peer", f"structured: {_PEER}", "points", reason)]
    command = [python, "-W", "ignore", "-m", "tests.bench.peer_pruning", str(net.model), str(net.rows("calibration"))]
    target.parent.mkdir()
    share = multiply_adds(bare) / multiply_adds(net.model)
    command += [str(share), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=_ROOT, timeout=_SECONDS)
    if done.returncode:
        reason = f"it makes no model: {done.stderr.strip().splitlines()[-1]}"
        return {}, [not_measured("structured.peer", f"structured: {_PEER}", "points", reason)]
    left = multiply_adds(target) / multiply_adds(net.model)
    whole = [_child(material, target, net, "structured-peer", trained, seed) for seed in seeds]
    told = of_a_peer("structured.peer.left", f"structured: {_PEER}: multiply-adds left of all", left, "share", 1)
    ours = reported("structured.left", "structured: multiply-adds left of all", share, "share", 1)
    alone = f"structured: {_PEER}: points lost by pruning alone"
    return {"peer": whole}, [ours, told, _bare("structured.peer.bare", alone, target, net, accuracy(net.model, net)[0])]


def multiply_adds(model: Path) -> float:
    """Of the convolutions and products of a network for digits, a row, by its inferred sizes."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(model)).graph
    weights = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    places = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output)
    }
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":
            total += int(np.prod(places[node.output[0]][1:])) * int(np.prod(weights[node.input[1]][1:]))
        elif node.op_type == "Gemm":
            total += int(np.prod(weights[node.input[1]]))
    return float(total)


def _child(
    material: TrainingMaterial, parent: Path, net: Net, name: str, steps: list[tuple[str, dict[str, Any]]], seed: int
) -> Path:
    file = recipe(material.folder, name, steps, seed)
    methods = {method for method, _ in steps}
    options = (
        ["--calibration", str(net.rows("calibration"))] if methods & {"quantize_static", "prune_structured"} else []
    )
    options += ["--training", str(net.rows("training"))] if methods & {"distill", "fine_tune"} else []
    return material.child(parent, file, f"{name}-{seed}", net, options) / "model.onnx"


def _speeds(net: Net, paths: dict[str, Path], rounds: int) -> dict[str, Any]:
    with np.load(net.rows("held_back")) as held:
        feed = {"image": held["image"][:1]}
    models = {name: Model(path, 1, what=name) for name, path in paths.items()}
    seconds = timed(Model(net.model, 1), models, feed, rounds)
    return {name: seconds["the original"] / seconds[name] for name in models}


def _distance(values: list[float]) -> float | None:
    return max(values) - min(values) if len(values) > 1 else None

"""Channels taken out, the parent's answers learned, 8-bit integers: smaller and faster; beside Torch-Pruning as well trained.

Everything of ours is one recipe and one call of the command line. Torch-Pruning prunes to the same multiply-adds and has the same
epochs at the same rate after it, from labels, and the same integers, by our engine; what pruning alone leaves stands beside it.
"""

from __future__ import annotations

import statistics
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx

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


def rows(material: TrainingMaterial) -> list[Row]:
    """Target 2 over two seeds; a quick run trains one epoch with one seed."""
    net = material.net()
    begun, held = accuracy(net.model, net)
    epochs = 1 if material.quick else _EPOCHS
    seeds = SEEDS[:1] if material.quick else SEEDS
    learned: dict[str, Any] = {"epochs": epochs, "learning_rate_per_million": _RATE}
    distilled = ("distill", learned | {"layers_kept_per_mille": 1000})
    labelled, integers = ("fine_tune", learned), ("quantize_static", {})
    pruned = ("prune_structured", _PRUNED)
    children = [_child(material, net.model, net, "structured", [pruned, distilled, integers], seed) for seed in seeds]
    lost = [_POINTS * (begun - accuracy(child, net)[0]) for child in children]
    what = f"structured: {_PRUNED['share_per_mille'] / 10:g} % of multiply-adds pruned, {epochs} epochs of distillation, int8"
    many = f"mean of {len(seeds)} seeds, spread: their distance"
    bare = _child(material, net.model, net, "structured-bare", [pruned], 0)
    same = _child(material, net.model, net, "structured-labels", [pruned, labelled, integers], 0)
    theirs, told = _peers(material, net, bare, labelled, integers)
    found = _speeds(net, {"ours": children[0], **theirs}, material.rounds)
    sizes = [net.model.stat().st_size / child.stat().st_size for child in children]
    times, all_held = f"{what}: times smaller ({many})", held * len(seeds)
    alone = "structured: points lost by pruning and least squares alone, nothing trained"
    labels = f"structured: points lost with {epochs} epochs of labels in place of distillation, int8"

    def points(child: Path) -> float:
        return _POINTS * (begun - accuracy(child, net)[0])

    mean, spread = statistics.fmean(lost), _distance(lost)
    return [
        at_least("structured.smaller", times, statistics.fmean(sizes), _SMALLER, "ratio", len(seeds), _distance(sizes)),
        _speed("ours", found, f"{what}: times faster, one row, one thread"),
        at_most("structured.lost", f"{what}: points lost ({many})", mean, _LOST, "points", all_held, spread),
        reported("structured.bare", alone, points(bare), "points", held),
        reported("structured.labels", labels, points(same), "points", held),
        *(_peer_rows(net, theirs, found, begun, held, epochs) if theirs else []),
        *told,
    ]


def _peers(
    material: TrainingMaterial, net: Net, bare: Path, labelled: tuple[str, Any], integers: tuple[str, Any]
) -> tuple[dict[str, Path], list[Row]]:
    """The peer's network as it is pruned, and with the same training and integers; or a row that says why there is none."""
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
    whole = _child(material, target, net, "structured-peer", [labelled, integers], 0)
    told = of_a_peer("structured.peer.left", f"structured: {_PEER}: multiply-adds left of all", left, "share", 1)
    ours = reported("structured.left", "structured: multiply-adds left of all", share, "share", 1)
    return {"peer": whole, "peer-bare": target}, [ours, told]


def _peer_rows(
    net: Net, theirs: dict[str, Path], found: dict[str, Any], begun: float, held: int, epochs: int
) -> list[Row]:
    whole, bare = theirs["peer"], theirs["peer-bare"]
    what = f"structured: {_PEER} to the same multiply-adds, {epochs} epochs of labels, int8"
    ratio = net.model.stat().st_size / whole.stat().st_size
    lost, by_pruning = (_POINTS * (begun - accuracy(child, net)[0]) for child in (whole, bare))
    alone = f"structured: {_PEER}: points lost by pruning alone"
    return [
        of_a_peer("structured.peer.smaller", f"{what}: times smaller", ratio, "ratio", 1),
        _speed("peer", found, f"{what}: times faster"),
        of_a_peer("structured.peer.lost", f"{what}: points lost", lost, "points", held),
        of_a_peer("structured.peer.bare", alone, by_pruning, "points", held),
    ]


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


def _speed(name: str, found: dict[str, Any], what: str) -> Row:
    ratios = found[name]
    value, n, spread = float(np.median(ratios)), len(ratios), quartile_range(ratios)
    if name == "ours":
        return at_least("structured.faster", what, value, _FASTER, "ratio", n, spread)
    return of_a_peer("structured.peer.faster", what, value, "ratio", n, spread)


def _distance(values: list[float]) -> float | None:
    return max(values) - min(values) if len(values) > 1 else None

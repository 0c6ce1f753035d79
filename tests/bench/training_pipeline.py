"""Deep Compression's pipeline on our data: pruned in rounds with training, stored as 4-bit integers, packed.

Everything is one recipe and one call of the command line, as a user makes it. What the parts give alone stands beside it: the dense
network in the same integers, packed, and the pruned one packed by xz, which knows nothing of models.
"""

from __future__ import annotations

import lzma
import statistics
from pathlib import Path
from typing import Any

from tests.bench.harness import Row, at_least, at_most, of_a_peer, reported
from tests.bench.training_material import SEEDS, Net, TrainingMaterial, accuracy
from tests.bench.training_unstructured import recipe

_SMALLER, _LOST = 35.0, 0.5
_PRUNED: dict[str, Any] = {
    "sparsity_per_mille": 950,
    "rounds": 5,
    "epochs_per_round": 3,
    "learning_rate_per_million": 1000,
}
_STORED: dict[str, Any] = {"bits": 4, "rounding": "mse", "min_elements": 256}
_POINTS = 100


def rows(material: TrainingMaterial) -> list[Row]:
    """Target 1 over two seeds; a quick run makes one round of one epoch with one seed."""
    net = material.net()
    begun, held = accuracy(net.model, net)
    seeds = SEEDS[:1] if material.quick else SEEDS
    pruned = _PRUNED | ({"rounds": 1, "epochs_per_round": 1, "sparsity_per_mille": 800} if material.quick else {})
    children = [
        _child(material, net, "deep", [("prune_unstructured", pruned), ("quantize_weights", _STORED)], seed)
        for seed in seeds
    ]
    ratios = [_ratio(net, child) for child in children]
    lost = [_POINTS * (begun - accuracy(child, net)[0]) for child in children]
    what = f"pipeline: {pruned['sparsity_per_mille'] / 10:g} % pruned in {pruned['rounds']} rounds, 4 bits, packed"
    many = f"mean of {len(seeds)} seeds, spread: their distance"
    dense = _child(material, net, "dense", [("quantize_weights", _STORED)], 0, trains=False)
    xz = [
        net.model.stat().st_size / len(lzma.compress(child.read_bytes(), preset=9 | lzma.PRESET_EXTREME))
        for child in children
    ]
    alone = "pipeline: nothing pruned, 4 bits, packed"
    return [
        at_least(
            "pipeline.smaller",
            f"{what}: times smaller than the original ({many})",
            statistics.fmean(ratios),
            _SMALLER,
            "ratio",
            len(seeds),
            _distance(ratios),
        ),
        at_most(
            "pipeline.lost",
            f"{what}: points lost ({many})",
            statistics.fmean(lost),
            _LOST,
            "points",
            held * len(seeds),
            _distance(lost),
        ),
        reported(
            "pipeline.unpacked", f"{what}: times smaller before it is packed", _unpacked(net, children[0]), "ratio", 1
        ),
        of_a_peer(
            "pipeline.peer.xz", f"{what}, but by xz -9e", statistics.fmean(xz), "ratio", len(seeds), _distance(xz)
        ),
        reported("pipeline.dense.smaller", f"{alone}: times smaller", _ratio(net, dense), "ratio", 1),
        reported(
            "pipeline.dense.lost", f"{alone}: points lost", _POINTS * (begun - accuracy(dense, net)[0]), "points", held
        ),
    ]


def _child(
    material: TrainingMaterial,
    net: Net,
    name: str,
    steps: list[tuple[str, dict[str, Any]]],
    seed: int,
    *,
    trains: bool = True,
) -> Path:
    file = recipe(material.folder, name, steps, seed)
    options = ["--pack", *(["--training", str(net.rows("training"))] if trains else [])]
    return material.child(net.model, file, f"{name}-{seed}", net, options) / "model.onnx"


def _ratio(net: Net, child: Path) -> float:
    return net.model.stat().st_size / child.with_name(f"{child.name}.packed").stat().st_size


def _unpacked(net: Net, child: Path) -> float:
    return net.model.stat().st_size / child.stat().st_size


def _distance(values: list[float]) -> float | None:
    return max(values) - min(values) if len(values) > 1 else None

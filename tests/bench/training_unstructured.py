"""Single numbers pruned and trained, beside torch.nn.utils.prune with and without the same training: what held-back rows lose."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.harness import Row, at_most, of_a_peer, reported
from tests.bench.training_material import SEEDS, Net, TrainingMaterial, accuracy, in_torch

LIMITS = {500: 0.3, 700: 0.5, 800: 1.0}
"""Points that may be lost, by the share of zeros in thousandths."""
_ROUNDS = {500: 1, 700: 2, 800: 3}
_EPOCHS_PER_ROUND, _BATCH, _RATE = 2, 32, 1e-3
_POINTS = 100
_TORCH = "torch.nn.utils.prune, global L1"


def rows(material: TrainingMaterial) -> list[Row]:
    """A row for each share of zeros, ours and the peer's; a quick run trains one seed and one round."""
    net = material.net()
    begun, held = accuracy(net.model, net)
    found = [reported("unstructured.parent", "unstructured: the original names the right class", begun, "share", held)]
    seeds = SEEDS[:1] if material.quick else SEEDS
    found.append(_control(material, net, begun, held))
    for per_mille, limit in LIMITS.items():
        lost = [begun - accuracy(_child(material, net, per_mille, seed), net)[0] for seed in seeds]
        points = [_POINTS * one for one in lost]
        mean, spread = statistics.fmean(points), (max(points) - min(points) if len(points) > 1 else None)
        what = f"unstructured: {per_mille // 10} % zeros"
        told = f"{what}, points lost (mean of {len(seeds)} seeds, spread: their distance)"
        found.append(at_most(f"unstructured.{per_mille}.lost", told, mean, limit, "points", held * len(seeds), spread))
        epochs = _epochs(material, per_mille)
        for trained, called in ((0, "without training"), (epochs, f"with the same {epochs} epochs")):
            peer = _POINTS * (begun - _by_torch(net, per_mille, trained))
            key = f"unstructured.{per_mille}.peer.{'trained' if trained else 'bare'}"
            found.append(of_a_peer(key, f"{what}, points lost by {_TORCH} {called}", peer, "points", held))
    return found


def recipe(folder: Path, name: str, steps: list[tuple[str, dict[str, Any]]], seed: int) -> Path:
    """Writes a recipe file."""
    written = [
        {"method": method, "parameters": [{"name": key, "value": value} for key, value in parameters.items()]}
        for method, parameters in steps
    ]
    path = folder / f"{name}-{seed}.json"
    path.write_text(
        json.dumps({"type": "pressmark/recipe/1", "name": name, "seed": seed, "steps": written}), encoding="utf-8"
    )
    return path


def _control(material: TrainingMaterial, net: Net, begun: float, held: int) -> Row:
    """What as much training alone does to the original: it was not trained to its end, and zeros are not the only change."""
    epochs = _epochs(material, max(LIMITS))
    parameters = {"epochs": epochs, "batch_size": _BATCH, "learning_rate_per_million": round(_RATE * 1_000_000)}
    file = recipe(material.folder, "control", [("fine_tune", parameters)], SEEDS[0])
    options = ["--training", str(net.rows("training"))]
    what, lost = f"unstructured: no zeros, {epochs} epochs of training alone, points lost", 0.0
    try:
        lost = _POINTS * (
            begun - accuracy(material.child(net.model, file, "control", net, options) / "model.onnx", net)[0]
        )
    except RuntimeError as refused:
        if "nothing_to_compress" not in str(refused):
            raise
        what += " (nothing was better on the rows it holds out, and so the original stays)"
    return reported("unstructured.control", what, lost, "points", held)


def _rounds(material: TrainingMaterial, per_mille: int) -> int:
    return 1 if material.quick else _ROUNDS[per_mille]


def _epochs(material: TrainingMaterial, per_mille: int) -> int:
    return _rounds(material, per_mille) * _EPOCHS_PER_ROUND


def _child(material: TrainingMaterial, net: Net, per_mille: int, seed: int) -> Path:
    parameters = {
        "sparsity_per_mille": per_mille,
        "rounds": _rounds(material, per_mille),
        "epochs_per_round": _EPOCHS_PER_ROUND,
        "batch_size": _BATCH,
        "learning_rate_per_million": round(_RATE * 1_000_000),
    }
    name = f"sparse-{per_mille}"
    file = recipe(material.folder, name, [("prune_unstructured", parameters)], seed)
    options = ["--training", str(net.rows("training"))]
    return material.child(net.model, file, f"{name}-{seed}", net, options) / "model.onnx"


def _by_torch(net: Net, per_mille: int, epochs: int) -> float:
    """Held-back rows named rightly after global L1 pruning at once and so many epochs with the masks held, no rows held out."""
    import torch
    from torch.nn.utils import prune

    torch.set_num_threads(1)
    torch.manual_seed(SEEDS[0])
    network = in_torch(net.model)
    modules = [one for one in network.modules() if isinstance(one, torch.nn.Conv2d | torch.nn.Linear)]
    parameters = [(module, "weight") for module in modules]
    prune.global_unstructured(parameters, pruning_method=prune.L1Unstructured, amount=per_mille / 1000)
    with np.load(net.rows("training")) as held:
        images, labels = torch.from_numpy(held["image"]), torch.from_numpy(held["label"])
    updates = epochs * -(-len(images) // _BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=0.0)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, updates))
    order = torch.Generator().manual_seed(SEEDS[0])
    network.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(images), generator=order).split(_BATCH):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(network(images[batch]), labels[batch]).backward()
            optimiser.step()
            rates.step()
    network.eval()
    with np.load(net.rows("held_back")) as held, torch.no_grad():
        named = network(torch.from_numpy(held["image"])).argmax(dim=1).numpy()
        return float((named == held["label"]).mean())

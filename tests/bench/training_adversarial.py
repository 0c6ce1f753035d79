"""Training against moved rows: what stands before and after, what it costs on rows as they are, beside a loop of plain torch.

What stands is measured by the engine's own evaluation (`measure.adversarial`) on held-back rows: along the model's own gradients
with more steps than in training and several starts, along the other model's, and without any; a row counts that stood them all. The
peer is the same descent written by hand in torch, with the same rates and passes; it holds out no rows, and is judged alike.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compression_engine.samples.training import export
from tests.bench.harness import Row, at_least, at_most, of_a_peer, reported
from tests.bench.quantization_material import run_engine
from tests.bench.training_material import SEEDS, Net, TrainingMaterial, accuracy, in_torch
from tests.bench.training_unstructured import recipe

GAIN_LEAST, LOSS_MOST = 10.0, 1.0
"""Points that more answers stand, and points that may be lost on rows as they are."""
_POINTS = 100
_EPSILON, _STEPS, _EPOCHS, _BATCH, _RATE = 100, 4, 1, 32, 5e-4
_ATTACK = {"epsilon_per_mille": _EPSILON, "queries": 100, "restarts": 2, "rows": 150, "steps": 20}
_QUICK = {**_ATTACK, "queries": 20, "restarts": 1, "rows": 40, "steps": 5}
_ASKS = {"answers": "its answer to the row as it is", "loss": "its label"}
_Figures = Mapping[str, float]


def rows(material: TrainingMaterial) -> list[Row]:
    """What stands of the original, of children asked either way, of one that is pruned and rounded besides, and of a peer's."""
    net = material.net()
    begun, held = accuracy(net.model, net)
    found: list[Row] = []
    for asks, said in _ASKS.items():
        seeds = SEEDS[:1] if material.quick or asks == "loss" else SEEDS
        children = [_tuned(material, net, asks, seed) for seed in seeds]
        figures = [_judged(material, net, child) for child in children]
        lost = [_POINTS * (begun - accuracy(child, net)[0]) for child in children]
        if not found:
            found.append(_of_parent(material, figures[0]))
        what = f"adversarial: each moved row asked for {said}"
        found += _of_children(f"adversarial.{asks}", what, figures, lost, held, target=True)
    child = _piped(material, net)
    what = "adversarial: half of the numbers zero, trained so, then 8 bits"
    lost = [_POINTS * (begun - accuracy(child, net)[0])]
    found += _of_children("adversarial.pipeline", what, [_judged(material, net, child)], lost, held, target=False)
    return [*found, *_of_peer(material, net, begun, held)]


def _of_parent(material: TrainingMaterial, figures: _Figures) -> Row:
    asked = _asked(material)
    how = f"each number moved by at most {_EPSILON} thousandths, {asked['steps']} steps, {asked['restarts']} starts"
    what = f"adversarial: answers of the original that stand ({how}, {asked['queries']} queries)"
    return reported("adversarial.parent", what, figures["parent_accuracy"], "share", int(figures["n"]))


def _of_children(
    key: str, what: str, figures: Sequence[_Figures], lost: Sequence[float], held: int, *, target: bool
) -> list[Row]:
    """Points won on moved rows and lost on those as they are; means over seeds."""
    gains = [_POINTS * (one["accuracy"] - one["parent_accuracy"]) for one in figures]
    count, n = len(figures), int(sum(one["n"] for one in figures))
    of = f" (mean of {count} seeds, spread: their distance)" if count > 1 else ""
    gained = f"{what}, points that more answers stand than of the original{of}"
    cost = f"{what}, points lost on rows as they are{of}"
    if target:
        found = [
            at_least(f"{key}.gain", gained, statistics.fmean(gains), GAIN_LEAST, "points", n, _apart(gains)),
            at_most(f"{key}.lost", cost, statistics.fmean(lost), LOSS_MOST, "points", held * count, _apart(lost)),
        ]
    else:
        found = [
            reported(f"{key}.gain", gained, statistics.fmean(gains), "points", n, _apart(gains)),
            reported(f"{key}.lost", cost, statistics.fmean(lost), "points", held * count, _apart(lost)),
        ]
    hidden = [_POINTS * one["hidden"] for one in figures if "hidden" in one]
    if hidden:
        told = f"{what}, points that fell only without its own gradients{of}"
        found.append(reported(f"{key}.hidden", told, statistics.fmean(hidden), "points", n, _apart(hidden)))
    return found


def _apart(values: Sequence[float]) -> float | None:
    return max(values) - min(values) if len(values) > 1 else None


def _asked(material: TrainingMaterial) -> dict[str, int]:
    return _QUICK if material.quick else _ATTACK


def _parameters(asks: str) -> dict[str, Any]:
    return {
        "adversarial_asks": asks,
        "adversarial_epsilon_per_mille": _EPSILON,
        "adversarial_percent": 50,
        "adversarial_steps": _STEPS,
        "batch_size": _BATCH,
        "learning_rate_per_million": round(_RATE * 1_000_000),
    }


def _tuned(material: TrainingMaterial, net: Net, asks: str, seed: int) -> Path:
    parameters = _parameters(asks) | {"epochs": _EPOCHS}
    file = recipe(material.folder, f"adversarial-{asks}", [("fine_tune", parameters)], seed)
    options = ["--training", str(net.rows("training"))]
    return material.child(net.model, file, f"adversarial-{asks}-{seed}", net, options) / "model.onnx"


def _piped(material: TrainingMaterial, net: Net) -> Path:
    """Half of the numbers zero, then trained against moved rows, then integers."""
    steps: list[tuple[str, dict[str, Any]]] = [
        ("prune_unstructured", {"sparsity_per_mille": 500, "epochs_per_round": 0}),
        ("fine_tune", _parameters("answers") | {"epochs": _EPOCHS}),
        ("quantize_static", {}),
    ]
    file = recipe(material.folder, "adversarial-pipeline", steps, SEEDS[0])
    options = ["--training", str(net.rows("training")), "--calibration", str(net.rows("calibration"))]
    return material.child(net.model, file, "adversarial-pipeline", net, options) / "model.onnx"


def _judged(material: TrainingMaterial, net: Net, model: Path) -> dict[str, float]:
    """Figures of the evaluation on held-back rows over all attacks together, by metric, and `n`."""
    plan = material.folder / "moved.json"
    result = material.folder / f"moved-{model.stem if model.stem != 'model' else model.parent.name}.json"
    asked = json.loads(net.plan.read_text()) | {"measures": ["adversarial"], "attack": _asked(material)}
    plan.write_text(json.dumps(asked))
    given = ["--parent", str(net.model), "--data", str(net.rows("held_back")), "--plan", str(plan)]
    if not result.is_file():
        run_engine("compression_engine", ["evaluate", str(model), *given, "--output", str(result)])
    documents = [one["document"] for one in json.loads(result.read_text())["evidence"]]
    evidence = next(one for one in documents if one["kind"] == "adversarial")
    whole = [one for one in evidence["figures"] if not one["slice"] and one["value"] is not None]
    far = f"_within_{_EPSILON}_per_mille"
    return {one["metric"].replace(far, ""): float(one["value"]) for one in whole} | {"n": float(whole[0]["n"])}


def _peers(material: TrainingMaterial, net: Net) -> Path:
    made = material.folder / "adversarial-peer.onnx"
    if not made.is_file():
        with np.load(net.rows("training")) as given:
            images, labels = given["image"], given["label"]
        export(_by_torch(net, images, labels, _EPOCHS), images[:2], made, input_name="image")
    return made


def _of_peer(material: TrainingMaterial, net: Net, begun: float, held: int) -> list[Row]:
    made = _peers(material, net)
    figures = _judged(material, net, made)
    told = "by hand in torch, half of the loss of moved rows by their labels"
    gained = _POINTS * (figures["accuracy"] - figures["parent_accuracy"])
    lost = _POINTS * (begun - accuracy(made, net)[0])
    return [
        of_a_peer("adversarial.peer.gain", f"adversarial: {told}, points more", gained, "points", int(figures["n"])),
        of_a_peer(
            "adversarial.peer.lost", f"adversarial: {told}, points lost on rows as they are", lost, "points", held
        ),
    ]


def _by_torch(net: Net, images: Any, labels: Any, epochs: int) -> Any:
    """The network after so many passes; every batch half as it is and half as four steps along its gradient leave it."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(SEEDS[0])
    network, loss = in_torch(net.model), torch.nn.functional.cross_entropy
    pictures, right = torch.from_numpy(images), torch.from_numpy(labels)
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=0.0)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, epochs * -(-len(images) // _BATCH)))
    epsilon = _EPSILON / 1000
    order = torch.Generator().manual_seed(SEEDS[0])
    for _ in range(epochs):
        for batch in torch.randperm(len(images), generator=order).split(_BATCH):
            x, y = pictures[batch], right[batch]
            moved = (x + epsilon * (2 * torch.rand_like(x) - 1)).clamp(0, 1)
            for _ in range(_STEPS):
                moved.requires_grad_(True)
                (gradient,) = torch.autograd.grad(loss(network(moved), y), [moved])
                stepped = moved.detach() + 2.5 * epsilon / _STEPS * gradient.sign()
                moved = torch.minimum(torch.maximum(stepped, x - epsilon), x + epsilon).clamp(0, 1)
            optimiser.zero_grad()
            (0.5 * loss(network(x), y) + 0.5 * loss(network(moved), y)).backward()
            optimiser.step()
            rates.step()
    return network.eval()

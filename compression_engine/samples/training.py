"""Fits the small networks of the samples: one thread, a fixed seed, so that the same libraries give the same weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from compression_engine.canonical import JSON

_OPSET = 17


def fit_classifier(network: Any, rows: Any, labels: Any, *, epochs: int, seed: int, learning_rate: float = 1e-3) -> Any:
    """The network after so many epochs of Adam on cross-entropy, batches of 64. `rows` [n, ...] float32, `labels` [n] int64."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    for layer in network.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
    order = torch.Generator().manual_seed(seed)
    inputs, targets = torch.from_numpy(rows), torch.from_numpy(labels)
    network.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(inputs), generator=order).split(64):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(network(inputs[batch]), targets[batch]).backward()
            optimiser.step()
    return network.eval()


def export(network: Any, example: Any, path: Path, *, input_name: str) -> None:
    """Writes the network as ONNX with one input and the output `logits`, the first axis free."""
    import warnings

    import torch

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the older exporter announces its successor
        torch.onnx.export(
            network, (torch.from_numpy(example),), str(path), input_names=[input_name], output_names=["logits"],
            dynamic_axes={input_name: {0: "rows"}, "logits": {0: "rows"}}, opset_version=_OPSET, dynamo=False,
        )  # fmt: skip


def write_plan(path: Path, plan: Mapping[str, JSON]) -> None:
    """The plan of an evaluation beside the data that it is about."""
    path.write_text(json.dumps({"type": "pressmark/evaluation_plan/1", **plan}, indent=1) + "\n", encoding="utf-8")


def parted(n: int, shares: Mapping[str, float], seed: int) -> dict[str, Any]:
    """Indices of n rows, shuffled and cut into disjoint parts; the last part gets what is left."""
    order = np.random.default_rng(seed).permutation(n)
    found, start = {}, 0
    names = list(shares)
    for name in names:
        stop = n if name == names[-1] else start + round(n * shares[name])
        found[name], start = np.sort(order[start:stop]), stop
    return found

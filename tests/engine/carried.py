"""What tests of training share: a graph as a network beside the runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch

from compression_engine.training.network import Network
from tests.engine import nets


def as_tensors(feed: Mapping[str, nets.Array]) -> dict[str, torch.Tensor]:
    """Arrays as tensors."""
    return {name: torch.from_numpy(np.array(value)) for name, value in feed.items()}


def copied(net: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a model."""
    copy = onnx.ModelProto()
    copy.CopyFrom(net)
    return copy


def apart(net: onnx.ModelProto, feed: Mapping[str, nets.Array], **how: Any) -> float:
    """The largest difference between the network's answers and the runtime's, as a part of the largest number of the output."""
    network = Network(net, **how)
    mine = network(as_tensors(feed))
    worst = 0.0
    for name, theirs in zip((value.name for value in net.graph.output), nets.answer(net, dict(feed)), strict=True):
        if name in network.left_out:
            continue
        ours = mine[name].detach().numpy()
        assert ours.shape == theirs.shape, (name, ours.shape, theirs.shape)
        assert (ours.dtype.kind == "f") == (theirs.dtype.kind == "f"), (name, ours.dtype, theirs.dtype)
        worst = max(worst, distance(ours, theirs))
    return worst


def distance(ours: nets.Array, theirs: nets.Array) -> float:
    """Largest difference over largest magnitude, where both are finite; infinite where they are not finite in the same places."""
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    finite = np.isfinite(a) & np.isfinite(b)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if not (finite | same).all():
        return float("inf")
    largest = np.abs(b[finite]).max(initial=1e-6)
    return float(np.abs(a[finite] - b[finite]).max(initial=0.0) / largest)

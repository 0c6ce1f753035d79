"""Prunes the network for digits with Torch-Pruning: `python -m tests.bench.peer_pruning MODEL IMAGES SHARE TARGET`.

Run by the peers' own Python. MODEL is the exported network, IMAGES an .npz with `image`; channels go by the peer's group importance
(magnitude), over the whole network, in multiples of 8, step by step until no more than SHARE of the multiply-adds are left, as the
peer counts them. TARGET is the pruned network as ONNX, not trained.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.training_material import in_torch

_STEPS = 200
_ROUND_TO = 8


def prune(network: Any, example: Any, share: float) -> None:
    """Prunes in place."""
    import torch
    import torch_pruning

    last = next(module for module in network.modules() if isinstance(module, torch.nn.Linear))
    pruner = torch_pruning.pruner.BasePruner(
        network,
        example,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        global_pruning=True,
        pruning_ratio=0.95,
        iterative_steps=_STEPS,
        ignored_layers=[last],
        round_to=_ROUND_TO,
    )
    whole = torch_pruning.utils.count_ops_and_params(network, example)[0]
    for _ in range(_STEPS):
        if torch_pruning.utils.count_ops_and_params(network, example)[0] <= share * whole:
            break
        pruner.step()


def main(model: str, images: str, share: str, target: str) -> None:
    """Reads, prunes, writes."""
    import torch

    network = in_torch(Path(model))
    with np.load(images) as rows:
        example = torch.from_numpy(rows["image"][:2])
    prune(network, example[:1], float(share))
    torch.onnx.export(
        network.eval(), (example,), target, input_names=["image"], output_names=["logits"],
        dynamic_axes={"image": {0: "rows"}, "logits": {0: "rows"}}, opset_version=17, dynamo=False,
    )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])

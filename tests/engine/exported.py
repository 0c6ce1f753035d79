"""Small networks of torch, each written as ONNX with the same weights by the older exporter (tracing) and by the newer (dynamo).

They write different files of one network: other operator sets, other names, the shape of every value noted, numbers in a second
file; `dynamo-plain` is the newer one without its own rewriting, which leaves normalisations, casts and sequences as torch has them.
Weights are drawn, not trained.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

EXPORTERS = ("legacy", "dynamo", "dynamo-plain")


class Convolutions(nn.Module):
    """x [rows, 3, 16, 16] -> y [rows, 10]; normalisations have means and variances of their own, as after training."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.one = nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32)
        self.second, self.two = nn.Conv2d(32, 64, 3, padding=1, stride=2), nn.BatchNorm2d(64)
        self.third, self.three = nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)
        self.head = nn.Linear(64, 20)
        for normal in (self.one, self.two, self.three):
            nn.init.normal_(normal.running_mean, 0.0, 0.1)
            nn.init.uniform_(normal.running_var, 0.5, 1.5)
            nn.init.uniform_(normal.weight, 0.5, 1.5)

    def forward(self, x: Any) -> Any:
        h = torch.relu(self.one(self.first(x)))
        h = torch.relu(self.two(self.second(h)))
        h = torch.relu(h + self.three(self.third(h)))
        return self.head(h.mean((2, 3)))


class Recurrent(nn.Module):
    """x [rows, 12, 24] -> y [rows, 24]: an LSTM over twelve steps, and a product of its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.steps, self.head = nn.LSTM(24, 48, batch_first=True), nn.Linear(48, 24)

    def forward(self, x: Any) -> Any:
        return self.head(self.steps(x)[0][:, -1])


class Attention(nn.Module):
    """ids [rows, 12] (int64, below 200) -> y [rows, 32]: a table of words, one block of attention with its two norms, a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.mixed, self.out = nn.Embedding(200, 64), nn.Linear(64, 192), nn.Linear(64, 64)
        self.one, self.two = nn.LayerNorm(64), nn.LayerNorm(64)
        self.wide, self.narrow, self.head = nn.Linear(64, 128), nn.Linear(128, 64), nn.Linear(64, 32)

    def forward(self, ids: Any) -> Any:
        h = self.words(ids)
        q, k, v = (part.unflatten(-1, (4, 16)).transpose(1, 2) for part in self.mixed(self.one(h)).chunk(3, dim=-1))
        seen = nn.functional.scaled_dot_product_attention(q, k, v)
        h = h + self.out(seen.transpose(1, 2).flatten(2))
        h = h + self.narrow(nn.functional.gelu(self.wide(self.two(h))))
        return self.head(h.mean(1))


@dataclass(frozen=True)
class Net:
    """A network, the name of its input, and how its inputs are drawn (generator, rows)."""

    build: Callable[[], nn.Module]
    input_name: str
    draw: Callable[[np.random.Generator, int], np.ndarray]


def _normal(*shape: int) -> Callable[[np.random.Generator, int], np.ndarray]:
    return lambda generator, rows: generator.standard_normal((rows, *shape)).astype(np.float32)


NETS = {
    "convolutions": Net(Convolutions, "x", _normal(3, 16, 16)),
    "recurrent": Net(Recurrent, "x", _normal(12, 24)),
    "attention": Net(Attention, "ids", lambda generator, rows: generator.integers(0, 200, (rows, 12))),
}


def write(name: str, exporter: str, folder: Path) -> Path:
    """Writes folder/model.onnx, with whatever else the exporter writes when nothing more is said, and gives the folder."""
    net = NETS[name]
    torch.manual_seed(0)
    module = net.build().eval()
    example = (torch.from_numpy(net.draw(np.random.default_rng(0), 3)),)
    folder.mkdir(parents=True)
    said: dict[str, Any] = {"dynamo": False, "dynamic_axes": {net.input_name: {0: "rows"}, "y": {0: "rows"}}}
    if exporter != "legacy":
        shapes = ({0: torch.export.Dim("rows", min=1, max=4096)},)
        said = {"dynamo": True, "verbose": False, "dynamic_shapes": shapes, "optimize": exporter == "dynamo"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters warn about themselves
        torch.onnx.export(
            module, example, str(folder / "model.onnx"), input_names=[net.input_name], output_names=["y"], **said
        )
    return folder

"""Small networks of layers that repeat, written as ONNX by both exporters of torch; weights are drawn, not trained.

`without` leaves layers out of the torch network itself, so that a graph that lacks them has something to be equal to.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

LAYERS = {"encoder": 4, "after": 4, "mixer": 3, "residual": 5}
"""How many layers of each network can be taken out."""
DRAWN = {"encoder": (200, (7,)), "after": (200, (7,)), "mixer": (0, (6, 16)), "residual": (0, (3, 8, 8))}
"""Words (0: numbers) and the shape of a row."""


class _Attention(nn.Module):
    """Attention over 2 heads of 8, and a mask that comes in from the side."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(16, 16) for _ in range(4))

    def forward(self, h: Any, mask: Any) -> Any:
        q, k, v = (part(h).unflatten(-1, (2, 8)).transpose(1, 2) for part in (self.query, self.key, self.value))
        scores = q @ k.transpose(-1, -2) / 8**0.5 + mask
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class _EncoderLayer(nn.Module):
    def __init__(self, *, normal_first: bool) -> None:
        super().__init__()
        self.attention, self.first, self.second = _Attention(), nn.LayerNorm(16), nn.LayerNorm(16)
        self.wide, self.narrow = nn.Linear(16, 32), nn.Linear(32, 16)
        self.normal_first = normal_first

    def forward(self, h: Any, mask: Any) -> Any:
        def mixed(x: Any) -> Any:
            return self.narrow(nn.functional.gelu(self.wide(x)))

        if self.normal_first:
            h = h + self.attention(self.first(h), mask)
            return h + mixed(self.second(h))
        h = self.first(h + self.attention(h, mask))
        return self.second(h + mixed(h))


class Encoder(nn.Module):
    """ids [rows, 7] -> y [rows, 5]."""

    def __init__(self, without: Collection[int], *, normal_first: bool) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(200, 16), nn.Linear(16, 5)
        self.begin, self.end = nn.LayerNorm(16), nn.LayerNorm(16)
        layers = [_EncoderLayer(normal_first=normal_first) for _ in range(LAYERS["encoder"])]
        self.layers = nn.ModuleList(layers)
        self.without = without

    def forward(self, ids: Any) -> Any:
        mask = torch.where(ids == 0, -1e4, 0.0)[:, None, None, :]
        h = self.begin(self.words(ids))
        for place, layer in enumerate(self.layers):
            h = h if place in self.without else layer(h, mask)
        return self.head(self.end(h).mean(1))


class _MixerLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.normal, self.places, self.channels = nn.LayerNorm(16), nn.Linear(6, 6), nn.Linear(16, 16)

    def forward(self, h: Any) -> Any:
        h = h + torch.relu(self.places(self.normal(h).transpose(1, 2))).transpose(1, 2)
        return h + torch.relu(self.channels(h))


class Mixer(nn.Module):
    """x [rows, 6, 16] -> y [rows, 5]."""

    def __init__(self, without: Collection[int]) -> None:
        super().__init__()
        self.layers, self.head = nn.ModuleList(_MixerLayer() for _ in range(LAYERS["mixer"])), nn.Linear(16, 5)
        self.without = without

    def forward(self, x: Any) -> Any:
        for place, layer in enumerate(self.layers):
            x = x if place in self.without else layer(x)
        return self.head(x.mean(1))


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Any) -> Any:
        return torch.relu(x + self.two(torch.relu(self.one(x))))


class Residual(nn.Module):
    """x [rows, 3, 8, 8] -> y [rows, 5]: three blocks of width 8, a step to half the size, two blocks of width 12."""

    def __init__(self, without: Collection[int]) -> None:
        super().__init__()
        self.stem, self.step, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, 2, 1), nn.Linear(12, 5)
        self.layers = nn.ModuleList([*(_Block(8) for _ in range(3)), *(_Block(12) for _ in range(2))])
        self.without = without

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.stem(x))
        for place, layer in enumerate(self.layers):
            x = torch.relu(self.step(x)) if place == 3 else x
            x = x if place in self.without else layer(x)
        return self.head(x.mean((2, 3)))


def build(name: str, without: Collection[int] = ()) -> nn.Module:
    """A network with the same weights whatever is left out."""
    torch.manual_seed(0)
    made: nn.Module
    if name in ("encoder", "after"):
        made = Encoder(without, normal_first=name == "encoder")
    else:
        made = Mixer(without) if name == "mixer" else Residual(without)
    for module in made.modules():
        if isinstance(module, nn.LayerNorm):  # as training leaves them: equal ones would be stored once
            nn.init.normal_(module.weight, 1.0, 0.1)
            nn.init.normal_(module.bias, 0.0, 0.1)
    return made.eval()


def rows(name: str, count: int, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Rows for a network, under the name of its input."""
    words, shape = DRAWN[name]
    draw = np.random.default_rng(seed)
    if words:
        return {"ids": draw.integers(1, words, (count, *shape))}
    return {"x": draw.standard_normal((count, *shape)).astype(np.float32)}


def write(name: str, folder: Path, exporter: str = "legacy", module: nn.Module | None = None) -> Path:
    """Writes folder/model.onnx and gives its path; `exporter` is legacy or dynamo."""
    feed = rows(name, 3)
    given = next(iter(feed))
    folder.mkdir(parents=True)
    said: dict[str, Any] = {
        "dynamo": False,
        "dynamic_axes": {given: {0: "rows"}, "y": {0: "rows"}},
        "opset_version": 17,
    }
    if exporter == "dynamo":
        said = {
            "dynamo": True,
            "verbose": False,
            "dynamic_shapes": ({0: torch.export.Dim("rows", min=1, max=4096)},),
        }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters warn about themselves
        torch.onnx.export(
            module or build(name), (torch.from_numpy(feed[given]),), str(folder / "model.onnx"), input_names=[given],
            output_names=["y"], **said,
        )  # fmt: skip
    return folder / "model.onnx"

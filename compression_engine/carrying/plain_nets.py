"""The architectures of our own document `pressmark/architecture/1`: perceptrons, and small residual convolutional nets.

perceptron: `layers.0` ... `layers.k`, each a linear layer, with the activation between them.
residual: `stem` (3 x 3, stride 2), blocks of two 3 x 3 convolutions `blocks.i.first` and `.second` whose answer is added to what
came in (through the 1 x 1 convolution `.shortcut` where width or stride change), the mean over the picture, and the linear `head`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS: dict[str, Any] = {
    "gelu": functional.gelu, "relu": torch.relu, "sigmoid": torch.sigmoid, "silu": functional.silu, "tanh": torch.tanh,
}  # fmt: skip


class Perceptron(nn.Module):  # type: ignore[misc]
    """float32 [rows, widths[0]] to float32 [rows, widths[-1]]."""

    def __init__(self, widths: Sequence[int], activation: str) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self._between = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        for number, layer in enumerate(self.layers):
            x = layer(x if number == 0 else self._between(x))
        return x


class _Block(nn.Module):  # type: ignore[misc]
    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(before, width, 3, stride, 1), nn.Conv2d(width, width, 3, 1, 1)
        if before != width or stride != 1:
            self.shortcut = nn.Conv2d(before, width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        kept = self.shortcut(x) if "shortcut" in self._modules else x
        return torch.relu(kept + self.second(torch.relu(self.first(x))))


class Residual(nn.Module):  # type: ignore[misc]
    """float32 [rows, channels, height, width] to float32 [rows, classes]; `blocks` are pairs of width and stride."""

    def __init__(self, channels: int, stem: int, blocks: Sequence[Sequence[int]], classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, stem, 3, 2, 1)
        widths = [stem, *(width for width, _ in blocks)]
        self.blocks = nn.ModuleList(
            _Block(before, width, stride) for before, (width, stride) in zip(widths, blocks, strict=False)
        )
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))

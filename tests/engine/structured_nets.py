"""Networks of torch whose channels, heads and hidden units are coupled in every way that prune_structured knows, each exported."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

LEGACY, DYNAMO = "legacy", "dynamo"


def _act(given: int, made: int, stride: int = 1, groups: int = 1, size: int = 3) -> nn.Sequential:
    conv = nn.Conv2d(given, made, size, stride=stride, padding=size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(made), nn.ReLU())


class _Head(nn.Module):
    """Pools and classifies; the networks of images end with it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.last = nn.Linear(channels, 5)

    def forward(self, x: Any) -> Any:
        return self.last(x.mean((2, 3)))


class Plain(nn.Module):
    """Convolutions, then a Flatten whose places all belong to their channel."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(_act(3, 8), nn.MaxPool2d(2), _act(8, 12), nn.MaxPool2d(2))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(12 * 2 * 2, 10), nn.ReLU(), nn.Linear(10, 5))

    def forward(self, x: Any) -> Any:
        return self.head(self.body(x))


class Residual(nn.Module):
    """Two stages with a shortcut, one of them with a stride and a convolution of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one, self.two = _act(3, 8), _act(8, 10), nn.Conv2d(10, 8, 3, padding=1)
        self.three, self.around = _act(8, 12, 2), nn.Conv2d(8, 12, 1, stride=2)
        self.head = _Head(12)

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        x = torch.relu(x + self.two(self.one(x)))
        return self.head(torch.relu(self.three(x) + self.around(x)))


class Separable(nn.Module):
    """Depthwise and pointwise convolutions, the first with two channels for each."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _act(3, 8), nn.Conv2d(8, 16, 3, groups=8), _act(16, 12, size=1), _act(12, 12, groups=12)
        )
        self.head = _Head(12)

    def forward(self, x: Any) -> Any:
        return self.head(self.body(x))


class Dense(nn.Module):
    """Concatenates what came before, as DenseNet does, and parts it again."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = _act(3, 8), _act(8, 6), _act(14, 12)
        self.head = _Head(18)

    def forward(self, x: Any) -> Any:
        a = self.one(x)
        b = torch.cat([a, self.two(a)], 1)
        left, right = self.three(b).chunk(2, 1)
        return self.head(torch.cat([left * torch.sigmoid(right), b[:, 2:14]], 1))


class Unet(nn.Module):
    """Down, up by a transposed convolution and by resizing, and a skip; its output is an image."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = _act(3, 8), _act(8, 12, 2), _act(12, 16, 2)
        self.up, self.four, self.last = nn.ConvTranspose2d(16, 12, 2, stride=2), _act(24, 10), nn.Conv2d(18, 2, 1)

    def forward(self, x: Any) -> Any:
        a = self.one(x)
        b = self.two(a)
        c = self.four(torch.cat([self.up(self.three(b)), b], 1))
        return self.last(torch.cat([nn.functional.interpolate(c, scale_factor=2.0), a], 1))


class Encoder(nn.Module):
    """Two blocks of torch's own transformer, behind a table of words."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 24, batch_first=True, dropout=0.0)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 5)

    def forward(self, ids: Any) -> Any:
        return self.head(self.layers(self.words(ids)).mean(1))


class Attention(nn.Module):
    """Attention as BERT writes it: three products, heads by view and transpose, a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(50, 16), nn.Embedding(32, 16)
        self.q, self.k, self.v, self.out = (nn.Linear(16, 16) for _ in range(4))
        self.norm, self.wide, self.narrow, self.head = (
            nn.LayerNorm(16),
            nn.Linear(16, 24),
            nn.Linear(24, 16),
            nn.Linear(16, 5),
        )

    def forward(self, ids: Any, mask: Any) -> Any:
        h = self.words(ids) + self.places(torch.arange(ids.shape[1]))
        rows, places = ids.shape
        q, k, v = (part(h).view(rows, places, 4, 4).transpose(1, 2) for part in (self.q, self.k, self.v))
        seen = q @ k.transpose(-1, -2) / 2 + (1 - mask[:, None, None, :].float()) * -1e4
        h = self.norm(h + self.out((seen.softmax(-1) @ v).transpose(1, 2).reshape(rows, places, 16)))
        return self.head((h + self.narrow(nn.functional.gelu(self.wide(h)))).mean(1))


class Recurrent(nn.Module):
    """An LSTM over both directions behind a product, read at its last step, and a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.steps = nn.Linear(6, 10), nn.LSTM(10, 8, batch_first=True, bidirectional=True)
        self.more, self.head = nn.GRU(16, 12, batch_first=True), nn.Linear(12, 5)

    def forward(self, x: Any) -> Any:
        return self.head(self.more(self.steps(torch.relu(self.first(x)))[0])[0][:, -1])


class Grouped(nn.Module):
    """Convolutions in few large groups and in many small ones."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(_act(3, 12), _act(12, 18, groups=2), _act(18, 18, groups=6), _act(18, 8))
        self.head = _Head(8)

    def forward(self, x: Any) -> Any:
        return self.head(self.body(x))


class Excited(nn.Module):
    """Squeeze and excitation, and a normalisation in groups."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.down, self.up = _act(3, 12), nn.Conv2d(12, 6, 1), nn.Conv2d(6, 12, 1)
        self.two, self.norm, self.head = nn.Conv2d(12, 16, 3), nn.GroupNorm(4, 16), _Head(16)

    def forward(self, x: Any) -> Any:
        x = self.one(x)
        x = x * torch.sigmoid(self.up(torch.relu(self.down(x.mean((2, 3), keepdim=True)))))
        return self.head(torch.relu(self.norm(self.two(x))))


class Shuffled(nn.Module):
    """Channels of two groups shuffled into each other by reshaping, as ShuffleNet does."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = _act(3, 12), _act(12, 12, groups=2), _act(12, 8)
        self.head = _Head(8)

    def forward(self, x: Any) -> Any:
        x = self.two(self.one(x))
        x = x.view(-1, 2, 6, 8, 8).transpose(1, 2).reshape(-1, 12, 8, 8)
        return self.head(self.three(x))


def _image() -> dict[str, Any]:
    return {"x": torch.randn(3, 3, 8, 8)}


def _words() -> dict[str, Any]:
    return {"ids": torch.randint(0, 50, (3, 16))}


def _masked() -> dict[str, Any]:
    return _words() | {"mask": torch.ones(3, 16, dtype=torch.int64)}


NETS: dict[str, tuple[Callable[[], nn.Module], Callable[[], dict[str, Any]]]] = {
    "plain": (Plain, _image),
    "residual": (Residual, _image),
    "separable": (Separable, _image),
    "dense": (Dense, _image),
    "unet": (Unet, _image),
    "grouped": (Grouped, _image),
    "excited": (Excited, _image),
    "shuffled": (Shuffled, _image),
    "encoder": (Encoder, _words),
    "attention": (Attention, _masked),
    "recurrent": (Recurrent, lambda: {"x": torch.randn(3, 7, 6)}),
}


def export(name: str, exporter: str, *, opset: int = 17, fold: bool = True) -> onnx.ModelProto:
    """The network as ONNX, rows and places free; not `fold`: normalisations stay nodes of their own."""
    return onnx.ModelProto.FromString(_exported(name, exporter, opset, fold))


@cache
def _exported(name: str, exporter: str, opset: int, fold: bool) -> bytes:
    torch.manual_seed(3)
    build, draw = NETS[name]
    module, example = build().eval(), draw()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_var, 0.5, 1.5)
            nn.init.normal_(part.running_mean, 0, 0.2)
            nn.init.normal_(part.bias, 0, 0.2)
    free = {key: {0: "rows", 1: "places"} if value.ndim == 2 else {0: "rows"} for key, value in example.items()}
    said: dict[str, Any] = {"dynamo": False, "dynamic_axes": free | {"y": {0: "rows"}}, "opset_version": opset}
    if not fold:
        said |= {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    if exporter == DYNAMO:
        dims = {"rows": torch.export.Dim("rows", min=1, max=64), "places": torch.export.Dim("places", min=2, max=32)}
        shapes = tuple({axis: dims[free_name] for axis, free_name in entry.items()} for entry in free.values())
        said = {"dynamo": True, "verbose": False, "dynamic_shapes": shapes, "external_data": False}
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # the exporters warn about themselves
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            module, tuple(example.values()), str(path), input_names=list(example), output_names=["y"], **said
        )
        return path.read_bytes()

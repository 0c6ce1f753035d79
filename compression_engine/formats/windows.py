"""What a product or a convolution multiplies with its weight, as rows: a tensor as it is, or the windows that a kernel sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from compression_engine.formats.onnx_graph import attribute, integer

Array = NDArray[Any]


@dataclass(frozen=True)
class Window:
    """Sizes by spatial axis: of the kernel, its steps, the distances within it, and what is added before and behind."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    """First before every axis, then behind every axis, as ONNX has it."""

    @classmethod
    def of(cls, node: onnx.NodeProto, kernel: tuple[int, ...]) -> Window | None:
        """The windows of a Conv; None for those in groups, or whose padding depends on the input's size."""
        padding = attribute(node, "auto_pad")
        if integer(node, "group", 1) != 1 or (padding is not None and padding.s not in (b"NOTSET", b"VALID")):
            return None
        ones = (1,) * len(kernel)
        strides, dilations = _integers(node, "strides", ones), _integers(node, "dilations", ones)
        return cls(kernel, strides, dilations, _integers(node, "pads", (0,) * 2 * len(kernel)))

    def rows(self, array: Array) -> Iterator[Array]:
        """[windows, channels * kernel] for each entry of an array [n, channels, *spatial], in float64."""
        axes = len(self.kernel)
        spatial = tuple(range(1, axes + 1))
        sizes = tuple((size - 1) * step + 1 for size, step in zip(self.kernel, self.dilations, strict=True))
        added = [(0, 0), *zip(self.pads[:axes], self.pads[axes:], strict=True)]
        for entry in array:
            seen = sliding_window_view(np.pad(entry.astype(np.float64), added), sizes, axis=spatial)
            taken = (slice(None), *(slice(None, None, step) for step in (*self.strides, *self.dilations)))
            yield np.moveaxis(seen[taken], 0, axes).reshape(-1, len(entry) * int(np.prod(self.kernel)))


@dataclass(frozen=True)
class Source:
    """A tensor that a weight is multiplied with, and its windows where that is a convolution."""

    name: str
    window: Window | None = None


def _integers(node: onnx.NodeProto, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    found = attribute(node, name)
    return default if found is None else tuple(found.ints)

"""Resize and Upsample, axis by axis: nearest, linear and cubic, with the coordinates of the standard.

Operator sets from 9 on. Refused: antialias, exclude_outside, a region of interest, keeping the aspect ratio.
Source: the formulas of Resize in the ONNX standard; cubic convolution after Keys, "Cubic convolution interpolation for digital
image processing", 1981.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from compression_engine.training.operators.node import Builder, Node, Operation, lists

_BY_COORDINATES_SINCE = 11
_KNOWN = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners", "half_pixel_symmetric")
_Weighted = list[tuple[Tensor, Tensor | None]]
"""Places along an axis, each with the share that the number there has; None for all of it."""


def _resize(node: Node) -> Operation:
    old = node.opset < _BY_COORDINATES_SINCE or node.operator == "Upsample"
    mode = node.text("mode", "nearest")
    coordinates = "asymmetric" if old else node.text("coordinate_transformation_mode", "half_pixel")
    _check(node, mode, coordinates)
    nearest = node.text("nearest_mode", "round_prefer_floor")
    places: dict[str, Callable[[Tensor, int, float], _Weighted]] = {
        "nearest": lambda at, size, scale: [(_nearest(at, nearest if not old else _old(scale)).clamp(0, size - 1).long(), None)],
        "linear": lambda at, size, scale: _linear(at, size),
        "cubic": lambda at, size, scale: _cubic(at, size, node.number("cubic_coeff_a", -0.75)),
    }  # fmt: skip
    sizes_of, scales_of, axes = lists(node, "sizes", 3), _scales(node, 1 if old else 2), node.integers("axes")

    def resized(x: Tensor, *given: Tensor | None) -> Tensor:
        every = (x, *given)
        along = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in axes]
        scales, sizes = scales_of(every), sizes_of(every) if node.has(3) else None
        for index, axis in enumerate(along):
            size = x.shape[axis]
            wanted = sizes[index] if sizes else int(size * scales[index])
            scale = wanted / size if sizes else scales[index]
            if wanted == size and scale == 1.0:
                continue
            at = _sources(wanted, size, scale, coordinates).to(x.device)
            x = _taken(x, axis, places[mode](at, size, scale))
        return x

    return resized


def _check(node: Node, mode: str, coordinates: str) -> None:
    if mode not in ("nearest", "linear", "cubic"):
        raise node.refused(f"resizes in the mode {mode!r}")
    if coordinates not in _KNOWN:
        raise node.refused(f"takes its coordinates by {coordinates!r}")
    for setting in ("antialias", "exclude_outside"):
        if node.integer(setting, 0):
            raise node.refused(f"resizes with {setting}")
    if node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise node.refused("keeps the aspect ratio of what it resizes")


def _scales(node: Node, index: int) -> Callable[[tuple[Tensor | None, ...]], list[float]]:
    fixed = node.attributes.get("scales")
    known = node.value(index)
    if fixed is not None or known is not None:
        values = [float(one) for one in (fixed if fixed is not None else known.reshape(-1).tolist())]  # type: ignore[union-attr]
        return lambda every: values

    def scales(every: tuple[Tensor | None, ...]) -> list[float]:
        found = every[index] if index < len(every) else None
        return [] if found is None else [float(one) for one in found.reshape(-1).tolist()]

    return scales


def _sources(wanted: int, size: int, scale: float, how: str) -> Tensor:
    """Where in the input each place of the output lies; in single precision, as runtimes calculate it."""
    at = torch.arange(wanted, dtype=torch.float32)
    factor = torch.tensor(scale, dtype=torch.float32)
    if how == "asymmetric":
        return at / factor
    if how == "align_corners":
        return at * (size - 1) / (wanted - 1) if wanted > 1 else torch.zeros_like(at)
    if how == "pytorch_half_pixel" and wanted == 1:
        return torch.zeros_like(at)
    middle = (at + 0.5) / factor - 0.5
    if how == "half_pixel_symmetric":
        adjusted = wanted / (scale * size)
        return size / 2 * (1 - adjusted) + middle
    return middle


def _old(scale: float) -> str:
    return "floor" if scale >= 1 else "ceil"


def _nearest(at: Tensor, how: str) -> Tensor:
    if how == "floor":
        return at.floor()
    if how == "ceil":
        return at.ceil()
    return (at - 0.5).ceil() if how == "round_prefer_floor" else (at + 0.5).floor()


def _linear(at: Tensor, size: int) -> _Weighted:
    at = at.clamp(0, size - 1)
    low = at.floor().long()
    share = at - low
    return [(low, 1 - share), ((low + 1).clamp(max=size - 1), share)]


def _cubic(at: Tensor, size: int, a: float) -> _Weighted:
    low = at.floor()
    share = at - low
    found: _Weighted = []
    for step in (-1, 0, 1, 2):
        away = (share - step).abs()
        near = ((a + 2) * away - (a + 3)) * away * away + 1
        far = ((a * away - 5 * a) * away + 8 * a) * away - 4 * a
        found.append(((low.long() + step).clamp(0, size - 1), torch.where(away <= 1, near, far)))
    return found


def _taken(x: Tensor, axis: int, weighted: _Weighted) -> Tensor:
    shape = [1] * x.ndim
    shape[axis] = -1
    made: Tensor | None = None
    for places, share in weighted:
        part = x.index_select(axis, places)
        part = part if share is None else part * share.to(x.dtype).reshape(shape)
        made = part if made is None else made + part
    assert made is not None
    return made


OPERATORS: dict[str, Builder] = {"Resize": _resize, "Upsample": _resize}

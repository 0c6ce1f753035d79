"""Rounds weights and what flows in a network while it trains, to the numbers that onnxruntime's integer kernels will give.

How: `Network.overrides` puts each weight and each rounded tensor on its grid as it is read or made. Gradients go through rounding
as if it were not there and stop where the grid ends; scales are learned by their own gradients.
Sources: Bengio, Leonard and Courville, "Estimating or propagating gradients through stochastic neurons", 2013 (straight-through);
Esser et al., "Learned step size quantization", 2020 (gradients of scales); Jain et al., "Trained quantization thresholds", 2020
(scales are learned by their logarithm, so that one rate suits all of them).

Rules, those of the kernels (seen in onnxruntime 1.31.1, bit for bit on the layers of the tests):
- a tensor that enters is divided by its scale in float32 and rounded half to even, the zero point is added, and it is cut off;
- the sum of a layer is an integer, bias included, whose unit is scale of input times scale of weight, both as float32; it becomes a
  float32, is multiplied by the float32 of that unit through the scale of the answer, and rounded like the above;
- a product whose answer stays floats gives its integer, as float32, times that unit;
- a sum of two tensors is the first's integers times the ratio of its scale to the answer's, plus the second's likewise, plus what
  the zero points make together, in float32 with one rounding for each product with its sum;
- a bias is the nearest integer of that unit, found in float64.
A sum in float32 is recovered by dividing by its unit and rounding, which is exact while its error is below half a unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

LOG_RATE = 10.0
"""How much faster than weights the binary logarithms of scales are learned."""
_BIAS_MOST = 2**30
_TINY = float(torch.finfo(torch.float32).tiny)


@dataclass(frozen=True)
class Flow:
    """A tensor that is rounded to bytes: its scale to begin with, and its zero point, from 0 to 255."""

    scale: float
    zero: int

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the largest integer behind the subtraction of the zero point."""
        return -self.zero, 255 - self.zero


@dataclass(frozen=True)
class Kept:
    """A weight that is rounded: scales to begin with, which broadcast over it, and the least and the largest integer."""

    scale: Tensor
    bounds: tuple[int, int]


@dataclass(frozen=True)
class Summed:
    """A layer in integers, by the names of its tensors: `answer` is rounded where it is one of the flows. Channels are `axis`."""

    source: str
    weight: str
    bias: str | None
    answer: str
    axis: int


@dataclass(frozen=True)
class Added:
    """A sum of two tensors in integers: their names, the flows that have their scales, and the flow that the sum is."""

    left: str
    right: str
    left_flow: str
    right_flow: str
    answer: str


class FakeQuantization:
    """The grids of a network and what is learned of them; `attach` makes a network answer as it will in integers."""

    def __init__(
        self,
        flows: Mapping[str, Flow],
        kept: Mapping[str, Kept],
        layers: tuple[Summed, ...],
        weights: Mapping[str, Tensor],
        device: torch.device,
        sums: tuple[Added, ...] = (),
    ) -> None:
        self.flows, self.kept, self.layers, self._weights = flows, kept, layers, weights
        self._base = {_flow_name(name): torch.tensor([flow.scale], device=device) for name, flow in flows.items()}
        self._base |= {_weight_name(name): held.scale.to(device) for name, held in kept.items()}
        self.shifts = {name: torch.nn.Parameter(torch.zeros_like(base)) for name, base in self._base.items()}
        """How far the binary logarithm of each scale has moved."""
        self._sums, self._seen = sums, dict[str, Tensor]()
        self._by_weight: dict[str, list[Summed]] = {}
        for layer in layers:
            self._by_weight.setdefault(layer.weight, []).append(layer)

    def attach(self, network: Any) -> None:
        """Sets the overrides of a network whose tensors have these names."""
        made = {layer.answer for layer in self.layers}
        for name in self.kept:
            network.overrides[name] = self._of_weight(name)
        for name in self.flows:
            if name not in made:
                network.overrides[name] = self._of_flow(name)
        for layer in self.layers:
            network.overrides[layer.answer] = self._of_layer(layer)
            if layer.bias is not None:
                network.overrides[layer.bias] = self._of_bias(layer)
        for one in self._sums:
            network.overrides[one.answer] = self._of_sum(one)
        for name in {name for one in self._sums for name in (one.left, one.right)}:
            network.overrides[name] = self._watched(name, network.overrides.get(name))

    def flow_scale(self, name: str) -> Tensor:
        """The scale of a rounded tensor, float32 [1]."""
        return self._scale(_flow_name(name))

    def weight_scale(self, name: str) -> Tensor:
        """The scales of a weight, float32, in the shape in which they were given; wide enough for the biases of its layers."""
        scale = self._scale(_weight_name(name))
        for layer in self._by_weight.get(name, ()):
            if layer.bias is not None:
                with torch.no_grad():
                    bias = self._weights[layer.bias].float().abs().reshape(scale.shape)
                    least = bias / (self.flow_scale(layer.source) * _BIAS_MOST)
                scale = torch.maximum(scale, least)
        return scale

    def integers(self, name: str) -> Tensor:
        """What a weight is rounded to, as floats in its own shape."""
        weight = self._weights[name].detach()
        with torch.no_grad():
            return _integers(weight, self.weight_scale(name).detach(), self.kept[name].bounds)

    def _scale(self, name: str) -> Tensor:
        return (self._base[name] * torch.exp2(self.shifts[name])).clamp(min=_TINY)

    def _unit(self, layer: Summed) -> Tensor:
        """What one integer of a layer's sum stands for, float32 [channels]."""
        return (self.weight_scale(layer.weight).reshape(-1) * self.flow_scale(layer.source)).clamp(min=_TINY)

    def _of_weight(self, name: str) -> Callable[[Tensor], Tensor]:
        bounds = self.kept[name].bounds

        def rounded(weight: Tensor) -> Tensor:
            scale = self.weight_scale(name)
            return _on_grid(weight, scale, _integers(weight, scale, bounds), bounds)

        return rounded

    def _of_flow(self, name: str) -> Callable[[Tensor], Tensor]:
        bounds = self.flows[name].bounds

        def rounded(value: Tensor) -> Tensor:
            scale = self.flow_scale(name)
            return _on_grid(value, scale, _integers(value, scale, bounds), bounds)

        return rounded

    def _of_bias(self, layer: Summed) -> Callable[[Tensor], Tensor]:
        def rounded(bias: Tensor) -> Tensor:
            with torch.no_grad():
                unit = self._unit(layer).reshape(bias.shape).double()
                apart = (torch.round(bias.double() / unit) * unit).to(bias.dtype) - bias
            return bias + apart

        return rounded

    def _of_layer(self, layer: Summed) -> Callable[[Tensor], Tensor]:
        flow = self.flows.get(layer.answer)

        def answered(value: Tensor) -> Tensor:
            shape = [1] * value.ndim
            shape[layer.axis] = -1
            with torch.no_grad():
                unit = self._unit(layer).reshape(shape)
                total = torch.round(value / unit.to(value.dtype)).float()
            if flow is None:
                return value + ((total * unit).to(value.dtype) - value).detach()
            scale, bounds = self.flow_scale(layer.answer), flow.bounds
            with torch.no_grad():
                integers = torch.round(total * (unit / scale)).clamp(*bounds)
            return _on_grid(value, scale, integers, bounds)

        return answered

    def _watched(self, name: str, before: Callable[[Tensor], Tensor] | None) -> Callable[[Tensor], Tensor]:
        """Keeps a tensor for the sum that it goes into."""

        def seen(value: Tensor) -> Tensor:
            value = value if before is None else before(value)
            self._seen[name] = value.detach()
            return value

        return seen

    def _of_sum(self, one: Added) -> Callable[[Tensor], Tensor]:
        flow, left, right = (self.flows[name] for name in (one.answer, one.left_flow, one.right_flow))

        def summed(value: Tensor) -> Tensor:
            scale = self.flow_scale(one.answer)
            with torch.no_grad():
                by_left, by_right = (self.flow_scale(name) / scale for name in (one.left_flow, one.right_flow))
                total = (flow.zero - (by_left * left.zero + by_right * right.zero)).double()
                for name, flow_name, ratio, zero in (
                    (one.right, one.right_flow, by_right, right.zero),
                    (one.left, one.left_flow, by_left, left.zero),
                ):
                    integers = torch.round(self._seen[name] / self.flow_scale(flow_name)) + zero
                    # a product of 8 and 24 bits is exact in float64, so that one rounding is left, as in the kernel
                    total = (integers.double() * ratio.double() + total).float().double()
                integers = (torch.round(total) - flow.zero).clamp(*flow.bounds).float()
            return _on_grid(value, scale, integers, flow.bounds)

        return summed


class _Rounding(torch.autograd.Function):  # type: ignore[misc]
    """Integers times their scale; gradients as if the value had not been rounded, and those of the scale."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, scale: Tensor, integers: Tensor, bounds: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(value, scale, integers)
        ctx.bounds = bounds
        # numbers stand for themselves in float32, which is what kernels expand them to
        return (integers * scale).to(value.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        value, scale, integers = ctx.saved_tensors
        low, high = ctx.bounds
        ratio = value / scale
        inside = (ratio >= low) & (ratio <= high)
        of_value = gradient * inside if ctx.needs_input_grad[0] else None
        of_scale = None
        if ctx.needs_input_grad[1]:
            apart = torch.where(inside, integers - ratio, integers)
            count = value.numel() / scale.numel()
            gain = 1.0 / math.sqrt(max(1.0, count * max(-low, high)))
            of_scale = (gradient * apart).sum_to_size(scale.shape).to(scale.dtype) * gain
        return of_value, of_scale, None, None


def _on_grid(value: Tensor, scale: Tensor, integers: Tensor, bounds: tuple[int, int]) -> Tensor:
    found: Tensor = _Rounding.apply(value, scale, integers, bounds)
    return found


def _integers(value: Tensor, scale: Tensor, bounds: tuple[int, int]) -> Tensor:
    with torch.no_grad():
        return torch.round(value.detach().float() / scale.detach()).clamp(*bounds)


def _flow_name(name: str) -> str:
    return f"flow/{name}"


def _weight_name(name: str) -> str:
    return f"scale/{name}"

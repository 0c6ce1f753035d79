"""Operators that choose numbers by their places, or make places and sequences of numbers: gathering, scattering, ranges, sorting.

What gives places (ArgMax, TopK's second output, NonZero) has no gradient, and needs none.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from compression_engine.training.operators.node import Builder, Node, Operation, lists


def _inside(places: Tensor, size: int) -> Tensor:
    """Places from the end, as negative numbers, become places from the beginning."""
    places = places.long()
    return torch.where(places < 0, places + size, places)


def _gather(node: Node) -> Operation:
    axis, fixed = node.integer("axis", 0), node.value(1)
    if fixed is not None and fixed.ndim == 0:
        place = int(fixed.item())
        return lambda x, places: x.select(axis, place)

    def taken(x: Tensor, places: Tensor) -> Tensor:
        first = axis % x.ndim
        places = _inside(places, x.shape[first])
        if first == 0 and x.ndim == 2 and x.is_floating_point():
            return functional.embedding(places, x)
        made = x.index_select(first, places.reshape(-1))
        return made.reshape((*x.shape[:first], *places.shape, *x.shape[first + 1 :]))

    return taken


def _gather_elements(node: Node) -> Operation:
    axis = node.integer("axis", 0)
    return lambda x, places: torch.gather(x, axis, _inside(places, x.shape[axis]))


def _gather_nd(node: Node) -> Operation:
    batch = node.integer("batch_dims", 0)

    def taken(x: Tensor, places: Tensor) -> Tensor:
        places, depth = places.long(), places.shape[-1]
        shape = x.shape[:batch]
        flat = x.reshape(-1, *x.shape[batch:])
        at = places.reshape(flat.shape[0], -1, depth)
        rows = torch.arange(flat.shape[0], device=x.device).unsqueeze(1).expand(at.shape[:2])
        found = flat[(rows, *(at[..., axis] for axis in range(depth)))]
        return found.reshape((*shape, *places.shape[batch:-1], *x.shape[batch + depth :]))

    return taken


_REDUCED = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def _scatter_elements(node: Node) -> Operation:
    axis, how = node.integer("axis", 0), node.text("reduction", "none")

    def put(x: Tensor, places: Tensor, updates: Tensor) -> Tensor:
        places = _inside(places, x.shape[axis])
        if how == "none":
            return x.scatter(axis, places, updates)
        return x.scatter_reduce(axis, places, updates, _REDUCED[how])

    return put


def _scatter_nd(node: Node) -> Operation:
    how = node.text("reduction", "none")
    if how not in ("none", "add"):
        raise node.refused(f"scatters with the reduction {how!r}")

    def put(x: Tensor, places: Tensor, updates: Tensor) -> Tensor:
        at = tuple(_inside(part, x.shape[axis]) for axis, part in enumerate(places.unbind(-1)))
        return x.index_put(at, updates, accumulate=how == "add")

    return put


def _one_hot(node: Node) -> Operation:
    axis = node.integer("axis", -1)

    def hot(places: Tensor, depth: Tensor, values: Tensor) -> Tensor:
        count = int(depth.reshape(-1)[0].item())
        places = _inside(places, count)
        known = (places >= 0) & (places < count)
        seen = functional.one_hot(torch.where(known, places, 0), count).bool() & known.unsqueeze(-1)
        made = torch.where(seen, values[1], values[0])
        return made.movedim(-1, axis)

    return hot


def _top(node: Node) -> Operation:
    axis, largest = node.integer("axis", -1), bool(node.integer("largest", 1))
    fixed = node.attributes.get("k")

    def best(x: Tensor, *given: Tensor) -> Any:
        count = int(fixed) if fixed is not None else int(given[0].reshape(-1)[0].item())
        # a stable order puts the lower place first where numbers are equal, as the standard wants
        values, places = torch.sort(x, dim=axis, descending=largest, stable=True)
        return values.narrow(axis, 0, count), places.narrow(axis, 0, count)

    return best


def _extreme(largest: bool) -> Builder:
    def build(node: Node) -> Operation:
        axis, kept = node.integer("axis", 0), bool(node.integer("keepdims", 1))
        last = bool(node.integer("select_last_index", 0))

        def place(x: Tensor) -> Tensor:
            x = x.detach()
            x = x.flip(axis) if last else x
            extreme = x.amax(axis, keepdim=True) if largest else x.amin(axis, keepdim=True)
            found = (x == extreme).to(torch.int8).argmax(axis, keepdim=kept)
            return x.shape[axis] - 1 - found if last else found

        return place

    return build


def _cumulated(node: Node) -> Operation:
    backwards, without = bool(node.integer("reverse", 0)), bool(node.integer("exclusive", 0))

    def summed(x: Tensor, axis: Tensor) -> Tensor:
        along = int(axis.reshape(-1)[0].item()) % x.ndim
        turned = x.flip(along) if backwards else x
        made = turned.cumsum(along, dtype=x.dtype)
        made = made - turned if without else made
        return made.flip(along) if backwards else made

    return summed


def _range(node: Node) -> Operation:
    def numbers(start: Tensor, limit: Tensor, step: Tensor) -> Tensor:
        count = max(0, int(torch.ceil((limit.double() - start.double()) / step.double()).item()))
        return start + step * torch.arange(count, dtype=start.dtype, device=start.device)

    return numbers


def _constant_of_shape(node: Node) -> Operation:
    from onnx import numpy_helper

    value, sizes_of = node.attributes.get("value"), lists(node, "shape", 0)
    number = 0.0 if value is None else numpy_helper.to_array(value).reshape(-1)[0].item()
    kind = node.type_of(1 if value is None else value.data_type)
    return lambda *given: torch.full(sizes_of(given) or [], number, dtype=kind)


def _eye_like(node: Node) -> Operation:
    kind, shift = node.attributes.get("dtype"), node.integer("k", 0)

    def eye(x: Tensor) -> Tensor:
        ones = torch.ones(tuple(x.shape), dtype=torch.bool, device=x.device)
        return ones.tril(shift).triu(shift).to(x.dtype if kind is None else node.type_of(kind))

    return eye


def _triangle(node: Node) -> Operation:
    upper, fixed = bool(node.integer("upper", 1)), node.value(1)
    shift = 0 if not node.has(1) else None if fixed is None else int(fixed.item())

    def kept(x: Tensor, *given: Tensor | None) -> Tensor:
        diagonal = shift if shift is not None else int(given[0].item())  # type: ignore[union-attr]
        return x.triu(diagonal) if upper else x.tril(diagonal)

    return kept


def _compress(node: Node) -> Operation:
    axis = node.attributes.get("axis")

    def kept(x: Tensor, condition: Tensor) -> Tensor:
        places = condition.nonzero().reshape(-1)
        return x.reshape(-1).index_select(0, places) if axis is None else x.index_select(axis, places)

    return kept


def _backwards(node: Node) -> Operation:
    batch, time = node.integer("batch_axis", 1), node.integer("time_axis", 0)

    def turned(x: Tensor, lengths: Tensor) -> Tensor:
        steps = torch.arange(x.shape[time], device=x.device)
        lengths = lengths.to(x.device).long().unsqueeze(1)
        places = torch.where(steps < lengths, lengths - 1 - steps, steps)
        places = places if batch == 0 else places.t()
        return torch.gather(x, time, places.reshape(*places.shape, *[1] * (x.ndim - 2)).expand(x.shape))

    return turned


OPERATORS: dict[str, Builder] = {
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "OneHot": _one_hot,
    "TopK": _top,
    "ArgMax": _extreme(True),
    "ArgMin": _extreme(False),
    "CumSum": _cumulated,
    "Range": _range,
    "ConstantOfShape": _constant_of_shape,
    "EyeLike": _eye_like,
    "Trilu": _triangle,
    "NonZero": lambda node: lambda x: x.nonzero().t(),
    "Compress": _compress,
    "ReverseSequence": _backwards,
}

"""Inputs moved a little so that answers become as wrong as they can: projected gradients (Madry et al. 2018).

Rules:
- only real numbers are moved: inputs of floats that are no masks and have rows; whole numbers beside them (categories, tokens)
  stay, and models of texts or of whole numbers alone are refused, since between two tokens there is nothing to move to;
- how far: a share of the range that the numbers have in the rows, over the whole input or place by place (`Rooms.of`); none leaves
  that range;
- the greatest move of any one number counts (L-infinity): every number goes along the sign of its gradient, is cut back to what is
  allowed, and begins at a place drawn evenly from it;
- draws come from numpy and are handed in, so that they are the same on every device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from compression_engine.canonical import shown
from compression_engine.data import Array, Encoder, ModelInput
from compression_engine.data.mapped import blocks
from compression_engine.errors import EngineError, RecipeError
from compression_engine.training.device import deterministic_or_told

if TYPE_CHECKING:
    from torch import Tensor

AUTOMATIC, INPUT, FEATURE = "automatic", "input", "feature"
SCALES = (AUTOMATIC, INPUT, FEATURE)
_TOKENS = "input_ids"
_MASK = "attention_mask"
_TABLE_AXES = 2
_TOLD_MOST = 5
_STEP_SHARE, _STEP_MOST = 2.5, 1.25
"""All steps together are so many times the allowed way, one is at most so much of it (Madry et al. 2018; Wong et al. 2020)."""


@dataclass(frozen=True)
class Room:
    """How far the numbers of one input may be moved; all three broadcast to [rows, ...]."""

    radius: Tensor
    low: Tensor
    high: Tensor


@dataclass(frozen=True)
class Rooms:
    """The inputs that are moved, by name, in the order of the model."""

    by_input: Mapping[str, Room]
    told: Sequence[str]
    """For each input what its range is and how it was taken, in words."""

    @classmethod
    def of(cls, encoder: Encoder, epsilon: float, scale: str = AUTOMATIC, device: str = "cpu") -> Rooms:
        """Rooms of `epsilon` times the range that each input's numbers have in the encoder's rows.

        `scale`: `input` takes one range for all numbers of an input, `feature` one for each place of a row, `automatic` the latter
        for tables ([rows, features]) and the former else. Raises RecipeError (recipe_does_not_fit) where there is nothing to move.
        """
        import torch

        found: dict[str, Room] = {}
        told = []
        for entry in movable(encoder):
            array = encoder.rows.arrays[entry.name]
            by_feature = scale == FEATURE or (scale == AUTOMATIC and array.ndim <= _TABLE_AXES)
            low, high = _range(array, by_feature=by_feature)
            if (high > low).any():
                sides = [torch.from_numpy(side).to(device) for side in (epsilon * (high - low), low, high)]
                found[entry.name] = Room(*sides)
                kind = "place by place" if by_feature else "over all its numbers"
                told.append(
                    f"{shown(entry.name)}: {epsilon:g} of its range from {low.min():g} to {high.max():g}, {kind}"
                )
        if not found:
            hint = "Give rows whose inputs differ, or train without adversarial_percent."
            raise _refused("The numbers of every input are the same in all rows, so none can be moved.", hint)
        left = len(told) - _TOLD_MOST
        return cls(found, told[:_TOLD_MOST] + ([f"and {left} more inputs"] if left > 0 else []))


def movable(encoder: Encoder) -> list[ModelInput]:
    """The inputs whose numbers can be moved; RecipeError (recipe_does_not_fit) where there are none, saying why."""
    hint = "Only real numbers can be moved: pictures, sound, tables. Train without adversarial_percent."
    if len(encoder.rows.texts):
        raise _refused("The model reads texts, and between two tokens there is nothing to move to.", hint)
    if encoder.plan.states:
        raise _refused("The model carries a state from row to row; moved rows are not carried along sequences.", hint)
    found = [
        entry
        for entry in encoder.inputs
        if entry.dtype.kind == "f" and entry.shape != () and entry.name != _MASK and entry.name in encoder.rows.arrays
    ]
    if not found and any(entry.name == _TOKENS for entry in encoder.inputs):
        raise _refused(
            f"The model reads {_TOKENS}, numbers of tokens, between which there is nothing to move to.", hint
        )
    if not found:
        raise _refused("No input of the model holds real numbers.", hint)
    return found


def moved(
    value: Callable[[Mapping[str, Tensor]], Tensor],
    feed: Mapping[str, Tensor],
    rooms: Rooms,
    steps: int,
    draw: np.random.Generator,
) -> dict[str, Tensor]:
    """The inputs of `rooms`, moved so that `value(feed)`, one number, grows; `steps` times along the sign of the gradient.

    `value` gives the sum or mean over rows that do not see each other. Raises EngineError (cannot_be_trained) where no answer
    depends on them.
    """
    import torch

    clean = {name: feed[name] for name in rooms.by_input}
    found = {name: _begun(clean[name], room, draw) for name, room in rooms.by_input.items()}
    step = min(_STEP_MOST, _STEP_SHARE / steps)
    for _ in range(steps):
        leaves = {name: given.detach().requires_grad_() for name, given in found.items()}
        with torch.enable_grad():
            gradients = gradients_of(value({**feed, **leaves}), leaves)
        with torch.no_grad():
            found = {
                name: _within(leaves[name] + step * room.radius * gradients[name].sign(), clean[name], room)
                for name, room in rooms.by_input.items()
            }
    return found


def _range(array: Array, *, by_feature: bool) -> tuple[Array, Array]:
    """The least and the greatest number, [1, ...] by feature, else of one number with as many axes; float32."""
    axes = 0 if by_feature else tuple(range(array.ndim))
    lows, highs = zip(*((array[part].min(axes), array[part].max(axes)) for part in blocks(array)), strict=True)
    shape = (1, *array.shape[1:]) if by_feature else (1,) * array.ndim
    low, high = np.min(lows, axis=0).reshape(shape), np.max(highs, axis=0).reshape(shape)
    return low.astype(np.float32), high.astype(np.float32)


def _begun(clean: Tensor, room: Room, draw: np.random.Generator) -> Tensor:
    import torch

    drawn = torch.from_numpy(2 * draw.random(tuple(clean.shape), dtype=np.float32) - 1).to(clean.device)
    return _within(clean + drawn * room.radius, clean, room)


def _within(found: Tensor, clean: Tensor, room: Room) -> Tensor:
    """Cut back to what is allowed; a number that was outside of the range before is not drawn into it."""
    import torch

    near = torch.minimum(torch.maximum(found, clean - room.radius), clean + room.radius)
    low, high = torch.minimum(room.low, clean), torch.maximum(room.high, clean)
    return torch.minimum(torch.maximum(near, low), high).to(clean.dtype)


def gradients_of(value: Tensor, leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of one number, by input. Raises EngineError (cannot_be_trained) where it depends on none of them."""
    import torch

    if value.requires_grad:
        with deterministic_or_told():
            found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
        if any(gradient is not None for gradient in found):
            pairs = zip(leaves.items(), found, strict=True)
            return {name: torch.zeros_like(leaf) if one is None else one for (name, leaf), one in pairs}
    hint = "Train without adversarial_percent."
    raise EngineError("cannot_be_trained", "No gradient of the answers reaches the inputs, so none can be moved.", hint)


def _refused(message: str, hint: str) -> RecipeError:
    return RecipeError("recipe_does_not_fit", message, hint)

"""How rows go through a network while it is trained: batch by batch, cut down to the rows that count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from compression_engine.data.rows import Indices
from compression_engine.training.material import Batch, Parts, Taught

if TYPE_CHECKING:
    import torch

    Outputs = dict[str, torch.Tensor]


class Trainable(Protocol):
    """What can be trained: weights by name, and answers that depend on them."""

    @property
    def weights(self) -> Mapping[str, torch.nn.Parameter]: ...
    def __call__(self, feed: Mapping[str, torch.Tensor], taps: Sequence[str] = ()) -> dict[str, torch.Tensor]: ...


@dataclass(frozen=True)
class Portion:
    """The rows that weights are moved by at once; `steps` are the rows of sequences side by side and how many count."""

    rows: Indices
    steps: Sequence[tuple[Indices, int]] = ()
    begins: bool = True
    """Whether nothing is carried into it from the portion before."""
    ends: bool = True
    """Whether nothing is carried from it into the next."""


class Feeding(Protocol):
    """The rows of an epoch in the portions after each of which weights are moved."""

    def updates(self, phase: int, epoch: int) -> Sequence[Portion]:
        """The learning rows of an epoch, in the order in which they are learned from."""

    def held_out(self) -> Sequence[Portion]:
        """The validation rows."""

    def answers(self, portion: Portion) -> Iterator[tuple[Outputs, Batch]]:
        """What the network answers to a portion, in one or several pieces; their rows together are the portion's."""


class RowByRow:
    """Rows that stand alone."""

    def __init__(
        self, network: Trainable, parts: Parts, batch_size: int, taught: Taught | None, taps: Sequence[str]
    ) -> None:
        self._network, self._parts, self._taught, self._taps = network, parts, taught, tuple(taps)
        self._batch_size = batch_size

    def updates(self, phase: int, epoch: int) -> Sequence[Portion]:
        """Batches in an order drawn for this epoch."""
        return [Portion(rows) for rows in self._parts.order(self._batch_size, phase, epoch)]

    def held_out(self) -> Sequence[Portion]:
        """Batches in a fixed order."""
        return [Portion(rows) for rows in self._parts.held_out(self._batch_size)]

    def answers(self, portion: Portion) -> Iterator[tuple[Outputs, Batch]]:
        """The whole batch at once, or as many rows as the model's fixed first dimension wants."""
        for batch in self._parts.pieces(portion.rows, self._parts.training.device, self._taught):
            yield cut(self._network(batch.feed, self._taps), len(batch.rows), self._parts.encoder.fixed_rows), batch


def cut(outputs: Outputs, count: int, filled: int | None) -> Outputs:
    """The outputs without the rows that only fill up a fixed first dimension of `filled` rows; None: there is none."""
    if filled is None or count == filled:
        return outputs
    return {
        name: value[:count] if value.ndim and value.shape[0] == filled else value for name, value in outputs.items()
    }

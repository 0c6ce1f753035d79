"""How rows go through a network while it is trained: batch by batch, cut down to the rows that count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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


class Feeding(Protocol):
    """The rows of an epoch in the portions after each of which weights are moved."""

    def updates(self, phase: int, epoch: int) -> Sequence[Indices]:
        """The learning rows of an epoch, in the order in which they are learned from."""

    def held_out(self) -> Sequence[Indices]:
        """The validation rows."""

    def answers(self, rows: Indices) -> Iterator[tuple[Outputs, Batch]]:
        """What the network answers to a portion, in one or several pieces; their rows together are the portion's."""

    def may_rest(self) -> bool:
        """Whether training can go on from here later: nothing is carried from the last portion to the next."""


class RowByRow:
    """Rows that stand alone."""

    def __init__(
        self, network: Trainable, parts: Parts, batch_size: int, taught: Taught | None, taps: Sequence[str]
    ) -> None:
        self._network, self._parts, self._taught, self._taps = network, parts, taught, tuple(taps)
        self._batch_size = batch_size

    def updates(self, phase: int, epoch: int) -> Sequence[Indices]:
        """Batches in an order drawn for this epoch."""
        return self._parts.order(self._batch_size, phase, epoch)

    def held_out(self) -> Sequence[Indices]:
        """Batches in a fixed order."""
        return self._parts.held_out(self._batch_size)

    def answers(self, rows: Indices) -> Iterator[tuple[Outputs, Batch]]:
        """The whole batch at once, or as many rows as the model's fixed first dimension wants."""
        for batch in self._parts.pieces(rows, self._parts.training.device, self._taught):
            yield cut(self._network(batch.feed, self._taps), len(batch.rows), self._parts.encoder.fixed_rows), batch

    def may_rest(self) -> bool:
        """Always: rows know nothing of each other."""
        return True


def cut(outputs: Outputs, count: int, filled: int | None) -> Outputs:
    """The outputs without the rows that only fill up a fixed first dimension of `filled` rows; None: there is none."""
    if filled is None or count == filled:
        return outputs
    return {
        name: value[:count] if value.ndim and value.shape[0] == filled else value for name, value in outputs.items()
    }

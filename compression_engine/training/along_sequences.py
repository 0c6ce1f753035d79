"""How the rows of a recurrent model go through it while it is trained: along whole sequences, its state carried from row to row.

Rules:
- a sequence begins with a state of zeros, as in an evaluation, and is run from its first row to its last;
- some sequences run side by side; weights are moved after every 32 rows of each (fewer where the batch is smaller). Gradients reach
  back to the beginning of such a stretch, the state further: backpropagation through time, truncated (Williams and Peng 1990);
- a sequence that ends before the others is run on and not looked at;
- a training rests (and can be gone on with) only where no state is carried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from compression_engine.data.rows import Indices
from compression_engine.errors import DataError
from compression_engine.training.feeding import Feeding, Portion, RowByRow, Trainable
from compression_engine.training.material import Batch, Parts, Taught, plain

if TYPE_CHECKING:
    import torch

    from compression_engine.training.feeding import Outputs

STRETCH_ROWS = 32


@dataclass(frozen=True)
class _Span:
    """The rows of one sequence, from the first on, before the last."""

    begin: int
    end: int


def feeding_of(
    network: Trainable, parts: Parts, batch_size: int, taught: Taught | None = None, taps: Sequence[str] = ()
) -> Feeding:
    """Along sequences where the plan's states go, else row by row. Raises as `AlongSequences` does."""
    kind = AlongSequences if parts.training.plan.states else RowByRow
    return kind(network, parts, batch_size, taught, taps)


class AlongSequences:
    """Rows of sequences along which the plan's states go."""

    def __init__(
        self, network: Trainable, parts: Parts, batch_size: int, taught: Taught | None, taps: Sequence[str]
    ) -> None:
        """Raises DataError (data_does_not_fit) where the rows name no sequences."""
        if parts.sequences is None:
            hint = "Name the column of sequences in the plan, and give it with the training rows."
            raise DataError("data_does_not_fit", "The model carries a state, and the rows name no sequences.", hint)
        self._network, self._parts, self._taught, self._taps = network, parts, taught, tuple(taps)
        self._stretch = min(STRETCH_ROWS, batch_size)
        self._width = parts.encoder.fixed_rows or max(1, batch_size // self._stretch)
        self._carried: dict[str, torch.Tensor] = {}

    def updates(self, phase: int, epoch: int) -> Sequence[Portion]:
        """Stretches of the sequences that are learned from, which are drawn anew for this epoch."""
        training = self._parts.training
        draw = np.random.default_rng([training.seed, training.step, phase, epoch])
        spans = self._spans(self._parts.learning)
        return self._portions([spans[place] for place in draw.permutation(len(spans))])

    def held_out(self) -> Sequence[Portion]:
        """Stretches of the sequences that are held out, in their order."""
        return self._portions(self._spans(self._parts.validation))

    def answers(self, portion: Portion) -> Iterator[tuple[Outputs, Batch]]:
        """What the network answers to a stretch, the rows of each step behind those of the step before."""
        import torch

        if portion.begins:
            self._carried = {}
        found: dict[str, list[torch.Tensor]] = {}
        for number, (rows, count) in enumerate(portion.steps):
            for name, value in self._stepped(rows, begins=portion.begins and number == 0).items():
                found.setdefault(name, []).append(value[:count])
        self._carried = {name: value.detach() for name, value in self._carried.items()}
        device = self._parts.training.device
        yield (
            {name: torch.cat(values) for name, values in found.items()},
            self._parts.unfed(portion.rows, device, self._taught),
        )

    def _stepped(self, rows: Indices, *, begins: bool) -> Outputs:
        """One row of each sequence; keeps the states for the next."""
        import torch

        device = self._parts.training.device
        feed = {
            name: torch.tensor(plain(array)).to(device)
            for name, array in self._parts.encoder.batch(rows.tolist(), begins=begins).items()
        }
        outputs = self._network({**feed, **self._carried}, self._taps)
        states = self._parts.training.plan.states
        self._carried = {state.input: outputs[state.output] for state in states}
        inner = {state.output for state in states} - {self._parts.training.plan.output}
        return {name: value for name, value in outputs.items() if name not in inner and value.shape[:1] == rows.shape}

    def _spans(self, rows: Indices) -> list[_Span]:
        """The sequences whose rows these are; all of a sequence's are among them."""
        assert self._parts.sequences is not None
        numbers = self._parts.sequences
        starts = np.flatnonzero(np.diff(numbers, prepend=numbers[:1] - 1))
        ends = np.append(starts[1:], len(numbers))
        wanted = np.isin(starts, rows)
        return [_Span(int(start), int(end)) for start, end in zip(starts[wanted], ends[wanted], strict=True)]

    def _portions(self, spans: Sequence[_Span]) -> list[Portion]:
        """Stretches of sequences side by side, the longest first: those that have ended are the last."""
        found: list[Portion] = []
        for first in range(0, len(spans), self._width):
            group = sorted(spans[first : first + self._width], key=lambda span: span.begin - span.end)
            longest = group[0].end - group[0].begin
            for start in range(0, longest, self._stretch):
                end = min(start + self._stretch, longest)
                steps = [self._step(group, place) for place in range(start, end)]
                rows = np.concatenate([fed[:count] for fed, count in steps])
                found.append(Portion(rows, steps, begins=start == 0, ends=end == longest))
        return found

    def _step(self, group: Sequence[_Span], place: int) -> tuple[Indices, int]:
        """The rows at this place of each sequence, and how many of them, the first, there are."""
        fed = [min(span.begin + place, span.end - 1) for span in group]
        count = sum(span.begin + place < span.end for span in group)
        fed += fed[-1:] * ((self._parts.encoder.fixed_rows or len(fed)) - len(fed))
        return np.array(fed, dtype=np.int64), count

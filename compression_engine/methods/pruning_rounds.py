"""Rounds of pruning: a part goes, what is left is trained, and so on, until a round loses more than it may.

How: what is gone grows along a cubic; each round is a training of its own, with the whole schedule of learning rates begun anew
(Renda, Frankle and Carbin, "Comparing rewinding and fine-tuning in neural network pruning", ICLR 2020: rewinding of the learning
rate). What a round does is its method's own (`Pruning`).

Rules:
- after a round the rows that are held out are answered, which no round learns from, and what is lost is told and held against the
  limit (`pruning_judging`);
- a round that loses more than the limit ends the work, and the round before it is the outcome; where the first one does, there is
  none (budget_broken);
- every round is told with what it loses, on how many rows, and what its method says of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

from compression_engine.canonical import JSON
from compression_engine.errors import EngineError
from compression_engine.methods.pruning_judging import Lost
from compression_engine.progress import Progress
from compression_engine.recipe import Value, integer_of

STAGE = "prune"
_State = TypeVar("_State")


def cubic(round_number: int, rounds: int, per_mille: int) -> int:
    """What is gone after a round (from 1), in thousandths: much at first, little at last, all of it after the last round.

    Source: Zhu and Gupta, "To prune, or not to prune", 2017; begun from nothing.
    """
    left = rounds - round_number
    return per_mille - per_mille * left**3 // rounds**3


class Pruning(Protocol[_State]):
    """A method's own part of a round."""

    def go(self, number: int, said: str) -> tuple[Lost, dict[str, JSON]]:
        """Prunes and trains; what is lost then, and what is told of the round. `said` begins with the number, for progress."""

    def state(self) -> _State:
        """What is there now, kept aside."""

    def restore(self, state: _State) -> None:
        """Puts back what was kept aside."""


def in_rounds(pruning: Pruning[_State], parameters: Mapping[str, Value], method: str, progress: Progress) -> list[JSON]:
    """All rounds, or as many as keep the limit: what is told of each; the model is as the last of these left it.

    Raises EngineError (budget_broken) and what training raises.
    """
    count, limit = integer_of(parameters["rounds"]), integer_of(parameters["most_loss_per_mille"])
    told: list[JSON] = []
    held = pruning.state()
    for number in range(1, count + 1):
        lost, record = pruning.go(number, f"round {number}")
        progress(STAGE, number, count, f"round {number}: {lost.per_mille:.1f} of 1,000 lost ({lost.measure})")
        kept = lost.per_mille <= limit
        told.append({**record, "kept": kept, "lost": lost.document(), "round": number})
        if not kept:
            pruning.restore(held)
            if number == 1:
                raise _broken(method, lost, limit)
            progress(STAGE, number, count, "lost more than it may; the round before it is the outcome")
            break
        if number < count:
            held = pruning.state()
    return told


def _broken(method: str, lost: Lost, limit: int) -> EngineError:
    hint = "Ask for less, for more rounds or for more epochs in each, or allow more; with more rows the loss is known better."
    message = (
        f"The first round of {method} loses {lost.per_mille:.1f} of 1,000 ({lost.measure}, {lost.rows:,} rows), "
        f"and {limit} is allowed."
    )
    return EngineError("budget_broken", message, hint)

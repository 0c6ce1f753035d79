"""An adversarial share of the loss: rows that are moved against the model while it learns, so that it stands such rows later.

Rules:
- a share of the loss is of rows that were moved a little (`disturbing`), the rest of the rows as they are; held-out rows are judged
  by the same mixture, so that what is kept is best in both;
- what is asked of a moved row: `loss` asks what is asked of the row itself, its label (Madry et al. 2018) or its teacher's answer
  (Goldblum et al. 2020); `answers` that it is answered as the row itself is (TRADES, Zhang et al. 2019), which needs neither;
- where a row begins is drawn by the seed, the step and the rows of its batch and by nothing else: an attempt that goes on after a
  kill draws the same, and held-out rows begin at the same places after every epoch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from compression_engine.canonical import JSON
from compression_engine.recipe import Value, integer_of
from compression_engine.training.disturbing import AUTOMATIC, Rooms, moved
from compression_engine.training.feeding import Trainable, cut
from compression_engine.training.losses import Answer, FromTeacher, Loss
from compression_engine.training.material import Batch, Parts

if TYPE_CHECKING:
    import torch
    from torch import Tensor

OF_LOSS, OF_ANSWERS = "loss", "answers"
ASKED = (OF_LOSS, OF_ANSWERS)


@dataclass(frozen=True)
class Attack:
    """How rows are moved while a model learns; `share` is that of the loss, `epsilon` that of the inputs' range."""

    share: float
    epsilon: float
    steps: int
    scale: str = AUTOMATIC
    asked: str = OF_LOSS


def attack_of(parameters: Mapping[str, Value]) -> Attack | None:
    """What a step's parameters ask for; None where they ask for none."""
    share = integer_of(parameters.get("adversarial_percent", 0))
    if not share:
        return None
    return Attack(
        share / 100,
        integer_of(parameters["adversarial_epsilon_per_mille"]) / 1000,
        integer_of(parameters["adversarial_steps"]),
        str(parameters["adversarial_scale"]),
        str(parameters["adversarial_asks"]),
    )


@dataclass(frozen=True)
class Adversarial:
    """A loss with its adversarial share; `loss` is of the rows as they are."""

    loss: Loss
    attack: Attack
    network: Trainable
    parts: Parts
    rooms: Rooms
    same: FromTeacher
    """How far answers are from those to the rows as they are."""
    taps: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        """Looks at what the loss looks at."""
        object.__setattr__(self, "taps", self.loss.taps)

    def parameters(self) -> Sequence[torch.nn.Parameter]:
        """Those of the loss."""
        return self.loss.parameters()

    def counts(self, batch: Batch) -> int:
        """As the loss says."""
        return self.loss.counts(batch)

    def __call__(self, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The mixture. Raises as the loss does, and as `disturbing.moved`."""
        plain = self.loss(outputs, batch)
        held = {answer.name: outputs[answer.name][: len(batch.rows)] for answer in self.same.answers}
        fixed = {name: value.detach() for name, value in held.items()}
        found = moved(
            lambda feed: self._hard(feed, batch, fixed), batch.feed, self.rooms, self.attack.steps, self._draw(batch)
        )
        return (1 - self.attack.share) * plain + self.attack.share * self._hard({**batch.feed, **found}, batch, held)

    def _hard(self, feed: Mapping[str, Tensor], batch: Batch, held: Mapping[str, Tensor]) -> Tensor:
        """What is asked of moved rows; `held` are the answers to the rows as they are."""
        answers = cut(self.network(feed, self.taps), len(batch.rows), self.parts.encoder.fixed_rows)
        if self.attack.asked == OF_LOSS:
            return self.loss(answers, batch)
        return self.same(answers, replace(batch, taught=held))

    def _draw(self, batch: Batch) -> np.random.Generator:
        training = self.parts.training
        rows = hashlib.sha256(np.ascontiguousarray(batch.rows, dtype="<i8").tobytes()).digest()
        return np.random.default_rng([training.seed, training.step, int.from_bytes(rows[:16], "big")])

    def document(self) -> dict[str, JSON]:
        """What the rows were moved by, as RESULT.json holds it; shares are text."""
        return {
            "asks": self.attack.asked,
            "epsilon": f"{self.attack.epsilon:g}",
            "ranges": list(self.rooms.told),
            "share": f"{self.attack.share:g}",
            "steps": self.attack.steps,
        }


def adversarial(loss: Loss, attack: Attack, network: Trainable, parts: Parts, answers: Sequence[Answer]) -> Adversarial:
    """A loss with its adversarial share; `answers` are the outputs that are learned.

    Raises RecipeError (recipe_does_not_fit) where the model takes no real numbers, or carries a state.
    """
    rooms = Rooms.of(parts.encoder, attack.epsilon, attack.scale, parts.training.device)
    own = tuple(replace(answer, teacher_form=answer.form) for answer in answers)
    return Adversarial(loss, attack, network, parts, rooms, FromTeacher(own))

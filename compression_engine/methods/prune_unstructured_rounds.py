"""Pruning in rounds: some numbers become zero, the others are trained, and so on, until a round loses more than it may.

How: the share of zeros grows along a cubic (`prune_unstructured_masks`); numbers are chosen by what training has made of them. Each
round trains with the whole schedule of learning rates, begun anew (Renda, Frankle and Carbin, "Comparing rewinding and fine-tuning
in neural network pruning", ICLR 2020: rewinding of the learning rate).

Rules:
- after a round the rows that are held out are answered, which no round learns from, and what is lost is told and held against the
  limit (`prune_unstructured_judging`);
- a round that loses more than `most_loss_per_mille` ends the work, and the round before it is the outcome; where the first one
  does, there is none (budget_broken);
- zeros stay zero while the others are trained, also in weights with few of them; vectors, such as biases, are trained and never
  pruned;
- every round is told with its share of zeros, what it loses, on how many rows, and how its training went.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx

from compression_engine.canonical import JSON, decimal_text
from compression_engine.errors import EngineError
from compression_engine.methods.prune_unstructured_judging import Judge
from compression_engine.methods.prune_unstructured_masks import cubic
from compression_engine.methods.report import Report
from compression_engine.methods.rounding import finite
from compression_engine.methods.weights import Weight
from compression_engine.methods.zeros import Mask
from compression_engine.progress import Progress
from compression_engine.recipe import Value, integer_of
from compression_engine.training.lesson import Lesson, lesson
from compression_engine.training.loop import Beside, fit
from compression_engine.training.material import Training
from compression_engine.training.schedule import schedule_of

if TYPE_CHECKING:
    import torch

    from compression_engine.methods.prune_unstructured import Choice

STAGE = "prune"


@dataclass(frozen=True)
class Trained:
    """What became of the weights in the last round that counts: names of those that changed, and each round in words of JSON."""

    changed: frozenset[str]
    rounds: list[JSON]
    curves: list[dict[str, JSON]]
    """How the training of each round went."""


def prune_in_rounds(
    model: onnx.ModelProto,
    weights: Sequence[Weight],
    choice: Choice,
    parameters: Mapping[str, Value],
    training: Training,
    report: Report,
    progress: Progress,
) -> Trained:
    """Changes a model in place. Raises as `prune_unstructured.apply` does."""
    for weight in weights:
        finite(weight)
    with lesson(
        model,
        training,
        str(parameters["loss"]),
        temperature=integer_of(parameters["temperature_percent"]) / 100,
        alpha=integer_of(parameters["alpha_percent"]) / 100,
        progress=progress,
    ) as given:
        names = [weight.tensor.name for weight in weights if weight.tensor.name in given.network.weights]
        for name in (weight.tensor.name for weight in weights):
            if name not in names:
                report.leave(name, given.network.held.get(name, "it is not among the weights that can be trained"))
        if not names:
            return Trained(frozenset(), [], [])
        rounds = _Rounds(given, names, choice, parameters, progress)
        told = rounds.go()
        return Trained(frozenset(given.network.write_back(model)), told, rounds.curves)


class _Rounds:
    def __init__(
        self,
        given: Lesson,
        names: Sequence[str],
        choice: Choice,
        parameters: Mapping[str, Value],
        progress: Progress,
    ) -> None:
        self._lesson, self._names, self._choice, self._progress = given, names, choice, progress
        self._schedule, self._count = schedule_of(parameters, "epochs_per_round"), integer_of(parameters["rounds"])
        self._limit = integer_of(parameters["most_loss_per_mille"])
        self._judge = Judge(given, self._schedule.batch_size)
        self.curves: list[dict[str, JSON]] = []

    def go(self) -> list[JSON]:
        """All rounds, or as many as keep the limit; the network is as the last of these left it."""
        told: list[JSON] = []
        held = self._state()
        for number in range(1, self._count + 1):
            found, record = self._round(number)
            kept = found <= self._limit
            told.append({**record, "kept": kept})
            if not kept:
                self._restore(held)
                if number == 1:
                    raise self._broken(found)
                self._say(number, "lost more than it may; the round before it is the outcome")
                break
            held = self._state()
        return told

    def _round(self, number: int) -> tuple[float, dict[str, JSON]]:
        per_mille = cubic(number, self._count, self._choice.per_mille)
        self._say(number - 1, f"round {number}: {per_mille / 10:.1f} % become zero")
        masks = self._masks(per_mille)

        def hold() -> None:
            self._zero(masks)

        hold()
        found, beside = self._lesson, Beside(taught=self._lesson.taught, phase=number - 1)
        curve = fit(
            found.network,
            found.parts,
            found.loss,
            self._schedule,
            progress=self._progress,
            after_update=hold,
            beside=beside,
        )
        self.curves.append(curve.document())
        lost = self._judge.lost_per_mille()
        zeros = sum(int(mask.sum()) for mask in masks.values())
        record: dict[str, JSON] = {
            "lost": {
                "measure": self._judge.measure,
                "per_mille": decimal_text(lost),
                "rows": self._judge.rows,
            },
            "numbers": sum(mask.numel() for mask in masks.values()),
            "round": number,
            "zeros": zeros,
        }
        self._say(
            number, f"round {number}: {per_mille / 10:.1f} % zero, {lost:.1f} of 1,000 lost ({self._judge.measure})"
        )
        return lost, record

    def _masks(self, per_mille: int) -> dict[str, torch.Tensor]:
        import torch

        weights = self._lesson.network.weights
        arrays = {name: weights[name].detach().cpu().numpy() for name in self._names}
        chosen: dict[str, Mask] = self._choice.masks(arrays, per_mille)
        return {name: torch.from_numpy(chosen[name]).to(weights[name].device) for name in self._names}

    def _zero(self, masks: Mapping[str, torch.Tensor]) -> None:
        import torch

        with torch.no_grad():
            for name, mask in masks.items():
                self._lesson.network.weights[name].masked_fill_(mask, 0.0)

    def _state(self) -> dict[str, torch.Tensor]:
        return {name: weight.detach().clone() for name, weight in self._lesson.network.weights.items()}

    def _restore(self, state: Mapping[str, torch.Tensor]) -> None:
        import torch

        with torch.no_grad():
            for name, weight in self._lesson.network.weights.items():
                weight.copy_(state[name])

    def _say(self, done: int, what: str) -> None:
        self._progress(STAGE, done, self._count, what)

    def _broken(self, lost: float) -> EngineError:
        hint = "Ask for fewer zeros, more rounds or more epochs in each, or allow more; with more rows the loss is known better."
        message = (
            f"The first round of prune_unstructured loses {lost:.1f} of 1,000 ({self._judge.measure}, {self._judge.rows:,} rows), "
            f"and {self._limit} is allowed."
        )
        return EngineError("budget_broken", message, hint)

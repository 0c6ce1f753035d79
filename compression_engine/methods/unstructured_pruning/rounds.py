"""Pruning of single numbers in rounds: some become zero, the others are trained, and so on (`pruning_rounds`).

Rules:
- numbers are chosen by what training has made of them;
- zeros stay zero while the others are trained, also in weights with few of them; vectors, such as biases, are trained and never
  pruned;
- every round is told with its share of zeros, what it loses, on how many rows, and how its training went.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx

from compression_engine.canonical import JSON
from compression_engine.methods.pruning_judging import Judge, Lost
from compression_engine.methods.pruning_rounds import STAGE, cubic, in_rounds
from compression_engine.methods.report import Report
from compression_engine.methods.rounding import finite
from compression_engine.methods.weights import Weight
from compression_engine.methods.zeros import Mask
from compression_engine.progress import Progress
from compression_engine.recipe import Value, integer_of
from compression_engine.training.lesson import Lesson, lesson_by
from compression_engine.training.loop import Beside, fit
from compression_engine.training.material import Training
from compression_engine.training.schedule import schedule_of

if TYPE_CHECKING:
    import torch

    from compression_engine.methods.prune_unstructured import Choice

_METHOD = "prune_unstructured"


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
    with lesson_by(parameters, model, training, progress=progress) as given:
        names = [weight.tensor.name for weight in weights if weight.tensor.name in given.network.weights]
        for name in (weight.tensor.name for weight in weights):
            if name not in names:
                report.leave(name, given.network.held.get(name, "it is not among the weights that can be trained"))
        if not names:
            return Trained(frozenset(), [], [])
        pruning = _Zeros(given, names, choice, parameters, progress)
        told = in_rounds(pruning, parameters, _METHOD, progress)
        return Trained(frozenset(given.network.write_back(model)), told, pruning.curves)


class _Zeros:
    """What a round of `prune_unstructured` does."""

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
        self._judge = Judge(given, self._schedule.batch_size)
        self.curves: list[dict[str, JSON]] = []

    def go(self, number: int, said: str) -> tuple[Lost, dict[str, JSON]]:
        """Makes numbers zero and trains the others."""
        per_mille = cubic(number, self._count, self._choice.per_mille)
        self._progress(STAGE, number - 1, self._count, f"{said}: {per_mille / 10:.1f} % become zero")
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
        zeros = sum(int(mask.sum()) for mask in masks.values())
        return self._judge.lost(found), {"numbers": sum(mask.numel() for mask in masks.values()), "zeros": zeros}

    def state(self) -> dict[str, torch.Tensor]:
        """The weights as they are."""
        return {name: weight.detach().clone() for name, weight in self._lesson.network.weights.items()}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Puts weights back."""
        import torch

        with torch.no_grad():
            for name, weight in self._lesson.network.weights.items():
                weight.copy_(state[name])

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

"""Pruning of channels in rounds: some classes go, what is left is trained, and so on (`pruning_rounds`).

Rules:
- each round judges anew what training has made of the network, and makes good before it trains;
- all rounds together take the share of what the network was before the first; each keeps to the same limits for a group;
- what training learns, and by which rows it is judged, is the same in all rounds: a teacher answers once;
- every round is told with how much is left, what it loses, on how many rows, and how its training went.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import onnx

from compression_engine.canonical import JSON
from compression_engine.formats.onnx_graph import FLOATS, elements
from compression_engine.methods.pruning_judging import Judge, Lost
from compression_engine.methods.pruning_rounds import STAGE, cubic, in_rounds
from compression_engine.methods.report import Report
from compression_engine.methods.structured_pruning.cut import Cutting
from compression_engine.methods.structured_pruning.taking import Taking
from compression_engine.progress import Progress
from compression_engine.recipe import Value, integer_of
from compression_engine.training.lesson import Lesson, lesson_by
from compression_engine.training.loop import Beside, fit
from compression_engine.training.material import Training
from compression_engine.training.network import Network
from compression_engine.training.schedule import schedule_of

_METHOD = "prune_structured"


def take_in_rounds(
    model: onnx.ModelProto,
    taking: Taking,
    parameters: Mapping[str, Value],
    training: Training,
    report: Report,
    progress: Progress,
) -> tuple[Cutting, frozenset[str]]:
    """Changes a model in place; what the last round that counts cut, and the names of weights that training changed.

    `report` is told of the rounds and how their training went.
    Raises EngineError (budget_broken, cannot_be_trained, training_diverged, ...), and what `Taking.take` and `lesson_by` do.
    """
    with lesson_by(parameters, model, training, progress=progress) as given:
        pruning = _Channels(model, given, taking, parameters, progress)
        report.more["rounds"] = in_rounds(pruning, parameters, _METHOD, progress)
    for curve in pruning.curves:
        report.train(curve)
    return pruning.kept


class _Channels:
    """What a round of `prune_structured` does."""

    def __init__(
        self,
        model: onnx.ModelProto,
        given: Lesson,
        taking: Taking,
        parameters: Mapping[str, Value],
        progress: Progress,
    ) -> None:
        self._model, self._lesson, self._taking, self._progress = model, given, taking, progress
        self._schedule, self._count = schedule_of(parameters, "epochs_per_round"), integer_of(parameters["rounds"])
        self._share = integer_of(parameters["share_per_mille"])
        self._judge = Judge(given, self._schedule.batch_size)
        self._cuttings: list[tuple[Cutting, frozenset[str]]] = []
        self.curves: list[dict[str, JSON]] = []

    @property
    def kept(self) -> tuple[Cutting, frozenset[str]]:
        """What the last round cut that was not taken back, and what training has changed by then."""
        trained = frozenset[str]().union(*(names for _, names in self._cuttings))
        return self._cuttings[-1][0], trained

    def go(self, number: int, said: str) -> tuple[Lost, dict[str, JSON]]:
        """Takes channels out and trains what is left."""
        per_mille = cubic(number, self._count, self._share)
        self._progress(STAGE, number - 1, self._count, f"{said}: {per_mille / 10:.1f} % are taken out")
        cutting = self._taking.take(self._model, per_mille)
        # the same rows, loss and teacher: inputs and outputs of the model keep their sizes
        found = replace(self._lesson, network=Network(self._model, device=self._lesson.parts.training.device))
        beside = Beside(taught=found.taught, phase=number - 1)
        curve = fit(found.network, found.parts, found.loss, self._schedule, progress=self._progress, beside=beside)
        self.curves.append(curve.document())
        self._cuttings.append((cutting, frozenset(found.network.write_back(self._model))))
        return self._judge.lost(found), {
            "left_per_mille": self._taking.left_per_mille,
            "numbers": _numbers(self._model),
        }

    def state(self) -> tuple[onnx.ModelProto, int]:
        """The model as it is, and how many cuts made it."""
        held = onnx.ModelProto()
        held.CopyFrom(self._model)
        return held, len(self._cuttings)

    def restore(self, state: tuple[onnx.ModelProto, int]) -> None:
        """Puts a model back."""
        self._model.CopyFrom(state[0])
        del self._cuttings[state[1] :]


def _numbers(model: onnx.ModelProto) -> int:
    return sum(elements(tensor) for tensor in model.graph.initializer if tensor.data_type in FLOATS)

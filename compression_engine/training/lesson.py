"""Everything that a step needs to train a model: its graph as a network, the rows, the loss, and a teacher where one is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import onnx

from compression_engine.canonical import JSON
from compression_engine.progress import Progress
from compression_engine.recipe import Value, integer_of
from compression_engine.training.adversarial import Adversarial, Attack, adversarial
from compression_engine.training.graph_inputs import judged_output
from compression_engine.training.losses import LABELS, TEACHER, Answer, Loss, answers_of, loss_of
from compression_engine.training.material import Parts, Taught, Training
from compression_engine.training.network import Network
from compression_engine.training.recurrent_teacher import teaching_along_sequences
from compression_engine.training.teacher import check_fits, teacher_model, teaching


@dataclass(frozen=True)
class Lesson:
    """A network with what it is to learn; `taught` goes into `loop.Beside`."""

    network: Network
    parts: Parts
    loss: Loss
    answers: Sequence[Answer]
    judged: str
    """The output that is judged, by name."""
    taught: Taught | None

    @property
    def attack(self) -> dict[str, JSON] | None:
        """By what rows are moved while the network learns, as RESULT.json holds it; None where none are."""
        return self.loss.document() if isinstance(self.loss, Adversarial) else None


@contextmanager
def lesson(
    model: onnx.ModelProto,
    training: Training,
    kind: str,
    *,
    temperature: float = 1.0,
    alpha: float = 0.5,
    smoothing: float = 0.0,
    attack: Attack | None = None,
    parts: Parts | None = None,
    progress: Progress,
) -> Iterator[Lesson]:
    """A lesson on a model by a loss of a kind (`losses.KINDS`), on the device of `training`; the teacher's answers go with it.

    `parts` are the rows of `training` for this loss, where the caller has them. With `attack` a share of the loss is of rows that
    are moved against the model. Raises DataError, EngineError and RecipeError as `Training.parts`, `Network`, `check_fits`,
    `teaching` and `adversarial` do, before anything is trained.
    """
    network = Network(model, device=training.device)
    parts = parts or training.parts(model, labelled=kind != TEACHER, progress=progress)
    judged = judged_output(model, training.plan)
    if kind == LABELS:
        answers = answers_of(model, training.plan, judged)
        loss = loss_of(kind, training.plan, answers, judged, smoothing=smoothing)
        if attack is not None:
            loss = adversarial(loss, attack, network, parts, answers)
        yield Lesson(network, parts, loss, answers, judged, None)
        return
    teacher = teacher_model(training)
    answers = answers_of(model, training.plan, judged, teacher)
    if training.plan.states:
        answers = [answer for answer in answers if answer.name == judged]
    check_fits(model, teacher, answers)
    loss = loss_of(kind, training.plan, answers, judged, temperature=temperature, alpha=alpha, smoothing=smoothing)
    if attack is not None:
        loss = adversarial(loss, attack, network, parts, answers)
    with told_by(parts, teacher, answers, judged, temperature=temperature, progress=progress) as taught:
        yield Lesson(network, parts, loss, answers, judged, taught)


def lesson_by(
    parameters: Mapping[str, Value],
    model: onnx.ModelProto,
    training: Training,
    *,
    attack: Attack | None = None,
    progress: Progress,
) -> AbstractContextManager[Lesson]:
    """A lesson by the settings of a step that takes those of `methods.training_parameters`; raises what `lesson` does."""
    return lesson(
        model,
        training,
        str(parameters["loss"]),
        temperature=integer_of(parameters["temperature_percent"]) / 100,
        alpha=integer_of(parameters["alpha_percent"]) / 100,
        smoothing=integer_of(parameters.get("label_smoothing_per_mille", 0)) / 1000,
        attack=attack,
        progress=progress,
    )


def told_by(
    parts: Parts,
    teacher: onnx.ModelProto,
    answers: Sequence[Answer],
    judged: str,
    *,
    taps: Sequence[str] = (),
    temperature: float,
    progress: Progress,
) -> AbstractContextManager[Taught]:
    """What a teacher says of rows, as long as it is open: along whole sequences where the plan's states go, of `judged` alone."""
    if parts.training.plan.states:
        return teaching_along_sequences(parts, teacher, judged, progress)
    return teaching(parts, teacher, answers, taps=taps, temperature=temperature, progress=progress)

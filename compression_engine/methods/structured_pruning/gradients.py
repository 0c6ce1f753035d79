"""How important each class is to what comes out in the end, by gradients over training rows: of a loss, or of the answers.

How: the squared change, to first order, if the class were zero: (sum of weight times gradient) squared, at the weights that read
the class, over batches. By `answers` it is not the gradient of a loss: where a model is its own teacher the loss is least, and its
gradient zero. It is that of the answers themselves, each batch along a direction of its own, drawn so that the mean of squares
grows as the answers move: for scores as Kullback-Leibler divergence sees it (Fisher information), for embeddings as the cosine
does, for other numbers by squares; outputs of several kinds are not brought to one scale. So it needs neither labels nor a teacher.

Rules:
- classes that no reader shows have no number (NaN);
- directions are drawn from seed and step alone; recurrent models are followed along their sequences.
Sources: Molchanov et al., "Importance Estimation for Neural Network Pruning", 2019; Liu et al., "Group Fisher Pruning", 2021;
Hutchinson, "A stochastic estimator of the trace", 1989 (directions of signs).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch

from compression_engine.methods.structured_pruning.axes import Classes
from compression_engine.methods.structured_pruning.choice import Scores
from compression_engine.methods.structured_pruning.readers import Reader
from compression_engine.progress import Progress
from compression_engine.training.along_sequences import feeding_of
from compression_engine.training.device import settled
from compression_engine.training.graph_inputs import judged_output
from compression_engine.training.lesson import lesson
from compression_engine.training.losses import (
    EMBEDDING,
    FRAMES,
    LABELS,
    SCORES,
    TOKENS,
    Answer,
    answers_of,
    as_logits,
    positions_of,
)
from compression_engine.training.material import Batch, Parts, Training
from compression_engine.training.network import Network

_ROWS, _BATCHES = 32, 64
_DIRECTIONS_DRAW = 11
"""Which of a step's draws the directions are."""
Felt = Callable[[Mapping[str, torch.Tensor], Batch], torch.Tensor]
"""A number for a batch, from its outputs, whose gradient is asked for."""


def by_labels(
    model: onnx.ModelProto, classes: Classes, readers: Sequence[Reader], training: Training, progress: Progress
) -> Scores:
    """[classes]: how the loss of the labels would change. Raises DataError and EngineError as `training.lesson` does."""
    with lesson(model, training, LABELS, progress=progress) as given:
        return _squared(given.network, given.parts, given.loss, classes, readers, progress)


def by_answers(
    model: onnx.ModelProto, classes: Classes, readers: Sequence[Reader], training: Training, progress: Progress
) -> Scores:
    """[classes]: how the answers would. Raises DataError as `Training.parts` does, EngineError (cannot_be_trained)."""
    network = Network(model, device=training.device)
    parts = training.parts(model, labelled=False, progress=progress)
    judged = judged_output(model, training.plan)
    answers = answers_of(model, training.plan, judged)
    if training.plan.states:
        answers = [answer for answer in answers if answer.name == judged]
    drawn = np.random.default_rng([training.seed, training.step, _DIRECTIONS_DRAW]).integers(2**62)
    directed = Directed(answers, torch.Generator().manual_seed(int(drawn)))
    return _squared(network, parts, directed, classes, readers, progress)


def _squared(
    network: Network, parts: Parts, felt: Felt, classes: Classes, readers: Sequence[Reader], progress: Progress
) -> Scores:
    """[classes], sums of squares over the first batches; NaN where no reader shows the class."""
    squares, seen = np.zeros(classes.count), np.zeros(classes.count, dtype=bool)
    with settled(parts.training.device):
        feeding = feeding_of(network, parts, _ROWS)
        portions = feeding.updates(0, 0)[:_BATCHES]
        trained = [reader for reader in readers if reader.weight in network.weights]
        for done, portion in enumerate(portions):
            progress("rank", done, len(portions), "batches whose gradients were taken")
            network.zero_grad()
            for outputs, batch in feeding.answers(portion):
                (felt(outputs, batch) * (len(batch.rows) / len(portion.rows))).backward()
            change = np.zeros(classes.count)
            for reader in trained:
                weight = network.weights[reader.weight]
                if weight.grad is None:
                    continue
                both = (weight.detach() * weight.grad).cpu().numpy()
                by_input = reader.matrix(both).sum(axis=1).reshape(len(reader.atoms), -1).sum(axis=1)
                np.add.at(change, classes.number[reader.atoms], by_input)
                seen[classes.number[reader.atoms]] = True
            squares += change**2
    return np.where(seen, squares, np.nan)


@dataclass(frozen=True)
class Directed:
    """All answers along one direction: the mean of its squared change over directions is how far they move."""

    answers: Sequence[Answer]
    generator: torch.Generator

    def __call__(self, outputs: Mapping[str, torch.Tensor], batch: Batch) -> torch.Tensor:
        rows = len(batch.rows)
        return torch.stack(
            [self._of(answer, outputs[answer.name][:rows].float(), batch) for answer in self.answers]
        ).sum()

    def _of(self, answer: Answer, found: torch.Tensor, batch: Batch) -> torch.Tensor:
        flat = found.reshape(len(found), -1)
        if answer.kind in (SCORES, FRAMES, TOKENS):
            return self._scores(as_logits(flat if answer.kind == SCORES else found, answer.form), batch)
        if answer.kind == EMBEDDING:
            unit = torch.nn.functional.normalize(flat, dim=1)
            return (unit * self._signs(unit)).sum() / len(unit)
        positions = positions_of(batch, found)
        kept = found if positions is None else found[positions]
        size = kept.detach().square().mean().sqrt().clamp(min=torch.finfo(kept.dtype).tiny)
        return (kept * self._signs(kept)).sum() / (size * kept.numel() ** 0.5)

    def _scores(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Along the root of the information that probabilities hold, so that squares are divergences."""
        positions = positions_of(batch, logits)
        logits = logits.reshape(-1, logits.shape[-1]) if positions is None else logits[positions]
        if logits.shape[-1] == 1:
            chance = logits.detach().sigmoid()
            direction = (chance * (1 - chance)).sqrt() * self._signs(logits)
        else:
            chance = logits.detach().softmax(-1)
            root = chance.sqrt() * self._signs(logits)
            direction = root - chance * root.sum(-1, keepdim=True)
        return (logits * direction).sum() / len(logits)

    def _signs(self, like: torch.Tensor) -> torch.Tensor:
        drawn = torch.randint(0, 2, like.shape, generator=self.generator, dtype=torch.int8)
        return drawn.to(like.device, like.dtype) * 2 - 1

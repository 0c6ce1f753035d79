"""How rows are moved against a model: along its gradients, along another model's, and by trying, without any.

Rules:
- what counts is what the file answers in onnxruntime to the moved rows, whatever the gradients were taken of;
- gradients are those of the margin, the best wrong score less the right one, before a softmax flattens it (Carlini and Wagner
  2017): a model that is only very sure must not look as if it stood anything; how rows go is in `training.disturbing`;
- without gradients: random squares of pictures, random stretches or places of other rows, at the edge of what is allowed, kept
  where they help (Andriushchenko et al. 2020). It finds what a model hides whose gradients lead nowhere;
- an answer that is no number is a wrong one; a row that has fallen is not moved again;
- rows go 64 at a time; draws depend on the seed, the way, the restart and the rows alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from compression_engine.data import Array, Encoder
from compression_engine.measure.statistics.intervals import Floats
from compression_engine.plan import PlannedAttack
from compression_engine.runtime import Batch, Model, batch_at
from compression_engine.training.disturbing import Rooms, gradients_of, moved
from compression_engine.training.material import plain
from compression_engine.training.network import Network
from compression_engine.training.score_forms import before_of

Rows = NDArray[np.intp]
Stood = NDArray[np.bool_]
_ROWS_AT_ONCE = 64
_LEAST = 1e-300
_GRADIENTS, _SQUARES = 1, 2
_PICTURE_AXES, _TABLE_AXES = 4, 2
_SHARE_FIRST = 0.8
_HALVED_AFTER = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
"""Shares of all queries after each of which a square takes half as much."""


@dataclass(frozen=True)
class Answering:
    """A model as it is served; `output` is the place of the one that is judged, `probabilities` whether that holds such."""

    model: Model
    output: int
    probabilities: bool

    def margins(self, batch: Batch, feed: Mapping[str, Array], labels: Array) -> Floats:
        """The best wrong score less the right one, [rows]: above zero the answer is wrong; infinite where it is no number."""
        found = np.asarray(self.model.run({**batch.feed, **feed})[self.output])[: batch.count]
        scores = found.reshape(batch.count, -1).astype(np.float64)
        broken = ~np.isfinite(scores).all(axis=1)
        with np.errstate(invalid="ignore"):
            margins = _margins(self._as_scores(scores), labels)
        margins[broken] = np.inf
        return margins

    def _as_scores(self, found: Floats) -> Floats:
        if not self.probabilities:
            return found
        inside = np.log(np.maximum(found, _LEAST))
        return inside if found.shape[1] > 1 else inside - np.log(np.maximum(1 - found, _LEAST))


class Slope:
    """The gradients of a model's margins. Raises EngineError (cannot_be_trained) where its operators have none."""

    def __init__(self, model: onnx.ModelProto, output: str) -> None:
        self._network, self._scores = Network(model), before_of(model, output)
        for weight in self._network.weights.values():
            weight.requires_grad_(False)

    def against(
        self, batch: Batch, labels: Array, rooms: Rooms, steps: int, draw: np.random.Generator
    ) -> dict[str, Array]:
        """The inputs of `rooms`, moved against the right answers; in the types that the model takes."""
        feed = {name: torch.tensor(plain(array)) for name, array in batch.feed.items()}
        right = torch.from_numpy(labels.astype(np.int64))

        def wrong(given: Mapping[str, Tensor]) -> Tensor:
            return self._margins(given, batch, right)

        found = moved(wrong, feed, rooms, steps, draw)
        return {name: value.numpy().astype(batch.feed[name].dtype) for name, value in found.items()}

    def leads(self, batch: Batch, labels: Array, rooms: Rooms) -> bool:
        """Whether any number of any of these rows has a gradient that is neither zero nor no number."""
        feed = {name: torch.tensor(plain(array)) for name, array in batch.feed.items()}
        leaves = {name: feed[name].requires_grad_() for name in rooms.by_input}
        margins = self._margins(feed, batch, torch.from_numpy(labels.astype(np.int64)))
        return any((one.nan_to_num() != 0).any().item() for one in gradients_of(margins, leaves).values())

    def _margins(self, feed: Mapping[str, Tensor], batch: Batch, right: Tensor) -> Tensor:
        found = self._network(feed, (self._scores,))[self._scores][: batch.count]
        return _torch_margins(found.reshape(batch.count, -1), right).sum()


@dataclass(frozen=True)
class Attacked:
    """One model with the rows that are moved against it; `labels` has an entry for each of the encoder's rows."""

    answering: Answering
    encoder: Encoder
    labels: Array
    rooms: Rooms
    attack: PlannedAttack
    seed: int
    say: Callable[[str], None]

    def clean(self, rows: Rows) -> Stood:
        """Which rows are answered rightly as they are."""
        return self._stood(rows, lambda batch, labels, _: {}, 0, 0)

    def by_gradients(self, rows: Rows, slope: Slope, restarts: int) -> Stood:
        """Which of these rows stand all restarts along these gradients."""
        standing = np.ones(len(rows), dtype=bool)
        for restart in range(restarts):
            left = np.flatnonzero(standing)
            self.say(f"{len(left)} of {len(rows)} rows stand before start {restart + 1} of {restarts}")
            standing[left] = self._stood(
                rows[left],
                lambda batch, labels, draw: slope.against(batch, labels, self.rooms, self.attack.steps, draw),
                _GRADIENTS,
                restart,
            )
        return standing

    def by_squares(self, rows: Rows) -> Stood:
        """Which of these rows stand being asked so many times without a gradient."""
        self.say(f"{len(rows)} rows are tried without gradients")
        return self._stood(rows, self._searched, _SQUARES, 0)

    def _stood(
        self,
        rows: Rows,
        move: Callable[[Batch, Array, np.random.Generator], Mapping[str, Array]],
        way: int,
        restart: int,
    ) -> Stood:
        found = np.zeros(len(rows), dtype=bool)
        size = self.encoder.fixed_rows or _ROWS_AT_ONCE
        for start in range(0, len(rows), size):
            chosen = rows[start : start + size]
            batch, labels = batch_at(self.encoder, chosen.tolist()), self.labels[chosen]
            draw = np.random.default_rng([self.seed, way, restart, int(chosen[0])])
            margins = self.answering.margins(batch, move(batch, labels, draw), labels)
            found[start : start + len(chosen)] = margins <= 0
        return found

    def _searched(self, batch: Batch, labels: Array, draw: np.random.Generator) -> dict[str, Array]:
        """The inputs as far against the answers as the queries brought them."""
        clean = {name: batch.feed[name] for name in self.rooms.by_input}
        if not self.attack.queries:
            return clean
        best = {name: self._at_edge(name, value, _stripes(value.shape, draw)) for name, value in clean.items()}
        margins = self.answering.margins(batch, best, labels)
        for query in range(1, self.attack.queries):
            if (margins > 0).all():
                break
            share = _SHARE_FIRST / 2 ** sum(query > part * self.attack.queries for part in _HALVED_AFTER)
            tried = {name: self._tried(name, clean[name], best[name], share, draw) for name in best}
            now = self.answering.margins(batch, tried, labels)
            better = np.flatnonzero(now > margins)
            margins[better] = now[better]
            for name, value in tried.items():
                best[name][better] = value[better]
        return best

    def _tried(self, name: str, clean: Array, best: Array, share: float, draw: np.random.Generator) -> Array:
        """The best so far with a random part of each row at a random edge."""
        tried = best.copy()
        for row in range(len(clean)):
            part = _part(clean.shape[1:], share, draw)
            edge = self._at_edge(name, clean[row : row + 1], draw.choice((-1, 1), _signs(clean.shape)))[0]
            tried[row][part] = edge[part]
        return tried

    def _at_edge(self, name: str, clean: Array, signs: Array) -> Array:
        room = self.rooms.by_input[name]
        radius, low, high = (side.cpu().numpy() for side in (room.radius, room.low, room.high))
        edge: Array = np.clip(clean + signs * radius, low, high).astype(clean.dtype)
        return edge


def _signs(shape: Sequence[int]) -> tuple[int, ...]:
    """One sign for each channel of a picture, for each number of other rows."""
    return (1, shape[1], 1, 1) if len(shape) == _PICTURE_AXES else (1, *shape[1:])


def _stripes(shape: Sequence[int], draw: np.random.Generator) -> Array:
    """Where the search begins: stripes of pictures, single numbers of other rows, each up or down."""
    sizes = (*shape[:2], 1, shape[3]) if len(shape) == _PICTURE_AXES else tuple(shape)
    return draw.choice((-1, 1), sizes)


def _part(shape: Sequence[int], share: float, draw: np.random.Generator) -> tuple[Array | slice, ...]:
    """A random square of a picture, a random stretch along the first axis of other rows, single places of tables."""
    if len(shape) + 1 == _PICTURE_AXES:
        side = max(1, min(round(math.sqrt(share * shape[1] * shape[2])), shape[1], shape[2]))
        top, left = draw.integers(shape[1] - side + 1), draw.integers(shape[2] - side + 1)
        return (slice(None), slice(top, top + side), slice(left, left + side))
    count = max(1, round(share * shape[0])) if shape else 0
    if len(shape) + 1 == _TABLE_AXES:
        return (draw.choice(shape[0], count, replace=False),)
    if not shape:
        return ()
    begin = int(draw.integers(shape[0] - count + 1))
    return (slice(begin, begin + count),)


def _margins(scores: Floats, labels: Array) -> Floats:
    if scores.shape[1] == 1:
        # a score of nothing is class 1, as everywhere: whoever is right by a hair is right
        margins: Floats = np.where(labels == 1, -scores[:, 0], np.where(scores[:, 0] == 0, _LEAST, scores[:, 0]))
        return margins
    places = np.arange(len(scores))
    others = scores.copy()
    others[places, labels] = -np.inf
    best = others.argmax(axis=1)
    found: Floats = others[places, best] - scores[places, labels]
    # of equal scores the first one is the answer
    return np.where((found == 0) & (best < labels), _LEAST, found)


def _torch_margins(scores: Tensor, labels: Tensor) -> Tensor:
    if scores.shape[1] == 1:
        return (1 - 2 * labels) * scores[:, 0]
    right = torch.nn.functional.one_hot(labels, scores.shape[1]).bool()
    return scores.masked_fill(right, -torch.inf).amax(1) - scores.gather(1, labels[:, None])[:, 0]

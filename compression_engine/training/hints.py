"""Hints: what leaves a student's layers is to be near what leaves the teacher's (Romero et al. 2015; for transformers as in
TinyBERT, Jiao et al. 2020).

Rules:
- the difference is the mean square as a share of the teacher's own, at positions that are no padding; pairs count alike;
- where the student is narrower or wider, a linear map on the axis of features stands between: it begins as a random orthogonal one,
  is trained with the student and thrown away;
- the axis of features is the last one, of four axes and more (pictures) the second; all other sizes must be equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from compression_engine.training.losses import positions_of, relative_square, taught_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from compression_engine.training.material import Batch

Shape = tuple[int, ...]
_PICTURE = 4


@dataclass(frozen=True)
class Pair:
    """A student's tensor and the teacher's that it is to be near, by their names, with the widths of both."""

    student: str
    teacher: str
    student_width: int
    teacher_width: int


def pair_of(student: str, teacher: str, shape: Shape, teacher_shape: Shape) -> Pair | None:
    """Two tensors as a pair by their shapes for the same rows; None where they differ in more than the width."""
    if len(shape) != len(teacher_shape) or len(shape) < 2:
        return None
    axis = _features(len(shape))
    if any(one != other for place, (one, other) in enumerate(zip(shape, teacher_shape, strict=True)) if place != axis):
        return None
    return Pair(student, teacher, shape[axis], teacher_shape[axis])


class Hints:
    """The loss of hints, a part of `losses.Mixed`; the teacher's tensors are among `Batch.taught` under their names."""

    def __init__(self, pairs: Sequence[Pair], seed: Sequence[int], device: str = "cpu") -> None:
        """`seed` is what the maps are drawn by."""
        import torch

        self._pairs = tuple(pairs)
        self.taps = tuple(pair.student for pair in pairs)
        draw = np.random.default_rng(list(seed))
        self._maps: dict[str, torch.nn.Parameter] = {}
        for pair in self._pairs:
            if pair.student_width != pair.teacher_width:
                drawn = _orthogonal(draw, pair.student_width, pair.teacher_width)
                self._maps[pair.student] = torch.nn.Parameter(torch.from_numpy(drawn).to(device))

    def parameters(self) -> Sequence[torch.nn.Parameter]:
        """The maps between different widths."""
        return list(self._maps.values())

    def counts(self, batch: Batch) -> int:
        """Rows."""
        return len(batch.rows)

    def __call__(self, outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The mean over the pairs. Raises EngineError (teacher_does_not_fit)."""
        import torch

        return torch.stack(
            [self._of(pair, outputs[pair.student][: len(batch.rows)], batch) for pair in self._pairs]
        ).mean()

    def _of(self, pair: Pair, found: Tensor, batch: Batch) -> Tensor:
        found = found.float()
        if pair.student in self._maps:
            axis = _features(found.ndim)
            found = (found.movedim(axis, -1) @ self._maps[pair.student]).movedim(-1, axis)
        taught = taught_of(batch, pair.teacher, found.shape)
        return relative_square(found, taught.float(), positions_of(batch, found))


def _features(axes: int) -> int:
    return 1 if axes >= _PICTURE else axes - 1


def _orthogonal(
    draw: np.random.Generator, rows: int, columns: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """[rows, columns] with orthogonal rows or columns, whichever are fewer."""
    large, small = max(rows, columns), min(rows, columns)
    made, _ = np.linalg.qr(draw.normal(size=(large, small)))
    return np.ascontiguousarray(made if rows == large else made.T, dtype=np.float32)

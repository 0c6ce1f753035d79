"""Copies of rows that were seen, changed as copies are: found where the change is small beside what parts rows of the kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from compression_engine.data.nearness import near_rows
from compression_engine.evaluation import Beside, evaluate
from compression_engine.plan import Plan
from tests.engine import nets

Array = NDArray[np.float64]
DRAW = np.random.default_rng(1)
SIDE = 8


class Rows:
    """Rows as points."""

    def __init__(self, numbers: Array) -> None:
        self._numbers = numbers.astype(np.float64)
        self.width = numbers.shape[1]

    def __len__(self) -> int:
        return len(self._numbers)

    def taken(self, indices: Sequence[int]) -> Array:
        return self._numbers[list(indices)]


def digits() -> tuple[Array, Array]:
    """600 digits of 8x8 in 0..1 that are judged by, and 1,197 others."""
    from sklearn.datasets import load_digits

    pixels: Array = load_digits().data / 16
    order = np.random.default_rng(0).permutation(len(pixels))
    return pixels[order[:600]], pixels[order[600:]]


def table(rows: int = 900) -> Array:
    """Incomes, ages, ratios with two digits, a choice of three, and answers: columns of different units."""
    draw = np.random.default_rng(5)
    columns = [draw.lognormal(10, 0.5, rows).round(), draw.integers(18, 80, rows), draw.beta(2, 5, rows).round(2)]
    columns += [draw.normal(size=rows), draw.integers(0, 3, rows), draw.integers(0, 2, rows), np.zeros(rows)]
    return np.stack(columns, axis=1).astype(np.float64)


def share(ours: Array, theirs: Array, copies: Array) -> float:
    """How many of the copies are found that stand among our rows; none of our own rows may be."""
    found = near_rows(Rows(np.concatenate([ours, copies])), [Rows(theirs)], lambda done, total: None)
    assert not found[: len(ours)].any()
    return float(found[len(ours) :].mean())


def cosines(size: int) -> Array:
    """The discrete cosine transform of JPEG (type II, orthonormal)."""
    places = np.arange(size)
    waves: Array = np.cos(np.pi * places[:, None] * (2 * places + 1) / (2 * size)) * np.sqrt(2 / size)
    waves[0] /= np.sqrt(2)
    return waves


def as_jpeg(rows: Array, step: float) -> Array:
    """Pictures whose cosines are rounded to whole steps, clipped to 0..1."""
    waves = cosines(SIDE)
    rounded = np.round(waves @ rows.reshape(-1, SIDE, SIDE) @ waves.T / step) * step
    back: Array = np.clip(waves.T @ rounded @ waves, 0, 1).reshape(len(rows), -1)
    return back


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows + DRAW.normal(size=rows.shape) * 1e-6,
        lambda rows: np.clip(rows + DRAW.uniform(0, 1e-6, rows.shape), 0, None),
        lambda rows: rows + DRAW.normal(size=rows.shape) * 0.01,
        lambda rows: rows.astype(np.float16),
        lambda rows: np.round(rows * 15) / 15,
        lambda rows: rows * 1.01,
        lambda rows: rows * 0.7,
        lambda rows: rows + 0.05,
        lambda rows: np.clip(rows, 0.05, 0.95),
        lambda rows: as_jpeg(rows, 0.05),
    ],
    ids=[
        "noise",
        "noise over zeros",
        "1 %",
        "float16",
        "16 greys",
        "scaled",
        "darker",
        "brighter",
        "clipped",
        "cosines",
    ],
)
def test_a_changed_copy_of_a_picture_is_found_and_no_other_picture(change: Callable[[Array], Array]) -> None:
    ours, theirs = digits()
    assert share(ours, theirs, change(theirs[:100]).astype(np.float64)) >= 0.99


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows + DRAW.normal(size=rows.shape) * 0.1,
        lambda rows: np.roll(rows.reshape(-1, SIDE, SIDE), 1, 2).reshape(len(rows), -1),
        lambda rows: rows.reshape(-1, SIDE, SIDE)[:, :, ::-1].reshape(len(rows), -1),
        lambda rows: as_jpeg(rows, 0.4),
    ],
    ids=["10 % noise", "moved by a pixel", "mirrored", "coarse cosines"],
)
def test_what_is_said_not_to_be_found_is_not(change: Callable[[Array], Array]) -> None:
    ours, theirs = digits()
    assert share(ours, theirs, change(theirs[:100]).astype(np.float64)) < 0.1


@pytest.mark.parametrize("noise", [1e-6, 1e-4])
def test_a_copy_in_a_table_is_found_by_each_column_s_own_spread(noise: float) -> None:
    rows = table()
    spread = rows.std(axis=0)
    copies = rows[400:500] + DRAW.normal(size=(100, rows.shape[1])) * np.where(spread > 0, spread, 0) * noise
    assert share(rows[:400], rows[400:], copies) >= 0.95


def test_of_rows_that_repeat_each_other_or_are_few_nothing_is_said() -> None:
    crowded = np.random.default_rng(2).integers(0, 2, size=(300, 3)).astype(np.float64)
    assert not near_rows(Rows(crowded + 1e-9), [Rows(crowded)], lambda done, total: None).any()
    ours, theirs = digits()
    assert not near_rows(Rows(theirs[:40]), [Rows(theirs)], lambda done, total: None).any()
    assert not near_rows(Rows(ours), [Rows(theirs[:, :60])], lambda done, total: None).any()


def test_an_evaluation_shows_copies_that_hide_behind_noise_over_zeros(tmp_path: Path) -> None:
    ours, theirs = digits()
    hidden = np.clip(theirs[:30] + DRAW.uniform(0, 1e-6, (30, 64)), 0, 1)
    nets.save(nets.mlp(), tmp_path)
    nets.save_rows({"x": np.concatenate([ours[:200], hidden]).astype(np.float32)}, tmp_path / "rows.npz")
    nets.save_rows({"x": theirs.astype(np.float32)}, tmp_path / "seen.npz")
    beside = Beside(seen=[tmp_path / "seen.npz"])
    evidence = evaluate(tmp_path, data=tmp_path / "rows.npz", plan=Plan(measures=("size",)), beside=beside).evidence
    (found,) = (document for document in evidence if document.kind == "seen")
    figures = {figure.metric: figure.value for figure in found.measurements}
    assert (figures["rows_seen_share"], figures["near_seen_rows"]) == (0, 30)

"""Rows that were seen before, and rows that are nearly the same as such: counted apart, only the first refuse an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compression_engine.data.alike import coarse, folded
from compression_engine.evaluation import Beside, evaluate
from compression_engine.plan import Plan
from compression_engine.result import Measurement
from tests.engine import nets

PLAN = Plan(measures=("size",))


def figures(
    folder: Path, ours: dict[str, np.ndarray], seen: dict[str, np.ndarray], **more: Any
) -> dict[str, Measurement]:
    if not (folder / "model.onnx").exists():
        nets.save(nets.mlp(), folder)
    nets.save_rows(ours, folder / "rows.npz")
    nets.save_rows(seen, folder / "seen.npz")
    beside = Beside(seen=[folder / "seen.npz"], **more)
    evidence = evaluate(folder, data=folder / "rows.npz", plan=PLAN, beside=beside).evidence
    (found,) = (document for document in evidence if document.kind == "seen")
    return {figure.metric: figure for figure in found.measurements}


def values(found: dict[str, Measurement]) -> tuple[float, float, float]:
    share, near, distinct = (found[name].value for name in ("rows_seen_share", "near_seen_rows", "distinct_rows"))
    assert share is not None
    assert near is not None
    assert distinct is not None
    return share, near, distinct


def test_copies_whose_last_bit_was_changed_are_shown_and_refuse_nothing(tmp_path: Path) -> None:
    trained = nets.rows_for("x", 40, seed=1)["x"]
    fresh = nets.rows_for("x", 20, seed=2)["x"]
    changed = np.nextafter(trained[:10], np.float32(9))
    found = figures(tmp_path, {"x": np.concatenate([fresh, changed])}, {"x": trained})
    assert values(found) == (0, 10, 30)
    assert found["near_seen_rows"].n == 30
    assert "10 of 30 rows" in found["near_seen_rows"].plain
    assert "half a percent" in found["near_seen_rows"].plain


def test_a_table_of_few_values_shows_both_numbers_and_how_many_rows_differ(tmp_path: Path) -> None:
    few = np.random.default_rng(3).integers(1, 3, size=(60, 1)).astype(np.float32).repeat(64, axis=1)
    found = figures(tmp_path, {"x": few * np.float32(1.0001)}, {"x": few})
    assert values(found) == (0, 60, 2)
    assert "in a table of few values such rows come without a copy" in found["near_seen_rows"].plain
    same = figures(tmp_path, {"x": few}, {"x": few}, allow_seen=True)
    assert values(same) == (1, 60, 2)


@pytest.mark.parametrize("digits", [2, 3, 4])
def test_no_short_decimal_lies_on_an_edge(digits: int) -> None:
    numbers = np.arange(10 ** (digits - 1), 10**digits)
    for exponent in (-6, -3, 0, 3, 6):
        exact = (numbers * 10.0**exponent).astype(np.float32)
        steps = coarse(exact)
        assert np.array_equal(coarse(np.nextafter(exact, np.float32(np.inf))), steps)
        assert np.array_equal(coarse(np.nextafter(exact, np.float32(-np.inf))), steps)
        assert np.array_equal(coarse(exact.astype(np.float64)), steps)
        assert np.array_equal(coarse(-exact), -steps)


def test_steps_are_a_fraction_of_a_percent_wide_and_ordered() -> None:
    numbers = np.geomspace(1e-30, 1e30, 200_000)
    steps = coarse(numbers)
    assert (np.diff(steps) >= 0).all()
    first = numbers[np.flatnonzero(np.diff(steps, prepend=steps[0] - 1))]
    ratios = first[1:] / first[:-1]
    assert ratios.max() < 1.005
    assert coarse(numbers * 1.005).tolist() != steps.tolist()
    assert (coarse(numbers * 1.005) > steps).all()


def test_signs_zeros_extremes_and_whole_numbers_stay_apart() -> None:
    found = coarse(np.array([0.0, -0.0, 5e-324, -5e-324, 1.7e308, -1.7e308, 1.0, -1.0]))
    assert found[0] == found[1] == 0
    assert len(set(found.tolist())) == 7
    whole = np.array([1_000_000, 1_000_001])
    assert coarse(whole).tolist() == whole.tolist()
    assert coarse(np.array([True, False])).tolist() == [True, False]


def test_texts_that_differ_in_case_spacing_and_form_are_alike() -> None:
    assert folded("  The ﬁrst\tSTRASSE \n") == folded("the first straße")
    assert folded("the first") != folded("thefirst")
    assert folded("") == folded(" \n ") == ""

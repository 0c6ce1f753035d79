"""A model that draws at random is found wherever among the rows it does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from compression_engine.data import Encoder, ModelInput, Rows
from compression_engine.evaluation import Settings, evaluate
from compression_engine.measure import repeatability
from compression_engine.plan import Plan
from tests.engine import nets


def test_a_model_that_draws_at_random_for_later_rows_only_is_found(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("RandomUniformLike", ["x"], ["noise"], low=0.0, high=0.1),
        helper.make_node("Clip", ["x", "zero", "one"], ["loud"]),
        helper.make_node("Mul", ["noise", "loud"], ["added"]),
        helper.make_node("Add", ["x", "added"], ["y"]),
    ]
    ports = ({"x": (TensorProto.FLOAT, ["n", 4])}, {"y": (TensorProto.FLOAT, ["n", 4])})
    limits = {"zero": np.array(0, dtype=np.float32), "one": np.array(1, dtype=np.float32)}
    path = nets.save(nets.model(nodes, limits, *ports), tmp_path)
    x = -np.ones((1600, 4), dtype=np.float32)  # a row below zero is answered without noise
    x[800:] = 1
    np.savez(tmp_path / "rows.npz", x=x)
    settings = Settings(rounds=3, memory_repeats=1)
    found = evaluate(path, data=tmp_path / "rows.npz", plan=Plan(measures=("fidelity",)), settings=settings)
    (figure,) = (f for e in found.evidence for f in e.measurements if f.metric == "repeat_difference_max")
    assert 0 < (figure.value or 0) <= 0.1
    assert figure.n == 5 * 16  # one batch in twenty of a hundred


@pytest.mark.parametrize(
    ("count", "fixed", "expected"),
    [(1, None, 1), (16, None, 1), (17, None, 2), (1600, None, 5), (99_999, None, 64), (10, 4, 2)],
)
def test_rows_that_are_asked_again_are_whole_batches_drawn_by_the_seed(
    count: int, fixed: int | None, expected: int
) -> None:
    rows = Rows("sha256:0", (), {"x": np.zeros((count, 1), dtype=np.float32)}, ())
    encoder = Encoder(rows, [ModelInput("x", np.dtype(np.float32), fixed, (fixed, 1))], None)
    chosen = repeatability._chosen(encoder, 3)
    assert len(chosen) == expected
    assert chosen == repeatability._chosen(encoder, 3)
    size = fixed or 16
    assert all(rows.start % size == 0 and rows.stop == min(rows.start + size, count) for rows in chosen)
    if count > 1000:
        assert chosen != repeatability._chosen(encoder, 4)
        assert chosen[-1].start > count / 2

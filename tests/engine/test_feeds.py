"""The batch that stands for all rows: the same for every model, and found without looking at all of a million rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compression_engine.data import Encoder, ModelInput, Rows
from compression_engine.measure import feeds
from compression_engine.measure.feeds import typical_batch
from tests.engine.test_robustness_language import tokenizer


@pytest.fixture
def texts(tmp_path: Path) -> Encoder:
    """Texts of 1, 9, 2, 8, 3, 7, 4, 6 and 5 tokens."""
    tokenizer(tmp_path / "tokenizer.json")
    rows = tuple("a" * count for count in (1, 9, 2, 8, 3, 7, 4, 6, 5))
    inputs = [ModelInput("input_ids", np.dtype(np.int64), None, ("n", "t"))]
    return Encoder(Rows("sha256:" + "0" * 64, rows, {}, ()), inputs, tmp_path / "tokenizer.json")


def test_a_text_of_median_length_stands_as_often_as_the_batch_has_rows(texts: Encoder) -> None:
    found = typical_batch(texts, 4)
    assert (found.rows, found.words) == (4, "a batch of 4 rows of 5 tokens")
    assert found.feed["input_ids"].shape == (4, 5)


def test_of_many_texts_evenly_spread_ones_are_looked_at(texts: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "_ROWS_LOOKED_AT", 3)  # of 1, 3 and 5 tokens
    found = typical_batch(texts)
    assert found.words == "one row of 3 tokens"
    assert found.feed["input_ids"].shape == (1, 3)


def test_arrays_begin_again_where_the_batch_is_larger_than_the_rows() -> None:
    rows = Rows("sha256:" + "0" * 64, (), {"x": np.arange(6, dtype=np.float32).reshape(3, 2)}, ())
    encoder = Encoder(rows, [ModelInput("x", np.dtype(np.float32), None, ("n", 2))], None)
    assert typical_batch(encoder, 4).feed["x"][:, 0].tolist() == [0, 2, 4, 0]

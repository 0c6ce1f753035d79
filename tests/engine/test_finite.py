"""Answers that are no numbers: refused whichever measures a plan asks for, and not counted as the first class."""

from __future__ import annotations

import numpy as np
import pytest

from compression_engine.answers.outputs import Field, Outputs
from compression_engine.errors import EngineError
from compression_engine.measure.finite import check_finite
from compression_engine.plan import Plan

CLASSES = Plan(task="classification", label="y", measures=("quality",))


def scores(*broken: float) -> Field:
    values = np.ones((4, 2), dtype=np.float32)
    for row, value in enumerate(broken):
        values[row, 1] = value
    return Field(values)


def given(labels: bool = True, **models: Field) -> Outputs:
    return Outputs(
        {role: {"answer": field} for role, field in models.items()},
        Field(np.zeros(4, dtype=np.int64)) if labels else None,
    )


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (given(version=scores(np.nan, np.inf)), "The model answers 2 of 4 rows"),
        (given(labels=False, version=scores(np.nan)), "The model answers 1 of 4 rows"),
        (given(version=scores(np.nan), parent=scores(np.nan)), "The model answers 1 of 4 rows"),
        (given(version=scores(), parent=scores(np.nan)), "The original answers 1 of 4 rows"),
        (
            given(version=Field(np.array([1.0, np.nan, 2.0]), np.array([0, 1, 1, 3, 3]))),
            "The model answers 1 of 4 rows",
        ),
    ],
)
def test_answers_that_are_no_numbers_are_refused_with_how_many_there_are(outputs: Outputs, said: str) -> None:
    with pytest.raises(EngineError, match=said) as refused:
        check_finite(outputs, CLASSES)
    assert refused.value.code == "output_not_finite"


@pytest.mark.parametrize(
    "outputs",
    [
        given(version=scores(-np.inf), parent=scores(-np.inf)),
        given(labels=False, version=scores(np.nan), parent=scores(np.nan)),
        given(labels=False, version=scores(), parent=scores(np.nan)),
    ],
)
def test_classes_that_are_ruled_out_and_rows_that_are_not_compared_are_no_reason(outputs: Outputs) -> None:
    check_finite(outputs, CLASSES)

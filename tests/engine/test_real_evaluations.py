"""The smallest of the real evaluations: mortgages by race, compressed and evaluated as a user does it."""

from __future__ import annotations

import pytest

from tests.battery import evaluations

pytestmark = pytest.mark.slow


@pytest.mark.long
def test_a_real_evaluation_asks_every_question_and_says_the_same_again() -> None:
    rows = evaluations.run(small=True)
    assert len(rows) == 3
    assert [f"{row.what}: {row.value}, must be {row.target}" for row in rows if row.holds is not True] == []

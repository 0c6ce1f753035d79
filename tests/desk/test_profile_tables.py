"""The tables of a data profile: what a share looks like, what was not measured, and which file holds what stands elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from registry.desk import profile_tables

FIRST, SECOND, OTHER = (f"sha256:{n:064x}" for n in (1, 2, 3))


@pytest.mark.parametrize(
    ("value", "unit", "reason", "shown"),
    [
        ("0.25", "share", None, "25 %"),
        ("0.00001", "share", None, "under 0.01 %"),
        ("0", "share", None, "0 %"),
        ("67", "row", None, "67"),
        ("0.33333", "psi", None, "0.33"),
        (None, "share", "there are no rows", "not measured: there are no rows"),
    ],
)
def test_a_value_is_read_as_it_was_measured(value: str | None, unit: str, reason: str | None, shown: str) -> None:
    assert profile_tables.shown_value({"value": value, "unit": unit, "reason": reason}) == shown


def test_a_file_that_shares_rows_stands_beside_one_that_shares_none_and_other_data_by_its_name() -> None:
    counted: dict[str, Any] = {"same_rows": 2, "near_rows": 1, "same_rows_without_identifiers": 4}
    document = {
        "data": {"rows": 12, "files": [{"digest": FIRST, "rows": 8}, {"digest": SECOND, "rows": 4}]},
        "against": [{"digest": OTHER, "rows": 1500, **counted, "files": [{"digest": SECOND, **counted}]}],
    }
    clean, shared = profile_tables.files(document, {FIRST: "a.csv"})
    assert (clean.name, clean.rows, clean.same) == ("a.csv", 8, "0 (0 %)")
    assert (shared.name, shared.same, shared.near) == (SECOND[:19], "2 (50 %)", "1 (25 %)")
    assert shared.without_identifiers == "4 (100 %)"
    (beside,) = profile_tables.beside(document, {OTHER: "search/learned@1"})
    assert (beside.name, beside.rows, beside.same) == ("search/learned@1", 1500, "2 (16.67 %)")

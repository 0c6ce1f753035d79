"""Figures for people: rounded, never invented."""

from __future__ import annotations

import pytest

from registry.desk import figures
from tests.worlds.catalog import figure


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        ("22714880", "byte", "22.7 MB"),
        ("999", "byte", "999 B"),
        ("0.98751", "share", "98.8 %"),
        ("0.99995123", "cosine", "0.999951"),
        ("1", "cosine", "1"),
        ("0.98", "cosine", "0.98"),
        ("12.34567", "millisecond", "12.35 ms"),
        ("3.86654", "ratio", "3.867 ×"),
        ("0.0000001234567", "output_unit", "0.0000001235"),
        ("0", "output_unit", "0"),
        ("-123456.7", "output_unit", "-123457"),
    ],
)
def test_a_value_is_shown_in_the_unit_that_people_read(value: str, unit: str, shown: str) -> None:
    assert figures.value_text(value, unit) == shown


def test_a_missing_value_is_never_shown_as_zero() -> None:
    row = figures.rows_of([figure("latency_p50_ms", None, "millisecond", reason="the engine was stopped")])[0]
    assert (row.shown, row.exact, row.reason) == ("not measured", "", "the engine was stopped")


def test_the_parent_stands_beside_the_child_and_not_in_a_row_of_its_own() -> None:
    rows = figures.rows_of([figure("size_bytes", "10", "byte"), figure("parent_size_bytes", "40", "byte")])
    assert [(row.metric, row.shown, row.parent_shown) for row in rows] == [("size_bytes", "10 B", "40 B")]


def test_a_parents_figure_without_a_childs_is_not_lost() -> None:
    assert [row.metric for row in figures.rows_of([figure("parent_size_bytes", "40", "byte")])] == ["parent_size_bytes"]


def test_a_slice_is_named_and_has_no_parent_of_the_whole() -> None:
    part = [{"name": "race", "value": "2"}]
    rows = figures.rows_of([figure("cosine_mean", "0.9", "cosine", slice=part), figure("parent_cosine_mean", "1")])
    assert rows[0].name.endswith("(race 2)")
    assert rows[0].parent_shown == ""


def test_an_interval_names_its_unit_once() -> None:
    row = figure("latency_p50_ms", "2", "millisecond", low="1.5", high="2.5")
    assert figures.interval_text(row) == "1.5 – 2.5 ms"
    assert figures.interval_text(figure("size_bytes", "2", "byte", low="900", high="1100")) == "900 B – 1.1 kB"
    assert figures.interval_text(figure("size_bytes", "2", "byte", low="900")) == ""

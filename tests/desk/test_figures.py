"""Figures for people: rounded, never invented."""

from __future__ import annotations

import pytest

from registry.desk import figures, metrics
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
    assert [(row.metric, row.shown) for row in rows] == [("size_bytes", "10 B")]
    assert figures.text_of(rows[0].parent) == "40 B"


def test_a_parents_figure_without_a_childs_is_not_lost() -> None:
    assert [row.metric for row in figures.rows_of([figure("parent_size_bytes", "40", "byte")])] == ["parent_size_bytes"]


def test_a_slice_is_named_and_has_no_parent_of_the_whole() -> None:
    part = [{"name": "race", "value": "2"}]
    rows = figures.rows_of([figure("cosine_mean", "0.9", "cosine", slice=part), figure("parent_cosine_mean", "1")])
    assert rows[0].name.endswith("(race 2)")
    assert rows[0].parent is None


def test_an_interval_names_its_unit_once() -> None:
    row = figure("latency_p50_ms", "2", "millisecond", low="1.5", high="2.5")
    assert figures.interval_text(row) == "1.5 – 2.5 ms"
    assert figures.interval_text(figure("size_bytes", "2", "byte", low="900", high="1100")) == "900 B – 1.1 kB"
    assert figures.interval_text(figure("size_bytes", "2", "byte", low="900")) == ""


def test_what_compares_with_the_incumbent_is_the_versions_own_and_says_with_whom() -> None:
    told = [
        figure("latency_p50_ms", "1"),
        figure("incumbent_latency_p50_ms", "2"),
        figure("incumbent_latency_ratio", "0.5"),
    ]
    rows = figures.rows_of(told)
    assert [row.name for row in rows] == ["Latency, median", "Latency against the incumbent's"]
    assert rows[0].others["incumbent_"]["value"] == "2"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("fidelity", "Cosine to the parent's output, mean"),
        ("fidelity-incumbent", "Cosine to the incumbent's output, mean"),
        ("fidelity-first", "Cosine to the first approved version's output, mean"),
    ],
)
def test_a_comparison_with_the_incumbent_is_never_called_one_with_the_parent(kind: str, name: str) -> None:
    rows = figures.rows_of([figure("cosine_mean", "0.9", "cosine")], metrics.other_of(kind))
    assert [row.name for row in rows] == [name]


@pytest.mark.parametrize(
    ("metric", "value", "unit", "shown"),
    [
        ("accuracy_difference", "-0.0184", "share", "−1.8 points"),
        ("accuracy_difference", "0.0184", "share", "+1.8 points"),
        ("smallest_detectable_loss", "0.0093", "share", "0.9 points"),
        ("expected_calibration_error", "0.061", "probability", "6.1 %"),
        ("expected_calibration_error_difference", "0.043", "probability", "+4.3 points"),
        ("mcnemar_p", "0.00001", "probability", "below 0.0001"),
        ("mcnemar_p", "0.031", "probability", "0.031"),
        ("overconfidence", "-0.02", "probability", "−2.0 points"),
        ("brier_score", "0.118", "ratio", "0.118"),
        ("latency_ratio", "0.55", "ratio", "0.55 ×"),
        ("throughput_per_second", "165399.2", "per_second", "165,399 a second"),
        ("net_benefit_per_month", "-1412.5", "currency:EUR", "-1,412.50 EUR"),
        ("serving_cost_per_1000_predictions", "0.00012", "currency:EUR", "0.00012 EUR"),
        ("absolute_error_difference", "-0.3", "output_unit", "−0.3"),
        ("max_abs_difference", "0.3", "output_unit", "0.3"),
        ("decoded_difference", "0.3", "ratio", "0.3"),
    ],
)
def test_signs_points_and_chances_are_written_as_people_read_them(
    metric: str, value: str, unit: str, shown: str
) -> None:
    assert figures.text_of(figure(metric, value, unit)) == shown


def test_an_interval_of_a_rate_names_its_unit_once_and_one_of_differences_says_to() -> None:
    rate = figure("throughput_per_second", "2000", "per_second", low="1500", high="2500")
    assert figures.interval_text(rate) == "1,500 – 2,500 a second"
    lost = figure("accuracy_difference", "-0.02", "share", low="-0.03", high="-0.01")
    assert figures.interval_text(lost) == "−3.0 to −1.0 points"
    tiny = figure("adjusted_p", "0.01", "probability", low="0.00001", high="0.02")
    assert figures.interval_text(tiny) == "below 0.0001 – 0.02"

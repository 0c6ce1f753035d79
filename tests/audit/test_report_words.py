"""What figures are called in a report, and in which unit they stand."""

from __future__ import annotations

import pytest

from audit.reports import wording


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("latency_p99_ms", "Latency, 99th percentile"),
        ("incumbent_size_bytes", "Size of the weights, the incumbent"),
        ("incumbent_latency_ratio", "Latency against the incumbent"),
        ("first_cosine_mean", "Agreement with the first approved version, mean cosine"),
        ("incumbent_something_new", "Something new, the incumbent"),
    ],
)
def test_a_figure_is_called_by_words_also_where_it_is_the_incumbents_or_says_what_the_child_is_beside_it(
    name: str, words: str
) -> None:
    assert wording.metric(name) == words


def test_a_correlation_is_not_so_many_times_something_and_a_ratio_is() -> None:
    assert wording.quantity("0.68173", wording.unit_of("rank_correlation", "ratio")) == "0.68173"
    assert wording.quantity("1.135", wording.unit_of("size_ratio", "ratio")) == "1.135×"

"""Every figure becomes one plain sentence."""

from __future__ import annotations

from typing import Any

import pytest

from registry.catalog.sentences import sentence
from tests.worlds.catalog import figure


@pytest.mark.parametrize(
    ("given", "kind", "told"),
    [
        (figure("size_bytes", "22983411", "byte", n=1), "size", "The weights take 23.0 MB on disk."),
        (figure("size_bytes", "9000", "byte", n=1), "size", "The weights take 9,000 bytes on disk."),
        (figure("size_ratio", "3.951", n=1), "size", "The model is 3.95 times smaller than the original."),
        (figure("size_ratio", "0.5", n=1), "size", "The model takes 2.00 times the disk space of the original."),
        (
            figure("cosine_mean", "0.99934", "cosine", low="0.9991", high="0.9995", n=300),
            "fidelity",
            "The answers agree with the original's to 0.99934 on average (1 is identical) "
            "(n = 300; 95 % interval 0.9991 to 0.9995).",
        ),
        (
            figure("nearest_neighbour_kept", "0.953333333", "share", low="0.92", high="0.975", n=300),
            "fidelity",
            "95.33 % of the rows keep the same nearest neighbour (n = 300; 95 % interval 92 % to 97.5 %).",
        ),
        (
            figure("latency_ratio", "0.5", low="0.45", high="0.55", n=60),
            "timing",
            "The model answers 2.00 times faster than the original, both measured in turns (n = 60; 95 % interval 0.45 to 0.55).",
        ),
        (
            figure("latency_ratio", "1.01", n=60),
            "timing",
            "The model answers as fast as the original (1.01 of its time), both measured in turns (n = 60).",
        ),
        (
            figure("latency_ratio", "1.5", n=60),
            "timing",
            "The model answers 1.50 times slower than the original, both measured in turns (n = 60).",
        ),
        (
            figure("peak_memory_bytes", "150000000", "byte", low="149000000", high="152000000", n=3),
            "memory",
            "Serving the model takes 150.0 MB of memory at its peak, runtime included "
            "(n = 3; least and largest 149.0 MB to 152.0 MB).",
        ),
        (
            figure("batch_difference_max", "0", "output_unit", n=64),
            "fidelity",
            "The model answers a row exactly the same, alone and together with others (n = 64).",
        ),
        (
            figure("parent_batch_difference_max", "0.00000012", "output_unit", n=64),
            "fidelity",
            "The original answers a row the same up to 0.00000012, alone and together with others (n = 64).",
        ),
        (
            figure("cosine_mean", None, "cosine", reason="no row was usable", n=0),
            "fidelity",
            "Cosine mean is not known: no row was usable.",
        ),
        (
            figure("accuracy", "0.5", "share", slice=[{"name": "race", "value": "2"}, {"name": "sex", "value": "1"}]),
            "quality",
            "For race = 2 and sex = 1: Accuracy is 0.5 share.",
        ),
        (
            figure(
                "bin_count",
                "12",
                "row",
                n=300,
                slice=[{"name": "feature", "value": "t"}, {"name": "upper_edge", "value": ""}],
            ),
            "distribution",
            "For feature = t and the open end: 12 rows fall into this bin (n = 300).",
        ),
        (figure("energy", "1250.5", "joule", n=5), "cost", "Energy is 1,250.5 joule (n = 5)."),
    ],
)
def test_a_figure_is_said_in_plain_words(given: dict[str, Any], kind: str, told: str) -> None:
    assert sentence(given, kind) == told


METRICS = [
    "size_ratio", "latency_ratio", "peak_memory_ratio", "cosine_mean", "nearest_neighbour_kept", "batch_difference_max",
    "parameter_count", "size_bytes", "anything_else",
]  # fmt: skip


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    "value", ["0", "-1", "-0.5", "1" + "0" * 300, "0." + "0" * 300 + "1", "123456789.123456789123456789"]
)
def test_no_value_that_somebody_declares_breaks_a_page(metric: str, value: str) -> None:
    told = sentence(figure(metric, value, low=value, high=value, n=2), "quality")
    assert told.endswith(".")
    assert "E+" not in told
    assert "e-" not in told.lower().replace("time-", "")

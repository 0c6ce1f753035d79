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
            "For race = 2 and sex = 1: The model is right on 50 % of the rows.",
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


MINUS = {"low": "-0.021", "high": "-0.009", "n": 2000}


@pytest.mark.parametrize(
    ("given", "kind", "told"),
    [
        (
            figure("accuracy_difference", "-0.015", "share", **MINUS),
            "comparison-parent",
            "The model lost 1.5 points in accuracy against the original (n = 2,000; 95 % interval -2.1 points to -0.9 points).",
        ),
        (
            figure("accuracy_difference", "0.01", "share", low="-0.002", high="0.022", n=2000),
            "comparison-incumbent",
            "The model won 1 point in accuracy against the incumbent, which chance alone could explain "
            "(n = 2,000; 95 % interval -0.2 points to 2.2 points).",
        ),
        (
            figure("absolute_error_difference", "0.25", "output_unit", low="0.2", high="0.3", n=9),
            "comparison-first",
            "The model lost 0.25 in mean error against the first approved version (n = 9; 95 % interval 0.2 to 0.3).",
        ),
        (
            figure("accuracy_difference", "0", "share", n=5),
            "comparison-parent",
            "The model neither lost nor won in accuracy against the original (n = 5).",
        ),
        (
            figure(
                "worst_slice_difference",
                "-0.15",
                "share",
                n=90,
                slice=[{"name": "found", "value": "income < 40 and race = 2"}],
            ),
            "comparison-parent",
            "For rows with income < 40 and race = 2: "
            "Nearest of all slices to a loss, the model lost 15 points against the original (n = 90).",
        ),
        (
            figure("worst_slice_difference", "-0.15", "share", n=90, low="-0.2", high="-0.1"),
            "comparison-parent",
            "Worst of all slices, the model lost 15 points against the original, with an interval for all of them together "
            "(n = 90; 95 % interval -20 points to -10 points).",
        ),
        (
            figure("worst_slice_difference", "0.3", "output_unit", n=90, low="-0.1", high="0.7"),
            "comparison-parent",
            "No slice surely lost; nearest to it, the model lost 0.3 against the original, with an interval for all of them "
            "together (n = 90; 95 % interval -0.1 to 0.7).",
        ),
        (
            figure(
                "flips_from_to",
                "0.02",
                "share",
                n=90,
                slice=[{"name": "from", "value": "3"}, {"name": "to", "value": "8"}],
            ),
            "comparison-parent",
            "For rows from 3 and rows to 8: 2 % of the rows that were lost went this way (n = 90).",
        ),
        (
            figure("mcnemar_p", "0.003", "probability", n=90),
            "comparison-parent",
            "If nothing had changed, losses and gains as uneven would come about in 0.3 % of such comparisons (McNemar's p), "
            "so something else is at work (n = 90).",
        ),
        (
            figure("adjusted_p", "0.4", "probability", n=90),
            "comparison-parent",
            "By chance alone, one of all the parts that were looked at would differ as much in 40 % of such comparisons "
            "(corrected p), so chance explains it well enough (n = 90).",
        ),
        (
            figure("smallest_detectable_loss", "0.0095", "share", n=833),
            "comparison-parent",
            "A loss of less than 0.95 points would most likely not have been seen with this many rows (n = 833).",
        ),
        (
            figure("selection_rate_gap_change", "0.02", "share", low="0.01", high="0.03", n=90),
            "fairness",
            "The gap between the groups in favourable answers grew by 2 points against the original "
            "(n = 90; 95 % interval 1 point to 3 points).",
        ),
        (
            figure("parent_accuracy", "0.88", "share", n=9),
            "quality",
            "The original is right on 88 % of the rows (n = 9).",
        ),
        (figure("incumbent_size_ratio", "2", n=1), "size", "The model is 2.00 times smaller than the incumbent."),
        (
            figure("first_latency_p50_ms", "2", "millisecond", n=9),
            "timing",
            "Half of the first approved version's answers come within 2 ms (n = 9).",
        ),
        (
            figure("cosine_mean", "0.999", "cosine", n=9),
            "fidelity-incumbent",
            "The answers agree with the incumbent's to 0.999 on average (1 is identical) (n = 9).",
        ),
        (
            figure("overconfidence", "0.06", "probability", low="0.04", high="0.08", n=9),
            "calibration",
            "The confidence of the model lies 6 points above how often it is right (n = 9; 95 % interval 4 points to 8 points).",
        ),
        (
            figure("net_benefit_per_month", "-12.5", "currency:EUR", n=9),
            "cost",
            "Against serving the original it costs 12.5 EUR a month, its own making counted in (n = 9).",
        ),
        (
            figure("energy_per_1000_predictions", "78.25", "joule", n=9),
            "energy",
            "1,000 predictions of the model take 78.25 joules (n = 9).",
        ),
        (
            figure("incumbent_energy_saved_per_prediction", "-0.5", "joule", n=9),
            "energy",
            "One prediction takes 0.5 joules more than with the incumbent (n = 9).",
        ),
        (
            figure("memory_saving_per_month", "3.5", "currency:EUR", n=1),
            "cost",
            "Memory costs 3.5 EUR less a month than with the original (n = 1).",
        ),
        (
            figure("throughput_per_second", "130993.7", "per_second", low="103470.4", high="134880.2", n=9),
            "timing",
            "The model answers 130,994 rows a second (n = 9; 95 % interval 103,470 to 134,880).",
        ),
        (
            figure("mean_abs_difference", "0.25", "output_unit", n=9),
            "fidelity-incumbent",
            "The answers lie 0.25 from those of the incumbent on average (0 is identical) (n = 9).",
        ),
        (
            figure("accuracy_difference_p", "0.4", "probability", n=9),
            "comparison-parent",
            "By chance alone, a difference in accuracy as large would come about in 40 % of such comparisons (p), "
            "so chance explains it well enough (n = 9).",
        ),
        (
            figure(
                "selection_rate_difference",
                "-0.1",
                "share",
                low="-0.15",
                high="-0.05",
                n=90,
                slice=[{"name": "race", "value": "2"}, {"name": "against", "value": "5"}],
            ),
            "fairness",
            "For race = 2 and against 5: The first group lies 10 points below the second in favourable answers "
            "(n = 90; 95 % interval -15 points to -5 points).",
        ),
        (
            figure("selection_rate_difference_change", "0.02", "share", low="0.01", high="0.03", n=90),
            "fairness",
            "The difference between the first group and the second in favourable answers rose by 2 points against the original "
            "(n = 90; 95 % interval 1 point to 3 points).",
        ),
        (
            figure("selection_rate_ratio", "0.8", n=90),
            "fairness",
            "The first group has 0.8 times the share of the second in favourable answers (n = 90).",
        ),
    ],
)
def test_a_figure_of_an_evaluation_says_lost_or_won_against_whom_and_what_chance_could_do(
    given: dict[str, Any], kind: str, told: str
) -> None:
    assert sentence(given, kind) == told


METRICS = [
    "size_ratio", "latency_ratio", "peak_memory_ratio", "cosine_mean", "nearest_neighbour_kept", "batch_difference_max",
    "parameter_count", "size_bytes", "anything_else",
    "accuracy_difference", "mcnemar_p", "best_temperature", "selection_rate_gap", "smallest_detectable_loss",
    "net_benefit_per_month", "flips_from_to", "overconfidence_difference", "incumbent_latency_ratio",
    "accuracy_excess_loss", "cpu_time_saved_ms", "energy_saved_per_prediction", "memory_saving_per_month",
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

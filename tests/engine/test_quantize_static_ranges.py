"""Ranges from counts: what the counts are, that they do not grow, and each way to choose a range against plain numpy."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compression_engine.methods.static_quantization.histogram import HALF, Histogram
from compression_engine.methods.static_quantization.ranges import RANGES, Steps, _divergence, steps_of

Numbers = np.ndarray[Any, np.dtype[np.float32]]
FLOATS = arrays.arrays(
    np.float32,
    st.integers(1, 300),
    elements=st.floats(-(2.0**99), 2.0**99, width=32, allow_nan=False, allow_subnormal=False),
)


def counted(values: Any, *cuts: int) -> Histogram:
    found = Histogram()
    for part in np.split(np.asarray(values), cuts):
        found.add(part)
    return found


def samples() -> dict[str, Numbers]:
    generator = np.random.default_rng(3)
    normal = generator.normal(size=20_000)
    found = {
        "normal": normal,
        "rectified": np.maximum(normal, 0),
        "outliers": np.where(np.arange(20_000) % 5000 == 0, 40.0, normal),
        "one-sided": generator.lognormal(size=20_000),
        "skewed": generator.gamma(2, size=20_000) - 1,
    }
    return {name: values.astype(np.float32) for name, values in found.items()}


@given(FLOATS, st.data())
@settings(max_examples=60, deadline=None)
def test_counts_depend_neither_on_the_order_of_rows_nor_on_how_they_come_together(values: Numbers, data: Any) -> None:
    cut, order = data.draw(st.integers(0, len(values))), data.draw(st.permutations(range(len(values))))
    once, again = counted(values), counted(values[list(order)], cut)
    assert np.array_equal(once.counts, again.counts)
    assert (once.exponent, once.least, once.most, once.zeros) == (again.exponent, again.least, again.most, again.zeros)


@given(FLOATS)
@settings(max_examples=60, deadline=None)
def test_every_number_is_counted_once_in_the_bin_that_it_lies_in(values: Numbers) -> None:
    assume(values.any())
    found = counted(values)
    edges = np.ldexp(np.arange(-HALF, HALF + 1, dtype=np.float64), found.exponent)
    assert found.total == len(values)
    assert np.array_equal(np.histogram(values.astype(np.float64), edges)[0], found.counts)
    assert found.zeros == int((values == 0).sum())


def test_memory_does_not_grow_with_the_numbers() -> None:
    """A tensor of 16 MiB, three times, leaves 64 KiB, and takes little more than one part of it on the way."""
    values = np.random.default_rng(0).normal(size=1 << 22).astype(np.float32)
    found = Histogram()
    tracemalloc.start()
    for _ in range(3):
        found.add(values)
    left, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.total == 3 * values.size
    assert found.counts.nbytes == 64 * 1024
    assert left < 512 * 1024
    assert most < 16 * 1024**2


@pytest.mark.parametrize("name", samples())
def test_minmax_spans_all_that_was_seen_and_zero(name: str) -> None:
    values = samples()[name].astype(np.float64)
    low, high = min(values.min(), 0), max(values.max(), 0)
    found = steps_of(counted(values), "minmax")
    assert found.scale == np.float32((high - low) / 255)
    assert found.zero == round(-low / found.scale)


@pytest.mark.parametrize("name", samples())
@pytest.mark.parametrize("percentile", [99_999, 99_900, 90_000])
def test_percentile_cuts_off_what_numpy_would(name: str, percentile: int) -> None:
    values = samples()[name].astype(np.float64)
    cut = (1 - percentile / 100_000) / 2
    low, high = np.quantile(values, [cut, 1 - cut], method="inverted_cdf")
    histogram = counted(values)
    found = steps_of(histogram, "percentile", percentile)
    assert abs(found.scale * 255 - (max(high, 0) - min(low, 0))) <= 2.01 * histogram.width


def squared_error(values: Any, steps: Steps) -> float:
    return float(((steps.rounded(values) - values) ** 2).sum())


@pytest.mark.parametrize("name", samples())
def test_mse_errs_as_little_as_the_best_of_a_thousand_ranges_tried_on_the_numbers_themselves(name: str) -> None:
    values = samples()[name].astype(np.float64)
    low, high = min(values.min(), 0), max(values.max(), 0)
    shares = np.geomspace(0.02, 1, 32)
    best = min(squared_error(values, Steps.over(low * below, high * above)) for below in shares for above in shares)
    found = steps_of(counted(values), "mse")
    assert squared_error(values, found) <= 1.02 * best
    assert squared_error(values, found) <= squared_error(values, steps_of(counted(values), "minmax"))


def divergence(values: Any, width: float, steps: Steps) -> float:
    """The definition, number by number: all that is outside stands at the ends, each step spreads its numbers over its bins."""
    bins = np.floor(values[values != 0] / width)
    places, counts = np.unique(bins, return_counts=True)
    middles = np.clip((places + 0.5) * width, values.min(), values.max())
    levels = np.rint(middles / steps.scale) + steps.zero
    inside = [at for at, level in enumerate(levels) if 0 <= level <= 255]
    seen = {at: float(counts[at]) for at in inside}
    seen[inside[0]] += float(counts[: inside[0]].sum())
    seen[inside[-1]] += float(counts[inside[-1] + 1 :].sum())
    spread = {}
    for at in inside:
        same = [other for other in inside if levels[other] == levels[at]]
        spread[at] = float(sum(counts[other] for other in same)) / len(same)
    whole, stood = sum(seen.values()), sum(spread.values())
    return float(sum(seen[at] / whole * np.log(seen[at] / whole / (spread[at] / stood)) for at in inside))


@pytest.mark.parametrize("name", ["outliers", "rectified", "skewed"])
def test_entropy_loses_as_little_as_the_best_of_the_ranges_between_a_sixteenth_and_all(name: str) -> None:
    values = samples()[name][:1200].astype(np.float64)
    histogram = counted(values)
    low, high = min(values.min(), 0), max(values.max(), 0)
    shares = 2.0 ** (-np.arange(0, 64, 4) / 16)
    best = min(divergence(values, histogram.width, Steps.over(low * share, high * share)) for share in shares)
    assert divergence(values, histogram.width, steps_of(histogram, "entropy")) <= best * 1.0001


@pytest.mark.parametrize("name", ["outliers", "skewed"])
@pytest.mark.parametrize("share", [1, 0.5, 0.1])
def test_what_entropy_measures_is_the_divergence_by_its_definition(name: str, share: float) -> None:
    values = samples()[name][:1200].astype(np.float64)
    histogram = counted(values)
    steps = Steps.over(min(values.min(), 0) * share, max(values.max(), 0) * share)
    assert _divergence(*histogram.filled(), steps) == pytest.approx(
        divergence(values, histogram.width, steps), rel=1e-9
    )


@pytest.mark.parametrize("ranges", RANGES)
@given(values=FLOATS)
@settings(max_examples=25, deadline=None)
def test_zero_stays_zero_whatever_was_seen(ranges: str, values: Numbers) -> None:
    found = steps_of(counted(values), ranges, 99_900)
    assert found.rounded(np.zeros(1))[0] == 0
    assert found.scale > 0
    assert 0 <= found.zero <= 255


@pytest.mark.parametrize("ranges", RANGES)
def test_what_was_always_zero_or_never_seen_has_steps_of_one(ranges: str) -> None:
    assert steps_of(counted(np.zeros(10)), ranges) == steps_of(Histogram(), ranges) == Steps(1.0, 0)


@pytest.mark.parametrize("ranges", ["percentile", "mse"])
def test_one_number_far_away_among_a_million_does_not_decide_the_range(ranges: str) -> None:
    values = np.random.default_rng(0).uniform(-1, 1, size=1_000_000).astype(np.float32)
    values[7] = 6
    histogram = counted(values)
    assert steps_of(histogram, ranges, 99_990).scale < 0.75 * steps_of(histogram, "minmax").scale


@pytest.mark.parametrize("none", [np.inf, -np.inf, np.nan])
def test_numbers_that_are_none_are_refused_and_not_counted(none: float) -> None:
    found = Histogram()
    with pytest.raises(ValueError, match="has no bin"):
        found.add(np.array([1.0, none]))
    assert found.total == 0

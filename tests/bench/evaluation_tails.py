"""How often intervals of errors hold the truth where tails are heavy: errors, their squares, and differences of squares.

2,000 simulated repeats a row at 500 and 1,000 rows. Squares of errors after Student's t of 3 degrees of freedom have no variance:
no interval of so few rows holds their mean as often as it says, so these rows are reported and the evaluation says it beside the
figure. What intervals held before tails were allowed for stands in each row's words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from compression_engine.measure.statistics.intervals import Floats
from compression_engine.measure.statistics.resampling import studentised_intervals
from compression_engine.measure.statistics.tails import allowing_for_tails
from tests.bench.harness import Row

REPEATS, REPEATS_QUICK = 2000, 200
LOW, HIGH = 0.935, 0.975
_SHARED_DRAWS = 10
_NO_VARIANCE = "no variance: reported, and the evaluation says so beside the figure"
Draw = Callable[[np.random.Generator, int], Floats]


def tails_rows(quick: bool) -> list[Row]:
    """All rows; `quick` takes 200 repeats, too few to judge by."""
    found = []
    for place, (case, what, draw, truth, reason) in enumerate(_cases()):
        for n in (500, 1000):
            generator = np.random.default_rng(100 * place + n)
            repeats = REPEATS_QUICK if quick else REPEATS
            simulated = _held(draw, truth, n, generator)
            held = np.array([next(simulated) for _ in range(repeats)])
            before, after, heavy = (float(share) for share in held.mean(axis=0))
            words = f"{what}, {n} rows ({before:.1%} before tails were allowed for; {heavy:.0%} said to be heavy)"
            why = reason or ("200 repeats are too few to judge by" if quick else None)
            judged, target = (None, None) if why else (LOW <= after <= HIGH, f"{LOW} to {HIGH}")
            spread = float(np.sqrt(after * (1 - after) / repeats))
            found.append(
                Row(f"tails_{case}_{n}", f"coverage: {words}", after, "share", target, judged, repeats, spread, why)
            )
    return found


def _cases() -> Iterator[tuple[str, str, Draw, float, str | None]]:
    yield "normal", "mean of squares of normal errors", lambda g, n: np.square(g.normal(size=n)), 1.0, None
    yield "laplace", "mean of squares of Laplace's errors", lambda g, n: np.square(g.laplace(size=n)), 2.0, None
    for freedom in (5, 4, 3):
        reason = _NO_VARIANCE if freedom == 3 else None
        what = f"errors after Student's t of {freedom}"
        variance = freedom / (freedom - 2)
        yield f"squares_t{freedom}", f"mean of squares of {what}", _squares(freedom), variance, reason
        yield f"difference_t{freedom}", f"difference of two models' squares of {what}", _apart(freedom), 0.0, reason
        yield (
            f"worse_t{freedom}", f"the same, one model's errors a fifth larger, {what}", _worse(freedom), 0.44 * variance, reason
        )  # fmt: skip
    mean = 2 * np.sqrt(2.5) / (1.5 * _beta(1.25, 0.5))
    yield (
        "absolute_t2.5",
        "mean of errors after Student's t of 2.5",
        lambda g, n: np.abs(g.standard_t(2.5, n)),
        mean,
        None,
    )


def _beta(a: float, b: float) -> float:
    from scipy.special import beta

    return float(beta(a, b))


def _squares(freedom: int) -> Draw:
    return lambda g, n: np.square(g.standard_t(freedom, n))


def _apart(freedom: int) -> Draw:
    return lambda g, n: np.square(g.standard_t(freedom, n)) - np.square(g.standard_t(freedom, n))


def _worse(freedom: int) -> Draw:
    def draw(generator: np.random.Generator, n: int) -> Floats:
        common, ours, theirs = generator.standard_t(freedom, (3, n))
        return np.asarray(np.square(1.2 * common + 0.1 * ours) - np.square(common + 0.1 * theirs))

    return draw


def _held(draw: Draw, truth: float, n: int, generator: np.random.Generator) -> Iterator[tuple[bool, bool, bool]]:
    """Whether the usual interval holds the truth, whether that for heavy tails does, and whether they were said to be heavy."""
    ones = np.ones(n)
    while True:
        # ten sets of data of their own see the same draws of rows: cheaper, and each as good an interval
        sets = [draw(generator, n) for _ in range(_SHARED_DRAWS)]
        makers = [lambda values=values: (values, ones) for values in sets]
        for values, ends in zip(sets, studentised_intervals(makers, n, int(generator.integers(2**31))), strict=True):
            if ends is None:
                yield False, False, False
                continue
            (low, high), reason = allowing_for_tails(values, ones, ends, int(generator.integers(2**31)))
            yield ends[0] <= truth <= ends[1], low <= truth <= high, reason is not None

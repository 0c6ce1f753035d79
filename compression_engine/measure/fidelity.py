"""How close the child's answers are to the parent's, on rows that neither was fitted to.

Figures: cosine of the answers to the same row (mean, 5 % quantile, least); largest absolute difference; for embeddings the
share of rows whose nearest neighbour stays the same, else the share whose largest entry stays the same; and whether a row
is answered the same alone and in a batch, for child and parent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compression_engine.data import Array, Encoder
from compression_engine.errors import OutputRefused
from compression_engine.measure.intervals import (
    Floats,
    bootstrap_mean,
    deviation,
    quantile_interval,
    rarer_than,
    share_interval,
)
from compression_engine.progress import Progress
from compression_engine.result import Measurement
from compression_engine.runtime import Batch, Model, answers, batches, primary_output

METHOD = "answers_compared"
UNIT = "output_unit"
_BATCHES_TAKEN_APART = 4
_EMBEDDING_WIDTH = 32
_UNIT_LENGTH_TOLERANCE = 1e-2
_NEIGHBOUR_ROWS_MAX = 5000


def measure_fidelity(child: Model, parent: Model, encoder: Encoder, seed: int, progress: Progress) -> list[Measurement]:
    """Compares child and parent row by row. Raises OutputRefused (output_not_finite) if the child answers NaN."""
    output = primary_output(parent, next(batches(encoder, 1)))
    ours = answers(child, encoder, output, progress, "fidelity")
    theirs = answers(parent, encoder, output, progress, "fidelity")
    broken = [row for row, (a, b) in enumerate(zip(ours, theirs, strict=True)) if _lost_finite(a, b)]
    if broken:
        hint = "The recipe breaks this model; use another method, or leave out the weights that it changes."
        message = f"The compressed model answers {len(broken)} of {len(ours)} rows with NaN or infinity."
        raise OutputRefused("output_not_finite", message, hint)
    found = _cosines(ours, theirs, seed)
    found.append(_largest_difference(ours, theirs))
    found += _agreement(ours, theirs)
    found.append(batch_difference(child, encoder, output, "batch_difference_max", "The compressed model"))
    found.append(batch_difference(parent, encoder, output, "parent_batch_difference_max", "The original"))
    progress("fidelity", len(ours), len(ours), "answers compared")
    return found


def cosine_rows(ours: list[Array], theirs: list[Array]) -> Floats:
    """Cosine of each pair of answers, in float64; zeros agree with zeros only, NaN stays NaN."""
    return np.array([_cosine(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(ours, theirs, strict=True)])


def batch_difference(model: Model, encoder: Encoder, output: int, metric: str, who: str) -> Measurement:
    """The largest change of an answer when a row runs alone instead of in its batch, with the same inputs."""
    worst, rows = 0.0, 0
    if encoder.fixed_rows is not None:
        reason = f"the model takes exactly {encoder.fixed_rows} rows at a time"
        return Measurement(metric, None, UNIT, 0, f"{who} cannot be run on other batches.", reason=reason)
    for batch in batches(encoder, _BATCHES_TAKEN_APART * 16):
        together = batch.rows(model.run(batch.feed)[output])
        for row in range(batch.count):
            single = Batch({name: array[row : row + 1] for name, array in batch.feed.items()}, 1)
            alone = single.rows(model.run(single.feed)[output])[0]
            worst = max(worst, _difference(alone, together[row]))
            rows += 1
    same = "exactly the same" if worst == 0 else f"the same up to {worst:.2g}"
    return Measurement(metric, worst, UNIT, rows, f"{who} answers a row {same} alone and in a batch ({rows} rows).")


def _cosines(ours: list[Array], theirs: list[Array], seed: int) -> list[Measurement]:
    cosines = cosine_rows(ours, theirs)
    n = len(cosines)
    mean, least, low_quantile = float(cosines.mean()), float(cosines.min()), float(np.quantile(cosines, 0.05))
    interval = bootstrap_mean(cosines, seed)
    quantile_low, quantile_high = quantile_interval(cosines, 0.05)
    return [
        Measurement(
            "cosine_mean",
            mean,
            "cosine",
            n,
            f"On {n} rows the answers agree with the original's to {mean:.4f} on average (1 is identical).",
            low=interval[0] if interval else None,
            high=interval[1] if interval else None,
            spread=deviation(cosines),
            reason=None if interval else "one row gives no interval",
        ),
        Measurement(
            "cosine_min",
            least,
            "cosine",
            n,
            f"The least agreement of any of the {n} rows is {least:.4f}; with 95 % confidence at most "
            f"{100 * rarer_than(n):.1f} % of such rows agree less.",
            reason="the least value of a sample has no interval; the sentence says how rare lower ones are",
        ),
        Measurement(
            "cosine_p05",
            low_quantile,
            "cosine",
            n,
            f"19 of 20 rows agree to {low_quantile:.4f} or better.",
            low=quantile_low,
            high=quantile_high,
            reason=None
            if quantile_low is not None and quantile_high is not None
            else f"{n} rows do not bound both ends",
        ),
    ]


def _largest_difference(ours: list[Array], theirs: list[Array]) -> Measurement:
    worst = max(_difference(a, b) for a, b in zip(ours, theirs, strict=True))
    plain = f"No entry of an answer moved by more than {worst:.3g} on {len(ours)} rows."
    return Measurement("max_abs_difference", worst, UNIT, len(ours), plain, reason="a largest value has no interval")


def _agreement(ours: list[Array], theirs: list[Array]) -> list[Measurement]:
    widths = {len(answer) for answer in theirs}
    if len(widths) != 1 or len(ours) < 3 or widths == {1}:
        return []
    a, b = np.stack(ours).astype(np.float64), np.stack(theirs).astype(np.float64)
    lengths = np.linalg.norm(b, axis=1)
    if b.shape[1] >= _EMBEDDING_WIDTH and np.all(np.abs(lengths - 1) < _UNIT_LENGTH_TOLERANCE):
        a, b = a[:_NEIGHBOUR_ROWS_MAX], b[:_NEIGHBOUR_ROWS_MAX]
        kept = int((_neighbours(a) == _neighbours(b)).sum())
        return [_share("nearest_neighbour_kept", kept, len(a), "keep the same nearest neighbour among the others")]
    kept = int((a.argmax(axis=1) == b.argmax(axis=1)).sum())
    return [_share("top1_agreement", kept, len(a), "keep the same first choice")]


def _share(metric: str, kept: int, n: int, what: str) -> Measurement:
    low, high = share_interval(kept, n)
    return Measurement(metric, kept / n, "share", n, f"{kept} of {n} rows {what}.", low=low, high=high)


def _neighbours(rows: Floats) -> NDArray[np.intp]:
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    nearest: NDArray[np.intp] = similarity.argmax(axis=1)
    return nearest


def _cosine(a: Floats, b: Floats) -> float:
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    if not np.isfinite(lengths):
        return float("nan")
    if lengths == 0:
        return 1.0 if np.array_equal(a, b) else 0.0
    return min(1.0, max(-1.0, float(a @ b) / lengths))


def _difference(a: Array, b: Array) -> float:
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max(initial=0.0))


def _lost_finite(ours: Array, theirs: Array) -> bool:
    return bool(np.isfinite(theirs).all() and not np.isfinite(ours).all())

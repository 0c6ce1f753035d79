"""Counts how inputs and answers are distributed over bins, so that drift can be judged without keeping a row.

Rules:
- bins are frozen: chosen once as deciles of the baseline, then given again for every window;
- with k edges there are k + 1 bins, open at both ends: bin i holds edges[i-1] <= x < edges[i];
- a row whose value is no number counts as missing.
Features: tokens of a text or the mean of an array; agreement with the parent; eight fixed random directions of the answer,
drawn from the feature's name, so that every instance looks along the same ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise

import numpy as np

from compression_engine.canonical import JSON, decimal_text, is_decimal
from compression_engine.data import Array, Encoder
from compression_engine.errors import DataError
from compression_engine.measure.fidelity import cosine_rows
from compression_engine.measure.statistics.intervals import Floats
from compression_engine.progress import Progress
from compression_engine.runtime import Model, answers, batches, primary_output

DISTRIBUTION_TYPE = "pressmark/distribution/1"
PROJECTIONS = 8
_BINS = 10


@dataclass(frozen=True)
class Bins:
    """The frozen edges of one feature, ascending."""

    name: str
    edges: tuple[float, ...]


def measure_distribution(
    model: Model, parent: Model | None, encoder: Encoder, bins: Sequence[Bins] | None, progress: Progress
) -> dict[str, JSON]:
    """The distribution document. With `bins` every feature of theirs must be one of this model and these data."""
    found = _features(model, parent, encoder, progress)
    if bins is None:
        bins = [Bins(name, choose_edges(values)) for name, values in found.items()]
    unknown = [entry.name for entry in bins if entry.name not in found]
    if unknown:
        hint = "Use the same kind of rows as for the baseline, and --parent if the baseline was made with it."
        raise DataError("data_does_not_fit", f"The bins name the feature {unknown[0]!r}, which is not here.", hint)
    features = [_counted(entry, found[entry.name]) for entry in bins]
    return {"features": features, "n": len(encoder.rows), "type": DISTRIBUTION_TYPE}


def parse_bins(document: JSON) -> list[Bins]:
    """Frozen bins from a document with `features`, each with `name` and `edges`; raises DataError."""
    hint = "Give a distribution that observe wrote, or {'features':[{'name':...,'edges':[...]}]}."
    entries = document.get("features") if isinstance(document, Mapping) else None
    if not isinstance(entries, list) or not entries:
        raise DataError("data_does_not_fit", "The bins have no features.", hint)
    found = []
    for entry in entries:
        name = entry.get("name") if isinstance(entry, Mapping) else None
        edges = entry.get("edges") if isinstance(entry, Mapping) else None
        if not isinstance(name, str) or not isinstance(edges, list):
            raise DataError("data_does_not_fit", "A feature of the bins has no name or no edges.", hint)
        if not all(isinstance(edge, str) and is_decimal(edge) for edge in edges):
            raise DataError("data_does_not_fit", f"The edges of {name!r} are not decimals written as text.", hint)
        numbers = tuple(float(Decimal(edge)) for edge in edges)
        if any(a >= b for a, b in pairwise(numbers)):
            raise DataError("data_does_not_fit", f"The edges of {name!r} do not ascend.", hint)
        found.append(Bins(name, numbers))
    return found


def choose_edges(values: Floats) -> tuple[float, ...]:
    """The inner deciles of the finite values, doubled ones once."""
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return ()
    # a value of the data itself, so that the edge has the few digits that the data have
    edges = np.quantile(finite, np.arange(1, _BINS) / _BINS, method="higher")
    return tuple(float(edge) for edge in np.unique(edges))


def _counted(bins: Bins, values: Floats) -> dict[str, JSON]:
    finite = values[np.isfinite(values)]
    places = np.searchsorted(np.array(bins.edges), finite, side="right")
    counts = np.bincount(places, minlength=len(bins.edges) + 1)
    return {
        "counts": [int(count) for count in counts],
        "edges": [decimal_text(edge) for edge in bins.edges],
        "missing": int(len(values) - len(finite)),
        "name": bins.name,
    }


def _features(model: Model, parent: Model | None, encoder: Encoder, progress: Progress) -> dict[str, Floats]:
    output = primary_output(model, next(batches(encoder, 1)))
    ours = answers(model, encoder, output, progress, "observe")
    found = _input_features(encoder)
    if parent is not None:
        theirs = answers(parent, encoder, output, progress, "observe")
        found["cosine_to_parent"] = cosine_rows(ours, theirs)
    for number in range(PROJECTIONS):
        name = f"output_projection_{number}"
        found[name] = np.array([_projection(name, answer) for answer in ours])
    progress("observe", len(ours), len(ours), "rows counted")
    return found


def _input_features(encoder: Encoder) -> dict[str, Floats]:
    counts = encoder.token_counts()
    if counts is not None:
        return {"token_count": counts.astype(np.float64)}
    found = {}
    for name in sorted(encoder.rows.arrays):
        array = encoder.rows.arrays[name]
        found[f"input_mean_{name}"] = array.reshape(len(array), -1).astype(np.float64).mean(axis=1)
    return found


def _projection(name: str, answer: Array) -> float:
    if not np.isfinite(answer).all():
        return float("nan")
    # not a product of vectors: a BLAS with more threads would add up in another order
    return float((answer.astype(np.float64) * _direction(name, len(answer))).sum())


@lru_cache(maxsize=256)
def _direction(name: str, width: int) -> Floats:
    """A unit vector of equal entries whose signs are the bits of SHAKE-256 over the name: the same with every library."""
    drawn = np.frombuffer(hashlib.shake_256(name.encode()).digest((width + 7) // 8), dtype=np.uint8)
    signs = np.unpackbits(drawn)[:width].astype(np.float64) * 2 - 1
    direction: Floats = signs / np.sqrt(width)
    return direction

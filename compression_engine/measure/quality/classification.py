"""Quality of a classifier: top-1 and top-5 accuracy, balanced accuracy, macro F1, area under the ROC curve, log loss.

Definitions are scikit-learn's: balanced accuracy is the mean recall of the classes that occur; macro F1 the mean over classes
that occur as label or as answer; the area is one against the rest, averaged; log loss is in nats, cut at the machine epsilon.
Intervals: Wilson for shares; DeLong on the logit scale for the area; 2,000 resamples of rows for the others. Where rows belong
to sequences all of them are made for whole sequences.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import VERSION, Outputs
from compression_engine.measure import scores
from compression_engine.measure.probabilities import Probabilities
from compression_engine.measure.quality import auroc
from compression_engine.measure.statistics import bootstrap
from compression_engine.measure.statistics.intervals import Floats, deviation
from compression_engine.plan import Plan
from compression_engine.result import Measurement

Counts = NDArray[np.int64]
Classes = NDArray[np.intp]
CountsFigure = Callable[[Counts, Counts, Counts], Floats]
_TOP = 5
_SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)
_NAMES = {"balanced_accuracy": "balanced accuracy", "f1_macro": "macro F1"}
_MEANINGS = {
    "balanced_accuracy": "is right for {:.1%} of the rows of a class, averaged over the classes",
    "f1_macro": "has a macro F1 of {:.4f}",
}
_OTHERS = {"parent": "original", "incumbent": "incumbent", "first": "first approved version"}
_LONE_CLASS = "a class with one row gives no interval"
_PERFECT = "the area is perfect, or a class has one row: no interval"


def figures(outputs: Outputs, role: str, plan: Plan, seed: int, who: str) -> list[Measurement]:
    """All figures of one classifier; `seed` draws the resamples."""
    right, chosen = scores.labels(outputs, plan), scores.predicted(outputs, role, plan)
    probabilities, clusters = scores.probabilities(outputs, role, plan), outputs.sequences
    found = [_share("accuracy", chosen == right, seed, clusters, f"{who} is right for")]
    if probabilities.shape[1] > _TOP:
        hits = among_first(probabilities, right, _TOP)
        words = f"{who} has the right class among its first five for"
        found.append(_share("top5_accuracy", hits, seed, clusters, words))
    for metric, (value, ends) in _of_counts(right, [chosen], seed, clusters).items():
        plain = f"{who} {_MEANINGS[metric].format(value)} ({len(right)} rows)."
        found.append(_measured(metric, value, "share", len(right), plain, ends))
    found.append(_area(probabilities, right, clusters, who))
    found.append(_log_loss(probabilities, right, seed, clusters, who))
    return found


def differences(outputs: Outputs, other: str, plan: Plan, seed: int) -> list[Measurement]:
    """Version minus another model for the figures that are no means of rows, over the same rows."""
    right, clusters = scores.labels(outputs, plan), outputs.sequences
    pair = [scores.predicted(outputs, role, plan) for role in (VERSION, other)]
    found = []
    for metric, (value, ends) in _of_counts(right, pair, seed, clusters).items():
        plain = f"The {_NAMES[metric]} differs from the {_OTHERS[other]}'s by {value:+.4f} ({len(right)} rows)."
        found.append(_measured(f"{metric}_difference", value, "share", len(right), plain, ends))
    areas = [auroc.area(scores.probabilities(outputs, role, plan), right) for role in (VERSION, other)]
    if areas[0] is not None and areas[1] is not None:
        value = areas[0].value - areas[1].value
        plain = f"The area under the ROC curve differs from the {_OTHERS[other]}'s by {value:+.4f} ({len(right)} rows)."
        ends = auroc.difference_interval(areas[0], areas[1], right, clusters) or bootstrap.NO_INTERVAL
        found.append(_measured("auroc_difference", value, "share", len(right), plain, ends, _LONE_CLASS))
    return found


def among_first(probabilities: Probabilities, right: Classes, count: int) -> NDArray[np.bool_]:
    """Whether the right class is one of the `count` with the largest scores; of equal ones the first counts as larger; [rows]."""
    found = np.empty(len(right), dtype=bool)
    for part, block in probabilities.blocks():
        own = block[np.arange(len(block)), right[part]][:, None]
        earlier = np.arange(block.shape[1])[None, :] < right[part][:, None]
        found[part] = ((block > own) | ((block == own) & earlier)).sum(axis=1) < count
    return found


def balanced_accuracy(hits: Counts, labelled: Counts, answered: Counts) -> Floats:
    """Mean recall of the classes that occur; counts [resamples, classes] -> [resamples]."""
    return _mean_where(hits, labelled)


def f1_macro(hits: Counts, labelled: Counts, answered: Counts) -> Floats:
    """Mean F1 of the classes that occur as label or as answer; counts [resamples, classes] -> [resamples]."""
    return _mean_where(2 * hits, labelled + answered)


FIGURES_OF_COUNTS: dict[str, CountsFigure] = {"balanced_accuracy": balanced_accuracy, "f1_macro": f1_macro}


def _of_counts(
    right: Classes, answers: list[Classes], seed: int, clusters: bootstrap.Clusters
) -> dict[str, tuple[float, bootstrap.Interval]]:
    """The figures of counts by class; of two models their differences, the answers of a row kept together."""
    classes, compact = np.unique(np.stack([right, *answers]), return_inverse=True)
    cells, codes = np.unique(compact.reshape(len(answers) + 1, -1), axis=1, return_inverse=True)

    def of(counts: Counts) -> Floats:
        labelled = _by_class(counts, cells[0], len(classes))
        found = []
        for chosen in cells[1:]:
            hits = _by_class(counts * (chosen == cells[0]), cells[0], len(classes))
            answered = _by_class(counts, chosen, len(classes))
            figures = [figure(hits, labelled, answered) for figure in FIGURES_OF_COUNTS.values()]
            found.append(np.stack(figures, axis=1))
        return found[0] if len(found) == 1 else np.asarray(found[0] - found[1])

    codes = codes.reshape(-1)
    values = of(np.bincount(codes)[None, :])[0]
    ends = bootstrap.intervals_of_counts(codes, of, len(values), seed, clusters)
    return {name: (float(value), end) for name, value, end in zip(FIGURES_OF_COUNTS, values, ends, strict=True)}


def _by_class(counts: Counts, classes: Classes, count: int) -> Counts:
    """[resamples, cells] -> [resamples, classes]: the cells of each class summed."""
    order = np.argsort(classes, kind="stable")
    there, starts = np.unique(classes[order], return_index=True)
    found = np.zeros((len(counts), count), dtype=np.int64)
    found[:, there] = np.add.reduceat(counts[:, order], starts, axis=1)
    return found


def _mean_where(parts: Counts, wholes: Counts) -> Floats:
    there = wholes > 0
    shares = np.divide(parts, wholes, out=np.zeros(wholes.shape), where=there)
    return np.asarray(shares.sum(axis=1) / there.sum(axis=1))


def _area(probabilities: Probabilities, right: Classes, clusters: bootstrap.Clusters, who: str) -> Measurement:
    found = auroc.area(probabilities, right)
    n = len(right)
    if found is None:
        plain = f"{who} has no area under the ROC curve: all {n} rows have the same label."
        return Measurement("auroc", None, "share", n, plain, reason="all rows have the same label")
    ends = auroc.interval(found, right, clusters) or bootstrap.NO_INTERVAL
    left_out = probabilities.shape[1] - found.classes if probabilities.shape[1] > 2 else 0
    note = f"; {left_out} classes without rows are left out" if left_out else ""
    plain = f"{who} ranks a row of a class above one of another in {found.value:.2%} of the cases ({n} rows{note})."
    return _measured("auroc", found.value, "share", n, plain, ends, _PERFECT)


def _log_loss(
    probabilities: Probabilities, right: Classes, seed: int, clusters: bootstrap.Clusters, who: str
) -> Measurement:
    own = probabilities.of(right)
    losses = -np.log(np.clip(own, _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY))
    value = float(losses.mean())
    plain = f"{who} has a log loss of {value:.4f} nats on {len(right)} rows (0 is perfect)."
    ends = bootstrap.interval_of_mean(losses, seed, clusters, bootstrap.NOT_NEGATIVE)
    return _measured("log_loss", value, "nat", len(right), plain, ends, spread=deviation(losses))


def _share(metric: str, hits: NDArray[np.bool_], seed: int, clusters: bootstrap.Clusters, words: str) -> Measurement:
    count, n = int(hits.sum()), len(hits)
    plain = f"{words} {count} of {n} rows ({count / n:.1%})."
    return _measured(metric, count / n, "share", n, plain, bootstrap.interval_of_share(hits, seed, clusters))


def _measured(
    metric: str,
    value: float,
    unit: str,
    n: int,
    plain: str,
    ends: bootstrap.Interval,
    reason: str = bootstrap.TOO_FEW,
    spread: float | None = None,
) -> Measurement:
    missing = None if None not in ends else reason
    return Measurement(metric, value, unit, n, plain, ends[0], ends[1], spread, missing)

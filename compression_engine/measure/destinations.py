"""Where lost rows go, and which answers the version gives more or less often: what a backdoor or a collapsed class shows.

Rows of one sequence depend on each other: their shares are told, without intervals and without a judgement.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from compression_engine.answers.outputs import VERSION, Outputs
from compression_engine.measure import scores, told
from compression_engine.measure.probabilities import Probabilities, row_blocks
from compression_engine.measure.slicing import class_name
from compression_engine.measure.statistics.flips import Destination, doubts, judge_destinations, most_frequent_pairs
from compression_engine.measure.statistics.intervals import Floats, paired_share_interval, share_interval
from compression_engine.plan import Plan
from compression_engine.result import Measurement

_SHOWN = 10


def destination_figures(outputs: Outputs, role: str, plan: Plan) -> list[Measurement]:
    """For classifiers with labels: the most frequent flips, the most suspicious destination, the change of each answer."""
    if plan.task != "classification" or outputs.labels is None:
        return []
    ours, theirs = (scores.predicted(outputs, who, plan) for who in (VERSION, role))
    right = scores.labels(outputs, plan)
    lost = np.flatnonzero((theirs == right) & (ours != right))
    figures = _pairs(theirs[lost], ours[lost], plan)
    if len(lost) and outputs.sequences is None:
        shares = _doubts(scores.probabilities(outputs, role, plan), lost, right)
        figures += _destination(judge_destinations(ours[lost], shares), len(shares), len(lost), plan)
    figures += _shifts(ours, theirs, role, plan)
    return figures if outputs.sequences is None else [_unbounded(figure) for figure in figures]


def _doubts(model: Probabilities, lost: NDArray[np.intp], right: NDArray[np.intp]) -> Floats:
    """The mean doubts of a model over some rows, [classes]."""
    found = np.zeros(model.shape[1])
    for part in row_blocks(len(lost), model.shape[1]):
        found += doubts(model.rows(lost[part]), right[lost[part]]).sum(axis=0)
    return found / len(lost)


def _unbounded(figure: Measurement) -> Measurement:
    return replace(figure, low=None, high=None, reason="rows of one sequence depend on each other")


def _pairs(sources: NDArray[np.intp], targets: NDArray[np.intp], plan: Plan) -> list[Measurement]:
    figures = []
    for source, target, count in most_frequent_pairs(sources, targets)[:_SHOWN]:
        name = (("from", class_name(plan, source)), ("to", class_name(plan, target)))
        low, high = share_interval(count, len(sources))
        plain = f"{count} of {len(sources)} lost rows go from {name[0][1]} to {name[1][1]}."
        share = count / len(sources)
        figures.append(Measurement("flips_from_to", share, "share", len(sources), plain, low, high, slice=name))
    return figures


def _destination(judged: list[Destination], classes: int, lost: int, plan: Plan) -> list[Measurement]:
    if not judged:
        reason = "with two classes there is one place to go; the slices by answer say who pays"
        plain = f"Where the {lost} lost rows go says nothing: there are {classes} classes."
        return [Measurement("flip_destination_p", None, "probability", lost, plain, reason=reason)]
    first = judged[0]
    name = (("to", class_name(plan, first.to)),)
    low, high = share_interval(first.count, lost)
    strange = "more than ordinary losses do" if first.p <= told.LEVEL else "as ordinary losses may"
    plain = (
        f"{first.count} of {lost} lost rows go to {name[0][1]}, {strange}: by the doubts of the other model "
        f"{100 * first.expected:.0f} % would."
    )
    judged_by = (
        f"That {name[0][1]} draws 25 points more of the lost rows than those doubts would send there "
        f"is judged by p = {first.p:.3g}."
    )
    doubted = (
        f"By the doubts of the other model {100 * first.expected:.1f} % of the lost rows would go to {name[0][1]}."
    )
    spread_reason = "an expectation on the rows that were lost"
    p_reason = "a p-value has no interval"
    return [
        Measurement("flip_destination_share", first.count / lost, "share", lost, plain, low, high, slice=name),
        Measurement(
            "flip_destination_expected", first.expected, "share", lost, doubted, reason=spread_reason, slice=name
        ),
        Measurement("flip_destination_p", first.p, "probability", lost, judged_by, reason=p_reason, slice=name),
    ]


def _shifts(ours: NDArray[np.intp], theirs: NDArray[np.intp], role: str, plan: Plan) -> list[Measurement]:
    """How much more or less often a class is answered, the largest changes first."""
    n, apart = len(ours), ours != theirs
    answers = np.union1d(ours, theirs)
    width = int(answers.max()) + 1
    mores, lesses = (np.bincount(chosen[apart], minlength=width)[answers] for chosen in (ours, theirs))
    order = np.argsort(-np.abs(mores - lesses), kind="stable")[:_SHOWN]
    figures = []
    for index, more, less in ((int(answers[place]), int(mores[place]), int(lesses[place])) for place in order):
        low, high = paired_share_interval(less, more, n)
        name = (("answer", class_name(plan, index)),)
        share = (more - less) / n
        plain = (
            f"The answer {name[0][1]} is given {more} times where {told.NAMES[role]} answers otherwise, "
            f"and {less} times the other way round, of {n} rows."
        )
        figures.append(Measurement("answer_share_difference", share, "share", n, plain, low, high, slice=name))
    return figures

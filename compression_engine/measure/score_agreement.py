"""How far the version's scores moved as a distribution and as an order: divergences and rank correlation.

Rules:
- divergences (nats) only where answers are known to be distributions: a classifier's, a sequence's frames, or answers that look
  like probabilities; they are of the version from the other model, KL(other || version);
- for a sequence the divergence of a row is the mean over its frames;
- rank correlation is Spearman's over the entries of a row (average ranks of equal ones), averaged over rows; a row whose entries
  are all equal has no order and is left out.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from compression_engine.answers.outputs import VERSION, Outputs
from compression_engine.data import Array
from compression_engine.measure import decoding, scores
from compression_engine.measure.figures import OTHERS, mean
from compression_engine.measure.probabilities import look_like_probabilities
from compression_engine.measure.statistics import divergence
from compression_engine.measure.statistics.intervals import Floats
from compression_engine.measure.statistics.ranks import average_ranks
from compression_engine.plan import Plan
from compression_engine.result import Measurement

_RANKED_WIDTH = 3
_BLOCK_ENTRIES = 2_000_000
_DIVERGENCES = (
    ("kl_divergence", divergence.kullback_leibler, "Kullback-Leibler"),
    ("js_divergence", divergence.jensen_shannon, "Jensen-Shannon"),
)


def figures(outputs: Outputs, role: str, plan: Plan, seed: int) -> list[Measurement]:
    """What applies of the three figures; the answers of both models are finite and of one form."""
    return _divergences(outputs, role, plan, seed) + _rank_correlation(outputs, role, seed)


def _divergences(outputs: Outputs, role: str, plan: Plan, seed: int) -> list[Measurement]:
    rows: list[list[Floats]] = [[] for _ in _DIVERGENCES]
    for ours, theirs in _distributions(outputs, role, plan):
        for values, (_, figure, _) in zip(rows, _DIVERGENCES, strict=True):
            found = figure(theirs, ours)
            values.append(found if plan.task != "sequence" else found.mean(keepdims=True))
    if not rows[0]:
        return []
    measured = []
    for values, (metric, _, name) in zip(rows, _DIVERGENCES, strict=True):
        words = f"The {name} divergence from the {OTHERS[role]}'s distribution is {{:.3g}} nats, mean of {{}} rows."
        measured.append(mean(metric, np.concatenate(values), "nat", outputs.sequences, seed, words))
    return measured


def _distributions(outputs: Outputs, role: str, plan: Plan) -> Iterator[tuple[Floats, Floats]]:
    """Pairs of log probabilities [some, classes]: of a block of rows, or of the frames of one row."""
    if plan.task == "sequence":
        for index in range(len(outputs)):
            pair = [decoding.frames(outputs.answer(name), index, plan) for name in (VERSION, role)]
            if len(pair[1]):
                given = _are_probabilities(pair[1], plan)
                yield _logarithms(pair[0], given), _logarithms(pair[1], given)
        return
    ours, theirs = outputs.answer(VERSION).matrix(), outputs.answer(role).matrix()
    if ours is None or theirs is None or plan.task not in ("none", "classification"):
        return
    given = (
        scores.are_probabilities(outputs, plan) if plan.task == "classification" else _are_probabilities(theirs, plan)
    )
    if plan.task == "none" and (not given or theirs.shape[1] == 1):
        return
    size = max(1, _BLOCK_ENTRIES // theirs.shape[1])
    for start in range(0, len(theirs), size):
        part = slice(start, start + size)
        yield _logarithms(ours[part], given), _logarithms(theirs[part], given)


def _are_probabilities(rows: Array, plan: Plan) -> bool:
    return look_like_probabilities(rows) if plan.scores is None else plan.scores == "probabilities"


def _logarithms(rows: Array, given: bool) -> Floats:
    wide = rows.astype(np.float64)
    if wide.shape[1] == 1:
        wide = np.concatenate([1 - wide if given else np.zeros_like(wide), wide], axis=1)
    return divergence.logarithms(wide) if given else divergence.log_softmax(wide)


def _rank_correlation(outputs: Outputs, role: str, seed: int) -> list[Measurement]:
    ours, theirs = outputs.answer(VERSION).matrix(), outputs.answer(role).matrix()
    if ours is None or theirs is None or theirs.shape[1] < _RANKED_WIDTH:
        return []
    found = []
    size = max(1, _BLOCK_ENTRIES // theirs.shape[1])
    for start in range(0, len(theirs), size):
        a, b = (average_ranks(part[start : start + size]) for part in (ours, theirs))
        a, b = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (a, b))
        lengths = np.sqrt(np.square(a).sum(axis=1) * np.square(b).sum(axis=1))
        found.append(np.divide((a * b).sum(axis=1), lengths, out=np.full(len(a), np.nan), where=lengths > 0))
    values = np.concatenate(found)
    there = ~np.isnan(values)
    if not there.any():
        return []
    clusters = None if outputs.sequences is None else outputs.sequences[there]
    words = (
        f"The entries of an answer stand in the {OTHERS[role]}'s order to {{:.4f}} (1: the same), mean of {{}} rows."
    )
    return [mean("rank_correlation", np.clip(values[there], -1, 1), "ratio", clusters, seed, words)]

"""Quality of a causal language model: perplexity and how often its first choice is the next token, also by context length.

Perplexity is exp of the mean negative log probability (nats) over all predicted tokens. Intervals come from resamples of whole
rows, since tokens of one text are not independent; n counts rows, the sentence says how many tokens. A mean of more than 700 nats
(a model that is certain of other tokens) has no perplexity that a number can hold, and says so.
"""

from __future__ import annotations

import math

import numpy as np

from compression_engine.answers.outputs import Outputs
from compression_engine.measure import scores
from compression_engine.measure.language import Tokens, context_bins, tokens_of
from compression_engine.measure.statistics import bootstrap
from compression_engine.plan import Plan
from compression_engine.result import Measurement

_NATS_MAX = 700.0
_METRICS = {
    "perplexity": (scores.TOKEN_NLL, "ratio"),
    "token_accuracy": (scores.TOKEN_CORRECT, "share"),
}


def figures(outputs: Outputs, role: str, plan: Plan, seed: int, who: str) -> list[Measurement]:
    """Both figures over all tokens, then by the number of tokens that the model had seen before."""
    fields = outputs.models[role]
    found = []
    for metric, (field, unit) in _METRICS.items():
        tokens = tokens_of(fields[field])
        found.append(_figure(metric, unit, tokens, None, seed, who))
        bins = context_bins(tokens)
        if len(bins) > 1:
            found += [_figure(metric, unit, tokens, span, seed, who) for span in bins]
    return found


def _figure(metric: str, unit: str, tokens: Tokens, span: tuple[int, int] | None, seed: int, who: str) -> Measurement:
    sums, counts = tokens.sums(span)
    there = counts > 0
    n, total = int(there.sum()), int(counts.sum())
    where = () if span is None else (("context_tokens", f"{span[0]}-{span[1]}"),)
    after = "" if span is None else f" after {span[0]} to {span[1]} tokens"
    if total == 0:
        plain = f"{who} has no {metric.replace('_', ' ')}: no row has a token to predict."
        return Measurement(metric, None, unit, 0, plain, reason="no row has a token to predict", slice=where)
    value = float(sums.sum() / total)
    within = bootstrap.NOT_NEGATIVE if metric == "perplexity" else bootstrap.SHARE
    ends = bootstrap.interval_of_ratio(sums[there], counts[there].astype(np.float64), seed, None, within)
    low, high = ends
    if metric == "perplexity" and value > _NATS_MAX:
        plain = f"{who} has no perplexity{after}: it expects the {total} tokens of {n} rows so little that it is beyond counting."
        beyond = f"the mean loss is {value:.4g} nats a token"
        return Measurement(metric, None, unit, n, plain, reason=beyond, slice=where)
    if metric == "perplexity":  # exp keeps the order, so it may be taken of the ends
        value, (low, high) = math.exp(value), (None if end is None else _raised(end) for end in ends)
    reason = bootstrap.TOO_FEW if low is None or high is None else None
    if metric == "perplexity":
        plain = f"{who} has a perplexity of {value:.4g}{after} ({total} tokens of {n} rows; 1 is perfect)."
    else:
        plain = f"{who} chooses the next token{after} rightly for {value:.1%} of {total} tokens of {n} rows."
    return Measurement(metric, value, unit, n, plain, low, high, reason=reason, slice=where)


def _raised(end: float) -> float | None:
    return math.exp(end) if end <= _NATS_MAX else None

"""How close a causal language model's next-token distributions are to another model's, over all tokens and by context length.

The figures were made token by token while both models' scores were at hand (`language`). Cosine and largest difference are over
all scores of a text; agreement and divergences over tokens, with intervals from resamples of whole texts, since tokens of one text
are not independent.
"""

from __future__ import annotations

import numpy as np

from compression_engine.answers.outputs import VERSION, Field, Outputs
from compression_engine.data import Array
from compression_engine.measure import language
from compression_engine.measure.figures import OTHERS, UNIT, cosine_figures
from compression_engine.measure.language import Tokens
from compression_engine.measure.statistics import bootstrap
from compression_engine.result import Measurement


def figures(outputs: Outputs, role: str, seed: int) -> list[Measurement]:
    """All figures against one other model; one without a value where the vocabularies differ."""
    fields = outputs.models[VERSION]
    if language.kl_to(role) not in fields:
        reason = f"the {OTHERS[role]} scores another vocabulary"
        plain = f"The next-token distributions cannot be held against the {OTHERS[role]}'s: {reason}."
        return [Measurement("kl_divergence", None, "nat", 0, plain, reason=reason)]
    cosines = _column(fields[language.cosine_to(role)])
    found = cosine_figures(cosines, None, role, seed)
    found.append(_largest(_column(fields[language.difference_to(role)])))
    found += _by_context("top1_agreement", "share", _same(outputs, role), seed)
    for metric, field in (("kl_divergence", language.kl_to(role)), ("js_divergence", language.js_to(role))):
        found += _by_context(metric, "nat", language.tokens_of(fields[field]), seed)
    return found


def _same(outputs: Outputs, role: str) -> Tokens:
    ours, theirs = (outputs.models[name][language.TOP1] for name in (VERSION, role))
    return language.tokens_of(Field((ours.values == theirs.values).astype(np.float64), ours.offsets))


def _by_context(metric: str, unit: str, tokens: Tokens, seed: int) -> list[Measurement]:
    spans = language.context_bins(tokens)
    wanted = [None, *spans] if len(spans) > 1 else [None]
    return [_figure(metric, unit, tokens, span, seed) for span in wanted]


def _figure(metric: str, unit: str, tokens: Tokens, span: tuple[int, int] | None, seed: int) -> Measurement:
    sums, counts = tokens.sums(span)
    there = counts > 0
    n, total = int(there.sum()), int(counts.sum())
    where = () if span is None else (("context_tokens", f"{span[0]}-{span[1]}"),)
    if not total:
        return Measurement(
            metric, None, unit, 0, "No text has a token to predict.", reason="no text has a token to predict"
        )
    value = float(sums.sum() / total)
    within = bootstrap.SHARE if unit == "share" else bootstrap.NOT_NEGATIVE
    low, high = bootstrap.interval_of_ratio(sums[there], counts[there].astype(np.float64), seed, None, within)
    after = "" if span is None else f" after {span[0]} to {span[1]} tokens"
    if metric == "top1_agreement":
        plain = f"{value:.1%} of {total} next tokens{after} stay the first choice ({n} texts)."
    else:
        name = "Kullback-Leibler" if metric == "kl_divergence" else "Jensen-Shannon"
        plain = (
            f"The {name} divergence of the next token{after} is {value:.3g} nats, mean of {total} tokens of {n} texts."
        )
    reason = None if low is not None else bootstrap.TOO_FEW
    return Measurement(metric, value, unit, n, plain, low, high, reason=reason, slice=where)


def _largest(differences: Array) -> Measurement:
    worst, n = float(differences.max()), len(differences)
    plain = f"No score of a token moved by more than {worst:.3g} on {n} texts."
    return Measurement("max_abs_difference", worst, UNIT, n, plain, reason="a largest value has no interval")


def _column(field: Field) -> Array:
    return field.values.reshape(-1).astype(np.float64)

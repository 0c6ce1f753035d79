"""What the version lost and won against each other model on the same rows: overall, by slice, worst slice first, and where to.

Rules:
- each other model (parent, incumbent, first) has evidence of its own: children that each stay close to their parent may
  still lose, all together, against the first of their line;
- every slice that was tested counts for the correction (Holm, one-sided against a loss; Benjamini and Hochberg beside it);
- slices are ranked by the loss that is certain, so that a small noisy slice does not hide a large sure one, and one that was
  found, often a part of one that was declared, comes first only if it is surely worse; the interval of the worst one, and no
  other, allows for having been picked (Bonferroni);
- whether a slice by answer lost is judged by all rows to which either model gives that answer (see `slicing`), while its figures
  are about its own rows; if it comes first without a sure loss, it is shown by the rows that it is judged by;
- where no slice is certainly worse none is called so, and the smallest loss that could have been seen is told;
- every comparison says the smallest loss that it could have seen.
Sources: in paired, flips, slicing, power and multiplicity, where each is computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from compression_engine.answers.outputs import VERSION, Outputs
from compression_engine.measure import scores, told
from compression_engine.measure.context import Context, Found
from compression_engine.measure.destinations import destination_figures
from compression_engine.measure.sampling import Facts, among_neighbours
from compression_engine.measure.slicing import Slice, answer_slices, chosen, declared_slices, found_slices
from compression_engine.measure.statistics.multiplicity import benjamini_hochberg, holm
from compression_engine.measure.statistics.paired import Compared, Pair, compare
from compression_engine.plan import Plan
from compression_engine.result import Measurement

METHOD = "paired_comparison"
_ERROR_RATE = "character_error_rate"
_FIRST = {
    "classification": "accuracy",
    "regression": "absolute_error",
    "embedding": "recall_at_1",
    "sequence": _ERROR_RATE,
    "language-model": "token_nll",
}
"""The metric of a task by which slices are tested; the others are compared on all rows."""
_UNITS = {"absolute_error": "output_unit", "squared_error": "output_unit_squared", "token_nll": "nat"}


def measure(context: Context) -> list[Found]:
    """One comparison for each other model; none where the rows have no labels."""
    found = []
    context, drawn = among_neighbours(context)
    for role in context.outputs.others:
        pairs = pairs_with(context.outputs, role, context.plan)
        if pairs:
            found.append(_compared_with(context, role, pairs, drawn))
    return found


def pairs_with(outputs: Outputs, role: str, plan: Plan) -> list[Pair]:
    """The metrics of the task for the version and another model, the one that slices are tested by first."""
    if not len(outputs):
        return []
    ours, theirs = (scores.per_sample(outputs, who, plan) for who in (VERSION, role))
    # tokens count alike, as they do in a perplexity: the difference of token_nll is that of two perplexities' logarithms
    tokens = ours.get(scores.TOKEN_COUNT)
    if tokens is not None and not tokens.any():
        return []
    by = np.ones(len(outputs)) if tokens is None else tokens
    pairs = [
        Pair(
            metric,
            _UNITS.get(metric, "share"),
            scores.higher_is_better[metric],
            ours[metric] * by,
            theirs[metric] * by,
            tokens,
            outputs.sequences,
        )
        for metric in ours
        if metric in scores.higher_is_better and metric != "edit_distance"
    ]
    if "edit_distance" in ours and ours["label_length"].any():
        distances = ours["edit_distance"], theirs["edit_distance"]
        pairs.append(Pair(_ERROR_RATE, "ratio", False, *distances, ours["label_length"], outputs.sequences))
    return sorted(pairs, key=lambda pair: pair.metric != _FIRST.get(plan.task))


def _compared_with(context: Context, role: str, pairs: Sequence[Pair], drawn: Facts) -> Found:
    outputs, plan, seed = context.outputs, context.plan, context.seed
    pair = pairs[0]
    declared, small = declared_slices(outputs)
    slices, left_out = chosen(declared + answer_slices(outputs, role, plan) + found_slices(outputs, pair.loss, seed))
    members = [lambda: np.ones(len(outputs), dtype=bool)]
    apart = [place for place, entry in enumerate(slices) if entry.others is not None]
    asked = [*members, *(entry.member for entry in slices), *(slices[place].judged for place in apart)]
    overall, *by_slice = compare(pair, asked, seed)
    judged = by_slice[: len(slices)]
    for place, moved in zip(apart, by_slice[len(slices) :], strict=True):
        judged[place] = moved
    figures = told.comparison(pair, overall, role)
    for other in pairs[1:]:
        figures += told.comparison(other, compare(other, members[:1], seed)[0], role, first=False)
    figures += _sliced(pair, list(zip(slices, by_slice[: len(slices)], judged, strict=True)), role)
    figures += destination_figures(outputs, role, plan)
    context.progress("comparison", len(outputs), len(outputs), f"compared with {told.NAMES[role]}")
    facts = dict(_facts(pair, len(slices), left_out + small)) | dict(drawn)
    return Found(f"comparison-{role}", METHOD, figures, seed, facts=tuple(sorted(facts.items())))


def _sliced(pair: Pair, slices: Sequence[tuple[Slice, Compared, Compared]], role: str) -> list[Measurement]:
    """Figures of slices, the worst first, after how many lost and which is the worst; each with what it is judged by."""
    tested = [entry for entry in slices if entry[2].p_loss is not None]
    if not tested:
        return []
    p_values = [judged.p_loss if judged.p_loss is not None else 1.0 for _, _, judged in tested]
    corrected, discovered = holm(p_values), benjamini_hochberg(p_values)
    order = worst_first([(entry, found) for entry, found, _ in tested], corrected)
    figures = told.slices_lost(corrected, discovered)
    worst, found, judged = tested[order[0]]
    seen = [entry.smallest_among(len(tested)) for _, _, entry in tested]
    chance = corrected[order[0]]
    # rows that the version moved into a class gather its errors: they judge whether there is a loss, not how large it is
    shown = found if chance <= told.LEVEL else judged
    figures.append(told.worst_slice(pair, worst.name, shown, chance, seen, role, moved=shown is not found))
    for place in order:
        entry, found, judged = tested[place]
        figures += told.comparison(pair, found, role, entry.name)
        moved = judged is not found
        figures.append(told.adjusted(pair, entry.name, found, corrected[place], len(tested), moved))
    return figures


def worst_first(tested: Sequence[tuple[Slice, Compared]], corrected: Sequence[float]) -> list[int]:
    """Places by certain loss, losses that chance explains behind those that it does not.

    A found slice is first only if it is surely worse than the worst that was there to be looked at.
    """
    order = sorted(
        range(len(tested)), key=lambda place: (corrected[place] > told.LEVEL, -tested[place][1].certain_loss)
    )
    given = next((place for place in order if not tested[place][0].was_found), None)
    if given is not None and tested[order[0]][0].was_found:
        ours, first = tested[given][1], tested[order[0]][1]
        if corrected[given] <= told.LEVEL and ours.possible_loss >= first.certain_loss:
            order.remove(given)
            order.insert(0, given)
    return order


def _facts(pair: Pair, tested: int, left_out: int) -> Mapping[str, str]:
    facts = {
        "correction": "Holm over all slices, one-sided against a loss",
        "slices_left_out": str(left_out),
        "slices_tested": str(tested),
    }
    if pair.sequences is not None:
        facts["resampled"] = "whole sequences"
    return facts

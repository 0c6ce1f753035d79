"""Facts about what an evaluation asked: for whom, against whom, under damage, how sure, and where it is served. Pure.

Rules:
- a figure without a value answers nothing;
- where rows went, and which group stands beside which, are no groups of rows;
- what a serving host measured is declared: the program is ours, the host is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from audit.facts.base import (
    PARTIAL,
    PASSES,
    STALE,
    Fact,
    FactSpec,
    after_days,
    count_of,
    inputs_of,
    joined,
    missing,
)
from audit.facts.case import Case, Measured
from audit.snapshots import Record

_COMPARISONS = {
    "comparison-parent": "the parent", "comparison-incumbent": "the incumbent",
    "comparison-first": "the first approved version",
}  # fmt: skip
_SLICED = ("fidelity", "outputs", "quality", "fairness", *_COMPARISONS)
_NO_GROUPS = {"from", "to", "answer", "against"}


def _known(evidence: Measured) -> list[Mapping[str, Any]]:
    return [figure for figure in evidence.figures if figure["value"] is not None]


def _measured(case: Case, versions: Iterable[Record], *kinds: str) -> list[Measured]:
    """Measured evidence of the versions that answers something."""
    return [e for v in versions for e in case.evidence(v, *kinds) if e.is_measured and _known(e)]


def _without(case: Case, *kinds: str) -> list[Record]:
    """The judged versions that have no such evidence."""
    return [v for v in case.judged_versions if not _measured(case, [v], *kinds)]


def slices_measured(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Behaviour was measured for groups of rows, not only for the whole."""
    groups = {e.record.id: _groups(e) for e in _measured(case, case.judged_versions, *_SLICED)}
    sliced = [e for e in _measured(case, case.judged_versions, *_SLICED) if groups[e.record.id]]
    if not sliced:
        return missing("No figure is broken down by group, so a loss for one group would not be seen.")
    names = sorted(set().union(*groups.values()))
    sentence = f"Figures are broken down by {joined(names)}."
    return Fact(PASSES, sentence, count_of(len(names), "attribute"), inputs_of(e.record for e in sliced))


def _groups(evidence: Measured) -> set[str]:
    return {str(part["name"]) for figure in _known(evidence) for part in figure["slice"]} - _NO_GROUPS


def answers_compared(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """How often the answer of a derived version differs from its parent's, on the same rows, and which were lost and won."""
    derived = [v for v in case.versions if v.row["origin"] == "derived"]
    if not derived:
        return missing("No version was derived, so there is no parent to differ from.")
    compared = _measured(case, derived, "fidelity", *_COMPARISONS)
    if not compared:
        return missing("No derived version was compared with its parent row by row.")
    counted = [e for e in compared if _counts(e)]
    inputs = inputs_of(e.record for e in compared)
    against = [who for kind, who in _COMPARISONS.items() if any(_against(e) == kind for e in counted)]
    if not counted:
        sentence = "Child and parent were compared row by row; answers won and lost are not counted by group."
        return Fact(PARTIAL, sentence, "agreement only", inputs)
    if "the parent" not in against:
        return Fact(
            PARTIAL, f"What was lost and won is counted against {joined(against)} only.", "not the parent", inputs
        )
    return Fact(PASSES, f"What was lost and won is counted row by row against {joined(against)}.", "counted", inputs)


def _against(evidence: Measured) -> str:
    return "comparison-parent" if evidence.kind == "fidelity" else evidence.kind


def _counts(evidence: Measured) -> bool:
    """Flips; or, where an answer is not right or wrong but near or far, the paired difference."""
    metrics = {str(figure["metric"]) for figure in _known(evidence)}
    paired = evidence.kind in _COMPARISONS and any(metric.endswith("_difference") for metric in metrics)
    return paired or any(metric.startswith("flips_") for metric in metrics)


def fairness_measured(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Favourable answers and mistakes were compared between the groups that somebody named as protected."""
    found = _measured(case, case.judged_versions, "fairness")
    inputs = inputs_of(e.record for e in found)
    if not found:
        sliced = slices_measured(case, parameters)
        if sliced.outcome != PASSES:
            return missing("Nothing was compared between groups of people.")
        sentence = "Figures are broken down by group, but no groups are named between which fairness is compared."
        return Fact(PARTIAL, sentence, "slices only", sliced.inputs)
    names = joined(sorted({str(p["name"]) for e in found for f in _known(e) for p in f["slice"]} - _NO_GROUPS))
    lacking = _without(case, "fairness")
    if lacking:
        sentence = f"Rates were compared by {names}; {joined(case.title(v) for v in lacking)} was not looked at."
        return Fact(PARTIAL, sentence, "not every version", inputs)
    return Fact(PASSES, f"Rates of answers and mistakes were compared by {names}.", "compared", inputs)


def inputs_probed(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Robustness: how answers change under perturbed inputs, and whether rows of another kind are noticed."""
    damaged = _measured(case, case.judged_versions, "robustness")
    foreign = _measured(case, case.judged_versions, "out-of-distribution")
    if not damaged and not foreign:
        return missing("Robustness against changed or out-of-range inputs was not measured.")
    inputs = inputs_of(e.record for e in [*damaged, *foreign])
    lacking = _without(case, "robustness")
    if not damaged:
        sentence = "Data of another kind were tried; how answers change under damaged inputs was not measured."
        return Fact(PARTIAL, sentence, "other data only", inputs)
    if lacking:
        sentence = f"Robustness was measured, but not of {joined(case.title(v) for v in lacking)}."
        return Fact(PARTIAL, sentence, "not every version", inputs)
    more = ", and whether data of another kind are noticed" if foreign else ""
    return Fact(PASSES, f"How answers change under damaged inputs was measured{more}.", "measured", inputs)


def confidence_measured(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Whether the model is as often right as it is sure."""
    found = _measured(case, case.judged_versions, "calibration")
    if not found:
        return missing("Whether confidence can be believed was not measured.")
    inputs, lacking = inputs_of(e.record for e in found), _without(case, "calibration")
    if lacking:
        sentence = f"Confidence was held against truth, but not of {joined(case.title(v) for v in lacking)}."
        return Fact(PARTIAL, sentence, "not every version", inputs)
    return Fact(PASSES, "Confidence was held against truth.", "measured", inputs)


def target_measured(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """What is served was measured on the host that serves it, recently enough; its hosts and settings are named by digest."""
    limit = int(parameters["max_age_days"])
    if not case.live_versions:
        return missing("Nothing is live.")
    newest = [next(iter(case.evidence(v, "target")), None) for v in case.live_versions]
    found = [e for e in newest if e is not None and _known(e)]
    if not found:
        return missing("Nothing that is live was measured on the host that serves it.")
    inputs = inputs_of(e.record for e in found)
    expires = min(after_days(e.record.first_at, limit) for e in found)
    value = f"{len(found)} of {len(newest)} live versions"
    if expires <= case.now:
        return Fact(STALE, f"A measurement from a serving host is over {limit} days old.", value, inputs, expires)
    if len(found) < len(newest):
        return Fact(PARTIAL, f"Measured on the host that serves them: {value}.", value, inputs, expires)
    sentence = "What is live was measured on the host that serves it, as that host declared."
    return Fact(PASSES, sentence, value, inputs, expires)


FACTS = [
    FactSpec("slices_measured", "figures by group", slices_measured, {}),
    FactSpec("answers_compared", "answers against the parent's", answers_compared, {}),
    FactSpec("fairness_measured", "rates between protected groups", fairness_measured, {}),
    FactSpec("inputs_probed", "robustness", inputs_probed, {}),
    FactSpec("confidence_measured", "confidence against truth", confidence_measured, {}),
    FactSpec("target_measured", "measured where it is served", target_measured, {"max_age_days": 365}),
]

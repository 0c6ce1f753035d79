"""The gate: what a policy says about one version, rule by rule, from recorded facts alone.

Rules:
- only facts bound to exactly this version's digest count; a parent's figures never count for the child;
- missing evidence, a figure without value, interval or rows, and unknown terms block: silence never passes;
- declared evidence never satisfies a rule that asks for a measurement;
- a waiver helps only if the rule may be waived, is still the same rule, and the waiver has neither ended nor expired;
- a version in quarantine is blocked under every policy, and no waiver helps: the rule stands in each of them unwritten;
- every result carries its reason as one sentence and the digests and references that it was decided from.
No Django, no clock, no reading: the same policy and inputs give the same results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from registry.digests import canonical, sha256
from registry.release.data_checks import contamination, data_quality
from registry.release.evidence_checks import evidence_present, figure, short, target_evidence
from registry.release.gate_facts import (
    AncestorInput,
    DatasetInput,
    EdgeInput,
    EvidenceInput,
    Finding,
    GateInputs,
    TermInput,
    WaiverInput,
)
from registry.release.governance_checks import (
    document_attached,
    not_recalled,
    open_findings,
    quarantined,
    review_in_force,
)
from registry.release.policy_language import APPLIES_TO_ANY, QUARANTINE, PolicyRules, Rule

__all__ = [
    "CHECKS", "GRADES", "AncestorInput", "DatasetInput", "EdgeInput", "EvidenceInput", "Finding", "GateInputs", "GateResult",
    "RuleResult", "TermInput", "WaiverInput", "judge", "short",
]  # fmt: skip

Answer = Literal["passed", "waived", "blocked", "not-applicable"]
GRADES = ("declared", "executed", "re-derived")


@dataclass(frozen=True)
class RuleResult:
    """The answer to one rule."""

    rule: Rule
    answer: Answer
    reason: str
    inputs: tuple[str, ...]
    waiver: WaiverInput | None = None


@dataclass(frozen=True)
class GateResult:
    """The answers to all rules, and what follows."""

    results: tuple[RuleResult, ...]

    @property
    def outcome(self) -> str:
        answers = {r.answer for r in self.results}
        if "blocked" in answers:
            return "blocked"
        return "passed-with-waiver" if "waived" in answers else "passed"

    @property
    def blocked(self) -> list[RuleResult]:
        return [r for r in self.results if r.answer == "blocked"]


def judge(policy: PolicyRules, inputs: GateInputs) -> GateResult:
    """Every rule of the policy, answered; for a version in quarantine the rule of that first."""
    unwritten = (_QUARANTINE_RULE,) if quarantined(inputs) else ()
    return GateResult(tuple(_answer(rule, inputs) for rule in (*unwritten, *policy.rules)))


def _answer(rule: Rule, inputs: GateInputs) -> RuleResult:
    if not rule.applies(inputs.origin):
        return RuleResult(rule, "not-applicable", f"It asks nothing of a version that was {inputs.origin}.", ())
    finding = CHECKS[rule.check](rule.parameters, inputs)
    if finding.holds:
        return RuleResult(rule, "passed", finding.reason, finding.inputs)
    waiver, why_not = _waiver_for(rule, inputs)
    if waiver is None:
        return RuleResult(rule, "blocked", finding.reason + why_not, finding.inputs)
    until = waiver.expires_at.date().isoformat()
    return RuleResult(rule, "waived", f"{finding.reason} Waived until {until}.", finding.inputs, waiver)


def _waiver_for(rule: Rule, inputs: GateInputs) -> tuple[WaiverInput | None, str]:
    named = [w for w in inputs.waivers if w.rule == rule.id and w.version_digest == inputs.version_digest]
    if not named:
        return None, ""
    if not rule.waivable:
        return None, " The policy does not let this rule be waived."
    same = [w for w in named if w.rule_digest == rule.digest]
    if not same:
        return None, " A waiver was signed for an earlier wording of this rule; it does not cover this one."
    running = [w for w in same if w.ended_at is None and w.expires_at > inputs.at]
    if not running:
        return None, " The waiver for it has expired or was ended."
    return max(running, key=lambda w: w.expires_at), ""


# --- the checks ---


def _terms(parameters: Mapping[str, Any], inputs: GateInputs) -> Finding:
    term = parameters["term"]
    found = inputs.terms.get(term)
    name = term.replace("_", " ")
    if found is None or found.answer == "unknown":
        by = f" ({found.decided_by})" if found and found.decided_by else ""
        return Finding(False, f"It is not known what the licences say about {name}{by}; unknown blocks.")
    allowed = " or ".join(f"'{a}'" for a in parameters["allowed"])
    by = f", decided by {found.decided_by}" if found.decided_by else ""
    if found.answer in parameters["allowed"]:
        return Finding(True, f"The licences of the lineage answer '{found.answer}' on {name}{by}.")
    return Finding(False, f"The licences of the lineage answer '{found.answer}' on {name}{by}; {allowed} is asked.")


def _training_data(parameters: Mapping[str, Any], inputs: GateInputs) -> Finding:
    known = inputs.training_data
    holds = known in parameters["allowed"]
    return Finding(holds, f"What the version was trained on is recorded as {known}.")


def _lineage_grade(parameters: Mapping[str, Any], inputs: GateInputs) -> Finding:
    least = parameters["at_least"]
    if not inputs.edges:
        return Finding(False, "No edge to a parent is recorded, so nothing says where the version came from.")
    digests = tuple(e.parent_digest for e in inputs.edges)
    weak = [e for e in inputs.edges if e.grade not in GRADES or GRADES.index(e.grade) < GRADES.index(least)]
    if weak:
        return Finding(False, f"The edge to its {weak[0].role} is only {weak[0].grade}; '{least}' is asked.", digests)
    count = len(inputs.edges)
    which = "The edge to its parent is" if count == 1 else f"All {count} edges to parents are"
    return Finding(True, f"{which} at least {least}.", digests)


def _dataset_known(parameters: Mapping[str, Any], inputs: GateInputs) -> Finding:
    if not inputs.datasets:
        return Finding(True, "The lineage names no dataset; what is missing there is judged as training data.")
    digests = tuple(d.digest for d in inputs.datasets)
    for dataset in inputs.datasets:
        if not dataset.licence_known:
            return Finding(
                False, f"The terms of {dataset.reference} are not known (its licence is {dataset.licence}).", digests
            )
        if not dataset.origin_known:
            return Finding(False, f"Nobody said where {dataset.reference} comes from.", digests)
    count = len(inputs.datasets)
    return Finding(
        True,
        f"{'The dataset' if count == 1 else f'All {count} datasets'} of the lineage: licence and origin known.",
        digests,
    )


def _use_case(parameters: Mapping[str, Any], inputs: GateInputs) -> Finding:
    if inputs.use_case is None or inputs.tier is None:
        return Finding(False, "The model serves no use case yet, so nobody said what it is for.")
    holds = inputs.tier in parameters["tiers"]
    asked = "" if holds else f"; {' or '.join(parameters['tiers'])} is asked"
    if holds and parameters.get("answered", False) and not inputs.tier_answered:
        asked = ", which no answers to the tier table in force bear out; answer its questions"
        holds = False
    return Finding(holds, f"The use case '{inputs.use_case}' has tier {inputs.tier}{asked}.")


def _structure_checked(parameters: Mapping[str, Any], inputs: GateInputs) -> Finding:
    if not inputs.structure:
        return Finding(False, "There is no record that the structure of the weights was read and accepted.")
    return Finding(True, "The structure of every weights file was read and accepted.", tuple(inputs.structure))


def _parent_rollback_target(parameters: Mapping[str, Any], inputs: GateInputs) -> Finding:
    approved = [a for a in inputs.ancestors if a.approved]
    if approved:
        return Finding(
            True, f"{approved[0].reference} was approved and can be gone back to.", tuple(a.digest for a in approved)
        )
    return Finding(False, "No ancestor was ever approved, so there would be nothing to go back to.")


def _unwritten(rule_id: str, about: str, check: str) -> Rule:
    words = {"about": about, "applies_to": APPLIES_TO_ANY, "check": check, "id": rule_id, "waivable": False}
    return Rule(rule_id, about, check, APPLIES_TO_ANY, False, {}, sha256(canonical(words)))


_QUARANTINE_RULE = _unwritten(QUARANTINE, "What was recalled, or made from it, is released nowhere.", "not_recalled")

CHECKS: dict[str, Callable[[Mapping[str, Any], GateInputs], Finding]] = {
    "evidence_present": evidence_present,
    "figure": figure,
    "target_evidence": target_evidence,
    "terms": _terms,
    "training_data": _training_data,
    "lineage_grade": _lineage_grade,
    "dataset_known": _dataset_known,
    "use_case": _use_case,
    "structure_checked": _structure_checked,
    "parent_rollback_target": _parent_rollback_target,
    "open_findings": open_findings,
    "document_attached": document_attached,
    "review_in_force": review_in_force,
    "data_quality": data_quality,
    "contamination": contamination,
    "not_recalled": not_recalled,
}

"""From facts and attestations to the one word that a requirement gets. Pure.

Rules:
- failing: a fact contradicts. missing: nothing is there. stale: it would pass, but something has expired;
- evidenced: all facts pass and nobody's statement is needed. attested: the same, with a statement in date; or, where no fact can
  be computed (class C), the statement alone;
- partial: everything in between; a ceiling keeps a requirement here, and so does a statement that is needed and not there;
- not_applicable needs a signed reason with an end; outside is what the registry cannot know;
- an indicator is shown, but never changes the word.
Never in this list: compliant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from audit.facts.base import FAILS, MISSING, PASSES, STALE, Fact
from audit.frameworks.packs import Requirement

EVIDENCED, ATTESTED, PARTIAL_STATUS, STALE_STATUS = "evidenced", "attested", "partial", "stale"
FAILING, MISSING_STATUS, NOT_APPLICABLE, OUTSIDE = "failing", "missing", "not_applicable", "outside"

WORST_FIRST = (
    FAILING, MISSING_STATUS, STALE_STATUS, PARTIAL_STATUS, OUTSIDE, NOT_APPLICABLE, ATTESTED, EVIDENCED,
)  # fmt: skip


@dataclass(frozen=True)
class Statement:
    """A person's attestation about a requirement, as of the snapshot."""

    id: str
    role: str
    signed_by: str
    signed_at: str
    expires_at: str
    in_date: bool
    not_applicable: bool


@dataclass(frozen=True)
class RuleAnswer:
    """A rule with the fact that answered it."""

    fact_name: str
    indicator: bool
    fact: Fact


def decide(requirement: Requirement, answers: Sequence[RuleAnswer], statement: Statement | None) -> tuple[str, str]:
    """The status word and the sentence that decided it."""
    in_date = statement is not None and statement.in_date
    if statement is not None and in_date and statement.not_applicable:
        return (
            NOT_APPLICABLE,
            f"Signed as not applicable by {_role(statement.role, False)} until {statement.expires_at[:10]}.",
        )
    facts = [a.fact for a in answers if not a.indicator]
    if not facts or requirement.cls in ("C", "X"):
        return _without_facts(requirement, [a.fact for a in answers], statement)
    outcomes = [f.outcome for f in facts]
    if FAILS in outcomes:
        return FAILING, next(f.sentence for f in facts if f.outcome == FAILS)
    if set(outcomes) == {MISSING}:
        if in_date:
            return PARTIAL_STATUS, f"A person signed for it, but there is no evidence: {facts[0].sentence}"
        return MISSING_STATUS, facts[0].sentence
    if set(outcomes) <= {PASSES, STALE}:
        return _all_there(requirement, facts, statement)
    return PARTIAL_STATUS, next(f.sentence for f in facts if f.outcome not in (PASSES, STALE))


def _without_facts(
    requirement: Requirement, indicators: Sequence[Fact], statement: Statement | None
) -> tuple[str, str]:
    if statement is None:
        if requirement.cls == "X":
            return OUTSIDE, f"The registry cannot know this: {requirement.outside}."
        shown = next((f.sentence for f in indicators if f.outcome == PASSES), None)
        said = (
            f"Nobody has signed for it; only an indicator: {shown}"
            if shown
            else "Nothing is recorded and nobody has signed."
        )
        return MISSING_STATUS, said
    if not statement.in_date:
        return STALE_STATUS, f"The statement that was signed for it ended on {statement.expires_at[:10]}."
    said = f"{_role(statement.role)} signed for it on {statement.signed_at[:10]}, until {statement.expires_at[:10]}"
    if requirement.cls == "B":
        return PARTIAL_STATUS, f"{said}; the registry holds no evidence beside it."
    return ATTESTED, f"{said}."


def _all_there(requirement: Requirement, facts: Sequence[Fact], statement: Statement | None) -> tuple[str, str]:
    old = next((f for f in facts if f.outcome == STALE), None)
    if old is not None:
        return STALE_STATUS, old.sentence
    if requirement.ceiling:
        return PARTIAL_STATUS, f"{facts[0].sentence} Never better than partial: {requirement.ceiling}."
    need = requirement.attestation
    if statement is not None and statement.in_date:
        return (
            ATTESTED,
            f"{facts[0].sentence} Signed by {_role(statement.role, False)} until {statement.expires_at[:10]}.",
        )
    if need is not None and need.needed:
        if statement is not None:
            return STALE_STATUS, f"The statement that was signed for it ended on {statement.expires_at[:10]}."
        return PARTIAL_STATUS, f"{facts[0].sentence} Not signed yet by {_role(need.role, False)}."
    return EVIDENCED, facts[0].sentence


def _role(role: str, begins: bool = True) -> str:
    """The role with its article."""
    name = role.replace("_", " ")
    said = f"{'an' if name[0] in 'aeio' else 'a'} {name}"
    return said[0].upper() + said[1:] if begins else said

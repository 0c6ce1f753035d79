"""What the gate asks of the licences, beside what a page answers from them: a policy may ask fewer terms than a question has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from registry.catalog.plain_answers import TERM_NAMES, PlainAnswer
from registry.release import queries
from registry.release.models import Policy


@dataclass(frozen=True)
class TermsAsked:
    """The terms that the rules of a policy ask, and all others, in the words of the pages."""

    policy: str
    asked: Sequence[str]
    left_out: Sequence[str]


def terms_asked(policy: Policy) -> TermsAsked:
    """Which terms of licences a policy asks."""
    ids = _ids(policy)
    named = [(term, name.lower()) for term, name in TERM_NAMES.items()]
    return TermsAsked(str(policy), [n for t, n in named if t in ids], [n for t, n in named if t not in ids])


def asks_less(answer: PlainAnswer, policy: Policy | None) -> str:
    """A sentence where the gate can answer otherwise than the page: what decides or is to be kept here is not asked there."""
    if policy is None:
        return ""
    ids = _ids(policy)
    decides = {ground.term for ground in (*answer.deciding, *answer.keep)}
    if not decides - ids:
        return ""
    asked = [TERM_NAMES[term].lower() for term in answer.terms if term in ids]
    also = _listed([TERM_NAMES[term].lower() for term in answer.terms if term not in ids])
    if not asked:
        return f"The gate of {policy} does not look at this: {also} are for people to judge."
    return f"Of this, the gate of {policy} looks only at {_listed(asked)}; the answer here rests on {also} as well."


def _listed(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _ids(policy: Policy) -> set[str]:
    return {rule.parameters["term"] for rule in queries.policy_rules(policy).rules if rule.check == "terms"}

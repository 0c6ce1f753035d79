"""The questions of somebody who wants to use a model, answered from its effective terms in plain words. Pure.

Rules:
- yes, yes with conditions, not known, no: the strictest of the terms that a question asks about decides; unknown is never yes;
- notices, names and places are conditions to keep: what is unknown about them is said, and does not by itself hide a yes;
- every answer names the source that decides it, its licence, the path to it, and what can be done.
This reads data that people wrote about licences; it is no legal advice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from registry.catalog.terms import EffectiveTerms, Proof
from registry.catalog.terms_levels import CIRCLE, DATA, SHAPING_DATA
from registry.provenance.licences import ANSWERS, OWN_PREFIX, is_category

TERM_NAMES = {
    "commercial_use": "Commercial use",
    "redistribution": "Passing it on",
    "modification": "Changing it",
    "notice": "Notices to keep",
    "share_alike": "Share alike",
    "naming": "Naming",
    "use_restrictions": "Limits on use",
    "output_use": "Use of outputs",
    "jurisdiction": "Place",
}
WORDS = {"allowed": "yes", "conditions": "yes, if", "unknown": "not known", "forbidden": "no"}
_TO_KEEP = ("notice", "naming", "jurisdiction")
_QUESTIONS = {
    "commercial": ("May I use this commercially?", ("commercial_use", "use_restrictions", "jurisdiction")),
    "change": ("May I change it?", ("modification", "share_alike", "notice")),
    "pass-on": ("May I pass it on?", ("redistribution", "share_alike", "notice", "naming")),
    "train": ("May I use its outputs to train other models?", ("output_use",)),
}
_LEADS = {
    "allowed": "Nothing that it was made from sets a condition.",
    "conditions": "Yes, as long as these conditions are kept.",
    "unknown": "Nobody can say yet, and what is not known is treated as no.",
    "forbidden": "No: something that it was made from does not allow it.",
}


@dataclass(frozen=True)
class Ground:
    """A term with a source that gives it its answer. `because` is the path from the version to the source."""

    term: str
    name: str
    answer: str
    sentence: str
    source: str
    licence: str
    because: tuple[str, ...]

    @property
    def licence_name(self) -> str:
        """The licence without the prefix that all ids of our own have."""
        return self.licence.removeprefix(OWN_PREFIX)

    @property
    def stands_under(self) -> str:
        """What is said of the source: words of our own for texts without a name are no names of licences."""
        if self.licence == f"{OWN_PREFIX}unknown":
            return "is under a licence that nobody knows"
        return f"is under {self.licence_name}"


@dataclass(frozen=True)
class PlainAnswer:
    """One question about `terms`: `word` is the answer, `deciding` what makes it so, `keep` the conditions beside it, `to_do` the
    ways on."""

    id: str
    question: str
    terms: Sequence[str]
    answer: str
    word: str
    lead: str
    deciding: Sequence[Ground]
    keep: Sequence[Ground]
    to_do: Sequence[str]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def plain_answers(terms: EffectiveTerms) -> list[PlainAnswer]:
    """The answer to each question."""
    return [_answer(key, question, asked, terms) for key, (question, asked) in _QUESTIONS.items()]


def _answer(key: str, question: str, asked: Sequence[str], terms: EffectiveTerms) -> PlainAnswer:
    strictest = max((_weight(term, terms.answers[term]) for term in asked), key=ANSWERS.index)
    deciding = [t for t in asked if strictest != "allowed" and _weight(t, terms.answers[t]) == strictest]
    if strictest == "conditions":
        deciding = []
    binding = [t for t in asked if t not in deciding and terms.answers[t] != "allowed"]
    said = {(p.source, p.sentence): _ground(p) for t in reversed(deciding) for p in reversed(terms.because(t)[:3])}
    grounds = list(reversed(said.values()))
    return PlainAnswer(
        id=key,
        question=question,
        terms=asked,
        answer=strictest,
        word=WORDS[strictest],
        lead=_LEADS[strictest],
        deciding=grounds,
        keep=[_ground(proof) for term in binding for proof in _one_of_each(terms.because(term))],
        to_do=list(dict.fromkeys(_what_to_do(ground) for ground in grounds)),
    )


def _weight(term: str, answer: str) -> str:
    return "conditions" if term in _TO_KEEP and answer == "unknown" else answer


def _one_of_each(proofs: Sequence[Proof]) -> list[Proof]:
    """The nearest source of each different sentence, a handful: a hundred sources under one licence ask one thing."""
    found: dict[str, Proof] = {}
    for proof in proofs:
        found.setdefault(proof.sentence, proof)
    return list(found.values())[:5]


def _ground(proof: Proof) -> Ground:
    return Ground(
        proof.term, TERM_NAMES[proof.term], proof.answer, proof.sentence, proof.source, proof.licence, proof.path
    )


def _what_to_do(ground: Ground) -> str:
    """The way on from an answer that is no yes."""
    if ground.answer == "forbidden":
        return _instead(ground)
    if ground.source == CIRCLE.label:
        return "Ask whoever runs the registry: an edge was written past its services; the verification of the ledger names it."
    if ground.licence == "not known":
        return f"Register what {ground.source} is, with its licence; what is outside has no terms here."
    if "each ask that derivatives carry them" in ground.sentence:
        return "Have counsel say whether the licences fit together, or replace one of the two sources."
    if is_category(ground.licence):
        return (
            f"Find out which licence {ground.source} is really under, and correct it: a version by `correct-version`, data by "
            "`correct-dataset-version`, either on its page."
        )
    return f"Ask a compliance officer for a ruling on {ground.licence}: a named person reads the text, another approves it."


def _instead(ground: Ground) -> str:
    own = not ground.because
    role = ground.because[-1].partition(":")[0] if ground.because else ""
    if own:
        return f"Ask who owns {ground.source} for another licence, and correct the version once it is granted."
    if role in (DATA, SHAPING_DATA):
        return f"Train or calibrate again without {ground.source}, or ask its owner for another licence."
    if role == "teacher":
        return f"Distil from a teacher other than {ground.source}, or ask its owner for leave."
    return f"Start from something other than {ground.source}, or ask its owner for another licence."

"""The terms that bind a version: its own licence and those of everything that went into it, along the lineage. Pure.

Rules, by the role in which a source went in:
- base, student-start, merge-input (weights go on): every term of the source binds the child;
- teacher (only outputs go on): what the source says about outputs decides. Allowed: nothing binds. Conditions: its notice,
  naming, share-alike, use limits and place bind, and a ban on commercial use. Forbidden or unknown: so is using the child;
- data for training or calibration: commercial use, notice, share-alike, naming, use limits and place bind; whether data that
  may not be changed may train a model is unknown; a limit on passing on the data itself does not bind the model;
- data for evaluation or baselines alone: nothing binds.
Rules, for putting answers together:
- the strictest answer wins: allowed < conditions < unknown < forbidden; unknown stays unknown, it is never read as allowed;
- a source whose licence is not known here answers unknown to every term that its role lets through;
- two different licences that each ask derivatives to carry themselves: whether they fit together is unknown;
- an answer comes with its proof: which source, under which licence, on which path.
This reads data that people wrote about licences; it is no legal advice, and it says where each answer comes from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from registry.provenance.licences import ANSWERS, TERMS, strictest

WEIGHT_ROLES = ("base", "student-start", "merge-input")
SHAPING_USES = ("training", "calibration")
_DATA_TERMS = ("commercial_use", "notice", "share_alike", "naming", "use_restrictions", "jurisdiction")
_TEACHER_TERMS = ("commercial_use", "notice", "share_alike", "naming", "use_restrictions", "jurisdiction")
_WHOLE_USE = ("commercial_use", "redistribution", "modification", "output_use")
_PROOFS_PER_TERM = 20
_FAMILY = re.compile(r"-(only|or-later)$")


@dataclass(frozen=True)
class Source:
    """Something that a version is, or is made from. `answers` is None when its licence is not known here."""

    key: str
    kind: str
    label: str
    licence: str | None = None
    answers: Mapping[str, tuple[str, str]] | None = None
    uses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Link:
    """`child` was made from `parent`, in one role."""

    child: str
    parent: str
    role: str


@dataclass(frozen=True)
class Proof:
    """Why a term has its answer: a source, its licence, the sentence, and the path from the version to it."""

    term: str
    answer: str
    sentence: str
    source: str
    licence: str
    path: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        return {**vars(self), "path": list(self.path)}


@dataclass(frozen=True)
class Considered:
    """A source that was looked at, in which role, and what of it binds."""

    source: str
    licence: str
    role: str
    binds: str

    def document(self) -> dict[str, str]:
        return dict(vars(self))


@dataclass(frozen=True)
class EffectiveTerms:
    """An answer for each term, the proof of each, everything that was considered, and notes a reader must know."""

    answers: dict[str, str]
    proof: list[Proof]
    considered: list[Considered]
    notes: list[str] = field(default_factory=list)

    def because(self, term: str) -> list[Proof]:
        """What decides a term."""
        return [step for step in self.proof if step.term == term]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "answers": self.answers,
            "proof": [step.document() for step in self.proof],
            "considered": [step.document() for step in self.considered],
            "notes": self.notes,
        }


Findings = dict[str, list[Proof]]
"""For each term the proofs that attain its strictest answer."""


def effective_terms(root: str, sources: Mapping[str, Source], links: Sequence[Link]) -> EffectiveTerms:
    """The terms that bind the source `root`, from all sources that it was made from. Raises ValueError on a cycle."""
    parents: dict[str, list[Link]] = {}
    for link in links:
        parents.setdefault(link.child, []).append(link)
    order = _ancestors_first(root, parents)
    known: dict[str, Findings] = {}
    for key in order:
        found = [_own(sources[key])]
        found += [_flow(link.role, sources[link.parent], known[link.parent]) for link in parents.get(key, [])]
        known[key] = {term: _strictest([p for one in found for p in one.get(term, [])]) for term in TERMS}
    result = known[root]
    _decide_share_alike(result, root, order, sources, parents)
    return EffectiveTerms(
        answers={term: result[term][0].answer for term in TERMS},
        proof=[step for term in TERMS for step in result[term]],
        considered=_considered(order, sources, parents),
        notes=list(dict.fromkeys(note for key in reversed(order) for note in sources[key].notes)),
    )


def _ancestors_first(root: str, parents: Mapping[str, Sequence[Link]]) -> list[str]:
    """Every source once, each after all that it was made from."""
    order: list[str] = []
    state: dict[str, bool] = {}
    stack = [(root, False)]
    while stack:
        key, done = stack.pop()
        if done:
            state[key] = True
            order.append(key)
        elif key not in state:
            state[key] = False
            stack.append((key, True))
            for link in parents.get(key, []):
                if state.get(link.parent) is False:
                    raise ValueError(f"the lineage runs in a circle at {link.parent}")
                stack.append((link.parent, False))
    return order


def _own(source: Source) -> Findings:
    licence = source.licence or "not known"
    if source.answers is None:
        sentence = f"The licence of {source.label} is not known here."
        return {term: [Proof(term, "unknown", sentence, source.label, licence)] for term in TERMS}
    return {term: [Proof(term, *source.answers[term], source.label, licence)] for term in TERMS}


def _flow(role: str, source: Source, findings: Findings) -> Findings:
    """What of a parent's terms goes on to the child."""
    if role in WEIGHT_ROLES:
        passed = findings
    elif role == "teacher":
        passed = _from_teacher(findings)
    else:
        passed = _from_data(source, findings)
    step = f"{role}: {source.label}"
    return {term: [replace(p, path=(step, *p.path)) for p in proofs] for term, proofs in passed.items()}


def _from_teacher(findings: Findings) -> Findings:
    clause = findings["output_use"]
    answer = clause[0].answer
    if answer == "allowed":
        return {}
    if answer != "conditions":
        return {term: [replace(p, term=term) for p in clause] for term in _WHOLE_USE}
    passed = {term: [replace(p, term=term) for p in clause] for term in _WHOLE_USE}
    for term in _TEACHER_TERMS:
        passed[term] = [*passed.get(term, []), *findings[term]]
    return passed


def _from_data(source: Source, findings: Findings) -> Findings:
    if source.kind == "dataset" and not set(source.uses) & set(SHAPING_USES):
        return {}
    passed = {term: findings[term] for term in _DATA_TERMS}
    if findings["modification"][0].answer in ("forbidden", "unknown"):
        sentence = "Whether a model may be fitted to data that may not be changed is not settled."
        passed["modification"] = [replace(p, answer="unknown", sentence=sentence) for p in findings["modification"]]
    return passed


def _strictest(proofs: list[Proof]) -> list[Proof]:
    """The proofs of the strictest answer; a source stands once, by its shortest path."""
    worst = strictest([p.answer for p in proofs])
    best: dict[tuple[str, str], Proof] = {}
    for proof in proofs:
        if proof.answer == worst:
            key = (proof.source, proof.sentence)
            if key not in best or len(proof.path) < len(best[key].path):
                best[key] = proof
    return list(best.values())[:_PROOFS_PER_TERM]


def _decide_share_alike(
    result: Findings, root: str, order: Sequence[str], sources: Mapping[str, Source], parents: Mapping[str, list[Link]]
) -> None:
    """Two families that both want derivatives to themselves: nobody here knows whether they fit together."""
    asking = _share_alike_families(root, order, sources, parents)
    if len(asking) < 2 or ANSWERS.index(result["share_alike"][0].answer) > ANSWERS.index("conditions"):
        return
    named = " and ".join(sorted(asking))
    sentence = f"{named} each ask that derivatives carry them; whether they fit together is not known here."
    result["share_alike"] = [replace(p, answer="unknown", sentence=sentence) for p in result["share_alike"]]


def _share_alike_families(
    root: str, order: Sequence[str], sources: Mapping[str, Source], parents: Mapping[str, list[Link]]
) -> set[str]:
    binding = {root}
    for key in reversed(order):
        if key in binding:
            binding |= {link.parent for link in parents.get(key, []) if _binds(link.role, sources[link.parent])}
    return {
        _FAMILY.sub("", sources[key].licence or "")
        for key in binding
        if (answers := sources[key].answers) is not None and answers["share_alike"][0] == "conditions"
    }


def _binds(role: str, source: Source) -> bool:
    """Whether share-alike of this source can reach the child at all."""
    if role in WEIGHT_ROLES:
        return True
    if role == "teacher":
        return source.answers is not None and source.answers["output_use"][0] == "conditions"
    return source.kind != "dataset" or bool(set(source.uses) & set(SHAPING_USES))


def _considered(
    order: Sequence[str], sources: Mapping[str, Source], parents: Mapping[str, list[Link]]
) -> list[Considered]:
    """Every source, nearest last made first, with what of it binds."""
    roles: dict[str, set[str]] = {}
    for links in parents.values():
        for link in links:
            roles.setdefault(link.parent, set()).add(link.role)
    rows: list[Considered] = []
    for key in reversed(order):
        source = sources[key]
        licence = source.licence or "not known"
        for role in sorted(roles.get(key, set())) or ["the version itself"]:
            rows.append(Considered(source.label, licence, role, _what_binds(role, source)))
    return rows


def _what_binds(role: str, source: Source) -> str:
    if role in (*WEIGHT_ROLES, "the version itself"):
        return "Every term binds."
    if role == "teacher":
        answer = source.answers["output_use"][0] if source.answers else "unknown"
        return {
            "allowed": "Nothing binds: its licence sets no limit on using outputs.",
            "conditions": "Its conditions on outputs bind.",
        }.get(answer, f"Its clause on outputs is {answer}, and so is using what was made from them.")
    if source.kind == "dataset" and not set(source.uses) & set(SHAPING_USES):
        return f"Nothing binds: it was used for {_and(source.uses)} only."
    return "Commercial use, notice, share-alike, naming, use limits and place bind."


def _and(words: Iterable[str]) -> str:
    return " and ".join(words)

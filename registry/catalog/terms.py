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
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from registry.provenance.licences import ANSWERS, TERMS

WEIGHT_ROLES = ("base", "student-start", "merge-input")
SHAPING_USES = ("training", "calibration")
_DATA_TERMS = ("commercial_use", "notice", "share_alike", "naming", "use_restrictions", "jurisdiction")
_TEACHER_TERMS = ("commercial_use", "notice", "share_alike", "naming", "use_restrictions", "jurisdiction")
_WHOLE_USE = ("commercial_use", "redistribution", "modification", "output_use")
_PROOFS_PER_TERM = 50
_CONDITIONS, _UNKNOWN = ANSWERS.index("conditions"), ANSWERS.index("unknown")
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


Levels = dict[str, int]
"""For each term the place of its answer in ANSWERS: the higher, the stricter."""


@dataclass(frozen=True)
class Route:
    """How an answer of a parent reaches a term of the child; `sentence` stands for that of the parent where the answer changes."""

    term: str
    level: int
    sentence: str = ""


def effective_terms(root: str, sources: Mapping[str, Source], links: Sequence[Link]) -> EffectiveTerms:
    """The terms that bind the source `root`, from all sources that it was made from. Raises ValueError on a cycle."""
    parents: dict[str, list[Link]] = {}
    for link in links:
        parents.setdefault(link.child, []).append(link)
    order = _ancestors_first(root, parents)
    levels: dict[str, Levels] = {}
    for key in order:
        levels[key] = _levels(sources[key], parents.get(key, []), sources, levels)
    notes = list(dict.fromkeys(note for key in reversed(order) for note in sources[key].notes))
    proofs: dict[str, list[Proof]] = {}
    for term in TERMS:
        found = _proofs(root, term, sources, parents, levels)
        if len(found) > _PROOFS_PER_TERM:
            notes.append(f"{len(found) - _PROOFS_PER_TERM} more sources give the same answer to {term}.")
        proofs[term] = found[:_PROOFS_PER_TERM]
    _decide_share_alike(proofs, root, order, sources, parents)
    return EffectiveTerms(
        answers={term: proofs[term][0].answer for term in TERMS},
        proof=[step for term in TERMS for step in proofs[term]],
        considered=_considered(order, sources, parents),
        notes=notes,
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


def _own_level(source: Source, term: str) -> int:
    return _UNKNOWN if source.answers is None else ANSWERS.index(source.answers[term][0])


def _levels(
    source: Source, links: Sequence[Link], sources: Mapping[str, Source], levels: Mapping[str, Levels]
) -> Levels:
    """The strictest of the source's own answers and of what its parents hand on."""
    found = {term: _own_level(source, term) for term in TERMS}
    for link in links:
        parent = sources[link.parent]
        for term in TERMS:
            for route in _routes(link.role, parent, levels[link.parent], term):
                found[term] = max(found[term], route.level)
    return found


def _routes(role: str, parent: Source, levels: Levels, term: str) -> list[Route]:
    """By which terms of a parent, in which role, this term of the child is bound."""
    if role in WEIGHT_ROLES:
        return [Route(term, levels[term])]
    if role == "teacher":
        return _routes_from_teacher(levels, term)
    if parent.kind == "dataset" and not set(parent.uses) & set(SHAPING_USES):
        return []
    if term in _DATA_TERMS:
        return [Route(term, levels[term])]
    if term == "modification" and levels[term] >= _UNKNOWN:
        return [Route(term, _UNKNOWN, "Whether a model may be fitted to data that may not be changed is not settled.")]
    return []


def _routes_from_teacher(levels: Levels, term: str) -> list[Route]:
    clause = levels["output_use"]
    if clause == 0:
        return []
    routes = [Route("output_use", clause)] if term in _WHOLE_USE else []
    if clause == _CONDITIONS and term in _TEACHER_TERMS:
        routes.append(Route(term, levels[term]))
    return routes


def _proofs(
    root: str,
    term: str,
    sources: Mapping[str, Source],
    parents: Mapping[str, Sequence[Link]],
    levels: Mapping[str, Levels],
) -> list[Proof]:
    """Every source that gives the term its answer, nearest first, each by a shortest path. Free terms need only the version."""
    answer = ANSWERS[levels[root][term]]
    if levels[root][term] == 0:
        return [_proof(term, answer, sources[root], term, "", ())]
    found: list[Proof] = []
    seen = {(root, term, "")}
    waiting: deque[tuple[str, str, int, str, tuple[str, ...]]] = deque([(root, term, levels[root][term], "", ())])
    while waiting:
        key, asked, level, sentence, path = waiting.popleft()
        if _own_level(sources[key], asked) == level:
            found.append(_proof(term, answer, sources[key], asked, sentence, path))
        for link in parents.get(key, []):
            for route in _routes(link.role, sources[link.parent], levels[link.parent], asked):
                state = (link.parent, route.term, sentence or route.sentence)
                if route.level == level and state not in seen:
                    seen.add(state)
                    step = (*path, f"{link.role}: {sources[link.parent].label}")
                    waiting.append((link.parent, route.term, levels[link.parent][route.term], state[2], step))
    return found


def _proof(term: str, answer: str, source: Source, asked: str, sentence: str, path: tuple[str, ...]) -> Proof:
    said = source.answers[asked][1] if source.answers else f"The licence of {source.label} is not known here."
    return Proof(term, answer, sentence or said, source.label, source.licence or "not known", path)


def _decide_share_alike(
    result: dict[str, list[Proof]],
    root: str,
    order: Sequence[str],
    sources: Mapping[str, Source],
    parents: Mapping[str, list[Link]],
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

"""The terms that bind a version: its own licence and those of everything that went into it, along the lineage. Pure.

Rules, by the role in which a source went in:
- base, student-start, merge-input (weights go on): every term of the source binds the child;
- teacher (only outputs go on): what the source says about outputs decides. Allowed: nothing binds. Conditions: its notice,
  naming, share-alike, use limits and place bind, and a ban on commercial use. Forbidden or unknown: so is using the child;
- data for training or calibration: commercial use, notice, share-alike, naming, use limits and place bind; whether data that
  may not be changed may train a model is unknown; a limit on passing on the data itself does not bind the model;
- data for evaluation or baselines alone: nothing binds, unless the edge names an operation (fine-tuned, quantized, ...): then the
  rows shaped the weights, whatever they are registered for.
Rules, for putting answers together:
- the strictest answer wins: allowed < conditions < unknown < forbidden; unknown stays unknown, it is never read as allowed;
- a source whose licence is not known here answers unknown to every term that its role lets through;
- two different licences that each ask derivatives to carry themselves: whether they fit together is unknown;
- an answer comes with its proof: which source, under which licence, on which path.
This reads data that people wrote about licences; it is no legal advice, and it says where each answer comes from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from registry.catalog.terms_levels import (
    WEIGHT_ROLES,
    Assessed,
    Levels,
    Link,
    Route,
    Source,
    Way,
    assess,
    routes,
    way_of,
)
from registry.provenance.licences import ANSWERS, TERMS

__all__ = ["Considered", "EffectiveTerms", "Link", "Proof", "Source", "effective_terms"]

_PROOFS_PER_TERM = 50


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


class Considered(NamedTuple):
    """A source that was looked at, in which role, and what of it binds."""

    source: str
    licence: str
    role: str
    binds: str

    def document(self) -> dict[str, str]:
        return self._asdict()


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


def effective_terms(root: str, sources: Mapping[str, Source], links: Iterable[Way]) -> EffectiveTerms:
    """The terms that bind the source `root`, from all sources that it was made from. Raises ValueError on a cycle."""
    found = assess([root], sources, links)
    answers = found.answers(root)
    notes = list(dict.fromkeys(note for key in reversed(found.order) for note in sources[key].notes))
    proof: list[Proof] = []
    for place, term in enumerate(TERMS):
        steps, more = _proofs(root, place, sources, found)
        if more:
            notes.append(f"More than {_PROOFS_PER_TERM} sources give this answer to {term}; the nearest are named.")
        if term == "share_alike" and found.families_disagree(root):
            steps = [_disagreement(step, found.families[root]) for step in steps]
        proof += steps
    return EffectiveTerms(answers, proof, _considered(found, sources), notes)


State = tuple[str, int, str]
"""A source, the term of it that is looked at, and the sentence that stands for its own where the answer changed on the way."""


def _proofs(root: str, term: int, sources: Mapping[str, Source], found: Assessed) -> tuple[list[Proof], bool]:
    """The sources that give the term its answer, nearest first, each by a shortest path, and whether there are more.

    Free terms need only the version.
    """
    start = (root, term, "")
    if found.levels[root][term] == 0:
        return [_proof(start, term, {}, sources, found)], False
    came: dict[State, tuple[State, Way] | None] = {start: None}
    waiting = deque([start])
    deciding: list[State] = []
    while waiting and len(deciding) <= _PROOFS_PER_TERM:
        state = waiting.popleft()
        key, asked, sentence = state
        level = found.levels[key][asked]
        if found.own[key][asked] == level:
            deciding.append(state)
        for link in found.parents.get(key, ()):
            _, parent, role = link
            for route in _deciding_routes(role, sources[parent], found.levels[parent], asked, level):
                further = (parent, route.term, sentence or route.sentence)
                if further not in came:
                    came[further] = (state, link)
                    waiting.append(further)
    kept = [_proof(state, term, came, sources, found) for state in deciding[:_PROOFS_PER_TERM]]
    return kept, len(deciding) > len(kept)


def _deciding_routes(role: str, parent: Source, levels: Levels, asked: int, level: int) -> Iterable[Route]:
    """The terms of a parent by which this term of the child has its level."""
    if role in WEIGHT_ROLES and levels[asked] != level:  # by far the most: weights hand each term on as it is
        return ()
    return [route for route in routes(way_of(role, parent), levels, asked) if route.level == level]


def _proof(
    state: State,
    term: int,
    came: Mapping[State, tuple[State, Way] | None],
    sources: Mapping[str, Source],
    found: Assessed,
) -> Proof:
    source, asked, sentence = sources[state[0]], TERMS[state[1]], state[2]
    said = source.answers[asked][1] if source.answers else f"The licence of {source.label} is not known here."
    path: list[str] = []
    step, root = came.get(state), state[0]
    while step is not None:
        before, link = step
        path.append(f"{link[2]}: {sources[link[1]].label}")
        step, root = came[before], before[0]
    answer = ANSWERS[found.levels[root][term]]
    return Proof(
        TERMS[term], answer, sentence or said, source.label, source.licence or "not known", tuple(reversed(path))
    )


def _disagreement(step: Proof, families: Iterable[str]) -> Proof:
    named = " and ".join(sorted(families))
    sentence = f"{named} each ask that derivatives carry them; whether they fit together is not known here."
    return Proof(step.term, "unknown", sentence, step.source, step.licence, step.path)


def _considered(found: Assessed, sources: Mapping[str, Source]) -> list[Considered]:
    """Every source, nearest last made first, with what of it binds."""
    roles: dict[str, set[str]] = {}
    for links in found.parents.values():
        for _, parent, role in links:
            roles.setdefault(parent, set()).add(role)
    rows: list[Considered] = []
    for key in reversed(found.order):
        source = sources[key]
        licence = source.licence or "not known"
        for role in sorted(roles.get(key, ())) or ["the version itself"]:
            rows.append(Considered(source.label, licence, role, _what_binds(role, source)))
    return rows


def _what_binds(role: str, source: Source) -> str:
    way = "weights" if role == "the version itself" else way_of(role, source)
    if way == "weights":
        return "Every term binds."
    if way == "outputs":
        answer = source.answers["output_use"][0] if source.answers else "unknown"
        return {
            "allowed": "Nothing binds: its licence sets no limit on using outputs.",
            "conditions": "Its conditions on outputs bind.",
        }.get(answer, f"Its clause on outputs is {answer}, and so is using what was made from them.")
    if way == "nothing":
        return f"Nothing binds: it was used for {_and(source.uses)} only."
    return "Commercial use, notice, share-alike, naming, use limits and place bind."


def _and(words: Sequence[str]) -> str:
    return " and ".join(words)

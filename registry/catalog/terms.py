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
- an answer comes with its proof: which source, under which licence, on which path; of a long path the end is shown;
- a lineage that runs in a circle answers unknown, and says so.
This reads data that people wrote about licences; it is no legal advice, and it says where each answer comes from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from registry.catalog.terms_levels import (
    CIRCLE,
    WEIGHT_ROLES,
    Assessed,
    Link,
    Source,
    Way,
    assess,
    routes,
    way_of,
)
from registry.provenance.licences import ANSWERS, TERMS

__all__ = ["Considered", "EffectiveTerms", "Link", "Proof", "Source", "effective_terms"]

_PROOFS_PER_TERM = 50
_STEPS_SHOWN = 24
Labels = Callable[[Collection[str]], Mapping[str, str]]
"""What sources (by key) are called for the reader; asked once for all that a proof names, and once for all that was considered."""


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
    consider: Callable[[], list[Considered]] = field(repr=False, compare=False)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def considered(self) -> list[Considered]:
        """Everything that was looked at; a gate never asks, so it is put together when it is asked for."""
        return self.consider()

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


def effective_terms(
    root: str, sources: Mapping[str, Source], links: Iterable[Way], labels: Labels | None = None
) -> EffectiveTerms:
    """The terms that bind the source `root`, from all sources that it was made from. `labels`: where `sources` hold none."""
    found = assess([root], sources, links)

    def named(keys: Collection[str]) -> Mapping[str, str]:
        given = {} if labels is None else labels(keys)
        return {key: given.get(key) or found.sources[key].label for key in keys}

    notes = list(dict.fromkeys(note for key in reversed(found.order) for note in found.sources[key].notes))
    if CIRCLE.key in found.sources:
        notes.append(f"The lineage runs in a circle ({CIRCLE.label}): what binds cannot be known until it is mended.")
    trails: list[_Trail] = []
    for place, term in enumerate(TERMS):
        more = _follow(root, place, found, trails)
        if more:
            notes.append(f"More than {_PROOFS_PER_TERM} sources give this answer to {term}; the nearest are named.")
    names = named({key for trail in trails for key in (trail.source, *(parent for _, parent, _ in trail.steps))})
    proof = [_proof(trail, root, found, names) for trail in trails]
    return EffectiveTerms(found.answers(root), proof, lambda: _considered(found, named), notes)


State = tuple[str, int, str]
"""A source, the term of it that is looked at, and the sentence that stands for its own where the answer changed on the way."""


class _Trail(NamedTuple):
    """From the version to a source that gives a term its answer: the last steps of the way, and how many come before them."""

    term: int
    source: str
    asked: int
    sentence: str
    steps: Sequence[Way]
    before: int


def _follow(root: str, term: int, found: Assessed, trails: list[_Trail]) -> bool:
    """Add the sources that give the term its answer, nearest first, each by a shortest path; answers whether there are more.

    Free terms need only the version.
    """
    start = (root, term, "")
    if found.levels[root][term] == 0:
        trails.append(_Trail(term, root, term, "", (), 0))
        return False
    came: dict[State, tuple[State, Way, int] | None] = {start: None}
    waiting = deque([start])
    deciding: list[State] = []
    while waiting and len(deciding) <= _PROOFS_PER_TERM:
        state = waiting.popleft()
        key, asked, sentence = state
        level = found.levels[key][asked]
        before = came[state]
        depth = 1 if before is None else before[2] + 1
        if found.own[key][asked] == level:
            deciding.append(state)
        for link in found.parents.get(key, ()):
            _, parent, role = link
            levels = found.levels[parent]
            if role in WEIGHT_ROLES:  # by far the most: weights hand each term on as it is
                further = [(parent, asked, sentence)] if levels[asked] == level else ()
            else:
                further = [
                    (parent, route.term, sentence or route.sentence)
                    for route in routes(way_of(role, found.sources[parent]), levels, asked)
                    if route.level == level
                ]
            for one in further:
                if one not in came:
                    came[one] = (state, link, depth)
                    waiting.append(one)
    trails += [_trail(term, state, came) for state in deciding[:_PROOFS_PER_TERM]]
    return len(deciding) > _PROOFS_PER_TERM


def _trail(term: int, state: State, came: Mapping[State, tuple[State, Way, int] | None]) -> _Trail:
    steps: list[Way] = []
    step, before = came[state], 0
    while step is not None:
        if len(steps) == _STEPS_SHOWN:
            before = step[2]
            break
        steps.append(step[1])
        step = came[step[0]]
    return _Trail(term, state[0], state[1], state[2], tuple(reversed(steps)), before)


def _proof(trail: _Trail, root: str, found: Assessed, names: Mapping[str, str]) -> Proof:
    source, name = found.sources[trail.source], names[trail.source]
    said = source.answers[TERMS[trail.asked]][1] if source.answers else f"The licence of {name} is not known here."
    path = [f"{trail.before:,} steps before"] if trail.before else []
    path += [f"{role}: {names[parent]}" for _, parent, role in trail.steps]
    answer, sentence = ANSWERS[found.levels[root][trail.term]], trail.sentence or said
    if TERMS[trail.term] == "share_alike" and found.families_disagree(root):
        answer = "unknown"
        families = " and ".join(sorted(found.families[root]))
        sentence = f"{families} each ask that derivatives carry them; whether they fit together is not known here."
    return Proof(TERMS[trail.term], answer, sentence, name, source.licence or "not known", tuple(path))


def _considered(found: Assessed, named: Labels) -> list[Considered]:
    """Every source, nearest last made first, with what of it binds."""
    names = named(found.order)
    roles: dict[str, set[str]] = {}
    for links in found.parents.values():
        for _, parent, role in links:
            roles.setdefault(parent, set()).add(role)
    rows: list[Considered] = []
    for key in reversed(found.order):
        source = found.sources[key]
        licence = source.licence or "not known"
        for role in sorted(roles.get(key, ())) or ["the version itself"]:
            rows.append(Considered(names[key], licence, role, _what_binds(role, source)))
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

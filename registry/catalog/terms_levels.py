"""How strict each term is at every source of a lineage: the arithmetic beneath `terms`, for all sources in one pass. Pure.

Rules: those at the top of `terms`. A level is the place of an answer in ANSWERS; the higher, the stricter. Few combinations of
levels occur in a lineage, however long it is, so what each hands on is worked out once.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from registry.provenance.licences import ANSWERS, TERMS

WEIGHT_ROLES = ("base", "student-start", "merge-input")
DATA, SHAPING_DATA = "data", "data that shaped it"
"""A link to rows; the second where the edge itself says by which operations they went in, whatever the data was meant for."""
SHAPING_USES = ("training", "calibration")
CONDITIONS, UNKNOWN = ANSWERS.index("conditions"), ANSWERS.index("unknown")
_DATA_TERMS = ("commercial_use", "notice", "share_alike", "naming", "use_restrictions", "jurisdiction")
_TEACHER_TERMS = ("commercial_use", "notice", "share_alike", "naming", "use_restrictions", "jurisdiction")
_WHOLE_USE = ("commercial_use", "redistribution", "modification", "output_use")
_OUTPUT, _SHARE_ALIKE = TERMS.index("output_use"), TERMS.index("share_alike")
_FITTED = "Whether a model may be fitted to data that may not be changed is not settled."
_FAMILY = re.compile(r"-(only|or-later)$")

Levels = tuple[int, ...]
"""One level for each of TERMS, in that order."""
NOTHING: Levels = (0,) * len(TERMS)
NOT_KNOWN: Levels = (UNKNOWN,) * len(TERMS)


class Source(NamedTuple):
    """Something that a version is, or is made from. `answers` is None when its licence is not known here."""

    key: str
    kind: str
    label: str
    licence: str | None = None
    answers: Mapping[str, tuple[str, str]] | None = None
    uses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Link(NamedTuple):
    """`child` was made from `parent`, in one role."""

    child: str
    parent: str
    role: str


Way = tuple[str, str, str]
"""A link as a bare tuple of child, parent and role: tens of thousands of them stand in a long lineage, and are read by place."""


class Route(NamedTuple):
    """How an answer of a parent reaches a term of the child; `sentence` stands for that of the parent where the answer changes."""

    term: int
    level: int
    sentence: str = ""


class Assessed(NamedTuple):
    """What a pass over a lineage found."""

    order: Sequence[str]
    """Every source, each after all that it was made from."""
    parents: Mapping[str, Sequence[Way]]
    """By child, in the order of the links."""
    own: Mapping[str, Levels]
    levels: Mapping[str, Levels]
    families: Mapping[str, frozenset[str]]
    """Licences by which derivatives of the source must stay under them."""

    def answers(self, key: str) -> dict[str, str]:
        """The answer to each term, two families that each ask for themselves included."""
        found = dict(zip(TERMS, (ANSWERS[level] for level in self.levels[key]), strict=True))
        if self.families_disagree(key):
            found["share_alike"] = "unknown"
        return found

    def families_disagree(self, key: str) -> bool:
        """Two families that both want derivatives to themselves: nobody here knows whether they fit together."""
        return len(self.families[key]) > 1 and self.levels[key][_SHARE_ALIKE] <= CONDITIONS


def assess(roots: Iterable[str], sources: Mapping[str, Source], links: Iterable[Way]) -> Assessed:
    """The levels of the roots and of everything that they were made from. Raises ValueError on a cycle."""
    parents: dict[str, list[Way]] = {}
    for link in links:
        parents.setdefault(link[0], []).append(link)
    order = _ancestors_first(roots, parents)
    known: dict[int, Levels] = {}
    own: dict[str, Levels] = {}
    levels: dict[str, Levels] = {}
    families: dict[str, frozenset[str]] = {}
    for key in order:
        source = sources[key]
        own[key] = found = _own_levels(source, known)
        family = _own_family(source, found)
        for _, parent, role in parents.get(key, ()):
            way = way_of(role, sources[parent])
            found = _stricter(found, handed_on(way, levels[parent]))
            if families[parent] and _binds(way, sources[parent]):
                family |= families[parent]
        levels[key], families[key] = found, family
    return Assessed(order, parents, own, levels, families)


def _ancestors_first(roots: Iterable[str], parents: Mapping[str, Sequence[Way]]) -> list[str]:
    """Every source once, each after all that it was made from."""
    order: list[str] = []
    state: dict[str, bool] = {}
    stack = [(root, False) for root in roots]
    while stack:
        key, done = stack.pop()
        if done:
            state[key] = True
            order.append(key)
        elif key not in state:
            state[key] = False
            stack.append((key, True))
            for _, parent, _ in parents.get(key, ()):
                before = state.get(parent)
                if before is False:
                    raise ValueError(f"the lineage runs in a circle at {parent}")
                if before is None:
                    stack.append((parent, False))
    return order


def _own_levels(source: Source, known: dict[int, Levels]) -> Levels:
    """The levels of its own answers; sources under one licence share one mapping, which is read once."""
    if source.answers is None:
        return NOT_KNOWN
    key = id(source.answers)
    if key not in known:
        known[key] = tuple(ANSWERS.index(source.answers[term][0]) for term in TERMS)
    return known[key]


def _own_family(source: Source, own: Levels) -> frozenset[str]:
    if source.answers is None or own[_SHARE_ALIKE] != CONDITIONS:
        return frozenset()
    return _family(source.licence or "")


@functools.lru_cache(maxsize=1024)
def _family(licence: str) -> frozenset[str]:
    return frozenset({_FAMILY.sub("", licence)})


@functools.lru_cache(maxsize=16_384)
def _stricter(one: Levels, other: Levels) -> Levels:
    return tuple(map(max, one, other))


def _binds(way: str, source: Source) -> bool:
    """Whether share-alike of this source can reach the child at all."""
    if way == "outputs":
        return source.answers is not None and source.answers["output_use"][0] == "conditions"
    return way != "nothing"


def way_of(role: str, parent: Source) -> str:
    """What of a parent goes into a child: weights, outputs, rows (data that shaped it), or nothing that binds."""
    if role in WEIGHT_ROLES:
        return "weights"
    if role == "teacher":
        return "outputs"
    if role != SHAPING_DATA and parent.kind == "dataset" and not set(parent.uses) & set(SHAPING_USES):
        return "nothing"
    return "rows"


@functools.lru_cache(maxsize=16_384)
def handed_on(way: str, levels: Levels) -> Levels:
    """How strictly a parent with these levels binds each term of the child."""
    if way == "weights":
        return levels
    found = (max((route.level for route in routes(way, levels, term)), default=0) for term in range(len(TERMS)))
    return tuple(found)


@functools.lru_cache(maxsize=16_384)
def routes(way: str, levels: Levels, term: int) -> tuple[Route, ...]:
    """By which terms of a parent with these levels, going in this way, a term of the child is bound."""
    if way == "weights":
        return (Route(term, levels[term]),)
    if way == "nothing":
        return ()
    if way == "outputs":
        return tuple(_routes_of_outputs(levels, term))
    if TERMS[term] in _DATA_TERMS:
        return (Route(term, levels[term]),)
    if TERMS[term] == "modification" and levels[term] >= UNKNOWN:
        return (Route(term, UNKNOWN, _FITTED),)
    return ()


def _routes_of_outputs(levels: Levels, term: int) -> list[Route]:
    clause = levels[_OUTPUT]
    if clause == 0:
        return []
    found = [Route(_OUTPUT, clause)] if TERMS[term] in _WHOLE_USE else []
    if clause == CONDITIONS and TERMS[term] in _TEACHER_TERMS:
        found.append(Route(term, levels[term]))
    return found

"""How strict each term is at every source of a lineage: the arithmetic beneath `terms`, for all sources in one pass. Pure.

Rules: those at the top of `terms`. A level is the place of an answer in ANSWERS; the higher, the stricter. Few combinations of
levels occur in a lineage, however long it is, so what each hands on is worked out once. A lineage that runs in a circle was written
past the services: what a link that closes one hands on is not known, and CIRCLE stands in the place of its parent.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from registry.provenance.licences import ANSWERS, TERMS

WEIGHT_ROLES = frozenset(("base", "student-start", "merge-input"))
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
NO_FAMILY: frozenset[str] = frozenset()


class Source(NamedTuple):
    """Something that a version is, or is made from. `answers` is None when its licence is not known here."""

    key: str
    kind: str
    label: str
    licence: str | None = None
    answers: Mapping[str, tuple[str, str]] | None = None
    uses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


CIRCLE = Source("circle", "outside", "a circle in the lineage: a version stands among its own ancestors")


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

    sources: Mapping[str, Source]
    """By key, with CIRCLE where the lineage runs in one."""
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
    """The levels of the roots and of everything that they were made from."""
    parents: dict[str, list[Way]] = {}
    for link in links:
        parents.setdefault(link[0], []).append(link)
    order, closing = _ancestors_first(roots, parents)
    if closing:
        order.insert(0, CIRCLE.key)
        sources = {**sources, CIRCLE.key: CIRCLE}
        parents = {key: [_opened(link, closing) for link in found] for key, found in parents.items()}
    known: dict[tuple[int, str | None], tuple[Levels, frozenset[str]]] = {}
    own: dict[str, Levels] = {}
    levels: dict[str, Levels] = {}
    families: dict[str, frozenset[str]] = {}
    for key in order:
        source = sources[key]
        alike = (id(source.answers), source.licence)
        if alike not in known:  # sources under one licence share one mapping of answers, which is read once
            known[alike] = (_own_levels(source), _own_family(source))
        own[key], family = known[alike]
        found = own[key]
        for _, parent, role in parents.get(key, ()):
            handed, theirs = levels[parent], families[parent]
            if role not in WEIGHT_ROLES:  # by far the most: weights hand everything on as it is
                way = way_of(role, sources[parent])
                handed = handed_on(way, handed)
                theirs = theirs if theirs and _binds(way, sources[parent]) else NO_FAMILY
            if handed is not found:
                found = _stricter(found, handed)
            if not theirs <= family:
                family |= theirs
        levels[key], families[key] = found, family
    return Assessed(sources, order, parents, own, levels, families)


def _opened(link: Way, closing: Container[Way]) -> Way:
    return Link(link[0], CIRCLE.key, "base") if link in closing else link


def _ancestors_first(roots: Iterable[str], parents: Mapping[str, Sequence[Way]]) -> tuple[list[str], set[Way]]:
    """Every source once, each after all that it was made from; and the links that close a circle."""
    order: list[str] = []
    closing: set[Way] = set()
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
            for link in parents.get(key, ()):
                before = state.get(link[1])
                if before is False:
                    closing.add(link)
                elif before is None:
                    stack.append((link[1], False))
    return order, closing


def _own_levels(source: Source) -> Levels:
    if source.answers is None:
        return NOT_KNOWN
    return tuple(ANSWERS.index(source.answers[term][0]) for term in TERMS)


def _own_family(source: Source) -> frozenset[str]:
    if source.answers is None or source.answers["share_alike"][0] != "conditions":
        return NO_FAMILY
    return frozenset({_FAMILY.sub("", source.licence or "")})


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
        return (Route(term, UNKNOWN, _FITTED if levels[term] > UNKNOWN else ""),)
    return ()


def _routes_of_outputs(levels: Levels, term: int) -> list[Route]:
    clause = levels[_OUTPUT]
    if clause == 0:
        return []
    found = [Route(_OUTPUT, clause)] if TERMS[term] in _WHOLE_USE else []
    if clause == CONDITIONS and TERMS[term] in _TEACHER_TERMS:
        found.append(Route(term, levels[term]))
    return found

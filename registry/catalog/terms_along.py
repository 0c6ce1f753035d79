"""The effective terms of a version from its rows: stated licences, terms in force, and everything that it was made from.

Rules:
- a correction of a version counts before what was registered; a ruling in force before the terms of the pack;
- sources of teams that the reader may not see are named by digest alone;
- what lies beyond the limit of a lineage is a source whose licence nobody knows: a lineage that is too long frees nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from registry.catalog import lineage
from registry.catalog.closure import Closure, Thing, data_of, id_of, raw_of, words_in
from registry.catalog.lineage import Teams, expressions_of, label_of, shown, teams_of
from registry.catalog.models import ModelVersion
from registry.catalog.stated import stated
from registry.catalog.terms import EffectiveTerms, effective_terms
from registry.catalog.terms_levels import DATA, SHAPING_DATA, Link, Source, Way
from registry.provenance.licences import TermsDocument
from registry.provenance.ruled_terms import terms_in_force

_BEYOND = "beyond"
_DATA_ROLES = (DATA, SHAPING_DATA)
Answers = tuple[dict[str, tuple[str, str]], tuple[str, ...]]


def terms_along(version: ModelVersion, teams: Teams) -> EffectiveTerms:
    """The effective terms of a version; sources of other teams are named by digest alone."""
    root = raw_of(version.pk)
    closure = Closure([version.pk], up=True, limit=lineage.MAX_NODES + 1)
    made = read_sources(closure, teams)
    truncated = len(made.sources) > lineage.MAX_NODES
    if truncated:
        label = f"what lies beyond {lineage.MAX_NODES} sources of the lineage"
        made.sources[_BEYOND] = Source(_BEYOND, "outside", label)
        made.links.append(Link(root, _BEYOND, "base"))
    found = effective_terms(root, made.sources, made.links)
    found.notes.extend(_silences(version, truncated))
    return found


class Made(NamedTuple):
    """What versions were made from, with the terms of each source."""

    sources: dict[str, Source]
    links: list[Way]
    licences: dict[str, str]
    """The licence (raw id) of each source that has one."""


def read_sources(closure: Closure, teams: Teams) -> Made:
    """Everything that a closure upwards reaches. What belongs to teams that may not be shown is named by digest alone."""
    versions = closure.versions()
    links = [link for link in closure.links() if link[1] in versions or not _is_cut(link)]
    rows = {parent for _, parent, role in links if role in _DATA_ROLES}
    data = data_of({raw for raw in rows if ":" not in raw})
    things = versions | data
    expressions, names = expressions_of(things.values()), teams_of(things.values())
    known = read_answers(terms_in_force(id_of(raw) for raw in expressions))
    open_teams = {raw for raw in names if shown(teams, raw)}
    sources = {}
    for raw, thing in things.items():
        label = (
            label_of(thing, names)
            if thing.team in open_teams
            else _foreign("data" if raw in data else "a model", thing)
        )
        answers, notes = known[thing.licence]
        kind = "dataset" if raw in data else "version"
        sources[raw] = Source(raw, kind, label, expressions[thing.licence], answers, words_in(thing.uses), notes)
    for _, parent, role in links:
        if parent not in sources:
            what = "data" if role in _DATA_ROLES else "a model"
            sources[parent] = Source(parent, "outside", f"{what} outside this registry ({parent[:19]}...)")
    return Made(sources, links, {raw: thing.licence for raw, thing in things.items()})


def _is_cut(link: Way) -> bool:
    """Whether the parent is a version: one that was not read lies beyond the limit."""
    return link[2] not in _DATA_ROLES and ":" not in link[1]


def read_answers(terms: Mapping[uuid.UUID, TermsDocument]) -> dict[str, Answers]:
    """Answers and notes by raw id of the licence; all sources under one licence share them."""
    return {
        raw_of(key): (
            {name: (row["answer"], row["sentence"]) for name, row in document["answers"].items()},
            tuple(document["notes"]),
        )
        for key, document in terms.items()
    }


def _foreign(what: str, thing: Thing) -> str:
    return f"{what} of another team ({thing.digest[:19]}...)"


def _silences(version: ModelVersion, truncated: bool) -> Sequence[str]:
    """What the answer cannot know."""
    notes = []
    known = stated([version.pk])[version.pk].training_data
    if known != "complete":
        notes.append(
            f"What is known about the training data is {known}; terms of data that nobody recorded are not in this answer."
        )
    if truncated:
        notes.append(
            f"The lineage has more than {lineage.MAX_NODES} sources; what the ones beyond say is not known here."
        )
    return notes

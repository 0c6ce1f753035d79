"""The effective terms of a version from its rows: stated licences, terms in force, and everything that it was made from.

Rules:
- a correction of a version counts before what was registered; a ruling in force before the terms of the pack;
- sources of teams that the reader may not see are named by digest alone;
- what lies beyond the limit of a lineage is a source whose licence nobody knows: a lineage that is too long frees nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from registry.catalog import lineage
from registry.catalog.closure import EVERYTHING, Closure, Thing, data_of, id_of, raw_of, versions_of, words_in
from registry.catalog.lineage import Teams, label_of, shown, teams_of
from registry.catalog.models import ModelVersion
from registry.catalog.stated import stated
from registry.catalog.terms import EffectiveTerms, Labels, effective_terms
from registry.catalog.terms_levels import DATA, SHAPING_DATA, Link, Source, Way
from registry.provenance.licences import TermsDocument
from registry.provenance.models import Licence
from registry.provenance.ruled_terms import terms_in_force

_BEYOND = "beyond"
_DATA_ROLES = (DATA, SHAPING_DATA)
_LINKS_PER_NODE = 20
Answers = tuple[dict[str, tuple[str, str]], tuple[str, ...]]


def terms_along(version: ModelVersion, teams: Teams) -> EffectiveTerms:
    """The effective terms of a version; sources of other teams are named by digest alone."""
    root = raw_of(version.pk)
    made = read_sources([version.pk], limit=lineage.MAX_NODES + 1)
    truncated = made.cut or len(made.sources) > lineage.MAX_NODES
    if truncated:
        label = f"what lies beyond {lineage.MAX_NODES} sources of the lineage"
        made.sources[_BEYOND] = Source(_BEYOND, "outside", label)
        made.links.append(Link(root, _BEYOND, "base"))
    found = effective_terms(root, made.sources, made.links, _labels(made.sources, teams))
    found.notes.extend(_silences(version, truncated))
    return found


class Made(NamedTuple):
    """What versions were made from, with the terms of each source. What is here has no label yet: see `_labels`."""

    sources: dict[str, Source]
    links: list[Way]
    licences: dict[str, str]
    """The licence (raw id) of each source that has one."""
    cut: bool
    """Whether more links were there than were read."""


def read_sources(starts: Collection[uuid.UUID], *, limit: int) -> Made:
    """Everything that versions were made from, by any number of steps, and they themselves."""
    most = min(limit * _LINKS_PER_NODE, EVERYTHING)
    rows = Closure(starts, up=True, limit=limit).made_of(most)
    licences = {raw_of(key): raw_of(known.licence_id) for key, known in stated(starts).items()}
    licences |= {parent: licence for _, parent, _, licence in rows if licence is not None}
    versions = set(licences)
    data = data_of({parent for _, parent, role, _ in rows if role in _DATA_ROLES and ":" not in parent})
    licences |= {raw: thing.licence for raw, thing in data.items()}
    expressions, known = _read_licences(set(licences.values()))
    sources = {}
    for raw, licence in licences.items():
        answers, notes = known[licence]
        kind, uses = ("version", ()) if raw in versions else ("dataset", words_in(data[raw].uses))
        sources[raw] = Source(raw, kind, "", expressions[licence], answers, uses, notes)
    for _, parent, role, _ in rows:
        if parent not in sources:
            what = "data" if role in _DATA_ROLES else "a model"
            sources[parent] = Source(parent, "outside", f"{what} outside this registry ({parent[:19]}...)")
    return Made(sources, [row[:3] for row in rows], licences, len(rows) == most)


def _read_licences(raws: Collection[str]) -> tuple[dict[str, str], dict[str, Answers]]:
    """Expressions and answers by raw id of the licence."""
    terms = terms_in_force(id_of(raw) for raw in raws)
    named = Licence.objects.filter(pk__in=terms).values_list("pk", "expression")
    return {raw_of(key): expression for key, expression in named}, read_answers(terms)


def _labels(sources: Mapping[str, Source], teams: Teams) -> Labels:
    """What sources are called for a reader of these teams."""

    def labels(keys: Collection[str]) -> Mapping[str, str]:
        found = {key: sources[key].label for key in keys if key in sources and sources[key].kind == "outside"}
        here = [key for key in keys if key in sources and key not in found]
        versions = versions_of([key for key in here if sources[key].kind == "version"])
        things = versions | data_of([key for key in here if sources[key].kind == "dataset"])
        names = teams_of(things.values())
        open_teams = {raw for raw in names if shown(teams, raw)}
        for raw, thing in things.items():
            what = "a model" if raw in versions else "data"
            found[raw] = label_of(thing, names) if thing.team in open_teams else _foreign(what, thing)
        return found

    return labels


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

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
from registry.catalog.stated import Stated, stated
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
    return _alone(version, read_sources([version.pk], limit=lineage.MAX_NODES + 1), teams)


def _alone(version: ModelVersion, made: Made, teams: Teams) -> EffectiveTerms:
    truncated = made.cut or len(made.sources) > lineage.MAX_NODES
    if truncated:
        label = f"what lies beyond {lineage.MAX_NODES} sources of the lineage"
        made.sources[_BEYOND] = Source(_BEYOND, "outside", label)
        made.links.append(Link(raw_of(version.pk), _BEYOND, "base"))
    return _terms(version, made, made.links, _Names(made.sources), teams, truncated)


def terms_along_each(versions: Sequence[ModelVersion]) -> dict[uuid.UUID, EffectiveTerms]:
    """The same for several versions, each for readers of its own team, in as many questions as for one."""
    made = read_sources([version.pk for version in versions], limit=lineage.MAX_NODES + 1)
    if len(versions) == 1:
        return {version.pk: _alone(version, made, {version.model.team_id}) for version in versions}
    if made.cut or len(made.sources) > lineage.MAX_NODES:  # too much together: one by one
        return {version.pk: terms_along(version, {version.model.team_id}) for version in versions}
    names = _Names(made.sources)
    names.read(made.sources)
    by_child: dict[str, list[Way]] = {}
    for link in made.links:
        by_child.setdefault(link[0], []).append(link)
    found = {}
    for version in versions:
        links = _links_above(raw_of(version.pk), by_child)
        found[version.pk] = _terms(version, made, links, names, {version.model.team_id}, False)
    return found


def _links_above(root: str, by_child: Mapping[str, Sequence[Way]]) -> list[Way]:
    found: list[Way] = []
    seen, waiting = {root}, [root]
    while waiting:
        for link in by_child.get(waiting.pop(), ()):
            found.append(link)
            if link[1] not in seen:
                seen.add(link[1])
                waiting.append(link[1])
    return sorted(found)


def _terms(
    version: ModelVersion, made: Made, links: Sequence[Way], names: _Names, teams: Teams, truncated: bool
) -> EffectiveTerms:
    found = effective_terms(raw_of(version.pk), made.sources, links, names.labels(teams))
    found.notes.extend(_silences(made.stated[version.pk].training_data, truncated))
    return found


class Made(NamedTuple):
    """What versions were made from, with the terms of each source. What is here has no label yet: see `_labels`."""

    sources: dict[str, Source]
    links: list[Way]
    licences: dict[str, str]
    """The licence (raw id) of each source that has one."""
    cut: bool
    """Whether more links were there than were read."""
    stated: Mapping[uuid.UUID, Stated]
    """What is stated about the versions that were asked for."""


def read_sources(starts: Collection[uuid.UUID], *, limit: int) -> Made:
    """Everything that versions were made from, by any number of steps, and they themselves."""
    most = min(limit * _LINKS_PER_NODE, EVERYTHING)
    rows = Closure(starts, up=True, limit=limit).made_of(most)
    own = stated(starts)
    licences = {raw_of(key): raw_of(said.licence_id) for key, said in own.items()}
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
    return Made(sources, [row[:3] for row in rows], licences, len(rows) == most, own)


def _read_licences(raws: Collection[str]) -> tuple[dict[str, str], dict[str, Answers]]:
    """Expressions and answers by raw id of the licence."""
    terms = terms_in_force(id_of(raw) for raw in raws)
    named = Licence.objects.filter(pk__in=terms).values_list("pk", "expression")
    return {raw_of(key): expression for key, expression in named}, read_answers(terms)


class _Names:
    """What sources are called; those that were asked for once are not read again."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = sources
        self._things: dict[str, Thing] = {}
        self._teams: dict[str, str] = {}

    def read(self, keys: Collection[str]) -> None:
        """Read those of the sources that are here and were not asked for yet."""
        new = [key for key in keys if key in self._sources and key not in self._things]
        versions = versions_of([key for key in new if self._sources[key].kind == "version"])
        things = versions | data_of([key for key in new if self._sources[key].kind == "dataset"])
        self._things |= things
        if {thing.team for thing in things.values()} - self._teams.keys():
            self._teams |= teams_of(things.values())

    def labels(self, teams: Teams) -> Labels:
        """For a reader of these teams."""

        def labels(keys: Collection[str]) -> Mapping[str, str]:
            self.read(keys)
            return {key: self._label(key, teams) for key in keys if key in self._sources}

        return labels

    def _label(self, key: str, teams: Teams) -> str:
        thing, source = self._things.get(key), self._sources[key]
        if thing is None:
            return source.label
        if shown(teams, thing.team):
            return label_of(thing, self._teams)
        return _foreign("a model" if source.kind == "version" else "data", thing)


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


def _silences(known: str, truncated: bool) -> Sequence[str]:
    """What the answer cannot know; `known`: how much of the training data is."""
    notes = []
    if known != "complete":
        notes.append(
            f"What is known about the training data is {known}; terms of data that nobody recorded are not in this answer."
        )
    if truncated:
        notes.append(
            f"The lineage has more than {lineage.MAX_NODES} sources; what the ones beyond say is not known here."
        )
    return notes

"""Loads the lineage around a version: all ancestors, and the descendants that the reader may see.

Rules:
- ancestors of a visible version are visible reduced: digest, terms and grade, but no names;
- a descendant that the reader may not see is not there;
- level by level and without building rows, so that a graph of many nodes takes few queries and little time; at most MAX_NODES,
  and `truncated` says so.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from registry.access.models import Team
from registry.access.queries import readable_team_ids
from registry.catalog.models import Edge, ModelVersion
from registry.catalog.terms import EffectiveTerms, Link, Source, effective_terms
from registry.events import Caller
from registry.provenance.models import DatasetVersion, Licence

MAX_NODES = 10_000
_BATCH = 500
Teams = set[uuid.UUID] | None
"""Teams whose names may be shown; None means all."""


@dataclass(frozen=True)
class Node:
    """A version, a dataset version, or something outside, as the reader may see it. `distance` < 0: an ancestor."""

    key: str
    kind: str
    digest: str
    label: str | None
    licence: str | None
    visible: bool
    distance: int
    team: str | None = None
    name: str | None = None
    number: int | None = None
    size_bytes: int | None = None
    uses: tuple[str, ...] = ()


@dataclass(frozen=True)
class EdgeView:
    """`child` was derived from `parent` (both are keys of nodes)."""

    child: str
    parent: str
    role: str
    operations: tuple[str, ...]
    grade: str


@dataclass(frozen=True)
class Lineage:
    """Nodes and edges around `root`."""

    root: str
    nodes: list[Node]
    edges: list[EdgeView]
    truncated: bool = False


class _Line(NamedTuple):
    """An edge as it was read."""

    id: uuid.UUID
    child: uuid.UUID
    parent: uuid.UUID | None
    dataset: uuid.UUID | None
    digest: str
    role: str
    operations: list[str]
    grade: str

    @property
    def parent_key(self) -> str:
        if self.parent is not None:
            return version_key(self.parent)
        return f"dataset:{self.dataset}" if self.dataset is not None else f"outside:{self.digest}"


class _Thing(NamedTuple):
    """A version or dataset version as it was read."""

    digest: str
    number: int
    size_bytes: int | None
    licence: uuid.UUID
    team: uuid.UUID
    name: str
    uses: tuple[str, ...] = ()


@dataclass
class _Graph:
    """What was read: edges, how far each node is from the root, and what the nodes are."""

    root: uuid.UUID
    lines: dict[uuid.UUID, _Line] = field(default_factory=dict)
    distances: dict[str, int] = field(default_factory=dict)
    things: dict[str, _Thing] = field(default_factory=dict)
    licences: dict[uuid.UUID, Licence] = field(default_factory=dict)
    teams: dict[uuid.UUID, str] = field(default_factory=dict)
    truncated: bool = False


def version_key(version_id: uuid.UUID) -> str:
    """The key of a version's node."""
    return f"version:{version_id}"


def _batches(ids: Iterable[uuid.UUID]) -> Iterator[list[uuid.UUID]]:
    wanted = sorted(ids)
    for start in range(0, len(wanted), _BATCH):
        yield wanted[start : start + _BATCH]


_LINE = ("id", "child_id", "parent_id", "dataset_version_id", "parent_digest", "role", "operations", "grade")


def _add_ancestors(graph: _Graph) -> None:
    def further(lines: Sequence[_Line], distance: int) -> set[uuid.UUID]:
        known = set(graph.distances)
        for line in lines:
            graph.distances.setdefault(line.parent_key, distance)
        return {line.parent for line in lines if line.parent is not None and version_key(line.parent) not in known}

    _walk(graph, "child_id__in", -1, further)


def _add_descendants(graph: _Graph, teams: Teams) -> None:
    def further(lines: Sequence[_Line], distance: int) -> set[uuid.UUID]:
        known = set(graph.distances)
        for line in lines:
            graph.distances.setdefault(version_key(line.child), distance)
        return {line.child for line in lines if version_key(line.child) not in known}

    shown = {} if teams is None else {"child__model__team_id__in": teams}
    _walk(graph, "parent_id__in", 1, further, **shown)


def _walk(
    graph: _Graph,
    near: str,
    step: int,
    further: Callable[[Sequence[_Line], int], set[uuid.UUID]],
    **shown: set[uuid.UUID],
) -> None:
    level, distance = {graph.root}, 0
    while level and not graph.truncated:
        distance += step
        lines: list[_Line] = []
        for batch in _batches(level):
            rows = Edge.objects.filter(**{near: batch}, **shown).order_by("id").values_list(*_LINE)
            lines += [_Line(*row) for row in rows]
        graph.lines.update({line.id: line for line in lines})
        level = further(lines, distance)
        graph.truncated = len(graph.distances) > MAX_NODES


def _name_things(graph: _Graph) -> None:
    """What stands at the nodes: versions, dataset versions, their licences and teams."""
    kinds: dict[str, list[uuid.UUID]] = {"version": [], "dataset": [], "outside": []}
    for key in graph.distances:
        kind, _, name = key.partition(":")
        if kind != "outside":
            kinds[kind].append(uuid.UUID(name))
    columns = ("id", "digest", "number", "size_bytes", "licence_id", "model__team_id", "model__slug")
    for batch in _batches(kinds["version"]):
        for key, *rest in ModelVersion.objects.filter(pk__in=batch).values_list(*columns):
            graph.things[version_key(key)] = _Thing(*rest)
    for batch in _batches(kinds["dataset"]):
        for row in DatasetVersion.objects.filter(pk__in=batch).select_related("dataset"):
            owner = row.dataset
            graph.things[f"dataset:{row.pk}"] = _Thing(
                row.bound_digest, row.number, row.size_bytes, row.licence_id, owner.team_id, owner.slug, tuple(row.uses)
            )
    for batch in _batches({thing.licence for thing in graph.things.values()}):
        graph.licences |= Licence.objects.in_bulk(batch)
    for batch in _batches({thing.team for thing in graph.things.values()}):
        graph.teams |= dict(Team.objects.filter(pk__in=batch).values_list("pk", "slug"))


def _load(version: ModelVersion) -> _Graph:
    graph = _Graph(version.pk, distances={version_key(version.pk): 0})
    _add_ancestors(graph)
    return graph


@dataclass(frozen=True)
class Ancestry:
    """What a version was made from as rows, for rules that look at them: parents and edges, those nearest to it first."""

    parents: list[ModelVersion]
    edges: list[Edge]
    truncated: bool


def load_ancestors(version: ModelVersion) -> Ancestry:
    """Everything that the version was made from, by whichever path; the version itself is no parent."""
    graph = _load(version)
    edges: dict[uuid.UUID, Edge] = {}
    parents: dict[uuid.UUID, ModelVersion] = {}
    lines = Edge.objects.select_related(
        "dataset_version__dataset__team", "dataset_version__licence", "dataset_version__origin"
    )
    for batch in _batches(graph.lines):
        edges |= lines.in_bulk(batch)
    for batch in _batches({line.parent for line in graph.lines.values() if line.parent is not None}):
        parents |= ModelVersion.objects.select_related("model__team").in_bulk(batch)

    def nearness(key: uuid.UUID) -> int:
        return -graph.distances[version_key(key)]

    return Ancestry(
        sorted(parents.values(), key=lambda row: (nearness(row.pk), row.pk)),
        sorted(edges.values(), key=lambda row: (nearness(row.child_id), row.pk)),
        graph.truncated,
    )


def _shown(teams: Teams, team_id: uuid.UUID) -> bool:
    return teams is None or team_id in teams


def lineage(caller: Caller, version: ModelVersion) -> Lineage:
    """Ancestors (reduced where the caller may not read them) and visible descendants of a version the caller may read."""
    teams = readable_team_ids(caller.actor_id)
    graph = _load(version)
    _add_descendants(graph, teams)
    _name_things(graph)
    nodes = [_node(key, distance, graph, teams) for key, distance in graph.distances.items()]
    edges = [
        EdgeView(version_key(line.child), line.parent_key, line.role, tuple(line.operations), line.grade)
        for line in graph.lines.values()
    ]
    nodes.sort(key=lambda node: (node.distance, node.kind, node.key))
    return Lineage(version_key(version.pk), nodes, edges, graph.truncated)


def _node(key: str, distance: int, graph: _Graph, teams: Teams) -> Node:
    kind, _, rest = key.partition(":")
    thing = graph.things.get(key)
    if thing is None:
        return Node(key, kind, rest, None, None, True, distance)
    licence = graph.licences[thing.licence].expression
    if not _shown(teams, thing.team):
        return Node(key, kind, thing.digest, None, licence, False, distance, uses=thing.uses)
    label = _label(thing, graph)
    team, name = graph.teams[thing.team], thing.name
    return Node(
        key, kind, thing.digest, label, licence, True, distance, team, name, thing.number, thing.size_bytes, thing.uses
    )


def _label(thing: _Thing, graph: _Graph) -> str:
    return f"{graph.teams[thing.team]}/{thing.name}@{thing.number}"


# --- terms along the lineage ------------------------------------------------------------------------------------------


def terms_along(version: ModelVersion, teams: Teams) -> EffectiveTerms:
    """The effective terms of a version; sources of other teams are named by digest alone."""
    graph = _load(version)
    _name_things(graph)
    answers = {key: _answers(licence) for key, licence in graph.licences.items()}
    data = {line.parent_key for line in graph.lines.values() if line.role == "data"}
    sources = {key: _source(key, graph, answers, teams, key in data) for key in graph.distances}
    links = [Link(version_key(line.child), line.parent_key, line.role) for line in graph.lines.values()]
    found = effective_terms(version_key(version.pk), sources, links)
    found.notes.extend(_silences(version, graph))
    return found


Answers = tuple[dict[str, tuple[str, str]], tuple[str, ...]]


def _answers(licence: Licence) -> Answers:
    terms = licence.terms
    answers = {name: (row["answer"], row["sentence"]) for name, row in terms["answers"].items()}
    return answers, tuple(terms["notes"])


def _source(key: str, graph: _Graph, known: dict[uuid.UUID, Answers], teams: Teams, is_data: bool) -> Source:
    kind, _, rest = key.partition(":")
    what = "data" if is_data else "a model"
    thing = graph.things.get(key)
    if thing is None:
        return Source(key, kind, f"{what} outside this registry ({rest[:19]}...)")
    label = _label(thing, graph) if _shown(teams, thing.team) else f"{what} of another team ({thing.digest[:19]}...)"
    answers, notes = known[thing.licence]
    return Source(key, kind, label, graph.licences[thing.licence].expression, answers, thing.uses, notes)


def _silences(version: ModelVersion, graph: _Graph) -> Sequence[str]:
    """What the answer cannot know."""
    notes = []
    if version.training_data != "complete":
        notes.append(
            f"What is known about the training data is {version.training_data}; terms of data that nobody recorded "
            "are not in this answer."
        )
    if graph.truncated:
        notes.append(f"The lineage has more than {MAX_NODES} sources; the ones beyond are not in this answer.")
    return notes

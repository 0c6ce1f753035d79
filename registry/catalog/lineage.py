"""Loads the lineage around a version: all ancestors, and the descendants that the reader may see.

Rules:
- ancestors of a visible version are visible reduced: digest, terms and grade, but no names;
- a descendant that the reader may not see is not there;
- licences are the stated ones: a correction counts, what was registered first stays on record;
- the database walks (see `closure`), so that a graph of many nodes takes few queries and little time; at most MAX_NODES, and
  `truncated` says so.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from registry.access.models import Team
from registry.access.queries import readable_team_ids
from registry.catalog.closure import Closure, Line, Thing, data_of, id_of, raw_of, words_in
from registry.catalog.models import Edge, ModelVersion
from registry.events import Caller
from registry.provenance.models import Licence

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


@dataclass
class Graph:
    """What was read: edges, how far each source is from the root, and what the sources are. Keys are raw (see `closure`)."""

    root: str
    lines: list[Line] = field(default_factory=list)
    distances: dict[str, int] = field(default_factory=dict)
    things: dict[str, Thing] = field(default_factory=dict)
    licences: dict[str, str] = field(default_factory=dict)
    """Expressions by raw id."""
    teams: dict[str, str] = field(default_factory=dict)
    truncated: bool = False


def read_ancestors(version: ModelVersion) -> Graph:
    """Everything that a version was made from, and the version."""
    graph = Graph(raw_of(version.pk))
    closure = Closure([version.pk], up=True, limit=MAX_NODES + 1)
    versions = closure.versions()
    lines = [line for line in closure.lines() if line.parent is None or line.parent in versions]
    _place(graph, lines, -1)
    graph.things = versions | data_of({line.dataset for line in lines if line.dataset is not None})
    graph.truncated = len(graph.distances) > MAX_NODES
    return graph


def _add_descendants(graph: Graph, version: ModelVersion, teams: Teams) -> None:
    closure = Closure([version.pk], up=False, limit=MAX_NODES + 1, teams=teams)
    versions = closure.versions()
    _place(graph, [line for line in closure.lines() if line.child in versions], 1)
    graph.things |= versions
    graph.truncated = graph.truncated or len(graph.distances) > MAX_NODES


def _place(graph: Graph, lines: Sequence[Line], step: int) -> None:
    """Take edges in, and say how far each source is from the root, by the shortest way."""
    onward: dict[str, list[str]] = {}
    for line in lines:
        near, far = (line.child, line.source) if step < 0 else (line.source, line.child)
        onward.setdefault(near, []).append(far)
    graph.lines += lines
    graph.distances[graph.root] = 0
    waiting = deque([graph.root])
    while waiting:
        near = waiting.popleft()
        for far in onward.get(near, ()):
            if far not in graph.distances:
                graph.distances[far] = graph.distances[near] + step
                waiting.append(far)


def expressions_of(things: Iterable[Thing]) -> dict[str, str]:
    """The expressions of their licences, by raw id."""
    found: dict[str, str] = {}
    for batch in _batches(id_of(raw) for raw in {thing.licence for thing in things}):
        rows = Licence.objects.filter(pk__in=batch).values_list("pk", "expression")
        found |= {raw_of(key): expression for key, expression in rows}
    return found


def teams_of(things: Iterable[Thing]) -> dict[str, str]:
    """The names of their teams, by raw id."""
    found: dict[str, str] = {}
    for batch in _batches(id_of(raw) for raw in {thing.team for thing in things}):
        found |= {raw_of(key): slug for key, slug in Team.objects.filter(pk__in=batch).values_list("pk", "slug")}
    return found


def version_key(version_id: uuid.UUID) -> str:
    """The key of a version's node."""
    return f"version:{version_id}"


def _batches(ids: Iterable[uuid.UUID]) -> Iterator[list[uuid.UUID]]:
    wanted = sorted(ids)
    for start in range(0, len(wanted), _BATCH):
        yield wanted[start : start + _BATCH]


@dataclass(frozen=True)
class Ancestry:
    """What a version was made from as rows, for rules that look at them: parents and edges, those nearest to it first."""

    parents: list[ModelVersion]
    edges: list[Edge]
    truncated: bool


def load_ancestors(version: ModelVersion) -> Ancestry:
    """Everything that the version was made from, by whichever path; the version itself is no parent."""
    return load_ancestors_of([version.pk])[version.pk]


def load_ancestors_of(version_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Ancestry]:
    """The same for several versions, in as many questions as for one."""
    graphs = _graphs_above(version_ids)
    edges: dict[uuid.UUID, Edge] = {}
    parents: dict[uuid.UUID, ModelVersion] = {}
    lines = Edge.objects.select_related(
        "dataset_version__dataset__team", "dataset_version__licence", "dataset_version__origin"
    )
    for batch in _batches({id_of(line.id) for graph in graphs.values() for line in graph.lines}):
        edges |= lines.in_bulk(batch)
    above = {line.parent for graph in graphs.values() for line in graph.lines if line.parent is not None}
    for batch in _batches(id_of(raw) for raw in above):
        parents |= ModelVersion.objects.select_related("model__team").in_bulk(batch)
    return {key: _ancestry(graph, parents, edges) for key, graph in graphs.items()}


def _ancestry(graph: Graph, parents: Mapping[uuid.UUID, ModelVersion], edges: Mapping[uuid.UUID, Edge]) -> Ancestry:
    def nearness(key: uuid.UUID) -> int:
        return -graph.distances[raw_of(key)]

    above = {line.parent for line in graph.lines if line.parent is not None and line.parent != graph.root}
    return Ancestry(
        sorted((parents[id_of(raw)] for raw in above), key=lambda row: (nearness(row.pk), row.pk)),
        sorted((edges[id_of(line.id)] for line in graph.lines), key=lambda row: (nearness(row.child_id), row.pk)),
        graph.truncated,
    )


def _graphs_above(version_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Graph]:
    """What each of the versions was made from; together where that is not too much, else one by one."""
    closure = Closure(version_ids, up=True, limit=MAX_NODES + 1)
    lines = closure.lines()
    versions = {raw_of(key) for key in version_ids} | {line.parent for line in lines if line.parent is not None}
    if len(versions) > MAX_NODES:
        if len(version_ids) > 1:
            return {key: _graphs_above([key])[key] for key in version_ids}
        reached = set(closure.ids())
        lines = [line for line in lines if line.parent is None or line.parent in reached]
    by_child: dict[str, list[Line]] = {}
    for line in lines:
        by_child.setdefault(line.child, []).append(line)
    return {key: _graph_of(raw_of(key), by_child) for key in version_ids}


def _graph_of(root: str, by_child: Mapping[str, Sequence[Line]]) -> Graph:
    """The part of the lines that stands above one version."""
    graph, own, waiting = Graph(root), [], [root]
    seen = {root}
    while waiting:
        for line in by_child.get(waiting.pop(), ()):
            own.append(line)
            if line.parent is not None and line.parent not in seen:
                seen.add(line.parent)
                waiting.append(line.parent)
    _place(graph, own, -1)
    graph.truncated = len(graph.distances) > MAX_NODES
    return graph


def shown(teams: Teams, team: str) -> bool:
    """Whether what belongs to a team (raw) may be named."""
    return teams is None or id_of(team) in teams


def label_of(thing: Thing, teams: Mapping[str, str]) -> str:
    """`team/name@number`."""
    return f"{teams[thing.team]}/{thing.name}@{thing.number}"


def lineage(caller: Caller, version: ModelVersion) -> Lineage:
    """Ancestors (reduced where the caller may not read them) and visible descendants of a version the caller may read."""
    teams = readable_team_ids(caller.actor_id)
    graph = read_ancestors(version)
    _add_descendants(graph, version, teams)
    graph.licences, graph.teams = expressions_of(graph.things.values()), teams_of(graph.things.values())
    open_teams = {raw for raw in graph.teams if shown(teams, raw)}
    kinds = {line.source: _kind(line) for line in graph.lines}
    keys = {raw: _key(raw, kinds.get(raw, "version")) for raw in graph.distances}
    nodes = [_node(keys[raw], raw, distance, graph, open_teams) for raw, distance in graph.distances.items()]
    edges = [
        EdgeView(keys[line.child], keys[line.source], line.role, words_in(line.operations), line.grade)
        for line in graph.lines
    ]
    nodes.sort(key=lambda node: (node.distance, node.kind, node.key))
    return Lineage(version_key(version.pk), nodes, edges, graph.truncated)


def _kind(line: Line) -> str:
    if line.parent is not None:
        return "version"
    return "dataset" if line.dataset is not None else "outside"


def _key(raw: str, kind: str) -> str:
    return f"outside:{raw}" if kind == "outside" else f"{kind}:{id_of(raw)}"


def _node(key: str, raw: str, distance: int, graph: Graph, open_teams: set[str]) -> Node:
    kind = key.partition(":")[0]
    thing = graph.things.get(raw)
    if thing is None:
        return Node(key, kind, raw, None, None, True, distance)
    licence, uses = graph.licences[thing.licence], words_in(thing.uses)
    if thing.team not in open_teams:
        return Node(key, kind, thing.digest, None, licence, False, distance, uses=uses)
    label, team = label_of(thing, graph.teams), graph.teams[thing.team]
    return Node(
        key, kind, thing.digest, label, licence, True, distance, team, thing.name, thing.number, thing.size_bytes, uses
    )

"""Loads the lineage around a version: all ancestors, and the descendants that the reader may see.

Rules:
- ancestors of a visible version are visible reduced: digest, terms and grade, but no names;
- a descendant that the reader may not see is not there;
- level by level, so that a graph of many nodes takes few queries; at most MAX_NODES, and `truncated` says so.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from registry.access.queries import readable_team_ids
from registry.catalog.models import Edge, ModelVersion
from registry.catalog.terms import EffectiveTerms, Link, Source, effective_terms
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
    """Rows as they were loaded."""

    root: ModelVersion
    versions: dict[uuid.UUID, ModelVersion] = field(default_factory=dict)
    distances: dict[str, int] = field(default_factory=dict)
    edges: dict[uuid.UUID, Edge] = field(default_factory=dict)
    truncated: bool = False


def version_key(version_id: uuid.UUID) -> str:
    """The key of a version's node."""
    return f"version:{version_id}"


def parent_key(edge: Edge) -> str:
    """The key of an edge's parent, whatever it is."""
    if edge.parent_id is not None:
        return version_key(edge.parent_id)
    if edge.dataset_version_id is not None:
        return f"dataset:{edge.dataset_version_id}"
    return f"outside:{edge.parent_digest}"


def _batches(ids: Iterable[uuid.UUID]) -> Iterator[list[uuid.UUID]]:
    wanted = sorted(ids)
    for start in range(0, len(wanted), _BATCH):
        yield wanted[start : start + _BATCH]


def load_ancestors(root: ModelVersion) -> Graph:
    """Everything that the version was made from, by whichever path."""
    graph = Graph(root, {root.pk: root}, {version_key(root.pk): 0})
    level, distance = {root.pk}, 0
    while level and not graph.truncated:
        distance -= 1
        following: set[uuid.UUID] = set()
        for batch in _batches(level):
            rows = Edge.objects.filter(child_id__in=batch).select_related(
                "parent__model__team", "parent__licence", "dataset_version__dataset__team", "dataset_version__licence"
            )
            for edge in rows.order_by("id"):
                graph.edges[edge.pk] = edge
                graph.distances.setdefault(parent_key(edge), distance)
                if edge.parent is not None and edge.parent.pk not in graph.versions:
                    graph.versions[edge.parent.pk] = edge.parent
                    following.add(edge.parent.pk)
        graph.truncated = len(graph.distances) > MAX_NODES
        level = following
    return graph


def _add_descendants(graph: Graph, teams: Teams) -> None:
    level, distance = {graph.root.pk}, 0
    while level and not graph.truncated:
        distance += 1
        following: set[uuid.UUID] = set()
        for batch in _batches(level):
            rows = Edge.objects.filter(parent_id__in=batch).select_related("child__model__team", "child__licence")
            for edge in rows.order_by("id"):
                if not _shown(teams, edge.child.model.team_id):
                    continue
                graph.edges[edge.pk] = edge
                graph.distances.setdefault(version_key(edge.child_id), distance)
                if edge.child_id not in graph.versions:
                    graph.versions[edge.child_id] = edge.child
                    following.add(edge.child_id)
        graph.truncated = len(graph.distances) > MAX_NODES
        level = following


def _shown(teams: Teams, team_id: uuid.UUID) -> bool:
    return teams is None or team_id in teams


def lineage(caller: Caller, version: ModelVersion) -> Lineage:
    """Ancestors (reduced where the caller may not read them) and visible descendants of a version the caller may read."""
    teams = readable_team_ids(caller.actor_id)
    graph = load_ancestors(version)
    _add_descendants(graph, teams)
    nodes = {version_key(row.pk): _version_node(row, graph, teams) for row in graph.versions.values()}
    for edge in graph.edges.values():
        key = parent_key(edge)
        if key not in nodes:
            nodes[key] = _other_node(key, edge, graph, teams)
    edges = [
        EdgeView(version_key(e.child_id), parent_key(e), e.role, tuple(e.operations), e.grade)
        for e in graph.edges.values()
    ]
    ordered = sorted(nodes.values(), key=lambda node: (node.distance, node.kind, node.key))
    return Lineage(version_key(version.pk), ordered, edges, graph.truncated)


def _version_node(row: ModelVersion, graph: Graph, teams: Teams) -> Node:
    key, visible = version_key(row.pk), _shown(teams, row.model.team_id)
    plain = Node(key, "version", row.digest, None, row.licence.expression, visible, graph.distances[key])
    if not visible:
        return plain
    return Node(
        **{
            **vars(plain),
            "label": str(row),
            "team": row.model.team.slug,
            "name": row.model.slug,
            "number": row.number,
            "size_bytes": row.size_bytes,
        }
    )


def _other_node(key: str, edge: Edge, graph: Graph, teams: Teams) -> Node:
    row, distance = edge.dataset_version, graph.distances[key]
    if row is None:
        return Node(key, "outside", edge.parent_digest, None, None, True, distance)
    visible = _shown(teams, row.dataset.team_id)
    plain = Node(key, "dataset", row.bound_digest, None, row.licence.expression, visible, distance, uses=tuple(row.uses))
    if not visible:
        return plain
    return Node(
        **{
            **vars(plain),
            "label": f"{row.dataset.team.slug}/{row.dataset.slug}@{row.number}",
            "team": row.dataset.team.slug,
            "name": row.dataset.slug,
            "number": row.number,
            "size_bytes": row.size_bytes,
        }
    )


# --- terms along the lineage ------------------------------------------------------------------------------------------


def terms_along(version: ModelVersion, teams: Teams) -> EffectiveTerms:
    """The effective terms of a version; sources of other teams are named by digest alone."""
    graph = load_ancestors(version)
    sources = {version_key(row.pk): _version_source(row, teams) for row in graph.versions.values()}
    for edge in graph.edges.values():
        key = parent_key(edge)
        if key not in sources:
            sources[key] = _other_source(key, edge, teams)
    links = [Link(version_key(e.child_id), parent_key(e), e.role) for e in graph.edges.values()]
    found = effective_terms(version_key(version.pk), sources, links)
    found.notes.extend(_silences(version, graph))
    return found


def _short(digest: str) -> str:
    return f"{digest[:19]}..."


def _answers(licence: Licence) -> tuple[dict[str, tuple[str, str]], tuple[str, ...]]:
    terms = licence.terms
    answers = {name: (row["answer"], row["sentence"]) for name, row in terms["answers"].items()}
    return answers, tuple(terms["notes"])


def _version_source(row: ModelVersion, teams: Teams) -> Source:
    answers, notes = _answers(row.licence)
    label = str(row) if _shown(teams, row.model.team_id) else f"a model of another team ({_short(row.digest)})"
    return Source(version_key(row.pk), "version", label, row.licence.expression, answers, notes=notes)


def _other_source(key: str, edge: Edge, teams: Teams) -> Source:
    row = edge.dataset_version
    if row is None:
        what = "data" if edge.role == "data" else "a model"
        return Source(key, "outside", f"{what} outside this registry ({_short(edge.parent_digest)})")
    answers, notes = _answers(row.licence)
    named = f"{row.dataset.team.slug}/{row.dataset.slug}@{row.number}"
    label = named if _shown(teams, row.dataset.team_id) else f"data of another team ({_short(row.bound_digest)})"
    return Source(key, "dataset", label, row.licence.expression, answers, tuple(row.uses), notes)


def _silences(version: ModelVersion, graph: Graph) -> Sequence[str]:
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

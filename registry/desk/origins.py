"""From what a version was made, for people: the lineage drawn and listed, and the licence terms that follow, with who decides each.

Rules:
- an ancestor that the reader may not see has a digest and a licence, but neither name nor link;
- what the registry does not hold is said to be outside;
- the drawing shows the nearest NODES_DRAWN; the list beneath says how many there are; a sentence names PARENTS_NAMED.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe

from registry.catalog.lineage import EdgeView, Lineage, Node
from registry.catalog.models import ModelVersion
from registry.catalog.plain_answers import TERM_NAMES, PlainAnswer, plain_answers
from registry.catalog.queries import effective_terms, lineage, stated_in
from registry.catalog.stated import StatedRow
from registry.catalog.terms import EffectiveTerms, Proof
from registry.desk import svg_lineage
from registry.desk.figures import size_text
from registry.events import Caller

NODES_DRAWN = 24
PARENTS_NAMED = 8
_OWN_LICENCE = "LicenseRef-pressmark-"


@dataclass(frozen=True)
class NodeView:
    """A line of the list under the drawing; `edges` holds each way once in which it went into something."""

    node: Node
    name: str
    href: str
    edges: Sequence[EdgeView]


@dataclass(frozen=True)
class TermView:
    """What binds, under one head, and what decides it."""

    name: str
    answer: str
    because: Sequence[Proof]


@dataclass(frozen=True)
class Origins:
    """Everything about where a version came from."""

    drawing: SafeString
    finding: str
    parents: Sequence[NodeView]
    nodes: Sequence[NodeView]
    total: int
    terms: Sequence[TermView]
    effective: EffectiveTerms
    answers: Sequence[PlainAnswer]
    """May I use it, change it, pass it on, train with its outputs?"""
    stated: StatedRow

    @property
    def bases(self) -> list[NodeView]:
        """The parents that are models."""
        return [view for view in self.parents if view.node.kind != "dataset"]


def origins_of(caller: Caller, version: ModelVersion) -> Origins:
    """Lineage and effective terms of a version that the caller may see."""
    found = lineage(caller, version)
    nearest = sorted(found.nodes, key=lambda n: (abs(n.distance), n.kind, n.key))[:NODES_DRAWN]
    views = [_view(node, found) for node in nearest]
    direct = {edge.parent for edge in found.edges if edge.child == found.root}
    parents = [view for view in views if view.node.key in direct]
    finding = _finding(version, parents, found, len(direct))
    terms = effective_terms(version, caller=caller)
    return Origins(
        drawing=mark_safe(_draw(found, nearest, finding)),  # noqa: S308  svg_lineage escapes everything that came from data
        finding=finding,
        parents=parents,
        nodes=views,
        total=len(found.nodes),
        terms=[TermView(TERM_NAMES[t], answer, terms.because(t)) for t, answer in terms.answers.items()],
        effective=terms,
        answers=plain_answers(terms),
        stated=stated_in(version),
    )


def _view(node: Node, found: Lineage) -> NodeView:
    ways = {(edge.role, edge.operations, edge.grade): edge for edge in found.edges if edge.parent == node.key}
    return NodeView(node, node_name(node), _href(node), list(ways.values()))


def node_name(node: Node) -> str:
    """What a node is called for this reader."""
    if node.label:
        return node.label
    if node.kind == "outside":
        return "outside this registry"
    return "data of another team" if node.kind == "dataset" else "model of another team"


def _href(node: Node) -> str:
    if not (node.visible and node.team and node.name):
        return ""
    if node.kind == "dataset":
        return reverse("desk:dataset", args=[node.team, node.name])
    return reverse("desk:version", args=[node.team, node.name, node.number])


def _finding(version: ModelVersion, parents: Sequence[NodeView], found: Lineage, count: int) -> str:
    if not parents:
        return f"{version} was registered without a parent or data: nothing is recorded about where it came from."
    ways = {edge.parent: edge for edge in found.edges if edge.child == found.root}
    told = []
    for view in parents[:PARENTS_NAMED]:
        edge = ways[view.node.key]
        told.append(f"{view.name} ({', '.join([edge.role, *edge.operations, edge.grade])})")
    if count > len(told):
        told.append(f"{count - len(told):,} more")
    return f"{version} was made from {' and '.join(told)}."


def _draw(found: Lineage, nearest: Sequence[Node], finding: str) -> str:
    nodes = [
        svg_lineage.Node(
            key=node.key,
            kind=_shape(node),
            title=node_name(node),
            line=_line(node),
            digest=node.digest,
            href="" if node.key == found.root else _href(node),
            subject=node.key == found.root,
        )
        for node in nearest
    ]
    arcs = [svg_lineage.Arc(e.parent, e.child, e.role, e.operations, e.grade) for e in found.edges]
    return svg_lineage.lineage("lineage", finding, nodes, arcs)


def _shape(node: Node) -> str:
    if not node.visible or node.kind == "outside":
        return "reduced"
    return node.kind


def _line(node: Node) -> str:
    what = ", ".join(node.uses) + " data" if node.kind == "dataset" else "model"
    parts = [what, (node.licence or "licence not known").removeprefix(_OWN_LICENCE)]
    if node.size_bytes is not None and node.kind == "version":
        parts.insert(1, size_text(node.size_bytes))
    return " · ".join(parts)

"""The drawing of a lineage: what a version came from, left to right, and what was made of it. Pure: same input, same bytes.

Rules:
- a node stands one column left of its nearest child; within a column the order follows the children's, then the key;
- a solid line is a step that our engine carried out, a dashed one somebody's word; the label says so too;
- an ancestor that the reader may not see is an unnamed box with a digest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from registry.desk.svg import drawing, element, number, text

BOX_WIDTH, BOX_HEIGHT = 212, 62
COLUMN_GAP, ROW_GAP, MARGIN = 142, 26, 4
LABEL_HEIGHT = 30
MAX_CHARACTERS = 30


@dataclass(frozen=True)
class Node:
    """A box. `kind` is version, dataset or reduced."""

    key: str
    kind: str
    title: str
    line: str
    digest: str
    href: str = ""
    subject: bool = False


@dataclass(frozen=True)
class Arc:
    """An edge from what was used to what was made of it."""

    source: str
    target: str
    role: str
    operations: tuple[str, ...]
    grade: str


Place = tuple[float, float]


def lineage(name: str, finding: str, nodes: Sequence[Node], arcs: Sequence[Arc]) -> str:
    """All nodes and arcs; arcs whose ends are not among the nodes are left out. The graph must have no circle."""
    known = {node.key for node in nodes}
    drawn = sorted(
        (a for a in arcs if a.source in known and a.target in known), key=lambda a: (a.source, a.target, a.role)
    )
    places, size = _layout(nodes, drawn)
    lines, labels = [], []
    taken: list[Place] = []
    for arc in drawn:
        lines.append(_line(arc, places[arc.source], places[arc.target]))
        labels.append(_label(arc, places[arc.source], places[arc.target], taken))
    boxes = [_box(node, places[node.key]) for node in nodes]
    lowest_label = max((y + LABEL_HEIGHT for _, y in taken), default=0.0)
    return drawing(name, "Lineage", finding, (size[0], max(size[1], lowest_label)), [*lines, *boxes, *labels], "group")


def _columns(nodes: Sequence[Node], arcs: Sequence[Arc]) -> dict[str, int]:
    """How far each node stands from the last thing made of it."""
    depth = {node.key: 0 for node in nodes}
    for _ in nodes:
        changed = False
        for arc in arcs:
            if depth[arc.source] < depth[arc.target] + 1:
                depth[arc.source] = depth[arc.target] + 1
                changed = True
        if not changed:
            break
    deepest = max(depth.values(), default=0)
    return {key: deepest - steps for key, steps in depth.items()}


def _layout(nodes: Sequence[Node], arcs: Sequence[Arc]) -> tuple[dict[str, Place], Place]:
    column = _columns(nodes, arcs)
    kind = {node.key: node.kind for node in nodes}
    count = max(column.values(), default=0) + 1
    rows: dict[str, float] = {}
    stacks: list[list[str]] = [[] for _ in range(count)]
    for index in reversed(range(count)):
        keys = [node.key for node in nodes if column[node.key] == index]
        stacks[index] = sorted(keys, key=lambda k: (_mean_row(k, arcs, rows), kind[k] == "dataset", k))
        for row, key in enumerate(stacks[index]):
            rows[key] = row - (len(keys) - 1) / 2
    height = max(len(stack) for stack in stacks) * (BOX_HEIGHT + ROW_GAP) - ROW_GAP
    places = {
        key: (
            float(MARGIN + index * (BOX_WIDTH + COLUMN_GAP)),
            MARGIN + height / 2 + rows[key] * (BOX_HEIGHT + ROW_GAP) - BOX_HEIGHT / 2,
        )
        for index, stack in enumerate(stacks)
        for key in stack
    }
    width = count * BOX_WIDTH + (count - 1) * COLUMN_GAP + 2 * MARGIN
    return places, (float(width), float(height + 2 * MARGIN))


def _mean_row(key: str, arcs: Sequence[Arc], rows: dict[str, float]) -> float:
    found = [rows[arc.target] for arc in arcs if arc.source == key and arc.target in rows]
    return sum(found) / len(found) if found else 0.0


def _ends(source: Place, target: Place) -> tuple[Place, Place]:
    half = BOX_HEIGHT / 2
    return (source[0] + BOX_WIDTH, source[1] + half), (target[0], target[1] + half)


def _line(arc: Arc, source: Place, target: Place) -> str:
    (x1, y1), (x2, y2) = _ends(source, target)
    bend = (x2 - x1) / 2
    path = (
        f"M{number(x1)} {number(y1)}C{number(x1 + bend)} {number(y1)} "
        f"{number(x2 - bend)} {number(y2)} {number(x2 - 8)} {number(y2)}"
    )
    style = "d-edge d-declared" if arc.grade == "declared" else "d-edge"
    head = f"M{number(x2)} {number(y2)}l-9 -4.5v9z"
    return element("path", d=path, class_=style) + element("path", d=head, class_="d-head")


def _label(arc: Arc, source: Place, target: Place, taken: list[Place]) -> str:
    (x1, y1), (x2, y2) = _ends(source, target)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    while any(abs(x - other_x) < COLUMN_GAP and abs(y - other_y) < LABEL_HEIGHT for other_x, other_y in taken):
        y += LABEL_HEIGHT / 2
    taken.append((x, y))
    below = ", ".join(arc.operations)
    parts = [text(x, y - 5, f"{arc.role} · {arc.grade}", "d-soft d-halo", "middle")]
    if below:
        parts.append(text(x, y + 15, _cut(below, 24), "d-halo", "middle"))
    return "".join(parts)


def _box(node: Node, place: Place) -> str:
    x, y = place
    shape = {"dataset": "d-data", "reduced": "d-reduced"}.get(node.kind, "d-subject" if node.subject else "d-box")
    radius = 14 if node.kind == "dataset" else 2
    inside = "".join(
        [
            element("title", escape(f"{node.title}, {node.line}, {node.digest}")),
            element("rect", x=x, y=y, width=BOX_WIDTH, height=BOX_HEIGHT, rx=radius, class_=shape),
            text(x + 12, y + 20, _cut(node.title, MAX_CHARACTERS - 2), "d-strong"),
            text(x + 12, y + 37, _cut(node.line, MAX_CHARACTERS + 4), "d-soft"),
            text(x + 12, y + 53, node.digest[:19], "d-mono"),
        ]
    )
    return element("a", inside, href=node.href) if node.href else element("g", inside)


def _cut(content: str, limit: int) -> str:
    return content if len(content) <= limit else content[: limit - 1] + "…"

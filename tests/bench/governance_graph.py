"""A lineage of many nodes, written in bulk, and what it costs to ask it for effective terms and descendants.

The shapes are those that hurt: `layers` (100 layers, each version made from two of the layer before, data at every tenth), `chain`
(one line of ancestors) and `star` (one version made from everything). Import it only where Django is set up.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.db import connection
from django.utils import timezone

from registry.catalog import queries
from registry.catalog.models import Edge, ModelVersion, RegisteredModel
from registry.ids import uuid7
from registry.provenance.models import DatasetVersion
from tests.bench.long_ledger import set_up
from tests.world import World

NODES = 10_000
SHAPES = ("layers", "chain", "star")
_LICENCES = ("Apache-2.0", "MIT", "CC-BY-4.0", "CC-BY-SA-4.0", "BSD-3-Clause", "LicenseRef-pressmark-openrail-m")
_LAYERS = 100


def measure(shape: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of effective terms, of descendants, and of plain recursive statements beside them, in turns.

    `cpu_ms` is the work of this process and of the database's for it; `wall_ms` also what others on the machine took.
    """
    world = set_up()
    first, last = _Graph(world, SHAPES[shape]).build()
    connection.cursor().execute("ANALYZE")
    contenders: dict[str, Callable[[], int]] = {
        "terms": lambda: _answered(last),
        "terms_listed": lambda: len(queries.effective_terms(last).considered),
        "terms_cte": lambda: _count(_ANCESTORS, last),
        "descendants": lambda: len(queries.descendants_of(version_ids=[first.pk])),
        "descendants_cte": lambda: _count(_DESCENDANTS, first),
    }
    found = {name: contender() for name, contender in contenders.items()}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for turn in range(rounds):
        names = list(contenders)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            begun, worked = time.perf_counter(), _cpu_seconds()
            contenders[name]()
            taken[name].append(((_cpu_seconds() - worked) * 1000, (time.perf_counter() - begun) * 1000))
    return {name: {"nodes": found[name], **_figures(times)} for name, times in taken.items()}


def _figures(times: list[tuple[float, float]]) -> dict[str, float]:
    cpu, wall = zip(*times, strict=True)
    return {"cpu_ms": statistics.median(cpu), "cpu_spread_ms": max(cpu) - min(cpu), "wall_ms": statistics.median(wall)}


def _cpu_seconds() -> float:
    """What this process and the database's process for it have worked; SQLite works in this one."""
    own = time.process_time()
    if connection.vendor == "sqlite":
        return own
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        user, system = Path(f"/proc/{cursor.fetchone()[0]}/stat").read_text().rpartition(")")[2].split()[11:13]
    return own + (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _answered(version: ModelVersion) -> int:
    """What a gate and a page ask for: the answers with their proofs, over all nodes."""
    found = queries.effective_terms(version)
    assert len(found.proof) >= len(found.answers)
    return NODES


_ANCESTORS = """
    WITH RECURSIVE up(id) AS (
        SELECT id FROM catalog_version WHERE id = %s
        UNION SELECT edge.parent_id FROM catalog_edge edge JOIN up ON edge.child_id = up.id WHERE edge.parent_id IS NOT NULL
    ) SELECT up.id, version.licence_id FROM up JOIN catalog_version version ON version.id = up.id
"""
_DESCENDANTS = """
    WITH RECURSIVE down(id) AS (
        SELECT id FROM catalog_version WHERE id = %s
        UNION SELECT edge.child_id FROM catalog_edge edge JOIN down ON edge.parent_id = down.id
    ) SELECT id FROM down
"""


def _count(sql: str, version: ModelVersion) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, [version.pk.hex if connection.vendor == "sqlite" else version.pk])
        return len(cursor.fetchall())


class _Graph:
    """Rows of one shape."""

    def __init__(self, world: World, shape: str) -> None:
        self.shape = shape
        self.model: RegisteredModel = world.model("graph")
        self.licences = [world.licence(expression) for expression in _LICENCES]
        self.data: list[DatasetVersion] = [world.dataset_version(uses=["training"], slug=f"rows-{n}") for n in range(3)]
        self.mould = world.version(self.model)
        self.person = world.cast.people["ada"]

    def build(self) -> tuple[ModelVersion, ModelVersion]:
        """The first ancestor and the last descendant."""
        count = NODES - len(self.data)
        versions = [self._version(number) for number in range(count)]
        ModelVersion.objects.bulk_create(versions, batch_size=2000)
        edges = [self._edge(versions[child], parent) for child, parent in self._links(versions)]
        Edge.objects.bulk_create(edges, batch_size=2000)
        return versions[0], versions[-1]

    def _version(self, number: int) -> ModelVersion:
        return ModelVersion(
            id=uuid7(), model=self.model, number=number + 2, digest=f"sha256:{number:064x}", format="onnx", origin="uploaded",
            size_bytes=1, licence=self.licences[number % len(self.licences)], training_data="complete",
            created_by=self.person, created_at=timezone.now(),
        )  # fmt: skip

    def _links(self, versions: list[ModelVersion]) -> Iterator[tuple[int, ModelVersion | DatasetVersion]]:
        last = len(versions) - 1
        width = last // _LAYERS
        for child in range(1, len(versions)):
            for parent in self._parents(child, last, width):
                yield child, versions[parent]
            if child % 10 == 0 or child == last:
                yield child, self.data[child % len(self.data)]

    def _parents(self, child: int, last: int, width: int) -> set[int]:
        if self.shape == "chain":
            return {child - 1}
        if self.shape == "star":
            return set(range(last)) if child == last else {0}
        if child == last:
            return set(range(last - width, last))
        if child <= width:
            return {0}
        return {child - width, max(child - width - 1, 1)}

    def _edge(self, child: ModelVersion, parent: ModelVersion | DatasetVersion) -> Edge:
        is_data = isinstance(parent, DatasetVersion)
        return Edge(
            id=uuid7(), model=self.model, child=child, parent=None if is_data else parent,
            dataset_version=parent if is_data else None, parent_digest=parent.digest, role="data" if is_data else "base",
            operations=[] if is_data else ["fine-tuned"], grade="declared", created_at=timezone.now(),
        )  # fmt: skip

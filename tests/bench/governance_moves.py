"""What a recall over a lineage of 10,000 nodes costs, and how soon a roll-back is decided. For where Django is set up."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from django.db import connection

from registry.oversight.subjects import of_version
from registry.release import queries, recall_reach, services
from registry.release.models import AliasAssignment
from registry.release.services.rollbacks import choose_target
from registry.release.stopping_models import Quarantine
from tests.bench.governance_graph import SHAPES, _Graph
from tests.bench.long_ledger import set_up


def measure_recall(shape: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of the walk that a recall starts with, of its preview, and of whole recalls and their ends."""
    world = set_up()
    first, _ = _Graph(world, SHAPES[shape]).build()
    connection.cursor().execute("ANALYZE")
    subject = of_version(first)
    reads: dict[str, Callable[[], int]] = {
        "reach": lambda: len(recall_reach.reached_by(subject.kind, subject.about)),
        "preview": lambda: recall_reach.preview(world.cast.carla, subject).versions,
    }
    found = {name: read() for name, read in reads.items()}
    taken = {name: [_milliseconds(read) for _ in range(rounds)] for name, read in reads.items()}
    taken["start"], taken["end"] = [], []
    for _ in range(max(rounds // 4, 1)):
        begun = time.perf_counter()
        recall = services.start_recall(actor=world.cast.carla, subject=subject, reason="Taken back.")
        taken["start"].append((time.perf_counter() - begun) * 1000)
        found["start"] = found["end"] = Quarantine.objects.filter(recall=recall, ended_at=None).count()
        begun = time.perf_counter()
        services.end_recall(actor=world.cast.carla, recall=recall, reason="Cleared.")
        taken["end"].append((time.perf_counter() - begun) * 1000)
    return {
        name: {"nodes": found[name], "n": len(times), "median_ms": statistics.median(times), "worst_ms": max(times)}
        for name, times in taken.items()
    }


def measure_rollback(rounds: int) -> dict[str, Any]:
    """Milliseconds of deciding, and of the whole of, roll-backs to and fro between two released versions; bytes told apart."""
    world = set_up()
    parent, child = world.released_pair()
    model, decided, whole, read = parent.model, [], [], []
    for turn in range(rounds):
        target = parent if turn % 2 == 0 else child
        drill = services.try_rollback(actor=world.cast.otto, model=model, alias="production", to_version=target)
        assert not drill.reasons, drill.reasons
        read.append(float(drill.bytes_milliseconds))
        begun = time.perf_counter()
        judged = choose_target(queries.alias_history(model, "production"), "production", target)
        decided.append((time.perf_counter() - begun) * 1000)
        assert not judged.reasons
        checked = services.check_rollback(actor=world.cast.otto, model=model, alias="production", to_version=target)
        begun = time.perf_counter()
        services.roll_back(
            actor=world.cast.otto, model=model, alias="production", reason="To and fro.", checked=checked
        )  # fmt: skip
        whole.append((time.perf_counter() - begun) * 1000)
    assert AliasAssignment.objects.filter(kind="rolled-back").count() == rounds
    return {name: _spread(times) for name, times in (("decision", decided), ("act", whole), ("bytes", read))}


def _spread(times: list[float]) -> dict[str, float]:
    return {"n": len(times), "p50_ms": statistics.median(times), "p99_ms": statistics.quantiles(times, n=100)[98]}


def _milliseconds(act: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    act()
    return (time.perf_counter() - begun) * 1000

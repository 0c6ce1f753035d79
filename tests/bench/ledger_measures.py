"""What is measured on a ledger, each function in a process of its own that holds nothing but the product.

Import it only where Django is set up.
"""

from __future__ import annotations

import os
import random
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from audit import checkpoints, merkle
from audit.models import Entry
from audit.verification import raw_entries, replay, verify_ledger
from audit.verification.tile_check import TreeCheck

_SEED = 7


class _Clock:
    """Wall and CPU seconds of a block; the CPU is this process's and that of children that ended in it."""

    def __enter__(self) -> _Clock:
        self._wall, self._cpu = time.perf_counter(), _cpu_s()
        return self

    def __exit__(self, *error: object) -> None:
        self.wall_s, self.cpu_s = time.perf_counter() - self._wall, _cpu_s() - self._cpu


def _cpu_s() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


class _Memory:
    """The most that this process and its children had resident at one moment of a block, as looked at ten times a second."""

    def __enter__(self) -> _Memory:
        self.peak_mb, self._ends = 0.0, threading.Event()
        self._looking = threading.Thread(target=self._look, daemon=True)
        self._looking.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ends.set()
        self._looking.join()

    def _look(self) -> None:
        while not self._ends.wait(0.1):
            tasks = Path("/proc/self/task").glob("*/children")
            children = [child for task in tasks for child in task.read_text().split()]
            self.peak_mb = max(self.peak_mb, sum(map(_resident_mb, ["self", *children])))


def _resident_mb(process: str) -> float:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:  # it has ended
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")), 0.0)


def hash_only() -> dict[str, Any]:
    """Leaf hashes and the tree, over entries that are in memory already."""
    size, cpu_s = checkpoints.ledger_size(), 0.0
    tree = TreeCheck(0, checkpoints.read_tile)
    for rows in raw_entries.batches(size):
        with _Clock() as clock:
            for row in rows:
                tree.append(merkle.leaf_hash(row[4]))
        cpu_s += clock.cpu_s
    assert tree.root() == checkpoints.tree(size).root()
    return {"entries": size, "cpu_s": cpu_s}


def verify() -> dict[str, Any]:
    """verify-ledger, replay aside."""
    with _Memory() as memory, _Clock() as clock:
        report = verify_ledger.verify()
    assert report.ok, [str(flaw) for flaw in report.flaws[:5]]
    return {
        "entries": report.size, "checkpoints": report.checkpoints_checked, "documents": report.documents_checked,
        "wall_s": clock.wall_s, "cpu_s": clock.cpu_s, "resident_mb": memory.peak_mb,
    }  # fmt: skip


def rebuild() -> dict[str, Any]:
    """Replay: every table is rebuilt and compared."""
    with _Clock() as clock:
        told = replay.run()
    assert not told.differences, [str(item) for item in told.differences[:5]]
    return {"entries": checkpoints.ledger_size(), "rows": told.rows, "wall_s": clock.wall_s, "cpu_s": clock.cpu_s}


# --- proofs ---


def proofs(count: int) -> dict[str, Any]:
    """Inclusion and consistency, each from a tree that has read nothing yet, and their checks."""
    size = checkpoints.built_size()
    root, chance = checkpoints.tree(size).root(), random.Random(_SEED)
    positions = [chance.randrange(1, size) for _ in range(count)]
    return {
        "size": size,
        "inclusion": _proved(positions, lambda tree, at: tree.inclusion_path(at), lambda at: _included(at, size, root)),
        "consistency": _proved(positions, lambda tree, at: tree.consistency_path(at), lambda at: _consistent(at, size, root)),
    }  # fmt: skip


def _included(at: int, size: int, root: bytes) -> Callable[[list[bytes]], bool]:
    leaf = bytes(Entry.objects.values_list("leaf", flat=True).get(position=at))
    return lambda path: merkle.verify_inclusion(leaf, at, size, path, root)


def _consistent(at: int, size: int, root: bytes) -> Callable[[list[bytes]], bool]:
    old_root = checkpoints.tree(size).root(at)
    return lambda path: merkle.verify_consistency(at, size, old_root, root, path)


def _proved(
    positions: list[int],
    prove: Callable[[merkle.TileTree, int], list[bytes]],
    check_at: Callable[[int], Callable[[list[bytes]], bool]],
) -> dict[str, float]:
    made_ms, checked_ms, hashes = [], [], 0
    for at in positions:
        check = check_at(at)
        with _Clock() as clock:
            path = prove(checkpoints.tree(), at)  # finding the size of the tree is part of it
        made_ms.append(1000 * clock.wall_s)
        with _Clock() as clock:
            held = check(path)
        checked_ms.append(1000 * clock.wall_s)
        assert held, at
        hashes = max(hashes, len(path))
    return {
        "p50_ms": statistics.median(made_ms), "p99_ms": percentile(made_ms, 99), "hashes": hashes,
        "check_p50_ms": statistics.median(checked_ms), "check_p99_ms": percentile(checked_ms, 99),
    }  # fmt: skip


def percentile(values: list[float], percent: int) -> float:
    """The value below which so many percent of them lie."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]

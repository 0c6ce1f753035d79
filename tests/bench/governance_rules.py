"""What a dry run over 1,000 aliases costs, and one turn of the keeper that looks for lapsed approvals behind them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from django.db import connection

from registry import guards
from registry.release.dry_run import draft_of, dry_run
from registry.release.models import Alias, AliasAssignment
from registry.release.services.lapses import open_lapse_findings
from tests.bench.long_ledger import set_up
from tests.world import World

LIVE = 1000
MODELS = 20


def measure(rounds: int) -> dict[str, Any]:
    """Seconds of the work (CPU of this process) and on the clock. 20 models are released; each serves under 50 aliases."""
    world = set_up()
    for number in range(MODELS):
        parent = world.parent_version(world.governed_model(slug=f"model-{number}"), seed=2 * number + 1)
        world.promoted(parent)
        world.promoted(world.child_version(parent, seed=2 * number + 2))
    _serve_often(world)
    connection.cursor().execute("ANALYZE")
    draft = draft_of(world.policy_document("limited", lambda d: d["rules"][8].update(limit="5")))
    officer, found = world.officer(), {}
    acts: dict[str, Callable[[], int]] = {
        "dry-run": lambda: len(dry_run(officer, draft, "limited").rows),
        "lapses": lambda: LIVE + open_lapse_findings(),
    }
    for name, act in acts.items():
        taken = [_timed(act) for _ in range(rounds)]
        assert {count for count, _, _ in taken} == {LIVE}, name
        cpu, clock = [c for _, c, _ in taken], [c for _, _, c in taken]
        found[name] = {"n": rounds, "cpu_s": min(cpu), "spread_s": max(cpu) - min(cpu), "clock_s": min(clock)}
    return found


def _serve_often(world: World) -> None:
    """More aliases of the same versions, written in bulk. What is read of a version is read once; an alias is judged alone."""
    moves = list(AliasAssignment.objects.filter(number=2, alias__slug="production").select_related("alias"))
    guards.drop()
    for copy in range(LIVE // MODELS - 1):
        aliases = [
            Alias(model_id=m.model_id, slug=f"edge-{copy}", created_by=m.assigned_by, created_at=m.assigned_at)
            for m in moves
        ]
        Alias.objects.bulk_create(aliases)
        AliasAssignment.objects.bulk_create(_copies(moves, aliases))
    guards.install()


def _copies(moves: list[AliasAssignment], aliases: list[Alias]) -> Iterator[AliasAssignment]:
    for move, alias in zip(moves, aliases, strict=True):
        yield AliasAssignment(
            model_id=move.model_id, alias=alias, number=1, kind=move.kind, version_id=move.version_id,
            version_digest=move.version_digest, approval_id=move.approval_id, assigned_by_id=move.assigned_by_id,
            assigned_at=move.assigned_at,
        )  # fmt: skip


def _timed(act: Callable[[], int]) -> tuple[int, float, float]:
    cpu, clock = time.process_time(), time.perf_counter()
    count = act()
    return count, time.process_time() - cpu, time.perf_counter() - clock

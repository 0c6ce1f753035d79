"""How long after COMMIT a signed checkpoint covers the entry, seen by a writer beside the product's own keeper.

Import it only where Django is set up.
"""

from __future__ import annotations

import random
import statistics
import time
from pathlib import Path
from typing import Any

from django.conf import settings

from audit import checkpoints
from audit.models import Checkpoint
from registry.access.models import Actor
from registry.events import Caller
from tests.audit.acts import act
from tests.bench.long_ledger import set_up

_SEED = 7
_POLL_SECONDS = 0.005
_PAUSE_SECONDS = 1.5
_LIMIT_SECONDS = 30


def install() -> dict[str, Any]:
    """An installation with its cast, for a keeper of its own process."""
    set_up()
    return {}


def delays(count: int) -> dict[str, Any]:
    """From COMMIT until the keeper's checkpoint covers the entry, in the database and in the file outside."""
    chance, found = random.Random(_SEED), []
    world = _Acting(Caller(actor_id=Actor.objects.get(username="root").pk, via="cli"))
    latest = Path(settings.PRESSMARK_CHECKPOINTS) / checkpoints.LATEST
    for number in range(count):
        position = act(world, f"delayed-{number}").positions[0]  # type: ignore[arg-type]
        begun = time.perf_counter()
        while not Checkpoint.objects.filter(size__gt=position).exists():
            assert time.perf_counter() - begun < _LIMIT_SECONDS, "the keeper does not sign"
            time.sleep(_POLL_SECONDS)
        found.append(1000 * (time.perf_counter() - begun))
        assert int(latest.read_bytes().split(b"\n")[1]) > position
        time.sleep(chance.random() * _PAUSE_SECONDS)
    return {
        "count": count,
        "p50_ms": statistics.median(found),
        "p99_ms": statistics.quantiles(found, n=100, method="inclusive")[98],
        "max_ms": max(found),
    }


class _Acting:
    """Just enough of a world for `act`: who acts."""

    def __init__(self, root: Caller) -> None:
        self.cast = self
        self.root = root

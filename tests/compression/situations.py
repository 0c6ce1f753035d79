"""What several tests of this room share: what the ledger says of a run, a run that takes a while, something beside it."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import connections
from django.utils import timezone

from audit.models import Entry
from registry.compression.models import Run
from registry.digests import parse_canonical
from tests.world import World


def events() -> list[dict[str, Any]]:
    """Every event of the ledger, in order."""
    return [parse_canonical(bytes(row.entry))["event"] for row in Entry.objects.order_by("position")]  # type: ignore


def events_of(run: Run) -> list[dict[str, Any]]:
    return [event for event in events() if any(record["id"] == str(run.pk) for record in event["records"])]


def big_run(world: World) -> Run:
    """A run that takes some ten seconds: a larger net and many rows, everything measured, nothing is slowed down."""
    parent = world.version(files={("model.onnx", "weights"): world.tiny_onnx(hidden=40_000)})
    return world.run(parent, evaluation=world.arrays_dataset(rows=6000), plan=None)


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """What the condition gives once it holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


class Beside:
    """Does something in a thread with a database connection of its own; `join` hands its error on."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._act()
        except BaseException as error:
            self._error = error
        finally:
            connections.close_all()

    def join(self) -> None:
        self._thread.join()
        if self._error is not None:
            raise self._error


def lapse(run: Run) -> None:
    """The lease has run out, as after a worker that was killed or stopped."""
    Run.objects.filter(pk=run.pk).update(lease_until=timezone.now() - datetime.timedelta(seconds=1))

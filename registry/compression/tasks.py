"""The jobs of the worker: one line each. A message says which run to look at; losing or doubling it changes nothing."""

from __future__ import annotations

import logging
import uuid

from django.utils import timezone

from registry.celery import app
from registry.compression import execution
from registry.compression.models import Run, RunState
from registry.compression.rules import due_again

logger = logging.getLogger(__name__)


@app.task(name="pressmark.execute_run")  # type: ignore[untyped-decorator]
def execute_run(run_id: str) -> None:
    """Look at one run."""
    execution.execute(uuid.UUID(run_id))


def wake(run_id: uuid.UUID) -> None:
    """Tell a worker about a queued run. A queue that is away costs time, not the run: `resend` tries again."""
    try:
        execute_run.apply_async((str(run_id),), retry=False)
    except Exception:
        logger.exception("no worker could be woken for run %s; the keeper will try again", run_id)


def resend() -> int:
    """Wake workers again for queued runs that nobody has picked up for a while; returns how many."""
    now, sent = timezone.now(), 0
    for run in Run.objects.filter(state=RunState.QUEUED).only("pk", "requested_at", "heartbeat_at"):
        if due_again(run.requested_at, run.heartbeat_at, now) and execution.note_wake(run, now):
            wake(run.pk)
            sent += 1
    return sent

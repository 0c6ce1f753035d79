"""What a worker does before its first task: it refuses to work on a database without guards, and looks for runs left behind."""

from __future__ import annotations

import logging
import sys
from typing import Any

from celery.signals import worker_init, worker_ready
from django.db import connections
from django.utils import timezone

from registry import guards
from registry.compression import execution, tasks
from registry.errors import Problem

logger = logging.getLogger(__name__)


@worker_init.connect  # type: ignore[untyped-decorator]
def refuse_without_guards(**kwargs: Any) -> None:
    """SystemExit: an exception of another kind would only be logged by the worker."""
    try:
        guards.demand()
    except Problem as problem:
        sys.exit(f"pressmark: the worker does not start. {problem.detail} {problem.hint}")
    finally:
        connections.close_all()  # the pool's processes must not inherit an open connection


@worker_ready.connect  # type: ignore[untyped-decorator]
def take_up_what_is_left(**kwargs: Any) -> None:
    """Runs whose worker is gone, and wake-ups that were lost with it."""
    try:
        execution.reap(timezone.now())
        tasks.resend()
    except Exception:
        logger.exception("runs left behind could not be looked for; the keeper will")
    finally:
        connections.close_all()

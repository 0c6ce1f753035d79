"""`pressmark worker`: the Celery worker alone. It refuses to start when a guard of the database is missing."""

from __future__ import annotations

import argparse
from pathlib import Path

from django.conf import settings

from registry import guards
from registry.celery import app


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--concurrency", type=int, default=None, help="runs at the same time (PRESSMARK_WORKERS)")


def run(options: argparse.Namespace) -> int:
    """Become the worker."""
    guards.demand()
    for name in ("broker", "broker-control"):
        (Path(settings.PRESSMARK_HOME) / name).mkdir(parents=True, exist_ok=True)
    concurrency = options.concurrency or settings.PRESSMARK_WORKERS
    app.worker_main(
        ["worker", "--pool", "prefork", "--concurrency", str(concurrency), "--loglevel", "warning",
         "--without-gossip", "--without-mingle", "--without-heartbeat"]
    )  # fmt: skip
    return 0

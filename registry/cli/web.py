"""`pressmark web`: the web server alone (gunicorn)."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

from registry import guards


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; without it, this machine alone can reach it"
    )
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; without it, 8000")
    parser.add_argument("--web-workers", type=int, default=2, help="web processes; without it, 2")


def run(options: argparse.Namespace) -> int:
    """Check the guards, gather static files, become gunicorn."""
    guards.demand()
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
    call_command("collectstatic", verbosity=0, interactive=False)
    arguments = [
        sys.executable, "-m", "gunicorn", "registry.wsgi:application",
        "--bind", f"{options.host}:{options.port}",
        "--workers", str(options.web_workers), "--threads", "4",
        "--timeout", "600", "--graceful-timeout", "15",
        "--worker-tmp-dir", "/dev/shm" if Path("/dev/shm").is_dir() else str(settings.PRESSMARK_HOME),  # noqa: S108
        "--log-level", "warning", "--no-control-socket",
    ]  # fmt: skip
    os.execv(sys.executable, arguments)

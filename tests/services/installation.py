"""An installation of its own for a test: its home, its database, its worker and keeper as real processes that can be killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg2

from tests.compression.situations import wait_for

ROOT = Path(__file__).resolve().parents[2]


class Installation:
    """Use as a context: whatever was started is killed at the end."""

    def __init__(self, home: Path, *, broker_url: str = "", database_url: str = "", lease_seconds: int = 3) -> None:
        self.home = home
        self._database_url = database_url
        self._started: list[subprocess.Popen[bytes]] = []
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "registry.settings",
            "PRESSMARK_HOME": str(home),
            "PRESSMARK_LEASE_SECONDS": str(lease_seconds),
        }
        if broker_url:
            self.environment["PRESSMARK_BROKER_URL"] = broker_url
        if database_url:
            self.environment["PRESSMARK_DATABASE_URL"] = database_url

    def __enter__(self) -> Installation:
        self.home.mkdir(parents=True)
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._started:
            self.kill(process)

    def call(self, *words: str) -> str:
        """Standard output of `python WORDS` in this installation, once it has ended well."""
        done = subprocess.run(
            [sys.executable, *words], env=self.environment, cwd=self.home, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def set_up(self, *, hidden: int, rows: int) -> dict[str, str]:
        """Database, ledger, cast, and one queued run; its ids."""
        said = self.call("-m", "tests.services.situation", str(hidden), str(rows))
        found: dict[str, str] = json.loads(said.splitlines()[-1])
        return found

    def worker(self) -> subprocess.Popen[bytes]:
        """A Celery worker, leader of a process group of its own."""
        return self._start(
            "worker", ["-m", "celery", "-A", "registry.celery", "worker", "--pool", "prefork", "--concurrency", "1",
                       "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "info"],
        )  # fmt: skip

    def keeper(self) -> subprocess.Popen[bytes]:
        """The product's keeper."""
        return self._start("keeper", ["-m", "registry.cli.main", "keeper"])

    def _start(self, name: str, words: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *words], env=self.environment, cwd=self.home, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._started.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL to the whole process group, as after a power cut."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def said(self, name: str) -> str:
        """What a started process wrote."""
        return (self.home / f"{name}.log").read_text(errors="replace")

    def wait_for(self, condition: Callable[[], Any], seconds: float) -> None:
        """Wait until it holds, or fail with what the processes said."""
        try:
            wait_for(condition, seconds)
        except AssertionError:
            logs = "".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in self.home.glob("*.log"))
            raise AssertionError(f"not within {seconds} s; the run is {self.run_row()}\n{logs}") from None

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """A look at the database from outside."""
        with self._connection() as connection:
            cursor = connection.cursor()
            cursor.execute(query)
            return [tuple(row) for row in cursor.fetchall()]

    def change(self, statement: str) -> None:
        """A change of the database from outside."""
        with self._connection() as connection:
            connection.cursor().execute(statement)
            connection.commit()

    def run_row(self) -> dict[str, Any]:
        """The one run: state, attempt, progress, failure code."""
        state, attempt, progress, code = self.rows(
            "SELECT state, attempt, progress, failure_code FROM compression_run"
        )[0]
        parsed = json.loads(progress) if isinstance(progress, str) else progress
        return {"state": state, "attempt": attempt, "progress": parsed or {}, "failure_code": code}

    def event_kinds(self) -> list[str]:
        """The kinds of all sealed events, in order."""
        entries = self.rows("SELECT entry FROM audit_entry ORDER BY position")
        return [json.loads(bytes(row[0]))["event"]["kind"] for row in entries]

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Any]:
        if self._database_url:
            connection: Any = psycopg2.connect(self._database_url)
        else:
            connection = sqlite3.connect(self.home / "pressmark.sqlite3", timeout=30)
        with contextlib.closing(connection):
            yield connection


def engine_processes(run_id: str) -> list[int]:
    """Processes anywhere on this machine that work for a run: its id stands in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes()
                if run_id.encode() in words and b"compression_engine" in words:
                    found.append(int(entry.name))
    return found

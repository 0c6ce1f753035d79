"""`pressmark serve`: web server, worker and keeper under one supervisor; what falls over is started again."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from registry.configuration import Configuration
from registry.errors import Conflict, Invalid

GRACE_SECONDS = 20.0
RESTART_PAUSE_SECONDS = 2.0
LOCK = "serve.lock"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; without it, this machine alone can reach it"
    )
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; without it, 8000")
    parser.add_argument("--web-workers", type=int, default=2, help="web processes; without it, 2")


@dataclass
class Part:
    """One supervised process."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = field(default=0)

    def start(self) -> None:
        self.process = subprocess.Popen(self.command)
        self.started = time.monotonic()

    def has_fallen(self) -> bool:
        return self.process is not None and self.process.poll() is not None


def parts_of(host: str, port: int, web_workers: int) -> list[Part]:
    """The three processes of an installation."""
    own = [sys.executable, "-m", "registry.cli.main"]
    return [
        Part("web", [*own, "web", "--host", host, "--port", str(port), "--web-workers", str(web_workers)]),
        Part("worker", [*own, "worker"]),
        Part("keeper", [*own, "keeper"]),
    ]


def run(options: argparse.Namespace) -> int:
    """Start everything and stay until SIGTERM or Ctrl-C; refuses to start what is not in order."""
    _demand_port(options.host, options.port)
    own = [sys.executable, "-m", "registry.cli.main", "check", "--quiet", "--before-start"]
    checked = subprocess.run(own, check=False)
    if checked.returncode != 0:
        return checked.returncode
    home = Configuration.read().home
    with (home / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(f"A server runs on {home} already.", hint="Stop it first, or choose another home.") from None
        return _supervise(options)


def _demand_port(host: str, port: int) -> None:
    """Asked before anything starts: otherwise the web server falls and is started again for ever."""
    if not 1 <= port <= 65535:
        raise Invalid(f"There is no port {port}.", hint="Give --port a number from 1 to 65535.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror:
        raise Invalid(f"{host!r} is no address of this machine.", hint="Give --host 127.0.0.1, or 0.0.0.0.") from None
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise Conflict(
                f"{host}:{port} cannot be used: {error.strerror}.", hint="Stop what uses it, or give another --port."
            ) from None


def is_served(home: Path) -> bool:
    """Whether `pressmark serve` runs on that home."""
    if not (home / LOCK).is_file():
        return False
    with (home / LOCK).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _supervise(options: argparse.Namespace) -> int:
    parts = parts_of(options.host, options.port, options.web_workers)
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, frame: stopping.append(received))
    for part in parts:
        part.start()
    print(f"Pressmark is at http://{options.host}:{options.port}/ (Ctrl-C stops it)", flush=True)
    while not stopping:
        _restart_fallen(parts)
        time.sleep(0.2)
    _stop(parts)
    return 0


def _restart_fallen(parts: list[Part]) -> None:
    for part in parts:
        if part.has_fallen() and time.monotonic() - part.started > RESTART_PAUSE_SECONDS:
            status = part.process.returncode if part.process else None
            print(
                f"pressmark serve: {part.name} ended with status {status}; starting it again",
                file=sys.stderr,
                flush=True,
            )
            part.failures += 1
            part.start()


def _stop(parts: list[Part]) -> None:
    for part in parts:
        if part.process is not None and part.process.poll() is None:
            part.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    for part in parts:
        if part.process is None:
            continue
        try:
            part.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.kill(part.process.pid, signal.SIGKILL)
            part.process.wait()

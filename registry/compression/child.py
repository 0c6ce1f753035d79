"""The engine as a child process: how it is called, what it sees, what it says, and how it is ended.

Rules:
- it gets a session of its own, so that it and its children are ended together; the launcher adds limits and closes the network;
- its environment is made here from nothing: no secret, no address of a database or queue, one thread for arithmetic;
- nothing in its working folder can be imported, by it or by the processes that it starts to measure memory;
- standard output is JSON lines; standard error goes to a file that is kept with the run.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

GRACE_SECONDS = 10.0
_LAUNCHER = Path(__file__).with_name("launcher.py")
_LINE_LIMIT = 64 * 1024 * 1024
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class Limits:
    """What one call of the engine may use."""

    memory_bytes: int
    seconds: int


class EngineProcess:
    """One call of the engine, running in `folder`."""

    def __init__(self, arguments: Sequence[str], *, folder: Path, stderr: Path, limits: Limits) -> None:
        engine = [sys.executable, "-s", "-B", "-m", "compression_engine", *arguments, "--json"]
        wall = [str(os.getpid()), str(limits.memory_bytes), str(limits.seconds)]
        self._lock, self._ended = threading.Lock(), threading.Event()
        with stderr.open("ab") as errors:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_LAUNCHER), *wall, *engine],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env=_environment(folder),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process, which leads a group and a session of its own."""
        return self._process.pid

    def lines(self) -> Iterator[dict[str, Any]]:
        """What it says, until it ends; lines that are no JSON objects are left out."""
        assert self._process.stdout is not None
        stream: IO[bytes] = self._process.stdout
        while line := stream.readline(_LINE_LIMIT):
            with contextlib.suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict):
                    yield found

    def wait(self) -> int:
        """The exit code (negative for a signal), once it and everything that it started have ended."""
        # not reaped yet, so its number still names its group and nobody else's
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            self._kill_group(signal.SIGKILL)
            code = self._process.wait()
            self._ended.set()
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Ask it to stop and clean up; after the grace kill whatever is left. Callable from any thread."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with self._lock:
                if self._ended.is_set():
                    return
                self._kill_group(number)
            self._ended.wait(grace_seconds)

    def kill(self) -> None:
        """End it at once."""
        with self._lock:
            if not self._ended.is_set():
                self._kill_group(signal.SIGKILL)

    def _kill_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def _environment(folder: Path) -> dict[str, str]:
    scratch = folder / "tmp"
    scratch.mkdir(exist_ok=True)
    spec = find_spec("compression_engine")
    if spec is None or spec.origin is None:
        raise RuntimeError("the compression engine is not installed beside the registry")
    return {
        "HOME": str(scratch),
        "LANG": "C.UTF-8",
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(Path(spec.origin).parent.parent),
        "PYTHONSAFEPATH": "1",
        "PYTHONHASHSEED": "0",
        "TMPDIR": str(scratch),
        **dict.fromkeys(_ONE_THREAD, "1"),
    }

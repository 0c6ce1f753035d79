"""Calls the engine for a worker: its words go to the log, its progress to the heartbeat; it is ended when work may not go on.

Whatever ends a step early is raised: WorkFailed with a reason, or WorkHalted. `ending` says in which of the ways a step ended.
"""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError

from registry.compression.child import EngineProcess, Limits
from registry.compression.heartbeat import Halt, Heartbeat
from registry.compression.results import WorkFailed
from registry.compression.rules import Failure, disk_full, failure_of, plain, time_limit
from registry.errors import Problem

logger = logging.getLogger(__name__)
_MESSAGE_CHARACTERS = 200
_STAGE_CHARACTERS = 40
_SAID_BYTES = 64 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT)
T = TypeVar("T")


class WorkHalted(Exception):
    """The work may not go on; the heartbeat knows why."""

    def __init__(self, halt: Halt) -> None:
        super().__init__(halt)
        self.halt = halt


class Engine:
    """The engine in one folder: `said` keeps its standard error, `told` what it printed."""

    def __init__(self, folder: Path, *, said: Path, told: Path, limits: Limits, heartbeat: Heartbeat) -> None:
        self._folder, self._said, self._told = folder, said, told
        self._limits, self._heartbeat = limits, heartbeat

    def call(self, arguments: Sequence[object], *, foreign_data: Callable[[], bool]) -> dict[str, Any]:
        """One call to its end, and its last line; `foreign_data`: whether its words may quote rows of another team."""
        self.check_halt()
        words = [str(argument) for argument in arguments]
        engine = EngineProcess(words, folder=self._folder, stderr=self._said, limits=self._limits)
        last: dict[str, Any] | None = None
        try:
            self._heartbeat.watch(engine)
            with self._told.open("ab") as told:
                for last in engine.lines():
                    self._heard(last)
                    told.write(json.dumps(_short(last)).encode() + b"\n")
        except BaseException:
            engine.kill()
            raise
        finally:
            self._heartbeat.watch(None)
            code = engine.wait()
        self.check_halt()
        if code != 0 or last is None or last.get("type") != "result":
            raise WorkFailed(failure_of(code, last, _end_of(self._said), foreign_data=foreign_data()))
        return last

    def _heard(self, line: dict[str, Any]) -> None:
        if line.get("type") != "progress":
            return
        done, total = line.get("done"), line.get("total")
        if isinstance(done, int) and isinstance(total, int):
            message = plain(str(line.get("message", "")), _MESSAGE_CHARACTERS)
            stage = plain(str(line.get("stage", "")), _STAGE_CHARACTERS)
            self._heartbeat.tell({"stage": stage, "done": done, "total": total, "message": message})

    def check_halt(self) -> None:
        """Raise what the heartbeat found."""
        halt = self._heartbeat.halt
        if halt is Halt.TIME_LIMIT:
            raise WorkFailed(time_limit(self._limits.seconds))
        if halt is not None:
            raise WorkHalted(halt)


def ending(name: str, step: Callable[[], T]) -> T | Failure | Halt:
    """How a step ended. A database that is away ends nothing: the lease runs out, and another attempt follows."""
    try:
        return step()
    except WorkHalted as halted:
        return halted.halt
    except WorkFailed as failed:
        return failed.failure
    except Problem as problem:
        return Failure(problem.code.replace("-", "_"), problem.detail, problem.hint)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            return disk_full()
        logger.exception("%s failed inside the registry", name)
        hint = "This is a fault of the registry: report it with the worker's own log."
        return Failure("internal", f"The worker failed: {type(error).__name__}.", hint)


def _end_of(path: Path) -> str:
    """The end of what the engine said on standard error."""
    try:
        with path.open("rb") as said:
            said.seek(max(0, path.stat().st_size - _SAID_BYTES))
            return said.read().decode(errors="replace")
    except OSError:
        return ""


def _short(line: dict[str, Any]) -> dict[str, Any]:
    """A line as the log keeps it: results are documents of their own."""
    return {k: line[k] for k in ("type", "command") if k in line} if line.get("type") == "result" else line

"""Keeps a crash of native code from being the last word: the work is done in a forked process, and this one tells how it ended.

Rules:
- a model that crashes a library (segmentation fault ...) is a typed error, `model_crashes`, exit 1; what was begun is removed;
- any other signal that ended the work ends this process in the same way, so that whoever set a limit sees it as before;
- SIGTERM and SIGINT are handed on, and the work tells what becomes of it; if this process dies, the work dies with it;
- temporary files of the work lie in one folder, which goes when the work has ended, however it did.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from compression_engine.commands.speaker import Speaker
from compression_engine.errors import EngineError

_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP}
_PR_SET_PDEATHSIG = 1
_WRITING = ("--output", "--outputs", "--report", "--work")


def supervised(run: Callable[[], int], arguments: Sequence[str]) -> int:
    """Runs the work in a process of its own and returns its exit code; `arguments` are those that it was called with."""
    if not hasattr(os, "fork"):
        return run()
    scratch = tempfile.mkdtemp(prefix="pressmark-engine-")
    try:
        parent, child = os.getpid(), os.fork()
        if child == 0:
            _die_with(parent)
            os.environ["TMPDIR"], tempfile.tempdir = scratch, None
            return run()
        return _ended(child, arguments)
    finally:
        if os.getpid() == parent:
            shutil.rmtree(scratch, ignore_errors=True)


def _ended(child: int, arguments: Sequence[str]) -> int:
    def hand_on(number: int, frame: FrameType | None) -> None:
        os.kill(child, number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, hand_on)
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status):
        return os.WEXITSTATUS(status)
    number = signal.Signals(os.WTERMSIG(status))
    _remove_begun(child, arguments)
    if number not in _CRASHES:
        signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
        os.kill(os.getpid(), number)
    message = f"A library crashed on this model ({number.name}) and gave no reason."
    hint = "The file is damaged, or made to crash its readers: export the model again. Nothing was kept."
    Speaker("--json" in arguments).error(EngineError("model_crashes", message, hint))
    return 1


def _remove_begun(child: int, arguments: Sequence[str]) -> None:
    """What the work had begun to write, under names that hold its number (see `placing`)."""
    for position, option in enumerate(arguments):
        name, _, joined = option.partition("=")
        target = Path(joined or "".join(arguments[position + 1 : position + 2]))
        if name not in _WRITING or not target.parent.is_dir():
            continue
        for begun in target.parent.glob(f".*.partial-{child}"):
            shutil.rmtree(begun, ignore_errors=True) if begun.is_dir() else begun.unlink(missing_ok=True)


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

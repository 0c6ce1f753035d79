"""`python -m tests.engine.killed STEP POINTS ARGUMENTS`: the engine's command line, killed in the middle of its training.

The process ends itself by SIGKILL, which nothing catches, as soon as the step has written so many resume points; points are written
after every update. No clock decides when, so that a slow machine sees the same as a fast one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compression_engine.command_line import main
from compression_engine.training import keeping
from compression_engine.training.resume import ResumePoint

ROOT = Path(__file__).resolve().parents[2]


def kill_after(step: int, points: int) -> None:
    """Ends this process when `step` has written `points` resume points."""
    save, written = ResumePoint.save, [0]

    def counted(self: ResumePoint, *given: Any) -> None:
        save(self, *given)
        written[0] += self.step == step
        if written[0] == points:
            os.kill(os.getpid(), signal.SIGKILL)

    keeping._SHARE_OF_TIME = float("inf")
    ResumePoint.save = counted  # type: ignore[method-assign,assignment]


def run_and_kill(arguments: Sequence[object], *, step: int, points: int) -> None:
    """Calls the engine in a process of its own, which must end by that signal."""
    command = [sys.executable, "-m", "tests.engine.killed", str(step), str(points), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


if __name__ == "__main__":
    kill_after(int(sys.argv[1]), int(sys.argv[2]))
    sys.exit(main(sys.argv[3:]))

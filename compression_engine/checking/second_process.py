"""Runs a huge child beside its parent in a process of its own, so that the limit this one works under does not count for it.

Rules:
- the other process may take what the hard limit of address space allows, and ends with this one;
- what it finds comes back as figures, what it refuses as the same error; where the system ends it, that is out_of_memory;
- its network is closed and its threads are pinned like ours (`second_process_main`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from compression_engine.errors import EngineError
from compression_engine.evaluation import Settings
from compression_engine.result import Measurement

_MAIN = "compression_engine.checking.second_process_main"


def figures_apart(child: Path, parent: Path, settings: Settings) -> list[Measurement]:
    """The figures of `structure_check.run_beside`, measured in another process; raises EngineError."""
    asked = {"child": str(child), "parent": str(parent), "threads": settings.threads, "seed": settings.seed}
    asked["provider"] = settings.provider
    around = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    }
    done = subprocess.run(
        [sys.executable, "-m", _MAIN], input=json.dumps(asked), capture_output=True, text=True, env=around, check=False
    )
    answer = _answer(done)
    if "error" in answer:
        raise EngineError(**answer["error"])
    return [Measurement(**figure) for figure in answer["figures"]]


def _answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    if done.returncode == 0:
        found: dict[str, Any] = json.loads(done.stdout)
        return found
    hint = "Give the run more memory; what the second process said stands in the log."
    sys.stderr.write(done.stderr)
    message = f"The process that runs the models side by side ended with {done.returncode}."
    raise EngineError("out_of_memory", message, hint)

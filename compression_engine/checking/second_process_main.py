"""The other side of `second_process`: reads what to run, runs it with its limit raised, writes figures or the error as JSON."""

from __future__ import annotations

from compression_engine import guard

guard.pin_threads()
guard.close_network()

import ctypes  # noqa: E402  threads must be pinned before numpy is imported
import json  # noqa: E402
import resource  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from dataclasses import asdict  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from compression_engine.checking.structure_check import run_beside  # noqa: E402
from compression_engine.errors import EngineError  # noqa: E402
from compression_engine.evaluation import Settings  # noqa: E402
from compression_engine.progress import silent  # noqa: E402

_DEATH_SIGNAL_OPTION = 1  # PR_SET_PDEATHSIG


def main() -> None:
    """Answers one question."""
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL_OPTION, signal.SIGKILL)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    asked = json.load(sys.stdin)
    settings = Settings(seed=asked["seed"], threads=asked["threads"], provider=asked["provider"])
    answer: dict[str, Any]
    try:
        found = run_beside(Path(asked["child"]), Path(asked["parent"]), settings, silent)
        answer = {"figures": [asdict(figure) for figure in found]}
    except EngineError as error:
        answer = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    except MemoryError:
        hint = "Give the run more memory."
        answer = {"error": {"code": "out_of_memory", "message": "There is not enough memory.", "hint": hint}}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()

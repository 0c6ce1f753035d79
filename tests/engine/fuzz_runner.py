"""`python -m tests.engine.fuzz_runner`: runs the engine's command line on one file after the other, each in a process of its own.

Reads JSON lines `{"folder", "recipe"}` to compress, or `{"folder", "call"}` with a call of another verb; a folder holds
`in/model.onnx` and whatever lies beside it. Answers one JSON line each:
exit code or signal, what was said last, a trace on standard error, and what is left in the folder, with what was changed or added
beside the model. Libraries are imported once;
each case is forked, with limits of memory and processor time.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

MEMORY_BYTES, CPU_SECONDS, SECONDS = 3 * 1024**3, 60, 120
_ENDED = 70  # of a process that left `main` by an exception


def main() -> int:
    """Answers until standard input ends."""
    import onnxruntime  # noqa: F401  imported before the forks

    from compression_engine import pipeline, safetensors_pipeline  # noqa: F401

    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(_case(Path(asked["folder"]), asked.get("recipe", ""), asked.get("call"))), flush=True)
    return 0


def _case(folder: Path, recipe: str, whole: list[str] | None = None) -> dict[str, Any]:
    for name in ("out", "tmp", "said"):
        (folder / name).mkdir(exist_ok=True)
    given, started = _files(folder / "in"), time.monotonic()
    child = os.fork()
    if child == 0:
        _run(folder, recipe, whole)
    status = _waited(child)
    said = (folder / "said" / "out").read_text(errors="replace").splitlines()
    try:
        last = json.loads(said[-1]) if said else {}
    except ValueError:
        last = {"type": "broken", "line": said[-1][:200]}
    error = (folder / "said" / "err").read_text(errors="replace")
    result = last.get("result") or {}
    figures = {
        one["metric"]: one["value"] for entry in result.get("evidence", []) for one in entry["document"]["figures"]
    }
    return {
        "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        "seconds": time.monotonic() - started,
        "type": last.get("type"),
        "code": last.get("code"),
        "message": last.get("message"),
        "hint": last.get("hint"),
        "figures": {name: value for name, value in figures.items() if name.startswith("generated_")},
        "trace": error[-1500:] if "Traceback" in error else "",
        "left": sorted(
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and path.parts[len(folder.parts)] not in ("in", "said")
        )
        + sorted({f"in/{name}" for name, _ in given ^ _files(folder / "in")}),
    }


def _files(folder: Path) -> set[tuple[str, bytes]]:
    """What lies beside the model, byte for byte."""
    return {(path.relative_to(folder).as_posix(), path.read_bytes()) for path in folder.rglob("*") if not path.is_dir()}


def _waited(child: int) -> int:
    deadline = time.monotonic() + SECONDS
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1]
        time.sleep(0.005)


def _run(folder: Path, recipe: str, whole: list[str] | None) -> None:
    code = _ENDED
    try:
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(folder / "said" / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8")
        sys.stderr = os.fdopen(2, "w", encoding="utf-8")
        os.environ["TMPDIR"] = str(folder / "tmp")
        os.chdir(folder / "tmp")
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        from compression_engine.command_line import main as engine
        from compression_engine.supervisor import supervised

        call = ["compress", str(folder / "in" / "model.onnx"), "--recipe", recipe]
        call += ["--output", str(folder / "out" / "OUT.onnx"), "--json", "--seconds-per-batch", "20"]
        call = call if whole is None else [*whole, "--json"]
        code = supervised(lambda: engine(call), call)
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    raise SystemExit(main())

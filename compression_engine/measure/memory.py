"""How much memory a fresh process needs to load a model and run it, child and parent in turns.

Each run is a process of its own (`python -m compression_engine.measure.memory MODEL FEED.npz THREADS`), since memory that
a process once held is not given back. It reports its peak, and what it held before it opened the model; the difference
is what the model needs. Source: VmHWM and VmRSS of Linux (proc(5)); getrusage would carry over the peak of the caller.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from compression_engine.data import Encoder
from compression_engine.errors import EngineError
from compression_engine.measure.intervals import Floats, quartile_range
from compression_engine.progress import Progress
from compression_engine.result import Measurement
from compression_engine.runtime import Model, batches

METHOD = "peak_of_a_fresh_process"
REPEATS = 3
_SECONDS_MAX = 600
_STATUS = Path("/proc/self/status")


def measure_memory(
    child: Path, parent: Path | None, encoder: Encoder, repeats: int, threads: int, progress: Progress
) -> list[Measurement]:
    """Median peak of the process, and of what the model adds; raises EngineError (measurement_failed)."""
    if not _STATUS.is_file():
        reason = "this system does not tell the peak of a process"
        return [Measurement("peak_memory_bytes", None, "byte", 0, "Memory was not measured here.", reason=reason)]
    models = [child] if parent is None else [child, parent]
    peaks = np.empty((repeats, len(models), 2))
    with tempfile.TemporaryDirectory(prefix="pressmark-memory-") as folder:
        feed = Path(folder) / "feed.npz"
        np.savez(feed, allow_pickle=False, **next(batches(encoder)).feed)
        for number in range(repeats):
            progress("memory", number, repeats, "measuring fresh processes in turns")
            for index, model in enumerate(models):
                peaks[number, index] = _probe(model, feed, threads)
    progress("memory", repeats, repeats, "measured")
    found = _figures("", peaks[:, 0], "Serving the model")
    if parent is not None:
        found += _figures("parent_", peaks[:, 1], "Serving the original")
        found.append(_ratio(peaks[:, 0, 0] / peaks[:, 1, 0]))
    return found


def probe(model: Path, feed: Path, threads: int) -> dict[str, int]:
    """What this process holds before it opens a model, and the most it ever held after running it; in bytes."""
    with np.load(feed, allow_pickle=False) as loaded:
        arrays = {name: loaded[name] for name in loaded.files}
    before = _status_bytes("VmRSS")
    opened = Model(model, threads)
    for _ in range(3):
        opened.run(arrays)
    return {"before": before, "peak": _status_bytes("VmHWM")}


def _probe(model: Path, feed: Path, threads: int) -> tuple[float, float]:
    command = [sys.executable, "-m", "compression_engine.measure.memory", str(model), str(feed), str(threads)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS_MAX, check=True)
        found = json.loads(done.stdout)
        return float(found["peak"]), float(found["peak"] - found["before"])
    except (subprocess.SubprocessError, OSError, ValueError, KeyError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        hint = "Check that enough memory is free; the model itself ran before."
        raise EngineError(
            "measurement_failed", f"Memory was not measured: {said[-1] if said else error}.", hint
        ) from error


def _figures(prefix: str, peaks: Floats, who: str) -> list[Measurement]:
    n = len(peaks)
    texts = (
        ("peak_memory_bytes", "takes {} of memory in all, runtime included"),
        ("model_memory_bytes", "adds {} to a process that has the runtime loaded"),
    )
    found = []
    for column, (metric, words) in enumerate(texts):
        values = peaks[:, column]
        value = int(np.median(values))
        plain = f"{who} {words.format(f'{value / 1e6:.0f} MB')} (peak, {n} fresh process{'es' if n > 1 else ''})."
        low, high = int(values.min()), int(values.max())
        reason = f"low and high are the least and the largest of {n} runs"
        found.append(Measurement(prefix + metric, value, "byte", n, plain, low, high, quartile_range(values), reason))
    return found


def _ratio(ratios: Floats) -> Measurement:
    value = float(np.median(ratios))
    plain = f"It needs {value:.2f} times the memory that serving the original needs."
    reason = f"low and high are the least and the largest of {len(ratios)} runs"
    low, high = float(ratios.min()), float(ratios.max())
    return Measurement(
        "peak_memory_ratio", value, "ratio", len(ratios), plain, low, high, quartile_range(ratios), reason
    )


def _status_bytes(field: str) -> int:
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise EngineError("measurement_failed", f"The system does not tell {field}.", "Measure on Linux.")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(probe(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))) + "\n")

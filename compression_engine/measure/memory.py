"""How much memory a fresh process needs to load a model and run it, child and parent in turns.

Each run is a process of its own, since memory that a process once held is not given back:
`python -m compression_engine.measure.memory FEED.npz MODEL THREADS OPTIMISATION PROVIDER`. It reports its peak, and what it held
before it opened the model; the difference is what the model needs. Source: VmHWM and VmRSS of Linux (proc(5)); getrusage would
carry over the peak of the caller. Memory of a device other than the processor is not in it, and the reason says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from compression_engine.answers.outputs import PARENT, ROLES, VERSION
from compression_engine.data import Feed
from compression_engine.errors import EngineError
from compression_engine.measure.context import Context, Found
from compression_engine.measure.feeds import typical_batch
from compression_engine.measure.statistics.intervals import Floats, quartile_range
from compression_engine.measure.timing_figures import Slice, prefix_of
from compression_engine.progress import Progress
from compression_engine.result import Measurement
from compression_engine.runtime import CPU, Model, batches

METHOD = "peak_of_a_fresh_process"
REPEATS = 3
_SECONDS_MAX = 600
_WHO = {
    VERSION: "Serving the model",
    PARENT: "Serving the original",
    "incumbent": "Serving the incumbent",
    "first": "Serving the first version",
}
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Served:
    """A weights file and how a process is to open it."""

    path: Path
    threads: int = 1
    optimisation: str = "all"
    provider: str = CPU

    def words(self) -> list[str]:
        """As arguments of a process."""
        return [str(self.path), str(self.threads), self.optimisation, self.provider]


def measure(context: Context) -> list[Found]:
    """Peaks of all models at hand for a batch of the engine's own size, and for each batch size that the plan names."""
    if not context.paths or context.encoder is None:
        return []
    encoder, repeats = context.encoder, context.memory_repeats
    served = {role: _served(context, role) for role in ROLES if role in context.paths}
    found = _measured(served, next(batches(encoder)).feed, repeats, context.progress)
    if context.plan.batch_sizes != (1,) and encoder.fixed_rows is None:
        for rows in dict.fromkeys(context.plan.batch_sizes):
            where = (("batch", str(rows)),)
            found += _measured(served, typical_batch(encoder, rows).feed, repeats, context.progress, where)
    return [Found("memory", METHOD, found)]


def _served(context: Context, role: str) -> Served:
    model = context.models.get(role)
    if model is None:
        return Served(context.paths[role], context.threads)
    return Served(context.paths[role], context.threads, model.optimisation, model.provider)


def _measured(
    served: Mapping[str, Served], feed: Feed, repeats: int, progress: Progress, where: Slice = ()
) -> list[Measurement]:
    if not _STATUS.is_file():
        reason = "this system does not tell the peak of a process"
        plain = "Memory was not measured here."
        return [Measurement("peak_memory_bytes", None, "byte", 0, plain, reason=reason, slice=where)]
    peaks = np.empty((repeats, len(served), 2))
    with tempfile.TemporaryDirectory(prefix="pressmark-memory-") as folder:
        kept = Path(folder) / "feed.npz"
        # by number, since an input may be called as an argument of savez is, or end as files do
        numbered = {str(place): array for place, array in enumerate(feed.values())}
        np.savez(kept, allow_pickle=False, names=np.array(list(feed), dtype=np.str_), **numbered)
        for number in range(repeats):
            progress("memory", number, repeats, "measuring fresh processes in turns")
            for index, one in enumerate(served.values()):
                peaks[number, index] = _probe(one, kept)
    progress("memory", repeats, repeats, "measured")
    by_role = {role: peaks[:, index] for index, role in enumerate(served)}
    found = []
    for role, measured in by_role.items():
        found += _figures(prefix_of(role), measured, _WHO[role], where)
        if role != VERSION:
            found.append(_ratio(role, by_role[VERSION][:, 0] / measured[:, 0], where))
    device = next(iter(served.values())).provider
    if device != CPU:
        beyond = f"; memory of the device that {device} uses is not in it"
        found = [replace(entry, reason=f"{entry.reason}{beyond}") for entry in found]
    return found


def probe(feed: Path, served: Served) -> dict[str, int]:
    """What this process holds before it opens a model, and the most it ever held after running it; in bytes."""
    with np.load(feed, allow_pickle=False) as loaded:
        arrays = {str(name): loaded[str(place)] for place, name in enumerate(loaded["names"])}
    before = _status_bytes("VmRSS")
    opened = Model(served.path, served.threads, optimisation=served.optimisation, provider=served.provider)
    for _ in range(3):
        opened.run(arrays)
    return {"before": before, "peak": _status_bytes("VmHWM")}


def _probe(served: Served, feed: Path) -> tuple[float, float]:
    command = [sys.executable, "-m", "compression_engine.measure.memory", str(feed), *served.words()]
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


def _figures(prefix: str, peaks: Floats, who: str, where: Slice) -> list[Measurement]:
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
        spread = quartile_range(values)
        found.append(Measurement(prefix + metric, value, "byte", n, plain, low, high, spread, reason, where))
    return found


def _ratio(role: str, ratios: Floats, where: Slice) -> Measurement:
    value, n = float(np.median(ratios)), len(ratios)
    plain = f"It needs {value:.2f} times the memory that {_WHO[role][0].lower()}{_WHO[role][1:]} needs."
    reason = f"low and high are the least and the largest of {n} runs"
    low, high, spread = float(ratios.min()), float(ratios.max()), quartile_range(ratios)
    metric = "peak_memory_ratio" if role == PARENT else f"{role}_peak_memory_ratio"
    return Measurement(metric, value, "ratio", n, plain, low, high, spread, reason, where)


def _status_bytes(field: str) -> int:
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise EngineError("measurement_failed", f"The system does not tell {field}.", "Measure on Linux.")


if __name__ == "__main__":
    _feed, _model, _threads, _optimisation, _provider = sys.argv[1:]
    _found = probe(Path(_feed), Served(Path(_model), int(_threads), _optimisation, _provider))
    sys.stdout.write(json.dumps(_found) + "\n")

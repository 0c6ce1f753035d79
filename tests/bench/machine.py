"""What a benchmark ran on, as rows beside its figures: processor, libraries, load, when, and how long it took."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

from compression_engine.environment import environment
from tests.bench.harness import Row, described

_LIBRARIES = ("numpy", "onnx", "onnxruntime", "scipy", "tokenizers")


class Watch:
    """Begun before a benchmark, asked after it."""

    def __init__(self, *, quick: bool) -> None:
        self._begun, self._clock = datetime.now(UTC), time.monotonic()
        self._load = os.getloadavg()[0]
        self._quick = quick

    def rows(self) -> list[Row]:
        """The machine, its load at begin and end (the mean of a minute), and the run."""
        facts = {str(entry["name"]): str(entry["value"]) for entry in environment(1)}
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        versions = ", ".join(f"{name} {facts[name]}" for name in _LIBRARIES if name in facts)
        machine = f"{facts['machine']}, {facts['cpu_model']} ({facts['cpu_flags']}), {memory:.0f} GiB"
        software = f"Python {facts['python']}, {versions}, engine {facts['engine']}"
        load = os.getloadavg()[0]
        way = "with --quick" if self._quick else "in full"
        seconds = time.monotonic() - self._clock
        return [
            described("machine", "processor cores", float(os.cpu_count() or 0), "cores", f"{machine}; {software}"),
            described("load", "load at the end", load, "load", f"{self._load:.2f} at the beginning"),
            described("run", "time taken", seconds, "s", f"{self._begun:%Y-%m-%d %H:%M} UTC, {way}"),
        ]

"""Which clock tells this process's processor time, and how fine its steps are.

Where a limit of processor time is set (RLIMIT_CPU), some kernels move the process clock only with their own tick, every few
milliseconds, while getrusage(2) still adds up what each thread ran. So both are read for a moment, and the finer one is used.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Reading = Callable[[], float]
_STEPS = 60
_SECONDS_MAX = 0.12
_QUANTILE = 0.75  # steps are not all alike: a tick may be split by a change of threads


@dataclass(frozen=True)
class Clock:
    """A reading in seconds, and how far one step of it leads to the next, in seconds."""

    read: Reading
    grain: float


def rusage_seconds() -> float:
    """User and system time of all threads of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def processor_clock(readings: Sequence[Reading] = (time.process_time, rusage_seconds)) -> Clock:
    """The finest of the clocks, tried out by a little work; the first of them where they are alike."""
    return min((Clock(reading, step_of(reading)) for reading in readings), key=lambda clock: clock.grain)


def step_of(reading: Reading, seconds_max: float = _SECONDS_MAX) -> float:
    """Seconds of a usual step of a clock, while this process is busy; as long as the trial where it did not move at all."""
    steps: list[float] = []
    last, end = reading(), time.perf_counter() + seconds_max
    while len(steps) < _STEPS and time.perf_counter() < end:
        now = reading()
        if now > last:
            steps.append(now - last)
            last = now
    return float(np.quantile(steps, _QUANTILE)) if steps else seconds_max

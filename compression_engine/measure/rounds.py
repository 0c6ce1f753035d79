"""Runs several things in turns and says how long each took, so that a busy machine slows all of them alike.

Rules:
- each round runs everything once, in alternating order; what is very fast runs several times a round, the first time unmeasured;
- every call is timed by itself (wall clock): quantiles of latency are of what happened, load of the machine included;
- comparisons are of undisturbed time: where other programs took the processor away during a turn (involuntary context
  switches, getrusage(2)), its processor time stands in, since what is missing to the wall clock was spent on somebody else;
  it does not where a turn is too short for the processor's clock to tell it to 1 %;
- rounds go on beyond the number asked for until the comparison is known to 1 % and the 99 % quantile is bounded; in the second half
  of the budget 2 % are enough, and with the budget they end; fewer than 25 rounds are never extended; where things are so slow
  that ten budgets are over before the number asked for, they end there, but not before 9: n says how many;
- things are opened afresh now and then, since where a model happens to lie in memory makes it some percent faster or slower;
  intervals of comparisons are at least as wide as what one opening differs from the next by.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from compression_engine.measure.processor_clock import Clock, processor_clock
from compression_engine.measure.statistics.intervals import Floats, quantile_interval
from compression_engine.progress import Progress, silent

Call = Callable[[], object]
Opener = Callable[[], Sequence[Call]]

ROUNDS = 60
QUICK_ROUNDS = 9
"""Where somebody wants to see soon that it works; too few to tell small differences."""
ROUNDS_FOR_P99 = 368
"""The fewest observations whose largest bounds the 99 % quantile from above with 97.5 % confidence: 0.99^368 < 0.025."""
CLOCK_STEPS = 100
"""What took this many steps of a clock is known to 1 %."""
_ROUNDS_EXTENDED_FROM = 25
_ROUNDS_FACTOR_MAX = 20
_ROUNDS_LEAST, _BUDGETS_MAX = 9, 10
_LOOK_EVERY = 20
_HALF_WIDTH = 0.01
_WARM_UP = 5
_TURN_SECONDS = 0.001
_CALLS_MAX = 50
_CALM_SHARE = 0.5
_SITTING_SECONDS_MIN = 0.2
_SITTINGS_MIN, _SITTING_ROUNDS_MIN = 3, 5
_STUDENT_95 = (4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)  # two-sided, from 2 degrees of freedom
_STRETCHES = 9
_OPENING_SHARE = 1 / 4
_OPENING_SECONDS = 0.1  # until it was measured: what is open already is taken first


@dataclass(frozen=True)
class Budget:
    """How many rounds at least, and how many seconds all of them may take when they are extended."""

    rounds: int = ROUNDS
    seconds: float = 40.0

    @property
    def rounds_max(self) -> int:
        """The most rounds."""
        return self.rounds * _ROUNDS_FACTOR_MAX if self.rounds >= _ROUNDS_EXTENDED_FROM else self.rounds


@dataclass(frozen=True)
class Turns:
    """What the turns of one thing took, in seconds a call.

    `calls` [rounds, calls a turn] are single calls by the wall clock; `processor` [rounds] is processor time of all threads;
    `undisturbed` [rounds] is what comparisons use; `lost_share` the share of turns that lost the processor to others;
    `sittings` [rounds] counts how often things had been opened; `grain` is the step of the clock of `processor`, shared among
    the calls of a turn.
    """

    calls: Floats
    processor: Floats
    undisturbed: Floats
    lost_share: float
    sittings: NDArray[np.int64] | None = None
    grain: float = 0.0

    @property
    def processor_told(self) -> bool:
        """Whether all rounds together took enough steps of the processor's clock to be known to 1 %."""
        return float(self.processor.sum()) > CLOCK_STEPS * self.grain

    @property
    def each_round_told(self) -> bool:
        """Whether a usual round by itself did."""
        return float(np.median(self.processor)) > CLOCK_STEPS * self.grain

    def quantile(self, share: float) -> tuple[float, float | None, float | None]:
        """A quantile of single calls with its interval.

        Calls of one turn resemble each other, so the interval is as wide as if each turn had given one observation.
        """
        ranks = quantile_interval(np.arange(1.0, len(self.calls) + 1), share)
        ends = [None if rank is None else self._at(rank) for rank in ranks]
        return float(np.quantile(self.calls, share)), ends[0], ends[1]

    def _at(self, rank: float) -> float:
        n = len(self.calls)
        return float(np.quantile(self.calls, (rank - 1) / (n - 1) if n > 1 else 0.5))


@dataclass(frozen=True)
class _Turn:
    calls: list[float]
    processor: float
    taken_away: int
    waited: int
    grain: float = 0.0


@dataclass
class _Table:
    """Turns of every thing, round by round."""

    rounds: list[list[_Turn]] = field(default_factory=list)
    sittings: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rounds)

    def turns(self) -> list[Turns]:
        columns = [[entry[index] for entry in self.rounds] for index in range(len(self.rounds[0]))]
        calls = [np.array([turn.calls for turn in column]) for column in columns]
        processor = [np.array([turn.processor for turn in column]) for column in columns]
        lost = [np.array([turn.taken_away > 0 for turn in column]) for column in columns]
        waited = [np.array([turn.waited > 0 for turn in column]) for column in columns]
        walls = [np.median(found, axis=1) for found in calls]
        grains = [column[0].grain for column in columns]
        shared = float(np.median(np.concatenate(walls) / np.maximum(np.concatenate(processor), 1e-9)))
        sittings = np.array(self.sittings or [0] * len(self.rounds))
        found = []
        for index, wall in enumerate(walls):
            calm = ~lost[index]
            stretch = shared
            if calm.mean() >= _CALM_SHARE:
                stretch = float(np.median(wall[calm] / np.maximum(processor[index][calm], 1e-9)))
            instead = np.where(waited[index], processor[index] * stretch, processor[index])
            told = calm | (processor[index] <= CLOCK_STEPS * grains[index])
            undisturbed = np.where(told, wall, instead)
            found.append(
                Turns(calls[index], processor[index], undisturbed, float(lost[index].mean()), sittings, grains[index])
            )
        return found


def run_in_turns(
    open_things: Opener, budget: Budget, progress: Progress = silent, stage: str = "latency"
) -> list[Turns]:
    """Opens things to call and runs them in turns; the first is what the others are compared with."""
    things, opening = open_things(), _OPENING_SECONDS
    counts = [_calls_a_turn(thing) for thing in things]
    clock = processor_clock()
    table, sitting = _Table(), 0
    start = opened = time.perf_counter()
    while not _enough(table, budget, start):
        if _worth_opening(time.perf_counter() - opened, opening) and len(table) < budget.rounds_max:
            things = ()  # what is open is closed before the same is opened again
            begun = time.perf_counter()
            things = open_things()
            for thing in things:
                _warm(thing)
            opened = time.perf_counter()
            opening, sitting = opened - begun, sitting + 1
        progress(stage, min(len(table), budget.rounds - 1), budget.rounds, "measuring in turns")
        table.sittings.append(sitting)
        table.rounds.append(_round(things, counts, clock, backwards=len(table) % 2 == 1))
    progress(stage, budget.rounds, budget.rounds, f"measured in {len(table)} rounds")
    return table.turns()


def paired_ratios(ours: Turns, theirs: Turns) -> Floats:
    """Undisturbed time of ours over theirs, round by round."""
    return ours.undisturbed / theirs.undisturbed


def paired_interval(values: Floats, sittings: NDArray[np.int64] | None) -> tuple[float | None, float | None]:
    """Interval of the median of paired values: order statistics, or Student's t over the medians of sittings where that is wider.

    With fewer than three sittings of five rounds only the first is known.
    """
    low, high = quantile_interval(values, 0.5)
    if sittings is None or low is None or high is None:
        return low, high
    parts = [values[sittings == number] for number in np.unique(sittings)]
    medians = np.array([np.median(part) for part in parts if len(part) >= _SITTING_ROUNDS_MIN])
    if len(medians) < _SITTINGS_MIN:
        return low, high
    student = _STUDENT_95[min(len(medians) - _SITTINGS_MIN, len(_STUDENT_95) - 1)]
    half, middle = student * float(medians.std(ddof=1)) / len(medians) ** 0.5, float(np.median(values))
    return min(low, middle - half), max(high, middle + half)


def totals_interval(values: Floats, over: Floats | None = None) -> tuple[float | None, float | None]:
    """Interval of a mean over rounds, or of the ratio of two: Student's t over nine stretches of successive rounds.

    For rounds that say nothing by themselves, as where a clock is coarse. Open for fewer than 18 rounds, or where a stretch of
    `over` is 0. Source: batch means (Law, "Simulation Modeling and Analysis", 9.5.3).
    """
    if len(values) < 2 * _STRETCHES:
        return None, None
    means = np.array([part.mean() for part in np.array_split(values, _STRETCHES)])
    middle = float(values.mean())
    if over is not None:
        beneath = np.array([part.mean() for part in np.array_split(over, _STRETCHES)])
        if (beneath <= 0).any():
            return None, None
        means, middle = means / beneath, middle / float(over.mean())
    half = _STUDENT_95[_STRETCHES - 3] * float(means.std(ddof=1)) / _STRETCHES**0.5
    return middle - half, middle + half


def _round(things: Sequence[Call], counts: Sequence[int], clock: Clock, *, backwards: bool) -> list[_Turn]:
    order = list(range(len(things)))
    measured = {
        index: _turn(things[index], counts[index], clock) for index in (reversed(order) if backwards else order)
    }
    return [measured[index] for index in order]


def _turn(thing: Call, count: int, clock: Clock) -> _Turn:
    if count > 1:
        thing()  # what ran before it has filled the caches with its own weights
    before, processor = resource.getrusage(resource.RUSAGE_SELF), clock.read()
    calls = [_timed(thing) for _ in range(count)]
    spent, after = clock.read() - processor, resource.getrusage(resource.RUSAGE_SELF)
    taken_away, waited = after.ru_nivcsw - before.ru_nivcsw, after.ru_nvcsw - before.ru_nvcsw
    return _Turn(calls, spent / count, taken_away, waited, clock.grain / count)


def _timed(thing: Call) -> float:
    start = time.perf_counter()
    thing()
    return time.perf_counter() - start


def _warm(thing: Call) -> None:
    for _ in range(_WARM_UP):
        thing()


def _calls_a_turn(thing: Call) -> int:
    _warm(thing)
    seconds = min(_timed(thing) for _ in range(3))
    return min(_CALLS_MAX, max(1, round(_TURN_SECONDS / max(seconds, 1e-7))))


def _worth_opening(since_seconds: float, opening_seconds: float) -> bool:
    return opening_seconds <= since_seconds * _OPENING_SHARE and since_seconds >= _SITTING_SECONDS_MIN


def _enough(table: _Table, budget: Budget, start: float) -> bool:
    done, spent = len(table), time.perf_counter() - start
    if done < budget.rounds:
        return done >= _ROUNDS_LEAST and spent >= _BUDGETS_MAX * budget.seconds
    if done >= budget.rounds_max or spent >= budget.seconds:
        return True
    if done % _LOOK_EVERY:
        return False
    width = _widest(table.turns())
    return width <= (_HALF_WIDTH if spent < budget.seconds / 2 else 2 * _HALF_WIDTH) and (
        done >= ROUNDS_FOR_P99 or spent >= budget.seconds / 2
    )


def _widest(found: Sequence[Turns]) -> float:
    """Half the interval of the comparison that is known least, as a share of its value."""
    compared = [paired_ratios(found[0], other) for other in found[1:]] or [found[0].undisturbed]
    widths = []
    for values in compared:
        low, high = paired_interval(values, found[0].sittings)
        if low is None or high is None:
            return float("inf")
        widths.append((high - low) / 2 / float(np.median(values)))
    return max(widths)

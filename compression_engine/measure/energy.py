"""How much energy a prediction takes: read from the processor's counters where they can be read, else estimated and called so.

Rules:
- read: whole packages and their memory while one model runs, models in turns; idle power and other programs are in it, so the
  figures are upper bounds, and ratios are those of the machine as it was;
- estimated: processor time of timing times the watts of a core, and, where they are given, the time that a prediction takes
  times the watts of the waiting machine. Watts are the price sheet's, with the source that it names, or an assumption (the
  power that such processors are rated for, shared among their cores: no measurement of anybody's machine); every such figure
  says which in its `reason`, and the watts stand among the facts;
- an estimate from a time that could not be told has no value and says why;
- a prediction is one row of the first batch size of the plan; energy of a device other than the processor is not in any figure.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from compression_engine.answers.outputs import PARENT, ROLES, VERSION
from compression_engine.errors import EngineError
from compression_engine.measure.context import Context, Found
from compression_engine.measure.earlier import Interval, earlier, why_missing
from compression_engine.measure.feeds import TypicalBatch, typical_batch
from compression_engine.measure.rapl import COUNTER_LOST, Counters, counters
from compression_engine.measure.statistics.intervals import Floats, quantile_interval, quartile_range
from compression_engine.measure.timing import measure as measure_timing
from compression_engine.measure.timing_figures import NAMES, prefix_of
from compression_engine.price_sheet import PriceSheet
from compression_engine.result import Measurement
from compression_engine.runtime import CPU, Model

DEFAULT_WATTS_PER_CORE = Decimal(12)
"""The order of a core's share of a server processor's rated power (150 to 350 W for 16 to 32 cores): an assumption."""
ASSUMED = "assumed: no price sheet names this machine's"
KIND = "energy"
_WINDOWS, _WINDOWS_QUICK = 15, 5
_WINDOW_SECONDS = 0.2
_ROUNDS_QUICK = 25


def measure(context: Context) -> list[Found]:
    """Joules per prediction and per thousand, of every model at hand, and what the version saves."""
    if not context.models or context.encoder is None:
        return []
    found = _read_or_estimated(context)
    device = next(iter(context.models.values())).provider
    if device == CPU:
        return [found]
    beyond = f"energy of the device that {device} uses is not in it"
    figures = [replace(entry, reason="; ".join(filter(None, (entry.reason, beyond)))) for entry in found.measurements]
    return [replace(found, measurements=figures)]


def _read_or_estimated(context: Context) -> Found:
    found = counters()
    if not found.zones:
        return estimated_energy(context, found.reason)
    try:
        return measured_energy(context, found)
    except EngineError as error:
        if error.code != COUNTER_LOST:
            raise
        return estimated_energy(context, "the counters of energy went away while they were read")


def measured_energy(context: Context, counters: Counters) -> Found:
    """From counters, in windows of the models in turns; an estimate where they stand still."""
    assert context.encoder is not None
    batch = typical_batch(context.encoder, context.plan.batch_sizes[0])
    models = {role: context.models[role] for role in ROLES if role in context.models}
    rounds = _WINDOWS if context.rounds >= _ROUNDS_QUICK else _WINDOWS_QUICK
    joules: dict[str, list[float]] = {role: [] for role in models}
    for number in range(rounds):
        context.progress(KIND, number, rounds, "reading counters of energy in turns")
        for role in list(models) if number % 2 == 0 else reversed(list(models)):
            joules[role].append(_window(models[role], batch, counters))
    context.progress(KIND, rounds, rounds, "measured")
    figures: list[Measurement] = []
    by_role = {role: np.array(values) for role, values in joules.items()}
    if any((values <= 0).any() for values in by_role.values()):
        return estimated_energy(context, "the counters of energy stand still, as they may in a virtual machine")
    for role, values in by_role.items():
        figures += _figures(role, _interval(values), len(values), quartile_range(values), None)
        if role != VERSION:
            figures += _against(
                role, _interval(by_role[VERSION] / values), _interval(values - by_role[VERSION]), rounds, None
            )
    facts = [
        ("energy_scope", "whole packages, idle power and other programs included"),
        ("energy_source", "counters"),
        ("energy_zones", " ".join(zone.name for zone in counters.zones)),
    ]
    return Found(KIND, "rapl_counters", figures, None, "1", facts)


@dataclass(frozen=True)
class Watts:
    """What an estimate rests on: watts of a busy core and of the waiting machine, and where they are from."""

    per_core: Decimal
    idle: Decimal | None
    source: str

    @classmethod
    def of(cls, sheet: PriceSheet | None) -> Watts:
        """The sheet's, or what is assumed where it names none."""
        if sheet is None or sheet.watts_per_core is None:
            return cls(DEFAULT_WATTS_PER_CORE, None, ASSUMED)
        source = "price sheet" if sheet.watts_source is None else f"price sheet: {sheet.watts_source}"
        return cls(sheet.watts_per_core, sheet.idle_watts, source)

    def joules(self, processor_ms: Interval, wall_ms: Interval | None, rows: int) -> Interval:
        """Of one row, from the milliseconds of a batch of so many rows."""
        busy = processor_ms.scaled(float(self.per_core) / 1000 / rows)
        return (
            busy if wall_ms is None or self.idle is None else busy.plus(wall_ms.scaled(float(self.idle) / 1000 / rows))
        )

    def words(self) -> str:
        """How a reason names the way of estimating."""
        idle = "" if self.idle is None else f" + time x {self.idle} W of the waiting machine"
        return f"processor time x {self.per_core} W a core{idle} ({self.source})"

    def facts(self) -> list[tuple[str, str]]:
        """For the environment of the document."""
        idle = [] if self.idle is None else [("watts_idle", f"{self.idle} ({self.source})")]
        return [("watts_per_core", f"{self.per_core} ({self.source})"), *idle]


def estimated_energy(context: Context, why: str) -> Found:
    """From processor time, where there is no counter to read; `why` there is none."""
    assert context.encoder is not None
    watts = Watts.of(context.price_sheet)
    timed = [entry for entry in context.found if entry.kind == "timing"] or measure_timing(context)
    rows = typical_batch(context.encoder, context.plan.batch_sizes[0]).rows
    reason = f"an estimate: {watts.words()}; {why}"
    figures: list[Measurement] = []
    by_role: dict[str, Interval] = {}
    for role in ROLES:
        processor = earlier(timed, "timing", f"{prefix_of(role)}cpu_time_ms")
        wall = earlier(timed, "timing", f"{prefix_of(role)}latency_p50_ms")
        if processor is None:
            why_not = why_missing(timed, "timing", f"{prefix_of(role)}cpu_time_ms")
            figures += [] if why_not is None else [_unknown(metric, role, why_not) for metric in _of_one(role)]
        else:
            by_role[role] = watts.joules(processor, wall, rows)
            figures += _figures(role, by_role[role], processor.n, None, reason)
        if role != VERSION:
            figures += _estimated_against(timed, watts, by_role, role, rows, reason)
    facts = [("energy_source", "estimate"), *watts.facts(), ("energy_no_counters", why)]
    return Found(KIND, "processor_time_times_watts", figures, None, "2", facts)


def _estimated_against(
    timed: Sequence[Found], watts: Watts, by_role: Mapping[str, Interval], role: str, rows: int, reason: str
) -> list[Measurement]:
    """What is saved against another model: paired as processor time is; with idle watts the time that it takes comes on top."""
    prefix = "" if role == PARENT else prefix_of(role)
    saved = earlier(timed, "timing", f"{prefix}cpu_time_saved_ms")
    ratio = earlier(timed, "timing", f"{prefix}cpu_time_ratio")
    if saved is None or ratio is None or not {VERSION, role} <= by_role.keys():
        why_not = why_missing(timed, "timing", f"{prefix}cpu_time_saved_ms")
        return [] if why_not is None else [_unknown(metric, role, why_not) for metric in _of_two(prefix)]
    if not watts.idle:
        return _against(role, ratio, watts.joules(saved, None, rows), saved.n, reason)
    ours, theirs = (earlier(timed, "timing", f"{prefix_of(name)}latency_p50_ms") for name in (VERSION, role))
    waited = None if ours is None or theirs is None else theirs.minus(ours)
    return _against(role, _share(by_role[VERSION], by_role[role]), watts.joules(saved, waited, rows), saved.n, reason)


def _share(ours: Interval, theirs: Interval) -> Interval:
    """One over the other for every pair of values in them; both are above zero."""
    low = None if ours.low is None or theirs.high is None else ours.low / theirs.high
    high = None if ours.high is None or theirs.low is None or theirs.low <= 0 else ours.high / theirs.low
    return Interval(ours.value / theirs.value, low, high, min(ours.n, theirs.n))


def _of_one(role: str) -> list[tuple[str, str]]:
    """Metrics and units of one model."""
    return [(f"{prefix_of(role)}{name}", "joule") for name in ("energy_per_prediction", "energy_per_1000_predictions")]


def _of_two(prefix: str) -> list[tuple[str, str]]:
    return [(f"{prefix}energy_ratio", "ratio"), (f"{prefix}energy_saved_per_prediction", "joule")]


def _unknown(metric: tuple[str, str], role: str, why: str) -> Measurement:
    about = "the model" if role == VERSION else NAMES[role].lower()
    plain = f"No energy of {about} can be estimated: {why}."
    return Measurement(metric[0], None, metric[1], 0, plain, reason=f"estimated from processor time, but {why}")


def _window(model: Model, batch: TypicalBatch, counters: Counters) -> float:
    """Joules per row while the model runs again and again for a while."""
    model.run(batch.feed)
    before, count, end = counters.read_uj(), 0, time.perf_counter() + _WINDOW_SECONDS
    while time.perf_counter() < end:
        model.run(batch.feed)
        count += 1
    return counters.joules(before, counters.read_uj()) / (count * batch.rows)


def _interval(values: Floats) -> Interval:
    low, high = quantile_interval(values, 0.5)
    return Interval(float(np.median(values)), low, high, len(values))


def _figures(role: str, joules: Interval, n: int, spread: float | None, reason: str | None) -> list[Measurement]:
    about = "takes about" if reason else "takes"
    made = []
    for count, metric in ((1, "energy_per_prediction"), (1000, "energy_per_1000_predictions")):
        told = joules.scaled(count)
        what = "one prediction" if count == 1 else f"{count:,} predictions"
        plain = f"{NAMES[role]} {about} {told.value:.3g} J for {what}."
        width = None if spread is None else spread * count
        why = reason or told.why_open(n)
        made.append(
            Measurement(prefix_of(role) + metric, told.value, "joule", n, plain, told.low, told.high, width, why)
        )
    return made


def _against(role: str, ratio: Interval, saved: Interval, n: int, reason: str | None) -> list[Measurement]:
    whose = NAMES[role].lower()
    prefix = "" if role == PARENT else prefix_of(role)
    more_or_less = "less" if saved.value >= 0 else "more"
    said = f"One prediction takes {abs(saved.value):.3g} J {more_or_less} than with {whose}."
    of_it = f"It takes {ratio.value:.2f} of the energy that {whose} takes."
    why_ratio, why_saved = reason or ratio.why_open(n), reason or saved.why_open(n)
    return [
        Measurement(f"{prefix}energy_ratio", ratio.value, "ratio", n, of_it, ratio.low, ratio.high, None, why_ratio),
        Measurement(
            f"{prefix}energy_saved_per_prediction",
            saved.value,
            "joule",
            n,
            said,
            saved.low,
            saved.high,
            None,
            why_saved,
        ),
    ]

"""How much energy a prediction takes: read from the processor's counters where they can be read, else estimated and called so.

Rules:
- read: whole packages and their memory while one model runs, models in turns; idle power and other programs are in it, so the
  figures are upper bounds, and ratios are those of the machine as it was;
- estimated: processor time of timing times watts a core, from the price sheet or a default; every such figure says so in its
  `reason`, and the watts stand among the facts;
- an estimate from a time that could not be told has no value and says why;
- a prediction is one row of the first batch size of the plan.
"""

from __future__ import annotations

import time
from decimal import Decimal

import numpy as np

from compression_engine.measure.context import Context, Found
from compression_engine.measure.earlier import Interval, earlier, why_missing
from compression_engine.measure.feeds import TypicalBatch, typical_batch
from compression_engine.measure.rapl import Counters, counters
from compression_engine.measure.statistics.intervals import Floats, quantile_interval, quartile_range
from compression_engine.measure.timing import measure as measure_timing
from compression_engine.measure.timing_figures import NAMES, prefix_of
from compression_engine.outputs import PARENT, ROLES, VERSION
from compression_engine.result import Measurement
from compression_engine.runtime import Model

DEFAULT_WATTS_PER_CORE = Decimal(12)
"""The order of a server core's share of its processor's rated power; a price sheet that knows better says so."""
KIND = "energy"
_WINDOWS, _WINDOWS_QUICK = 15, 5
_WINDOW_SECONDS = 0.2
_ROUNDS_QUICK = 25


def measure(context: Context) -> list[Found]:
    """Joules per prediction and per thousand, of every model at hand, and what the version saves."""
    if not context.models or context.encoder is None:
        return []
    found = counters()
    if found.zones:
        return [measured_energy(context, found)]
    return [estimated_energy(context, found.reason)]


def measured_energy(context: Context, counters: Counters) -> Found:
    """From counters, in windows of the models in turns."""
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


def estimated_energy(context: Context, why: str) -> Found:
    """From processor time, where there is no counter to read; `why` there is none."""
    assert context.encoder is not None
    sheet = context.price_sheet
    watts = sheet.watts_per_core if sheet is not None and sheet.watts_per_core is not None else DEFAULT_WATTS_PER_CORE
    source = "price sheet" if sheet is not None and sheet.watts_per_core is not None else "default"
    timed = [entry for entry in context.found if entry.kind == "timing"] or measure_timing(context)
    rows = typical_batch(context.encoder, context.plan.batch_sizes[0]).rows
    factor = float(watts) / 1000 / rows  # milliseconds of one batch to joules of one row
    reason = f"an estimate: processor time x {watts} W a core ({source}); {why}"
    figures: list[Measurement] = []
    for role in ROLES:
        processor = earlier(timed, "timing", f"{prefix_of(role)}cpu_time_ms")
        if processor is None:
            why_not = why_missing(timed, "timing", f"{prefix_of(role)}cpu_time_ms")
            figures += [] if why_not is None else [_unknown(metric, role, why_not) for metric in _of_one(role)]
        else:
            figures += _figures(role, processor.scaled(factor), processor.n, None, reason)
        if role == VERSION:
            continue
        prefix = "" if role == PARENT else prefix_of(role)
        saved = earlier(timed, "timing", f"{prefix}cpu_time_saved_ms")
        ratio = earlier(timed, "timing", f"{prefix}cpu_time_ratio")
        if saved is not None and ratio is not None:
            figures += _against(role, ratio, saved.scaled(factor), saved.n, reason)
        elif (why_not := why_missing(timed, "timing", f"{prefix}cpu_time_saved_ms")) is not None:
            figures += [_unknown(metric, role, why_not) for metric in _of_two(prefix)]
    facts = [("energy_source", "estimate"), ("watts_per_core", f"{watts} ({source})"), ("energy_no_counters", why)]
    return Found(KIND, "processor_time_times_watts", figures, None, "1", facts)


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

"""What serving costs by the user's price sheet, what the version saves against each other model, and when it has paid for itself.

Rules:
- everything is derived from what this evaluation measured (timing, energy, memory, size); each amount has the interval that
  follows from theirs, and nothing is rounded in the version's favour;
- serving is paid by processor time, so that a busy machine makes nothing dearer; electricity comes on top at the sheet's price;
- savings: processor time and electricity of the predictions, memory held by the replicas for 730 hours, one stored copy;
- what was spent: processor time of making the version, where it is known, and of this evaluation with its processes until now
  (an attempt that was killed before is not in it);
- a version whose prediction costs as much as the other's, or more, never breaks even, and that is said;
- what is saved against the parent has no prefix; against the incumbent and the first approved version it has theirs;
- what follows from a processor time that could not be told has no value and says why;
- without a price sheet only what the evaluation itself took is told.
"""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

from compression_engine.answers.outputs import PARENT, ROLES, VERSION
from compression_engine.measure.context import Context, Found
from compression_engine.measure.earlier import Interval, earlier, why_missing
from compression_engine.measure.feeds import typical_batch
from compression_engine.measure.figures import OTHERS
from compression_engine.measure.timing_figures import prefix_of
from compression_engine.price_sheet import PriceSheet
from compression_engine.result import Measurement

KIND, METHOD = "cost", "price_sheet_applied"
HOURS_PER_MONTH = 730
_GIB = 1024**3
_MILLISECONDS_PER_HOUR = 3_600_000
_JOULES_PER_KWH = 3_600_000
_SECONDS_PER_HOUR = 3600
_FROM_TIME = ("serving_saving_per_month", "electricity_saving_per_month", "net_benefit_per_month")


@dataclass(frozen=True)
class Savings:
    """What the version saves against another model in a month, by where it is saved; and for one prediction. In the currency."""

    prediction: Interval
    serving: Interval
    electricity: Interval
    memory: Interval
    storage: Interval
    co2_grams: Interval

    @property
    def month(self) -> Interval:
        """All of it."""
        return self.serving.plus(self.electricity).plus(self.memory).plus(self.storage)


def measure(context: Context) -> list[Found]:
    """Costs and savings; nothing where no model was run."""
    if not context.models or context.encoder is None:
        return []
    spent = cpu_seconds_spent()
    figures = [_seconds("evaluation_cpu_seconds", spent, "This evaluation")]
    if context.run_cpu_seconds is not None:
        figures.append(_seconds("run_cpu_seconds", context.run_cpu_seconds, "Making the version"))
    sheet = context.price_sheet
    if sheet is None:
        return [Found(KIND, METHOD, figures)]
    rows = typical_batch(context.encoder, context.plan.batch_sizes[0]).rows
    figures += _serving(context, sheet, rows)
    once = Interval.exact((spent + (context.run_cpu_seconds or 0.0)) / _SECONDS_PER_HOUR * float(sheet.per_cpu_hour))
    words = "Making and evaluating it" if context.run_cpu_seconds is not None else "Evaluating it"
    figures.append(_money("one_time_cost", once, sheet, f"{words} cost {{}} of processor time."))
    for other in ROLES[1:]:
        figures += _against(context, sheet, rows, once, other)
    facts = [
        ("hours_per_month", str(HOURS_PER_MONTH)),
        ("price_sheet", sheet.digest()),
        ("run_cpu_known", "yes" if context.run_cpu_seconds is not None else "no"),
    ]
    return [Found(KIND, METHOD, figures, None, "1", facts)]


def _against(context: Context, sheet: PriceSheet, rows: int, once: Interval, other: str) -> list[Measurement]:
    """What is saved against one other model; nothing where it was not timed."""
    prefix = _prefix(other)
    savings = savings_of(context, sheet, rows, other)
    if savings is not None:
        return benefit(savings, once, sheet, other)
    why = why_missing(context.found, "timing", f"{prefix}cpu_time_saved_ms")
    if why is None:
        return []
    unknown = [_unknown(f"{prefix}{metric}", f"currency:{sheet.currency}", why) for metric in _FROM_TIME]
    return [*unknown, _unknown(f"{prefix}break_even_predictions", "prediction", why)]


def _prefix(other: str) -> str:
    """What the names of figures against another model begin with."""
    return "" if other == PARENT else prefix_of(other)


def cpu_seconds_spent() -> float:
    """Processor time of this process, all of its threads, and of the processes that it started and saw end."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def savings_of(context: Context, sheet: PriceSheet, rows: int, other: str = PARENT) -> Savings | None:
    """What this evaluation's figures say is saved; None where that model was not there, or nothing was timed."""
    prefix = _prefix(other)
    processor = earlier(context.found, "timing", f"{prefix}cpu_time_saved_ms")
    if processor is None:
        return None
    hours = processor.scaled(1 / rows / _MILLISECONDS_PER_HOUR)
    joules = earlier(context.found, "energy", f"{prefix}energy_saved_per_prediction") or Interval.exact(0.0)
    kwh = joules.scaled(1 / _JOULES_PER_KWH)
    serving, electricity = hours.scaled(float(sheet.per_cpu_hour)), kwh.scaled(float(sheet.per_kwh))
    count = sheet.predictions_per_month
    held = _difference(context, "memory", "peak_memory_bytes", other).scaled(HOURS_PER_MONTH * sheet.replicas / _GIB)
    stored = _difference(context, "size", "size_bytes", other).scaled(1 / _GIB)
    return Savings(
        prediction=serving.plus(electricity),
        serving=serving.scaled(count),
        electricity=electricity.scaled(count),
        memory=held.scaled(float(sheet.per_gib_hour_memory)),
        storage=stored.scaled(float(sheet.per_gib_month_storage)),
        co2_grams=kwh.scaled(count * float(sheet.grams_co2_per_kwh)),
    )


_PARTS = (
    ("serving_saving_per_month", "serving", "Processor time of {count:,} predictions a month"),
    ("electricity_saving_per_month", "electricity", "Electricity of {count:,} predictions a month"),
    ("memory_saving_per_month", "memory", "Memory held by {replicas} replica(s) for a month"),
    ("storage_saving_per_month", "storage", "One stored copy for a month"),
)


def benefit(savings: Savings, once: Interval, sheet: PriceSheet, other: str = PARENT) -> list[Measurement]:
    """The savings of a month, what is left of them after the one-time cost, and when it has paid for itself."""
    prefix, whom = _prefix(other), f"the {OTHERS[other]}"
    found = []
    for metric, part, words in _PARTS:
        amount: Interval = getattr(savings, part)
        what = words.format(count=sheet.predictions_per_month, replicas=sheet.replicas)
        plain = f"{what}: {{}} {'less' if amount.value >= 0 else 'more'} than with {whom}."
        found.append(_money(f"{prefix}{metric}", amount, sheet, plain))
    grams = savings.co2_grams
    less = "less" if grams.value >= 0 else "more"
    plain = f"{abs(grams.value):,.0f} g of carbon dioxide a month {less} than with {whom}."
    found.append(_figure(f"{prefix}co2_saving_per_month", grams, "gram", plain))
    net = savings.month.minus(once.scaled(1 / sheet.amortisation_months))
    said = "it saves {}" if net.value >= 0 else "it costs {} more"
    plain = f"After what was spent once, spread over {sheet.amortisation_months} months, {said} a month against serving {whom}."
    found.append(_money(f"{prefix}net_benefit_per_month", net, sheet, plain))
    return [*found, break_even(savings.prediction, once, other)]


def break_even(saved: Interval, once: Interval, other: str = PARENT) -> Measurement:
    """After how many predictions their savings have paid what was spent once; memory and storage are left aside."""
    metric, unit, whom = f"{_prefix(other)}break_even_predictions", "prediction", f"the {OTHERS[other]}"
    if saved.value <= 0:
        more = "as much as" if saved.value == 0 else "more than"
        plain = f"A prediction costs {more} with {whom}: it never breaks even."
        return Measurement(
            metric, None, unit, saved.n, plain, reason="a prediction saves nothing, so it never breaks even"
        )
    value = once.value / saved.value
    low = None if saved.high is None else once.value / saved.high
    high = once.value / saved.low if saved.low is not None and saved.low > 0 else None
    plain = f"What was spent once is paid for after {value:,.0f} predictions, against serving {whom}."
    reason = None
    if saved.low is not None and saved.low <= 0:
        reason = "within what was measured a prediction may save nothing, so it may never break even"
        plain = f"{plain[:-1]}, if at all: the saving is not certain."
    elif low is None or high is None:
        reason = saved.why_open(saved.n)
    return Measurement(metric, value, unit, saved.n, plain, low, high, None, reason)


def _serving(context: Context, sheet: PriceSheet, rows: int) -> list[Measurement]:
    found = []
    for role in ROLES:
        prefix, who = prefix_of(role), "the model" if role == VERSION else f"the {OTHERS[role]}"
        processor = earlier(context.found, "timing", f"{prefix}cpu_time_ms")
        if processor is None:
            why = why_missing(context.found, "timing", f"{prefix}cpu_time_ms")
            if why is not None:
                found.append(_unknown(f"{prefix}serving_cost_per_1000_predictions", f"currency:{sheet.currency}", why))
            continue
        cost = processor.scaled(1000 / rows / _MILLISECONDS_PER_HOUR * float(sheet.per_cpu_hour))
        joules = earlier(context.found, "energy", f"{prefix}energy_per_1000_predictions")
        if joules is not None:
            cost = cost.plus(joules.scaled(float(sheet.per_kwh) / _JOULES_PER_KWH))
        plain = f"A thousand predictions of {who} cost {{}}."
        found.append(_money(f"{prefix}serving_cost_per_1000_predictions", cost, sheet, plain))
    return found


def _difference(context: Context, kind: str, metric: str, other: str) -> Interval:
    """What the other model takes beyond the version; nothing where one of them was not measured."""
    ours, theirs = earlier(context.found, kind, metric), earlier(context.found, kind, f"{other}_{metric}")
    if ours is None or theirs is None:
        return Interval.exact(0.0)
    if kind == "size":
        return Interval.exact(theirs.value - ours.value)
    return theirs.minus(ours)


def _seconds(metric: str, seconds: float, what: str) -> Measurement:
    return Measurement(metric, seconds, "second", 1, f"{what} took {seconds:,.1f} s of processor time.")


def _money(metric: str, amount: Interval, sheet: PriceSheet, plain: str) -> Measurement:
    said = f"{abs(amount.value):,.4g} {sheet.currency}"
    return _figure(metric, amount, f"currency:{sheet.currency}", plain.format(said))


def _unknown(metric: str, unit: str, why: str) -> Measurement:
    plain = f"The {metric.replace('_', ' ')} cannot be told: {why}."
    return Measurement(metric, None, unit, 0, plain, reason=f"it follows from processor time, but {why}")


def _figure(metric: str, amount: Interval, unit: str, plain: str) -> Measurement:
    return Measurement(
        metric, amount.value, unit, amount.n, plain, amount.low, amount.high, None, amount.why_open(amount.n)
    )

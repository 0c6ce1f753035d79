"""How the report says digests, sizes, numbers, times, people and statuses. Pure."""

from __future__ import annotations

from decimal import Decimal, localcontext

from audit.statuses import (
    ATTESTED,
    EVIDENCED,
    FAILING,
    MISSING_STATUS,
    NOT_APPLICABLE,
    OUTSIDE,
    PARTIAL_STATUS,
    STALE_STATUS,
)

STATUS_WORDS = {
    FAILING: "failing",
    MISSING_STATUS: "missing",
    STALE_STATUS: "stale",
    PARTIAL_STATUS: "partial",
    OUTSIDE: "outside",
    NOT_APPLICABLE: "not applicable",
    ATTESTED: "attested",
    EVIDENCED: "evidenced",
}
STATUS_MEANINGS = {
    FAILING: "A record contradicts what is asked.",
    MISSING_STATUS: "Nothing is recorded.",
    STALE_STATUS: "It would pass, but evidence or a statement has expired.",
    PARTIAL_STATUS: "Some of what is asked is shown, or a person's statement is not there yet.",
    OUTSIDE: "The registry cannot know it.",
    NOT_APPLICABLE: "A person signed, with an end, that it does not apply.",
    ATTESTED: "Shown, and a person's signed statement is in date.",
    EVIDENCED: "Every rule passes on records that are in date.",
}
ROLE_WORDS = {"system": "the registry itself"}


def short_digest(digest: str | None) -> str:
    """`sha256:` and twelve digits, as people compare them; the full form stands in the annex."""
    return "" if not digest else digest[:19]


def person(role: str, actor_id: str) -> str:
    """A person by role and the end of their id; never by name."""
    return ROLE_WORDS.get(role) or f"{role.replace('_', ' ')} …{actor_id[-8:]}"


def moment(at: str | None) -> str:
    """`2026-11-22 02:15 UTC`."""
    return "" if not at else f"{at[:10]} {at[11:16]} UTC"


def day(at: str | None) -> str:
    return "" if not at else at[:10]


def number(value: str | None, digits: int = 5) -> str:
    """A decimal with at most so many significant digits."""
    if value is None:
        return ""
    with localcontext() as context:
        context.prec = digits
        rounded = +Decimal(value)
    text = format(rounded, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    whole, point, fraction = text.partition(".")
    grouped = f"{int(whole):,}" if len(whole.lstrip("-")) > 4 else whole
    return f"{grouped}{point}{fraction}"


def size(value: str | int | None) -> str:
    """Bytes in the unit that people read."""
    if value is None:
        return ""
    amount = Decimal(value)
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if amount >= scale:
            return f"{number(str(amount / scale), 4)} {unit}"
    return f"{amount} B"


def quantity(value: str | None, unit: str) -> str:
    """A figure's value with its unit."""
    if value is None:
        return ""
    if unit == "byte":
        return size(value)
    if unit == "share":
        return f"{number(str(Decimal(value) * 100), 4)} %"
    if unit == "ratio":
        return f"{number(value, 4)}×"
    shown = {"millisecond": " ms", "row": " rows"}.get(unit, "")
    return f"{number(value)}{shown}"


METRIC_WORDS = {
    "size_bytes": "Size of the weights",
    "size_ratio": "Size, times smaller",
    "latency_p50_ms": "Latency, median",
    "latency_p95_ms": "Latency, 95th percentile",
    "latency_p99_ms": "Latency, 99th percentile",
    "latency_ratio": "Latency against parent",
    "throughput_per_second": "Answers a second",
    "cpu_time_ms": "Processor time of an answer",
    "cpu_time_saved_ms": "Processor time saved against parent",
    "cpu_time_ratio": "Processor time against parent",
    "disturbed_share": "Rounds that other programs disturbed",
    "peak_memory_bytes": "Peak memory",
    "model_memory_bytes": "Memory of the model alone",
    "peak_memory_ratio": "Peak memory against parent",
    "cosine_mean": "Agreement with parent, mean cosine",
    "cosine_p05": "Agreement, 5th percentile",
    "cosine_min": "Agreement, worst answer",
    "max_abs_difference": "Largest difference of an output",
    "nearest_neighbour_kept": "Nearest neighbour kept",
    "top1_agreement": "Same first answer",
    "rank_correlation": "Order of the outputs kept",
    "batch_difference_max": "Alone against in a batch",
}


WHOSE = {"incumbent_": "the incumbent", "first_": "the first approved version"}


def metric(name: str) -> str:
    """A metric in words; behind a prefix it is the incumbent's, or says what the child is beside the incumbent."""
    for prefix, whose in WHOSE.items():
        if name.startswith(prefix):
            own = metric(name.removeprefix(prefix))
            return own.replace("parent", whose) if "parent" in own else f"{own}, {whose}"
    return METRIC_WORDS.get(name) or name.replace("_", " ").capitalize()


def unit_of(name: str, unit: str) -> str:
    """The unit in which a metric is shown: of what the engine gives as a ratio, only ratios are so many times something."""
    return "" if unit == "ratio" and not name.endswith("_ratio") else unit

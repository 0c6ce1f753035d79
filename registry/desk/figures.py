"""How figures are written for people: units, names of metrics, a child's figure beside its parent's. Pure.

Rules:
- the exact decimal stays available (`exact`); what is shown is rounded, never more precise than the record;
- a value that is null is shown as "not measured" with the reason that the record gives, never as zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Figure = Mapping[str, Any]

NAMES = {
    "size_bytes": "Size of the files",
    "size_ratio": "Times smaller than the parent",
    "cosine_mean": "Cosine to the parent's output, mean",
    "cosine_min": "Cosine to the parent's output, worst row",
    "cosine_p05": "Cosine to the parent's output, 5th percentile",
    "max_abs_difference": "Largest difference in any output",
    "nearest_neighbour_kept": "Rows that keep their nearest neighbour",
    "top1_agreement": "Rows that keep their first answer",
    "batch_difference_max": "Largest difference, alone against in a batch",
    "latency_p50_ms": "Latency, median",
    "latency_p95_ms": "Latency, 95th percentile",
    "latency_ratio": "Latency against the parent's",
    "peak_memory_bytes": "Peak memory of the process",
    "model_memory_bytes": "Memory that the model adds",
    "peak_memory_ratio": "Peak memory against the parent's",
    "output_mean": "Outputs, mean",
    "output_spread": "Outputs, spread",
    "output_norm_mean": "Outputs, mean norm",
}
KINDS = {
    "size": "Size",
    "fidelity": "Same answers as the parent",
    "timing": "Speed",
    "memory": "Memory",
    "outputs": "Outputs",
    "structure": "Structure of the files",
    "distribution": "Distribution of inputs and outputs",
    "baseline": "Baseline",
}
_KIND_ORDER = ("size", "fidelity", "timing", "memory", "outputs")
FORMATS = {"onnx": "ONNX", "safetensors": "safetensors", "pt2": "PyTorch export"}
_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")
_SUFFIXES = {"millisecond": " ms", "ratio": " ×", "second": " s"}


@dataclass(frozen=True)
class Row:
    """One line of the table of figures: what, the parent's, the child's, and how sure."""

    metric: str
    name: str
    shown: str
    exact: str
    interval: str
    parent_shown: str
    parent_exact: str
    n: int | None
    spread: str
    reason: str
    figure: Figure


def size_text(size_bytes: int | Decimal | None) -> str:
    """Bytes in the largest unit of 1000 that leaves at least one before the point."""
    if size_bytes is None:
        return "unknown"
    value, unit = Decimal(size_bytes), 0
    while abs(value) >= 1000 and unit < len(_BYTE_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    digits = 0 if unit == 0 else 1
    return f"{value:.{digits}f} {_BYTE_UNITS[unit]}"


def value_text(value: str | None, unit: str) -> str:
    """A decimal of a record, as people read it."""
    if value is None:
        return "not measured"
    exact = Decimal(value)
    if unit == "byte":
        return size_text(exact)
    if unit == "share":
        return f"{exact * 100:.1f} %"
    if unit == "cosine":
        return _cosine(exact)
    return rounded(exact) + _SUFFIXES.get(unit, "")


def _cosine(value: Decimal) -> str:
    """Near 1 it is the distance to 1 that matters: that keeps two significant digits."""
    distance = 1 - value
    places = 1 - distance.adjusted() if distance else 0
    written = f"{value:.{min(max(places, 4), 12)}f}"
    return written.rstrip("0").rstrip(".")


def rounded(value: Decimal) -> str:
    """Four significant digits, without an exponent."""
    if value == 0:
        return "0"
    places = max(0, 3 - value.adjusted())
    text = f"{value:.{min(places, 12)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def interval_text(figure: Figure) -> str:
    """The 95 % interval, or nothing where the record holds none."""
    low, high, unit = figure["low"], figure["high"], figure["unit"]
    if low is None or high is None:
        return ""
    least, most = value_text(low, unit), value_text(high, unit)
    number, _, of = least.rpartition(" ")
    return f"{number} – {most}" if of and most.endswith(f" {of}") else f"{least} – {most}"


def name_of(metric: str) -> str:
    """A metric in words; one that we do not know keeps its own name."""
    return NAMES.get(metric, metric.replace("_", " ").capitalize())


def kind_name(kind: str) -> str:
    """A kind of evidence in words."""
    return KINDS.get(kind, kind.replace("_", " ").replace("-", " ").capitalize())


def kind_order(kind: str) -> tuple[int, str]:
    """Size first, then how same, how fast, how much memory, then the rest by name."""
    return (_KIND_ORDER.index(kind) if kind in _KIND_ORDER else len(_KIND_ORDER), kind)


def rows_of(figures: Sequence[Figure]) -> list[Row]:
    """The figures of one document as rows; `parent_*` figures stand beside the child's instead of in a row of their own."""
    overall = {f["metric"]: f for f in figures if not f["slice"]}
    rows = []
    for figure in figures:
        metric = figure["metric"]
        if metric.startswith("parent_") and metric.removeprefix("parent_") in overall:
            continue
        rows.append(_row(figure, overall.get(f"parent_{metric}") if not figure["slice"] else None))
    return rows


def _row(figure: Figure, parent: Figure | None) -> Row:
    unit = figure["unit"]
    where = ", ".join(f"{part['name']} {part['value']}" for part in figure["slice"])
    return Row(
        metric=figure["metric"],
        name=name_of(figure["metric"]) + (f" ({where})" if where else ""),
        shown=value_text(figure["value"], unit),
        exact="" if figure["value"] is None else f"{figure['value']} {unit}",
        interval=interval_text(figure),
        parent_shown="" if parent is None else value_text(parent["value"], unit),
        parent_exact="" if parent is None or parent["value"] is None else f"{parent['value']} {unit}",
        n=figure["n"],
        spread="" if figure["spread"] is None else value_text(figure["spread"], "" if unit == "cosine" else unit),
        reason=figure["reason"] or "",
        figure=figure,
    )

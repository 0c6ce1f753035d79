"""One figure of evidence as one plain English sentence, for a reader who is no engineer. Pure.

Rules:
- the sentence says value, unit and what it means; n and the 95 % interval where the figure has them;
- a figure without a value says that it is not known, and why; it is never left out;
- a slice is named first ("For race = 2: ..."); a metric that stands in no table is said by its own name, without a meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from registry.catalog.evaluation_sentences import end_words, renamed, tell
from registry.catalog.number_words import number, percent, size

Figure = Mapping[str, Any]

_NO_INTERVAL = ("peak_memory_bytes", "model_memory_bytes", "peak_memory_ratio")
"""Their low and high are the least and the largest run, not an interval."""

_STEP = "step_"
MOVED = re.compile(r"(.+)_within_([0-9]+)_per_mille(.*)")
"""A metric on rows that were moved, and how far."""
_TEXTS: dict[str, str] = {
    "packed_size_bytes": "Packed, for storage and transfer, it takes {bytes}; it runs as it does unpacked",
    "packed_ratio": "Packed, for storage and transfer, it is {value} times smaller than unpacked",
    "sparsity": "{percent} of the numbers of its weights are exactly zero; zeros alone make nothing smaller or faster",
    "carried_calls": "The torch model and its ONNX form were both asked {count} times",
    "carried_cosine": "The ONNX form agrees with the torch model that it was made from to {value} at least (1 is identical)",
    "carried_difference": "Answers of the torch model and its ONNX form are at most {percent} of an output's largest apart",
    "hidden": "{percent} of the rows stand the model's own gradients and fall to attacks that do without them",
    "quality_lost": "By the labels {value} points of quality are lost",
    "size_bytes": "The weights take {bytes} on disk",
    "parent_size_bytes": "The original's weights take {bytes} on disk",
    "cosine_mean": "The answers agree with the original's to {value} on average (1 is identical)",
    "cosine_min": "The least agreement of any row with the original is {value} (1 is identical)",
    "cosine_p05": "19 of 20 rows agree with the original to {value} or better (1 is identical)",
    "max_abs_difference": "No entry of an answer moved by more than {value}",
    "nearest_neighbour_kept": "{percent} of the rows keep the same nearest neighbour",
    "top1_agreement": "{percent} of the rows keep the same first choice",
    "latency_p50_ms": "Half of all answers come within {value} ms",
    "latency_p95_ms": "19 of 20 answers come within {value} ms",
    "parent_latency_p50_ms": "Half of the original's answers come within {value} ms",
    "parent_latency_p95_ms": "19 of 20 of the original's answers come within {value} ms",
    "peak_memory_bytes": "Serving the model takes {bytes} of memory at its peak, runtime included",
    "parent_peak_memory_bytes": "Serving the original takes {bytes} of memory at its peak, runtime included",
    "model_memory_bytes": "The model adds {bytes} of memory to a process that has the runtime loaded",
    "parent_model_memory_bytes": "The original adds {bytes} of memory to a process that has the runtime loaded",
    "output_mean": "The mean entry of an answer is {value} on average",
    "output_spread": "The entries of an answer spread by {value} on average",
    "output_norm_mean": "An answer has the length {value} on average",
    "parameter_count": "The file holds {count} parameters",
    "tensor_count": "The file holds {count} tensors",
    "node_count": "The graph has {count} nodes",
    "weight_bytes": "These weights take {bytes}",
    "bin_count": "{count} rows fall into this bin",
    "missing_count": "{count} rows have no number here",
    "bit_exact": "{percent} of the attempts to make it again gave the same bytes",
    "within_tolerance": "{percent} of the attempts to make it again gave every weight within the tolerance",
    "tensors_same_share": "{percent} of the tensors came out the same, bit for bit",
    "tensors_within_share": "{percent} of the tensors came out within the tolerance",
    "weight_difference_max": "No weight that stands in both is further than {value} from the one that was made again",
    "weight_difference_max_relative": "No weight that stands in both is further from the one made again than {value} of its "
    "tensor's largest",
}

_PLACES = {
    "found": "rows with", "confidence_bin": "a confidence of", "context_tokens": "tokens of context", "from": "rows from",
    "predicted_class": "the answer", "parent_answer": "the original's answer",
    "parent_confidence": "the original's confidence:", "corruption": "damage by", "severity": "severity", "answer": "the answer",
    "incumbent_answer": "the incumbent's answer", "incumbent_confidence": "the incumbent's confidence:",
    "first_answer": "the first version's answer", "first_confidence": "the first version's confidence:", "batch": "batches of",
    "against": "against", "cache": "the cache:", "sequence_position": "places in a sequence", "threads": "threads:",
    "attack": "attacks by", "to": "rows to", "file": "the file", "dtype": "the type",
}  # fmt: skip
"""How parts are said that the engine makes itself; a declared column keeps its name."""

_BATCHES = {"batch_difference_max": "The model", "parent_batch_difference_max": "The original"}


def sentence(figure: Figure, kind: str) -> str:
    """What the figure says, as one sentence that ends with a full stop."""
    metric = str(figure["metric"])
    moved = MOVED.fullmatch(metric)
    if moved is not None:
        told = sentence({**figure, "metric": moved[1] + moved[3]}, kind).removesuffix(".")
        return (
            f"{told}. Each number of an input was moved against the model by up to {moved[2]} thousandths of its range."
        )
    if metric.startswith(_STEP):
        return f"After the step: {sentence({**figure, 'metric': metric.removeprefix(_STEP)}, kind)}"
    if figure["value"] is None:
        told = f"{_words(metric).capitalize()} is not known: {figure['reason'] or 'no reason was given'}"
    else:
        about = next((metric.removeprefix(p) for p in ("incumbent_", "first_") if metric.startswith(p)), metric)
        ratio = _RATIOS.get(about) if Decimal(figure["value"]) > 0 else None
        told = _plain(figure, kind, about) if ratio is None else ratio(figure)
        told = renamed(told, metric, kind) + _sample(figure, kind)
    return f"{_slice(figure)}{told}."


def _plain(figure: Figure, kind: str, about: str) -> str:
    """`about` is the metric without the prefix of the version that it is about: that stands for the original in the texts."""
    metric, value = str(figure["metric"]), Decimal(figure["value"])
    if metric in _BATCHES:
        return _batch(_BATCHES[metric], value)
    template = _TEXTS.get(metric if about == metric else f"parent_{about}")
    if template is None:
        told = tell(figure, kind)
        if told is not None:
            return told
        unit = f" {figure['unit']}" if figure["unit"] not in ("", "ratio", None) else ""
        return f"{_words(metric).capitalize()} is {number(value)}{unit}"
    return template.format(value=number(value), bytes=size(value), percent=percent(value), count=f"{int(value):,}")


def _ratio_of_size(figure: Figure) -> str:
    value = Decimal(figure["value"])
    if value < 1:
        return f"The model takes {1 / value:.2f} times the disk space of the original"
    return f"The model is {value:.2f} times smaller than the original"


def _ratio_of_latency(figure: Figure) -> str:
    value = Decimal(figure["value"])
    if value <= Decimal("0.95"):
        return f"The model answers {1 / value:.2f} times faster than the original, both measured in turns"
    if value >= Decimal("1.05"):
        return f"The model answers {value:.2f} times slower than the original, both measured in turns"
    return f"The model answers as fast as the original ({value:.2f} of its time), both measured in turns"


def _ratio_of_memory(figure: Figure) -> str:
    return f"Serving the model takes {Decimal(figure['value']):.2f} times the memory that the original takes"


def _batch(who: str, value: Decimal) -> str:
    same = "exactly the same" if value == 0 else f"the same up to {number(value)}"
    return f"{who} answers a row {same}, alone and together with others"


_RATIOS: dict[str, Callable[[Figure], str]] = {
    "size_ratio": _ratio_of_size,
    "latency_ratio": _ratio_of_latency,
    "peak_memory_ratio": _ratio_of_memory,
}


def _sample(figure: Figure, kind: str) -> str:
    """` (n = 300; 95 % interval 0.9991 to 0.9993)`, or what of it is there. A count of one thing has no sample."""
    parts = []
    n = figure["n"]
    if n is not None and (n != 1 or kind not in ("size", "structure")):
        parts.append(f"n = {n:,}")
    if figure["low"] is not None and figure["high"] is not None:
        ends = f"{_end(figure, 'low')} to {_end(figure, 'high')}"
        parts.append(
            f"least and largest {ends}" if str(figure["metric"]).endswith(_NO_INTERVAL) else f"95 % interval {ends}"
        )
    return f" ({'; '.join(parts)})" if parts else ""


def _end(figure: Figure, end: str) -> str:
    value = Decimal(figure[end])
    if figure["unit"] == "byte":
        return size(value)
    return end_words(figure, value) or number(value)


def _slice(figure: Figure) -> str:
    if not figure["slice"]:
        return ""
    return f"For {' and '.join(_part(row) for row in figure['slice'])}: "


def _part(row: Mapping[str, str]) -> str:
    if row["name"] == "upper_edge":
        return f"below {row['value']}" if row["value"] else "the open end"
    if row["name"] in _PLACES:
        return f"{_PLACES[row['name']]} {row['value']}"
    return f"{row['name']} = {row['value']}"


def _words(metric: str) -> str:
    return metric.replace("_", " ")

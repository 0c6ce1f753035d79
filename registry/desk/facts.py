"""What an environment says about the figures beside it, in words. Pure data; a fact that stands in no table keeps its name."""

from __future__ import annotations

_WHO = {
    "version": "this version",
    "parent": "the parent",
    "incumbent": "the incumbent",
    "first": "the first approved version",
}
_WORDS = {
    "corrupted_rows": "{value} rows were damaged",
    "distinct_rows": "{value} rows differ; each other one repeats one of these",
    "drawn_rows": "neighbours were looked for among {value} rows",
    "evaluated_rows": "{value} rows counted",
    "groups_left_out": "groups beyond those that are looked at were left out: {value}",
    "left_out_rows": "{value} rows could not be used",
    "near_seen_rows": "{value} rows are, or almost are, rows that it was made with",
    "rows_left_out": "{value} rows without a usable answer of every model were left out",
    "rows_without_a_score": "{value} rows had no score and were left out",
    "seen_rows": "{value} of the rows are rows that it was made with",
    "training_rows_left_out": "{value} training rows were left out: nothing was learned from them",
    "slices_left_out": "{value} slices were left out, as too small or too many",
    "unregistered_rows": "{value} rows that no dataset here holds",
}
_NUMBERLESS = "answers_without_a_number"


def fact_text(name: str, value: str) -> str:
    """One fact in words."""
    if name == _NUMBERLESS:
        return _numberless(value.split())
    if name in _WORDS:
        return _WORDS[name].format(value=value)
    return f"{name.replace('_', ' ').replace('-', ' ')} {value}"


def _numberless(words: list[str]) -> str:
    """`version 3 incumbent 2`: how many answers to damaged rows were no numbers, by model."""
    counts = [f"{count} of {_WHO.get(role, role)}" for role, count in zip(words[::2], words[1::2], strict=False)]
    return f"answers that are no number count as wrong: {', '.join(counts)}"

"""What an evaluation says to somebody who reads it in a shell: the answers that matter on top, then the figures by kind.

Rules:
- on top stands what was lost, for whom worst, the smallest loss that could have been seen, and which groups moved apart;
- first of all stands that a budget ended the work, and which steps changed nothing; then that a child without rows does not answer
  as its parent does on generated inputs, or was not run at all;
- above that stands what makes every figure worth less: rows that could not be used, repeated rows, scores that are likely misnamed,
  a model that answers otherwise when asked again;
- a label that is a name and none of the plan's classes has a line of its own, however few its rows are;
- what nobody can know from this call is said there too: without labels, or without another model;
- a figure of a part of the rows, or of one degree of damage, stands in the result and not here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]
_COMPARED = ("comparison-parent", "comparison-incumbent", "comparison-first")
_MORE = re.compile(r"and ([0-9]+) more")
"""The last entry where more rows are broken than are named (`Rows.record`)."""
_ON_TOP = ("_difference", "smallest_detectable_loss")
_WORST, _GAP, _REPEAT = "worst_slice_difference", "_gap_change", "repeat_difference_max"
_RUNS, _APART = "generated_runs", "generated_apart"


def words_of(document: Document) -> list[str]:
    """Lines for a person, from the content of a RESULT.json."""
    entries = [(entry["document"], entry["plain"]) for entry in document["evidence"]]
    compared = [line for kind, lines in entries for line in _on_top(kind, lines)]
    top = [
        *_by_budget(document),
        *_unchanged(document),
        *_without_rows(document),
        *_left_out(document),
        *_unlisted(document),
        *_doubts(document),
        *compared,
        *_not_known(document),
    ]
    rest = [line for kind, lines in entries for line in _section(kind, lines)]
    if not top:
        return rest
    return ["In short", *(f"  {line}" for line in top), "", *rest]


def _on_top(document: Document, plain: Sequence[str]) -> Iterator[str]:
    for figure, line in zip(document["figures"], plain, strict=True):
        if _is_for_the_top(document["kind"], figure["metric"], is_whole=not figure["slice"]):
            yield line


def _is_for_the_top(kind: str, metric: str, *, is_whole: bool) -> bool:
    if metric.endswith(_REPEAT):
        return True
    if kind == "fairness":
        return metric.endswith(_GAP)
    return kind in _COMPARED and (metric == _WORST or (is_whole and metric.endswith(_ON_TOP)))


def _by_budget(document: Document) -> Iterator[str]:
    """That a budget ended the work: what was made is not what was asked for."""
    ended = (document.get("budget") or {}).get("ended")
    if ended is not None:
        yield f"{ended['plain']} The child is the model after step {len(document['steps'])}."


def _unchanged(document: Document) -> Iterator[str]:
    """Steps that trained and found nothing better."""
    for number, step in enumerate(document["steps"], start=1):
        if not step["changed"]:
            reasons = "; ".join(dict.fromkeys(str(entry["reason"]) for entry in step["left"]))
            yield f"Step {number} ({step['method']}) changed nothing: {reasons}."


def _without_rows(document: Document) -> Iterator[str]:
    """What a child that no rows were given for is not, or is not known to be."""
    for entry in document["evidence"]:
        if entry["document"]["kind"] != "structure":
            continue
        for figure, line in zip(entry["document"]["figures"], entry["plain"], strict=True):
            if figure["metric"] == _APART and figure["value"] != "0":
                yield line
            if figure["metric"] == _RUNS and figure["value"] is None:
                yield f"{line} Nobody knows what it answers."


def _left_out(document: Document) -> Iterator[str]:
    """How many rows could not be used, and why the first of them could not."""
    for data in document["data"]:
        if data["broken"]:
            more = _MORE.fullmatch(data["broken"][-1])
            count = len(data["broken"]) + (int(more[1]) - 1 if more else 0)
            of = f"{count:,} of {count + data['rows']:,} {data['role']} rows"
            yield f"{of} could not be used and count nowhere: {data['broken'][0]}."


def _unlisted(document: Document) -> Iterator[str]:
    """Labels that the plan's classes do not hold: a class by another name is left out as a whole, and is not missed."""
    for data in document["data"]:
        for entry in data.get("unlisted_labels", ()):
            rows = f"{entry['rows']:,} row{'' if entry['rows'] == 1 else 's'}"
            yield f"label {entry['label']!r}: {rows}, is none of the plan's classes."


def _doubts(document: Document) -> Iterator[str]:
    """What the environments of the evidence say about all figures, each once."""
    facts = {fact["name"]: fact["value"] for entry in document["evidence"] for fact in entry["document"]["environment"]}
    if "distinct_rows" in facts:
        total = next(entry["rows"] for entry in document["data"] if entry["role"] == "evaluation")
        distinct = int(facts["distinct_rows"])
        only = "Only " if 2 * distinct < total else ""
        rest = "repeats one of these, and every n, interval and p-value counts it again"
        yield f"{only}{distinct:,} of {total:,} rows {'is' if distinct == 1 else 'are'} distinct: each other one {rest}."
    if "scores_doubted" in facts:
        yield (
            "The plan calls the scores logits, and all of them lie in 0..1: every row is then taken for the second class. "
            'If they are probabilities, write "scores": "probabilities" and evaluate again.'
        )


def _not_known(document: Document) -> Iterator[str]:
    plan = document["plan"]
    if document["command"] != "evaluate" or plan is None:
        return
    if plan["task"] != "none" and plan["label"] is None:
        yield "The plan names no label: nothing here says how many answers are right, only which are the same."
    if document["parent"] is None and not document["others"]:
        yield "No other model was given (--parent, --incumbent, --first): nothing here says what was lost."


def _section(document: Document, plain: Sequence[str]) -> Iterator[str]:
    whole = [line for figure, line in zip(document["figures"], plain, strict=True) if not figure["slice"]]
    parts = len(document["figures"]) - len(whole)
    more = f" ({parts} figures of parts stand in the result)" if parts else ""
    yield f"{document['kind']}{more}"
    yield from (f"  {line}" for line in dict.fromkeys(whole))

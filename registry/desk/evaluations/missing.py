"""What an evaluation did not measure, and what it would have needed; what it tried and could not, with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from registry.desk.evaluations.record import WHO, Record
from registry.desk.figures import where_of, where_text
from registry.desk.metrics import kind_name, name_of, other_of

_LISTED = 40
_NO_LABELS = "the plan names no column of labels, so nobody knows which answers are right"
_NEEDS_LABELS = ("quality", "calibration", "comparison-parent", "comparison-incumbent", "comparison-first", "fairness")
_NEEDS = {
    "quality": "it needs a plan that names the task and the column of labels",
    "comparison-parent": "it needs a parent whose bytes are here",
    "comparison-incumbent": "no alias of this model serves another version",
    "comparison-first": "no other version of this model was ever approved",
    "fairness": "the plan names no protected columns",
    "calibration": "it needs a classifier with probabilities or logits",
    "robustness": "the plan says no modality, or the rows are of none that can be corrupted",
    "out-of-distribution": "no data of another kind was given",
    "invariance": "it needs a model that runs here, and rows that it can be asked for again",
    "timing": "the run asked for no timing",
    "memory": "the run asked for no memory",
    "energy": "neither a counter of the machine nor a sheet to estimate from was at hand",
    "cost": "no price sheet was given",
}


_ASKED_AS = {"invariance": "fidelity"}
"""The measure of a plan that brings a kind of another name."""
_BESIDE = {
    "incumbent": ("fairness", "calibration", "robustness", "out-of-distribution", "fidelity"),
    "first": ("fairness", "calibration", "fidelity"),
}
"""What is asked of which other model as well: damaged and foreign rows are not run for the first, to spare the time."""


@dataclass(frozen=True)
class Missing:
    """A question that stays open."""

    what: str
    why: str


def missing_of(record: Record) -> Sequence[Missing]:
    """Kinds that are not there, then figures without a value."""
    kinds = [Missing(kind_name(kind), _why(record, kind)) for kind in _NEEDS if kind not in record.kinds]
    return [*kinds, *_not_beside(record), *_without_value(record)]


def _not_beside(record: Record) -> list[Missing]:
    """What was measured of the version and the parent, and not beside another model that stood there too."""
    found = []
    for role, asked in _BESIDE.items():
        digest = record.subject(role)
        if digest and digest != record.subject("parent"):
            missing = (k for k in asked if k in record.kinds and f"{k}-{role}" not in record.kinds)
            found += [Missing(kind_name(f"{k}-{role}"), f"the run did not ask it of {WHO[role]}") for k in missing]
    return found


def _why(record: Record, kind: str) -> str:
    plan = record.plan
    if plan is None and not record.plan_digest:
        return "the run had no plan" + ("" if kind not in _NEEDS_LABELS else ", so it knew no labels")
    if plan is not None:
        asked = plan.get("measures") or []
        if asked and _ASKED_AS.get(kind, kind).partition("-")[0] not in {str(name).partition("-")[0] for name in asked}:
            return "the plan did not ask for it"
        if kind in _NEEDS_LABELS and not plan.get("label"):
            return _NO_LABELS
    return _NEEDS[kind]


def _without_value(record: Record) -> list[Missing]:
    found = []
    for document in record.documents:
        for figure in document.figures:
            if figure["value"] is None:
                where = where_text(where_of(figure))
                what = f"{kind_name(document.row.kind)}: {name_of(figure['metric'], other_of(document.row.kind))}" + (
                    f" ({where})" if where else ""
                )
                found.append(Missing(what, figure["reason"] or "no reason was given"))
    left = len(found) - _LISTED
    return found[:_LISTED] + ([Missing(f"{left} more figures", "see the documents")] if left > 0 else [])

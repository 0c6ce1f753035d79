"""The checks of a gate that read what people left beside a release: findings, documents, reviews, recalls.

Rules:
- a finding counts until somebody closed it: accepted or fixed is not closed; for a roll-back those about the emergencies of the
  same alias, and about recalls of what it served, do not count, for it is the way out of them;
- a review counts for exactly the state that it names; a later one of its kind takes its place, and after the day of the next
  review it counts no longer;
- what is asked of each dataset is asked of data outside of this registry too, about which nothing can be kept here; a lineage that
  names no dataset has nothing that anybody could have looked at, and blocks;
- a version in quarantine is refused under every policy, waived or not; `not_recalled` refuses it after its release as well.
No Django, no clock, no reading.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from registry.release.gate_facts import DatasetInput, DocumentInput, Finding, GateInputs, OpenFindingInput, ReviewInput


def open_findings(parameters: Mapping[str, Any], inputs: GateInputs) -> Finding:
    kinds = parameters["kinds"]
    named = [f for f in inputs.findings if not kinds or f.kind in kinds]
    counted = [f for f in named if not f.left_behind]
    which = f" of kind {' or '.join(repr(k) for k in kinds)}" if kinds else ""
    if named and not counted:
        count = f"{len(named)} open findings{which} are" if len(named) > 1 else f"An open finding{which} is"
        return Finding(True, f"{count} about what this alias leaves by going back, and there is no other.")
    if not counted:
        return Finding(True, f"No finding{which} about the model is open.")
    oldest = min(counted, key=lambda f: (f.due_on, f.id))
    many = f"{len(counted)} findings{which} are" if len(counted) > 1 else f"A finding{which} is"
    return Finding(False, f"{many} not closed: {_told(oldest, inputs.at.date())}.")


def _told(finding: OpenFindingInput, today: datetime.date) -> str:
    when = "was due" if finding.due_on < today else "is due"
    return f"{finding.id} about {finding.subject} {when} on {finding.due_on.isoformat()}"


def document_attached(parameters: Mapping[str, Any], inputs: GateInputs) -> Finding:
    kind = parameters["kind"]
    if parameters.get("of", "release") == "each_dataset":
        return _each_dataset(inputs, lambda d: _document(d.documents, kind, d.reference), f"a document '{kind}'")
    return _document(inputs.documents, kind, "the version, its model or its use case")


def _document(documents: Sequence[DocumentInput], kind: str, about: str) -> Finding:
    found = [d.digest for d in documents if d.kind == kind]
    if not found:
        return Finding(False, f"No document of kind '{kind}' is kept about {about}.")
    return Finding(True, f"A document of kind '{kind}' is kept about {about}.", (found[0],))


def review_in_force(parameters: Mapping[str, Any], inputs: GateInputs) -> Finding:
    kind, at = parameters["kind"], inputs.at
    if parameters["of"] == "each_dataset":
        return _each_dataset(
            inputs, lambda d: _review(d.reviews, kind, d.reference, at), f"an accepted review '{kind}'"
        )
    return _review(inputs.reviews, kind, "this state of the version", at)


def _review(reviews: Sequence[ReviewInput], kind: str, about: str, at: datetime.datetime) -> Finding:
    of_kind = [r for r in reviews if r.kind == kind]
    if not of_kind:
        return Finding(False, f"Nobody signed a review of kind '{kind}' of {about}.")
    newest = max(of_kind, key=lambda r: r.reviewed_at)
    day = newest.reviewed_at.date().isoformat()
    if not newest.accepted:
        return Finding(False, f"The review of kind '{kind}' of {about}, signed on {day}, does not accept it.")
    if newest.corrected_at is not None and newest.corrected_at >= newest.reviewed_at:
        said = f"The review of kind '{kind}' of {about}, signed on {day}, speaks of what was corrected since"
        return Finding(False, f"{said}: have it reviewed again.")
    if newest.next_on is not None and newest.next_on < at.date():
        due = newest.next_on.isoformat()
        return Finding(False, f"The review of kind '{kind}' of {about} is overdue: the next one was due on {due}.")
    return Finding(True, f"A review of kind '{kind}' accepted {about} on {day}.")


def _each_dataset(inputs: GateInputs, ask: Callable[[DatasetInput], Finding], what: str) -> Finding:
    """One answer for all datasets of the lineage: the first that does not hold, else that all do."""
    if not inputs.datasets:
        return Finding(
            False, f"The lineage names no dataset, so there is nothing that has {what}. Say what it was made with."
        )
    digests = tuple(d.digest for d in inputs.datasets)
    for dataset in inputs.datasets:
        found = ask(dataset)
        if not found.holds:
            return Finding(False, found.reason, digests)
    count = len(inputs.datasets)
    which = "The dataset" if count == 1 else f"Each of the {count} datasets"
    return Finding(True, f"{which} of the lineage has {what}.", digests)


def not_recalled(parameters: Mapping[str, Any], inputs: GateInputs) -> Finding:
    if not inputs.recalls:
        return Finding(True, "Nothing that the version is or was made from is recalled.")
    first = min(inputs.recalls, key=lambda r: (not r.stops, r.recalled_at, r.subject))
    since = first.recalled_at.date().isoformat()
    more = f" {len(inputs.recalls)} recalls concern it." if len(inputs.recalls) > 1 else ""
    state = "it is in quarantine" if first.stops else "its quarantine was lifted, but the recall stands"
    return Finding(False, f"{first.subject} was recalled on {since}; {state}.{more}")


def quarantined(inputs: GateInputs) -> bool:
    """Whether a recall stops the version: no policy and no waiver lets it pass then."""
    return any(r.stops for r in inputs.recalls)

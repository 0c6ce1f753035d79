"""Facts about the rows that a model was made, judged or watched with: were they looked at, by the engine and by people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from audit.facts.base import FAILS, PARTIAL, PASSES, STALE, Fact, FactSpec, count_of, inputs_of, missing
from audit.facts.case import Case
from audit.snapshots import Record


def data_profiled(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """The engine counted missing values, repeats, conflicting labels and outliers in each dataset whose bytes are here."""
    versions = [v for v in case.dataset_versions if v.row["source"] == "measured"]
    if not versions:
        return missing("No dataset whose bytes are here is recorded, so none could be profiled.")
    profiles = [case.profile_of(v) for v in versions]
    found = [p for p in profiles if p is not None]
    value = f"{len(found)} of {len(versions)} profiled"
    if not found:
        return missing("No dataset of the model was profiled.", value)
    if len(found) < len(versions):
        return Fact(PARTIAL, f"{value}; the quality of the others is not known.", value, inputs_of(found))
    sentence = "Each dataset was profiled: missing values, repeats, conflicting labels, balance, outliers."
    return Fact(PASSES, sentence, value, inputs_of(found))


def data_vetted(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """A named person looked at each dataset as it is stated now, accepted it, and the day of the next look has not passed."""
    versions = case.dataset_versions
    if not versions:
        return missing("No dataset is recorded, so nobody could vet one.")
    newest = {v.id: reviews[-1] for v in versions if (reviews := case.reviews_of(v))}
    value = f"{len(newest)} of {len(versions)} vetted"
    refused = [r for r in newest.values() if not r.row["accepted"]]
    if refused:
        sentence = f"{count_of(len(refused), 'dataset version')} was looked at by a person and not accepted."
        return Fact(FAILS, sentence, "not accepted", inputs_of(refused))
    if not newest:
        return missing("Nobody has vetted the datasets.", value)
    before = [r for key, r in newest.items() if r.position < case.corrected_at(key)]
    if before:
        told = count_of(len(before), "dataset version")
        sentence = f"What is said about {told} was corrected after the vetting; somebody has to look again."
        return Fact(STALE, sentence, "corrected since", inputs_of(before))
    late = [r for r in newest.values() if r.row["next_on"] is not None and str(r.row["next_on"]) < case.now[:10]]
    if late:
        sentence = f"The vetting of {count_of(len(late), 'dataset version')} is due again."
        return Fact(STALE, sentence, "due again", inputs_of(late), _due(late))
    if len(newest) < len(versions):
        return Fact(PARTIAL, f"{value} by a named person.", value, inputs_of(newest.values()))
    sentence = "Each dataset was vetted by a named person on a recorded day."
    return Fact(PASSES, sentence, value, inputs_of(newest.values()), _due(newest.values()))


def _due(reviews: Iterable[Record]) -> str | None:
    """When the first of the next looks is due; None where no day was set."""
    days = [str(review.row["next_on"]) for review in reviews if review.row["next_on"] is not None]
    return f"{min(days)}T23:59:59.999999Z" if days else None


FACTS = [
    FactSpec("data_profiled", "quality of the rows, measured", data_profiled, {}),
    FactSpec("data_vetted", "datasets vetted by people", data_vetted, {}),
]

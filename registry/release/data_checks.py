"""The checks of a gate that read what was found in the rows of datasets: their quality, and whether tests were learned by heart.

Rules:
- the newest finished profile of a dataset version decides; a dataset without one, or without the figure, blocks;
- no dataset of the use that a rule asks about blocks as well: nothing shows then that the data is good;
- a share of contamination is the rows of an evaluation dataset that stand in any training or calibration dataset of the lineage.
  Of several of these the counts are added up, so that rows which stand in two count twice and the share is never told too small;
- the rows that count are those of the newest measured evidence of each kind, by which gates go, or the ones that the rule names;
- a pair that was never compared blocks, as does evaluation data without a profile, or a measurement that names no rows.
No Django, no clock, no reading.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from registry.digests import is_decimal
from registry.release.evidence_choice import of_rows
from registry.release.gate_facts import DatasetInput, EvidenceInput, Finding, GateInputs, OverlapInput

_LEARNED_FROM = {"training", "calibration"}


def data_quality(parameters: Mapping[str, Any], inputs: GateInputs) -> Finding:
    use = parameters["use"]
    asked = _of_use(use, inputs)
    what = "dataset" if use == "any" else f"{use} dataset"
    if not asked:
        return Finding(False, f"No {what} of the version is known, so nothing shows how good its rows are.")
    digests: list[str] = []
    for dataset in asked:
        found = _quality(parameters, dataset)
        digests += [dataset.digest, *found.inputs]
        if not found.holds:
            return Finding(False, found.reason, tuple(digests))
    if len(asked) == 1:
        return Finding(True, found.reason, tuple(digests))
    return Finding(True, f"'{parameters['metric']}' keeps its limit in all {len(asked)} datasets.", tuple(digests))


def _quality(parameters: Mapping[str, Any], dataset: DatasetInput) -> Finding:
    metric, profile = parameters["metric"], dataset.profile
    if profile is None:
        return Finding(False, f"The rows of {dataset.reference} were not profiled, so '{metric}' is not known.")
    value = profile.figures.get(metric)
    inputs = (profile.digest,)
    if value is None or not is_decimal(value):
        return Finding(False, f"The profile of {dataset.reference} holds no value of '{metric}'.", inputs)
    if profile.rows < parameters.get("minimum_n", 0):
        few = f"The profile of {dataset.reference} rests on {profile.rows} rows; {parameters['minimum_n']} are asked."
        return Finding(False, few, inputs)
    limit, number = Decimal(parameters["limit"]), Decimal(value)
    at_least = parameters["comparator"] == "at_least"
    holds = number >= limit if at_least else number <= limit
    word = "at least" if at_least else "at most"
    said = f"'{metric}' of {dataset.reference} is {value} (n {profile.rows})"
    return Finding(holds, f"{said}; {word} {limit} is asked.", inputs)


def contamination(parameters: Mapping[str, Any], inputs: GateInputs) -> Finding:
    learned, judged_by = _learned_from(inputs), _judged_by(inputs)
    pinned = parameters.get("dataset_digest")
    blank = [] if pinned else [e for e in judged_by if not e.datasets]
    if blank:
        said = f"The newest evidence of kind '{blank[0].kind}' names no rows, so nothing shows that its tests are new to it."
        return Finding(False, said, (blank[0].digest,))
    tested = _tested_on({pinned} if pinned else {d for e in judged_by for d in e.datasets}, inputs)
    if not tested:
        where = f" on the rows {pinned[:19]} that the rule names" if pinned else " on rows that are named"
        return Finding(False, f"Nothing was measured{where}, so nothing shows that its tests are new to it.")
    if not learned:
        return Finding(False, "No training or calibration data is recorded, so overlap with it cannot be ruled out.")
    digests = [d.digest for d in [*tested, *learned]]
    limit, worst = Decimal(parameters["limit"]), (Decimal(-1), "")
    for dataset in tested:
        share, said, profile = _share(dataset, learned, copies=parameters.get("copies", "exact"))
        digests += [profile] if profile else []
        if share is None:
            return Finding(False, said, tuple(dict.fromkeys(digests)))
        worst = max(worst, (share, said))
    return Finding(worst[0] <= limit, f"{worst[1]}; at most {limit} is asked.", tuple(dict.fromkeys(digests)))


def _judged_by(inputs: GateInputs) -> list[EvidenceInput]:
    """The newest measured evidence of each kind that rests on rows: what the other rules go by."""
    mine = [e for e in inputs.evidence if e.source == "measured" and e.version_digest == inputs.version_digest]
    newest: dict[str, EvidenceInput] = {}
    for evidence in sorted(mine, key=lambda e: (e.created_at, e.digest)):
        if of_rows(evidence.kind):
            newest[evidence.kind] = evidence
    return [newest[kind] for kind in sorted(newest)]


def _tested_on(named: Collection[str], inputs: GateInputs) -> list[DatasetInput]:
    """The data of these digests that evidence is about, sorted by digest."""
    return sorted((d for d in inputs.evaluation_data if d.digest in named), key=lambda d: d.digest)


def _share(dataset: DatasetInput, learned: list[DatasetInput], *, copies: str) -> tuple[Decimal | None, str, str]:
    """The share of the rows that were learned from, in words, and the digest of the profile; None where it is not known."""
    profile = dataset.profile
    if profile is None:
        return None, f"The rows of {dataset.reference} were not compared with what the version learned from.", ""
    if profile.rows == 0:
        return None, f"The profile of {dataset.reference} counts no rows.", profile.digest
    compared = {o.other_digest: o for o in profile.overlaps}
    found = 0
    for other in learned:
        if other.digest == dataset.digest:
            whole = f"{dataset.reference} is itself training or calibration data: all {profile.rows} rows of it"
            return Decimal(1), whole, profile.digest
        overlap = compared.get(other.digest)
        if overlap is None:
            return None, f"The rows of {dataset.reference} were never compared with {other.reference}.", profile.digest
        found += _copied(overlap, copies)
    found = min(found, profile.rows)
    share = Decimal(found) / Decimal(profile.rows)
    which = _STAND[copies]
    said = f"{found} of {profile.rows} rows of {dataset.reference} {which} in training or calibration data"
    return share, f"{said} (share {_short(share)})", profile.digest


_STAND = {
    "exact": "stand", "near": "stand, or nearly stand,",
    "without_identifiers": "stand, but for columns that only number or name them,",
}  # fmt: skip


def _copied(overlap: OverlapInput, copies: str) -> int:
    if copies == "near":
        return overlap.exact_rows + overlap.near_rows
    bare = overlap.rows_without_identifiers if copies == "without_identifiers" else None
    # where no column only names rows, the same rows are all that there are
    return overlap.exact_rows if bare is None else max(bare, overlap.exact_rows)


def _short(share: Decimal) -> str:
    text = f"{share:.4f}".rstrip("0").rstrip(".")
    return text if Decimal(text) > 0 or share == 0 else "less than 0.0001"


def _learned_from(inputs: GateInputs) -> list[DatasetInput]:
    """Every dataset of the lineage but those that are for evaluation or baseline alone: unknown use may well be training."""
    return [d for d in inputs.datasets if not d.uses or set(d.uses) & _LEARNED_FROM]


def _of_use(use: str, inputs: GateInputs) -> list[DatasetInput]:
    every = {d.digest: d for d in [*inputs.datasets, *inputs.evaluation_data]}
    if use == "any":
        return list(every.values())
    if use == "evaluation":
        found = {d.digest: d for d in [*inputs.evaluation_data, *(d for d in inputs.datasets if use in d.uses)]}
        return list(found.values())
    return [d for d in inputs.datasets if use in d.uses or not d.uses]

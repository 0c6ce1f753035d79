"""The checks of a gate that read what was found in the rows of datasets: their quality, and whether tests were learned by heart.

Rules:
- the newest finished profile of a dataset version decides; a dataset without one, or without the figure, blocks;
- no dataset of the use that a rule asks about blocks as well: nothing shows then that the data is good;
- a share of contamination is the rows of an evaluation dataset that stand in any training or calibration dataset of the lineage.
  Of several of these the counts are added up, so that rows which stand in two count twice and the share is never told too small;
- the rows that count are those of the newest measured evidence of each kind, by which gates go, or the ones that the rule names;
- where one file of several was judged by, its own rows count: a clean rest of the data does not thin out what stands in it;
- a pair that was never compared blocks, as does evaluation data without a profile, or a measurement that names no rows.
No Django, no clock, no reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    tested = _tested_on(inputs.evidence if pinned else judged_by, pinned, inputs)
    if not tested:
        where = f" on the rows {pinned[:19]} that the rule names" if pinned else " on rows that are named"
        return Finding(False, f"Nothing was measured{where}, so nothing shows that its tests are new to it.")
    if not learned:
        return Finding(False, "No training or calibration data is recorded, so overlap with it cannot be ruled out.")
    digests = [*(read for pair in tested for read in _digests(pair)), *(d.digest for d in learned)]
    limit, worst = Decimal(parameters["limit"]), (Decimal(-1), "")
    for dataset, file in tested:
        share, said, profile = _share(dataset, file, learned, copies=parameters.get("copies", "exact"))
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


def _tested_on(
    evidence: Iterable[EvidenceInput], pinned: str | None, inputs: GateInputs
) -> list[tuple[DatasetInput, str | None]]:
    """The data that measured evidence is about, each with the file of it that was read (None: all), sorted by digest."""
    known = {d.digest: d for d in inputs.evaluation_data}
    pairs = {(d, e.files.get(d)) for e in evidence if e.source == "measured" for d in e.datasets if d in known}
    wanted = [pair for pair in pairs if pinned is None or (pair[1] or pair[0]) == pinned]
    return [(known[digest], file) for digest, file in sorted(wanted, key=lambda pair: (pair[0], pair[1] or ""))]


def _digests(pair: tuple[DatasetInput, str | None]) -> list[str]:
    return [pair[0].digest] if pair[1] is None else [pair[0].digest, pair[1]]


def _share(
    dataset: DatasetInput, file: str | None, learned: list[DatasetInput], *, copies: str
) -> tuple[Decimal | None, str, str]:
    """The share of the rows that were learned from, in words, and the digest of the profile; None where it is not known."""
    profile = dataset.profile
    if profile is None:
        return None, f"The rows of {dataset.reference} were not compared with what the version learned from.", ""
    rows = profile.rows if file is None else profile.files.get(file)
    name = dataset.reference if file is None else f"the file {file[:19]} of {dataset.reference}"
    if rows is None:
        return None, _not_apart(dataset.reference), profile.digest
    if rows == 0:
        return (
            None,
            f"The profile of {dataset.reference} counts no rows{'' if file is None else ' in ' + name}.",
            profile.digest,
        )
    compared = {o.other_digest: o for o in profile.overlaps}
    found = 0
    for other in learned:
        if other.digest in (dataset.digest, file):
            return Decimal(1), f"{name} is itself training or calibration data: all {rows} rows of it", profile.digest
        overlap = compared.get(other.digest)
        if overlap is None:
            return None, f"The rows of {dataset.reference} were never compared with {other.reference}.", profile.digest
        if file is not None and overlap.files is None:
            return None, _not_apart(dataset.reference), profile.digest
        of_file = overlap if file is None or overlap.files is None else overlap.files.get(file)
        found += 0 if of_file is None else _copied(of_file, copies)
    found = min(found, rows)
    share = Decimal(found) / Decimal(rows)
    said = f"{found} of {rows} rows of {name} {_STAND[copies]} in training or calibration data"
    return share, f"{said} (share {_short(share)})", profile.digest


def _not_apart(reference: str) -> str:
    return (
        f"One file of {reference} was judged by, and its profile does not tell the files apart: have its rows looked at again "
        "('pressmark profile-dataset')."
    )


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

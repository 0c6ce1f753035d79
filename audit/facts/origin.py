"""Facts about what a model is made from: licences, data, components, lineage, recipe. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.facts.base import FAILS, PARTIAL, PASSES, Fact, FactSpec, count_of, inputs_of, joined, missing
from audit.facts.case import Case
from audit.snapshots import Record

UNKNOWN_LICENCE = "LicenseRef-pressmark-unknown"
SAFE_FORMATS = ("onnx", "safetensors", "pt2")


def _licences(case: Case) -> dict[str, Record]:
    """Every licence that the judged versions, their lineage and their data carry."""
    carriers = [v for version in case.judged_versions for v in case.lineage(version)] + case.dataset_versions
    found = (case.licence_of(carrier) for carrier in carriers)
    return {licence.id: licence for licence in found if licence is not None}


def _unknown_terms(case: Case, licence: Record) -> list[str]:
    return sorted(name for name, term in case.terms_of(licence).items() if term["answer"] == "unknown")


def licences_known(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Each version, ancestor and dataset carries a licence whose terms are known."""
    licences = _licences(case)
    if not licences:
        return missing("No licence is recorded for the model.")
    names = {str(licence.row["expression"]) for licence in licences.values()}
    inputs = inputs_of(
        [*licences.values(), *(ruling for item in licences.values() for ruling in case.rulings_on(item))]
    )
    if UNKNOWN_LICENCE in names:
        return Fact(FAILS, "Something that the model is made from has an unknown licence.", "unknown", inputs)
    open_terms = {str(item.row["expression"]): _unknown_terms(case, item) for item in licences.values()}
    unclear = sorted(name for name, terms in open_terms.items() if terms)
    if unclear:
        sentence = f"All licences are named, but {joined(unclear)} leaves terms unknown."
        return Fact(PARTIAL, sentence, count_of(len(names), "licence"), inputs)
    sentence = f"{count_of(len(names), 'licence')} in the lineage, all with known terms: {joined(sorted(names), 6)}."
    return Fact(PASSES, sentence, count_of(len(names), "licence"), inputs)


def licence_gate_kept(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """The gate asked what the licences of the whole lineage allow, and what is live kept it."""
    results, verdicts = [], []
    for version in case.judged_versions:
        rules = [r for r in case.verdict_rules(version) if r["check"] == "terms" and r["answer"] != "not-applicable"]
        results += rules
        verdicts.append(case.verdict_of(version))
    if not results:
        return missing("No gate has asked what the licences of the lineage allow.")
    blocked = [r for r in results if r["answer"] == "blocked"]
    waived = [r for r in results if r["answer"] == "waived"]
    value = f"{len(results) - len(blocked)} of {len(results)} rules kept"
    if blocked:
        return Fact(FAILS, f"An unresolved licence conflict: {blocked[0]['reason']}", value, inputs_of(verdicts))
    if waived:
        sentence = f"{count_of(len(waived), 'licence rule')} kept by a waiver only."
        return Fact(PARTIAL, sentence, value, inputs_of(verdicts))
    sentence = f"{count_of(len(results), 'licence rule')} of the gate, all kept over the whole lineage."
    return Fact(PASSES, sentence, value, inputs_of(verdicts))


def data_recorded(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Datasets that the model met here are recorded with digest, licence, origin and uses."""
    versions = case.dataset_versions
    if not versions:
        return missing("No dataset is recorded for the model.")
    declared = [v for v in versions if v.row["source"] != "measured"]
    value = count_of(len(versions), "dataset version")
    if declared:
        sentence = f"{value} with origin and licence; the bytes of {len(declared)} are declared, not ours."
        return Fact(PARTIAL, sentence, value, inputs_of(versions))
    sentence = f"{value}, each with origin, licence, uses and the digest of its bytes."
    return Fact(PASSES, sentence, value, inputs_of(versions))


def training_data_known(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """It is known what the judged versions and their ancestors were trained on."""
    lineage = {v.id: v for version in case.judged_versions for v in case.lineage(version)}
    if not lineage:
        return missing("No version is registered.")
    answers = {case.training_data_of(v) for v in lineage.values()}
    if answers == {"complete"}:
        return Fact(
            PASSES, "What the model was trained on is recorded as complete.", "complete", inputs_of(lineage.values())
        )
    worst = "unknown" if "unknown" in answers else "incomplete"
    sentence = f"What the model was trained on is recorded as {worst}."
    return Fact(PARTIAL if worst == "incomplete" else FAILS, sentence, worst, inputs_of(lineage.values()))


def personal_data_answered(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Each dataset says whether it holds personal data, and where it does, that consent was given."""
    versions = case.dataset_versions
    if not versions:
        return missing("No dataset is recorded, so nothing is said about personal data.")
    flagged = [v for v in versions if v.row["personal_data"] == "yes" and v.row["consent"] != "yes"]
    if flagged:
        sentence = f"{count_of(len(flagged), 'dataset version')} with personal data and no recorded consent."
        return Fact(FAILS, sentence, "personal data", inputs_of(flagged))
    unknown = [v for v in versions if v.row["personal_data"] == "unknown"]
    value = f"{len(versions) - len(unknown)} of {len(versions)} answered"
    if unknown:
        sentence = f"Whether {count_of(len(unknown), 'dataset version')} holds personal data is unknown."
        return Fact(PARTIAL, sentence, value, inputs_of(versions))
    return Fact(PASSES, "Every dataset says whether it holds personal data.", value, inputs_of(versions))


def components_listed(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Every file of the judged versions is listed with role, size and digest."""
    ids = {v.id for v in case.judged_versions}
    files = [a for a in case.snapshot.all("catalog.artifact") if a.row["version_id"] in ids]
    if not files:
        return missing("No file of the model is listed.")
    sentence = f"{count_of(len(files), 'file')} listed by role, size and digest."
    return Fact(PASSES, sentence, count_of(len(files), "file"), inputs_of(case.judged_versions))


def safe_format(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """The weights are in a format that cannot run code, and its structure was read before it was accepted."""
    if not case.judged_versions:
        return missing("No version is registered.")
    formats = {str(v.row["format"]) for v in case.judged_versions}
    inputs = inputs_of(case.judged_versions)
    if not formats <= set(SAFE_FORMATS):
        return Fact(FAILS, f"A live version is in the format {joined(sorted(formats))}.", "unsafe", inputs)
    sentence = f"Weights are {joined(sorted(formats))}, checked by structure at registration; nothing is unpickled."
    return Fact(PASSES, sentence, joined(sorted(formats)), inputs)


def lineage_recorded(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Each derived version names its parents by digest, and our own engine made the edge."""
    derived = [v for v in case.versions if v.row["origin"] == "derived"]
    if not derived:
        return missing("No version of the model was derived here.")
    edges = [e for v in derived for e in case.edges(v) if e.row["role"] != "data"]
    orphans = [v for v in derived if not any(e.row["role"] != "data" for e in case.edges(v))]
    if orphans:
        return Fact(
            FAILS, f"{case.title(orphans[0])} was derived, but names no parent.", "no parent", inputs_of(orphans)
        )
    declared = [e for e in edges if e.row["grade"] == "declared"]
    value = f"{len(edges) - len(declared)} of {len(edges)} executed"
    if declared:
        sentence = f"{count_of(len(declared), 'edge')} of the lineage is declared only."
        return Fact(PARTIAL, sentence, value, inputs_of([*derived, *edges]))
    sentence = (
        f"{count_of(len(derived), 'derived version')}: every parent named by digest, every step run by our engine."
    )
    return Fact(PASSES, sentence, value, inputs_of([*derived, *edges]))


def bases_watched(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """The pre-trained bases stand in the registry by digest and the behaviour of a child is compared with its parent."""
    derived = [v for v in case.versions if v.row["origin"] == "derived"]
    if not derived:
        return missing("No version rests on a pre-trained base that is recorded here.")
    compared = [v for v in derived if any(e.is_measured for e in case.evidence(v, "fidelity", "distribution"))]
    value = f"{len(compared)} of {len(derived)} compared"
    records = [*derived, *(e for v in derived for e in case.edges(v))]
    if len(compared) < len(derived):
        sentence = f"{value} derived versions were measured against their parent."
        return Fact(PARTIAL, sentence, value, inputs_of(records))
    sentence = f"Every derived version names its base by digest and was measured against it ({value})."
    return Fact(PASSES, sentence, value, inputs_of(records))


def recipe_recorded(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """For each derived version: recipe, parent, data, seed and engine version of the run that made it."""
    derived = [v for v in case.versions if v.row["origin"] == "derived"]
    if not derived:
        return missing("No version was made by a recorded recipe.")
    runs = [case.run_of(v) for v in derived]
    known = [r for r in runs if r is not None and r.row["recipe_id"] and r.row["engine_version"]]
    value = f"{len(known)} of {len(derived)} runs"
    recipes = [case.snapshot.get("compression.recipe", str(r.row["recipe_id"])) for r in known]
    inputs = inputs_of([*derived, *runs, *recipes])
    if len(known) < len(derived):
        return Fact(PARTIAL, f"Recipe and engine are recorded for {value}.", value, inputs)
    sentence = f"{value}: recipe, parent, data, seed and engine version are recorded."
    return Fact(PASSES, sentence, value, inputs)


FACTS = [
    FactSpec("licences_known", "licences over the lineage", licences_known, {}),
    FactSpec("licence_gate_kept", "licence rules of the gate", licence_gate_kept, {}),
    FactSpec("data_recorded", "datasets by digest, licence, origin", data_recorded, {}),
    FactSpec("training_data_known", "what it was trained on", training_data_known, {}),
    FactSpec("personal_data_answered", "personal data per dataset", personal_data_answered, {}),
    FactSpec("components_listed", "files by digest", components_listed, {}),
    FactSpec("safe_format", "no format that runs code", safe_format, {}),
    FactSpec("lineage_recorded", "parents by digest, steps executed", lineage_recorded, {}),
    FactSpec("bases_watched", "children measured against their base", bases_watched, {}),
    FactSpec("recipe_recorded", "recipe and environment of each run", recipe_recorded, {}),
]

"""Facts about how a model was measured: on exactly its digest, with counts and intervals, within limits, at what cost. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.facts.base import (
    FAILS,
    PARTIAL,
    PASSES,
    STALE,
    Fact,
    FactSpec,
    after_days,
    count_of,
    inputs_of,
    joined,
    missing,
)
from audit.facts.case import Case, Measured
from audit.snapshots import Record

_BEHAVIOUR = ("fidelity", "outputs", "quality")
SEEN_ROWS, ENERGY_SOURCE = "seen_rows", "energy_source"
"""Facts of the environment: rows that the version was made with; counters or an estimate."""
_COST = ("size", "timing", "memory")


def _taken(case: Case, version: Record) -> list[Measured]:
    """What the engine measured; the structure that is read at registration is a check, not a measurement."""
    return [e for e in case.evidence(version) if e.is_measured and e.kind != "structure"]


def _behaviour(case: Case, version: Record) -> list[Measured]:
    return [e for e in case.evidence(version, *_BEHAVIOUR) if e.is_measured]


def _fact(evidence: Measured, name: str) -> str | None:
    """What the environment of a document says."""
    return next((str(f["value"]) for f in evidence.document["environment"] if f["name"] == name), None)


def evaluation_recorded(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Measured evidence names the exact digest, the method with its version, the environment and the seed."""
    if not case.judged_versions:
        return missing("No version is registered.")
    without = [v for v in case.judged_versions if not _behaviour(case, v)]
    used = [e for v in case.judged_versions for e in _taken(case, v)]
    if not used:
        return missing("Nothing was measured on the digest of the judged version.")
    if without:
        sentence = f"{joined(case.title(v) for v in without)} has no measured evidence of its behaviour."
        return Fact(PARTIAL, sentence, count_of(len(used), "document"), inputs_of(e.record for e in used))
    bare = [e for e in used if not e.document["environment"] or not e.document["method"]["version"]]
    value = count_of(len(used), "document")
    if bare:
        sentence = f"{count_of(len(bare), 'evidence document')} without environment or method version."
        return Fact(PARTIAL, sentence, value, inputs_of(e.record for e in used))
    sentence = f"{value} of measured evidence, each with method, version, environment and seed."
    return Fact(PASSES, sentence, value, inputs_of(e.record for e in used))


def evaluation_of_live_digest(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """What is served is exactly what was evaluated, and recently enough."""
    limit = int(parameters["max_age_days"])
    if not case.live:
        return missing("Nothing is live.")
    newest: list[Measured] = []
    for live in case.live:
        own = _behaviour(case, live.version)
        if not own:
            sentence = f"{case.title(live.version)} is live, but its digest was never evaluated."
            return Fact(FAILS, sentence, "not evaluated", inputs_of([live.version]))
        newest.append(own[0])
    inputs = inputs_of([live.version for live in case.live] + [e.record for e in newest])
    expires = min(after_days(e.record.first_at, limit) for e in newest)
    if expires <= case.now:
        return Fact(STALE, f"The newest evaluation of a live version is over {limit} days old.", "old", inputs, expires)
    sentence = "Each live version was evaluated on exactly the digest that is served."
    return Fact(PASSES, sentence, count_of(len(newest), "evaluation"), inputs, expires)


def figures_have_intervals(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Measured figures of behaviour say how many rows they rest on and how uncertain they are."""
    evidence = [e for v in case.judged_versions for e in _behaviour(case, v)]
    figures = [f for e in evidence for f in e.figures if f["value"] is not None]
    if not figures:
        return missing("No measured figure of behaviour is recorded.")
    counted = [f for f in figures if f["n"]]
    bounded = [f for f in figures if f["n"] and (f["low"] is not None or f["high"] is not None)]
    value = f"{len(bounded)} of {len(figures)} with interval"
    inputs = inputs_of(e.record for e in evidence)
    if len(bounded) < len(figures):
        sentence = f"{len(counted)} of {len(figures)} figures say their n, {len(bounded)} an interval."
        return Fact(PARTIAL, sentence, value, inputs)
    return Fact(PASSES, f"All {len(figures)} figures say their n and an interval.", value, inputs)


def limits_met(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """The numeric limits of the policy hold for the judged versions, at the end of the interval that the policy names."""
    kinds = tuple(parameters["kinds"])
    verdicts: list[Record | None] = []
    rules: list[Mapping[str, Any]] = []
    for version in case.judged_versions:
        own = [r for r in case.verdict_rules(version) if r["check"] == "figure" and r["answer"] != "not-applicable"]
        rules += [r for r in own if not kinds or r["parameters"].get("kind") in kinds]
        verdicts.append(case.verdict_of(version))
    if not rules:
        return missing("No gate has held a measured figure of the judged version against a limit.")
    blocked = [r for r in rules if r["answer"] == "blocked"]
    waived = [r for r in rules if r["answer"] == "waived"]
    value = f"{len(rules) - len(blocked) - len(waived)} of {len(rules)} limits kept"
    if blocked:
        return Fact(FAILS, f"A limit is not kept: {blocked[0]['reason']}", value, inputs_of(verdicts))
    if waived:
        return Fact(PARTIAL, f"{count_of(len(waived), 'limit')} excused by a waiver.", value, inputs_of(verdicts))
    return Fact(PASSES, f"{count_of(len(rules), 'limit')} of the policy, all kept.", value, inputs_of(verdicts))


def data_kept_apart(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """No run was evaluated on the bytes that it was calibrated on or trained with; no evidence rests on rows that were seen."""
    runs = [r for r in case.snapshot.all("compression.run") if r.row["state"] == "succeeded"]
    if not runs:
        return missing("No run has succeeded, so no test data were used.")
    digests = {d.id: str(d.row["digest"]) for d in case.dataset_versions}
    for run in runs:
        judged = digests.get(str(run.row["evaluation_id"]))
        for use in ("calibration", "training"):
            if judged is not None and digests.get(str(run.row.get(f"{use}_id"))) == judged:
                return Fact(FAILS, f"A run was evaluated on its own {use} data.", "leak", inputs_of([run]))
    seen = [e for v in case.judged_versions for e in _taken(case, v) if _fact(e, SEEN_ROWS) not in (None, "0")]
    if seen:
        sentence = "Evidence of a judged version was taken on rows that it was made with, and is marked so."
        return Fact(PARTIAL, sentence, "seen rows", inputs_of(e.record for e in seen))
    sentence = f"{count_of(len(runs), 'run')}: evaluation data are never the calibration or training data."
    return Fact(PASSES, sentence, count_of(len(runs), "run"), inputs_of(runs))


def cost_measured(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Energy of the run and of an inference; time and memory alone are only a part of it."""
    derived = [v for v in case.versions if v.row["origin"] == "derived"]
    looked_at = {v.id: v for v in [*case.judged_versions, *derived]}
    evidence = [e for v in looked_at.values() for e in _taken(case, v)]
    energy = [e for e in evidence if any(f["metric"].startswith("energy_") and f["value"] for f in e.figures)]
    if energy:
        inputs = inputs_of(e.record for e in energy)
        if all(_fact(e, ENERGY_SOURCE) == "estimate" for e in energy):
            sentence = "Energy was estimated from processor time, not read from the processor's counters."
            return Fact(PASSES, sentence, "estimated", inputs)
        return Fact(PASSES, "Energy was measured.", "measured", inputs)
    cost = [e for e in evidence if e.kind in _COST]
    if not cost:
        return missing("Neither energy nor time nor memory was measured.")
    kinds = joined(sorted({e.kind for e in cost}))
    sentence = f"Measured: {kinds}. Energy is neither measured nor estimated."
    return Fact(PARTIAL, sentence, "no energy figure", inputs_of(e.record for e in cost))


def benefit_measured(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """What compression gained against the parent: size, latency and memory ratios."""
    derived = [v for v in case.versions if v.row["origin"] == "derived"]
    if not derived:
        return missing("No version was derived, so no gain is claimed.")
    ratios = ("size_ratio", "latency_ratio", "peak_memory_ratio")
    found: dict[str, Measured] = {}
    for evidence in (e for v in derived for e in case.evidence(v, *_COST) if e.is_measured):
        for metric in ratios:
            if evidence.figure(metric) is not None:
                found.setdefault(metric, evidence)
    if not found:
        return missing("No gain against the parent was measured.")
    value = f"{len(found)} of {len(ratios)} ratios"
    inputs = inputs_of(e.record for e in found.values())
    names = joined(sorted(name.replace("_", " ") for name in found))
    if len(found) < len(ratios):
        return Fact(PARTIAL, f"Measured against the parent: {names}.", value, inputs)
    return Fact(PASSES, f"Measured against the parent: {names}.", value, inputs)


def measured_by_machine(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Who measured is not who built: the engine measures under the system actor, people only read."""
    evidence = [e for v in case.judged_versions for e in _taken(case, v)]
    if not evidence:
        return missing("Nothing was measured.")
    by_people = [e for e in evidence if e.record.role != "system"]
    inputs = inputs_of(e.record for e in evidence)
    if by_people:
        sentence = f"{count_of(len(by_people), 'measurement')} recorded by a person, not by the worker."
        return Fact(PARTIAL, sentence, "by people", inputs)
    sentence = f"{count_of(len(evidence), 'measurement')} taken by the engine, none by the people who built the model."
    return Fact(PASSES, sentence, count_of(len(evidence), "measurement"), inputs)


def results_trend(case: Case, parameters: Mapping[str, Any]) -> Fact:
    """Measured figures exist for more than one version, so that change over versions can be read."""
    measured = [v for v in case.versions if _behaviour(case, v)]
    if len(measured) < 2:
        return missing("Fewer than two versions were measured, so there is no trend.", str(len(measured)))
    sentence = f"{count_of(len(measured), 'version')} measured with the same methods, so that change can be read."
    return Fact(PASSES, sentence, count_of(len(measured), "version"), inputs_of(measured))


FACTS = [
    FactSpec("evaluation_recorded", "measured evidence of the digest", evaluation_recorded, {}),
    FactSpec(
        "evaluation_of_live_digest", "what is served was evaluated", evaluation_of_live_digest, {"max_age_days": 365}
    ),
    FactSpec("figures_have_intervals", "n and interval of figures", figures_have_intervals, {}),
    FactSpec("limits_met", "numeric limits of the gate", limits_met, {"kinds": []}),
    FactSpec("data_kept_apart", "test data apart from calibration data", data_kept_apart, {}),
    FactSpec("cost_measured", "energy, time, memory", cost_measured, {}),
    FactSpec("benefit_measured", "gain against the parent", benefit_measured, {}),
    FactSpec("measured_by_machine", "who measured did not build", measured_by_machine, {}),
    FactSpec("results_trend", "change over versions", results_trend, {}),
]

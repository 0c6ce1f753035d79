"""The compression page: from what, by which steps, on which data, measured how, and what the difference means. Pure.

It is about the newest derived version of the model, and lists all of them (`derived`). Every figure carries its n and interval, the
digest of its evidence, and one sentence that a reader who is no engineer can check against the number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from audit.facts.case import Case, Measured
from audit.reports import wording
from audit.reports.derived import derived_line
from audit.reports.lines import budget_words, edge_line, edges_to_models, version_line
from audit.reports.stated import data_name
from audit.snapshots import Record
from registry.catalog.sentences import sentence
from registry.compression.rules import parameter_text

KINDS = ("size", "timing", "memory", "fidelity", "invariance", "quality", "outputs")
_BARS = (("size", "size_bytes"), ("timing", "latency_p50_ms"), ("memory", "peak_memory_bytes"))
_DATA = {
    "training": "training", "calibration": "calibration", "evaluation": "evaluation", "baseline": "baseline",
    "out_of_distribution": "other kind",
}  # fmt: skip
"""What a run names data for, and how the report says it."""
_SAMPLE = re.compile(r" \((n = |95 % interval |least and largest )[^()]*\)\.$")
"""The end of a sentence that repeats what stands in the columns beside it."""


def compression_section(case: Case) -> dict[str, Any] | None:
    """The section, or None when no version of the model was derived, by a run of ours or as somebody says (grade declared)."""
    derived = [v for v in case.versions if v.row["origin"] == "derived" or edges_to_models(case, v)]
    if not derived:
        return None
    child = derived[-1]
    run = case.run_of(child)
    measured = [m for m in (case.measured(child, kind) for kind in KINDS) if m is not None]
    return {
        "bars": [bar for bar in (_bar(measured, *spec) for spec in _BARS) if bar is not None],
        "child": version_line(case, child),
        "data": _data(case, run),
        "derived": [derived_line(case, version) for version in derived],
        "edges": [edge_line(case, edge) for edge in edges_to_models(case, child)],
        "is_live": any(live.version.id == child.id for live in case.live),
        "metrics": [row for m in measured for row in _metric_rows(case, child, m)],
        "run": _run(case, run),
    }


def _run(case: Case, run: Record | None) -> dict[str, Any] | None:
    if run is None:
        return None
    recipe = case.snapshot.get("compression.recipe", str(run.row["recipe_id"]))
    document = None if recipe is None else case.snapshot.document(str(recipe.row["digest"]))
    steps = document.get("steps", []) if isinstance(document, dict) else []
    return {
        "attempt": int(run.row["attempt"]),
        "budget": budget_words(run.row),
        "engine": str(run.row["engine_version"] or ""),
        "finished_at": run.row["finished_at"],
        "id": run.id,
        "recipe": None
        if recipe is None
        else {
            "digest": str(recipe.row["digest"]),
            "name": f"{recipe.row['slug']}@{recipe.row['number']}",
            "steps": [_step(step) for step in steps],
        },
        "seed": int(run.row["seed"]),
    }


def _step(step: Mapping[str, Any]) -> str:
    given = ", ".join(f"{p['name']} = {parameter_text(p['value'])}" for p in step.get("parameters", []))
    return f"{step['method']} ({given})" if given else str(step["method"])


def _data(case: Case, run: Record | None) -> list[dict[str, Any]]:
    if run is None:
        return []
    found = []
    for column, use in _DATA.items():
        version = case.snapshot.get("provenance.dataset_version", run.row[f"{column}_id"])
        if version is None:
            continue
        version = case.as_corrected(version)
        licence = case.licence_of(version)
        found.append(
            {
                "digest": str(version.row["digest"]),
                "licence": "" if licence is None else str(licence.row["expression"]),
                "name": data_name(case, version),
                "personal_data": str(version.row["personal_data"]),
                "rows": version.row["row_count"],
                "source": str(version.row["source"]),
                "use": use,
            }
        )
    return found


def _bar(measured: list[Measured], kind: str, metric: str) -> dict[str, Any] | None:
    """Child beside parent as lengths in thousandths of the longer one."""
    evidence = next((m for m in measured if m.kind == kind), None)
    child = evidence.figure(metric) if evidence else None
    parent = evidence.figure(f"parent_{metric}") if evidence else None
    if not child or not parent or child["value"] is None or parent["value"] is None:
        return None
    values = [float(parent["value"]), float(child["value"])]
    longest = max(values)
    if longest <= 0:
        return None
    return {
        "child": wording.quantity(child["value"], child["unit"]),
        "child_permille": round(1000 * values[1] / longest),
        "name": wording.metric(metric),
        "parent": wording.quantity(parent["value"], parent["unit"]),
        "parent_permille": round(1000 * values[0] / longest),
    }


def _metric_rows(case: Case, child: Record, evidence: Measured) -> list[dict[str, Any]]:
    limits = {
        (r["parameters"].get("kind"), r["parameters"].get("metric")): r
        for r in case.verdict_rules(child)
        if r["check"] == "figure" and r["answer"] != "not-applicable"
    }
    figures = [f for f in evidence.figures if not f["metric"].startswith("parent_")]
    return [
        _metric_row(evidence, figure, limits.get((evidence.kind, figure["metric"]))) for figure in _worst_first(figures)
    ]


def _worst_first(figures: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The whole first, then the slices by their value."""
    whole = [f for f in figures if not f["slice"]]
    slices = [f for f in figures if f["slice"]]
    return whole + sorted(slices, key=lambda f: (f["metric"], float(f["value"] or 0)))


def _metric_row(evidence: Measured, figure: Mapping[str, Any], rule: Mapping[str, Any] | None) -> dict[str, Any]:
    unit = wording.unit_of(str(figure["metric"]), str(figure["unit"]))
    parent = evidence.figure(f"parent_{figure['metric']}")
    interval = ""
    if figure["low"] is not None and figure["high"] is not None:
        ends = f"{wording.quantity(figure['low'], unit)} to {wording.quantity(figure['high'], unit)}"
        interval = f"range {ends}" if evidence.kind == "memory" else ends
    limit = ""
    if rule is not None:
        asked = "at least" if rule["parameters"]["comparator"] == "at_least" else "at most"
        limit = f"{asked} {wording.number(rule['parameters']['limit'])}"
    return {
        "answer": "" if rule is None else str(rule["answer"]),
        "child": wording.quantity(figure["value"], unit) or f"not known: {figure['reason']}",
        "evidence": str(evidence.record.row["digest"]),
        "interval": interval,
        "kind": evidence.kind,
        "limit": limit,
        "metric": wording.metric(str(figure["metric"])),
        "n": figure["n"],
        "parent": "" if parent is None else wording.quantity(parent["value"], unit),
        "sentence": _SAMPLE.sub(".", sentence(figure, evidence.kind)),
        "slice": ", ".join(f"{s['name']} = {s['value']}" for s in figure["slice"]),
    }

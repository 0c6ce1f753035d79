"""The one data model of a report, `pressmark/report/1`: page, PDF, JSON and CSV show this and nothing else.

Rules:
- it is built from an assessment and the same snapshot, so it can be built again from the bundle;
- page one answers: which artifact, which question, the state in words, the three worst gaps, what is not covered, who, until when;
- people stand as role and short id; free text (purpose, reasons) is printed as typed, and that outlives its erasure;
- digests are given in full in the annex; no single score, no percentage without its denominator.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator

from audit import backing
from audit.facts.base import count_of, joined
from audit.facts.case import Case
from audit.reports import wording
from audit.reports.changes import changes_since
from audit.reports.compression import compression_section
from audit.reports.lines import version_line
from audit.reports.release import release_section
from audit.reports.stated import stated_section
from audit.snapshots import Snapshot
from audit.statuses import WORST_FIRST
from registry.access.models import Text
from registry.digests import canonical

TYPE = "pressmark/report/1"
TEMPLATE = "assessment-1"
GAPS_ON_PAGE_ONE = 3
NOT_COVERED = (
    "Culture, training, team composition and engagement with people affected: the registry records that a person said so, "
    "not that it is so.",
    "Legal readings: licence terms are data in our own words, not advice.",
    "What happens outside the registry: the application around the model, suppliers, notices to others.",
)
ERASED = "(erased)"


@dataclass(frozen=True)
class Issue:
    """Who issued the assessment, under which role, when."""

    id: str
    digest: str
    role: str
    actor: str
    at: str


def build(document: Mapping[str, Any], snapshot: Snapshot, issue: Issue | None) -> dict[str, Any]:
    """The report over an assessment document and the snapshot that it was made from; `issue` is None for a preview."""
    case = Case(snapshot)
    text_of = _texts(case)
    compression = compression_section(case)
    behind = snapshot if case.model is None else backing.behind(snapshot, uuid.UUID(str(case.model.row["team_id"])))
    release = release_section(case, behind, text_of)
    return {
        "annex": _annex(document, case),
        "answers": _answers(document, case, issue, text_of),
        "assessment": dict(document),
        "changes": changes_since(document, case),
        "compression": compression,
        "glossary": [{"meaning": wording.STATUS_MEANINGS[s], "word": wording.STATUS_WORDS[s]} for s in WORST_FIRST],
        "issue": None
        if issue is None
        else {
            "at": issue.at,
            "by": wording.person(issue.role, issue.actor),
            "digest": issue.digest,
            "id": issue.id,
        },
        "release": release,
        "scope": _scope(document, case),
        "stated": stated_section(case, behind, text_of),
        "template": TEMPLATE,
        "type": TYPE,
    }


def to_bytes(report: Mapping[str, Any]) -> bytes:
    """Canonical bytes, after the report was held against its schema."""
    _validator().validate(report)
    return canonical(report)


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(files("audit").joinpath("schemas/report-1.json").read_bytes()))


def _texts(case: Case) -> Callable[[str | None], str]:
    """Free texts of the scope by id, as they are now; an erased one says so."""
    keys = [uuid.UUID(record.id) for record in case.snapshot.all("access.text")]
    values = {str(pk): value for pk, value in Text.objects.filter(pk__in=keys).values_list("pk", "value")}

    def text_of(key: str | None) -> str:
        if key is None:
            return ""
        value = values.get(key)
        return ERASED if value is None else value

    return text_of


# --- page one ---


def _answers(
    document: Mapping[str, Any], case: Case, issue: Issue | None, text_of: Callable[[str | None], str]
) -> dict[str, Any]:
    framework = document["framework"]
    rows = {row["id"]: row for row in document["requirements"]}
    later = [r["expires_at"] for r in document["requirements"] if r["expires_at"] and r["expires_at"] > case.now]
    use_case = case.use_case
    live = [
        {
            "alias": str(item.alias.row["slug"]),
            "since": item.assignment.first_at,
            "version": version_line(case, item.version),
        }
        for item in case.live
    ]
    return {
        "as_of": wording.moment(case.now),
        "first_expiry": min(later, default=None),
        "gaps": [_gap(rows[name]) for name in document["summary"]["gaps"][:GAPS_ON_PAGE_ONE]],
        "live": live,
        "model": document["subject"]["model"],
        "not_covered": list(NOT_COVERED),
        "owner": "" if case.model is None else wording.person("owner", str(case.model.row["owner_id"])),
        "purpose": "" if use_case is None else text_of(use_case.row["purpose_id"]),
        "question": f"What does the registry show for {framework['title']} {framework['version']}?",
        "state": _state(document, case),
        "tier": None if use_case is None else str(use_case.row["tier"]),
        "title": "" if case.model is None else text_of(case.model.row["title_id"]),
        "use_case": None if use_case is None else str(use_case.row["slug"]),
    }


def _gap(row: Mapping[str, Any]) -> dict[str, Any]:
    finding = row["finding"]
    return {
        "due_on": finding["due_on"] if finding else None,
        "id": row["id"],
        "owner": wording.person("owner", finding["owner"]) if finding else None,
        "reason": row["reason"],
        "status": row["status"],
        "title": row["title"],
    }


def _state(document: Mapping[str, Any], case: Case) -> list[str]:
    """The state in plain sentences: the counts, what is live, whether the record itself holds."""
    counts = {c["status"]: c["count"] for c in document["summary"]["counts"]}
    total = document["summary"]["total"]
    shown = counts["evidenced"] + counts["attested"]
    open_ = [f"{counts[s]} {wording.STATUS_WORDS[s]}" for s in WORST_FIRST[:4] if counts[s]]
    first = f"Of {total} subcategories, {shown} are evidenced or attested"
    sentences = [f"{first}; {joined(open_)}." if open_ else f"{first}."]
    if case.live:
        named = joined(f"version {item.version.row['number']} as {item.alias.row['slug']}" for item in case.live)
        each = "each under an approval that names" if len(case.live) > 1 else "under an approval that names"
        sentences.append(f"Live: {named}, {each} {'their' if len(case.live) > 1 else 'its'} digest.")
        if any(r["id"] == "MANAGE 1.1" and r["status"] == "failing" for r in document["requirements"]):
            sentences[-1] = f"Live: {named}; not everything live has an approval of its digest."
    else:
        sentences.append("Nothing is live.")
    as_of = document["as_of"]
    if as_of["verified"]:
        sentences.append(f"The record itself holds: {as_of['entries']} ledger entries were recomputed and fit.")
    else:
        sentences.append("The record itself was not shown to hold: see GOVERN 1.4.")
    return sentences


# --- scope and annex ---


def _scope(document: Mapping[str, Any], case: Case) -> dict[str, Any]:
    acts = case.snapshot.acts
    framework = document["framework"]
    kinds: dict[str, int] = {}
    for end in document["scope"]:
        kind = end["stream"].partition(":")[0]
        kinds[kind] = kinds.get(kind, 0) + 1
    return {
        "acts": len(acts),
        "framework": f"{framework['title']} {framework['version']}",
        "from": acts[0].at if acts else None,
        "inside": [count_of(count, kind.replace("_", " ")) for kind, count in sorted(kinds.items())],
        "outside": [
            "other models and teams",
            "ancestors in other models, beyond their digest",
            "bytes that were purged",
        ],
        "registry": document["evaluated_by"]["registry"],
        "rules": f"version {framework['rules_version']}",
        "rules_digest": framework["digest"],
        "to": acts[-1].at if acts else None,
    }


def _annex(document: Mapping[str, Any], case: Case) -> list[dict[str, Any]]:
    """Every digest that the report prints in short, once, in full."""
    found: dict[str, dict[str, Any]] = {}
    for act in case.snapshot.acts:
        for name, digest, size_bytes in act.refs:
            found.setdefault(
                digest, {"digest": digest, "name": name, "position": act.position, "size": wording.size(size_bytes)}
            )
    for row in document["requirements"]:
        for item in (i for rule in row["rules"] for i in rule["inputs"] if i["digest"]):
            name = item["name"].partition(".")[2]
            found.setdefault(
                item["digest"], {"digest": item["digest"], "name": name, "position": item["position"], "size": ""}
            )
    return sorted(found.values(), key=lambda row: (row["position"] is None, row["position"] or 0, row["digest"]))

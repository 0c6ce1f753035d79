"""An assessment: every requirement of a framework answered from one snapshot of the ledger, as `pressmark/assessment/1`.

Rules:
- the same model, snapshot and pack give the same bytes; nothing here reads a clock or a table that is not in the snapshot;
- it never says compliant: it says what there is evidence for; counts stand beside the worst word, never a percentage alone;
- each row names the rule that decided it, its inputs by id, digest and ledger position, when they were collected and until when
  they hold; an attestation counts only by the role that the pack asks for, and no longer than the pack allows.
"""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version as package_version
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator

from audit import snapshots
from audit.facts.base import Fact, Input, after_days
from audit.facts.case import Case
from audit.facts.table import FACTS
from audit.frameworks import packs
from audit.frameworks.packs import Pack, Requirement, Rule
from audit.snapshots import LedgerState, Record, Snapshot
from audit.statuses import WORST_FIRST, RuleAnswer, Statement, decide
from audit.verification import verify_ledger
from registry.catalog.models import RegisteredModel
from registry.digests import canonical

TYPE = "pressmark/assessment/1"
NOT_APPLICABLE_SUFFIX = " not applicable"
INPUTS_KEPT = 25
VIEW_LEDGER_LIMIT = 20_000
"""A page verifies the ledger itself up to this many entries (about a second); beyond it only an issued assessment does."""


def assess(model: RegisteredModel, *, as_of: datetime.datetime | None = None) -> dict[str, Any]:
    """The assessment document of a model as of a moment (now, when none is given), the ledger verified to that point."""
    return assess_snapshot(prepare(model, as_of=as_of), model)


def prepare(
    model: RegisteredModel, *, as_of: datetime.datetime | None = None, ledger_limit: int | None = None
) -> Snapshot:
    """The snapshot that an assessment rests on. With `ledger_limit` a longer ledger is left unverified, and that is said."""
    snapshot = snapshots.take(model.pk, as_of)
    snapshot.ledger = _ledger_state(snapshot.size, ledger_limit)
    return snapshot


def _ledger_state(size: int, limit: int | None) -> LedgerState:
    if limit is not None and size > limit:
        return LedgerState(False, False, size, "", "not verified for this view")
    report = verify_ledger.verify(size=size)
    sentence = "verified" if report.ok else str(report.flaws[0])
    return LedgerState(True, report.ok, report.size, report.root, sentence)


def assess_snapshot(snapshot: Snapshot, model: RegisteredModel, pack: Pack | None = None) -> dict[str, Any]:
    """The document over a snapshot that is at hand. Only names that never change are taken from `model`."""
    pack = pack or packs.load()
    case = Case(snapshot)
    computed: dict[str, Fact] = {}
    rows = [_row(requirement, pack, case, computed) for requirement in pack.requirements]
    return {
        "as_of": {
            "entries": snapshot.size,
            "root": snapshot.ledger.root if snapshot.ledger and snapshot.ledger.checked else None,
            "time": snapshot.as_of,
            "verified": bool(snapshot.ledger and snapshot.ledger.checked and snapshot.ledger.ok),
        },
        "evaluated_by": {"how": "rules over ledger records", "registry": package_version("pressmark")},
        "framework": {
            "digest": pack.digest,
            "disclaimer": pack.disclaimer,
            "id": pack.id,
            "label": pack.label,
            "rules_version": pack.rules_version,
            "title": pack.title,
            "version": pack.version,
        },
        "requirements": rows,
        "scope": [{"last_seq": snapshot.ends[s], "stream": s} for s in sorted(snapshot.ends)],
        "subject": _subject(case, model),
        "summary": _summary(rows, pack),
        "type": TYPE,
    }


def to_bytes(document: Mapping[str, Any]) -> bytes:
    """Canonical bytes, after the document was held against its schema: a wrong member is a fault of ours."""
    _validator().validate(document)
    return canonical(document)


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(files("audit").joinpath("schemas/assessment-1.json").read_bytes()))


def _subject(case: Case, model: RegisteredModel) -> dict[str, Any]:
    live = [
        {
            "alias": str(item.alias.row["slug"]),
            "digest": str(item.version.row["digest"]),
            "version": int(item.version.row["number"]),
        }
        for item in case.live
    ]
    newest = case.versions[-1] if case.versions else None
    return {
        "live": live,
        "model": f"{model.team.slug}/{model.slug}",
        "model_id": str(model.pk),
        "newest": None
        if newest is None
        else {"digest": str(newest.row["digest"]), "version": int(newest.row["number"])},
        "versions": len(case.versions),
    }


# --- one row ---


def _row(requirement: Requirement, pack: Pack, case: Case, computed: dict[str, Fact]) -> dict[str, Any]:
    answers = [RuleAnswer(rule.fact, rule.indicator, _fact(rule, case, computed)) for rule in requirement.rules]
    statement = _statement(requirement, pack, case)
    status, reason = decide(requirement, answers, statement)
    collected = [a.fact.collected_at for a in answers if a.fact.collected_at]
    expiring = [a.fact.expires_at for a in answers if a.fact.expires_at]
    if statement is not None and statement.in_date:
        collected.append(statement.signed_at)
        expiring.append(statement.expires_at)
    return {
        "attestation": _attestation(requirement, statement),
        "category": requirement.category,
        "class": requirement.cls,
        "collected_at": max(collected, default=None),
        "evidence": sorted({i.digest for a in answers for i in a.fact.inputs if i.digest}),
        "expires_at": min(expiring, default=None),
        "finding": _finding(requirement, case),
        "function": requirement.function,
        "id": requirement.id,
        "outside": requirement.outside,
        "reason": reason,
        "rules": [_rule(answer, rule) for answer, rule in zip(answers, requirement.rules, strict=True)],
        "source": requirement.source,
        "status": status,
        "title": requirement.title,
    }


def _fact(rule: Rule, case: Case, computed: dict[str, Fact]) -> Fact:
    key = f"{rule.fact} {json.dumps(rule.parameters, sort_keys=True)}"
    if key not in computed:
        computed[key] = FACTS[rule.fact].compute(case, rule.parameters)
    return computed[key]


def _rule(answer: RuleAnswer, rule: Rule) -> dict[str, Any]:
    fact = answer.fact
    return {
        "collected_at": fact.collected_at,
        "expires_at": fact.expires_at,
        "fact": answer.fact_name,
        "indicator": answer.indicator,
        "input_count": len(fact.inputs),
        "inputs": [_input(i) for i in fact.inputs[-INPUTS_KEPT:]],
        "outcome": fact.outcome,
        "parameters": [{"name": name, "value": _parameter(value)} for name, value in sorted(rule.parameters.items())],
        "sentence": fact.sentence,
        "value": fact.value,
    }


def _parameter(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _input(item: Input) -> dict[str, Any]:
    return {"at": item.at, "digest": item.digest, "id": item.id, "name": item.name, "position": item.position}


def _statement(requirement: Requirement, pack: Pack, case: Case) -> Statement | None:
    """The newest statement that counts for a requirement; one that is in date before one that is over."""
    need = requirement.attestation
    found = []
    for record in case.snapshot.all("oversight.attestation"):
        row = record.row
        not_applicable = row["requirement"] == requirement.id + NOT_APPLICABLE_SUFFIX
        if row["framework"] != pack.id or not (not_applicable or row["requirement"] == requirement.id):
            continue
        if need is not None and not not_applicable and row["role"] != need.role:
            continue
        found.append(_as_statement(record, need.valid_days if need else None, not_applicable, case.now))
    return max(found, key=lambda s: (s.in_date, s.signed_at, s.id), default=None)


def _as_statement(record: Record, valid_days: int | None, not_applicable: bool, now: str) -> Statement:
    row = record.row
    signed, expires = str(row["signed_at"]), str(row["expires_at"])
    if valid_days is not None:
        expires = min(expires, after_days(signed, valid_days))
    ended = row["ended_at"] is not None and row["ended_at"] <= now
    in_date = signed <= now < expires and not ended
    return Statement(record.id, str(row["role"]), str(row["signed_by_id"]), signed, expires, in_date, not_applicable)


def _attestation(requirement: Requirement, statement: Statement | None) -> dict[str, Any]:
    need = requirement.attestation
    signed = None
    if statement is not None:
        signed = {
            "expires_at": statement.expires_at,
            "id": statement.id,
            "in_date": statement.in_date,
            "not_applicable": statement.not_applicable,
            "role": statement.role,
            "signed_at": statement.signed_at,
            "signed_by": statement.signed_by,
        }
    return {
        "needed": bool(need and need.needed),
        "role": need.role if need else None,
        "signed": signed,
        "valid_days": need.valid_days if need else None,
    }


def _finding(requirement: Requirement, case: Case) -> dict[str, Any] | None:
    """The open finding about a requirement: whose subject is its id."""
    own = [f for f in case.snapshot.all("oversight.finding") if f.row["subject"] == requirement.id]
    open_ = [f for f in own if f.row["closed_at"] is None]
    if not open_:
        return None
    first = min(open_, key=lambda f: (str(f.row["due_on"]), f.id))
    return {"due_on": str(first.row["due_on"]), "id": first.id, "owner": str(first.row["owner_id"])}


# --- the summary ---


def _counts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = Counter(row["status"] for row in rows)
    return [{"count": found[status], "status": status} for status in WORST_FIRST]


def _summary(rows: list[dict[str, Any]], pack: Pack) -> dict[str, Any]:
    functions = []
    for name, about in pack.functions.items():
        own = [row for row in rows if row["function"] == name]
        functions.append({"about": about, "counts": _counts(own), "function": name, "total": len(own)})
    present = {row["status"] for row in rows}
    gaps = sorted(
        (row for row in rows if row["status"] in WORST_FIRST[:4]),
        key=lambda row: (WORST_FIRST.index(row["status"]), _urgency(row), rows.index(row)),
    )
    return {
        "counts": _counts(rows),
        "functions": functions,
        "gaps": [row["id"] for row in gaps],
        "machine_alone": sum(1 for row in rows if row["class"] == "A"),
        "needs_a_person": sum(1 for row in rows if row["class"] in ("B", "C")),
        "total": len(rows),
        "worst": next((status for status in WORST_FIRST if status in present), None),
    }


def _urgency(row: dict[str, Any]) -> int:
    """Gaps that records could close come before those that wait for a statement alone."""
    if any(not rule["indicator"] for rule in row["rules"]):
        return 0 if row["class"] == "A" else 1
    return 2 if row["rules"] else 3

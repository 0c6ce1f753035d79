"""Rows of this room as the API shows them."""

from __future__ import annotations

import datetime
from typing import Any

from registry.digests import time_text
from registry.release import queries
from registry.release.models import AliasAssignment, Approval, Decision, Policy, Verdict, Waiver
from registry.release.serving_models import Target


def _time(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else time_text(moment)


def policy_body(row: Policy) -> dict[str, Any]:
    rules = queries.policy_rules(row)
    return {
        "id": str(row.pk),
        "policy": str(row),
        "title": rules.title,
        "tiers": list(rules.tiers),
        "digest": row.digest,
        "author": str(row.author_id),
        "approved_by": str(row.approved_by_id) if row.approved_by_id else None,
        "in_force_at": _time(row.in_force_at),
        "ended_at": _time(row.ended_at),
    }


def verdict_body(row: Verdict) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "version": str(row.version),
        "alias": row.alias,
        "outcome": row.outcome,
        "policy": str(row.policy),
        "digest": row.digest,
        "created_at": time_text(row.created_at),
        "document": queries.verdict_document(row),
    }


def waiver_body(row: Waiver) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "version": str(row.version),
        "rule": row.rule,
        "rule_digest": row.rule_digest,
        "reason": str(row.reason),
        "signed_by": str(row.signed_by_id),
        "signed_at": time_text(row.signed_at),
        "expires_at": time_text(row.expires_at),
        "ended_at": _time(row.ended_at),
    }


def decision_body(row: Decision) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "kind": row.kind,
        "role": row.role,
        "reason": str(row.reason),
        "decided_by": str(row.decided_by_id),
        "on_behalf_of": str(row.on_behalf_of_id) if row.on_behalf_of_id else None,
        "decided_at": time_text(row.decided_at),
        "expires_at": _time(row.expires_at),
        "target": str(row.target) if row.target else None,
    }


def target_body(row: Target) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "target": str(row),
        "runtime": row.runtime,
        "hardware": row.hardware,
        "settings": row.settings,
        "limits": row.limits,
        "safeguards": str(row.safeguards) if row.safeguards else None,
        "created_at": time_text(row.created_at),
        "ended_at": _time(row.ended_at),
    }


def approval_body(row: Approval) -> dict[str, Any]:
    now = queries.status_of(row)
    return {
        "id": str(row.pk),
        "version": str(row.version),
        "version_digest": row.version_digest,
        "alias": row.alias,
        "status": now.word,
        "status_reasons": now.reasons,
        "grants": now.grants,
        "required": now.required,
        "officers_required": now.officers_required,
        "missing": now.missing,
        "ends_at": _time(now.ends_at),
        "limited_to": str(now.target) if now.target else None,
        "target": str(row.target) if row.target else None,
        "tier": row.tier,
        "policy": str(row.policy),
        "policy_digest": row.policy_digest,
        "evidence_set_digest": row.evidence_set_digest,
        "verdict": {"id": str(row.verdict_id), "outcome": row.verdict.outcome, "digest": row.verdict.digest},
        "reason": str(row.reason),
        "requested_by": str(row.requested_by_id),
        "requested_at": time_text(row.requested_at),
        "expires_at": time_text(row.expires_at),
        "decisions": [decision_body(d) for d in row.decisions.all()],
    }


def assignment_body(row: AliasAssignment) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "alias": row.alias.slug,
        "number": row.number,
        "kind": row.kind,
        "version": str(row.version) if row.version else None,
        "version_digest": row.version_digest,
        "approval": str(row.approval_id) if row.approval_id else None,
        "reason": str(row.reason) if row.reason else None,
        "assigned_by": str(row.assigned_by_id),
        "assigned_at": time_text(row.assigned_at),
    }

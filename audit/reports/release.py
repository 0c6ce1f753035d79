"""What is live, who allowed it, under which exceptions, what was stopped, how it is watched, and the way back. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from audit.facts.case import Case, Live
from audit.reports import wording
from audit.snapshots import Record, Snapshot

_WINDOWS_SHOWN = 8
_FEATURES_SHOWN = 3
_DRILLS_SHOWN = 5
TextOf = Callable[[str | None], str]


def release_section(case: Case, behind: Snapshot, text_of: TextOf) -> dict[str, Any]:
    """Aliases with their moves, approvals, exceptions, monitors, incidents; `behind`: the entries elsewhere that these rest on."""
    return {
        "aliases": [_alias(case, alias, text_of) for alias in case.snapshot.all("release.alias")],
        "approvals": [_approval(case, behind, live, text_of) for live in case.live if live.approval is not None],
        "broken_glass": [_broken_glass(case, row, text_of) for row in case.snapshot.all("release.broken_glass")],
        "drills": [_drill(case, row) for row in case.snapshot.all("release.drill")][-_DRILLS_SHOWN:],
        "incidents": [_incident(case, incident, text_of) for incident in case.incidents],
        "monitors": [_monitor(case, monitor) for monitor in case.monitors],
        "quarantines": [_quarantine(case, behind, row, text_of) for row in case.snapshot.all("release.quarantine")],
        "verdict_rules": _verdict_rules(case),
        "waivers": [_waiver(case, w, text_of) for w in case.snapshot.all("release.waiver")],
    }


def _alias(case: Case, alias: Record, text_of: TextOf) -> dict[str, Any]:
    return {"moves": [_move(case, m, text_of) for m in case.history(alias)], "name": str(alias.row["slug"])}


def _move(case: Case, move: Record, text_of: TextOf) -> dict[str, Any]:
    version = case.version(move.row["version_id"])
    return {
        "at": move.first_at,
        "by": wording.person(move.role, move.actor),
        "digest": move.row["version_digest"],
        "kind": str(move.row["kind"]),
        "position": move.position,
        "reason": text_of(move.row["reason_id"]),
        "version": None if version is None else int(version.row["number"]),
    }


def _approval(case: Case, behind: Snapshot, live: Live, text_of: TextOf) -> dict[str, Any]:
    assert live.approval is not None
    row = live.approval.row
    policy = case.snapshot.get("release.policy", str(row["policy_id"]))
    return {
        "alias": str(live.alias.row["slug"]),
        "decisions": [
            {
                "at": d.first_at,
                "by": _decided_by(d),
                "condition": _condition(behind, d),
                "kind": str(d.row["kind"]),
                "position": d.position,
                "reason": text_of(d.row["reason_id"]),
            }
            for d in case.decisions(live.approval)
        ],
        "digest": str(row["version_digest"]),
        "evidence_set": str(row["evidence_set_digest"]),
        "expires_at": case.approval_ends(live.approval),
        "expired": case.approval_ends(live.approval) <= case.now,
        "policy": "" if policy is None else f"{policy.row['slug']}@{policy.row['number']}",
        "policy_digest": str(row["policy_digest"]),
        "requested_at": str(row["requested_at"]),
        "requested_by": wording.person(live.approval.role, str(row["requested_by_id"])),
        "required": int(row["required"]),
        "officers": int(row["officers"]),
        "tier": str(row["tier"]),
        "version": int(live.version.row["number"]),
    }


def _decided_by(decision: Record) -> str:
    """Who decided, and in whose place."""
    said = wording.person(str(decision.row["role"]), str(decision.row["decided_by_id"]))
    principal = decision.row["on_behalf_of_id"]
    return said if principal is None else f"{said}, deputy of …{str(principal)[-8:]}"


def _condition(behind: Snapshot, decision: Record) -> str:
    """What a grant was tied to; empty where to nothing."""
    until, target = decision.row["expires_at"], decision.row["target_id"]
    named = behind.get("release.target", target)
    place = f"{named.row['slug']}@{named.row['number']}" if named else f"target …{str(target)[-8:]}" if target else ""
    return ", ".join(part for part in (f"until {until[:16]}Z" if until else "", f"on {place}" if place else "") if part)


def _broken_glass(case: Case, row: Record, text_of: TextOf) -> dict[str, Any]:
    """A move without approval: it is told with everything there is about it."""
    version = case.version(str(row.row["version_id"]))
    return {
        "alias": str(row.row["alias"]),
        "at": row.first_at,
        "by": wording.person(str(row.row["role"]), str(row.row["broken_by_id"])),
        "digest": str(row.row["version_digest"]),
        "expires_at": str(row.row["expires_at"]),
        "over": str(row.row["expires_at"]) <= case.now,
        "position": row.position,
        "reason": text_of(row.row["reason_id"]),
        "policy": _judged_under(case, row),
        "reviewed": _is_reviewed(case, row),
        "version": None if version is None else int(version.row["number"]),
    }


def _judged_under(case: Case, row: Record) -> str:
    """The policy whose gate was asked; empty where none was in force."""
    key = row.row["policy_id"]
    policy = case.snapshot.get("release.policy", key)
    return (
        "" if key is None else f"{policy.row['slug']}@{policy.row['number']}" if policy else f"policy …{str(key)[-8:]}"
    )


def _is_reviewed(case: Case, row: Record) -> bool:
    """Whether somebody else looked at exactly these bytes since: what the finding about the emergency asks for."""
    version = case.version(str(row.row["version_id"]))
    reviews = [] if version is None else case.reviews_of(version)
    return any(
        r.row["digest"] == row.row["version_digest"]
        and str(r.row["reviewed_at"]) > str(row.row["broken_at"])
        and r.row["reviewed_by_id"] != row.row["broken_by_id"]
        for r in reviews
    )


def _quarantine(case: Case, behind: Snapshot, row: Record, text_of: TextOf) -> dict[str, Any]:
    """A version that a recall stopped, what was asked and answered since, and whether it is over."""
    version = case.version(str(row.row["version_id"]))
    key = str(row.row["recall_id"])
    recall = case.snapshot.get("release.recall", key) or behind.get("release.recall", key)
    acts = [a for a in case.snapshot.all("release.quarantine_act") if a.row["quarantine_id"] == row.id]
    return {
        "acts": [
            {
                "at": a.first_at,
                "by": wording.person(str(a.row["role"]), str(a.row["done_by_id"])),
                "kind": str(a.row["kind"]),
                "reason": text_of(a.row["reason_id"]),
            }
            for a in acts
        ],
        "at": row.first_at,
        "ended_at": row.row["ended_at"],
        "position": row.position,
        "recall": f"recall …{key[-8:]}" if recall is None else str(recall.row["subject"]),
        "version": None if version is None else int(version.row["number"]),
    }


def _drill(case: Case, row: Record) -> dict[str, Any]:
    """A roll-back that was gone through and timed."""
    version = case.version(row.row["version_id"])
    return {
        "alias": str(row.row["alias"]),
        "at": row.first_at,
        "decision_milliseconds": int(row.row["decision_milliseconds"]),
        "eligible": bool(row.row["eligible"]),
        "position": row.position,
        "reason": str(row.row["reasons"][0]) if row.row["reasons"] else "",
        "version": None if version is None else int(version.row["number"]),
    }


def _verdict_rules(case: Case) -> list[dict[str, Any]]:
    """What the gate answered about what is live, rule by rule."""
    rows = []
    for version in case.judged_versions:
        for rule in case.verdict_rules(version):
            rows.append(
                {
                    "about": str(rule["about"]),
                    "answer": str(rule["answer"]),
                    "reason": str(rule["reason"]),
                    "rule": str(rule["rule"]),
                    "version": int(version.row["number"]),
                }
            )
    return rows


def _waiver(case: Case, waiver: Record, text_of: TextOf) -> dict[str, Any]:
    version = case.version(str(waiver.row["version_id"]))
    over = waiver.row["expires_at"] <= case.now
    state = "ended" if waiver.row["ended_at"] else "expired" if over else "running"
    return {
        "expires_at": str(waiver.row["expires_at"]),
        "position": waiver.position,
        "reason": text_of(waiver.row["reason_id"]),
        "rule": str(waiver.row["rule"]),
        "signed_at": str(waiver.row["signed_at"]),
        "signed_by": wording.person(_role_at_signing(case, waiver), str(waiver.row["signed_by_id"])),
        "state": state,
        "version": None if version is None else int(version.row["number"]),
    }


def _role_at_signing(case: Case, waiver: Record) -> str:
    """The role of the act that signed it, not of the one that may have ended it."""
    key = ("release.waiver/1", waiver.id)
    act = next((a for a in case.snapshot.acts if a.kind == "waiver.signed" and key in a.records), None)
    return act.role if act else waiver.role


def _monitor(case: Case, monitor: Record) -> dict[str, Any]:
    alias = case.snapshot.get("release.alias", str(monitor.row["alias_id"]))
    windows = case.windows(monitor)
    return {
        "alias": "" if alias is None else str(alias.row["slug"]),
        "count": len(windows),
        "name": str(monitor.row["slug"]),
        "windows": [_window(case, w) for w in windows[-_WINDOWS_SHOWN:]],
    }


def _window(case: Case, window: Record) -> dict[str, Any]:
    version = case.version(str(window.row["version_id"]))
    judgement = case.snapshot.document(str(window.row["judgement_digest"]))
    judged: dict[str, Any] = judgement if isinstance(judgement, dict) else {"features": [], "summary": ""}
    drifted = [str(f["sentence"]) for f in judged["features"] if f["drifted_by"]]
    return {
        "digest": str(window.row["digest"]),
        "drifted": drifted[:_FEATURES_SHOWN],
        "ended_at": str(window.row["ended_at"]),
        "judgement": str(window.row["judgement_digest"]),
        "label": str(window.row["label"]),
        "position": window.position,
        "rows": int(window.row["row_count"]),
        "sentence": str(judged["summary"]),
        "started_at": str(window.row["started_at"]),
        "state": str(window.row["state"]),
        "version": None if version is None else int(version.row["number"]),
    }


def _incident(case: Case, incident: Record, text_of: TextOf) -> dict[str, Any]:
    window = case.snapshot.get("monitoring.window", str(incident.row["window_id"]))
    row = incident.row
    state = "open"
    if row["resolved_at"]:
        state = "resolved"
    elif row["judged_at"]:
        state = "benign" if row["benign"] else "confirmed"
    elif row["acknowledged_at"]:
        state = "acknowledged"
    return {
        "opened_at": str(row["opened_at"]),
        "resolution": text_of(row["resolution_id"]),
        "resolved_at": row["resolved_at"],
        "rolled_back": row["assignment_id"] is not None,
        "state": state,
        "window": "" if window is None else str(window.row["label"]),
    }

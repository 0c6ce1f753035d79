"""The way back: an alias serves an earlier version again, whole, once everything about it was checked anew.

Rules:
- back to a version that the alias served before, whose approval had all its grants (of every role that it asks for), has not ended,
  waits for no answer, and is bound to the evidence as it is now; the gate passes under today's policy, with as many grants as that
  asks for. A policy, tier or use case that changed since is therefore judged today, and does not by itself forbid the way back;
- what was corrected about the version after the last grant was seen by nobody who granted: that approval carries no roll-back;
- a version that came without an approval, in an emergency, is nothing to go back to until it has one;
- what is in quarantine or purged is nothing to go back to; the bytes are read and hashed again shortly before, outside of the unit;
- a comparison that counts is one with what the target once replaced, not with what failed;
- a refused roll-back says every reason, and offers the next version that would do;
- the whole manifest is served again, and windows are judged by the baseline that was frozen with the target's approval.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from registry.access.models import Role
from registry.catalog import queries as catalog
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.errors import Blocked, BytesDiffer, Conflict, Problem
from registry.events import Caller, unit
from registry.provenance.models import Source
from registry.release import queries
from registry.release import status as rules
from registry.release.alias_rules import require_alias
from registry.release.models import AliasAssignment, Approval, MoveKind
from registry.release.policy_language import PolicyRules
from registry.release.quarantines import quarantined
from registry.release.services.gate import Gate, check_reason, evaluate, lock_model, write_verdict
from registry.release.services.moves import (
    CheckedBytes,
    append_move,
    check_bytes,
    corrected_since,
    demand_fresh,
    history_of,
)

_STILL_GOOD_FOR_ROLLBACK = {"policy", "tier", "use_case"}


@dataclass(frozen=True)
class Target:
    """A version that an alias might go back to, and every reason why it cannot."""

    version: ModelVersion
    approval: Approval | None
    reasons: tuple[str, ...]
    gate: Gate | None = None
    """What today's policy says; None where none judges it."""


def check_rollback(
    *, actor: Caller, model: RegisteredModel, alias: str, to_version: ModelVersion | None = None
) -> tuple[Target, CheckedBytes]:
    """Choose the target of a roll-back and read its bytes again; a Problem with every reason when it cannot be."""
    require_alias(actor, "roll-back", model.team_id, alias)
    history = history_of(model, alias)
    target = choose_target(history, alias, to_version)
    bytes_problem: BytesDiffer | None = None
    try:
        checked = check_bytes(target.version)
    except BytesDiffer as error:
        bytes_problem = error
        reasons = tuple(dict.fromkeys((*target.reasons, error.detail)))  # of what was purged, both say the same
        target = Target(target.version, target.approval, reasons)
    if target.reasons:
        raise _refused(target, bytes_problem, next_eligible(history, alias, target.version))
    return target, checked


def roll_back(
    *,
    actor: Caller,
    model: RegisteredModel,
    alias: str,
    reason: str,
    to_version: ModelVersion | None = None,
    checked: tuple[Target, CheckedBytes] | None = None,
) -> AliasAssignment:
    """Let the alias serve an earlier version again; recorded as a forward event. `checked` is what `check_rollback` answered."""
    role = require_alias(actor, "roll-back", model.team_id, alias)
    check_reason(reason)
    target, proof = checked or check_rollback(actor=actor, model=model, alias=alias, to_version=to_version)
    with unit(actor, role=role) as opened:
        locked = lock_model(model)
        require_alias(actor, "roll-back", model.team_id, alias)  # bytes are read for minutes: the role may have ended
        demand_fresh(target.version, proof)
        again = judge_target(history_of(locked, alias), alias, target.version, opened.now)
        if again.reasons or again.approval is None or again.gate is None:
            raise _refused(again, None, None, hint="Something changed since it was looked at: try again.")
        write_verdict(opened, again.version, again.gate)
        return append_move(opened, locked, alias, MoveKind.ROLLED_BACK, approval=again.approval, reason=reason)


def choose_target(history: list[AliasAssignment], alias: str, to_version: ModelVersion | None) -> Target:
    """The version that was asked for, else the one served just before; judged by everything but its bytes."""
    if to_version is None:
        candidates = queries.rollback_candidates(history)
        if not candidates:
            raise _nowhere(history, alias)
        to_version = candidates[0]
    return judge_target(history, alias, to_version)


def _nowhere(history: list[AliasAssignment], alias: str) -> Conflict:
    """What is said where nothing was served before: a suspended alias may be given back what it served, if that is named."""
    hint = "Suspend it, or promote an approved version."
    if history[0].version_id is None:
        only = next(move.version for move in history if move.version is not None)
        hint = f"It is suspended. Name version {only.number} to serve that again, or promote an approved version."
    return Conflict(f"'{alias}' served no other version before.", hint=hint, code="no-target")


def judge_target(
    history: list[AliasAssignment], alias: str, version: ModelVersion, at: datetime.datetime | None = None
) -> Target:
    """Everything about a target but its bytes, as it is at the moment (now)."""
    version = ModelVersion.objects.select_related("model__team").get(pk=version.pk)
    reasons = []
    if history[0].version_id == version.pk:
        raise Conflict(f"'{alias}' serves {version} now.", code="serves-already")
    if version.pk not in {move.version_id for move in history}:
        reasons.append(f"'{alias}' never served {version}; a roll-back goes to what was served before.")
    if version.purged_at is not None:
        reasons.append(f"The bytes of {version} were purged.")
    since = [recall.recalled_at.date().isoformat() for recall in quarantined(version)]
    reasons += [f"It is in quarantine because of a recall of {day}." for day in since]
    approval, why_not = _usable_approval(version, alias)
    if why_not:
        reasons.append(why_not)
    gate = None
    try:
        gate = evaluate(version, alias, at or timezone.now(), going_back=True)
    except Blocked as error:
        reasons.append(error.detail)
    else:
        # the gate refuses what is in quarantine as well: one reason is said once
        told = ("quarantine", "not_recalled") if since else ()
        reasons += [f"{r.rule.id}: {r.reason}" for r in gate.result.blocked if r.rule.check not in told]
        if approval is not None:
            reasons += _too_few(queries.policy_rules(gate.policy), queries.status_of(approval))
    return Target(version, approval, tuple(reasons), gate)


def _too_few(today: PolicyRules, now: rules.Status) -> list[str]:
    """What today's policy asks for beyond the grants that there are."""
    if now.grants < today.approvals_required:
        return [f"Today's policy asks for {today.approvals_required} grants; the approval has fewer."]
    if now.officers < today.officers_required:
        word = Role.COMPLIANCE_OFFICER.label.lower()
        return [f"Today's policy asks for {today.officers_required} grants by a {word}; the approval has fewer."]
    return []


def _usable_approval(version: ModelVersion, alias: str) -> tuple[Approval | None, str]:
    """The newest approval for the alias that may carry a roll-back, or why there is none."""
    why = f"{version} has no approval for '{alias}'."
    for position, approval in enumerate(queries.approvals_to_judge(version).filter(alias=alias)):
        now = queries.status_of(approval)
        _, acts = queries.request_of(approval)
        complete = now.grants >= now.required and not now.disagree and not rules.is_returned(acts)
        unchanged = set(now.changes) <= _harmless_changes(version, approval)
        if now.word == rules.GRANTED or (now.word == rules.STALE and complete and unchanged):
            if not queries.corrected_since_grant(approval):
                return approval, ""
            if position == 0:
                why = f"{corrected_since(version)} Ask for a new one."
            continue
        if position == 0:
            why = " ".join([f"The approval of {version} for '{alias}' is {now.word}.", *now.reasons])
    return None, why


def _harmless_changes(version: ModelVersion, approval: Approval) -> set[str]:
    """What may have changed since: today's gate judges it again. Anybody's word, added later, must not bar the way back."""
    measured_since = version.evidence.filter(source=Source.MEASURED, created_at__gt=approval.requested_at)
    return _STILL_GOOD_FOR_ROLLBACK if measured_since.exists() else _STILL_GOOD_FOR_ROLLBACK | {"evidence"}


def next_eligible(history: list[AliasAssignment], alias: str, refused: ModelVersion) -> ModelVersion | None:
    """The nearest other version that an alias could go back to now, its bytes read again."""
    for version in queries.rollback_candidates(history):
        if version.pk == refused.pk or judge_target(history, alias, version).reasons:
            continue
        try:
            catalog.rehash_version(version)
        except BytesDiffer:
            continue
        return version
    return None


def ways_back(history: list[AliasAssignment], alias: str) -> list[ModelVersion]:
    """What an alias may be given back: served before, not left by a roll-back, not in quarantine, its approval never revoked.

    Nearest first; what a suspended one served is one. What bars the way today (a policy, the approval of a parent, an end of an
    approval) may be gone tomorrow, so it does not count here.
    """
    served = next((move.version for move in history if move.version is not None), None)
    suspended = [served] if served is not None and history[0].version_id is None else []
    candidates = [*suspended, *queries.rollback_candidates(history)]
    return [version for version in candidates if _may_be_again(version, alias)]


def _may_be_again(version: ModelVersion, alias: str) -> bool:
    if quarantined(version):
        return False
    return any(queries.was_granted(row) for row in queries.approvals_to_judge(version).filter(alias=alias))


def _refused(
    target: Target, bytes_problem: BytesDiffer | None, offered: ModelVersion | None, hint: str = ""
) -> Problem:
    if not hint:
        nothing = "No earlier version would do; suspend the alias."
        hint = f"You can roll back to {offered} instead." if offered else nothing
    if quarantined(target.version):
        hint += f" Or ask for its release from quarantine: `pressmark request-quarantine-release {target.version}`."
    detail = f"{target.version} cannot be rolled back to: {target.reasons[0]}"
    members: dict[str, Any] = {"reasons": list(target.reasons), "offered": str(offered) if offered else None}
    if bytes_problem is not None:
        return BytesDiffer(detail, hint=hint, **members)
    return Blocked(detail, hint=hint, code="rollback-refused", **members)

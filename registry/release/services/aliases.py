"""Aliases move by appending: promote, roll back, suspend. Each move is checked again at the moment of the move.

Rules:
- the bytes are read and hashed again shortly before, outside the unit; everything else is checked inside, under the model's lock;
- promote: the approval is granted now (not stale, expired or revoked), and the gate passes under the policy in force now;
- roll back: to a version that the alias served before, whose approval had all grants, has not ended, and is bound to the evidence
  as it is now; the gate passes under today's policy, with as many grants as it asks for. A policy, tier or use case that changed
  since is therefore judged today, and does not by itself forbid the way back. What it was compared with is what it once replaced,
  not what failed;
- a refused roll-back says every reason, and offers the next version that would do;
- a move is a new row and a forward event; nothing is overwritten.
"""

from __future__ import annotations

import datetime
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from registry.access import permissions
from registry.access.models import Text
from registry.access.services import new_text
from registry.catalog import queries as catalog
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.errors import Blocked, BytesDiffer, Conflict, NotFound, Problem
from registry.events import Caller, Ref, Unit, emit, unit
from registry.provenance.models import Source
from registry.release import queries
from registry.release import status as rules
from registry.release.models import Alias, AliasAssignment, Approval, MoveKind
from registry.release.services.gate import (
    check_alias,
    check_reason,
    evaluate,
    lock_model,
    refuse_blocked,
    write_verdict,
)

CHECK_LIFETIME_SECONDS = 300
_STILL_GOOD_FOR_ROLLBACK = {"policy", "tier", "use_case"}


@dataclass(frozen=True)
class CheckedBytes:
    """Proof, for this process and a few minutes, that all files of a version were read again and are what was recorded."""

    version_id: uuid.UUID
    digest: str
    at_seconds: float = field(default_factory=time.monotonic)

    def fits(self, version: ModelVersion) -> bool:
        fresh = time.monotonic() - self.at_seconds < CHECK_LIFETIME_SECONDS
        return fresh and self.version_id == version.pk and self.digest == version.digest


def check_bytes(version: ModelVersion) -> CheckedBytes:
    """Read every file of the version again; BytesDiffer when one changed. Long for large models: call it before a unit opens."""
    catalog.rehash_version(version)
    return CheckedBytes(version.pk, version.digest)


def _ensure_checked(version: ModelVersion, checked: CheckedBytes | None) -> CheckedBytes:
    return checked if checked is not None and checked.fits(version) else check_bytes(version)


# --- promote ---


def require_promote(*, actor: Caller, model: RegisteredModel) -> str:
    """The role that lets the caller promote; asked before bytes are read for a long time."""
    return permissions.require(actor, "alias.promote", model.team_id)


def promote(
    *, actor: Caller, model: RegisteredModel, alias: str, approval: Approval, checked: CheckedBytes | None = None
) -> AliasAssignment:
    """Let the alias serve the approved version. The first promotion creates the alias."""
    role = require_promote(actor=actor, model=model)
    check_alias(alias)
    if approval.model_id != model.pk or approval.alias != alias:
        raise Conflict(
            f"The approval is for '{approval.alias}' of {approval.version}.", hint="Ask for one for this alias."
        )
    _demand_granted(approval)
    checked = _ensure_checked(approval.version, checked)
    with unit(actor, role=role) as opened:
        locked = lock_model(model)
        row = queries.approvals_of(approval.version).get(pk=approval.pk)
        _demand_granted(row)
        version = row.version
        if not checked.fits(version):
            raise Conflict("The check of the bytes is too old.", hint="Try again.")
        now = queries.incumbent(locked, alias)
        if now is not None and now.version_id == version.pk and now.approval_id == row.pk:
            raise Conflict(f"'{alias}' serves {version} already.", code="serves-already")
        gate = evaluate(version, alias, opened.now)
        refuse_blocked(gate, f"The promotion of {version} to '{alias}'")
        write_verdict(opened, version, gate)
        return _move(opened, locked, alias, MoveKind.PROMOTED, row, None)


def _demand_granted(approval: Approval) -> None:
    now = queries.status_of(approval)
    if now.word != rules.GRANTED:
        raise Conflict(
            " ".join([f"The approval is {now.word}, not granted.", *now.reasons]),
            hint="Promotion needs an approval that is granted and still fits the present state; ask for a new one.",
            code="not-granted",
            status_now=now.word,
        )


# --- roll back ---


@dataclass(frozen=True)
class Target:
    """A version that an alias might go back to, and every reason why it cannot."""

    version: ModelVersion
    approval: Approval | None
    reasons: tuple[str, ...]


def check_rollback(
    *, actor: Caller, model: RegisteredModel, alias: str, to_version: ModelVersion | None = None
) -> tuple[Target, CheckedBytes]:
    """Choose the target of a roll-back and read its bytes again; a Problem with every reason when it cannot be."""
    permissions.require(actor, "alias.roll_back", model.team_id)
    history = _history(model, alias)
    candidates = queries.rollback_candidates(history)
    if to_version is None:
        if not candidates:
            raise Conflict(
                f"'{alias}' served no other version before.", hint="Suspend it, or promote an approved version.",
                code="no-target",
            )  # fmt: skip
        to_version = candidates[0]
    target = _judge_target(history, alias, to_version)
    bytes_problem: BytesDiffer | None = None
    try:
        checked = check_bytes(target.version)
    except BytesDiffer as error:
        bytes_problem = error
        target = Target(target.version, target.approval, (*target.reasons, error.detail))
    if target.reasons:
        raise _refused(target, bytes_problem, _next_eligible(history, alias, candidates, target.version))
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
    role = permissions.require(actor, "alias.roll_back", model.team_id)
    check_reason(reason)
    target, proof = checked or check_rollback(actor=actor, model=model, alias=alias, to_version=to_version)
    with unit(actor, role=role) as opened:
        locked = lock_model(model)
        if not proof.fits(target.version):
            raise Conflict("The check of the bytes is too old.", hint="Try again.")
        again = _judge_target(_history(locked, alias), alias, target.version)
        if again.reasons or again.approval is None:
            raise _refused(again, None, None)
        gate = evaluate(again.version, alias, opened.now, going_back=True)
        write_verdict(opened, again.version, gate)
        return _move(opened, locked, alias, MoveKind.ROLLED_BACK, again.approval, reason)


def _history(model: RegisteredModel, alias: str) -> list[AliasAssignment]:
    history = queries.alias_history(model, alias)
    if not history:
        raise NotFound(f"{model} has no alias '{alias}'.", hint="The first promotion creates it.")
    return history


def _judge_target(history: list[AliasAssignment], alias: str, version: ModelVersion) -> Target:
    """Everything about a target but its bytes."""
    reasons = []
    if history[0].version_id == version.pk:
        raise Conflict(f"'{alias}' serves {version} now.", code="serves-already")
    if version.pk not in {move.version_id for move in history}:
        reasons.append(f"'{alias}' never served {version}; a roll-back goes to what was served before.")
    approval, why_not = _usable_approval(version, alias)
    if why_not:
        reasons.append(why_not)
    try:
        gate = evaluate(version, alias, timezone.now(), going_back=True)
    except Blocked as error:
        reasons.append(error.detail)
    else:
        reasons += [f"{r.rule.id}: {r.reason}" for r in gate.result.blocked]
        needed = queries.policy_rules(gate.policy).approvals_required
        if approval is not None and queries.status_of(approval).grants < needed:
            reasons.append(f"Today's policy asks for {needed} grants; the approval has fewer.")
    return Target(version, approval, tuple(reasons))


def _usable_approval(version: ModelVersion, alias: str) -> tuple[Approval | None, str]:
    """The newest approval for the alias that may carry a roll-back, or why there is none."""
    why = f"{version} has no approval for '{alias}'."
    for position, approval in enumerate(queries.approvals_of(version).filter(alias=alias)):
        now = queries.status_of(approval)
        complete = now.grants >= now.required
        unchanged = set(now.changes) <= _harmless_changes(version, approval)
        if now.word == rules.GRANTED or (now.word == rules.STALE and complete and unchanged):
            return approval, ""
        if position == 0:
            why = " ".join([f"The approval of {version} for '{alias}' is {now.word}.", *now.reasons])
    return None, why


def _harmless_changes(version: ModelVersion, approval: Approval) -> set[str]:
    """What may have changed since: today's gate judges it again. Anybody's word, added later, must not bar the way back."""
    measured_since = version.evidence.filter(source=Source.MEASURED, created_at__gt=approval.requested_at)
    return _STILL_GOOD_FOR_ROLLBACK if measured_since.exists() else _STILL_GOOD_FOR_ROLLBACK | {"evidence"}


def _next_eligible(
    history: list[AliasAssignment], alias: str, candidates: list[ModelVersion], refused: ModelVersion
) -> ModelVersion | None:
    for version in candidates:
        if version.pk == refused.pk or _judge_target(history, alias, version).reasons:
            continue
        try:
            catalog.rehash_version(version)
        except BytesDiffer:
            continue
        return version
    return None


def _refused(target: Target, bytes_problem: BytesDiffer | None, offered: ModelVersion | None) -> Problem:
    hint = f"You can roll back to {offered} instead." if offered else "No earlier version would do; suspend the alias."
    detail = f"{target.version} cannot be rolled back to: {target.reasons[0]}"
    members: dict[str, Any] = {"reasons": list(target.reasons), "offered": str(offered) if offered else None}
    if bytes_problem is not None:
        return BytesDiffer(detail, hint=hint, **members)
    return Blocked(detail, hint=hint, code="rollback-refused", **members)


# --- suspend ---


def suspend(*, actor: Caller, model: RegisteredModel, alias: str, reason: str) -> AliasAssignment:
    """Let the alias serve nothing until somebody promotes or rolls back."""
    role = permissions.require(actor, "alias.suspend", model.team_id)
    check_reason(reason)
    with unit(actor, role=role) as opened:
        locked = lock_model(model)
        if _history(locked, alias)[0].version_id is None:
            raise Conflict(f"'{alias}' is suspended already.")
        return _move(opened, locked, alias, MoveKind.SUSPENDED, None, reason)


# --- the move ---


def _move(
    opened: Unit, model: RegisteredModel, slug: str, kind: MoveKind, approval: Approval | None, reason: str | None
) -> AliasAssignment:
    """Append one assignment under the model's lock."""
    alias = Alias.objects.filter(model=model, slug=slug).first() or _create_alias(opened, model, slug)
    newest = AliasAssignment.objects.filter(alias=alias).order_by("-number").first()
    text: Text | None = None
    if reason is not None:
        text = new_text(stream=f"model:{model.pk}", purpose="reason", value=reason, now=opened.now)
    assignment = AliasAssignment.objects.create(
        model=model, alias=alias, number=newest.number + 1 if newest else 1, kind=kind,
        version=approval.version if approval else None, version_digest=approval.version_digest if approval else None,
        approval=approval, reason=text, assigned_by_id=opened.caller.actor_id,
        assigned_at=_after(opened.now, newest),
    )  # fmt: skip
    refs = []
    if approval is not None:
        document = catalog.version_document(approval.version)
        refs.append(Ref("version", approval.version_digest, len(document)))
    records = [assignment, text] if text else [assignment]
    emit(f"alias.{kind.replace('-', '_')}", *records, team=model.team_id, refs=refs, awaited=True)
    return assignment


def _after(now: datetime.datetime, newest: AliasAssignment | None) -> datetime.datetime:
    """The clock of this machine may stand behind the one that moved the alias last: time of moves never goes back."""
    if newest is not None and newest.assigned_at > now:
        raise Conflict(
            "The clock of this machine is behind the last move of the alias.", hint="Correct the clock.", code="clock"
        )
    return now


def _create_alias(opened: Unit, model: RegisteredModel, slug: str) -> Alias:
    alias = Alias.objects.create(model=model, slug=slug, created_by_id=opened.caller.actor_id, created_at=opened.now)
    emit("alias.created", alias, team=model.team_id)
    return alias

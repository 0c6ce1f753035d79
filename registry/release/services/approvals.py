"""Approvals: an immutable request bound to bytes, evidence, policy, tier and alias, and append-only decisions on it.

Rules:
- who signed a waiver in force for the version does not request its approval;
- a request passes the gate first, with a fresh verdict that the request is bound to;
- who decides holds the role at that moment, is a person, and neither asked, nor brought the version, nor requested its run;
- one decides on an open request only: what is stale or expired has to be asked for again;
- the grant that completes the request runs what other rooms do then, in the same unit.
The database refuses the same through `release/guards.py`, whatever door is tried.
"""

from __future__ import annotations

import datetime

from registry.access import permissions
from registry.access.models import Actor, ActorKind
from registry.access.services import new_text
from registry.catalog.models import ModelVersion
from registry.errors import Conflict, Forbidden, Invalid
from registry.events import Caller, Ref, Unit, emit, unit
from registry.release import hooks, queries
from registry.release import status as rules
from registry.release.models import Approval, Decision, DecisionKind
from registry.release.services.gate import (
    check_alias,
    check_reason,
    evaluate,
    lock_model,
    refuse_blocked,
    write_verdict,
)


def request_approval(
    *, actor: Caller, version: ModelVersion, alias: str, reason: str, expires_at: datetime.datetime | None = None
) -> Approval:
    """Ask that a version may be promoted to an alias; Blocked when the gate refuses, with every reason."""
    role = permissions.require(actor, "approval.request", version.model.team_id)
    check_alias(alias)
    check_reason(reason)
    with unit(actor, role=role) as opened:
        model = lock_model(version.model)
        _refuse_signer(actor, version, opened.now)
        _refuse_second_request(version, alias)
        gate = evaluate(version, alias, opened.now)
        refuse_blocked(gate, f"A release of {version} to '{alias}'")
        verdict = write_verdict(opened, version, gate)
        rules_of_policy = queries.policy_rules(gate.policy)
        text = new_text(stream=f"model:{model.pk}", purpose="reason", value=reason, now=opened.now)
        assert model.use_case is not None  # the gate would have refused
        approval = Approval.objects.create(
            model=model, version=version, version_digest=version.digest, alias=alias, use_case=model.use_case,
            tier=model.use_case.tier, policy=gate.policy, policy_digest=gate.policy.digest, verdict=verdict,
            evidence_set_digest=verdict.evidence_set_digest, required=rules_of_policy.approvals_required, reason=text,
            requested_by_id=actor.actor_id, requested_at=opened.now,
            expires_at=_end(expires_at, opened.now, rules_of_policy.approval_valid_days),
        )  # fmt: skip
        emit("approval.requested", approval, text, team=model.team_id)
        return approval


def _refuse_signer(actor: Caller, version: ModelVersion, now: datetime.datetime) -> None:
    """The other way round than in `sign_waiver`: who excused a version does not ask for its release as well."""
    if version.waivers.filter(signed_by_id=actor.actor_id, ended_at=None, expires_at__gt=now).exists():
        raise Forbidden(
            "You signed a waiver for this version; somebody else has to ask for its release.",
            hint="Ask an engineer of the team.", code="own-work",
        )  # fmt: skip


def _end(asked: datetime.datetime | None, now: datetime.datetime, valid_days: int) -> datetime.datetime:
    latest = now + datetime.timedelta(days=valid_days)
    if asked is None:
        return latest
    if not now < asked <= latest:
        raise Invalid(
            f"The policy lets an approval last at most {valid_days} days from now.", hint="Correct 'expires_at'."
        )
    return asked


def _refuse_second_request(version: ModelVersion, alias: str) -> None:
    for other in queries.without_final_decision(queries.approvals_of(version).filter(alias=alias)):
        if queries.approval_status(other) == rules.REQUESTED:
            raise Conflict(
                f"{version} waits for an approval for '{alias}' already.",
                hint="Wait for the decision, or withdraw that request first.",
                code="requested-already",
                approval=str(other.pk),
            )


def grant_approval(*, actor: Caller, approval: Approval, reason: str) -> Decision:
    """Say yes. The last grant that is needed makes the approval granted."""
    role = permissions.require(actor, "approval.decide", approval.model.team_id)
    check_reason(reason)
    with unit(actor, role=role) as opened:
        row = _lock(approval)
        _refuse_decider(actor, row)
        now = _open_status(row)
        if any(d.decided_by_id == actor.actor_id and d.kind == DecisionKind.GRANTED for d in row.decisions.all()):
            raise Conflict("You granted this already.", hint=f"It needs {now.required} different people.")
        decision = _decide(opened, row, DecisionKind.GRANTED, role, reason)
        if now.grants + 1 >= row.required:
            hooks.run_when_granted(opened, row)
        return decision


def reject_approval(*, actor: Caller, approval: Approval, reason: str) -> Decision:
    """Say no. The request is over."""
    return _close(actor, approval, DecisionKind.REJECTED, reason)


def return_approval(*, actor: Caller, approval: Approval, reason: str) -> Decision:
    """Send the request back: something has to be supplied, and asked for again."""
    return _close(actor, approval, DecisionKind.RETURNED, reason)


def _close(actor: Caller, approval: Approval, kind: DecisionKind, reason: str) -> Decision:
    role = permissions.require(actor, "approval.decide", approval.model.team_id)
    check_reason(reason)
    with unit(actor, role=role) as opened:
        row = _lock(approval)
        _refuse_decider(actor, row)
        _undecided(row)
        return _decide(opened, row, kind, role, reason)


def withdraw_approval(*, actor: Caller, approval: Approval, reason: str) -> Decision:
    """Take one's own request back."""
    role = permissions.require(actor, "approval.withdraw", approval.model.team_id)
    check_reason(reason)
    with unit(actor, role=role) as opened:
        row = _lock(approval)
        if row.requested_by_id != actor.actor_id:
            raise Forbidden("Only who requested an approval withdraws it.", hint="Reject or return it instead.")
        _undecided(row)
        return _decide(opened, row, DecisionKind.WITHDRAWN, role, reason)


def revoke_approval(*, actor: Caller, approval: Approval, reason: str) -> Decision:
    """Take a yes back. What the alias serves is not moved by this: roll back or suspend."""
    role = permissions.require(actor, "approval.decide", approval.model.team_id)
    check_reason(reason)
    with unit(actor, role=role) as opened:
        row = _lock(approval)
        _refuse_non_person(actor)
        now = queries.status_of(row)
        if now.word in rules.FINAL or now.grants == 0:
            raise Conflict(f"The approval is {now.word}; only what was granted is revoked.", hint="Reject it instead.")
        return _decide(opened, row, DecisionKind.REVOKED, role, reason)


def _lock(approval: Approval) -> Approval:
    lock_model(approval.model)
    return queries.approvals_of(approval.version).get(pk=approval.pk)


def _open_status(approval: Approval) -> rules.Status:
    now = queries.status_of(approval)
    if now.word == rules.REQUESTED:
        return now
    hint = "Ask for a new approval; it will be bound to the present state."
    raise Conflict(
        " ".join([f"The approval is {now.word}; it cannot be granted.", *now.reasons]), hint=hint, code="not-open",
        status_now=now.word,
    )  # fmt: skip


def _undecided(approval: Approval) -> None:
    """A stale request may still be rejected, returned or withdrawn; one that is granted or over may not."""
    now = queries.status_of(approval)
    if now.word in rules.FINAL or now.grants >= now.required:
        raise Conflict(
            f"The approval is {now.word} already.", hint="A granted approval can be revoked.", code="not-open",
            status_now=now.word,
        )  # fmt: skip


def _refuse_decider(actor: Caller, approval: Approval) -> None:
    _refuse_non_person(actor)
    own = queries.own_work(actor.actor_id, approval.version, approval)
    if own is not None:
        raise Forbidden(own, hint="Ask another approver of the team.", code="own-work")


def _refuse_non_person(actor: Caller) -> None:
    if Actor.objects.get(pk=actor.actor_id).kind != ActorKind.PERSON:
        raise Forbidden("A decision is made by a person.", hint="Log in under your own name.", code="not-a-person")


def _decide(opened: Unit, approval: Approval, kind: DecisionKind, role: str, reason: str) -> Decision:
    text = new_text(stream=f"model:{approval.model_id}", purpose="reason", value=reason, now=opened.now)
    decision = Decision.objects.create(
        model_id=approval.model_id, approval=approval, kind=kind, role=role, reason=text,
        decided_by_id=opened.caller.actor_id, decided_at=opened.now,
    )  # fmt: skip
    verdict = approval.verdict
    refs = [Ref("verdict", verdict.digest, verdict.size_bytes)]
    emit(f"approval.{kind}", decision, text, team=approval.model.team_id, refs=refs, awaited=True)
    return decision

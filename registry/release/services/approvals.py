"""Approvals: an immutable request bound to bytes, evidence, policy, tier, alias and target, and append-only decisions on it.

Rules:
- who signed a waiver in force for the version does not request its approval;
- a request passes the gate first, with a fresh verdict that the request is bound to;
- who decides holds the role at that moment, or stands for somebody who does, is a person, and neither of the two asked, answered,
  brought the version or evidence about it, or requested a run that made or measured it, in person or by a service account;
- who decided, or whose deputy did, answers no question about it;
- the request needs so many grants by approvers and so many by compliance officers, by different people; none more is taken;
- a grant may carry conditions: an earlier end, a target. Grants that name different targets are refused;
- a request is returned with a question and goes on once an engineer of the team answers; meanwhile nothing is granted;
- one decides on an open request only: what is stale or expired has to be asked for again;
- the grant that completes the request runs what other rooms do then, in the same unit.
The database refuses the same through `release/guards.py`, whatever door is tried.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from registry.access import permissions
from registry.access.permissions import Authority
from registry.access.queries_responsibility import behind
from registry.access.services import new_text
from registry.catalog.models import ModelVersion
from registry.errors import Conflict, Forbidden, Invalid
from registry.events import Caller, Ref, Unit, emit, unit
from registry.release import deciding, hooks, queries
from registry.release import status as rules
from registry.release.alias_rules import require_alias
from registry.release.models import Approval, Decision, DecisionKind
from registry.release.services.gate import (
    check_alias,
    check_reason,
    evaluate,
    lock_model,
    refuse_blocked,
    write_verdict,
)
from registry.release.serving_models import AliasAction, Target


@dataclass(frozen=True)
class Conditions:
    """What a grant is limited to: an end before that of the request, one target."""

    expires_at: datetime.datetime | None = None
    target: Target | None = None


def request_approval(
    *,
    actor: Caller,
    version: ModelVersion,
    alias: str,
    reason: str,
    expires_at: datetime.datetime | None = None,
    target: Target | None = None,
) -> Approval:
    """Ask that a version may be promoted to an alias, anywhere or for one target; Blocked when the gate refuses, with reasons."""
    check_alias(alias)
    role = require_alias(actor, AliasAction.REQUEST, version.model.team_id, alias)
    check_reason(reason)
    _check_target(target, version)
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
            evidence_set_digest=verdict.evidence_set_digest, required=rules_of_policy.approvals_required,
            officers=getattr(rules_of_policy, "officers_required", 0), target=target, reason=text,
            requested_by_id=actor.actor_id, requested_at=opened.now,
            expires_at=_end(expires_at, opened.now, rules_of_policy.approval_valid_days),
        )  # fmt: skip
        emit("approval.requested", approval, text, team=model.team_id)
        return approval


def _check_target(target: Target | None, version: ModelVersion) -> None:
    if target is None:
        return
    if target.team_id != version.model.team_id:
        raise Invalid(f"{target} belongs to another team than {version.model}.", hint="Name a target of that team.")
    if target.ended_at is not None:
        raise Conflict(f"{target} has ended.", hint="Register what runs there now as a target of its own number.")


def _refuse_signer(actor: Caller, version: ModelVersion, now: datetime.datetime) -> None:
    """The other way round than in `sign_waiver`: who excused a version does not ask for its release, nor has a machine ask."""
    signers = {actor.actor_id, *(person for person, _ in behind([actor.actor_id]))}
    if version.waivers.filter(signed_by_id__in=signers, ended_at=None, expires_at__gt=now).exists():
        raise Forbidden(
            "You, or somebody who answers for you, signed a waiver for this version; somebody else has to ask for its release.",
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
    for other in queries.without_final_decision(queries.approvals_to_judge(version).filter(alias=alias)):
        word = queries.approval_status(other)
        if word in (rules.REQUESTED, rules.RETURNED):
            waits = "an approval" if word == rules.REQUESTED else "the answer to a question about an approval"
            raise Conflict(
                f"{version} waits for {waits} for '{alias}' already.",
                hint="Answer the question, or wait for the decision, or withdraw that request first.",
                code="requested-already",
                approval=str(other.pk),
            )


# --- decisions ---


def grant_approval(
    *,
    actor: Caller,
    approval: Approval,
    reason: str,
    expires_at: datetime.datetime | None = None,
    target: Target | None = None,
) -> Decision:
    """Say yes, with conditions or without. The last grant that is needed makes the approval granted."""
    with _deciding(actor, approval, DecisionKind.GRANTED, reason) as (opened, row, way, now):
        conditions = _conditions(row, now, expires_at, target, opened.now)
        decision = _decide(opened, row, DecisionKind.GRANTED, way.role, reason, conditions)
        if now.grants + 1 >= row.required:
            hooks.run_when_granted(opened, row)
        return decision


def _conditions(
    row: Approval,
    now: rules.Status,
    expires_at: datetime.datetime | None,
    target: Target | None,
    at: datetime.datetime,
) -> Conditions:
    if expires_at is not None and not at < expires_at <= row.expires_at:
        raise Invalid(
            f"A grant ends after now and not after the request, which ends {row.expires_at:%Y-%m-%d %H:%M} UTC.",
            hint="Correct 'expires_at', or leave it out.",
        )
    _check_target(target, row.version)
    if target is not None and now.target not in (None, target.pk):
        limited = Target.objects.select_related("team").get(pk=now.target)
        raise Conflict(
            f"The approval is limited to {limited} already; a grant for {target} would contradict it.",
            hint="Grant it for that target or without one, or reject it and have it asked for anew.",
            code="other-target",
        )
    return Conditions(expires_at, target)


def reject_approval(*, actor: Caller, approval: Approval, reason: str) -> Decision:
    """Say no. The request is over."""
    with _deciding(actor, approval, DecisionKind.REJECTED, reason) as (opened, row, way, _):
        return _decide(opened, row, DecisionKind.REJECTED, way.role, reason)


def return_approval(*, actor: Caller, approval: Approval, reason: str) -> Decision:
    """Send the request back with a question; it goes on once somebody answers."""
    with _deciding(actor, approval, DecisionKind.RETURNED, reason) as (opened, row, way, _):
        return _decide(opened, row, DecisionKind.RETURNED, way.role, reason)


def revoke_approval(*, actor: Caller, approval: Approval, reason: str) -> Decision:
    """Take a yes back. What the alias serves is not moved by this: roll back or suspend."""
    with _deciding(actor, approval, DecisionKind.REVOKED, reason) as (opened, row, way, _):
        return _decide(opened, row, DecisionKind.REVOKED, way.role, reason)


@contextmanager
def _deciding(
    actor: Caller, approval: Approval, kind: str, reason: str
) -> Iterator[tuple[Unit, Approval, Authority, rules.Status]]:
    """A unit in which one decision is written, under the role that allows it, in the name of whom it is made for.

    Who may, and whether the state allows it, is asked before (for the role that the unit is opened under) and again under the
    model's lock: a role or a grant that went meanwhile counts.
    """
    check_reason(reason)
    found = queries.approvals_to_judge(approval.version).get(pk=approval.pk)
    way = _way(actor, found, kind, queries.status_of(found))
    with unit(replace(actor, on_behalf_of=way.on_behalf_of), role=way.role) as opened:
        row = _lock(approval)
        permissions.hold_still(actor.actor_id, way)
        now = _demand_open(row, kind)
        if _way(actor, row, kind, now) != way:
            raise Conflict("Who has granted, or your role, changed at this moment.", hint="Look again, and try again.")
        yield opened, row, way, now


def _way(actor: Caller, row: Approval, kind: str, now: rules.Status) -> Authority:
    """Under which role the caller decides; refused when there is no way, or when the state allows none."""
    found = deciding.way_to_decide(actor.actor_id, row, kind=kind, now=now)
    if isinstance(found, Authority):
        return found
    if found.code in ("granted-already", "role-complete"):
        _demand_open(row, kind)
        raise Conflict(found.sentence, hint="Leave it to somebody else who may decide.", code=found.code)
    hints = {
        "own-work": "Ask another approver of the team.",
        "not-a-person": "Log in under your own name.",
    }
    otherwise = "Ask an administrator for the role, or ask somebody who has it."
    raise Forbidden(found.sentence, hint=hints.get(found.code, otherwise), code=found.code)


def _demand_open(row: Approval, kind: str) -> rules.Status:
    """The status, where it lets a decision of this kind be made; the refusal says what would."""
    now = queries.status_of(row)
    if rules.open_for(kind, now):
        return now
    members = {"code": "not-open", "status_now": now.word}
    if kind == DecisionKind.GRANTED:
        hint = "Ask for a new approval; it will be bound to the present state."
        if now.word == rules.GRANTED:
            hint = "It has every grant that it needs; the alias can be moved by it."
        if now.word == rules.RETURNED:
            hint = "A question about it waits for its answer; it goes on when somebody of the team has answered."
        raise Conflict(
            " ".join([f"The approval is {now.word}; it cannot be granted.", *now.reasons]), hint=hint, **members
        )
    if kind == DecisionKind.REVOKED:
        raise Conflict(f"The approval is {now.word}; only what was granted is revoked.", hint="Reject it.", **members)
    if kind == DecisionKind.ANSWERED:
        raise Conflict(f"The approval is {now.word}; there is no question to answer.", **members)
    if kind == DecisionKind.RETURNED and now.question:
        raise Conflict("A question about it waits for its answer already.", hint="Reject it, or wait.", **members)
    raise Conflict(f"The approval is {now.word} already.", hint="A granted approval can be revoked.", **members)


# --- acts of those who ask ---


def answer_approval(*, actor: Caller, approval: Approval, reason: str) -> Decision:
    """Answer the question with which the request was returned; those who decide can go on."""
    role = permissions.require(actor, "approval.answer", approval.model.team_id)
    check_reason(reason)
    with unit(actor, role=role) as opened:
        row = _lock(approval)
        _demand_open(row, DecisionKind.ANSWERED)
        people = {actor.actor_id, *(person for person, _ in behind([actor.actor_id]))}
        judged = [d for d in row.decisions.all() if d.kind != DecisionKind.ANSWERED]
        if any(people & {d.decided_by_id, d.on_behalf_of_id} for d in judged):
            raise Forbidden(
                "You decided on this approval, or somebody who stands behind you did; somebody else has to answer for it.",
                hint="Ask another engineer of the team.", code="own-work",
            )  # fmt: skip
        return _decide(opened, row, DecisionKind.ANSWERED, role, reason)


def withdraw_approval(*, actor: Caller, approval: Approval, reason: str) -> Decision:
    """Take one's own request back."""
    role = permissions.require(actor, "approval.withdraw", approval.model.team_id)
    check_reason(reason)
    with unit(actor, role=role) as opened:
        row = _lock(approval)
        if row.requested_by_id != actor.actor_id:
            raise Forbidden("Only who requested an approval withdraws it.", hint="Reject or return it instead.")
        _demand_open(row, DecisionKind.WITHDRAWN)
        return _decide(opened, row, DecisionKind.WITHDRAWN, role, reason)


def _lock(approval: Approval) -> Approval:
    lock_model(approval.model)
    return queries.approvals_to_judge(approval.version).get(pk=approval.pk)


def _decide(
    opened: Unit, approval: Approval, kind: DecisionKind, role: str, reason: str, conditions: Conditions | None = None
) -> Decision:
    newest = max((d.decided_at for d in approval.decisions.all()), default=opened.now)
    if newest > opened.now:
        raise Conflict(
            "The clock of this machine is behind the last decision.", hint="Correct the clock.", code="clock"
        )
    limits = conditions or Conditions()
    text = new_text(stream=f"model:{approval.model_id}", purpose="reason", value=reason, now=opened.now)
    decision = Decision.objects.create(
        model_id=approval.model_id, approval=approval, kind=kind, role=role, reason=text,
        decided_by_id=opened.caller.actor_id, on_behalf_of_id=opened.caller.on_behalf_of, decided_at=opened.now,
        expires_at=limits.expires_at, target=limits.target,
    )  # fmt: skip
    verdict = approval.verdict
    refs = [Ref("verdict", verdict.digest, verdict.size_bytes)]
    emit(f"approval.{kind}", decision, text, team=approval.model.team_id, refs=refs, awaited=True)
    return decision

"""The gate is evaluated and its verdict kept; exceptions from single rules are signed and end by themselves."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from registry import storage
from registry.access import permissions
from registry.access.queries_responsibility import hands_of
from registry.access.services import new_text
from registry.catalog import queries as catalog
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.digests import is_slug
from registry.errors import Blocked, Conflict, Forbidden, Invalid
from registry.events import Caller, Ref, Unit, emit, unit
from registry.release import inputs, queries
from registry.release.gates import GateInputs, GateResult, judge
from registry.release.models import Policy, Verdict, Waiver
from registry.release.verdicts import Subject, verdict_bytes


@dataclass(frozen=True)
class Gate:
    """An evaluation that is not written yet."""

    policy: Policy
    inputs: GateInputs
    result: GateResult
    alias: str


def lock_model(model: RegisteredModel) -> RegisteredModel:
    """Acts on one model's releases happen one after the other: every service of this room takes this lock first."""
    rows = RegisteredModel.objects.select_for_update(no_key=True, of=("self",))
    return rows.select_related("team", "use_case").get(pk=model.pk)


def check_alias(alias: str) -> None:
    """Refuse a name that no alias can have."""
    if not is_slug(alias) or not alias[0].isalpha():
        raise Invalid(
            f"{alias[:80]!r} is no name for an alias.",
            hint="Use 1 to 63 of a-z 0-9 . _ - , beginning with a letter, such as 'production'.",
        )


def evaluate(version: ModelVersion, alias: str, at: datetime.datetime, *, going_back: bool = False) -> Gate:
    """Judge a version under the policy in force; Blocked when nothing says under which one. `going_back`: by a roll-back."""
    beside = queries.compared_with(version.model, alias, version, going_back=going_back)
    gathered = inputs.gather(version, at, beside, back_on=alias if going_back else None)
    if gathered.tier is None:
        raise Blocked(
            f"{version.model} serves no use case, so no policy can judge a release of it.",
            hint="Assign a use case to the model; its tier decides the policy.",
            rules=[],
        )
    policy = queries.policy_in_force(gathered.tier, alias)
    if policy is None:
        raise Blocked(
            f"No policy is in force for releases of tier {gathered.tier} to '{alias}'.",
            hint="A policy must be authored and approved by two people; ready-made ones ship.",
            rules=[],
        )
    return Gate(policy, gathered, judge(queries.policy_rules(policy), gathered), alias)


def refuse_blocked(gate: Gate, what: str) -> None:
    """Blocked, with every rule that blocks and why."""
    if gate.result.outcome != "blocked":
        return
    rules = [
        {"rule": r.rule.id, "about": r.rule.about, "reason": r.reason, "waivable": r.rule.waivable}
        for r in gate.result.blocked
    ]
    raise Blocked(
        f"{what} is blocked by {len(rules)} of the rules of {gate.policy}: {rules[0]['reason']}",
        hint="Supply what is missing; a rule that may be waived can be waived by a compliance officer or approver.",
        rules=rules,
    )


def write_verdict(opened: Unit, version: ModelVersion, gate: Gate) -> Verdict:
    """Keep an evaluation inside an open unit: the document, the evidence set it looked at, the row, the event."""
    set_digest, set_bytes, _ = catalog.evidence_set(version)
    subject = Subject(
        version_id=version.pk, model_id=version.model_id, number=version.number, alias=gate.alias,
        policy_digest=gate.policy.digest, policy_slug=gate.policy.slug, policy_number=gate.policy.number,
        evidence_set_digest=set_digest,
    )  # fmt: skip
    evidence = storage.store_bytes(set_bytes)
    stored = storage.store_bytes(verdict_bytes(subject, gate.inputs, gate.result))
    verdict = Verdict.objects.create(
        model_id=version.model_id, version=version, version_digest=version.digest, alias=gate.alias,
        policy=gate.policy, policy_digest=gate.policy.digest, evidence_set_digest=set_digest,
        outcome=gate.result.outcome, digest=stored.digest, size_bytes=stored.size_bytes,
        created_by_id=opened.caller.actor_id, created_at=opened.now,
    )  # fmt: skip
    refs = [
        Ref("verdict", stored.digest, stored.size_bytes),
        Ref("evidence_set", evidence.digest, evidence.size_bytes),
        Ref("policy", gate.policy.digest, gate.policy.size_bytes),
    ]
    emit("verdict.given", verdict, team=version.model.team_id, refs=refs)
    return verdict


def evaluate_gate(*, actor: Caller, version: ModelVersion, alias: str) -> Verdict:
    """Ask the gate, and keep its answer whether it passes or blocks."""
    role = permissions.require(actor, "gate.evaluate", version.model.team_id)
    check_alias(alias)
    with unit(actor, role=role) as opened:
        lock_model(version.model)
        return write_verdict(opened, version, evaluate(version, alias, opened.now))


def sign_waiver(
    *, actor: Caller, version: ModelVersion, rule: str, reason: str, expires_at: datetime.datetime, alias: str = ""
) -> Waiver:
    """An exception from one rule, as it is worded now, for exactly this version, with a reason and an end."""
    role = permissions.require(actor, "waiver.sign", version.model.team_id)
    check_reason(reason)
    with unit(actor, role=role) as opened:
        model = lock_model(version.model)
        _refuse_own(actor, version)
        policy = queries.policy_in_force(model.use_case.tier if model.use_case else None, alias or None)
        if policy is None:
            raise Conflict("No policy is in force for this model.", hint="Assign a use case; approve a policy.")
        rules = queries.policy_rules(policy)
        found = rules.rule(rule)
        if found is None:
            known = ", ".join(r.id for r in rules.rules)
            raise Invalid(f"{policy} has no rule {rule[:80]!r}.", hint=f"Its rules are: {known}.")
        if not found.waivable:
            raise Forbidden(f"The rule '{rule}' of {policy} cannot be waived.", hint=found.about, code="not-waivable")
        longest = opened.now + datetime.timedelta(days=rules.waiver_valid_days)
        if not opened.now < expires_at <= longest:
            raise Invalid(
                f"A waiver under {policy} must end in the future, within {rules.waiver_valid_days} days.",
                hint="Correct 'expires_at'.",
            )
        text = new_text(stream=f"model:{model.pk}", purpose="reason", value=reason, now=opened.now)
        waiver = Waiver.objects.create(
            model=model, version=version, version_digest=version.digest, rule=rule, rule_digest=found.digest,
            reason=text, signed_by_id=actor.actor_id, signed_at=opened.now, expires_at=expires_at,
        )  # fmt: skip
        emit("waiver.signed", waiver, text, team=model.team_id)
        return waiver


def end_waiver(*, actor: Caller, waiver: Waiver, reason: str) -> Waiver:
    """Take an exception back before its end."""
    role = permissions.require(actor, "waiver.sign", waiver.model.team_id)
    check_reason(reason)
    with unit(actor, role=role) as opened:
        model = lock_model(waiver.model)
        row = Waiver.objects.select_for_update(no_key=True).get(pk=waiver.pk)
        if row.ended_at is not None:
            raise Conflict("This waiver was ended already.")
        row.ended_at = opened.now
        row.save(update_fields=["ended_at"])
        text = new_text(stream=f"model:{model.pk}", purpose="reason", value=reason, now=opened.now)
        emit("waiver.ended", row, text, team=model.team_id)
        return row


def check_reason(reason: str) -> None:
    """Every decision says why."""
    if not reason.strip():
        raise Invalid("The reason is empty.", hint="Say in a sentence why; auditors read it.")


def _refuse_own(actor: Caller, version: ModelVersion) -> None:
    own = queries.own_work(actor.actor_id, version)
    if own is None and version.approvals.filter(requested_by_id__in=hands_of(actor.actor_id)).exists():
        own = "You requested an approval of this version; somebody else has to sign its waivers."
    if own is not None:
        raise Forbidden(own, hint="Ask a compliance officer or approver who did not work on it.", code="own-work")

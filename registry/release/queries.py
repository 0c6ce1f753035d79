"""Reads of this room: which policy is in force, what an approval is worth now, where an alias points and pointed."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import lru_cache

from django.db.models import Count, F, Prefetch, Q, QuerySet
from django.utils import timezone

from registry import storage
from registry.access.queries import get_readable, readable
from registry.catalog import queries as catalog
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.digests import parse_canonical
from registry.errors import Conflict, NotFound
from registry.events import Caller
from registry.release import deciding
from registry.release import status as rules
from registry.release.models import (
    Alias,
    AliasAssignment,
    Approval,
    Decision,
    DecisionKind,
    MoveKind,
    Policy,
    Verdict,
    Waiver,
)
from registry.release.policy_language import PolicyRules, parse
from registry.release.quarantines import refuse_quarantined
from registry.release.serving_models import Target

# --- policies ---


def policy_rules(policy: rules.Ruling) -> PolicyRules:
    """What a policy says, read from its document: of a row, or of the image of one."""
    return _parsed(policy.digest)


@lru_cache(maxsize=64)
def _parsed(digest: str) -> PolicyRules:
    return parse(parse_canonical(storage.read_bytes(digest)))


def policies_in_force(at: datetime.datetime | None = None) -> list[Policy]:
    """Policies that judge releases at a moment (now), oldest first."""
    return rules.in_force(Policy.objects.filter(in_force_at__isnull=False), at or timezone.now())


def policy_in_force(tier: str | None, alias: str | None = None, at: datetime.datetime | None = None) -> Policy | None:
    """The one policy that judges releases of a tier (to an alias) at a moment; None when there is none."""
    return rules.judging(policies_in_force(at), tier, alias, policy_rules) if tier else None


def get_policy(slug: str, number: int) -> Policy:
    """A policy by name. Policies belong to the instance and are open to everybody in it."""
    row = Policy.objects.filter(slug=slug, number=number).first()
    if row is None:
        raise NotFound(f"There is no policy {slug}@{number}.", hint="`pressmark list-policies` lists those there are.")
    return row


# --- approvals ---


def _approvals() -> QuerySet[Approval]:
    given = ("decided_by", "on_behalf_of", "reason", "target__team")
    decisions = Decision.objects.select_related(*given).order_by("decided_at", "pk")
    related = (
        "model__team", "model__use_case", "version__model__team", "policy", "verdict", "reason", "requested_by",
        "use_case", "target__team",
    )  # fmt: skip
    return Approval.objects.select_related(*related).prefetch_related(Prefetch("decisions", queryset=decisions))


def get_approval(caller: Caller, approval_id: uuid.UUID | str) -> Approval:
    """An approval by id, with its decisions, if the caller may read its model."""
    return get_readable(_approvals(), caller, team="model__team", pk=approval_id)


def approvals(caller: Caller) -> QuerySet[Approval]:
    """All approvals that the caller may read, newest first."""
    return readable(_approvals(), caller, team="model__team").order_by("-pk")


def approvals_of(version: ModelVersion) -> QuerySet[Approval]:
    """The approvals of a version, newest first."""
    return _approvals().filter(version=version).order_by("-pk")


def approvals_to_judge(version: ModelVersion) -> QuerySet[Approval]:
    """The approvals of a version, newest first, with what judging them takes and no names to show: several times as fast."""
    return _to_judge().filter(version=version).order_by("-pk")


def _to_judge() -> QuerySet[Approval]:
    decisions = Decision.objects.order_by("decided_at", "pk")
    rows = Approval.objects.select_related("model__team", "version")
    return rows.prefetch_related(Prefetch("decisions", queryset=decisions))


def without_final_decision(rows: QuerySet[Approval]) -> QuerySet[Approval]:
    """Approvals that could still be requested, returned, granted or stale."""
    ended = Decision.objects.filter(kind__in=rules.FINAL).values("approval_id")
    return rows.exclude(pk__in=ended).filter(expires_at__gt=timezone.now())


def lacking_grants(rows: QuerySet[Approval]) -> QuerySet[Approval]:
    """Those whose grants are not complete: what was granted lives on for months, and is not judged to find what waits."""
    granted = Q(decisions__kind=rules.GRANTED)
    both = (rules.OFFICER, rules.APPROVER)
    given = {f"by_{role}": Count("decisions", filter=granted & Q(decisions__role=role)) for role in both}
    lacking = Q(by_compliance_officer__lt=F("officers")) | Q(by_approver__lt=F("required") - F("officers"))
    return rows.annotate(**given).filter(lacking)


def undecided_approvals(caller: Caller) -> list[tuple[Approval, rules.Status]]:
    """What has not all its grants: requested, returned with a question, and stale requests, oldest first."""
    rows = lacking_grants(without_final_decision(readable(_approvals(), caller, team="model__team"))).order_by("pk")
    found = ((row, status_of(row)) for row in rows)
    return [(row, now) for row, now in found if now.word != rules.EXPIRED and now.grants < now.required]


def open_approvals(caller: Caller) -> list[tuple[Approval, rules.Status]]:
    """What waits for a decision: requested, and stale requests that nobody has granted, oldest first."""
    return [(row, now) for row, now in undecided_approvals(caller) if now.word != rules.RETURNED]


def questions(caller: Caller) -> list[tuple[Approval, rules.Status]]:
    """What was returned with a question that waits for its answer, oldest first."""
    return [(row, now) for row, now in undecided_approvals(caller) if now.word == rules.RETURNED]


def corrected_since_grant(approval: Approval) -> bool:
    """Whether what is stated about the version (licence, training data) was corrected after the last grant: nobody saw it then."""
    request, acts = request_of(approval)
    granted_at = rules.completed_at(request, acts)
    return granted_at is not None and approval.version.corrections.filter(corrected_at__gt=granted_at).exists()


def may_decide(caller: Caller, approval: Approval) -> str | None:
    """None when the caller may decide on the approval; else the reason why not, as a sentence."""
    return deciding.why_not(caller.actor_id, approval)


def own_work(actor_id: uuid.UUID, version: ModelVersion, approval: Approval | None = None) -> str | None:
    """Why somebody may not judge a version, as a sentence; None when nothing stands against it."""
    return deciding.own_work(actor_id, version, approval)


def binding_now(version: ModelVersion, alias: str, at: datetime.datetime | None = None) -> rules.Binding:
    """What an approval of the version for an alias would be bound to at a moment (tier and use case: always the present ones)."""
    model = RegisteredModel.objects.select_related("use_case").get(pk=version.model_id)
    _, _, evidence = catalog.evidence_set(version)
    return rules.binding(
        version_digest=version.digest,
        evidence=[row.digest for row in evidence if at is None or row.created_at <= at],
        use_case=model.use_case,
        policies=policies_in_force(at),
        alias=alias,
        rules_of=policy_rules,
    )


def request_of(approval: Approval) -> tuple[rules.Request, list[rules.Act]]:
    """The request and its decisions as the rules read them."""
    acts = [
        rules.Act(d.kind, d.decided_by_id, d.decided_at, d.role, d.on_behalf_of_id, d.expires_at, d.target_id)
        for d in approval.decisions.all()
    ]
    binding = rules.Binding(
        version_digest=approval.version_digest,
        evidence_set_digest=approval.evidence_set_digest,
        policy_digest=approval.policy_digest,
        tier=approval.tier,
        use_case_id=approval.use_case_id,
    )
    request = rules.Request(
        binding, approval.required, approval.requested_at, approval.expires_at, approval.officers, approval.target_id
    )
    return request, acts


def status_of(approval: Approval, at: datetime.datetime | None = None) -> rules.Status:
    """The computed status with its numbers and reasons."""
    request, acts = request_of(approval)
    now = binding_now(approval.version, approval.alias, at)
    limited = rules.targets(request, acts)
    if limited:
        ended = Target.objects.filter(pk__in=limited, ended_at__lte=at or timezone.now())
        now = replace(now, ended_targets=frozenset(ended.values_list("pk", flat=True)))
    return rules.status(request, acts, now, at or rules.with_all_acts(timezone.now(), acts))


def was_granted(approval: Approval) -> bool:
    """Whether it had all its grants once and was not revoked, whatever changed since."""
    request, acts = request_of(approval)
    return rules.completed_at(request, acts) is not None and not any(act.kind == rules.REVOKED for act in acts)


def first_approved(model: RegisteredModel) -> ModelVersion | None:
    """The version of the model whose approval had all its grants first, whatever came of it since."""
    return first_approved_of([model.pk]).get(model.pk)


def first_approved_of(model_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, ModelVersion]:
    """The same for several models; one that never had an approval is not there."""
    found: dict[uuid.UUID, tuple[datetime.datetime, uuid.UUID, ModelVersion]] = {}
    for approval in _to_judge().filter(model__in=model_ids):
        moment = rules.completed_at(*request_of(approval))
        if moment is None:
            continue
        before = found.get(approval.model_id)
        if before is None or (moment, approval.pk) < before[:2]:
            found[approval.model_id] = (moment, approval.pk, approval.version)
    return {key: version for key, (_, _, version) in found.items()}


def approval_status(approval: Approval, at: datetime.datetime | None = None) -> str:
    """requested, returned, withdrawn, granted, rejected, stale, expired or revoked: computed, never stored."""
    return status_of(approval, at).word


# --- verdicts and waivers ---


def verdicts_of(version: ModelVersion) -> QuerySet[Verdict]:
    """The gate's answers for a version, newest first."""
    return Verdict.objects.filter(version=version).select_related("policy", "created_by").order_by("-pk")


def verdict_document(verdict: Verdict) -> dict[str, object]:
    """The whole verdict: every rule with its answer and reason."""
    body = parse_canonical(storage.read_bytes(verdict.digest))
    assert isinstance(body, dict)
    return dict(body)


def waivers_of(version: ModelVersion) -> QuerySet[Waiver]:
    """The waivers of a version, newest first."""
    return Waiver.objects.filter(version=version).select_related("reason", "signed_by").order_by("-pk")


def get_waiver(caller: Caller, waiver_id: uuid.UUID) -> Waiver:
    rows = Waiver.objects.select_related("version", "model", "reason", "signed_by")
    return get_readable(rows, caller, team="model__team", pk=waiver_id)


# --- aliases ---


def alias_moves(model: RegisteredModel, alias_slug: str) -> QuerySet[AliasAssignment]:
    """Every move of the alias with what its page names, newest first."""
    rows = AliasAssignment.objects.filter(alias__model=model, alias__slug=alias_slug)
    related = ("alias", "model__team", "version__model__team", "approval", "broken_glass", "reason", "assigned_by")
    return rows.select_related(*related).order_by("-number")


def incumbent(model: RegisteredModel, alias_slug: str) -> AliasAssignment | None:
    """The move that says what the alias serves now; None before the first promotion and while suspended."""
    newest = alias_moves(model, alias_slug).first()
    return newest if newest is not None and newest.version_id is not None else None


def served(model: RegisteredModel, alias_slug: str) -> ModelVersion | None:
    """What the alias serves now."""
    move = incumbent(model, alias_slug)
    return None if move is None else move.version


def aliases_with_approval(version: ModelVersion) -> list[str]:
    """The aliases that serve the version now by an approved move, by name."""
    slugs = Alias.objects.filter(model=version.model_id).order_by("slug").values_list("slug", flat=True)
    moves = {slug: incumbent(version.model, slug) for slug in slugs}
    return [slug for slug, move in moves.items() if move and move.version_id == version.pk and move.approval_id]


_FORWARD = (MoveKind.PROMOTED, MoveKind.BROKEN_GLASS)


def compared_with(
    model: RegisteredModel, alias_slug: str, version: ModelVersion, *, going_back: bool = False
) -> ModelVersion | None:
    """What a comparison of the version with the incumbent must have been made with to count for this alias.

    That is what the alias serves now. The way back must not need a comparison with what failed, and nothing is compared with
    itself: for a version to go back to, or one that is served already, it is what the version replaced when it was promoted last.
    """
    newest_move = moves_to_judge(model, alias_slug).first()
    now = newest_move.version if newest_move else None
    if not going_back and (now is None or now.pk != version.pk):
        return now
    history = list(moves_to_judge(model, alias_slug))
    brought = (i for i, m in enumerate(history) if m.version_id == version.pk and m.kind in _FORWARD)
    newest = next(brought, len(history))
    replaced = (m.version for m in history[newest + 1 :] if m.version_id not in (None, version.pk))
    return next(replaced, None)


def alias_history(model: RegisteredModel, alias_slug: str) -> list[AliasAssignment]:
    """All moves of the alias at once, newest first: for what asks about the way that it went."""
    return list(alias_moves(model, alias_slug))


def moves_to_judge(model: RegisteredModel, alias_slug: str) -> QuerySet[AliasAssignment]:
    """Every move of the alias, newest first, with what it served and no names to show."""
    rows = AliasAssignment.objects.filter(alias__model=model, alias__slug=alias_slug)
    return rows.select_related("alias", "version", "broken_glass").order_by("-number")


def assignment_at(model: RegisteredModel, alias_slug: str, moment: datetime.datetime) -> AliasAssignment | None:
    """The move in force at a moment: what was served then (its version is None while suspended)."""
    return alias_moves(model, alias_slug).filter(assigned_at__lte=moment).first()


def move_after(move: AliasAssignment) -> AliasAssignment | None:
    """The move that ended another one; None while that is in force."""
    return AliasAssignment.objects.filter(alias=move.alias_id, number=move.number + 1).first()


def granted_by(move: AliasAssignment) -> list[str]:
    """Who had granted what a move rests on when it was made, deputies with whom they stood for."""
    grants = Decision.objects.filter(
        approval=move.approval_id, kind=DecisionKind.GRANTED, decided_at__lte=move.assigned_at
    ).select_related("decided_by", "on_behalf_of")
    return [
        f"{row.decided_by} in the place of {row.on_behalf_of}" if row.on_behalf_of else str(row.decided_by)
        for row in grants.order_by("pk")
    ]


def served_between(
    model: RegisteredModel, alias_slug: str, start: datetime.datetime, end: datetime.datetime
) -> list[AliasAssignment]:
    """The moves that were in force at some moment of a stretch of time, oldest first, those that served nothing left out."""
    first = assignment_at(model, alias_slug, start)
    later = alias_moves(model, alias_slug).filter(assigned_at__gt=start, assigned_at__lte=end).order_by("number")
    return [move for move in [*([first] if first else []), *later] if move.version_id is not None]


def get_alias(caller: Caller, team_slug: str, model_slug: str, alias_slug: str) -> Alias:
    rows = Alias.objects.select_related("model__team")
    found = {"model__team__slug": team_slug, "model__slug": model_slug, "slug": alias_slug}
    return get_readable(rows, caller, team="model__team", **found)


def rollback_candidates(history: Sequence[AliasAssignment]) -> list[ModelVersion]:
    """Versions to go back to, nearest first: what was served before, with every roll-back undone.

    `history` is newest first. A version that was left by rolling back is no candidate until it is promoted again.
    """
    stack: list[ModelVersion] = []
    for move in reversed(history):
        version = move.version
        if version is None:
            continue
        if move.kind == MoveKind.ROLLED_BACK and version in stack:
            del stack[stack.index(version) + 1 :]
            continue
        if version in stack:
            stack.remove(version)
        stack.append(version)
    return stack[-2::-1] if len(stack) > 1 else []


def resolve(caller: Caller, ref: str) -> ModelVersion:
    """What a reference names, for who wants to use it: an alias that serves a version in quarantine answers Conflict."""
    version = find_version(caller, ref)
    if _is_alias(ref):
        refuse_quarantined(version)
    return version


def _is_alias(ref: str) -> bool:
    _, _, tail = ref.partition("@")
    return bool(tail) and tail[0].isalpha() and not tail.startswith("sha256:")


def find_version(caller: Caller, ref: str) -> ModelVersion:
    """`team/model@7`, `team/model@sha256:...` or `team/model@production`, to look at it."""
    if not _is_alias(ref):
        return catalog.get_version(caller, ref)
    name, _, tail = ref.partition("@")
    team_slug, _, model_slug = name.partition("/")
    alias = get_alias(caller, team_slug, model_slug, tail)
    move = incumbent(alias.model, alias.slug)
    if move is None or move.version is None:
        raise Conflict(
            f"{ref} serves nothing now: it is suspended.",
            hint="Ask who suspended it; its history says why.",
            code="suspended",
        )
    return move.version

"""The status of an approval, computed from its request, its decisions and the state of the world; it is never stored.

One reason: rows of the tables and images sealed in the ledger are judged by the same words, now and as of any moment before.
Rules:
- what has begun and not ended is in force; of the policies in force, the oldest that covers tier and alias judges;
- the tier is that of the model's use case, unless the use case has ended;
- withdrawn, rejected and revoked are final: the first of them decides, whatever came before or comes after;
- expired beats stale beats returned beats granted: an approval holds only until its end, and only for what it was given for;
- the end is the earliest of the request's own and of those that its grants set as a condition;
- stale means that the evidence set, the policy in force, the tier, the use case or the target is no longer the one approved;
- returned with a question, until somebody answers: the newest of the two decides;
- granted needs as many grants by different people as the request asks for, of which so many by compliance officers and the others
  by approvers; with fewer it is still requested. A deputy and whom he stands for are one person;
- grants that are limited to different targets allow nothing.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from registry.digests import evidence_set_document, sha256
from registry.release.policy_language import PolicyRules

APPROVER, OFFICER = "approver", "compliance_officer"
ANSWERED = "answered"
REQUESTED, RETURNED, WITHDRAWN, GRANTED, REJECTED, STALE, EXPIRED, REVOKED = (
    "requested", "returned", "withdrawn", "granted", "rejected", "stale", "expired", "revoked",
)  # fmt: skip
ALL = (REQUESTED, RETURNED, WITHDRAWN, GRANTED, REJECTED, STALE, EXPIRED, REVOKED)
FINAL = frozenset({WITHDRAWN, REJECTED, REVOKED})

CHANGE_SENTENCES = {
    "evidence": "The evidence about the version has changed since the approval was asked for.",
    "policy": "Another policy is in force than the one that the approval was asked under.",
    "tier": "The tier of the use case has changed.",
    "use_case": "The model serves another use case.",
    "version": "The version has another digest.",
    "target": "The target that it is limited to has ended.",
}


class Ruling(Protocol):
    """A policy, from its row or from its image."""

    @property
    def pk(self) -> uuid.UUID: ...
    @property
    def digest(self) -> str: ...
    @property
    def in_force_at(self) -> datetime.datetime | None: ...
    @property
    def ended_at(self) -> datetime.datetime | None: ...


class Purpose(Protocol):
    """A use case, from its row or from its image."""

    @property
    def pk(self) -> uuid.UUID: ...
    @property
    def tier(self) -> str: ...
    @property
    def ended_at(self) -> datetime.datetime | None: ...


R = TypeVar("R", bound=Ruling)
Moment = TypeVar("Moment", str, datetime.datetime)
"""A time, or its text in the one form, which sorts alike."""


@dataclass(frozen=True)
class Binding:
    """What an approval is given for. `ended_targets`: places where nothing runs any more."""

    version_digest: str
    evidence_set_digest: str
    policy_digest: str | None
    tier: str | None
    use_case_id: uuid.UUID | None
    ended_targets: frozenset[uuid.UUID] = frozenset()


@dataclass(frozen=True)
class Act:
    """One decision: what, by whom, when, under which role, in whose place; a grant with its conditions."""

    kind: str
    by: uuid.UUID
    at: datetime.datetime
    role: str = APPROVER
    on_behalf_of: uuid.UUID | None = None
    expires_at: datetime.datetime | None = None
    target: uuid.UUID | None = None

    @property
    def people(self) -> frozenset[uuid.UUID]:
        """Whoever stands behind it."""
        return frozenset({self.by} if self.on_behalf_of is None else {self.by, self.on_behalf_of})


@dataclass(frozen=True)
class Request:
    """The immutable request: it needs `required` grants, `officers` of them by compliance officers."""

    binding: Binding
    required: int
    requested_at: datetime.datetime
    expires_at: datetime.datetime
    officers: int = 0
    target: uuid.UUID | None = None


@dataclass(frozen=True)
class Status:
    """The word, how far it is, until when and where it holds, and what has changed since.

    `grants` counts only what was asked for: it reaches `required` when every role has given its grants.
    """

    word: str
    grants: int
    required: int
    changes: tuple[str, ...] = ()
    officers: int = 0
    officers_required: int = 0
    ends_at: datetime.datetime | None = None
    target: uuid.UUID | None = None
    disagree: bool = False
    """Its grants are limited to different targets."""
    question: bool = False
    """It was returned, and nobody has answered yet."""
    any_grant: bool = False
    """Somebody said yes, whether it counts or not."""

    @property
    def reasons(self) -> list[str]:
        """Plain sentences for what has changed, and for what its grants contradict."""
        said = [CHANGE_SENTENCES[change] for change in self.changes]
        return [*said, "Its grants are limited to different targets, so it allows nothing."] if self.disagree else said

    @property
    def missing(self) -> dict[str, int]:
        """How many grants are still needed, by role; roles that have given theirs are left out."""
        officers = self.officers_required - self.officers
        approvers = self.required - self.grants - officers
        return {role: n for role, n in ((APPROVER, approvers), (OFFICER, officers)) if n > 0}


def holds(begins: Moment | None, ends: Moment | None, at: Moment) -> bool:
    """Whether what begins and ends at these moments is in force at another."""
    return begins is not None and begins <= at and (ends is None or ends > at)


def in_force(policies: Iterable[R], at: datetime.datetime) -> list[R]:
    """The policies that judge releases at a moment, oldest first."""
    found = [p for p in policies if holds(p.in_force_at, p.ended_at, at)]
    return sorted(found, key=lambda p: (p.in_force_at, p.pk))


def judging(
    policies: Iterable[R], tier: str | None, alias: str | None, rules_of: Callable[[R], PolicyRules]
) -> R | None:
    """The one of the policies in force that judges releases of a tier (to an alias); None when there is none."""
    if tier is None:
        return None
    return next((p for p in policies if rules_of(p).covers(tier, alias)), None)


def binding(
    *,
    version_digest: str,
    evidence: Iterable[str],
    use_case: Purpose | None,
    policies: Iterable[R],
    alias: str,
    rules_of: Callable[[R], PolicyRules],
    ended_targets: Iterable[uuid.UUID] = (),
) -> Binding:
    """What an approval would be bound to, from the evidence there is, the model's use case and the policies in force."""
    tier = use_case.tier if use_case and use_case.ended_at is None else None
    policy = judging(policies, tier, alias, rules_of)
    return Binding(
        version_digest=version_digest,
        evidence_set_digest=sha256(evidence_set_document(evidence)),
        policy_digest=policy.digest if policy else None,
        tier=tier,
        use_case_id=use_case.pk if use_case else None,
        ended_targets=frozenset(ended_targets),
    )


def waiver_state(expires_at: Moment, ended_at: Moment | None, at: Moment) -> str:
    """in-force, expired, or ended before its time."""
    if ended_at is not None:
        return "ended"
    return "in-force" if expires_at > at else "expired"


def with_all_acts(at: datetime.datetime, acts: Iterable[Act]) -> datetime.datetime:
    """The moment to judge at: with every act there is, also of a machine whose clock is ahead."""
    return max([at, *(act.at for act in acts)])


def changes(then: Binding, now: Binding) -> tuple[str, ...]:
    """Which parts of the binding are no longer what was approved."""
    pairs = {
        "version": (then.version_digest, now.version_digest),
        "evidence": (then.evidence_set_digest, now.evidence_set_digest),
        "policy": (then.policy_digest, now.policy_digest),
        "tier": (then.tier, now.tier),
        "use_case": (then.use_case_id, now.use_case_id),
    }
    return tuple(name for name, (before, after) in pairs.items() if before != after)


def counted(request: Request, past: Iterable[Act]) -> list[Act]:
    """The grants that count, oldest first: by different people, and no more of a role than the request asks for."""
    left = {APPROVER: request.required - request.officers, OFFICER: request.officers}
    seen: set[uuid.UUID] = set()
    found = []
    for act in past:
        if act.kind != GRANTED:
            continue
        if not act.people & seen and left.get(act.role, 0) > 0:
            left[act.role] -= 1
            found.append(act)
        seen |= act.people
    return found


def completed_at(request: Request, acts: Iterable[Act]) -> datetime.datetime | None:
    """When the last grant that was asked for was given, whatever came of it since; None while one is missing."""
    grants = counted(request, sorted(acts, key=lambda a: a.at))
    return grants[-1].at if len(grants) >= request.required else None


def ends_at(request: Request, acts: Iterable[Act]) -> datetime.datetime:
    """The earliest of the request's end and of those that grants set as a condition."""
    return min([request.expires_at, *(a.expires_at for a in acts if a.kind == GRANTED and a.expires_at is not None)])


def targets(request: Request, acts: Iterable[Act]) -> frozenset[uuid.UUID]:
    """The places that the request or its grants limit it to: none means anywhere, more than one that they contradict."""
    named = {a.target for a in acts if a.kind == GRANTED} | {request.target}
    return frozenset(target for target in named if target is not None)


def is_returned(acts: Iterable[Act]) -> bool:
    """Whether a question waits for its answer. `acts`: oldest first."""
    newest = [a.kind for a in acts if a.kind in (RETURNED, ANSWERED)]
    return bool(newest) and newest[-1] == RETURNED


def status(request: Request, acts: Sequence[Act], now: Binding, at: datetime.datetime) -> Status:
    """The status at a moment, from the acts up to it."""
    past = sorted((a for a in acts if a.at <= at), key=lambda a: a.at)
    grants, limited, end = counted(request, past), targets(request, past), ends_at(request, past)
    changed = changes(request.binding, now) + (("target",) if limited & now.ended_targets else ())
    complete = len(grants) >= request.required and len(limited) <= 1
    final = next((a.kind for a in past if a.kind in FINAL), None)
    if final is not None:
        word = final
    elif at >= end:
        word = EXPIRED
    elif changed:
        word = STALE
    elif is_returned(past):
        word = RETURNED
    else:
        word = GRANTED if complete else REQUESTED
    return Status(
        word=word,
        grants=len(grants),
        required=request.required,
        changes=changed,
        officers=sum(act.role == OFFICER for act in grants),
        officers_required=request.officers,
        ends_at=end,
        target=next(iter(limited)) if len(limited) == 1 else None,
        disagree=len(limited) > 1,
        question=is_returned(past),
        any_grant=any(act.kind == GRANTED for act in past),
    )


def open_for(kind: str, now: Status) -> bool:
    """Whether the state lets a decision of this kind be made, whoever makes it."""
    if now.word in FINAL:
        return False
    undecided = now.grants < now.required
    allowed = {
        GRANTED: now.word == REQUESTED,
        REJECTED: undecided,
        RETURNED: undecided and not now.question,
        ANSWERED: now.question,
        WITHDRAWN: undecided,
        REVOKED: now.any_grant,
    }
    return allowed[kind]

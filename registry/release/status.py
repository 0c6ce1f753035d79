"""The status of an approval, computed from its request, its decisions and the state of the world; it is never stored.

One reason: rows of the tables and images sealed in the ledger are judged by the same words, now and as of any moment before.
Rules:
- what has begun and not ended is in force; of the policies in force, the oldest that covers tier and alias judges;
- the tier is that of the model's use case, unless the use case has ended;
- withdrawn, rejected, returned and revoked are final: the first of them decides, whatever came before or comes after;
- expired beats stale beats granted: an approval holds only until its end, and only for what it was given for;
- stale means that the evidence set, the policy in force, the tier or the use case is no longer the one that was approved;
- granted needs as many grants by different people as the request asks for; with fewer it is still requested.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from registry.digests import evidence_set_document, sha256
from registry.release.policy_language import PolicyRules

REQUESTED, RETURNED, WITHDRAWN, GRANTED, REJECTED, STALE, EXPIRED, REVOKED = (
    "requested", "returned", "withdrawn", "granted", "rejected", "stale", "expired", "revoked",
)  # fmt: skip
ALL = (REQUESTED, RETURNED, WITHDRAWN, GRANTED, REJECTED, STALE, EXPIRED, REVOKED)
FINAL = frozenset({RETURNED, WITHDRAWN, REJECTED, REVOKED})

CHANGE_SENTENCES = {
    "evidence": "The evidence about the version has changed since the approval was asked for.",
    "policy": "Another policy is in force than the one that the approval was asked under.",
    "tier": "The tier of the use case has changed.",
    "use_case": "The model serves another use case.",
    "version": "The version has another digest.",
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
    """What an approval is given for."""

    version_digest: str
    evidence_set_digest: str
    policy_digest: str | None
    tier: str | None
    use_case_id: uuid.UUID | None


@dataclass(frozen=True)
class Act:
    """One decision: what, by whom, when."""

    kind: str
    by: uuid.UUID
    at: datetime.datetime


@dataclass(frozen=True)
class Request:
    """The immutable request."""

    binding: Binding
    required: int
    requested_at: datetime.datetime
    expires_at: datetime.datetime


@dataclass(frozen=True)
class Status:
    """The word, how far it is, and what has changed since."""

    word: str
    grants: int
    required: int
    changes: tuple[str, ...] = ()

    @property
    def reasons(self) -> list[str]:
        """Plain sentences for what has changed."""
        return [CHANGE_SENTENCES[change] for change in self.changes]


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


def status(request: Request, acts: Sequence[Act], now: Binding, at: datetime.datetime) -> Status:
    """The status at a moment, from the acts up to it."""
    past = sorted((a for a in acts if a.at <= at), key=lambda a: a.at)
    grants = len({a.by for a in past if a.kind == GRANTED})
    changed = changes(request.binding, now)
    final = next((a.kind for a in past if a.kind in FINAL), None)
    if final is not None:
        word = final
    elif at >= request.expires_at:
        word = EXPIRED
    elif changed:
        word = STALE
    else:
        word = GRANTED if grants >= request.required else REQUESTED
    return Status(word, grants, request.required, changed)

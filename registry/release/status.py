"""The status of an approval, computed from its request, its decisions and the state of the world; it is never stored.

Rules:
- withdrawn, rejected, returned and revoked are final: the first of them decides, whatever came before or comes after;
- expired beats stale beats granted: an approval holds only until its end, and only for what it was given for;
- stale means that the evidence set, the policy in force, the tier or the use case is no longer the one that was approved;
- granted needs as many grants by different people as the request asks for; with fewer it is still requested.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

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

"""Writes of this room: webhooks, and whether a person wants mail. Keyword-only, the actor first."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence

from django.utils import timezone

from registry.access import permissions
from registry.access.models import Actor, ActorKind, Team
from registry.digests import sha256
from registry.errors import Conflict, Invalid
from registry.events import Caller, emit, unit
from registry.notices.addresses import check
from registry.notices.models import Outgoing, Preference, Webhook
from registry.notices.outbox import EVERYTHING
from registry.notices.rules import KINDS

SECRET_BYTES = 32
WEBHOOK_LIMIT = 50
"""In force at the same time: each is asked about in every act that is told."""


def register_webhook(*, actor: Caller, url: str, kinds: Sequence[str], team: Team | None = None) -> tuple[Webhook, str]:
    """An address that is told of these kinds of events. Returns its secret once; it is never shown again."""
    role = permissions.require(actor, "webhook.register", team.pk if team else None)
    check(url)
    asked = _check_kinds(kinds)
    with unit(actor, role=role) as opened:
        _lock_the_list()
        in_force = Webhook.objects.filter(ended_at=None, team=team)
        if in_force.filter(url=url).exists():
            raise Conflict("This address has a webhook here already.", hint="End that one first.")
        if Webhook.objects.filter(ended_at=None).count() >= WEBHOOK_LIMIT:
            raise Conflict(f"There are {WEBHOOK_LIMIT} webhooks already.", hint="End one that nobody needs.")
        secret = secrets.token_hex(SECRET_BYTES)
        row = Webhook.objects.create(
            team=team, url=url, url_digest=sha256(url.encode()), kinds=asked, secret=secret,
            created_by_id=actor.actor_id, created_at=opened.now,
        )  # fmt: skip
        emit("webhook.registered", row, team=team.pk if team else None)
        return row, secret


def rotate_webhook(*, actor: Caller, webhook: Webhook) -> tuple[Webhook, str]:
    """A new secret from now on; the old one signs nothing more. Returns it once."""
    role = permissions.require(actor, "webhook.register", webhook.team_id)
    with unit(actor, role=role):
        row = _in_force(webhook.pk)
        row.secret = secrets.token_hex(SECRET_BYTES)
        row.save(update_fields=["secret"])
        emit("webhook.rotated", row, team=row.team_id)
        return row, row.secret


def end_webhook(*, actor: Caller, webhook: Webhook) -> Webhook:
    """The address is told of nothing any more, nor of what waits for it."""
    role = permissions.require(actor, "webhook.end", webhook.team_id)
    with unit(actor, role=role) as opened:
        row = _in_force(webhook.pk)
        row.ended_at = opened.now
        row.save(update_fields=["ended_at"])
        Outgoing.objects.filter(webhook=row, sent_at=None).update(next_attempt_at=None, lease_until=None)
        emit("webhook.ended", row, team=row.team_id)
        return row


def resend_webhook(*, actor: Caller, webhook: Webhook) -> int:
    """Try again what was given up, from the first attempt on; how many notices wait anew. Operational: nothing is sealed."""
    permissions.require(actor, "webhook.register", webhook.team_id)
    if webhook.ended_at is not None:
        raise Conflict("This webhook has ended.", hint="Register another one; what it missed stands in the ledger.")
    lost = Outgoing.objects.filter(webhook=webhook, given_up_at__isnull=False, sent_at=None)
    return lost.update(given_up_at=None, attempts=0, next_attempt_at=timezone.now(), lease_until=None)


def choose_mail(*, actor: Caller, wanted: bool) -> bool:
    """Whether the caller wants notices as mail. Operational: nothing is sealed."""
    Preference.objects.update_or_create(
        actor_id=actor.actor_id, defaults={"mail": wanted, "changed_at": timezone.now()}
    )
    return wanted


def _lock_the_list() -> None:
    """Two administrators register one after the other: the account of the system is the row that there is always one of."""
    Actor.objects.select_for_update(no_key=True).get(kind=ActorKind.SYSTEM)


def _in_force(key: uuid.UUID) -> Webhook:
    row = Webhook.objects.select_for_update(no_key=True).get(pk=key)
    if row.ended_at is not None:
        raise Conflict("This webhook has ended.", hint="Register another one.")
    return row


def _check_kinds(kinds: Sequence[str]) -> list[str]:
    asked = sorted(set(kinds))
    if not asked:
        raise Invalid("A webhook asks for no kind of event.", hint=f"Name some, or {EVERYTHING!r} for all of them.")
    unknown = [kind for kind in asked if kind not in KINDS and kind != EVERYTHING]
    if unknown:
        raise Invalid(
            f"{unknown[0][:60]!r} is no kind that webhooks are told of.",
            hint="docs/notices.md and the page of webhooks list them.",
        )
    return [EVERYTHING] if EVERYTHING in asked else asked

"""Reads of this room: what somebody was told, the webhooks for those who run them, and what could not be delivered."""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from registry.access import permissions
from registry.access.models import Role
from registry.access.permissions import PERMISSIONS, roles_of
from registry.access.queries import get_team, readable_team_ids
from registry.errors import Forbidden, Invalid, NotFound
from registry.events import Caller
from registry.notices.models import Channel, Outgoing, Preference, Webhook

PAGE_ROWS = 50
GIVEN_UP_SHOWN = datetime.timedelta(days=7)


@dataclass(frozen=True)
class Delivery:
    """How a webhook fares."""

    waiting: int
    given_up: int
    last_sent_at: datetime.datetime | None
    last_error: str


def notices_of(caller: Caller) -> QuerySet[Outgoing]:
    """What the caller was told, newest first; not what belongs to a team that he may not read any more."""
    rows = Outgoing.objects.filter(actor_id=caller.actor_id).order_by("-created_at", "-pk")
    teams = readable_team_ids(caller.actor_id)
    if teams is None:
        return rows
    return rows.filter(Q(body__team=None) | Q(body__team__in=[str(key) for key in teams]))


def page_of_notices(caller: Caller, before: str = "", limit: str = "") -> tuple[list[Outgoing], str | None]:
    """A page of what the caller was told: newest first, those after the notice `before`; and the id to go on with."""
    rows = notices_of(caller)
    if not (limit or str(PAGE_ROWS)).isdigit() or not 1 <= int(limit or PAGE_ROWS) <= PAGE_ROWS:
        raise Invalid(f"A page has 1 to {PAGE_ROWS} notices.", hint="Correct 'limit'.")
    if before:
        last = rows.filter(pk=before).first()
        if last is None:
            raise Invalid("'before' names no notice of yours.", hint="Use 'next' of the page before.")
        rows = rows.filter(Q(created_at__lt=last.created_at) | Q(created_at=last.created_at, pk__lt=last.pk))
    count = int(limit or PAGE_ROWS)
    found = list(rows[: count + 1])
    return found[:count], found[count - 1].pk if len(found) > count else None


def wants_mail(caller: Caller) -> bool:
    """What the caller chose; mail, where nothing was chosen."""
    return not Preference.objects.filter(actor_id=caller.actor_id, mail=False).exists()


def may_run_webhooks(caller: Caller) -> bool:
    """Whether the caller is administrator of anything."""
    return permissions.may(caller.actor_id, "webhook.register", None) or bool(_teams_run(caller))


def webhooks(caller: Caller, team_slug: str = "") -> QuerySet[Webhook]:
    """The webhooks of the teams that the caller administers, of one team, or of the whole instance; newest first."""
    rows = Webhook.objects.select_related("team", "created_by").order_by("-pk")
    if team_slug:
        team = get_team(caller, team_slug)
        permissions.require(caller, "webhook.register", team.pk)
        return rows.filter(team=team)
    if permissions.may(caller.actor_id, "webhook.register", None):
        return rows
    teams = _teams_run(caller)
    if not teams:
        raise Forbidden("Webhooks are for administrators.", hint="Ask an administrator of your team.")
    return rows.filter(team__in=teams)


def get_webhook(caller: Caller, key: uuid.UUID) -> Webhook:
    """A webhook by id, for whoever runs it."""
    row = Webhook.objects.select_related("team", "created_by").filter(pk=key).first()
    if row is None or not permissions.may(caller.actor_id, "webhook.register", row.team_id):
        raise NotFound("There is no such webhook, or you do not run it.", hint="The list of webhooks has the ids.")
    return row


def _teams_run(caller: Caller) -> set[uuid.UUID]:
    teams = readable_team_ids(caller.actor_id) or set()
    allowed: frozenset[Role] = PERMISSIONS["webhook.register"]
    return {team for team in teams if roles_of(caller.actor_id, team) & allowed}


def delivery(webhook: Webhook) -> Delivery:
    """What waits for a webhook, what was given up, and how the last attempts went."""
    rows = Outgoing.objects.filter(webhook=webhook)
    counts = rows.aggregate(
        waiting=Count("pk", filter=Q(next_attempt_at__isnull=False)),
        given_up=Count("pk", filter=Q(given_up_at__isnull=False)),
    )
    sent = rows.filter(sent_at__isnull=False).order_by("-sent_at").first()
    failing = rows.exclude(last_error="").order_by("-created_at").first()
    return Delivery(
        counts["waiting"], counts["given_up"], sent.sent_at if sent else None, failing.last_error if failing else ""
    )


def troubles(now: datetime.datetime | None = None) -> list[str]:
    """What could not be delivered in the last week, a sentence for each destination; no receiver and no address is named."""
    since = (now or timezone.now()) - GIVEN_UP_SHOWN
    lost = Outgoing.objects.filter(given_up_at__gt=since)
    found = []
    mails = lost.filter(channel=Channel.MAIL).order_by("-given_up_at")
    if newest := mails.first():
        found.append(
            f"{mails.count()} notices by mail were given up in the last week; the last one: {newest.last_error}."
        )
    for key, count in lost.exclude(webhook=None).values_list("webhook_id").annotate(Count("pk")).order_by("webhook_id"):
        last = lost.filter(webhook_id=key).order_by("-given_up_at")[0]
        found.append(
            f"{count} notices to the webhook {key} were given up in the last week; the last one: {last.last_error}."
        )
    return found

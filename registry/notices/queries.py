"""Reads of this room: what somebody was told, the webhooks for those who run them, and what could not be delivered."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count, Max, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from registry.access import permissions
from registry.access.models import Membership
from registry.access.permissions import PERMISSIONS
from registry.access.queries import get_team, readable_team_ids
from registry.errors import Forbidden, Invalid, NotFound
from registry.events import Caller
from registry.notices.addresses import place_of
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


def may_see_webhooks(caller: Caller) -> bool:
    """Whether the caller may see the webhooks of anything."""
    return bool(_seen_by(caller))


def may_run(caller: Caller, webhook: Webhook) -> bool:
    """Whether the caller administers the webhook."""
    return permissions.may(caller.actor_id, "webhook.register", webhook.team_id)


def address_of(caller: Caller, webhook: Webhook) -> str:
    """The address for who runs it; for who only watches over it the place without the path, which may hold a password."""
    url: str = webhook.url
    if may_run(caller, webhook):
        return url
    place = place_of(url)
    return f"{place.scheme}://{place.host}/..."


def webhooks(caller: Caller, team_slug: str = "") -> QuerySet[Webhook]:
    """The webhooks of the teams that the caller watches over, of one team, or of the whole instance; newest first."""
    rows = Webhook.objects.select_related("team", "created_by").order_by("-pk")
    if team_slug:
        team = get_team(caller, team_slug)
        permissions.require(caller, "webhook.read", team.pk)
        return rows.filter(team=team)
    teams = _seen_by(caller)
    if not teams:
        raise Forbidden(
            "Webhooks are for administrators, compliance officers and auditors.",
            hint="Ask an administrator of your team.",
        )
    return rows if None in teams else rows.filter(team__in=[key for key in teams if key])


def get_webhook(caller: Caller, key: uuid.UUID) -> Webhook:
    """A webhook by id, for whoever runs it."""
    row = Webhook.objects.select_related("team", "created_by").filter(pk=key).first()
    if row is None or not may_run(caller, row):
        raise NotFound("There is no such webhook, or you do not run it.", hint="The list of webhooks has the ids.")
    return row


def _seen_by(caller: Caller) -> set[uuid.UUID | None]:
    """The teams whose webhooks the caller may see; None among them stands for the whole instance."""
    held = Membership.objects.filter(actor_id=caller.actor_id, ended_at=None, role__in=PERMISSIONS["webhook.read"])
    return {row.team_id for row in held if row.in_force()}


def deliveries(webhooks: Iterable[Webhook]) -> dict[uuid.UUID, Delivery]:
    """What waits for each webhook, what was given up, and how the last attempts went."""
    keys = [webhook.pk for webhook in webhooks]
    counted = Outgoing.objects.filter(webhook__in=keys).values("webhook_id")
    rows = counted.annotate(
        waiting=Count("pk", filter=Q(next_attempt_at__isnull=False)),
        given_up=Count("pk", filter=Q(given_up_at__isnull=False)),
        sent=Max("sent_at"),
    )
    failing = Outgoing.objects.filter(webhook=OuterRef("pk")).exclude(last_error="").order_by("-created_at")
    newest = Webhook.objects.filter(pk__in=keys).annotate(said=Subquery(failing.values("last_error")[:1]))
    said = dict(newest.values_list("pk", "said"))
    found = {
        r["webhook_id"]: Delivery(r["waiting"], r["given_up"], r["sent"], said[r["webhook_id"]] or "") for r in rows
    }
    return {key: found.get(key, Delivery(0, 0, None, "")) for key in keys}


def delivery(webhook: Webhook) -> Delivery:
    """The same for one."""
    return deliveries([webhook])[webhook.pk]


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

"""The outbox: what is to be told is written in the transaction of what it tells, and in no other.

Rules:
- `write` runs in the unit before the ledger appends: nothing is told that did not happen, and nothing that happened is forgotten;
- one notice for a person per kind and stream in a unit, however many events say it; a webhook gets each event;
- an id is the dedup key, and the Message-ID of the mail: what is sent twice can be told from two notices;
- mail leaves only to whoever wants it and has an address, where a mail server is set; else the notice is for the page alone.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings

from registry.access.models import Team
from registry.events import PendingEvent, Unit
from registry.notices import happenings
from registry.notices.happenings import Happening
from registry.notices.models import Channel, Outgoing, Preference, Webhook
from registry.notices.receivers import People, active_people
from registry.notices.rules import REMINDERS, RULES, Rule
from registry.notices.subjects import Subject, Things

BATCH_ROWS = 500
EVERYTHING = "*"
WEBHOOK_TYPE = "pressmark/notice/1"


def write(opened: Unit) -> None:
    """Stands in `registry.events.before_appending`: the notices of a unit's events."""
    told = [event for event in opened.events if event.kind in RULES]
    if not told:
        return
    hooks = _hooks_in_force()
    happened = list(_happenings(told, one_by_one=bool(hooks)))
    if happened:
        Outgoing.objects.bulk_create(rows_of(happened, hooks, opened.now), batch_size=BATCH_ROWS)


def write_reminders(told: Sequence[Happening], now: datetime.datetime) -> int:
    """The notices of ends that come near, those that were written before left out; how many were new."""
    rows = rows_of(told, _hooks_in_force(), now)
    known = set(Outgoing.objects.filter(pk__in=[row.pk for row in rows]).values_list("pk", flat=True))
    new = [row for row in rows if row.pk not in known]
    Outgoing.objects.bulk_create(new, batch_size=BATCH_ROWS, ignore_conflicts=True)  # another keeper may be at it too
    return len(new)


def rows_of(told: Sequence[Happening], hooks: Sequence[Webhook], now: datetime.datetime) -> list[Outgoing]:
    """Every notice of these happenings, for people and for webhooks; nothing is written yet."""
    things = Things.of(told)
    return [*_for_people(told, things, now), *_for_webhooks(told, hooks, things, now)]


def rule_of(kind: str) -> Rule:
    """The line of the table."""
    return RULES.get(kind) or REMINDERS[kind]


def _happenings(events: Sequence[PendingEvent], *, one_by_one: bool) -> Iterator[Happening]:
    """The events to be told; where nobody is named in them, the first of a kind in a stream stands for all (a recall has many)."""
    heaps: dict[tuple[str, str], list[PendingEvent]] = {}
    for event in events:
        if one_by_one or RULES[event.kind].to:
            heaps.setdefault((event.kind, event.stream), []).append(event)
    for (kind, _), heap in heaps.items():
        if RULES[kind].of_the_stream and not one_by_one:
            yield happenings.of_event(heap[0], len(heap) - 1)
        else:
            yield from map(happenings.of_event, heap)


# --- people ---


def _for_people(told: Sequence[Happening], things: Things, now: datetime.datetime) -> list[Outgoing]:
    people = People(now, things)
    heaps: dict[tuple[str, str, uuid.UUID], list[tuple[Happening, str]]] = {}
    for happening in told:
        heap_of = happening.stream if happening.event else happening.key
        for actor, reason in people.of(happening, rule_of(happening.kind)).items():
            heaps.setdefault((happening.kind, heap_of, actor), []).append((happening, reason))
    if not heaps:
        return []
    receivers = {actor for _, _, actor in heaps}
    addresses = active_people(receivers)
    silent = set(Preference.objects.filter(mail=False, actor_id__in=receivers).values_list("actor_id", flat=True))
    subjects: dict[str, Subject] = {}
    rows = []
    for (_, _, actor), heap in heaps.items():
        first, reason = heap[0]
        if actor not in addresses:
            continue
        if first.key not in subjects:
            subjects[first.key] = things.subject(first)
        mailed = bool(settings.PRESSMARK_MAIL_HOST and addresses[actor]) and actor not in silent
        notice = Outgoing(
            id=f"mail.{first.key}.{actor.hex}", event_id=first.event, kind=first.kind,
            channel=Channel.MAIL if mailed else Channel.PAGE, actor_id=actor,
            body=_body(first, subjects[first.key], reason, more=len(heap) > 1 or first.is_more_than_one),
            created_at=now, next_attempt_at=now if mailed else None,
        )  # fmt: skip
        rows.append(notice)
    return rows


def _body(happening: Happening, subject: Subject, reason: str, *, more: bool) -> dict[str, Any]:
    rule = rule_of(happening.kind)
    says = rule.says.format(about=subject.words, until=happening.until)
    return {
        "at": happening.at,
        "do": rule.do,
        "more": more,
        "path": "" if rule.personal else subject.path,
        "reason": reason,
        "says": says,
        "team": None if rule.personal or happening.team is None else str(happening.team),
    }


# --- webhooks ---


def _hooks_in_force() -> list[Webhook]:
    return list(Webhook.objects.filter(ended_at=None))


def _for_webhooks(
    told: Sequence[Happening], hooks: Sequence[Webhook], things: Things, now: datetime.datetime
) -> list[Outgoing]:
    teams = {happening.team for happening in told if happening.team}
    slugs = dict(Team.objects.filter(pk__in=teams).values_list("pk", "slug")) if hooks else {}
    rows = []
    for happening in told:
        asking = [hook for hook in hooks if _asks(hook, happening)]
        if not asking:
            continue
        body = {
            "at": happening.at,
            "event": happening.key,
            "kind": happening.kind,
            "stream": happening.stream,
            "subject": things.subject(happening).words,
            "subjects": [{"id": str(key), "type": type_} for type_, key, _ in happening.records],
            "team": slugs[happening.team] if happening.team else None,
            "type": WEBHOOK_TYPE,
        }
        for hook in asking:
            notice = Outgoing(
                id=f"hook.{happening.key}.{hook.pk.hex}", event_id=happening.event, kind=happening.kind,
                channel=Channel.WEBHOOK, webhook=hook, body=body, created_at=now, next_attempt_at=now,
            )  # fmt: skip
            rows.append(notice)
    return rows


def _asks(hook: Webhook, happening: Happening) -> bool:
    in_reach = hook.team_id is None or hook.team_id == happening.team
    return in_reach and (EVERYTHING in hook.kinds or happening.kind in hook.kinds)

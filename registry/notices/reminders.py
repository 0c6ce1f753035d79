"""Ends that come near, told once each: fourteen days and two days before, and a finding on the day after it was due.

Rules:
- an end is told under a lead only if it was further away at the beginning: a token for a day is announced by nobody;
- close to the end the nearer lead alone is told, so that a keeper which stood still for a week does not tell twice at once;
- an end that is moved is another end; what has ended, was withdrawn, or was replaced by a longer grant is told no more; a request
  for a longer one replaces nothing yet;
- what was told is not read again: a turn costs little however much is overdue;
- the end of a service account's token is told to who answers for the account, and to who issued it;
- time decides nothing here: what an end means is judged where it is used.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator

from django.db.models import Exists, OuterRef, Q

from registry.access.models import ActorKind, Deputyship, Membership, Token
from registry.access.queries_responsibility import responsible_for
from registry.digests import time_text
from registry.governed import GovernedModel
from registry.images import image, record_type_of
from registry.notices.happenings import Happening
from registry.notices.models import Outgoing
from registry.notices.outbox import write_reminders
from registry.oversight.models import Attestation, Finding, Review
from registry.oversight.queries import team_of_stream
from registry.release.models import Approval, Decision, DecisionKind, Waiver

LEADS_DAYS = (2, 14)
KEPT = datetime.timedelta(days=400)
_EPOCH = datetime.date(1970, 1, 1)
_DONE = (DecisionKind.WITHDRAWN, DecisionKind.REJECTED, DecisionKind.REVOKED)
_DAY = datetime.timedelta(days=1)
Ahead = tuple[str, GovernedModel, int, datetime.date]
"""A kind, the row that ends, the lead in days, and the day."""


def write(now: datetime.datetime | None = None) -> int:
    """Tell what comes near and was not told yet, and forget notices of long ago; how many are new."""
    moment = now or datetime.datetime.now(datetime.UTC)
    Outgoing.objects.filter(created_at__lt=moment - KEPT, next_attempt_at=None).delete()
    told = Outgoing.objects.filter(event_id=None).values_list("pk", flat=True)
    known = frozenset(key.split(".")[1] for key in told)
    return write_reminders(list(coming(moment, known)), moment)


def coming(now: datetime.datetime, known: frozenset[str] = frozenset()) -> Iterator[Happening]:
    """Everything that ends within the longest lead, and findings that are overdue, without what was told before."""
    for kind, row, lead, day in _coming(now):
        if _key(row, lead, day) not in known:
            yield happening(kind, row, lead, day, now)


def _coming(now: datetime.datetime) -> Iterator[Ahead]:
    until = now + max(LEADS_DAYS) * _DAY
    for approval, ends_at in _approvals(now, until):
        yield from _ending("approval.ending", approval, approval.requested_at, ends_at, now)
    for waiver in Waiver.objects.filter(ended_at=None, expires_at__gt=now, expires_at__lte=until):
        yield from _ending("waiver.ending", waiver, waiver.signed_at, waiver.expires_at, now)
    for statement in Attestation.objects.filter(ended_at=None, expires_at__gt=now, expires_at__lte=until):
        yield from _ending("attestation.ending", statement, statement.signed_at, statement.expires_at, now)
    for review in _reviews(now, until):
        yield from _ending("review.ending", review, review.reviewed_at, _begin_of(review.next_on), now)
    for deputyship in Deputyship.objects.filter(ended_at=None, ends_at__gt=now, ends_at__lte=until):
        yield from _ending("deputyship.ending", deputyship, deputyship.created_at, deputyship.ends_at, now)
    memberships = Membership.objects.filter(ended_at=None, actor__ended_at=None)
    for membership in memberships.filter(expires_at__gt=now, expires_at__lte=until):
        yield from _ending("membership.ending", membership, membership.created_at, membership.expires_at, now)
    yield from _tokens(now, until)
    yield from _overdue(now)


def _ending(
    kind: str, row: GovernedModel, began: datetime.datetime, ends_at: datetime.datetime | None, now: datetime.datetime
) -> Iterator[Ahead]:
    """One under the nearest lead, if the end was further away than that when it began."""
    lead = next((days for days in LEADS_DAYS if ends_at and ends_at - now <= days * _DAY), None)
    if ends_at is not None and lead is not None and ends_at - began > lead * _DAY:
        yield kind, row, lead, ends_at.date()


def happening(kind: str, row: GovernedModel, lead: int, day: datetime.date, now: datetime.datetime) -> Happening:
    """That a row ends on a day, `lead` days away at most."""
    record_type, sealed = record_type_of(type(row)), image(row)
    stream = record_type.stream(row.pk, sealed)
    extra: frozenset[uuid.UUID] = frozenset()
    if isinstance(row, Token) and row.actor.kind == ActorKind.SERVICE:
        extra = frozenset(person.pk for person in responsible_for([row.actor_id]).values())
    return Happening(
        kind=kind, key=_key(row, lead, day), at=time_text(now), stream=stream,
        team=team_of_stream(stream), records=((record_type.name, row.pk, sealed),), until=day.isoformat(),
        extra=extra,
    )  # fmt: skip


def _key(row: GovernedModel, lead: int, day: datetime.date) -> str:
    return f"{lead:02d}-{row.pk.hex}-{(day - _EPOCH).days}"


def _approvals(now: datetime.datetime, until: datetime.datetime) -> Iterator[tuple[Approval, datetime.datetime]]:
    """Approvals that still count, with their effective end: the earliest of their own and those of their grants."""
    acts = Decision.objects.filter(approval=OuterRef("pk"))
    longer = Approval.objects.filter(
        version=OuterRef("version"), alias=OuterRef("alias"), expires_at__gt=OuterRef("expires_at"),
        decisions__kind=DecisionKind.GRANTED,
    )  # fmt: skip
    rows = Approval.objects.filter(
        Q(expires_at__lte=until) | Q(decisions__expires_at__lte=until), ~Exists(acts.filter(kind__in=_DONE)),
        ~Exists(longer.exclude(decisions__kind__in=_DONE)), expires_at__gt=now,
    )  # fmt: skip
    for row in rows.distinct().prefetch_related("decisions"):
        ends = [d.expires_at for d in row.decisions.all() if d.kind == DecisionKind.GRANTED and d.expires_at]
        ends_at = min([row.expires_at, *ends])
        if now < ends_at <= until:
            yield row, ends_at


def _reviews(now: datetime.datetime, until: datetime.datetime) -> Iterator[Review]:
    """The newest review of each thing, where its next one is due."""
    newer = Review.objects.filter(
        about=OuterRef("about"), kind=OuterRef("kind"), reviewed_at__gt=OuterRef("reviewed_at")
    )
    yield from Review.objects.filter(~Exists(newer), next_on__gt=now.date(), next_on__lte=until.date())


def _tokens(now: datetime.datetime, until: datetime.datetime) -> Iterator[Ahead]:
    rows = Token.objects.filter(ended_at=None, actor__ended_at=None, expires_at__gt=now, expires_at__lte=until)
    for token in rows.select_related("actor"):
        yield from _ending("token.ending", token, token.created_at, token.expires_at, now)


def _overdue(now: datetime.datetime) -> Iterator[Ahead]:
    open_ = Finding.objects.filter(closed_at=None, due_on__lt=now.date()).exclude(state=Finding.State.FIXED)
    for finding in open_:
        yield "finding.overdue", finding, 0, finding.due_on


def _begin_of(day: datetime.date | None) -> datetime.datetime | None:
    return None if day is None else datetime.datetime.combine(day, datetime.time(), datetime.UTC)

"""The way out: notices are claimed, sent and recorded one by one; what fails is tried again later, and at last given up aloud.

Rules:
- a row is claimed by one conditional UPDATE with a lease; a process that dies in between loses it when the lease runs out, and the
  notice leaves again under the same id: at least once, and doubles can be told;
- who may still be told is asked again before the mail leaves;
- the mail server and every webhook are destinations of their own: one that is down or slow delays no other, and never the keeper;
- a turn or a lease that lies too far ahead was written by a clock that has been set right since: it bars nothing;
- an attempt that fails waits 30 s, then twice as long each time up to six hours, with jitter; after twelve it is given up.
"""

from __future__ import annotations

import datetime
import queue
import random
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from django.db import connections
from django.db.models import F, Q, QuerySet

from registry.access.queries import readable_team_ids
from registry.notices import calls, mail
from registry.notices.models import Channel, Outgoing, Preference
from registry.notices.outbox import rule_of
from registry.notices.outcomes import Failed, Held, Outcome, Sent

ATTEMPTS = 12
LEASE = datetime.timedelta(minutes=5)
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 30.0, 6 * 3600.0
BATCH_ROWS = 50
"""For one destination in one turn."""
TURN_SECONDS = 30.0
"""After so long a destination has used up its turn, and what is left waits for the next one."""
DESTINATIONS_AT_ONCE = 8
PositionOf = Callable[[str, str], int | None]
"""(stream, event id) -> position in the ledger, where it is known."""
Settle = Callable[[], None]
"""Returns when everything that this connection has seen is on disk: nobody is told of an act that a crash could take back."""
_jitter = random.SystemRandom()


def due(now: datetime.datetime) -> QuerySet[Outgoing]:
    """What waits to be sent now, and is in nobody's hands."""
    free = Q(lease_until=None) | Q(lease_until__lt=now) | Q(lease_until__gt=now + 2 * LEASE)
    turn = Q(next_attempt_at__lte=now) | Q(
        next_attempt_at__gt=now + 2 * datetime.timedelta(seconds=LONGEST_WAIT_SECONDS)
    )
    return Outgoing.objects.filter(free, turn)


def send_due(position_of: PositionOf = lambda stream, event: None, settle: Settle = lambda: None) -> int:
    """Send what is due, up to a batch for each destination; how many were sent."""
    rows = [row for row in claim(_now()) if _still_to_be_told(row)]
    settle()
    for row in rows:
        if row.channel == Channel.WEBHOOK:
            row.body = {**row.body, "position": position_of(row.body["stream"], row.body["event"])}
    groups: dict[uuid.UUID | None, list[Outgoing]] = {}
    for row in rows:
        groups.setdefault(row.webhook_id, []).append(row)
    return sum(_record(outcome) for outcome in _delivered(groups.values(), len(rows)))


def claim(now: datetime.datetime) -> list[Outgoing]:
    """Take a batch of what is due for each destination; each row is ours until the lease ends, and an attempt whatever comes."""
    exhausted = due(now).filter(attempts__gte=ATTEMPTS)  # each attempt ended with the process that made it
    exhausted.update(
        given_up_at=now, next_attempt_at=None, lease_until=None, last_error="the process that sent it ended each time"
    )
    found = []
    for destination in list(due(now).order_by().values_list("webhook_id", flat=True).distinct()):
        rows = due(now).filter(webhook_id=destination).select_related("actor", "webhook")
        for row in rows.order_by("next_attempt_at", "pk")[:BATCH_ROWS]:
            if due(now).filter(pk=row.pk).update(lease_until=now + LEASE, attempts=F("attempts") + 1):
                row.attempts += 1
                row.lease_until = now + LEASE
                found.append(row)
    return found


def wait_seconds(attempts: int) -> float:
    """How long to wait after so many attempts: between half and one and a half times the plain value, so that nothing marches."""
    plain = min(FIRST_WAIT_SECONDS * 2.0 ** (attempts - 1), LONGEST_WAIT_SECONDS)
    return plain * _jitter.uniform(0.5, 1.5)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _still_to_be_told(row: Outgoing) -> bool:
    """Roles end, people leave, webhooks end and minds change between the act and the mail; then it stays on the page at most."""
    if row.webhook is not None:
        if row.webhook.ended_at is None:
            return True
    elif row.actor is not None:
        unwanted = Preference.objects.filter(actor=row.actor, mail=False).exists()
        if row.actor.is_active and row.actor.email and not unwanted and _may_read(row):
            return True
    channel = row.channel if row.webhook_id else Channel.PAGE
    Outgoing.objects.filter(pk=row.pk).update(channel=channel, next_attempt_at=None, lease_until=None)
    return False


def _may_read(row: Outgoing) -> bool:
    """What is about the person alone goes to whoever has the account; what belongs to no team, to whoever still has a role."""
    assert row.actor_id is not None
    if rule_of(row.kind).personal:
        return True
    teams = readable_team_ids(row.actor_id)
    if teams is None:
        return True
    return bool(teams) if row.body["team"] is None else uuid.UUID(row.body["team"]) in teams


# --- delivery ---


def _delivered(groups: Iterable[Sequence[Outgoing]], count: int) -> Iterable[Outcome]:
    """The outcomes as they come; the network is spoken to in threads, the database only here."""
    outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    with ThreadPoolExecutor(DESTINATIONS_AT_ONCE, thread_name_prefix="notices") as pool:
        for group in groups:
            pool.submit(_deliver, group, outcomes.put)
        for _ in range(count):
            yield outcomes.get()


def _deliver(group: Sequence[Outgoing], report: Callable[[Outcome], None]) -> None:
    """One destination. Whatever goes wrong inside, every row gets its outcome."""
    left = {row.pk: row for row in group}

    def told(outcome: Outcome) -> None:
        del left[outcome.row.pk]
        report(outcome)

    send = calls.call_all if group[0].channel == Channel.WEBHOOK else mail.send_all
    try:
        send(group, told, TURN_SECONDS)
    except Exception as error:  # a fault of ours must not keep the others waiting for an answer
        for row in left.values():
            report(Failed(row, f"a fault of ours: {type(error).__name__}"))


def _record(outcome: Outcome) -> int:
    now, row = _now(), outcome.row
    mine = Outgoing.objects.filter(pk=row.pk, sent_at=None)
    if isinstance(outcome, Sent):
        return mine.update(sent_at=now, next_attempt_at=None, lease_until=None, last_error="")
    held = mine.filter(lease_until=row.lease_until)
    if isinstance(outcome, Held):
        held.update(attempts=F("attempts") - 1, lease_until=None)
    elif outcome.final or row.attempts >= ATTEMPTS:
        held.update(given_up_at=now, next_attempt_at=None, lease_until=None, last_error=outcome.why)
    else:
        again = now + datetime.timedelta(seconds=wait_seconds(row.attempts))
        held.update(next_attempt_at=again, lease_until=None, last_error=outcome.why)
    return 0


class Sender:
    """Sends in a thread of its own, so that the loop which starts it never waits for a network."""

    def __init__(self, position_of: PositionOf, settle: Settle) -> None:
        self._position_of, self._settle = position_of, settle
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None

    def start(self) -> None:
        """Begin a turn if there is something to send and none is under way; raises what the turn before failed with."""
        if self._thread is not None and self._thread.is_alive():
            return
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        if due(_now()).exists():
            self._thread = threading.Thread(target=self._run, name="send-notices", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            send_due(self._position_of, self._settle)
        except Exception as error:  # told by the next turn, where the health page sees it
            self._failure = error
        finally:
            connections.close_all()

"""The one way to change governed facts: open a unit, write, emit. A unit is one transaction and one run of ledger entries.

Rules:
- `unit()` is the only opener of transactions in services; nested units join the outer one, and a failure inside kills the whole;
- every change is emitted before the unit ends; the unit's events share actor, time, request and unit;
- the events are appended by ONE receiver of `appending`, as the last statement before COMMIT; nobody listening is an error;
- whoever has to write because of what was emitted (the outbox) stands in `before_appending`: same transaction, no further events,
  and its failure kills the unit;
- nobody is told that an act is done (by a return, a receipt, a wake-up) before it is on disk;
- the receipt is signed only after COMMIT returned, for a deferred constraint may still fail there;
- an act on which others rely at once (a decision, a move of an alias) is emitted with `awaited`: the unit then waits, outside its
  transaction, until a signed checkpoint covers it, or says that it is pending; it never fails a committed act.
"""

from __future__ import annotations

import datetime
import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, NoReturn, Protocol, cast

from django.db import connections, models, transaction
from django.dispatch import Signal

from registry.digests import JSON, canonical, is_digest, time_text
from registry.ids import uuid7
from registry.images import image, record_type_of

Via = Literal["page", "api", "admin", "cli", "worker", "keeper", "setup"]
MAX_EVENT_BYTES = 65_000
MAX_EVENTS_PER_UNIT = 10_000
logger = logging.getLogger(__name__)

appending = Signal()
"""Sent once at the end of an outermost unit with `events` (list of PendingEvent) and `connection`; its receiver returns an
Appended."""

covering = Signal()
"""Sent once an awaited unit is committed, with its last `position`; its receiver waits, and returns a checkpoint's size or None."""


before_appending: list[Callable[[Unit], None]] = []
"""Called in order with the outermost unit, once all its events are known and before they are appended. Rooms above add themselves
when the applications are ready."""


class UnitError(RuntimeError):
    """A service broke the rules of units: this is a fault of ours, not of the caller."""


class PositionTaken(RuntimeError):
    """The unit would not stand where it said that it must; nothing of it was kept, and it can be tried again."""


@dataclass(frozen=True)
class Caller:
    """Who asks, by which door, and the id of the outer command (ours, never the client's text)."""

    actor_id: uuid.UUID
    via: Via
    request: uuid.UUID = field(default_factory=uuid7)
    on_behalf_of: uuid.UUID | None = None


@dataclass(frozen=True)
class Ref:
    """A document whose loss must be noticed."""

    name: str
    digest: str
    size_bytes: int


class PendingEvent(NamedTuple):
    """Canonical event bytes and the stream they go to."""

    stream: str
    payload: bytes
    id: uuid.UUID
    kind: str


class Appended(Protocol):
    """What the ledger answers: where the unit's entries stand, and how to sign for them after COMMIT."""

    positions: Sequence[int]
    at: str

    def settle(self) -> None:
        """Return when the unit is on disk; COMMIT may return before."""
        ...

    def sign_receipt(self) -> str:
        """The receipt note over the unit's leaves."""
        ...


class Unit:
    """An open unit: its clock reading, and what has been emitted so far."""

    def __init__(self, caller: Caller, role: str | None, savepoints: int) -> None:
        self.caller = caller
        self.role = role
        self.id = uuid7()
        self.now = datetime.datetime.now(datetime.UTC)
        self.events: list[PendingEvent] = []
        self.positions: Sequence[int] = ()
        self.awaited = False
        self.checkpoint: int | None = None
        """Size of the signed checkpoint that covers an awaited unit; None while it is pending, or when nobody waits."""
        self.broken = False
        self.savepoints = savepoints
        self.after_commit: list[Callable[[], None]] = []
        self.must_begin_at: int | None = None
        """For a unit whose own content names its first position: PositionTaken when another unit got there first."""
        self._shared: dict[str, JSON] | None = None
        self._appended: Appended | None = None
        self._receipt: str | None = None

    def committed(self, appended: Appended) -> None:
        """COMMIT returned: this is where the unit's entries stand for ever."""
        self.positions, self._appended = appended.positions, appended

    @property
    def receipt(self) -> str | None:
        """The receipt note, signed when it is first asked for; None before COMMIT, without events, or when no key could sign."""
        if self._receipt is None and self._appended is not None:
            self._receipt = _sign(self._appended)
        return self._receipt

    def shared(self) -> dict[str, JSON]:
        """The members that all events of the unit share."""
        if self._shared is None:
            behalf = self.caller.on_behalf_of
            if self.role is None:
                raise UnitError("nobody said under which role this unit acts")
            actor: dict[str, JSON] = {
                "id": str(self.caller.actor_id),
                "on_behalf_of": None if behalf is None else str(behalf),
                "role": self.role,
                "via": self.caller.via,
            }
            request, unit_id = str(self.caller.request), str(self.id)
            self._shared = {"actor": actor, "at": time_text(self.now), "request": request, "unit": unit_id, "v": 1}
        return self._shared


def _real_savepoints(connection: Any) -> int:
    names: list[str | None] = connection.savepoint_ids
    return len(names) - names.count(None)


def _check_savepoints(connection: Any, current: Unit) -> None:
    if _real_savepoints(connection) > current.savepoints:
        raise UnitError("a savepoint was opened inside a unit; services do not use transaction.atomic")


def current_unit(using: str = "default") -> Unit | None:
    """The unit open on this connection, or None."""
    return getattr(connections[using], "pressmark_unit", None)


@contextmanager
def unit(caller: Caller, *, role: str | None = None, using: str = "default") -> Iterator[Unit]:
    """Open a unit, or join the open one.

    `role` is the one that allowed the act, from the permission table. A unit opened around a service (so that the stored answer of
    an API call commits with the act) leaves it out, and takes the role of the first unit that joins it, and for whom that one acts.
    """
    connection = connections[using]
    outer: Unit | None = getattr(connection, "pressmark_unit", None)
    if outer is not None:
        _check_savepoints(connection, outer)
        if outer.caller.actor_id != caller.actor_id:
            raise UnitError("a unit has one actor; another one tried to join it")
        _take_name(outer, caller)
        outer.role = outer.role or role
        try:
            yield outer
        except BaseException:
            outer.broken = True
            raise
        return
    with transaction.atomic(using=using, durable=True):
        opened = Unit(caller, role, _real_savepoints(connection))
        connection.pressmark_unit = opened  # type: ignore[attr-defined]
        try:
            yield opened
            appended = _close(opened, connection)
        finally:
            del connection.pressmark_unit  # type: ignore[attr-defined]
    if appended is not None:
        appended.settle()
        opened.committed(appended)
    for act in opened.after_commit:
        act()
    if opened.awaited:
        opened.checkpoint = _covered_by(opened.positions[-1])
    connection.pressmark_last_unit = opened  # type: ignore[attr-defined]


def _take_name(outer: Unit, joining: Caller) -> None:
    """In whose place the unit acts is said with the role: by whoever opened it, or by the first service that joins."""
    if joining.on_behalf_of in (None, outer.caller.on_behalf_of):
        return
    if outer.role is not None:
        raise UnitError("a unit is in one person's name; an act in another's tried to join it")
    outer.caller = replace(outer.caller, on_behalf_of=joining.on_behalf_of)


def last_unit(using: str = "default") -> Unit | None:
    """The unit that this connection committed last: for a door that called a service and has to show receipt and checkpoint."""
    return getattr(connections[using], "pressmark_last_unit", None)


def _covered_by(position: int) -> int | None:
    """The act is committed, so whatever goes wrong while waiting makes it pending, never an error."""
    for _, answer in covering.send_robust(sender=Unit, position=position):
        if isinstance(answer, int):
            return answer
        if answer is not None:
            logger.error("the act is committed; waiting for its checkpoint failed", exc_info=answer)
    return None


def _sign(appended: Appended) -> str | None:
    try:
        return appended.sign_receipt()
    except Exception:  # the act is committed: a missing key must not turn it into an error for the caller
        logger.exception("the act is committed, but its receipt could not be signed; see `pressmark check`")
        return None


def _close(opened: Unit, connection: Any) -> Appended | None:
    if opened.broken:
        raise UnitError("an inner unit failed and its error was swallowed; the whole unit is rolled back")
    if connection.needs_rollback:
        raise UnitError("the transaction is marked for rollback; nothing of this unit can be kept")
    _check_savepoints(connection, opened)
    if not opened.events:
        return None
    _let_others_write(opened)
    answers = appending.send(sender=Unit, events=opened.events, connection=connection)
    if len(answers) != 1:
        raise UnitError(f"{len(answers)} ledgers listen; exactly one must")
    appended = cast(Appended, answers[0][1])
    if opened.must_begin_at not in {None, appended.positions[0]}:
        raise PositionTaken(f"the unit begins at {appended.positions[0]}, not at {opened.must_begin_at}")
    return appended


def _let_others_write(opened: Unit) -> None:
    emitted = len(opened.events)
    for act in before_appending:
        act(opened)
    if len(opened.events) != emitted:
        raise UnitError("what is written before the append emits nothing more")


def emit(
    kind: str,
    *records: models.Model,
    team: uuid.UUID | None,
    refs: Sequence[Ref] = (),
    awaited: bool = False,
    using: str = "default",
) -> uuid.UUID:
    """Seal the present images of `records` (all of one stream) as one event of the open unit; returns the event's id.

    `awaited`: whoever does this is told only once a signed checkpoint covers it, or that it is pending.
    """
    connection = connections[using]
    opened: Unit | None = getattr(connection, "pressmark_unit", None)
    if opened is None:
        raise UnitError(f"{kind} was emitted outside a unit")
    _check_savepoints(connection, opened)
    if not records:
        raise UnitError(f"{kind} seals no record")
    streams, sealed = _seal(kind, records)
    if len(streams) != 1:
        raise UnitError(f"{kind} seals records of several streams {sorted(streams)}; emit one event for each")
    event_id = uuid7()
    payload = canonical(_event(opened, event_id, kind, sealed, team, refs))
    if len(payload) > MAX_EVENT_BYTES or not payload.isascii():
        _refuse_payload(kind, payload)
    opened.events.append(PendingEvent(streams.pop(), payload, event_id, kind))
    opened.awaited = opened.awaited or awaited
    if len(opened.events) > MAX_EVENTS_PER_UNIT:
        raise UnitError(f"a unit holds at most {MAX_EVENTS_PER_UNIT} events")
    return event_id


def _seal(kind: str, records: Sequence[models.Model]) -> tuple[set[str], list[JSON]]:
    """The streams that the records belong to (one, or it is an error), and the records as the event holds them."""
    streams: set[str] = set()
    sealed: list[JSON] = []
    keys = set()
    for record in records:
        record_type, row = record_type_of(type(record)), image(record)
        streams.add(record_type.stream(record.pk, row))
        sealed.append({"id": str(record.pk), "row": row, "type": record_type.type})
        keys.add((record_type.type, record.pk))
    if len(keys) != len(records):
        raise UnitError(f"{kind} seals a record twice")
    return streams, sealed


def _event(
    opened: Unit,
    event_id: uuid.UUID,
    kind: str,
    sealed: list[JSON],
    team: uuid.UUID | None,
    refs: Sequence[Ref],
) -> dict[str, JSON]:
    if not all(is_digest(ref.digest) for ref in refs):
        raise UnitError(f"{kind} names a document without a digest")
    return {
        **opened.shared(),
        "id": str(event_id),
        "kind": kind,
        "records": sealed,
        "refs": [{"digest": ref.digest, "name": ref.name, "size_bytes": ref.size_bytes} for ref in refs],
        "team": None if team is None else str(team),
    }


def _refuse_payload(kind: str, payload: bytes) -> NoReturn:
    if not payload.isascii():
        raise UnitError(f"{kind} holds text that is not ASCII; free text belongs in access.Text")
    raise UnitError(f"{kind} is {len(payload)} bytes; an event holds at most {MAX_EVENT_BYTES}")

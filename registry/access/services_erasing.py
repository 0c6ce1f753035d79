"""Erasing what somebody typed, and who somebody was: values go, commitments and acts stay, and every proof still verifies.

Rules:
- whoever erases says why; the reason is a text beside the erasure in each stream, and names nobody;
- salt and value go together, and `text.erased` is sealed in the text's own stream, in the same unit;
- one unit holds what fits into it: the answer says how much is left, and the same call again goes on;
- stored answers to repeated calls lose the erased values as well;
- a profile (user name, e-mail, name) is erased only after its account has ended, and is replaced by a neutral name.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.access import permissions
from registry.access.models import Actor, ActorKind, IdempotencyKey, Text
from registry.access.services import new_text
from registry.errors import Conflict, Forbidden, Invalid
from registry.events import Caller, emit, unit

ERASED = "(erased)"
TEXTS_PER_EVENT = 100
EVENTS_PER_UNIT = 5_000
_BATCH = 500


@dataclass(frozen=True)
class Erased:
    """How many texts were erased, and how many of those asked for are left for the next call."""

    count: int
    left: int


def erase_texts(
    *,
    actor: Caller,
    texts: Sequence[Text],
    teams: Mapping[str, uuid.UUID | None],
    reason: str,
    check: Callable[[], None],
) -> Erased:
    """Erase texts. `teams`: the team that owns each of their streams, None for the instance.

    `check` is asked inside the unit before anything goes: it locks what it judges, and raises where a text has to stay.
    """
    role = permissions.require(actor, "text.erase", None)
    _check_reason(reason)
    groups = _groups(texts)
    if not groups:
        raise Conflict("There is nothing to erase: no such text is left.", hint="What was erased stays erased.")
    with unit(actor, role=role) as opened:
        check()
        known = _still_there(text.pk for stream, group in groups[:EVENTS_PER_UNIT] for text in group)
        _clear_answers([text.value for text in known.values()], min(t.created_at for t in texts))
        explained: set[str] = set()
        count = 0
        for stream, group in groups[:EVENTS_PER_UNIT]:
            erased = [known[text.pk] for text in group if text.pk in known]
            if erased:
                _erase(erased, opened.now)
                _emit_erased(stream, erased, teams[stream], reason if stream not in explained else "", opened.now)
                explained.add(stream)
                count += len(erased)
    left = sum(len(group) for _, group in groups[EVENTS_PER_UNIT:])
    if not count and not left:
        raise Conflict("Somebody else erased these texts just now.")
    return Erased(count, left)


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise Invalid("The reason is empty.", hint="Say in a sentence why, and name nobody in it; auditors read it.")


def _groups(texts: Iterable[Text]) -> list[tuple[str, list[Text]]]:
    """Texts by stream, as many together as one event holds."""
    streams: dict[str, dict[uuid.UUID, Text]] = {}
    for text in texts:
        if text.erased_at is None:
            streams.setdefault(text.stream, {})[text.pk] = text
    groups = []
    for stream, found in sorted(streams.items()):
        rows = list(found.values())
        groups += [(stream, rows[start : start + TEXTS_PER_EVENT]) for start in range(0, len(rows), TEXTS_PER_EVENT)]
    return groups


def _still_there(keys: Iterable[uuid.UUID]) -> dict[uuid.UUID, Text]:
    """The texts that nobody erased meanwhile, locked."""
    wanted = sorted(keys)
    found: dict[uuid.UUID, Text] = {}
    for start in range(0, len(wanted), _BATCH):
        rows = Text.objects.select_for_update(no_key=True).filter(pk__in=wanted[start : start + _BATCH], erased_at=None)
        found |= {row.pk: row for row in rows.order_by("pk")}
    return found


def _erase(texts: Sequence[Text], now: datetime.datetime) -> None:
    Text.objects.filter(pk__in=[text.pk for text in texts]).update(erased_at=now, salt=None, value=None)
    for text in texts:
        text.erased_at, text.salt, text.value = now, None, None


def _emit_erased(
    stream: str, erased: Sequence[Text], team: uuid.UUID | None, reason: str, now: datetime.datetime
) -> None:
    why = [new_text(stream=stream, purpose="reason", value=reason, now=now)] if reason else []
    emit("text.erased", *erased, *why, team=team)


# --- who somebody was ---


def erase_actor(*, actor: Caller, person: Actor, reason: str) -> Actor:
    """Replace the profile of an account that has ended by a neutral name; what the account did stays under its id."""
    role = permissions.require(actor, "actor.erase", None)
    _check_reason(reason)
    with unit(actor, role=role) as opened:
        person = Actor.objects.select_for_update(no_key=True).get(pk=person.pk)
        if person.kind == ActorKind.SYSTEM:
            raise Forbidden("The system actor has no profile to erase.")
        if person.ended_at is None:
            raise Conflict("The account is in use.", hint="End it first; then its profile can be erased.")
        neutral = neutral_names(person)
        if person.username == neutral[0]:
            raise Conflict("This profile is erased already.")
        _clear_answers([person.username, person.display_name, person.email], person.created_at)
        person.username, person.display_name = neutral
        person.email = ""
        person.last_login = None
        person.set_unusable_password()
        person.save(update_fields=["username", "display_name", "email", "last_login", "password"])
        why = new_text(stream="instance", purpose="reason", value=reason, now=opened.now)
        emit("actor.erased", person, why, team=None)
        return person


def neutral_names(person: Actor) -> tuple[str, str]:
    """User name and shown name of an erased person: told apart by the id that the ledger knows anyway."""
    return f"erased-{person.pk}", f"Erased person {str(person.pk)[-8:]}"


# --- stored answers ---


def _clear_answers(values: Iterable[str | None], since: datetime.datetime) -> None:
    """Stored answers since then show `(erased)` where they showed one of the values."""
    gone = {value for value in values if value}
    rows = IdempotencyKey.objects.filter(created_at__gte=since).order_by("pk").values_list("pk", "body")
    changed = {
        key: cleared for key, body in rows.iterator(chunk_size=_BATCH) if (cleared := _without(body, gone)) != body
    }
    for key, cleared in changed.items():
        IdempotencyKey.objects.filter(pk=key).update(body=cleared)


def _without(value: Any, gone: set[str]) -> Any:
    if isinstance(value, dict):
        return {name: _without(member, gone) for name, member in value.items()}
    if isinstance(value, list):
        return [_without(member, gone) for member in value]
    return ERASED if isinstance(value, str) and value in gone else value

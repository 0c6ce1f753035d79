"""Which texts an erasure is about: all that one actor typed, those that hold certain words, or those that are named; and the act.

Rules:
- who typed a text stands in the entry that sealed it first, so only this house can tell: the rows of texts name nobody;
- a text is erased in its own stream, under the team that owns what the stream is about;
- nothing is erased in a stream in which a legal hold stands, nor of the monitors of a model under one; that is asked under the lock
  that a hold takes;
- finding reads, and lists all that would go before anything goes; what somebody else erased meanwhile is passed over.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence

from audit.browsing.entry_search import entry_holds
from audit.models import Entry
from registry.access import permissions
from registry.access.models import Actor, Text
from registry.access.services_erasing import Erased, erase_texts
from registry.errors import Conflict, Invalid, NotFound
from registry.events import Caller
from registry.monitoring.models import Monitor
from registry.oversight.queries import team_of_stream
from registry.oversight.queries_proofs import held_streams
from registry.oversight.subjects import lock_owners

TEXT_TYPE = "access.text/"
LEAST_WORDS = 3
_BATCH = 500


def get_person(name: str) -> Actor:
    """An actor by user name or id, ended ones too."""
    found = Actor.objects.filter(username=name).first() or _by_id(name)
    if found is None:
        raise NotFound(f"There is no actor {name[:80]!r}.", hint="Give the user name, or the id that entries show.")
    return found


def _by_id(name: str) -> Actor | None:
    try:
        return Actor.objects.filter(pk=uuid.UUID(name)).first()
    except ValueError:
        return None


def typed_by(caller: Caller, person: Actor) -> list[Text]:
    """Every text that the actor typed and that is not erased, oldest first."""
    permissions.require(caller, "text.erase", None)
    keys = list(_sealed_first_by(str(person.pk)))
    found: list[Text] = []
    for start in range(0, len(keys), _BATCH):
        rows = Text.objects.in_bulk(keys[start : start + _BATCH])
        found += [rows[key] for key in keys[start : start + _BATCH] if key in rows and rows[key].erased_at is None]
    return found


def _sealed_first_by(actor_id: str) -> Iterator[uuid.UUID]:
    """Ids of the texts in the actor's entries. An erasure names texts that others typed as well: those are erased already."""
    rows = Entry.objects.annotate(of_actor=entry_holds(actor_id), of_text=entry_holds(TEXT_TYPE))
    seen: set[str] = set()
    found = rows.filter(of_actor=True, of_text=True).order_by("position").values_list("entry", flat=True)
    for data in found.iterator(chunk_size=_BATCH):
        try:
            event = json.loads(bytes(data))["event"]
            texts = [record["id"] for record in event["records"] if record["type"].startswith(TEXT_TYPE)]
            typed = texts if event["actor"]["id"] == actor_id else []
        except (ValueError, KeyError, TypeError):
            continue  # overwritten: nobody can say who typed what; verify-ledger names it
        yield from (uuid.UUID(key) for key in typed if key not in seen)
        seen.update(typed)


def holding(caller: Caller, words: str) -> list[Text]:
    """Texts that hold the words, in capitals or not: what may name a person without having been typed by them."""
    permissions.require(caller, "text.erase", None)
    if len(words.strip()) < LEAST_WORDS:
        raise Invalid(f"Give at least {LEAST_WORDS} characters to look for.", hint="A name, or a part of it.")
    return list(Text.objects.filter(erased_at=None, value__icontains=words.strip()).order_by("pk"))


def named(caller: Caller, keys: Iterable[str]) -> list[Text]:
    """Texts by id; NotFound names the first that is no text."""
    permissions.require(caller, "text.erase", None)
    wanted: dict[uuid.UUID, None] = {}
    for key in keys:
        try:
            wanted[uuid.UUID(key)] = None
        except ValueError:
            raise Invalid(f"{key[:80]!r} is no id of a text.", hint="A dry run lists the ids.") from None
    found: dict[uuid.UUID, Text] = {}
    ids = list(wanted)
    for start in range(0, len(ids), _BATCH):
        found |= Text.objects.in_bulk(ids[start : start + _BATCH])
    missing = next((key for key in ids if key not in found), None)
    if missing is not None:
        raise NotFound(f"There is no text {missing}.", hint="A dry run lists the ids.")
    return [found[key] for key in ids]


def erase(*, actor: Caller, texts: Sequence[Text], reason: str) -> Erased:
    """Erase the texts, each in its stream. Conflict where a legal hold stands on what they are about."""
    streams = {text.stream for text in texts}
    teams = {stream: _team_of(stream) for stream in streams}
    about = {_held_with(stream) for stream in streams}
    return erase_texts(actor=actor, texts=texts, teams=teams, reason=reason, check=lambda: _refuse_held(about))


def _held_with(stream: str) -> str:
    """Whose hold counts: what a monitor saw is about its model."""
    kind, _, key = stream.partition(":")
    if kind != "monitor":
        return stream
    return f"model:{Monitor.objects.values_list('model_id', flat=True).get(pk=uuid.UUID(key))}"


def _refuse_held(streams: Iterable[str]) -> None:
    lock_owners(streams)
    held = held_streams(streams)
    if held:
        raise Conflict(
            f"A legal hold stands on {len(held)} of the things that these texts are about, the first is {held[0]}.",
            hint="End the hold first, or leave those texts out.",
            code="held",
        )


def _team_of(stream: str) -> uuid.UUID | None:
    kind, _, key = stream.partition(":")
    if kind == "monitor":
        return Monitor.objects.values_list("model__team_id", flat=True).get(pk=uuid.UUID(key))
    return team_of_stream(stream)

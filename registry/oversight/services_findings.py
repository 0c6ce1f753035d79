"""The life of a finding: opened, accepted by whoever mends it, mended, closed by somebody who may judge that.

Rules:
- accepting, mending and handing over are acts of those who work in the team; closing is for officers and approvers;
- a later day is given by who may close, not by who is late; each act says in a sentence why or how, and the sentences stay;
- what was mended can be found wanting, and is open again; what is closed stays closed.
Keyword-only, the actor first; every act is emitted.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from registry.access import permissions
from registry.access.models import Actor, Text
from registry.access.services import new_text
from registry.errors import Conflict, Invalid
from registry.events import Caller, Unit, emit, unit
from registry.oversight.models import Finding
from registry.oversight.queries import team_of_stream
from registry.oversight.services import check_owner

NOTES = ("accept", "fix", "reopen", "assign")
"""What people wrote on the way; the purpose of the text is the act and the finding."""


def accept_finding(*, actor: Caller, finding: Finding, note: str) -> Finding:
    """Say that it will be mended, and how."""
    with _work(actor, finding, "accept", note, Finding.State.ACCEPTED, (Finding.State.OPEN,)) as done:
        emit("finding.accepted", done.row, done.text, team=done.team_id)
    return done.row


def fix_finding(*, actor: Caller, finding: Finding, note: str) -> Finding:
    """Say that it is mended, and how. It still counts until somebody closes it."""
    with _work(actor, finding, "fix", note, Finding.State.FIXED, (Finding.State.OPEN, Finding.State.ACCEPTED)) as done:
        emit("finding.fixed", done.row, done.text, team=done.team_id)
    return done.row


def reopen_finding(*, actor: Caller, finding: Finding, note: str) -> Finding:
    """It was not mended after all, or will not be by who accepted it."""
    worked_on = (Finding.State.FIXED, Finding.State.ACCEPTED)
    with _work(actor, finding, "reopen", note, Finding.State.OPEN, worked_on) as done:
        emit("finding.reopened", done.row, done.text, team=done.team_id)
    return done.row


def assign_finding(
    *, actor: Caller, finding: Finding, note: str, owner: Actor | None = None, due_on: datetime.date | None = None
) -> Finding:
    """Another owner, another day, or both. A later day is given by somebody who may close it."""
    team_id = team_of_stream(finding.stream)
    role = permissions.require(actor, "finding.work", team_id)
    _check_note(note)
    if owner is not None:
        check_owner(owner, team_id)
    with unit(actor, role=role) as opened:
        row = _lock(finding)
        if due_on is not None and due_on < opened.now.date():
            raise Invalid("The day on which the finding is due has passed.", hint="Give 'due_on' from today.")
        if due_on is not None and due_on > row.due_on:
            opened.role = permissions.require(actor, "finding.close", team_id)
        if (owner is None or owner.pk == row.owner_id) and due_on in (None, row.due_on):
            raise Conflict("The finding has this owner and day already.", hint="Name another owner or day.")
        row.owner_id = owner.pk if owner is not None else row.owner_id
        row.due_on = due_on or row.due_on
        row.save(update_fields=["owner", "due_on"])
        emit("finding.assigned", row, _note(opened, row, "assign", note), team=team_id)
        return row


@dataclass(frozen=True)
class _Done:
    """A finding in its new state, and what was said."""

    row: Finding
    text: Text
    team_id: uuid.UUID | None


@contextmanager
def _work(
    actor: Caller, finding: Finding, act: str, note: str, state: Finding.State, before: tuple[Finding.State, ...]
) -> Iterator[_Done]:
    """One step, in a unit that the caller emits it in."""
    team_id = team_of_stream(finding.stream)
    role = permissions.require(actor, "finding.work", team_id)
    _check_note(note)
    with unit(actor, role=role) as opened:
        row = _lock(finding)
        if row.state not in before:
            raise Conflict(f"The finding is {row.state} already.", hint="Its page says what can be done with it now.")
        row.state = state
        row.save(update_fields=["state"])
        yield _Done(row, _note(opened, row, act, note), team_id)


def _lock(finding: Finding) -> Finding:
    row = Finding.objects.select_for_update(no_key=True).get(pk=finding.pk)
    if row.closed_at is not None:
        raise Conflict("This finding is closed.", hint="Open a new one if it came back.")
    return row


def _note(opened: Unit, row: Finding, act: str, note: str) -> Text:
    return new_text(stream=row.stream, purpose=f"{act}:{row.pk.hex}", value=note, now=opened.now)


def _check_note(note: str) -> None:
    if not note.strip():
        raise Invalid("The note is empty.", hint="Say in a sentence how or why.")

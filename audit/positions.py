"""Where an event stands in the ledger, for whoever knows its stream and id: the newest entries of the stream are looked through."""

from __future__ import annotations

from audit.models import Entry

LOOK_BACK_ENTRIES = 500


def position_of(stream: str, event_id: str) -> int | None:
    """The position of an event among the newest entries of its stream; None when it is not among them."""
    member = f'"id":"{event_id}","kind":'.encode()
    rows = Entry.objects.filter(stream=stream).order_by("-stream_seq").values_list("position", "entry")
    for position, entry in rows[:LOOK_BACK_ENTRIES].iterator():
        if member in bytes(entry):
            return int(position)
    return None

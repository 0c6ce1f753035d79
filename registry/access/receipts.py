"""Receipts of acts on pages: kept in the session of whoever acted, and offered beside what the page says about the act.

Rules:
- only the unit that the act itself committed counts, never one that the same connection committed before;
- the newest of a session are kept, operational like the session itself; whoever wants one for good downloads it;
- an act without a receipt (its signing failed after the commit) is said as it is;
- an act that waited for its checkpoint says which one covers it, or that it is pending.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from registry.events import last_unit

SESSION_KEY = "receipts"
KEPT = 20


@dataclass
class Told:
    """What was committed meanwhile: the position that a receipt begins at, or None; and what is known of its checkpoint."""

    request: HttpRequest
    first: int | None = None
    checkpoint: str = ""

    def with_receipt(self, sentence: str) -> str:
        """The sentence about the act and its checkpoint, with a link to its receipt where there is one."""
        sentence = f"{sentence} {self.checkpoint}".strip()
        if self.first is None:
            return sentence
        return format_html('{} <a href="{}">Receipt</a>', sentence, reverse("audit:receipt", args=[self.first]))


@contextmanager
def receipt_of_act(request: HttpRequest) -> Iterator[Told]:
    """Around one call of a service: keeps the receipt of the unit that it commits."""
    before = last_unit()
    told = Told(request)
    yield told
    done = last_unit()
    if done is None or done is before:
        return
    if done.awaited:
        told.checkpoint = _about_checkpoint(done.checkpoint)
    if done.receipt:
        told.first = int(done.positions[0])
        keep(request, told.first, done.receipt)


def _about_checkpoint(size: int | None) -> str:
    return "Its checkpoint is pending." if size is None else f"The signed checkpoint over {size} entries covers it."


def keep(request: HttpRequest, first: int, note: str) -> None:
    """Keep a receipt in the session; the oldest gives way."""
    kept = dict(request.session.get(SESSION_KEY, {}))
    kept.pop(str(first), None)
    kept[str(first)] = note
    request.session[SESSION_KEY] = dict(list(kept.items())[-KEPT:])


def kept_receipt(request: HttpRequest, first: int) -> bytes | None:
    """The note of a receipt that this session got."""
    note = request.session.get(SESSION_KEY, {}).get(str(first))
    return None if note is None else str(note).encode()

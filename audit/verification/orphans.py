"""Bytes that no record names: what a cut registration left behind, removed after a day.

Rules:
- a digest is named when a digest column of a governed table holds it, or when an entry of the ledger refers to it;
- a column that only binds, and a row whose bytes were purged, name none: what a purge left behind is removed here;
- a file younger than a day is never touched: its record may still come;
- when in doubt a file stays.
"""

from __future__ import annotations

import time
from typing import Any, cast

from audit.browsing.entry_search import entry_holds
from audit.models import Entry
from registry import storage
from registry.digests import parse_canonical
from registry.release.purging import named_bytes

DAY_SECONDS = 24 * 3600
_FEW_DIGESTS = 16


def named_digests() -> set[str]:
    """Every digest that a row or an entry names."""
    named: set[str] = set()
    for column, rows in named_bytes():
        named |= set(rows.values_list(column, flat=True).iterator(chunk_size=1000))
    for entry in Entry.objects.order_by("position").values_list("entry", flat=True).iterator(chunk_size=1000):
        named |= _refs(bytes(entry))
    return named


def referred(digests: set[str]) -> set[str]:
    """Those of the digests that entries refer to as documents. A few are looked for in the database, many by reading on."""
    rows = Entry.objects.all()
    found: set[str] = set()
    if len(digests) > _FEW_DIGESTS:
        for entry in rows.values_list("entry", flat=True).iterator(chunk_size=1000):
            found |= _refs(bytes(entry)) & digests
        return found
    for digest in digests:
        held = rows.annotate(holds=entry_holds(digest)).filter(holds=True).values_list("entry", flat=True)
        if any(digest in _refs(bytes(entry)) for entry in held.iterator(chunk_size=100)):
            found.add(digest)
    return found


def _refs(entry: bytes) -> set[str]:
    document = cast(dict[str, Any], parse_canonical(entry))
    return {ref["digest"] for ref in document["event"]["refs"]}


def sweep() -> list[str]:
    """Remove what nobody names; returns the digests that went."""
    return storage.sweep(named_digests(), older_than_seconds=DAY_SECONDS, now=time.time())

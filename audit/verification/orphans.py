"""Bytes that no record names: what a cut registration left behind, removed after a day.

Rules:
- a digest is named when a digest column of a governed table holds it, or when an entry of the ledger refers to it;
- a file younger than a day is never touched: its record may still come;
- when in doubt a file stays.
"""

from __future__ import annotations

import time
from typing import Any, cast

from django.db import models

from audit.models import Entry
from registry import storage
from registry.digests import parse_canonical
from registry.fields import DigestField
from registry.governed import governed_models

DAY_SECONDS = 24 * 3600


def named_digests() -> set[str]:
    """Every digest that a row or an entry names."""
    named: set[str] = set()
    for model in governed_models():
        columns = [f.name for f in model._meta.concrete_fields if isinstance(f, DigestField)]
        for column in columns:
            named |= _values(model, column)
    for entry in Entry.objects.order_by("position").values_list("entry", flat=True).iterator(chunk_size=1000):
        document = cast(dict[str, Any], parse_canonical(bytes(entry)))
        named |= {ref["digest"] for ref in document["event"]["refs"]}
    return named


def _values(model: type[models.Model], column: str) -> set[str]:
    rows = model._default_manager.exclude(**{column: None}).values_list(column, flat=True)
    return set(rows.iterator(chunk_size=1000))


def sweep() -> list[str]:
    """Remove what nobody names; returns the digests that went."""
    return storage.sweep(named_digests(), older_than_seconds=DAY_SECONDS, now=time.time())

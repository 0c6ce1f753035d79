"""In which order evidence stands, wherever it is listed or chosen: what was measured last comes first.

`again` says of a digest when a run last found the same figures to the byte: that adds no row, and is the newest word all the same.
Of documents of one moment the greater digest comes first, so that lists, pages and gates agree.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping

from registry.catalog.models import Evidence

Again = Mapping[str, datetime.datetime]
NEVER: Again = {}


def last_measured(row: Evidence, again: Again) -> datetime.datetime:
    """When the document was attached, or its figures last found again."""
    return max(row.created_at, again.get(row.digest, row.created_at))


def newest_first(rows: Iterable[Evidence], again: Again) -> list[Evidence]:
    """The evidence with what was measured last on top."""
    return sorted(rows, key=lambda row: (last_measured(row, again), row.digest), reverse=True)

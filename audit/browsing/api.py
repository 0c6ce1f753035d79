"""JSON door for looking through the ledger."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view

from audit.api import entry_body
from audit.browsing import entries_found
from audit.models import Entry
from registry.access.http import Query
from registry.events import Caller

_PARAMETERS = [
    OpenApiParameter("stream", str, description="TEAM/MODEL, `instance`, or a stream as entries show it."),
    OpenApiParameter("actor", str, description="User name or id."),
    OpenApiParameter("kind", str, description="Such as `alias.promoted`, or `alias` for all about aliases."),
    OpenApiParameter("begin", str, description="A time; UTC where no zone is given."),
    OpenApiParameter("end", str, description="A time; UTC where no zone is given."),
    OpenApiParameter("before", int, description="`next` of the page before."),
]


@extend_schema_view(
    get=extend_schema(operation_id="list_entries", parameters=_PARAMETERS, responses={200: OpenApiTypes.OBJECT})
)
class ListEntries(Query):
    """Entries that the caller may read, newest first. A page looks at so many entries at most, and says which; `next` goes on."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        found = entries_found.browse(caller, entries_found.parse_search(caller, query), query.get("before", ""))
        return {
            "items": [_body(row) for row in found.entries],
            "looked_at": {"highest": found.highest, "lowest": found.lowest},
            "next": found.following,
        }


def _body(row: Entry) -> dict[str, Any]:
    if entries_found.event_of(row) is not None:
        return entry_body(row)
    data = base64.b64encode(bytes(row.entry)).decode()  # overwritten with what cannot be read: shown as what it is
    return {"entry": data, "leaf": "sha256:" + bytes(row.leaf).hex(), "position": row.position, "read": None}

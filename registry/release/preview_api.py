"""JSON door of asking the gate without keeping its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view

from registry.access.http import Query
from registry.catalog import queries as catalog
from registry.events import Caller
from registry.release.preview_gate import USUAL_ALIAS, preview_body, preview_gate

_ALIAS = OpenApiParameter("alias", str, description=f"Where it would be served; '{USUAL_ALIAS}' where it is left out.")


@extend_schema_view(get=extend_schema(operation_id="preview_gate", parameters=[_ALIAS], responses={200: dict}))
class PreviewGate(Query):
    """What must happen before a version may go live, and who has to do it. Nothing is written; every reader may ask."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        version = catalog.get_version(caller, f"{kwargs['team']}/{kwargs['model']}@{kwargs['number']}")
        return preview_body(preview_gate(version, query.get("alias", USUAL_ALIAS)))

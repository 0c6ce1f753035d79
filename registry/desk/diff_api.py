"""JSON door of the comparison of two versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view

from registry.access.http import Query
from registry.desk.version_diff import diff_versions
from registry.errors import Invalid
from registry.events import Caller
from registry.release import queries as release

_SIDE = "A version: team/model@7, team/model@production or team/model@sha256:..."


@extend_schema_view(
    get=extend_schema(
        operation_id="diff_versions",
        parameters=[
            OpenApiParameter("left", str, required=True, description=_SIDE),
            OpenApiParameter("right", str, required=True, description=_SIDE),
        ],
        responses={200: dict},
    )
)
class DiffVersions(Query):
    """Two versions side by side, part by part, what differs first: files, structure, lineage, terms, data, figures, verdicts."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        if not query.get("left") or not query.get("right"):
            raise Invalid("Two versions are compared.", hint="Give 'left' and 'right', such as team/model@3.")
        sides = [release.find_version(caller, query[side]) for side in ("left", "right")]
        return diff_versions(caller, *sides).document()

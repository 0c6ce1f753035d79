"""JSON doors of history: a model and a team as of any moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view

from audit.history import answers as history_answers
from registry.access.http import Query
from registry.access.queries import get_team
from registry.catalog import queries as catalog
from registry.events import Caller

_JSON = {200: OpenApiTypes.OBJECT}
_MOMENT = [
    OpenApiParameter("at", str, description="A time, such as 2026-03-01T12:00:00Z; UTC where no zone is given."),
    OpenApiParameter("position", int, description="Instead of a time: the last entry that counts."),
]
_COMPARE = [
    OpenApiParameter("compare_at", str, description="Another time: the answer then says what changed between the two."),
    OpenApiParameter("compare_position", int, description="Instead of another time."),
]


@extend_schema_view(
    get=extend_schema(operation_id="show_model_as_of", parameters=[*_MOMENT, *_COMPARE], responses=_JSON)
)
class ShowModelAsOf(Query):
    """A model as of a moment, from the ledger alone: versions, lineage, aliases, policies, waivers, approvals; now by default."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        model = catalog.get_model(caller, kwargs["team"], kwargs["model"])
        return history_answers.model_as_of(caller, model, query)


@extend_schema_view(
    get=extend_schema(
        operation_id="show_team_as_of",
        parameters=[*_MOMENT, OpenApiParameter("after", str, description="`next` of the page before.")],
        responses=_JSON,
    )
)
class ShowTeamAsOf(Query):
    """A team as of a moment, from the ledger alone: its models, what each alias served, the policies in force."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return history_answers.team_as_of(caller, get_team(caller, kwargs["team"]), query)

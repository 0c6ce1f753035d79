"""JSON doors of deputies: who may decide in whose place, from when until when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers

from registry.access import services_deputies as deputies
from registry.access.http import Command, Query, keyset_page
from registry.access.models import Deputyship
from registry.access.queries import get_team
from registry.access.queries_deputies import deputyships, get_deputyship, get_person
from registry.digests import time_text
from registry.events import Caller

_PAGE = [OpenApiParameter("after", str), OpenApiParameter("limit", int)]


def deputyship_body(row: Deputyship) -> dict[str, Any]:
    """Who stands for whom."""
    return {
        "begins_at": time_text(row.begins_at),
        "deputy": row.deputy.username,
        "ended_at": None if row.ended_at is None else time_text(row.ended_at),
        "ends_at": time_text(row.ends_at),
        "id": str(row.pk),
        "in_force": row.in_force(),
        "principal": row.principal.username,
        "reason": str(row.reason),
        "role": row.role,
        "team": row.team.slug if row.team else None,
    }


class AppointDeputyInput(serializers.Serializer[Any]):
    deputy = serializers.CharField(max_length=150, help_text="User name of who decides in your place.")
    role = serializers.CharField(max_length=32, help_text="approver or compliance_officer.")
    team = serializers.CharField(
        required=False, default=None, allow_null=True, help_text="Left out: the whole installation."
    )
    begins_at = serializers.DateTimeField(required=False, default=None, allow_null=True)
    ends_at = serializers.DateTimeField()
    reason = serializers.CharField()


@extend_schema_view(
    get=extend_schema(operation_id="list_deputyships", parameters=_PAGE, responses={200: OpenApiTypes.OBJECT}),
    post=extend_schema(operation_id="appoint_deputy", request=AppointDeputyInput, responses={201: OpenApiTypes.OBJECT}),
)
class AppointDeputy(Command, Query):
    """The deputyships of the caller and of the caller's teams, newest first; a new one of the caller's own role."""

    input = AppointDeputyInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return keyset_page(deputyships(caller), query, deputyship_body, newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        team = get_team(caller, data["team"]) if data["team"] else None
        given = {**data, "team": team, "deputy": get_person(data["deputy"])}
        return deputyship_body(deputies.appoint_deputy(actor=caller, **given))


@extend_schema_view(
    post=extend_schema(operation_id="end_deputyship", request=None, responses={200: OpenApiTypes.OBJECT})
)
class EndDeputyship(Command):
    """End a deputyship before its time; what was decided under it stays decided."""

    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        row = get_deputyship(caller, kwargs["deputyship"])
        return deputyship_body(deputies.end_deputyship(actor=caller, deputyship=row))

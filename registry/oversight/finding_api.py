"""JSON doors of findings: what waits to be mended, and the steps until somebody closes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers

from registry.access.http import Command, Query, keyset_page
from registry.events import Caller
from registry.oversight import queries, queries_findings, services_findings
from registry.oversight.api import finding_body
from registry.oversight.models import Finding

_MINE = OpenApiParameter("mine", bool, description="Only those that you own.")
_OPEN = OpenApiParameter("open", bool, description="Only those that nobody closed.")


def whole_finding_body(row: Finding) -> dict[str, Any]:
    """A finding with what was written about it on the way."""
    return {**finding_body(row), "notes": queries_findings.notes_body(row)}


@extend_schema_view(
    get=extend_schema(operation_id="list_all_findings", parameters=[_MINE, _OPEN], responses={200: dict})
)
class ListFindings(Query):
    """Findings of all that the caller may read, newest first."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        mine, still_open = (query.get(name, "") in ("true", "1") for name in ("mine", "open"))
        rows = queries_findings.findings(caller, mine=mine, still_open=still_open)
        return keyset_page(rows, query, finding_body, newest_first=True)


@extend_schema_view(get=extend_schema(operation_id="get_finding", responses={200: dict}))
class ShowFinding(Query):
    """One finding with its notes."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return whole_finding_body(queries.get_finding(caller, kwargs["finding_id"]))


class NoteInput(serializers.Serializer[Any]):
    note = serializers.CharField(help_text="How, or why.")


class _Step(Command):
    input = NoteInput
    success_status = 200
    service: ClassVar[Callable[..., Finding]]

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        finding = queries.get_finding(caller, kwargs["finding_id"])
        return whole_finding_body(type(self).service(actor=caller, finding=finding, note=data["note"]))


@extend_schema_view(post=extend_schema(operation_id="accept_finding", request=NoteInput, responses={200: dict}))
class AcceptFinding(_Step):
    """Say that it will be mended, and how."""

    service = services_findings.accept_finding


@extend_schema_view(post=extend_schema(operation_id="fix_finding", request=NoteInput, responses={200: dict}))
class FixFinding(_Step):
    """Say that it is mended, and how."""

    service = services_findings.fix_finding


@extend_schema_view(post=extend_schema(operation_id="reopen_finding", request=NoteInput, responses={200: dict}))
class ReopenFinding(_Step):
    """Say that it was not mended after all."""

    service = services_findings.reopen_finding


class AssignFindingInput(serializers.Serializer[Any]):
    note = serializers.CharField()
    owner = serializers.CharField(required=False, default=None, allow_null=True, help_text="User name.")
    due_on = serializers.DateField(required=False, default=None, allow_null=True)


@extend_schema_view(
    post=extend_schema(operation_id="assign_finding", request=AssignFindingInput, responses={200: dict})
)
class AssignFinding(Command):
    """Another owner, another day."""

    input = AssignFindingInput
    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        finding = queries.get_finding(caller, kwargs["finding_id"])
        owner = queries.person(data["owner"]) if data["owner"] is not None else None
        row = services_findings.assign_finding(
            actor=caller, finding=finding, note=data["note"], owner=owner, due_on=data["due_on"]
        )
        return whole_finding_body(row)

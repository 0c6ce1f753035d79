"""JSON doors of rulings: author, list, approve, end. What a ruling reaches is asked for in the room release."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers

from registry.access.http import Command, Query, keyset_page
from registry.digests import time_text
from registry.errors import NotFound
from registry.events import Caller
from registry.provenance import queries, services_licences
from registry.provenance.licences import ANSWERS, TERMS, TermDocument
from registry.provenance.models import Document, LicenceRuling
from registry.provenance.openapi import PAGE


def ruling_state(row: LicenceRuling) -> str:
    """waiting, withdrawn, in-force or ended: computed, never stored."""
    if row.in_force_at is None:
        return "waiting" if row.ended_at is None else "withdrawn"
    return "in-force" if row.ended_at is None else "ended"


def ruling_body(row: LicenceRuling) -> dict[str, Any]:
    """A ruling as the API shows it."""
    return {
        "id": str(row.pk),
        "licence": row.licence.expression,
        "licence_number": row.licence.number,
        "number": row.number,
        "state": ruling_state(row),
        "answers": row.terms["answers"],
        "document": str(row.document_id) if row.document_id else None,
        "reason": str(row.reason),
        "authored_by": str(row.authored_by_id),
        "authored_at": time_text(row.authored_at),
        "approved_by": str(row.approved_by_id) if row.approved_by_id else None,
        "in_force_at": time_text(row.in_force_at) if row.in_force_at else None,
        "ended_at": time_text(row.ended_at) if row.ended_at else None,
    }


class AnswerInput(serializers.Serializer[Any]):
    term = serializers.CharField(max_length=40, help_text=f"One of: {', '.join(TERMS)}.")
    answer = serializers.CharField(max_length=20, help_text=f"One of: {', '.join(ANSWERS)}.")
    sentence = serializers.CharField(
        max_length=1000, help_text="What the text grants or asks, in one line; it is sealed."
    )


class AuthorRulingInput(serializers.Serializer[Any]):
    licence = serializers.CharField(max_length=200, help_text="The expression that was read.")
    answers = serializers.ListField(child=AnswerInput(), min_length=1, max_length=len(TERMS))
    reason = serializers.CharField(help_text="How you came to the answers.")
    document = serializers.UUIDField(help_text="Id of a document that is attached to the licence.")


_LICENCE = OpenApiParameter("licence", str, description="Only rulings on this expression.")


@extend_schema_view(
    get=extend_schema(operation_id="list_rulings", parameters=[_LICENCE, *PAGE], responses={200: dict}),
    post=extend_schema(operation_id="author_ruling", request=AuthorRulingInput, responses={201: dict}),
)
class AuthorRuling(Command, Query):
    """What named persons found in licences' texts; a new finding, which counts once somebody else approved it."""

    input = AuthorRulingInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        rows = LicenceRuling.objects.select_related("licence", "reason")
        if query.get("licence"):
            rows = rows.filter(licence__expression=queries.spelling_of(query["licence"]))
        return keyset_page(rows, query, ruling_body, newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        licence = queries.get_licence(data["licence"])
        document = Document.objects.filter(pk=data["document"], about__isnull=False).first()
        if document is None:
            raise NotFound("There is no such document.", hint="Attach it to the licence first (POST documents).")
        answers = {
            given["term"]: TermDocument(answer=given["answer"], sentence=given["sentence"]) for given in data["answers"]
        }
        ruling = services_licences.author_ruling(
            actor=caller, licence=licence, answers=answers, reason=data["reason"], document=document
        )
        return ruling_body(ruling)


@extend_schema_view(post=extend_schema(operation_id="approve_ruling", request=None, responses={200: dict}))
class ApproveRuling(Command):
    """Put a ruling in force, for every team."""

    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        ruling = queries.get_ruling(kwargs["ruling"])
        return ruling_body(services_licences.approve_ruling(actor=caller, ruling=ruling))


class EndRulingInput(serializers.Serializer[Any]):
    reason = serializers.CharField()


@extend_schema_view(post=extend_schema(operation_id="end_ruling", request=EndRulingInput, responses={200: dict}))
class EndRuling(Command):
    """Take a ruling out of force, or back before anybody approved it."""

    input = EndRulingInput
    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        ruling = queries.get_ruling(kwargs["ruling"])
        return ruling_body(services_licences.end_ruling(actor=caller, ruling=ruling, reason=data["reason"]))

"""JSON doors of erasure: which texts would go, and letting them go; a person's profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers

from audit import erasure
from registry.access.http import Command, Query
from registry.access.models import Text
from registry.access.services_erasing import erase_actor
from registry.digests import time_text
from registry.errors import Invalid
from registry.events import Caller

SHOWN = 1_000
_DONE = {200: OpenApiTypes.OBJECT}


def text_body(row: Text) -> dict[str, Any]:
    """A text as somebody who may erase it sees it."""
    return {
        "created_at": time_text(row.created_at),
        "erased_at": time_text(row.erased_at) if row.erased_at else None,
        "id": str(row.pk),
        "purpose": row.purpose,
        "stream": row.stream,
        "value": row.value,
    }


def chosen(caller: Caller, *, ids: list[str], by: str, holding: str = "") -> list[Text]:
    """The texts that a call is about: by id, or typed by an actor, or (to look only) holding certain words."""
    if sum(map(bool, (ids, by, holding))) != 1:
        raise Invalid("Say which texts in one way.", hint="Give their ids, or 'by' with a user name.")
    if by:
        return erasure.typed_by(caller, erasure.get_person(by))
    return erasure.named(caller, ids) if ids else erasure.holding(caller, holding)


@extend_schema_view(
    get=extend_schema(
        operation_id="list_erasable_texts",
        parameters=[
            OpenApiParameter("id", str, many=True, description="Ids of texts."),
            OpenApiParameter("by", str, description="User name or id of the actor who typed them, ended ones too."),
            OpenApiParameter("holding", str, description="Words that they hold, in capitals or not."),
        ],
        responses=_DONE,
    )
)
class ListErasableTexts(Query):
    """What an erasure would take: how many texts, and the first thousand of them as they are. Nothing is erased."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        ids = self.request.query_params.getlist("id")
        rows = chosen(caller, ids=ids, by=query.get("by", ""), holding=query.get("holding", ""))
        rows = [row for row in rows if row.erased_at is None]
        return {"count": len(rows), "items": [text_body(row) for row in rows[:SHOWN]]}


class EraseTextsInput(serializers.Serializer[Any]):
    ids = serializers.ListField(
        child=serializers.CharField(max_length=40), required=False, default=list, max_length=SHOWN
    )
    by = serializers.CharField(required=False, default="", allow_blank=True, help_text="User name or id of an actor.")
    reason = serializers.CharField(help_text="Why; it is kept beside the erasure and names nobody.")


@extend_schema_view(post=extend_schema(operation_id="erase_texts", request=EraseTextsInput, responses=_DONE))
class EraseTexts(Command):
    """Erase texts by id, or everything that one actor typed. `left` counts what the same call again goes on with."""

    input = EraseTextsInput
    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        texts = chosen(caller, ids=data["ids"], by=data["by"])
        done = erasure.erase(actor=caller, texts=texts, reason=data["reason"])
        return {"erased": done.count, "left": done.left}


class EraseActorInput(serializers.Serializer[Any]):
    reason = serializers.CharField(help_text="Why; it is kept beside the erasure and names nobody.")


@extend_schema_view(post=extend_schema(operation_id="erase_actor", request=EraseActorInput, responses=_DONE))
class EraseActor(Command):
    """Replace the profile of an account that has ended by a neutral name."""

    input = EraseActorInput
    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        person = erasure.get_person(str(kwargs["actor_id"]))
        erased = erase_actor(actor=caller, person=person, reason=data["reason"])
        return {"id": str(erased.pk), "username": erased.username}

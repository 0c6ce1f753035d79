"""JSON doors of reviews and holds: who looked at a state of data or of a model, and what must not be removed."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from registry.access.http import Command, Query, keyset_page
from registry.digests import time_text
from registry.events import Caller
from registry.oversight import queries_proofs as queries
from registry.oversight import services_proofs as services
from registry.oversight.document_api import ABOUT, ABOUT_HELP
from registry.oversight.models import Hold, Review
from registry.oversight.subjects import find_subject


def review_body(row: Review, in_force: Collection[uuid.UUID]) -> dict[str, Any]:
    """A review as the API shows it; `in_force`: those that count now."""
    return {
        "id": str(row.pk),
        "about": row.subject,
        "digest": row.digest,
        "kind": row.kind,
        "accepted": row.accepted,
        "in_force": row.pk in in_force,
        "statement": str(row.statement),
        "reviewed_by": str(row.reviewed_by_id),
        "role": row.role,
        "reviewed_at": time_text(row.reviewed_at),
        "next_on": row.next_on.isoformat() if row.next_on else None,
    }


def hold_body(row: Hold) -> dict[str, Any]:
    """A hold as the API shows it."""
    return {
        "id": str(row.pk),
        "about": row.subject,
        "reason": str(row.reason),
        "placed_by": str(row.placed_by_id),
        "placed_at": time_text(row.placed_at),
        "ended_at": time_text(row.ended_at) if row.ended_at else None,
        "ended_by": str(row.ended_by_id) if row.ended_by_id else None,
        "ended_reason": str(row.ended_reason or ""),
    }


class SignReviewInput(serializers.Serializer[Any]):
    about = serializers.CharField(max_length=300, help_text="version:team/model@3 or dataset_version:team/rows@1.")
    kind = serializers.RegexField(
        f"^({'|'.join(services.REVIEW_KINDS)})$",
        help_text=f"One of: {', '.join(services.REVIEW_KINDS)}.",
        error_messages={"invalid": f"This is none of: {', '.join(services.REVIEW_KINDS)}."},
    )
    accepted = serializers.BooleanField(help_text="Whether it may be used as it is.")
    statement = serializers.CharField(help_text="What you looked at and found.")
    next_on = serializers.DateField(required=False, default=None, allow_null=True, help_text="Day of the next review.")


@extend_schema_view(
    get=extend_schema(operation_id="list_reviews", parameters=[ABOUT], responses={200: dict}),
    post=extend_schema(operation_id="sign_review", request=SignReviewInput, responses={201: dict}),
)
class SignReview(Command, Query):
    """Who looked at a state of data or of a model; a new review."""

    input = SignReviewInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        subject = find_subject(caller, query.get("about", ""))
        standing = queries.reviews_in_force(subject)
        rows = queries.reviews_of(subject.about)
        return keyset_page(rows, query, lambda row: review_body(row, standing), newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        given = {name: value for name, value in data.items() if name != "about"}
        subject = find_subject(caller, data["about"])
        row = services.sign_review(actor=caller, subject=subject, **given)
        return review_body(row, queries.reviews_in_force(subject))


class PlaceHoldInput(serializers.Serializer[Any]):
    about = serializers.CharField(max_length=300, help_text=ABOUT_HELP)
    reason = serializers.CharField()


@extend_schema_view(
    get=extend_schema(operation_id="list_holds", parameters=[ABOUT], responses={200: dict}),
    post=extend_schema(operation_id="place_hold", request=PlaceHoldInput, responses={201: dict}),
)
class PlaceHold(Command, Query):
    """The holds in the stream of a record, ended ones too; a new one."""

    input = PlaceHoldInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        subject = find_subject(caller, query.get("about", ""))
        return keyset_page(queries.holds_in(subject.stream), query, hold_body, newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        subject = find_subject(caller, data["about"])
        return hold_body(services.place_hold(actor=caller, subject=subject, reason=data["reason"]))


class EndHoldInput(serializers.Serializer[Any]):
    reason = serializers.CharField()


@extend_schema_view(post=extend_schema(operation_id="end_hold", request=EndHoldInput, responses={200: dict}))
class EndHold(Command):
    """It need not be kept any longer; that it was held stays on record."""

    input = EndHoldInput
    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        row = queries.get_hold(caller, kwargs["hold"])
        return hold_body(services.end_hold(actor=caller, hold=row, reason=data["reason"]))

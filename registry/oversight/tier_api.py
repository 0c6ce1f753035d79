"""JSON doors of tier tables, and of the answers that give a use case its tier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from registry.access.http import Command, Query, keyset_page
from registry.digests import time_text
from registry.events import Caller
from registry.oversight import queries, queries_tiers, services_tiers, tiers
from registry.oversight.api import QuestionAnswerInput, use_case_body
from registry.oversight.models import Tier, TierTable, UseCase


def tier_table_body(row: TierTable) -> dict[str, Any]:
    """A table as the API shows it."""
    return {
        "id": str(row.pk),
        "number": row.number,
        "title": queries_tiers.questionnaire(row).title,
        "digest": row.digest,
        "author": str(row.author_id),
        "approved_by": str(row.approved_by_id) if row.approved_by_id else None,
        "in_force_at": time_text(row.in_force_at) if row.in_force_at else None,
        "ended_at": time_text(row.ended_at) if row.ended_at else None,
    }


def answered_body(row: UseCase) -> dict[str, Any]:
    """A use case with what its answers say."""
    found = queries_tiers.standing(row)
    deciding = found.result.deciding if found.result else ()
    return {
        **use_case_body(row),
        "answers": row.answers,
        "tier_table": found.table.number if found.table else None,
        "tier_by_answers": found.result.tier if found.result else None,
        "answers_in_force": found.in_force,
        "deciding": [{"question": q.id, "answer": a.id, "reason": a.reason} for q, a in deciding],
    }


class AuthorTierTableInput(serializers.Serializer[Any]):
    document = serializers.JSONField(help_text="A pressmark/tier_table/1 document.")


@extend_schema_view(
    get=extend_schema(operation_id="list_tier_tables", responses={200: dict}),
    post=extend_schema(operation_id="author_tier_table", request=AuthorTierTableInput, responses={201: dict}),
)
class AuthorTierTable(Command, Query):
    """All tier tables, newest first; a new one."""

    input = AuthorTierTableInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return keyset_page(TierTable.objects.all(), query, tier_table_body, newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        return tier_table_body(services_tiers.author_tier_table(actor=caller, document=data["document"]))


@extend_schema_view(get=extend_schema(operation_id="ready_made_tier_table", responses={200: dict}))
class ReadyMadeTierTable(Query):
    """The table that ships, as a document to start from."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return {"document": tiers.ready_made()}


@extend_schema_view(get=extend_schema(operation_id="get_tier_table", responses={200: dict}))
class ShowTierTable(Query):
    """A table with its questions."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        row = queries_tiers.get_tier_table(kwargs["number"])
        return {**tier_table_body(row), "document": queries_tiers.questionnaire(row).document}


@extend_schema_view(post=extend_schema(operation_id="approve_tier_table", request=None, responses={200: dict}))
class ApproveTierTable(Command):
    """Put a table of somebody else in force."""

    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        row = queries_tiers.get_tier_table(kwargs["number"])
        return tier_table_body(services_tiers.approve_tier_table(actor=caller, table=row))


class AnswerTierTableInput(serializers.Serializer[Any]):
    answers = QuestionAnswerInput(many=True)
    reason = serializers.CharField(help_text="On what the answers rest.")
    tier = serializers.ChoiceField(
        choices=Tier.choices, required=False, default="", allow_blank=True,
        help_text="By hand: higher than what the answers give.",
    )  # fmt: skip


@extend_schema_view(
    get=extend_schema(operation_id="get_use_case", responses={200: dict}),
    post=extend_schema(operation_id="answer_tier_table", request=AnswerTierTableInput, responses={200: dict}),
)
class AnswerTierTable(Command, Query):
    """A use case with its answers; answers to the table in force."""

    input = AnswerTierTableInput
    success_status = 200

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return answered_body(queries.get_use_case(caller, kwargs["team"], kwargs["use_case"]))

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        use_case = queries.get_use_case(caller, kwargs["team"], kwargs["use_case"])
        answers = [dict(row) for row in data["answers"]]
        row = services_tiers.answer_tier_table(
            actor=caller, use_case=use_case, answers=answers, reason=data["reason"], tier=data["tier"]
        )
        return answered_body(row)

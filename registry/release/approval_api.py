"""JSON doors of approvals: requests, the acts on them, and the targets that they may be limited to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers

from registry.access.http import Command, Query, keyset_page
from registry.access.queries import get_team
from registry.catalog import queries as catalog
from registry.catalog.models import ModelVersion
from registry.events import Caller
from registry.release import queries, queries_targets, services, shapes
from registry.release.grounds import grounds_body
from registry.release.models import Decision

_PAGE = [OpenApiParameter("after", str), OpenApiParameter("limit", int)]
_DONE = {200: OpenApiTypes.OBJECT}
_MADE = {201: OpenApiTypes.OBJECT}
_TARGET_HELP = "team/target@3, or its id: where it may run. Left out: anywhere."


def _version(caller: Caller, kwargs: Mapping[str, Any]) -> ModelVersion:
    return catalog.get_version(caller, f"{kwargs['team']}/{kwargs['model']}@{kwargs['number']}")


def _with_target(caller: Caller, data: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the row in the place of its name."""
    return {**data, "target": queries_targets.get_target(caller, data["target"]) if data["target"] else None}


# --- requests ---


class RequestApprovalInput(serializers.Serializer[Any]):
    alias = serializers.CharField(max_length=63)
    reason = serializers.CharField()
    expires_at = serializers.DateTimeField(required=False, default=None, allow_null=True)
    target = serializers.CharField(
        required=False, default=None, allow_null=True, max_length=200, help_text=_TARGET_HELP
    )


@extend_schema_view(
    get=extend_schema(operation_id="list_approvals_of_version", parameters=_PAGE, responses=_DONE),
    post=extend_schema(operation_id="request_approval", request=RequestApprovalInput, responses=_MADE),
)
class RequestApproval(Command, Query):
    """The approvals of a version; a new request."""

    input = RequestApprovalInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        rows = queries.approvals_of(_version(caller, kwargs))
        return keyset_page(rows, query, shapes.approval_body, newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        asked = _with_target(caller, data)
        row = services.request_approval(actor=caller, version=_version(caller, kwargs), **asked)
        return shapes.approval_body(row)


@extend_schema_view(
    get=extend_schema(
        operation_id="list_approvals",
        parameters=[
            *_PAGE,
            OpenApiParameter("open", bool, description="Only what waits for a decision."),
            OpenApiParameter("returned", bool, description="Only what waits for the answer to a question."),
        ],
        responses=_DONE,
    )
)
class ListApprovals(Query):
    """The inbox: `?open=true` is what waits for a decision, `?returned=true` what waits for an answer; else all, newest first."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        for name, found in (("open", queries.open_approvals), ("returned", queries.questions)):
            if query.get(name, "").lower() in {"1", "true"}:
                waiting = [row.pk for row, _ in found(caller)]
                return keyset_page(queries.approvals(caller).filter(pk__in=waiting), query, shapes.approval_body)
        return keyset_page(queries.approvals(caller), query, shapes.approval_body, newest_first=True)


@extend_schema_view(get=extend_schema(operation_id="get_approval", responses=_DONE))
class ShowApproval(Query):
    """An approval with its decisions, its status now, the verdict it is bound to, and the rows and plans that this rests on."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        row = queries.get_approval(caller, kwargs["approval_id"])
        rests_on = grounds_body(caller, row.verdict)
        return {
            **shapes.approval_body(row), "verdict_document": queries.verdict_document(row.verdict), "rests_on": rests_on,
            "why_you_may_not_decide": queries.may_decide(caller, row),
        }  # fmt: skip


# --- acts on them ---


class DecisionInput(serializers.Serializer[Any]):
    reason = serializers.CharField()


class GrantInput(DecisionInput):
    expires_at = serializers.DateTimeField(
        required=False, default=None, allow_null=True, help_text="An end before that of the request."
    )
    target = serializers.CharField(
        required=False, default=None, allow_null=True, max_length=200, help_text=_TARGET_HELP
    )


class _DecisionCommand(Command):
    input = DecisionInput
    service: ClassVar[Callable[..., Decision]]

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        row = queries.get_approval(caller, kwargs["approval_id"])
        type(self).service(actor=caller, approval=row, **data)
        return shapes.approval_body(queries.get_approval(caller, row.pk))


@extend_schema_view(post=extend_schema(operation_id="grant_approval", request=GrantInput, responses=_MADE))
class GrantApproval(_DecisionCommand):
    """Say yes, with conditions or without."""

    input = GrantInput
    service = services.grant_approval

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        return super().perform(caller, _with_target(caller, data), **kwargs)


@extend_schema_view(post=extend_schema(operation_id="reject_approval", request=DecisionInput, responses=_MADE))
class RejectApproval(_DecisionCommand):
    """Say no."""

    service = services.reject_approval


@extend_schema_view(post=extend_schema(operation_id="return_approval", request=DecisionInput, responses=_MADE))
class ReturnApproval(_DecisionCommand):
    """Send back with a question; it goes on once somebody of the team has answered."""

    service = services.return_approval


@extend_schema_view(post=extend_schema(operation_id="answer_approval", request=DecisionInput, responses=_MADE))
class AnswerApproval(_DecisionCommand):
    """Answer the question with which it was returned."""

    service = services.answer_approval


@extend_schema_view(post=extend_schema(operation_id="withdraw_approval", request=DecisionInput, responses=_MADE))
class WithdrawApproval(_DecisionCommand):
    """Take one's own request back."""

    service = services.withdraw_approval


@extend_schema_view(post=extend_schema(operation_id="revoke_approval", request=DecisionInput, responses=_MADE))
class RevokeApproval(_DecisionCommand):
    """Take a yes back."""

    service = services.revoke_approval


# --- targets ---


class RegisterTargetInput(serializers.Serializer[Any]):
    slug = serializers.CharField(max_length=63)
    runtime = serializers.CharField(max_length=120)
    hardware = serializers.CharField(max_length=200)
    settings = serializers.JSONField(required=False, default=dict, help_text="Serving settings; decimals as text.")
    limits = serializers.JSONField(required=False, default=dict, help_text="What it must keep; decimals as text.")
    safeguards = serializers.CharField(required=False, default="", allow_blank=True)


@extend_schema_view(
    get=extend_schema(operation_id="list_targets", parameters=_PAGE, responses=_DONE),
    post=extend_schema(operation_id="register_target", request=RegisterTargetInput, responses=_MADE),
)
class RegisterTarget(Command, Query):
    """The places where versions of a team run, newest first; a new one, or the next number of one."""

    input = RegisterTargetInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        rows = queries_targets.targets_of(get_team(caller, kwargs["team"]))
        return keyset_page(rows, query, shapes.target_body, newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        team = get_team(caller, kwargs["team"])
        return shapes.target_body(services.register_target(actor=caller, team=team, **data))


@extend_schema_view(post=extend_schema(operation_id="end_target", request=None, responses=_DONE))
class EndTarget(Command):
    """Nothing runs there any more: approvals limited to it are stale from now on."""

    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        target = queries_targets.get_target(caller, str(kwargs["target"]))
        return shapes.target_body(services.end_target(actor=caller, target=target))

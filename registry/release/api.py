"""JSON doors of this room: policies, gates, waivers, approvals and their decisions, aliases and their moves."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers

from registry.access.http import Command, Query, keyset_page
from registry.catalog import queries as catalog
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.errors import Invalid, NotFound
from registry.events import Caller
from registry.release import queries, services, shapes
from registry.release.grounds import grounds_body
from registry.release.models import Decision, Policy
from registry.release.policy_language import ready_made

_PAGE = [OpenApiParameter("after", str), OpenApiParameter("limit", int)]


def _model(caller: Caller, kwargs: Mapping[str, Any]) -> RegisteredModel:
    return catalog.get_model(caller, kwargs["team"], kwargs["model"])


def _version(caller: Caller, kwargs: Mapping[str, Any]) -> ModelVersion:
    return catalog.get_version(caller, f"{kwargs['team']}/{kwargs['model']}@{kwargs['number']}")


# --- policies ---


class AuthorPolicyInput(serializers.Serializer[Any]):
    slug = serializers.CharField(max_length=63)
    document = serializers.JSONField(help_text="A pressmark/policy/1 document.")


@extend_schema_view(
    get=extend_schema(operation_id="list_policies", parameters=_PAGE, responses={200: dict}),
    post=extend_schema(operation_id="author_policy", request=AuthorPolicyInput, responses={201: dict}),
)
class AuthorPolicy(Command, Query):
    """All policies, newest first; a new one."""

    input = AuthorPolicyInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return keyset_page(Policy.objects.all(), query, shapes.policy_body, newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        return shapes.policy_body(services.author_policy(actor=caller, slug=data["slug"], document=data["document"]))


@extend_schema_view(get=extend_schema(operation_id="list_ready_made_policies", responses={200: dict}))
class ReadyMadePolicies(Query):
    """The policies that ship, as documents to start from."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return {"items": [{"slug": slug, "document": document} for slug, document in ready_made()], "next": None}


@extend_schema_view(get=extend_schema(operation_id="get_policy", responses={200: dict}))
class ShowPolicy(Query):
    """A policy with its document."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        row = queries.get_policy(kwargs["slug"], kwargs["number"])
        return {**shapes.policy_body(row), "document": queries.policy_rules(row).document}


class _PolicyCommand(Command):
    success_status = 200
    service: ClassVar[Callable[..., Policy]]

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        policy = queries.get_policy(kwargs["slug"], kwargs["number"])
        return shapes.policy_body(type(self).service(actor=caller, policy=policy))


@extend_schema_view(post=extend_schema(operation_id="approve_policy", request=None, responses={200: dict}))
class ApprovePolicy(_PolicyCommand):
    """Put a policy of somebody else in force."""

    service = services.approve_policy


@extend_schema_view(post=extend_schema(operation_id="end_policy", request=None, responses={200: dict}))
class EndPolicy(_PolicyCommand):
    """Take a policy out of force."""

    service = services.end_policy


# --- gates and waivers ---


class EvaluateGateInput(serializers.Serializer[Any]):
    alias = serializers.CharField(max_length=63)


@extend_schema_view(
    get=extend_schema(operation_id="list_verdicts", parameters=_PAGE, responses={200: dict}),
    post=extend_schema(operation_id="evaluate_gate", request=EvaluateGateInput, responses={201: dict}),
)
class EvaluateGate(Command, Query):
    """The verdicts on a version; a new one."""

    input = EvaluateGateInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        rows = queries.verdicts_of(_version(caller, kwargs))
        return keyset_page(rows, query, shapes.verdict_body, newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        version = _version(caller, kwargs)
        return shapes.verdict_body(services.evaluate_gate(actor=caller, version=version, alias=data["alias"]))


class SignWaiverInput(serializers.Serializer[Any]):
    rule = serializers.CharField(max_length=60)
    reason = serializers.CharField()
    expires_at = serializers.DateTimeField()


@extend_schema_view(
    get=extend_schema(operation_id="list_waivers", parameters=_PAGE, responses={200: dict}),
    post=extend_schema(operation_id="sign_waiver", request=SignWaiverInput, responses={201: dict}),
)
class SignWaiver(Command, Query):
    """The waivers of a version; a new one."""

    input = SignWaiverInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        rows = queries.waivers_of(_version(caller, kwargs))
        return keyset_page(rows, query, shapes.waiver_body, newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        return shapes.waiver_body(services.sign_waiver(actor=caller, version=_version(caller, kwargs), **data))


class ReasonInput(serializers.Serializer[Any]):
    reason = serializers.CharField()


@extend_schema_view(post=extend_schema(operation_id="end_waiver", request=ReasonInput, responses={200: dict}))
class EndWaiver(Command):
    """Take a waiver back before its end."""

    input = ReasonInput
    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        waiver = queries.get_waiver(caller, kwargs["waiver_id"])
        return shapes.waiver_body(services.end_waiver(actor=caller, waiver=waiver, reason=data["reason"]))


# --- approvals ---


class RequestApprovalInput(serializers.Serializer[Any]):
    alias = serializers.CharField(max_length=63)
    reason = serializers.CharField()
    expires_at = serializers.DateTimeField(required=False, default=None, allow_null=True)


@extend_schema_view(
    get=extend_schema(operation_id="list_approvals_of_version", parameters=_PAGE, responses={200: dict}),
    post=extend_schema(operation_id="request_approval", request=RequestApprovalInput, responses={201: dict}),
)
class RequestApproval(Command, Query):
    """The approvals of a version; a new request."""

    input = RequestApprovalInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        rows = queries.approvals_of(_version(caller, kwargs))
        return keyset_page(rows, query, shapes.approval_body, newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        row = services.request_approval(actor=caller, version=_version(caller, kwargs), **data)
        return shapes.approval_body(row)


@extend_schema_view(
    get=extend_schema(
        operation_id="list_approvals",
        parameters=[*_PAGE, OpenApiParameter("open", bool, description="Only what waits for a decision.")],
        responses={200: dict},
    )
)
class ListApprovals(Query):
    """The inbox: `?open=true` gives what waits for a decision; without it all approvals, newest first."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        if query.get("open", "").lower() in {"1", "true"}:
            waiting = [row.pk for row, _ in queries.open_approvals(caller)]
            return keyset_page(queries.approvals(caller).filter(pk__in=waiting), query, shapes.approval_body)
        return keyset_page(queries.approvals(caller), query, shapes.approval_body, newest_first=True)


@extend_schema_view(get=extend_schema(operation_id="get_approval", responses={200: dict}))
class ShowApproval(Query):
    """An approval with its decisions, its status now, the verdict it is bound to, and the rows and plans that this rests on."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        row = queries.get_approval(caller, kwargs["approval_id"])
        rests_on = grounds_body(caller, row.verdict)
        return {
            **shapes.approval_body(row), "verdict_document": queries.verdict_document(row.verdict), "rests_on": rests_on,
        }  # fmt: skip


class _DecisionCommand(Command):
    input = ReasonInput
    service: ClassVar[Callable[..., Decision]]

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        row = queries.get_approval(caller, kwargs["approval_id"])
        type(self).service(actor=caller, approval=row, reason=data["reason"])
        return shapes.approval_body(queries.get_approval(caller, row.pk))


@extend_schema_view(post=extend_schema(operation_id="grant_approval", request=ReasonInput, responses={201: dict}))
class GrantApproval(_DecisionCommand):
    """Say yes."""

    service = services.grant_approval


@extend_schema_view(post=extend_schema(operation_id="reject_approval", request=ReasonInput, responses={201: dict}))
class RejectApproval(_DecisionCommand):
    """Say no."""

    service = services.reject_approval


@extend_schema_view(post=extend_schema(operation_id="return_approval", request=ReasonInput, responses={201: dict}))
class ReturnApproval(_DecisionCommand):
    """Send back: something has to be supplied first."""

    service = services.return_approval


@extend_schema_view(post=extend_schema(operation_id="withdraw_approval", request=ReasonInput, responses={201: dict}))
class WithdrawApproval(_DecisionCommand):
    """Take one's own request back."""

    service = services.withdraw_approval


@extend_schema_view(post=extend_schema(operation_id="revoke_approval", request=ReasonInput, responses={201: dict}))
class RevokeApproval(_DecisionCommand):
    """Take a yes back."""

    service = services.revoke_approval


# --- aliases ---


@extend_schema_view(get=extend_schema(operation_id="resolve", responses={200: dict}))
class Resolve(Query):
    """Which version a reference names: `team/model@production`, `@7` or `@sha256:...`."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        version = queries.resolve(caller, f"{kwargs['team']}/{kwargs['model']}@{kwargs['name']}")
        return {"version": str(version), "digest": version.digest, "size_bytes": version.size_bytes}


@extend_schema_view(
    get=extend_schema(
        operation_id="alias_history",
        parameters=[OpenApiParameter("at", str, description="What was served at this moment.")],
        responses={200: dict},
    )
)
class AliasHistory(Query):
    """Every move of an alias, newest first; with `?at=TIME` the one in force at that moment."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        alias = queries.get_alias(caller, kwargs["team"], kwargs["model"], kwargs["alias"])
        if "at" not in query:
            moves = queries.alias_history(alias.model, alias.slug)
            return {"items": [shapes.assignment_body(m) for m in moves], "next": None}
        moment = _moment(query["at"])
        move = queries.assignment_at(alias.model, alias.slug, moment)
        if move is None:
            raise NotFound(f"'{alias}' did not exist at {moment.isoformat()}.")
        return shapes.assignment_body(move)


def _moment(text: str) -> Any:
    try:
        found = parse_datetime(text.replace(" ", "+"))  # a plus sign in a query arrives as a space
    except ValueError:
        found = None
    if found is None or timezone.is_naive(found):
        raise Invalid("'at' is no time.", hint="Write it as 2026-01-31T12:00:00Z.")
    try:
        return found.astimezone(datetime.UTC)
    except OverflowError:
        raise Invalid("'at' lies outside of the calendar.", hint="Write it as 2026-01-31T12:00:00Z.") from None


class PromoteInput(serializers.Serializer[Any]):
    approval = serializers.UUIDField()


@extend_schema_view(post=extend_schema(operation_id="promote", request=PromoteInput, responses={201: dict}))
class Promote(Command):
    """Let an alias serve an approved version."""

    input = PromoteInput
    checked: services.CheckedBytes

    def prepare(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> None:
        model = _model(caller, kwargs)
        services.require_promote(actor=caller, model=model)
        self.checked = services.check_bytes(queries.get_approval(caller, data["approval"]).version)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        approval = queries.get_approval(caller, data["approval"])
        model = _model(caller, kwargs)
        move = services.promote(
            actor=caller, model=model, alias=kwargs["alias"], approval=approval, checked=self.checked
        )
        return shapes.assignment_body(move)


class RollBackInput(serializers.Serializer[Any]):
    reason = serializers.CharField()
    to_version = serializers.IntegerField(required=False, default=None, allow_null=True, min_value=1)


@extend_schema_view(post=extend_schema(operation_id="roll_back", request=RollBackInput, responses={201: dict}))
class RollBack(Command):
    """Let an alias serve an earlier version again."""

    input = RollBackInput
    checked: tuple[services.Target, services.CheckedBytes]

    def prepare(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> None:
        number = data["to_version"]
        to_version = None if number is None else _version(caller, {**kwargs, "number": number})
        model = _model(caller, kwargs)
        self.checked = services.check_rollback(actor=caller, model=model, alias=kwargs["alias"], to_version=to_version)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        model, alias = _model(caller, kwargs), kwargs["alias"]
        move = services.roll_back(actor=caller, model=model, alias=alias, reason=data["reason"], checked=self.checked)
        return shapes.assignment_body(move)


@extend_schema_view(post=extend_schema(operation_id="suspend", request=ReasonInput, responses={201: dict}))
class Suspend(Command):
    """Let an alias serve nothing."""

    input = ReasonInput

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        model = _model(caller, kwargs)
        move = services.suspend(actor=caller, model=model, alias=kwargs["alias"], reason=data["reason"])
        return shapes.assignment_body(move)

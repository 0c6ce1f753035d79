"""JSON doors of this room: policies, gates, waivers, aliases and their moves. Approvals: `approval_api`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers

from registry.access.http import Command, Query, keyset_page
from registry.catalog import queries as catalog
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.digests import time_text
from registry.errors import NotFound
from registry.events import Caller
from registry.release import queries, services, shapes
from registry.release.models import Policy
from registry.release.moments import moment_of
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
        parameters=[
            OpenApiParameter("at", str, description="What was served at this moment."),
            OpenApiParameter("after", str),
            OpenApiParameter("limit", int),
        ],
        responses={200: dict},
    )
)
class AliasHistory(Query):
    """The moves of an alias, newest first; with `?at=TIME` the one in force at that moment."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        alias = queries.get_alias(caller, kwargs["team"], kwargs["model"], kwargs["alias"])
        if "at" not in query:
            moves = queries.alias_moves(alias.model, alias.slug)
            return keyset_page(moves, query, shapes.assignment_body, newest_first=True)
        moment = moment_of(query["at"])
        move = queries.assignment_at(alias.model, alias.slug, moment)
        if move is None:
            raise NotFound(f"'{alias}' did not exist at {time_text(moment)}.", hint="Its history says when it began.")
        return shapes.assignment_body(move)


class PromoteInput(serializers.Serializer[Any]):
    approval = serializers.UUIDField()


@extend_schema_view(post=extend_schema(operation_id="promote", request=PromoteInput, responses={201: dict}))
class Promote(Command):
    """Let an alias serve an approved version."""

    input = PromoteInput
    checked: services.CheckedBytes

    def prepare(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> None:
        model = _model(caller, kwargs)
        services.require_promote(actor=caller, model=model, alias=kwargs["alias"])
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

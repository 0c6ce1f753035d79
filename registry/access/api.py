"""JSON doors of this room: who am I, tokens, teams, people, memberships; who they are, and how each of them ends."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from django.contrib.auth import authenticate
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from registry.access import permissions, queries, services
from registry.access.http import Command, Query, caller_of, keyset_page
from registry.access.models import Actor, ActorKind, Membership, Role, Team, Token
from registry.access.parsing import BoundedJSONParser
from registry.access.queries_deputies import get_person
from registry.access.queries_responsibility import responsible_for
from registry.access.services_responsibility import give_responsibility
from registry.access.throttling import LogInThrottle
from registry.errors import Forbidden, NotFound
from registry.events import Caller

_DONE = {200: OpenApiTypes.OBJECT}
_MADE = {201: OpenApiTypes.OBJECT}
_USERNAME = OpenApiParameter("username", str)


def actor_body(row: Actor) -> dict[str, Any]:
    """An account as administrators see it."""
    return {
        "created_at": _text(row.created_at),
        "display_name": row.display_name,
        "ended_at": _text(row.ended_at),
        "id": str(row.pk),
        "kind": row.kind,
        "responsible": _responsible(row),
        "username": row.username,
    }


def _responsible(row: Actor) -> str | None:
    """User name of who answers for a service account; a list has it from its one query."""
    if row.kind != ActorKind.SERVICE:
        return None
    if not hasattr(row, "responsible_name"):
        person = responsible_for([row.pk]).get(row.pk)
        return person.username if person else None
    name: str | None = row.responsible_name
    return name


def token_body(row: Token) -> dict[str, Any]:
    """The record of a token; the token itself was shown once."""
    return {
        "created_at": _text(row.created_at),
        "ended_at": _text(row.ended_at),
        "expires_at": _text(row.expires_at),
        "id": str(row.pk),
        "issued_by": row.issued_by.username,
        "username": row.actor.username,
    }


def membership_body(membership: Membership) -> dict[str, Any]:
    """A membership as the API shows it."""
    return {
        "id": str(membership.pk),
        "role": membership.role,
        "team": membership.team.slug if membership.team else None,
        "expires_at": membership.expires_at,
    }


class WhoAmI(Query):
    """The caller, with every role in force."""

    @extend_schema(operation_id="who_am_i", responses={200: dict})
    def get(self, request: Request, **kwargs: Any) -> Response:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        person = Actor.objects.get(pk=caller.actor_id)
        memberships = [membership_body(m) for m in person.memberships_now()]
        return {"id": str(person.pk), "username": person.username, "kind": person.kind, "memberships": memberships}


class LogInInput(serializers.Serializer[Any]):
    username = serializers.CharField()
    password = serializers.CharField(style={"input_type": "password"})
    days = serializers.IntegerField(default=services.TOKEN_LIFETIME_DAYS, min_value=1, max_value=365)


class LogIn(APIView):
    """A token for a user name and a password. The secret is shown once; only its hash is kept."""

    permission_classes = [AllowAny]
    authentication_classes = []
    parser_classes = [BoundedJSONParser]
    throttle_classes = [LogInThrottle]

    @extend_schema(operation_id="log_in", request=LogInInput, responses={201: dict})
    def post(self, request: Request) -> Response:
        read = LogInInput(data=request.data)
        read.is_valid(raise_exception=True)
        data = read.validated_data
        person = authenticate(request._request, username=data["username"], password=data["password"])
        if not isinstance(person, Actor):
            raise Forbidden(
                "User name and password do not fit.", hint="Check both; ask an administrator for a new one."
            )
        caller = Caller(actor_id=person.pk, via="api")
        token, secret = services.create_token(actor=caller, person=person, days=data["days"])
        return Response({"token": secret, "id": str(token.pk), "expires_at": token.expires_at}, status=201)


@extend_schema_view(get=extend_schema(operation_id="list_tokens", parameters=[_USERNAME], responses=_DONE))
class ListTokens(Query):
    """The caller's tokens, newest first; an administrator may ask for those of somebody else."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return keyset_page(queries.tokens(caller, query.get("username", "")), query, token_body, newest_first=True)


class EndToken(Command):
    """Revoke a token of the caller's; an administrator may revoke any."""

    success_status = 200

    @extend_schema(operation_id="end_token", request=None, responses={200: dict})
    def post(self, request: Request, **kwargs: Any) -> Response:
        return super().post(request, **kwargs)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        token = queries.get_token(caller, kwargs["token_id"])
        ended = services.end_token(actor=caller, token=token)
        return {"id": str(ended.pk), "ended_at": _text(ended.ended_at)}


class CreateServiceTokenInput(serializers.Serializer[Any]):
    username = serializers.CharField()
    days = serializers.IntegerField(default=services.TOKEN_LIFETIME_DAYS, min_value=1, max_value=365)


class CreateServiceToken(APIView):
    """A token for a service account, by an administrator."""

    parser_classes = [BoundedJSONParser]

    @extend_schema(operation_id="create_service_token", request=CreateServiceTokenInput, responses={201: dict})
    def post(self, request: Request) -> Response:
        read = CreateServiceTokenInput(data=request.data)
        read.is_valid(raise_exception=True)
        account = Actor.objects.filter(username=read.validated_data["username"], kind=ActorKind.SERVICE).first()
        if account is None:
            raise NotFound("There is no such service account.")
        caller = caller_of(request, "api")
        token, secret = services.create_token(actor=caller, person=account, days=read.validated_data["days"])
        return Response({"token": secret, "id": str(token.pk), "expires_at": token.expires_at}, status=201)


class CreateTeamInput(serializers.Serializer[Any]):
    slug = serializers.CharField(max_length=63)
    title = serializers.CharField(required=False, default="", allow_blank=True)


class CreateTeam(Command):
    """A new team."""

    input = CreateTeamInput

    @extend_schema(operation_id="create_team", request=CreateTeamInput, responses={201: dict})
    def post(self, request: Request, **kwargs: Any) -> Response:
        return super().post(request, **kwargs)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        team = services.create_team(actor=caller, slug=data["slug"], title=data["title"])
        return {"id": str(team.pk), "slug": team.slug}


class CreateActorInput(serializers.Serializer[Any]):
    username = serializers.CharField(max_length=150)
    kind = serializers.ChoiceField(choices=[ActorKind.PERSON, ActorKind.SERVICE], default=ActorKind.PERSON)
    display_name = serializers.CharField(required=False, default="", allow_blank=True)
    email = serializers.EmailField(required=False, default="", allow_blank=True)
    password = serializers.CharField(required=False, default=None, allow_null=True, style={"input_type": "password"})
    responsible = serializers.CharField(
        required=False, default=None, allow_null=True, max_length=150,
        help_text="For a service account: user name of the person who answers for it.",
    )  # fmt: skip


@extend_schema_view(
    get=extend_schema(operation_id="list_actors", parameters=[_USERNAME], responses=_DONE),
    post=extend_schema(operation_id="create_actor", request=CreateActorInput, responses=_MADE),
)
class CreateActor(Command, Query):
    """The accounts of this installation, for administrators; a new person or service account."""

    input = CreateActorInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return keyset_page(queries.actors(caller, query.get("username", "")), query, actor_body)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        permissions.require(caller, "actor.create", None)  # before anybody is looked up by name
        named = get_person(data["responsible"]) if data["responsible"] else None
        person = services.create_actor(actor=caller, **{**data, "responsible": named})
        return {"id": str(person.pk), "username": person.username}


@extend_schema_view(post=extend_schema(operation_id="end_actor", request=None, responses=_DONE))
class EndActor(Command):
    """End an account with its roles and tokens; what it did stays."""

    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        person = queries.get_actor(caller, kwargs["actor_id"])
        return actor_body(services.end_actor(actor=caller, person=person))


class GiveResponsibilityInput(serializers.Serializer[Any]):
    person = serializers.CharField(max_length=150, help_text="User name of the person who answers from now on.")


@extend_schema_view(
    post=extend_schema(operation_id="give_responsibility", request=GiveResponsibilityInput, responses=_MADE)
)
class GiveResponsibility(Command):
    """Let somebody else answer for a service account; who answered before keeps a part in what it did."""

    input = GiveResponsibilityInput

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        account = queries.get_actor(caller, kwargs["actor_id"])
        give_responsibility(actor=caller, account=account, person=get_person(data["person"]))
        return actor_body(queries.get_actor(caller, account.pk))


class GrantMembershipInput(serializers.Serializer[Any]):
    username = serializers.CharField()
    role = serializers.ChoiceField(choices=Role.choices)
    team = serializers.CharField(required=False, default=None, allow_null=True)
    expires_at = serializers.DateTimeField(required=False, default=None, allow_null=True)


@extend_schema_view(
    get=extend_schema(
        operation_id="list_memberships", parameters=[_USERNAME, OpenApiParameter("team", str)], responses=_DONE
    ),
    post=extend_schema(operation_id="grant_membership", request=GrantMembershipInput, responses=_MADE),
)
class GrantMembership(Command, Query):
    """Memberships that have not ended, for administrators; give somebody a role, in a team or in the whole instance."""

    input = GrantMembershipInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        rows = queries.memberships(caller, query.get("username", ""), query.get("team", ""))
        return keyset_page(rows, query, lambda row: {**membership_body(row), "username": row.actor.username})

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        person = Actor.objects.filter(username=data["username"], ended_at=None).exclude(kind=ActorKind.SYSTEM).first()
        if person is None:
            raise NotFound(f"There is no active actor {data['username']!r}.")
        team: Team | None = queries.get_team(caller, data["team"]) if data["team"] else None
        membership = services.grant_membership(
            actor=caller, person=person, role=data["role"], team=team, expires_at=data["expires_at"]
        )
        return {"id": str(membership.pk), "role": membership.role, "team": data["team"]}


@extend_schema_view(post=extend_schema(operation_id="end_membership", request=None, responses=_DONE))
class EndMembership(Command):
    """Take a role away; what was done under it stays done."""

    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        row = queries.get_membership(caller, kwargs["membership_id"])
        ended = services.end_membership(actor=caller, membership=row)
        return {"ended_at": _text(ended.ended_at), "id": str(ended.pk), "role": ended.role}


def _text(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()

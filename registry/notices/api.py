"""JSON doors of this room: what the caller was told, whether as mail, and webhooks for administrators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers

from registry.access.http import Command, Query, keyset_page
from registry.access.queries import get_team
from registry.events import Caller
from registry.notices import queries, services
from registry.notices.models import Outgoing, Webhook

_DONE = {200: OpenApiTypes.OBJECT}
_MADE = {201: OpenApiTypes.OBJECT}


def webhook_body(row: Webhook, fares: queries.Delivery, url: str) -> dict[str, Any]:
    """A webhook as those who watch over it see it; its secret was shown once."""
    return {
        "created_at": row.created_at.isoformat(),
        "ended_at": None if row.ended_at is None else row.ended_at.isoformat(),
        "given_up": fares.given_up,
        "id": str(row.pk),
        "kinds": row.kinds,
        "last_failure": fares.last_error,
        "last_taken_at": None if fares.last_sent_at is None else fares.last_sent_at.isoformat(),
        "team": row.team.slug if row.team else None,
        "url": url,
        "url_digest": row.url_digest,
        "waiting": fares.waiting,
    }


def _own_body(row: Webhook) -> dict[str, Any]:
    return webhook_body(row, queries.delivery(row), row.url)


def notice_body(row: Outgoing) -> dict[str, Any]:
    """What somebody was told."""
    return {
        "at": row.created_at.isoformat(),
        "do": row.body["do"],
        "event": None if row.event_id is None else str(row.event_id),
        "id": row.pk,
        "kind": row.kind,
        "mailed_at": None if row.sent_at is None else row.sent_at.isoformat(),
        "path": row.body["path"],
        "reason": row.body["reason"],
        "says": row.body["says"],
    }


class RegisterWebhookInput(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=500)
    kinds = serializers.ListField(child=serializers.CharField(max_length=60), max_length=200)
    team = serializers.CharField(required=False, default=None, allow_null=True)


@extend_schema_view(
    get=extend_schema(operation_id="list_webhooks", parameters=[OpenApiParameter("team", str)], responses=_DONE),
    post=extend_schema(operation_id="register_webhook", request=RegisterWebhookInput, responses=_MADE),
)
class RegisterWebhook(Command, Query):
    """The webhooks that the caller watches over, and how they fare; a new one. The answer to POST alone holds the secret."""

    input = RegisterWebhookInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        rows = queries.webhooks(caller, query.get("team", ""))
        page = keyset_page(rows, query, lambda row: row, newest_first=True)
        fares = queries.deliveries(page["items"])
        shown = [webhook_body(row, fares[row.pk], queries.address_of(caller, row)) for row in page["items"]]
        return {**page, "items": shown}

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        team = get_team(caller, data["team"]) if data["team"] else None
        row, secret = services.register_webhook(actor=caller, url=data["url"], kinds=data["kinds"], team=team)
        return {**_own_body(row), "secret": secret}


@extend_schema_view(post=extend_schema(operation_id="rotate_webhook", request=None, responses=_DONE))
class RotateWebhook(Command):
    """A new secret, which counts at once."""

    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        webhook = queries.get_webhook(caller, kwargs["webhook_id"])
        row, secret = services.rotate_webhook(actor=caller, webhook=webhook)
        return {**_own_body(row), "secret": secret}


@extend_schema_view(post=extend_schema(operation_id="end_webhook", request=None, responses=_DONE))
class EndWebhook(Command):
    """The address is told of nothing any more."""

    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        webhook = queries.get_webhook(caller, kwargs["webhook_id"])
        return _own_body(services.end_webhook(actor=caller, webhook=webhook))


@extend_schema_view(post=extend_schema(operation_id="resend_webhook", request=None, responses=_DONE))
class ResendWebhook(Command):
    """What was given up is tried again."""

    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        webhook = queries.get_webhook(caller, kwargs["webhook_id"])
        again = services.resend_webhook(actor=caller, webhook=webhook)
        return {**_own_body(webhook), "again": again}


@extend_schema_view(
    get=extend_schema(
        operation_id="list_notices",
        parameters=[OpenApiParameter("before", str), OpenApiParameter("limit", int)],
        responses=_DONE,
    )
)
class ListNotices(Query):
    """What the caller was told, newest first."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        rows, following = queries.page_of_notices(caller, query.get("before", ""), query.get("limit", ""))
        return {"items": [notice_body(row) for row in rows], "mail": queries.wants_mail(caller), "next": following}


class ChooseMailInput(serializers.Serializer[Any]):
    wanted = serializers.BooleanField()


@extend_schema_view(post=extend_schema(operation_id="choose_mail", request=ChooseMailInput, responses=_DONE))
class ChooseMail(Command):
    """Whether the caller wants notices as mail."""

    input = ChooseMailInput
    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        return {"mail": services.choose_mail(actor=caller, wanted=data["wanted"])}

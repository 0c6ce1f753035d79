"""How a room speaks HTTP: callers from requests, problem+json, idempotency keys, receipts in the answer.

Rules:
- a command runs in one unit together with its idempotency row; a repeat with the same body gets the stored answer and receipt,
  with another body 422;
- the answer to a command carries `Pressmark-Receipt`: base64 of the signed receipt note;
- that to a decision or a move of an alias also carries `Pressmark-Checkpoint`: the size of the signed checkpoint that covers it,
  or `pending` when none came within five seconds;
- every error is problem+json; what went wrong inside is logged and never shown.
"""

from __future__ import annotations

import base64
import errno
import hmac
import json
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import IntegrityError, OperationalError, models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView, exception_handler

from registry.access.models import IdempotencyKey
from registry.access.parsing import BoundedJSONParser
from registry.errors import Conflict, Invalid, Problem, Unavailable
from registry.events import Caller, Unit, Via, unit

logger = logging.getLogger(__name__)
RECEIPT_HEADER = "Pressmark-Receipt"
CHECKPOINT_HEADER = "Pressmark-Checkpoint"
PAGE_LIMIT = 100
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
M = TypeVar("M", bound=models.Model)


def caller_of(request: HttpRequest | Request, via: Via) -> Caller:
    """Who asks. The door is ours to say, never the client's."""
    if request.user is None or not request.user.is_authenticated:
        raise exceptions.NotAuthenticated
    return Caller(actor_id=request.user.pk, via=via)


def problem_response(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's exception handler: everything becomes problem+json."""
    if isinstance(error, Problem):
        return _problem(error)
    if isinstance(error, exceptions.ValidationError):
        fields = error.detail if isinstance(error.detail, dict) else {"body": error.detail}
        named = "; ".join(f"{name}: {_first(value)}" for name, value in fields.items())
        return _problem(Invalid(named, hint="Correct the fields named in 'fields'.", fields=fields))
    if isinstance(error, IntegrityError):
        logger.warning("the database refused a write: %s", error)
        return _problem(Conflict("The database refused this: it would break a rule of the registry.", code="refused"))
    if isinstance(error, RequestDataTooBig):
        return _problem(_too_large())
    answer = exception_handler(error, dict(context))
    if answer is None:
        logger.error("a request failed", exc_info=error)
        return _problem(_of_ours(error))
    detail = answer.data.get("detail", "") if isinstance(answer.data, dict) else ""
    shown = Problem(str(detail), code=getattr(error, "default_code", "error").replace("_", "-"))
    shown.status = answer.status_code
    answer.data = shown.as_dict() | {"title": answer.status_text}
    answer.content_type = "application/problem+json"
    return answer


def _too_large() -> Problem:
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    found = Problem(
        f"The body has more than the {most:,} bytes that a call may have.", hint="Upload files; name them here."
    )
    found.status, found.code, found.title = 413, "too-large", "The body is too large"
    return found


def _of_ours(error: Exception) -> Problem:
    """What a client may know of a fault that is not its own: whether waiting helps, and nothing of the inside."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return Unavailable(
            "There is no room left on the disk; nothing was kept.", hint="Tell an administrator.", code="no-room"
        )
    if isinstance(error, OperationalError):
        return Unavailable(
            "The database did not answer in time; nothing was kept.", hint="Try again.", code="database-busy"
        )
    fault = Problem(
        "Something went wrong on our side; nothing was kept.", hint="Tell an administrator: the log says what."
    )
    fault.status, fault.code, fault.title = 500, "internal", "A fault of ours"
    return fault


def _problem(error: Problem) -> Response:
    return Response(error.as_dict(), status=error.status, content_type="application/problem+json")


def _first(value: Any) -> str:
    while isinstance(value, list | dict) and value:
        value = next(iter(value.values())) if isinstance(value, dict) else value[0]
    return str(value)


def keyset_page(
    rows: QuerySet[M], query: Mapping[str, str], shape: Callable[[M], Any], *, newest_first: bool = False
) -> dict[str, Any]:
    """One page of a listing in the order of the keys: `?after=<id>&limit=<=100` gives `items`, and `next` or null."""
    try:
        limit = int(query.get("limit", PAGE_LIMIT))
        after = uuid.UUID(query["after"]) if query.get("after") else None
    except ValueError:
        raise Invalid(
            "'after' takes an id of the listing and 'limit' a number.", hint="Use 'next' as 'after'."
        ) from None
    if not 1 <= limit <= PAGE_LIMIT:
        raise Invalid(f"A page has 1 to {PAGE_LIMIT} items.", hint="Correct 'limit'.")
    if after is not None:
        rows = rows.filter(pk__lt=after) if newest_first else rows.filter(pk__gt=after)
    found = list(rows.order_by("-pk" if newest_first else "pk")[: limit + 1])
    following = str(found[limit - 1].pk) if len(found) > limit else None
    return {"items": [shape(row) for row in found[:limit]], "next": following}


class Query(APIView):
    """A read: `answer` returns JSON-able data."""

    def get(self, request: Request, **kwargs: Any) -> Response:
        return Response(self.answer(caller_of(request, "api"), request.query_params, **kwargs))

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        raise NotImplementedError


class Command(APIView):
    """A write: `perform` calls one service and returns the body. `input` is the serializer of the request."""

    parser_classes = [BoundedJSONParser]
    input: ClassVar[type[serializers.Serializer[Any]] | None] = None
    success_status: ClassVar[int] = 201

    def get_serializer_class(self) -> type[serializers.Serializer[Any]] | None:
        """For the OpenAPI document."""
        return self.input

    def post(self, request: Request, **kwargs: Any) -> Response:
        caller = caller_of(request, "api")
        data = self._read(request)
        key = _idempotency_key(request)
        digest = _request_digest(request.path, request.data)
        stored = _stored_answer(caller, key, digest)
        if stored is not None:
            return _answer(stored.body, stored.status, stored.receipt)
        try:
            return self._in_one_unit(caller, key, digest, data, kwargs)
        except (IntegrityError, Problem):  # the same request with the same key may have won a race
            stored = _stored_answer(caller, key, digest)
            if stored is None:
                raise
            return _answer(stored.body, stored.status, stored.receipt)

    def _in_one_unit(
        self, caller: Caller, key: str | None, digest: str, data: Mapping[str, Any], kwargs: dict[str, Any]
    ) -> Response:
        self.prepare(caller, data, **kwargs)
        with unit(caller) as opened:
            body = self.perform(caller, data, **kwargs)
            row = _store(caller, key, digest, self.success_status, body, "")
        receipt = _encode(opened)
        if row is not None:
            IdempotencyKey.objects.filter(pk=row.pk).update(receipt=receipt)
        answer = _answer(body, self.success_status, receipt)
        if opened.awaited:
            answer[CHECKPOINT_HEADER] = str(opened.checkpoint or "pending")
        return answer

    def _read(self, request: Request) -> Mapping[str, Any]:
        if self.input is None:
            return {}
        serializer = self.input(data=request.data)
        serializer.is_valid(raise_exception=True)
        data: Mapping[str, Any] = serializer.validated_data
        return data

    def prepare(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> None:
        """Long work before the unit opens, such as reading stored bytes again. Nothing by default."""

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        raise NotImplementedError


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise Invalid(
            "The Idempotency-Key is not usable.", hint="Send 1 to 200 visible ASCII characters, such as a UUID."
        )
    return key


def _request_digest(path: str, body: Any) -> str:
    """What tells one request from another; keyed, for a body may hold a password, and what is stored must not help to guess it."""
    body_bytes = json.dumps({"path": path, "body": body}, sort_keys=True).encode()
    return f"sha256:{hmac.new(settings.SECRET_KEY.encode(), body_bytes, 'sha256').hexdigest()}"


def _stored_answer(caller: Caller, key: str | None, digest: str) -> IdempotencyKey | None:
    if key is None:
        return None
    row = IdempotencyKey.objects.filter(actor_id=caller.actor_id, key=key).first()
    if row is not None and row.request_digest != digest:
        raise Invalid(
            "This Idempotency-Key was used for another request.",
            hint="Use a new key for a new request; repeat the same request with the same key.",
            code="idempotency-key-reused",
        )
    return row


def _store(caller: Caller, key: str | None, digest: str, status: int, body: Any, receipt: str) -> IdempotencyKey | None:
    if key is None:
        return None
    return IdempotencyKey.objects.create(
        actor_id=caller.actor_id, key=key, request_digest=digest, status=status, body=body, receipt=receipt,
        created_at=timezone.now(),
    )  # fmt: skip


def _encode(opened: Unit) -> str:
    return base64.b64encode(opened.receipt.encode()).decode() if opened.receipt else ""


def _answer(body: Any, status: int, receipt: str) -> Response:
    headers = {RECEIPT_HEADER: receipt} if receipt else {}
    return Response(body, status=status, headers=headers)

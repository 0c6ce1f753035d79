"""JSON doors of what moves an alias beside promotion and roll-back, and of what it served: emergencies, drills, any moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers

from registry.access.http import Command, Query, keyset_page
from registry.catalog import queries as catalog
from registry.catalog.models import ModelVersion
from registry.digests import time_text
from registry.errors import NotFound
from registry.events import Caller
from registry.release import queries, services, shapes
from registry.release.drilled import drills_of
from registry.release.models import Verdict
from registry.release.moments import moment_of
from registry.release.serving_models import BrokenGlass, Drill

_PAGE = [OpenApiParameter("after", str), OpenApiParameter("limit", int)]


def drill_body(row: Drill) -> dict[str, Any]:
    """A drill as the API shows it; times in milliseconds."""
    return {
        "id": str(row.pk),
        "alias": row.alias,
        "version": str(row.version) if row.version else None,
        "version_digest": row.version_digest,
        "eligible": row.eligible,
        "reasons": row.reasons,
        "decision_milliseconds": row.decision_milliseconds,
        "bytes_milliseconds": row.bytes_milliseconds,
        "size_bytes": row.size_bytes,
        "drilled_by": str(row.drilled_by_id),
        "drilled_at": time_text(row.drilled_at),
    }


def _verdict_body(row: Verdict | None) -> dict[str, Any] | None:
    """What the gate said; None where no policy was in force that could have judged the version."""
    return {"id": str(row.pk), "outcome": row.outcome, "digest": row.digest} if row else None


def glass_body(row: BrokenGlass) -> dict[str, Any]:
    """The record of an emergency as the API shows it."""
    return {
        "id": str(row.pk),
        "alias": row.alias,
        "version": str(row.version),
        "version_digest": row.version_digest,
        "reason": str(row.reason),
        "policy": str(row.policy) if row.policy else None,
        "verdict": _verdict_body(row.verdict),
        "role": row.role,
        "broken_by": str(row.broken_by_id),
        "broken_at": time_text(row.broken_at),
        "expires_at": time_text(row.expires_at),
    }


def _version(caller: Caller, kwargs: Mapping[str, Any], number: int | None) -> ModelVersion | None:
    if number is None:
        return None
    return catalog.get_version(caller, f"{kwargs['team']}/{kwargs['model']}@{number}")


class BreakGlassInput(serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1, help_text="The number of the version to serve.")
    reason = serializers.CharField(help_text="What the emergency is; it is shown for ever.")


@extend_schema_view(post=extend_schema(operation_id="break_glass", request=BreakGlassInput, responses={201: dict}))
class BreakGlass(Command):
    """Let an alias serve a version that nobody approved, in an emergency."""

    input = BreakGlassInput
    checked: services.CheckedBytes

    def prepare(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> None:
        version = _version(caller, kwargs, data["version"])
        assert version is not None
        services.require_break_glass(actor=caller, version=version)
        self.checked = services.check_bytes(version)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        version = _version(caller, kwargs, data["version"])
        assert version is not None
        move = services.break_glass(
            actor=caller, version=version, alias=kwargs["alias"], reason=data["reason"], checked=self.checked
        )
        assert move.broken_glass is not None
        return {**shapes.assignment_body(move), "broken_glass": glass_body(move.broken_glass)}


class DrillRollbackInput(serializers.Serializer[Any]):
    to_version = serializers.IntegerField(required=False, default=None, allow_null=True, min_value=1)


@extend_schema_view(
    get=extend_schema(operation_id="list_drills", parameters=_PAGE, responses={200: dict}),
    post=extend_schema(operation_id="drill_rollback", request=DrillRollbackInput, responses={201: dict}),
)
class DrillRollback(Command, Query):
    """The drills of an alias, newest first; a new one, which moves nothing."""

    input = DrillRollbackInput
    drilled: services.Drilled

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        alias = queries.get_alias(caller, kwargs["team"], kwargs["model"], kwargs["alias"])
        return keyset_page(drills_of(alias.model, alias.slug), query, drill_body, newest_first=True)

    def prepare(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> None:
        model = catalog.get_model(caller, kwargs["team"], kwargs["model"])
        target = _version(caller, kwargs, data["to_version"])
        self.drilled = services.try_rollback(actor=caller, model=model, alias=kwargs["alias"], to_version=target)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        model = catalog.get_model(caller, kwargs["team"], kwargs["model"])
        row = services.drill_rollback(actor=caller, model=model, alias=kwargs["alias"], drilled=self.drilled)
        return drill_body(row)


@extend_schema_view(
    get=extend_schema(
        operation_id="served_at",
        parameters=[OpenApiParameter("at", str, required=True, description="Such as 2026-03-03T14:00:00Z.")],
        responses={200: dict},
    )
)
class ServedAt(Query):
    """What an alias served at a moment: version and digest, since when and until when, by whom and on which approval."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        alias = queries.get_alias(caller, kwargs["team"], kwargs["model"], kwargs["alias"])
        at = moment_of(query.get("at", ""))
        move = queries.assignment_at(alias.model, alias.slug, at)
        if move is None:
            raise NotFound(f"'{alias}' did not exist at {time_text(at)}.", hint="Its history says when it began.")
        following = queries.move_after(move)
        return {
            **shapes.assignment_body(move),
            "assigned_by_name": str(move.assigned_by),
            "at": time_text(at),
            "until": time_text(following.assigned_at) if following else None,
            "approval_record": shapes.approval_body(queries.get_approval(caller, move.approval_id))
            if move.approval_id
            else None,
            "granted_by_names": queries.granted_by(move),
            "broken_glass": glass_body(move.broken_glass) if move.broken_glass else None,
        }

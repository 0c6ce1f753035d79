"""JSON doors of this room: monitors, windows, baselines, incidents and what people do about them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers

from registry.access.http import Command, Query, keyset_page
from registry.catalog import queries as catalog
from registry.digests import time_text
from registry.errors import NotFound
from registry.events import Caller
from registry.monitoring import queries, services
from registry.monitoring.models import Incident, Monitor, Window
from registry.release.services import CheckedBytes, Target

_PAGE = [OpenApiParameter("after", str), OpenApiParameter("limit", int)]


def _time(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else time_text(moment)


def monitor_body(row: Monitor) -> dict[str, Any]:
    """A monitor as the API shows it."""
    baseline = queries.baseline_in_force(row)
    return {
        "id": str(row.pk),
        "model": str(row.model),
        "alias": row.alias.slug,
        "slug": row.slug,
        "baseline": baseline.digest if baseline else None,
        "ended_at": _time(row.ended_at),
    }


def window_body(row: Window) -> dict[str, Any]:
    """A window with its judgement."""
    incident: Incident | None = getattr(row, "incident", None)
    return {
        "id": str(row.pk),
        "label": row.label,
        "state": row.state,
        "version": str(row.version),
        "version_digest": row.version_digest,
        "started_at": time_text(row.started_at),
        "ended_at": time_text(row.ended_at),
        "rows": row.row_count,
        "digest": row.digest,
        "judgement_digest": row.judgement_digest,
        "judgement": queries.document_of(row.judgement_digest),
        "incident": str(incident.pk) if incident else None,
    }


def incident_body(row: Incident) -> dict[str, Any]:
    """An incident with its computed status."""
    return {
        "id": str(row.pk),
        "status": queries.incident_status(row),
        "model": str(row.monitor.model),
        "monitor": row.monitor.slug,
        "window": str(row.window_id),
        "summary": queries.document_of(row.window.judgement_digest)["summary"],
        "opened_at": time_text(row.opened_at),
        "acknowledged_at": _time(row.acknowledged_at),
        "judged_at": _time(row.judged_at),
        "benign": row.benign,
        "resolved_at": _time(row.resolved_at),
        "resolution": str(row.resolution) if row.resolution else None,
        "assignment": str(row.assignment_id) if row.assignment_id else None,
    }


def _monitor(caller: Caller, kwargs: Mapping[str, Any]) -> Monitor:
    return queries.get_monitor(caller, kwargs["team"], kwargs["model"], kwargs["monitor"])


class CreateMonitorInput(serializers.Serializer[Any]):
    alias = serializers.CharField(max_length=63)
    slug = serializers.CharField(max_length=63)


@extend_schema_view(
    get=extend_schema(operation_id="list_monitors", parameters=_PAGE, responses={200: dict}),
    post=extend_schema(operation_id="create_monitor", request=CreateMonitorInput, responses={201: dict}),
)
class CreateMonitor(Command, Query):
    """The monitors of a model; a new one."""

    input = CreateMonitorInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        model = catalog.get_model(caller, kwargs["team"], kwargs["model"])
        return keyset_page(queries.monitors_of(model), query, monitor_body)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        model = catalog.get_model(caller, kwargs["team"], kwargs["model"])
        return monitor_body(services.create_monitor(actor=caller, model=model, **data))


@extend_schema_view(post=extend_schema(operation_id="end_monitor", request=None, responses={200: dict}))
class EndMonitor(Command):
    """Watch no longer; what it saw stays."""

    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        return monitor_body(services.end_monitor(actor=caller, monitor=_monitor(caller, kwargs)))


@extend_schema_view(get=extend_schema(operation_id="get_baseline", responses={200: dict}))
class ShowBaseline(Query):
    """The frozen bins, counts and limits against which a window of now would be judged: what a client counts with."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        baseline = queries.baseline_in_force(_monitor(caller, kwargs))
        if baseline is None:
            raise NotFound(
                "There is no baseline for what the alias serves now.",
                hint="It is frozen when a version with a measured distribution is approved.",
            )
        return {"digest": baseline.digest, "document": queries.document_of(baseline.digest)}


class RecordWindowInput(serializers.Serializer[Any]):
    # a member cannot be called `label` on a serializer, so it is added by name below
    started_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField()
    version_digest = serializers.CharField(max_length=71)
    distribution = serializers.JSONField(help_text="A pressmark/distribution/1 over the baseline's bins.")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {"label": serializers.CharField(max_length=80), **super().get_fields()}


@extend_schema_view(
    get=extend_schema(operation_id="list_windows", parameters=_PAGE, responses={200: dict}),
    post=extend_schema(operation_id="record_window", request=RecordWindowInput, responses={201: dict}),
)
class RecordWindow(Command, Query):
    """The windows of a monitor, newest first; a new one, judged at once."""

    input = RecordWindowInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return keyset_page(queries.windows_of(_monitor(caller, kwargs)), query, window_body, newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        return window_body(services.record_window(actor=caller, monitor=_monitor(caller, kwargs), **data))


@extend_schema_view(
    get=extend_schema(
        operation_id="list_incidents",
        parameters=[*_PAGE, OpenApiParameter("open", bool, description="Only what still asks for something.")],
        responses={200: dict},
    )
)
class ListIncidents(Query):
    """Incidents, newest first; `?open=true` leaves out what is resolved or benign."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        only_open = query.get("open", "").lower() in {"1", "true"}
        rows = queries.open_incidents(caller) if only_open else queries.incidents(caller)
        return keyset_page(rows, query, incident_body, newest_first=True)


@extend_schema_view(get=extend_schema(operation_id="get_incident", responses={200: dict}))
class ShowIncident(Query):
    """An incident with its window."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        row = queries.get_incident(caller, kwargs["incident_id"])
        return {**incident_body(row), "window_body": window_body(row.window)}


@extend_schema_view(post=extend_schema(operation_id="acknowledge_incident", request=None, responses={200: dict}))
class AcknowledgeIncident(Command):
    """Say that somebody looks at it."""

    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        row = queries.get_incident(caller, kwargs["incident_id"])
        return incident_body(services.acknowledge_incident(actor=caller, incident=row))


class JudgeIncidentInput(serializers.Serializer[Any]):
    benign = serializers.BooleanField()
    reason = serializers.CharField(required=False, default="", allow_blank=True)


@extend_schema_view(
    post=extend_schema(operation_id="judge_incident", request=JudgeIncidentInput, responses={200: dict})
)
class JudgeIncident(Command):
    """Say whether the change harms."""

    input = JudgeIncidentInput
    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        row = queries.get_incident(caller, kwargs["incident_id"])
        return incident_body(services.judge_incident(actor=caller, incident=row, **data))


class ResolveIncidentInput(serializers.Serializer[Any]):
    resolution = serializers.CharField()


@extend_schema_view(
    post=extend_schema(operation_id="resolve_incident", request=ResolveIncidentInput, responses={200: dict})
)
class ResolveIncident(Command):
    """Say how it ended, where the alias need not move."""

    input = ResolveIncidentInput
    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        row = queries.get_incident(caller, kwargs["incident_id"])
        return incident_body(services.resolve_incident(actor=caller, incident=row, **data))


class ResolveByRollbackInput(serializers.Serializer[Any]):
    reason = serializers.CharField()


@extend_schema_view(
    post=extend_schema(operation_id="resolve_by_rollback", request=ResolveByRollbackInput, responses={200: dict})
)
class ResolveByRollback(Command):
    """Roll the alias back and resolve the incident with it."""

    input = ResolveByRollbackInput
    success_status = 200
    checked: tuple[Target, CheckedBytes]

    def prepare(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> None:
        row = queries.get_incident(caller, kwargs["incident_id"])
        self.checked = services.check_resolve_by_rollback(actor=caller, incident=row)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        row = queries.get_incident(caller, kwargs["incident_id"])
        done = services.resolve_by_rollback(actor=caller, incident=row, reason=data["reason"], checked=self.checked)
        return incident_body(done)

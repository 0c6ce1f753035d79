"""JSON doors of recalls and of the way out of a quarantine; a recall is shown before it is started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers

from registry.access.http import Command, Query, keyset_page
from registry.catalog import queries as catalog
from registry.digests import time_text
from registry.events import Caller
from registry.oversight.document_api import ABOUT
from registry.oversight.queries import team_of_stream
from registry.oversight.subjects import find_subject, subject_of
from registry.release import quarantines, recall_reach, services
from registry.release.api import ReasonInput
from registry.release.recall_reach import Preview
from registry.release.stopping_models import Quarantine, QuarantineAct, Recall

_ABOUT_HELP = "dataset_version:team/rows@1, version:team/model@3 or licence:CC-BY-NC-4.0."


def preview_body(found: Preview) -> dict[str, Any]:
    """What a recall stops: names of what the reader may see; numbers of all teams where `whole`, else of his."""
    rows = [
        {
            "version": str(item.version),
            "version_digest": item.version.digest,
            "distance": item.distance,
            "served_as": list(item.aliases),
        }
        for item in found.shown
    ]
    return {
        "about": found.subject.reference,
        "whole": found.whole,
        "versions": found.versions,
        "models": found.models,
        "teams": found.teams,
        "live": found.live,
        "hidden": found.hidden,
        "shown": rows,
    }


def recall_body(caller: Caller, row: Recall) -> dict[str, Any]:
    """A recall for a reader: what was recalled and why is named to readers of its team."""
    named = quarantines.may_name(caller, row)
    counted = quarantines.may_count(caller, team_of_stream(row.stream))
    return {
        "id": str(row.pk),
        "about": f"{row.kind}:{row.subject}" if named else f"a {row.kind.replace('_', ' ')} of another team",
        "reason": str(row.reason) if named else None,
        "affected": row.affected if counted else None,
        "recalled_by": str(row.recalled_by_id) if named else None,
        "recalled_at": time_text(row.recalled_at),
        "ended_at": time_text(row.ended_at) if row.ended_at else None,
        "ended_reason": str(row.ended_reason) if named and row.ended_reason else None,
    }


def act_body(row: QuarantineAct) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "role": row.role,
        "reason": str(row.reason),
        "done_by": str(row.done_by_id),
        "done_at": time_text(row.done_at),
    }


def quarantine_body(caller: Caller, row: Quarantine) -> dict[str, Any]:
    """One quarantine with the acts on its way out."""
    return {
        "id": str(row.pk),
        "version": str(row.version),
        "version_digest": row.version_digest,
        "distance": row.distance,
        "since": time_text(row.created_at),
        "ended_at": time_text(row.ended_at) if row.ended_at else None,
        "recall": recall_body(caller, row.recall),
        "acts": [act_body(act) for act in row.acts.order_by("pk")],
    }


@extend_schema_view(get=extend_schema(operation_id="preview_recall", parameters=[ABOUT], responses={200: dict}))
class PreviewRecall(Query):
    """What a recall would stop now, live versions first; nothing is written."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        return preview_body(recall_reach.preview(caller, find_subject(caller, query.get("about", ""))))


class StartRecallInput(serializers.Serializer[Any]):
    about = serializers.CharField(max_length=300, help_text=_ABOUT_HELP)
    reason = serializers.CharField(help_text="Shown to owners in teams that may read what is recalled.")


@extend_schema_view(
    get=extend_schema(
        operation_id="list_recalls",
        parameters=[
            OpenApiParameter(
                "about", str, description="Only the open recalls of this, written as when it was started."
            ),
            OpenApiParameter("after", str),
            OpenApiParameter("limit", int),
        ],
        responses={200: dict},
    ),
    post=extend_schema(operation_id="start_recall", request=StartRecallInput, responses={201: dict}),
)
class StartRecall(Command, Query):
    """Recalls that concern the caller, newest first; a new one."""

    input = StartRecallInput

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        if query.get("about"):
            found = quarantines.open_recalls_named(caller, query["about"])
            return {"items": [recall_body(caller, row) for row in found], "next": None}
        return keyset_page(quarantines.recalls(caller), query, lambda row: recall_body(caller, row), newest_first=True)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        subject = find_subject(caller, data["about"])
        return recall_body(caller, services.start_recall(actor=caller, subject=subject, reason=data["reason"]))


@extend_schema_view(get=extend_schema(operation_id="get_recall", responses={200: dict}))
class ShowRecall(Query):
    """A recall with what it stops, as far as the caller may see it."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        row = quarantines.get_recall(caller, kwargs["recall"])
        stops = preview_body(recall_reach.stopped_by(caller, row, subject_of(row.stream, row.about)))
        body = recall_body(caller, row)
        return {**body, "stops": {**stops, "about": body["about"]}}


@extend_schema_view(post=extend_schema(operation_id="end_recall", request=ReasonInput, responses={200: dict}))
class EndRecall(Command):
    """It may be used again; its quarantines end."""

    input = ReasonInput
    success_status = 200

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        row = quarantines.get_recall(caller, kwargs["recall"])
        return recall_body(caller, services.end_recall(actor=caller, recall=row, reason=data["reason"]))


_OF_VERSION = OpenApiParameter("version", str, description="team/model@3; without it, what waits for a decision.")


@extend_schema_view(get=extend_schema(operation_id="list_quarantines", parameters=[_OF_VERSION], responses={200: dict}))
class ListQuarantines(Query):
    """The quarantines of a version, ended ones too, newest first; without a version the releases that wait for a decision."""

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        if query.get("version"):
            rows = list(quarantines.quarantines_of(catalog.get_version(caller, query["version"])))
        else:
            rows = quarantines.waiting_releases(caller)
        return {"items": [quarantine_body(caller, row) for row in rows], "next": None}


class _ReleaseCommand(Command):
    input = ReasonInput
    service: ClassVar[Callable[..., QuarantineAct]]

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> Any:
        row = quarantines.get_quarantine(caller, kwargs["quarantine"])
        type(self).service(actor=caller, quarantine=row, reason=data["reason"])
        return quarantine_body(caller, quarantines.get_quarantine(caller, row.pk))


@extend_schema_view(
    post=extend_schema(operation_id="request_quarantine_release", request=ReasonInput, responses={201: dict})
)
class RequestQuarantineRelease(_ReleaseCommand):
    """Ask that a version in quarantine may be used."""

    service = services.request_quarantine_release


@extend_schema_view(
    post=extend_schema(operation_id="grant_quarantine_release", request=ReasonInput, responses={201: dict})
)
class GrantQuarantineRelease(_ReleaseCommand):
    """Let the version out of this quarantine."""

    service = services.grant_quarantine_release


@extend_schema_view(
    post=extend_schema(operation_id="refuse_quarantine_release", request=ReasonInput, responses={201: dict})
)
class RefuseQuarantineRelease(_ReleaseCommand):
    """The version stays in quarantine."""

    service = services.refuse_quarantine_release

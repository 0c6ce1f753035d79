"""JSON doors of changing terms: licences that wait for a ruling, and what a ruling, a correction or data reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema

from registry.access.http import Query
from registry.catalog import queries as catalog
from registry.catalog.affected import (
    Affected,
    affected_by_correction,
    affected_by_data,
    affected_by_ruling,
    reach_for,
)
from registry.errors import Forbidden
from registry.events import Caller
from registry.provenance import queries as provenance
from registry.provenance.models import LicenceRuling
from registry.provenance.rulings_api import ruling_body
from registry.provenance.services_licences import require_approve
from registry.release.recall_reach import live_moves
from registry.release.terms_queue import waiting_licences


def reach_body(caller: Caller, affected: Sequence[Affected]) -> dict[str, Any]:
    """How far a change goes: over all teams where `whole`, else over those that the reader may see."""
    reach = reach_for(caller, affected)
    live = {move.version_id for move in live_moves([item.version.pk for item in reach.shown])}
    return {
        "whole": reach.whole,
        "versions": reach.versions,
        "teams": reach.teams,
        "live": len(live),
        "terms": reach.terms,
        "shown": [
            {
                "version": str(item.version),
                "distance": item.distance,
                "live": item.version.pk in live,
                "changes": [change._asdict() for change in item.changes],
            }
            for item in reach.shown
        ],
    }


def _why_not(caller: Caller, row: LicenceRuling) -> str | None:
    try:
        require_approve(actor=caller, ruling=row)
    except Forbidden as refused:
        return refused.detail
    return None


class ShowRuling(Query):
    """One ruling; while it waits, with whose effective terms it would change, and why the caller may not approve it."""

    @extend_schema(operation_id="ruling", responses={200: dict})
    def get(self, request: Any, **kwargs: Any) -> Any:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        row = provenance.get_ruling(kwargs["ruling"])
        waits = row.in_force_at is None and row.ended_at is None
        reaches = reach_body(caller, affected_by_ruling(row)) if waits else None
        return {**ruling_body(row), "reaches": reaches, "why_not": _why_not(caller, row) if waits else None}


class WaitingLicences(Query):
    """Licences with unknown answers that something depends on: those of live versions first."""

    @extend_schema(operation_id="waiting_licences", responses={200: dict})
    def get(self, request: Any, **kwargs: Any) -> Any:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        items = [
            {
                "licence": item.licence.expression,
                "number": item.licence.number,
                "unknown": list(item.unknown),
                "versions": item.versions,
                "live": item.live,
                "data": item.data,
                "drafts": item.drafts,
                "is_category": item.is_category,
            }
            for item in waiting_licences(caller)
        ]
        return {"items": items, "next": None}


class AffectedByCorrection(Query):
    """Whose effective terms would change if the version were stated to be under another licence."""

    @extend_schema(
        operation_id="affected_by_correction",
        parameters=[OpenApiParameter("licence", str, required=True, description="A registered expression.")],
        responses={200: dict},
    )
    def get(self, request: Any, **kwargs: Any) -> Any:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        version = catalog.get_version(caller, f"{kwargs['team']}/{kwargs['model']}@{kwargs['number']}")
        licence = provenance.get_licence(query.get("licence", ""))
        return reach_body(caller, affected_by_correction(version, licence))


class AffectedByData(Query):
    """Every version that was made with a state of data, over any number of steps."""

    @extend_schema(operation_id="affected_by_data", responses={200: dict})
    def get(self, request: Any, **kwargs: Any) -> Any:
        return super().get(request, **kwargs)

    def answer(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Any:
        ref = f"{kwargs['team']}/{kwargs['dataset']}@{kwargs['number']}"
        return reach_body(caller, affected_by_data(provenance.get_dataset_version(caller, ref)))

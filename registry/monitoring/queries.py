"""Reads of this room: monitors, their windows with judgements, baselines, and the computed status of incidents."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import Q, QuerySet

from registry import storage
from registry.access.queries import get_readable, readable
from registry.catalog.models import RegisteredModel
from registry.digests import parse_canonical
from registry.events import Caller
from registry.monitoring.models import Baseline, Incident, Monitor, Window
from registry.release import queries as release
from registry.release.models import AliasAssignment

OPEN, ACKNOWLEDGED, BENIGN, CONFIRMED, RESOLVED = "open", "acknowledged", "benign", "confirmed", "resolved"


def monitors_of(model: RegisteredModel) -> QuerySet[Monitor]:
    """The monitors of a model that the caller has read, oldest first."""
    return Monitor.objects.filter(model=model).select_related("alias", "model__team").order_by("pk")


def get_monitor(caller: Caller, team_slug: str, model_slug: str, slug: str) -> Monitor:
    """A monitor by name."""
    rows = Monitor.objects.select_related("alias", "model__team")
    found = {"model__team__slug": team_slug, "model__slug": model_slug, "slug": slug}
    return get_readable(rows, caller, team="model__team", **found)


def windows_of(monitor: Monitor) -> QuerySet[Window]:
    """The windows of a monitor, newest first."""
    related = ("version__model__team", "baseline", "incident", "pushed_by", "monitor")
    return Window.objects.filter(monitor=monitor).select_related(*related).order_by("-pk")


def baseline_for(move: AliasAssignment) -> Baseline | None:
    """The baseline that was frozen with the approval under which an alias serves a version."""
    if move.version_id is None or move.approval_id is None:
        return None
    return Baseline.objects.filter(version_id=move.version_id, approval_id=move.approval_id).first()


def baseline_in_force(monitor: Monitor) -> Baseline | None:
    """The baseline against which a window of now would be judged; None is shown as "no baseline", never as healthy."""
    move = release.incumbent(monitor.model, monitor.alias.slug)
    return baseline_for(move) if move is not None else None


def document_of(digest: str) -> dict[str, Any]:
    """A stored baseline, window or judgement, checked against its digest."""
    body = parse_canonical(storage.read_bytes(digest))
    assert isinstance(body, dict)
    return body


def incidents(caller: Caller) -> QuerySet[Incident]:
    """All incidents that the caller may read, newest first."""
    related = (
        "monitor__model__team", "monitor__alias", "window__version__model__team", "resolution", "assignment__version",
        "acknowledged_by", "judged_by", "resolved_by",
    )  # fmt: skip
    return readable(Incident.objects.select_related(*related), caller, team="monitor__model__team").order_by("-pk")


def open_incidents(caller: Caller) -> QuerySet[Incident]:
    """Incidents that still ask for something: neither resolved nor judged benign."""
    return incidents(caller).filter(resolved_at=None).filter(Q(benign=None) | Q(benign=False))


def get_incident(caller: Caller, incident_id: uuid.UUID | str) -> Incident:
    """An incident by id."""
    return get_readable(incidents(caller).order_by(), caller, team="monitor__model__team", pk=incident_id)


def incident_status(incident: Incident) -> str:
    """open, acknowledged, benign, confirmed or resolved: computed from the acts, never stored."""
    if incident.resolved_at is not None:
        return RESOLVED
    if incident.judged_at is not None:
        return BENIGN if incident.benign else CONFIRMED
    return ACKNOWLEDGED if incident.acknowledged_at is not None else OPEN

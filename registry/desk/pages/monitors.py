"""Pages about behaviour in use: monitors with their windows, incidents and what people do about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.urls import reverse

from registry.access import permissions
from registry.access.queries import get_readable
from registry.desk import queries
from registry.desk.http import Act, Context, Page
from registry.desk.watching import window_view
from registry.events import Caller
from registry.monitoring import queries as monitoring
from registry.monitoring import services
from registry.monitoring.models import Monitor
from registry.monitoring.queries import incident_status

_WINDOWS = 30


class Monitors(Page):
    """Every monitor and every open incident of the reader's teams."""

    template = "monitoring/monitors.html"
    section = "monitors"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        incidents = [(row, incident_status(row)) for row in monitoring.open_incidents(caller)[: queries.PAGE_ROWS]]
        return {"monitors": queries.monitors(caller)[: queries.LIST_ROWS], "incidents": incidents}


class MonitorPage(Page):
    """One monitor: its windows, and the newest one feature by feature."""

    template = "monitoring/monitor.html"
    section = "monitors"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        rows = Monitor.objects.select_related("model__team", "alias", "created_by")
        monitor = get_readable(rows, caller, team="model__team", pk=kwargs["monitor"])
        related = ("version__model__team", "baseline", "pushed_by", "incident")
        windows = list(monitor.windows.select_related(*related).order_by("-pk")[:_WINDOWS])
        shown = next((w for w in windows if str(w.pk) == query.get("window")), windows[0] if windows else None)
        return {
            "monitor": monitor,
            "model": monitor.model,
            "windows": windows,
            "shown": window_view(shown) if shown else None,
            "incidents": [(row, incident_status(row)) for row in monitoring.incidents(caller).filter(monitor=monitor)],
            "may_end": monitor.ended_at is None
            and permissions.may(caller.actor_id, "monitor.create", monitor.model.team_id),
        }


class EndMonitor(Act):
    """Watches no longer."""

    page = MonitorPage

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        rows = Monitor.objects.select_related("model__team", "alias")
        monitor = get_readable(rows, caller, team="model__team", pk=kwargs["monitor"])
        services.end_monitor(actor=caller, monitor=monitor)
        return reverse("desk:monitor", args=[monitor.pk]), "The monitor has ended; what it saw stays."


class IncidentPage(Page):
    """One incident: what moved, what has been done, and what may be done next."""

    template = "monitoring/incident.html"
    section = "monitors"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        incident = monitoring.get_incident(caller, kwargs["incident"])
        team_id = incident.monitor.model.team_id
        acts = ("incident.acknowledge", "incident.judge", "incident.resolve")
        return {
            "incident": incident,
            "status": incident_status(incident),
            "model": incident.monitor.model,
            "shown": window_view(incident.window),
            "may": {act.partition(".")[2]: permissions.may(caller.actor_id, act, team_id) for act in acts},
        }

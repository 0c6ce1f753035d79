"""The menu of this room."""

from __future__ import annotations

from django.urls import URLPattern, path

from registry.monitoring import api as views

_MODEL = "teams/<str:team>/models/<str:model>"
_MONITOR = f"{_MODEL}/monitors/<str:monitor>"
_INCIDENT = "incidents/<uuid:incident_id>"

api: list[URLPattern] = [
    path(f"{_MODEL}/monitors", views.CreateMonitor.as_view(), name="create-monitor"),
    path(f"{_MONITOR}/end", views.EndMonitor.as_view(), name="end-monitor"),
    path(f"{_MONITOR}/baseline", views.ShowBaseline.as_view(), name="show-baseline"),
    path(f"{_MONITOR}/windows", views.RecordWindow.as_view(), name="record-window"),
    path("incidents", views.ListIncidents.as_view(), name="list-incidents"),
    path(_INCIDENT, views.ShowIncident.as_view(), name="show-incident"),
    path(f"{_INCIDENT}/acknowledge", views.AcknowledgeIncident.as_view(), name="acknowledge-incident"),
    path(f"{_INCIDENT}/judge", views.JudgeIncident.as_view(), name="judge-incident"),
    path(f"{_INCIDENT}/resolve", views.ResolveIncident.as_view(), name="resolve-incident"),
    path(f"{_INCIDENT}/resolve-by-rollback", views.ResolveByRollback.as_view(), name="resolve-by-rollback"),
]
pages: list[URLPattern] = []

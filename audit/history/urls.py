"""The menu of history, a part of this room's."""

from __future__ import annotations

from django.urls import URLPattern, path

from audit.history import api as doors
from audit.history import pages as views

api: list[URLPattern] = [
    path("teams/<str:team>/models/<str:model>/as-of", doors.ShowModelAsOf.as_view(), name="show-model-as-of"),
    path("teams/<str:team>/as-of", doors.ShowTeamAsOf.as_view(), name="show-team-as-of"),
]
pages: list[URLPattern] = [
    path("models/<str:team>/<str:model>/as-of/", views.ModelAsOfPage.as_view(), name="model-as-of"),
    path("teams/<str:team>/as-of/", views.TeamAsOfPage.as_view(), name="team-as-of"),
]

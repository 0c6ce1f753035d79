"""The menu of this room."""

from __future__ import annotations

from django.urls import URLPattern, path

from registry.access import api as views
from registry.access import pages as doors

api: list[URLPattern] = [
    path("who-am-i", views.WhoAmI.as_view(), name="who-am-i"),
    path("log-in", views.LogIn.as_view(), name="log-in"),
    path("tokens/<uuid:token_id>/end", views.EndToken.as_view(), name="end-token"),
    path("service-tokens", views.CreateServiceToken.as_view(), name="create-service-token"),
    path("teams", views.CreateTeam.as_view(), name="create-team"),
    path("actors", views.CreateActor.as_view(), name="create-actor"),
    path("memberships", views.GrantMembership.as_view(), name="grant-membership"),
]
pages: list[URLPattern] = [
    path("login/", doors.LogIn.as_view(), name="login"),
    path("logout/", doors.LogOut.as_view(), name="logout"),
]

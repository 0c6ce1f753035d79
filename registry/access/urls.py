"""The menu of this room."""

from __future__ import annotations

from django.urls import URLPattern, path

from registry.access import account_api as accounts
from registry.access import api as views
from registry.access import deputy_api as deputies
from registry.access import pages as doors

api: list[URLPattern] = [
    path("who-am-i", views.WhoAmI.as_view(), name="who-am-i"),
    path("log-in", views.LogIn.as_view(), name="log-in"),
    path("tokens", views.ListTokens.as_view(), name="list-tokens"),
    path("tokens/<uuid:token_id>/end", views.EndToken.as_view(), name="end-token"),
    path("service-tokens", views.CreateServiceToken.as_view(), name="create-service-token"),
    path("service-accounts", accounts.ListServiceAccounts.as_view(), name="list-service-accounts"),
    path("teams", views.CreateTeam.as_view(), name="create-team"),
    path("actors", views.CreateActor.as_view(), name="create-actor"),
    path("actors/<uuid:actor_id>/end", views.EndActor.as_view(), name="end-actor"),
    path("actors/<uuid:actor_id>/responsibility", views.GiveResponsibility.as_view(), name="give-responsibility"),
    path("memberships", views.GrantMembership.as_view(), name="grant-membership"),
    path("memberships/<uuid:membership_id>/end", views.EndMembership.as_view(), name="end-membership"),
    path("deputyships", deputies.AppointDeputy.as_view(), name="appoint-deputy"),
    path("deputyships/<uuid:deputyship>/end", deputies.EndDeputyship.as_view(), name="end-deputyship"),
]
pages: list[URLPattern] = [
    path("login/", doors.LogIn.as_view(), name="login"),
    path("logout/", doors.LogOut.as_view(), name="logout"),
]

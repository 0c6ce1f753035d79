"""The admin site: Django's own, for roles that decide or oversee. It reads; what it decides goes through the services."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.db.models import prefetch_related_objects
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse

from registry.access import permissions
from registry.access.models import Actor
from registry.events import Caller
from registry.release import queries as release
from registry.release.models import Approval
from registry.release.status import Status

_ROOMS = {
    "Waiting for people": ("Approval", "Incident", "Finding"),
    "What was allowed": ("Verdict", "Waiver", "Decision", "AliasAssignment", "Policy"),
    "What exists": ("RegisteredModel", "ModelVersion", "Evidence", "Run", "Recipe"),
    "What it is made from": ("Dataset", "DatasetVersion", "Licence"),
    "How it behaves": ("Monitor", "Window", "Baseline"),
    "Who answers, who may": ("UseCase", "Attestation", "Team", "Actor", "Membership", "Token"),
}


class PressmarkAdminSite(AdminSite):
    """Read-only tables in the rooms of the house, and the inbox of approvals."""

    site_header = "Pressmark administration"
    site_title = "Pressmark"
    index_title = "Records and decisions"
    empty_value_display = "none"
    enable_nav_sidebar = False

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self.own_pages: list[URLPattern] = []

    def get_urls(self) -> list[Any]:
        return [*self.own_pages, *super().get_urls()]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        may_erase = permissions.may(caller_of(request).actor_id, "text.erase", None)
        return super().index(request, {**(extra_context or {}), "may_erase": may_erase})

    def autocomplete_view(self, request: HttpRequest) -> HttpResponse:
        """No form here completes anything; Django's own view fails where it is called by hand."""
        raise Http404

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The house has one door, where guessing is slow. Whoever came through it without a role for this site is told so here."""
        if request.method == "GET" and request.user.is_authenticated:
            return super().login(request, extra_context)
        return redirect_to_login(request.GET.get("next") or reverse("admin:index", current_app=self.name))

    def has_permission(self, request: HttpRequest) -> bool:
        if isinstance(request.user, Actor):
            prefetch_related_objects([request.user], "memberships")  # asked some fifty times for one page
        return super().has_permission(request)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context = super().each_context(request)
        if context["has_permission"] and isinstance(request.user, Actor):
            context["approvals_waiting"] = len(waiting(request))
        return context

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """The tables by what they answer instead of one long list."""
        models = {m["object_name"]: m for app in super().get_app_list(request, app_label) for m in app["models"]}
        home = reverse("admin:index", current_app=self.name)
        return [
            {
                "name": room, "app_label": "registry", "app_url": home, "has_module_perms": True,
                "models": [models[name] for name in names if name in models],
            }
            for room, names in _ROOMS.items()
            if any(name in models for name in names)
        ]  # fmt: skip


def caller_of(request: HttpRequest) -> Caller:
    """Who asks, through the door `admin`."""
    assert isinstance(request.user, Actor)  # the site lets nobody else in
    return Caller(actor_id=request.user.pk, via="admin")


def waiting(request: HttpRequest) -> list[tuple[Approval, Status]]:
    """The open approvals that the caller may read, worked out once for each request."""
    found: list[tuple[Approval, Status]] | None = getattr(request, "pressmark_waiting", None)
    if found is None:
        found = release.open_approvals(caller_of(request))
        request.pressmark_waiting = found  # type: ignore[attr-defined]
    return found


site = PressmarkAdminSite(name="admin")

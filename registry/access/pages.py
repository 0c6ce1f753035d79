"""The door: logging in with a name and password, and logging out. Sessions are operational and never in the ledger."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import views
from django.http import HttpRequest, HttpResponseBase
from rest_framework.request import Request

from registry.access.throttling import LogInThrottle


class LogIn(views.LoginView):
    """Shows the form; whoever is logged in already goes on."""

    template_name = "access/login.html"
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        if LogInThrottle().allow_request(Request(request), self):  # type: ignore[arg-type]
            answer: HttpResponseBase = super().post(request, *args, **kwargs)
            return answer
        return self.render_to_response(self.get_context_data(throttled=True), status=429)


class LogOut(views.LogoutView):
    """POST only, so that no link can log anybody out."""

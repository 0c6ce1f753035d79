"""The door: logging in with a name and password, and logging out. Sessions are operational and never in the ledger."""

from __future__ import annotations

from django.contrib.auth import views


class LogIn(views.LoginView):
    """Shows the form; whoever is logged in already goes on."""

    template_name = "access/login.html"
    redirect_authenticated_user = True


class LogOut(views.LogoutView):
    """POST only, so that no link can log anybody out."""

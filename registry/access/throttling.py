"""Guessing passwords is slow: at most twenty log-ins a minute from one address, over API and page together."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import AnonRateThrottle


class LogInThrottle(AnonRateThrottle):
    """Counts every attempt, whatever its outcome."""

    scope = "log-in"
    rate = "20/min"

    def get_ident(self, request: Request) -> str:
        """The address that the server saw. X-Forwarded-For is the client's own text, unless NUM_PROXIES says who wrote it."""
        if api_settings.NUM_PROXIES is None:
            return str(request.META.get("REMOTE_ADDR"))
        return str(super().get_ident(request))

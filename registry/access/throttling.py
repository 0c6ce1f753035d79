"""Guessing passwords is slow: at most twenty log-ins a minute from one address, over API and page together."""

from __future__ import annotations

from rest_framework.throttling import AnonRateThrottle


class LogInThrottle(AnonRateThrottle):
    """Counts every attempt, whatever its outcome."""

    scope = "log-in"
    rate = "20/min"

"""The health page: whether this installation can be believed and can work, for people and for load balancers.

Rules:
- a refused ledger, a missing guard, a loop of the keeper that fails or stands still: "degraded", status 503, with the reason;
- a witness that refuses, forgets or stays behind is said, by its name;
- notices that could not be delivered are a warning: a wrong address of mail takes no installation out of service;
- entries that are stamped with a time of the future, because the clock was wrong once, are said;
- nothing here needs a login, so nothing here says what is stored.
"""

from __future__ import annotations

import datetime
from typing import Any

from django.db import Error
from django.http import HttpRequest, JsonResponse
from django.views import View

from audit import keeper, ledger
from audit.models import Tick
from audit.witnessing import witnesses
from registry import guards
from registry.notices import queries as notices

STANDSTILL_SECONDS = 60
AHEAD_SECONDS = 60


def troubles() -> list[str]:
    """What is wrong, in sentences; empty when everything is in order."""
    try:
        absent = guards.missing()
        ticks = {tick.name: tick for tick in Tick.objects.all()}
        ahead_seconds = ledger.seconds_ahead()
        unwitnessed = witnesses.troubles()
    except Error:
        return ["The database does not answer."]
    found = [f"{len(absent)} guards of the database are missing."] if absent else []
    if ahead_seconds > AHEAD_SECONDS:
        found.append(
            f"Entries are stamped {ahead_seconds:.0f} s ahead of the clock. "
            "What to do: if the clock is right now, run `pressmark correct-clock`."
        )
    now = datetime.datetime.now(datetime.UTC)
    for spec in keeper.TICKS:
        tick = ticks.get(spec.name)
        if tick is None or tick.last_run_at is None:
            found.append(f"The keeper's loop {spec.name} has never run.")
        elif tick.last_error:
            found.append(f"The keeper's loop {spec.name} fails: {tick.last_error}")
        elif (now - tick.last_run_at).total_seconds() > max(STANDSTILL_SECONDS, 3 * spec.every_seconds):
            found.append(
                f"The keeper's loop {spec.name} has stood still since {tick.last_run_at:%Y-%m-%d %H:%M:%S} UTC."
            )
    return found + unwitnessed


def warnings() -> list[str]:
    """What somebody should look at, though everything is in order, in sentences."""
    try:
        return notices.troubles()
    except Error:
        return []


class Health(View):
    """GET: 200 when in order, 503 when not."""

    def get(self, request: HttpRequest, **kwargs: Any) -> JsonResponse:
        found = troubles()
        said = {"status": "degraded" if found else "ok", "troubles": found, "warnings": warnings()}
        return JsonResponse(said, status=503 if found else 200)

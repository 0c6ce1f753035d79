"""The jobs of the worker about data profiles: one line each. A message says which one to look at; losing it changes nothing."""

from __future__ import annotations

import datetime
import logging
import uuid

from django.utils import timezone

from registry.celery import app
from registry.compression import profiling
from registry.provenance.models import DataProfile

logger = logging.getLogger(__name__)


@app.task(name="pressmark.execute_profile")  # type: ignore[untyped-decorator]
def execute_profile(profile_id: str) -> None:
    """Look at one profile."""
    profiling.execute(uuid.UUID(profile_id))


def wake(profile_id: uuid.UUID) -> None:
    """Tell a worker about a profile that waits. A queue that is away costs time, not the profile: `resend` tries again."""
    try:
        execute_profile.apply_async((str(profile_id),), retry=False)
    except Exception:
        logger.exception("no worker could be woken for profile %s; the keeper will try again", profile_id)


def resend() -> int:
    """Wake workers again for profiles that wait; returns how many."""
    now, sent = timezone.now(), 0
    for profile in DataProfile.objects.filter(finished_at=None, owner_token=None).order_by("asked_at"):
        if profiling.note_wake(profile, now):
            wake(profile.pk)
            sent += 1
    return sent


def reap() -> int:
    """Take back the profiles whose worker is gone; returns how many."""
    return profiling.reap(datetime.datetime.now(datetime.UTC))

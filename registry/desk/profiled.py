"""What the page of a dataset version says about its rows: the newest finished profile, and what is under way or failed."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from registry.access import permissions
from registry.desk.http import Context
from registry.events import Caller
from registry.provenance import profiles
from registry.provenance.models import DatasetVersion, Source

_LOOKED_AT = 10


def profile_of(caller: Caller, version: DatasetVersion) -> Context:
    """What `provenance/profile.html` shows about a version: its newest finished profile, and what is under way or has failed."""
    rows = list(profiles.profiles_of(caller, version)[:_LOOKED_AT])
    finished = next((row for row in rows if row.digest is not None), None)
    document = None if finished is None else profiles.document_for(caller, finished)
    newest = rows[0] if rows else None
    asks = version.source == Source.MEASURED and version.purged_at is None
    return {
        "newest": newest,
        "state": None if newest is None else profiles.state_of(newest, timezone.now()),
        "finished": finished,
        "said": [] if document is None else _said(document),
        "may_ask": asks and permissions.may(caller.actor_id, "dataset_version.profile", version.dataset.team_id),
    }


def _said(document: dict[str, Any]) -> list[str]:
    """The sentences of the figures over all rows; those of single classes and files stand on the profile's own page."""
    told = zip(document["figures"], document["plain"], strict=True)
    return [plain for figure, plain in told if not figure["slice"]]

"""Data profiles: in which state one is, what it found, and how much of that a reader may see. Reads.

Rules:
- a state is computed: finished or failed once it has ended, working while a lease runs, else waiting;
- whoever reads the dataset reads its profiles; of data of a team that the reader may not read neither the digest nor what was
  counted against them is told.
"""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Collection, Iterable
from typing import Any

from django.db.models import QuerySet

from registry import storage
from registry.access.queries import get_readable, readable, readable_team_ids
from registry.digests import parse_canonical
from registry.events import Caller
from registry.provenance.models import DataProfile, DatasetVersion

Document = dict[str, Any]
WAITING, WORKING, FINISHED, FAILED = "waiting", "working", "finished", "failed"
_WORST = "rows_seen_share_worst"


def profile_rows() -> QuerySet[DataProfile]:
    """Profiles with everything that they name."""
    return DataProfile.objects.select_related("dataset_version__dataset__team", "asked_by", "failure")


def profiles_of(caller: Caller, version: DatasetVersion) -> QuerySet[DataProfile]:
    """The profiles of a dataset version, newest first."""
    rows = readable(profile_rows(), caller, team="dataset__team")
    return rows.filter(dataset_version=version).order_by("-asked_at", "-pk")


def get_profile(caller: Caller, key: uuid.UUID) -> DataProfile:
    """A profile by id."""
    return get_readable(profile_rows(), caller, team="dataset__team", pk=key)


def state_of(profile: DataProfile, now: datetime.datetime) -> str:
    """finished, failed, working or waiting."""
    if profile.finished_at is not None:
        return FINISHED if profile.failure_code is None else FAILED
    held = profile.owner_token is not None and profile.lease_until is not None and profile.lease_until >= now
    return WORKING if held else WAITING


def label_of(profile: DataProfile) -> str | None:
    """The column of labels that was asked about."""
    label = profile.settings.get("label")
    return None if label is None else str(json.loads(f'"{label}"'))


def profile_document(profile: DataProfile) -> Document | None:
    """What was found, whole; None while it has not finished, or where its bytes are gone."""
    if profile.digest is None or not storage.is_stored(profile.digest):
        return None
    document = parse_canonical(storage.read_bytes(profile.digest))
    assert isinstance(document, dict)
    return document


def document_for(caller: Caller, profile: DataProfile) -> Document | None:
    """What was found as far as the reader may know the data beside it."""
    document = profile_document(profile)
    every = set(against_of(profile, ()))
    hidden = every - set(against_of(profile, hidden_beside(caller, [profile])))
    if document is None or not hidden:
        return document
    kept = [
        place
        for place, figure in enumerate(document["figures"])
        if figure["metric"] != _WORST and all(part["value"] not in hidden for part in figure["slice"])
    ]
    return {
        **document,
        "against": [entry for entry in document["against"] if entry["digest"] not in hidden],
        "figures": [document["figures"][place] for place in kept],
        "plain": [document["plain"][place] for place in kept],
    }


def hidden_beside(caller: Caller, rows: Iterable[DataProfile]) -> set[str]:
    """The ids of dataset versions that stand beside the profiles and that the reader may not read."""
    named = {str(entry["dataset_version"]) for row in rows for entry in row.settings["against"]}
    teams = readable_team_ids(caller.actor_id) if named else None
    if teams is None:
        return set()
    shown = DatasetVersion.objects.filter(pk__in=named, dataset__team_id__in=teams).values_list("pk", flat=True)
    return named - {str(key) for key in shown}


def against_of(profile: DataProfile, hidden: Collection[str]) -> list[str]:
    """The digests of the data beside it, but for those of the dataset versions that are hidden."""
    return [str(entry["digest"]) for entry in profile.settings["against"] if entry["dataset_version"] not in hidden]

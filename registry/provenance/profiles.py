"""Data profiles: in which state one is, what it found, and how much of that a reader may see. Reads.

Rules:
- a state is computed: finished or failed once it has ended, working while a lease runs, else waiting;
- whoever reads the dataset reads its profiles; what was counted against data of a team that the reader may not read is left out;
- the newest finished profile speaks for a version; one against other data speaks about those until a newer one against them does.
"""

from __future__ import annotations

import datetime
import json
import uuid
from dataclasses import dataclass
from decimal import Decimal
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


@dataclass(frozen=True)
class ProfileFacts:
    """The newest finished profile of a dataset version, for rules: its digest and its figures."""

    digest: str
    finished_at: datetime.datetime
    label: str | None
    figures: tuple[Document, ...]

    def value(self, metric: str) -> Decimal | None:
        """The value of a figure over all rows; None where it was not measured."""
        found = (figure["value"] for figure in self.figures if figure["metric"] == metric and not figure["slice"])
        text = next(found, None)
        return None if text is None else Decimal(text)


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
    hidden = _hidden(caller, profile)
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


def _hidden(caller: Caller, profile: DataProfile) -> set[str]:
    """The digests of data beside it that the reader may not read."""
    teams = readable_team_ids(caller.actor_id)
    if teams is None:
        return set()
    named = {uuid.UUID(entry["dataset_version"]): str(entry["digest"]) for entry in profile.settings["against"]}
    shown = DatasetVersion.objects.filter(pk__in=named, dataset__team_id__in=teams).values_list("pk", flat=True)
    return {digest for key, digest in named.items() if key not in set(shown)}


def newest_profile(version: DatasetVersion) -> ProfileFacts | None:
    """What rules may know of the quality of a dataset version; None where nothing was measured."""
    return next(iter(_finished(version)), None)


def contamination(version: DatasetVersion) -> dict[str, Decimal]:
    """By digest of other data the share of this version's rows that stand in them, each as newest measured."""
    found: dict[str, Decimal] = {}
    for facts in _finished(version):
        for figure in facts.figures:
            if figure["metric"] == "rows_seen_share" and figure["value"] is not None:
                found.setdefault(str(figure["slice"][0]["value"]), Decimal(figure["value"]))
    return found


def _finished(version: DatasetVersion) -> list[ProfileFacts]:
    """The finished profiles, newest first."""
    rows = DataProfile.objects.filter(dataset_version=version, digest__isnull=False).order_by("-finished_at", "-pk")
    found = []
    for row in rows:
        document = profile_document(row)
        if document is not None and row.digest is not None and row.finished_at is not None:
            column = None if document["label"] is None else str(document["label"]["column"])
            found.append(ProfileFacts(row.digest, row.finished_at, column, tuple(document["figures"])))
    return found

"""Asking for a data profile. What happens to it then is `profiling`.

Rules:
- whoever asks may read the data and everything that they are laid beside, and has a role for it where the data are;
- rows must be here: what is declared or purged cannot be looked at;
- the version before is laid beside by itself: what changed is part of a profile;
- the same question is not asked twice while nobody has answered it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from functools import partial

from registry.access import permissions
from registry.access.queries import get_readable
from registry.compression import profile_tasks
from registry.compression.material import rows_are_here
from registry.errors import Conflict, Invalid
from registry.events import Caller, emit, unit
from registry.provenance.models import DataProfile, Dataset, DatasetVersion

AGAINST_MAX = 16
_SEED_LIMIT = 2**31
_LABEL_CHARACTERS = 200
_COLUMN_HINT = "Give the name of the column with the right answers as it stands in the data."


def request_profile(
    *,
    actor: Caller,
    dataset_version: DatasetVersion,
    label: str | None = None,
    against: Sequence[DatasetVersion] = (),
    seed: int = 0,
) -> DataProfile:
    """Ask what is missing, doubled, contradicted or odd in a dataset version, and which of its rows stand in other data."""
    version = dataset_version
    role = permissions.require(actor, "dataset_version.profile", version.dataset.team_id)
    _check_rows(actor, version)
    if not 0 <= seed < _SEED_LIMIT:
        raise Invalid(f"The seed {seed} is not allowed.", hint=f"Use a whole number from 0 to {_SEED_LIMIT - 1}.")
    settings = {
        "against": _beside(actor, version, against),
        "label": _escaped(label),
        "previous": _previous(version),
        "seed": seed,
    }
    with unit(actor, role=role) as opened:
        Dataset.objects.select_for_update(no_key=True).get(pk=version.dataset_id)
        open_rows = DataProfile.objects.filter(dataset_version=version, finished_at=None)
        if any(row.settings == settings for row in open_rows):
            raise Conflict(
                "This profile was asked for already.", hint="Wait for it: a worker looks at it.", code="profile-waiting"
            )
        profile = DataProfile.objects.create(
            dataset_id=version.dataset_id, dataset_version=version, settings=settings, asked_by_id=actor.actor_id,
            asked_at=opened.now,
        )  # fmt: skip
        emit("profile.requested", profile, team=version.dataset.team_id)
        opened.after_commit.append(partial(profile_tasks.wake, profile.pk))
        return profile


def _check_rows(actor: Caller, version: DatasetVersion) -> None:
    get_readable(DatasetVersion.objects.all(), actor, team="dataset__team", pk=version.pk)
    if not rows_are_here(version):
        raise Invalid(
            f"The rows of {version} are not stored here.",
            hint="A profile needs rows; upload them and register a version of the dataset with their digest.",
            code="data-missing",
        )


def _beside(actor: Caller, version: DatasetVersion, against: Sequence[DatasetVersion]) -> list[dict[str, str]]:
    if len(against) > AGAINST_MAX:
        raise Invalid(f"{len(against)} datasets are named; at most {AGAINST_MAX} are looked at.", hint="Ask in parts.")
    found: dict[str, uuid.UUID] = {}
    for other in against:
        _check_rows(actor, other)
        if other.digest == version.digest:
            raise Invalid(
                f"{other} holds the very rows that are looked at.", hint="Name other data.", code="against-itself"
            )
        found.setdefault(str(other.digest), other.pk)
    return [{"dataset_version": str(found[digest]), "digest": digest} for digest in sorted(found)]


def _previous(version: DatasetVersion) -> dict[str, str] | None:
    """The newest earlier version of the dataset whose rows are here."""
    earlier = DatasetVersion.objects.filter(dataset_id=version.dataset_id, number__lt=version.number)
    found = next((row for row in earlier.order_by("-number") if rows_are_here(row)), None)
    return None if found is None else {"dataset_version": str(found.pk), "digest": str(found.digest)}


def _escaped(label: str | None) -> str | None:
    """The name in ASCII, as JSON spells it: what is sealed is ASCII."""
    if label is None or not label:
        return None
    escaped = json.dumps(label)[1:-1]
    if len(label) > _LABEL_CHARACTERS or not _is_text(label):
        raise Invalid("The name of the label's column is too long, or no text.", hint=_COLUMN_HINT)
    return escaped


def _is_text(label: str) -> bool:
    try:
        label.encode()
    except UnicodeEncodeError:
        return False
    return True

"""What is stated about versions today: what was registered, as far as no correction says otherwise."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace

from registry.catalog.models import Correction, ModelVersion
from registry.provenance.models import Licence

_BATCH = 500


@dataclass(frozen=True)
class Stated:
    """Licence and knowledge of training data of a version; `correction` is the number of the newest correction, 0 without one."""

    licence_id: uuid.UUID
    training_data: str
    correction: int = 0


def stated(version_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Stated]:
    """What counts for each of the versions: a correction's word, column by column the newest one, else what was registered."""
    wanted = sorted(set(version_ids))
    found: dict[uuid.UUID, Stated] = {}
    for start in range(0, len(wanted), _BATCH):
        batch = wanted[start : start + _BATCH]
        rows = ModelVersion.objects.filter(pk__in=batch).values_list("pk", "licence_id", "training_data")
        found |= {key: Stated(licence, known) for key, licence, known in rows}
        corrections = Correction.objects.filter(version_id__in=batch).order_by("version_id", "number")
        for row in corrections:
            before = found[row.version_id]
            found[row.version_id] = replace(
                before,
                licence_id=row.licence_id or before.licence_id,
                training_data=row.training_data or before.training_data,
                correction=row.number,
            )
    return found


@dataclass(frozen=True)
class StatedRow:
    """The same for one loaded row; `number` is that of the newest correction, 0 without one."""

    licence: Licence
    training_data: str
    number: int


def stated_in(version: ModelVersion) -> StatedRow:
    """What is stated about a row; its corrections are read with it where they were prefetched."""
    licence, known, number = version.licence, version.training_data, 0
    for row in sorted(version.corrections.all(), key=lambda row: row.number):
        licence, known, number = row.licence or licence, row.training_data or known, row.number
    return StatedRow(licence, known, number)

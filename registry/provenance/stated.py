"""What is stated about states of data today: what was registered, as far as no correction says otherwise. Reads.

Rules:
- column by column the newest correction counts, else what was registered; what nobody can say after all is unknown;
- a correction repeats what earlier ones said, so the newest one alone is read;
- everything that judges data asks here, never the columns of the row.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Prefetch, Q, QuerySet

from registry.provenance.models import DatasetCorrection, DatasetVersion, Licence

ANSWERS = ("personal_data", "consent", "third_party_works", "opt_out_honoured")
TEXTS = ("origin", "collection", "third_party_basis", "owner", "known_biases")
DAYS = ("collected_from", "collected_until", "retain_until")
COLUMNS = ("licence", "uses", *ANSWERS, *TEXTS, *DAYS)
"""What a correction may say anew about a state, and a state was registered with."""
MAY_BE_UNSTATED = ("collection", "third_party_basis", "owner", "known_biases", *DAYS)
_BATCH = 500


@dataclass(frozen=True)
class StatedData:
    """Column by column what counts about one state; `correction` is the number of the newest correction, 0 without one."""

    values: Mapping[str, Any]
    correction: int = 0

    @property
    def licence(self) -> Licence:
        """The licence that counts."""
        licence: Licence = self.values["licence"]
        return licence

    @property
    def uses(self) -> list[str]:
        """What it may be used for."""
        return list(self.values["uses"])

    @property
    def answers(self) -> dict[str, str]:
        """What is answered about people and works of others."""
        return {name: str(self.values[name]) for name in ANSWERS}

    def said(self, name: str) -> str:
        """What people wrote; "" where nobody did, or where it was erased."""
        text = self.values[name]
        return "" if text is None else (text.value or "")


def stated_in(version: DatasetVersion) -> StatedData:
    """What is stated about a row; its corrections are read with it where they were prefetched (`with_corrections`)."""
    rows = sorted(version.corrections.all(), key=lambda row: row.number)
    return _over(version, rows[-1] if rows else None)


def registered(version: DatasetVersion) -> StatedData:
    """What was stated about a row at first, whatever was corrected since."""
    return _over(version, None)


def stated_data(versions: Iterable[DatasetVersion]) -> dict[uuid.UUID, StatedData]:
    """What is stated about each of the rows, with one more question for all of them."""
    rows = list(versions)
    newest: dict[uuid.UUID, DatasetCorrection] = {}
    for start in range(0, len(rows), _BATCH):
        keys = [row.pk for row in rows[start : start + _BATCH]]
        found = _corrections().filter(dataset_version_id__in=keys).order_by("number")
        newest |= {row.dataset_version_id: row for row in found}
    return {row.pk: _over(row, newest.get(row.pk)) for row in rows}


def with_corrections(rows: QuerySet[DatasetVersion]) -> QuerySet[DatasetVersion]:
    """Rows whose corrections are read with them."""
    return rows.prefetch_related(Prefetch("corrections", queryset=_corrections()))


def states_under(licence_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """The states of data that are stated to be under one of the licences."""
    return set(licences_of_states(licence_ids))


def licences_of_states(licence_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
    """The same, each with the licence that is stated."""
    corrected = DatasetCorrection.objects.filter(licence_id__in=licence_ids).values("dataset_version_id")
    rows = DatasetVersion.objects.filter(Q(licence_id__in=licence_ids) | Q(pk__in=corrected))
    under = dict(rows.values_list("pk", "licence_id"))
    said = DatasetCorrection.objects.filter(dataset_version_id__in=rows.values("pk"), licence__isnull=False)
    under |= dict(said.order_by("number").values_list("dataset_version_id", "licence_id"))
    return {key: licence for key, licence in under.items() if licence in licence_ids}


def corrections_of(version: DatasetVersion) -> QuerySet[DatasetCorrection]:
    """What was corrected about a state, newest first. The caller must have read it already."""
    return _corrections().filter(dataset_version=version).order_by("-number")


def _corrections() -> QuerySet[DatasetCorrection]:
    return DatasetCorrection.objects.select_related("licence", *TEXTS, "reason", "corrected_by", "steward")


def _over(version: DatasetVersion, newest: DatasetCorrection | None) -> StatedData:
    values: dict[str, Any] = {}
    for name in COLUMNS:
        said = None if newest is None else getattr(newest, name)
        values[name] = getattr(version, name) if said is None else said
        if newest is not None and name in newest.unstated:
            values[name] = None
    return StatedData(values, 0 if newest is None else newest.number)

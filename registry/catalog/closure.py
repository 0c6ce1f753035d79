"""Reads the closure of a lineage, up or down, in a few statements whatever its depth. Rows come as text, without building objects.

Rules:
- one recursive statement for each question, and each version is visited once: the database walks, not we;
- ids stay the text that the database gives (`raw`): turning a hundred thousand of them into UUIDs takes longer than the reading;
  `id_of` turns one round;
- upwards nothing is left out for its team, downwards only what stands in the given teams is passed through;
- at most `limit` versions, nearest first; whoever asks sees by one more that there were more.
"""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Collection
from typing import Any, NamedTuple

from django.db import connection

from registry.catalog.models import Correction
from registry.catalog.terms_levels import DATA, SHAPING_DATA
from registry.provenance.models import DatasetCorrection

Teams = Collection[uuid.UUID] | None
"""Teams through which a walk may pass; None means all."""

EVERYTHING = 1 << 60
"""A limit that is none."""

_UP = """
    WITH RECURSIVE walk(id) AS (
        SELECT id FROM catalog_version WHERE {start}
        UNION SELECT edge.parent_id FROM catalog_edge edge JOIN walk ON edge.child_id = walk.id
        WHERE edge.parent_id IS NOT NULL
    ), near(id) AS (SELECT id FROM walk LIMIT {limit})
"""
_DOWN = """
    WITH RECURSIVE walk(id) AS (
        SELECT id FROM catalog_version WHERE {start}
        UNION SELECT edge.child_id FROM catalog_edge edge JOIN walk ON edge.parent_id = walk.id {shown}
    ), near(id) AS (SELECT id FROM walk LIMIT {limit})
"""
_LINES = """
    SELECT CAST(edge.id AS text), CAST(edge.child_id AS text), CAST(edge.parent_id AS text),
        CAST(edge.dataset_version_id AS text),
        CASE WHEN edge.parent_id IS NULL AND edge.dataset_version_id IS NULL THEN edge.parent_digest END,
        edge.role, CAST(edge.operations AS text), edge.grade
    FROM near JOIN catalog_edge edge ON edge.{end} = near.id
"""
_MADE_OF = """
    SELECT CAST(edge.child_id AS text),
        COALESCE(CAST(edge.parent_id AS text), CAST(edge.dataset_version_id AS text), edge.parent_digest),
        CASE WHEN edge.role = '{data}' AND CAST(edge.operations AS text) <> '[]' THEN '{shaping}' ELSE edge.role END,
        CAST(COALESCE(
            (SELECT correction.licence_id FROM catalog_correction correction
             WHERE correction.version_id = edge.parent_id AND correction.licence_id IS NOT NULL
             ORDER BY correction.number DESC LIMIT 1),
            version.licence_id
        ) AS text)
    FROM near JOIN catalog_edge edge ON edge.child_id = near.id LEFT JOIN catalog_version version ON version.id = edge.parent_id
    LIMIT {links}
"""
_CHILDREN = """
    SELECT CAST(edge.parent_id AS text), CAST(edge.child_id AS text)
    FROM near JOIN catalog_edge edge ON edge.parent_id = near.id
"""
_SHOWN = """
    JOIN catalog_version child ON child.id = edge.child_id
    JOIN catalog_model model ON model.id = child.model_id AND model.team_id IN ({teams})
"""
_VERSIONS = """
    SELECT CAST(version.id AS text), version.digest, version.number, version.size_bytes,
        CAST(version.licence_id AS text), CAST(model.team_id AS text), model.slug
    FROM near JOIN catalog_version version ON version.id = near.id JOIN catalog_model model ON model.id = version.model_id
"""
_THINGS = """
    SELECT CAST(version.id AS text), version.digest, version.number, version.size_bytes,
        CAST(version.licence_id AS text), CAST(model.team_id AS text), model.slug
    FROM catalog_version version JOIN catalog_model model ON model.id = version.model_id WHERE version.id IN ({ids})
"""
_CORRECTED = """
    SELECT CAST(correction.version_id AS text), CAST(correction.licence_id AS text)
    FROM near JOIN catalog_correction correction ON correction.version_id = near.id
    WHERE correction.licence_id IS NOT NULL ORDER BY correction.number
"""
_DATA = """
    SELECT CAST(version.id AS text), COALESCE(version.digest, version.document_digest), version.number, version.size_bytes,
        CAST(version.licence_id AS text), CAST(dataset.team_id AS text), dataset.slug, CAST(version.uses AS text)
    FROM provenance_dataset_version version JOIN provenance_dataset dataset ON dataset.id = version.dataset_id
    WHERE version.id IN ({ids})
"""
_DATA_CORRECTED = """
    SELECT CAST(correction.dataset_version_id AS text), CAST(correction.licence_id AS text), CAST(correction.uses AS text)
    FROM provenance_dataset_correction correction WHERE correction.dataset_version_id IN ({ids}) ORDER BY correction.number
"""
_BATCH = 5000


class Line(NamedTuple):
    """An edge as it was read. `digest` stands only where the parent is outside; `operations` is JSON."""

    id: str
    child: str
    parent: str | None
    dataset: str | None
    digest: str | None
    role: str
    operations: str
    grade: str

    @property
    def source(self) -> str:
        """What it was made from: an id of a version or of a dataset version, or the digest of what is outside."""
        return self.parent or self.dataset or str(self.digest)


class Thing(NamedTuple):
    """A version or dataset version as it was read; `licence` is the stated one, `uses` is JSON."""

    id: str
    digest: str
    number: int
    size_bytes: int | None
    licence: str
    team: str
    name: str
    uses: str = "[]"


def id_of(raw: str) -> uuid.UUID:
    """The id that the database gave as text."""
    return uuid.UUID(raw)


def raw_of(key: uuid.UUID) -> str:
    """The text that the database gives for an id."""
    return key.hex if connection.vendor == "sqlite" else str(key)


@functools.lru_cache(maxsize=1024)
def words_in(text: str) -> tuple[str, ...]:
    """A JSON list of words; few different ones occur."""
    return tuple(json.loads(text))


class Closure:
    """The walk from some versions up to their ancestors, or down to what was made from them; each question is one statement."""

    def __init__(self, starts: Collection[uuid.UUID], *, up: bool, limit: int, teams: Teams = None) -> None:
        shown = "" if teams is None else _SHOWN.format(teams=_places(teams))
        parts = {"start": f"id IN ({_places(starts)})", "limit": int(limit), "shown": shown}
        self._walk = (_UP if up else _DOWN).format(**parts)
        self._end = "child_id" if up else "parent_id"
        self._shown = "" if up else shown
        self._given = [_bound(key) for key in [*starts, *([] if teams is None or up else sorted(teams))]]
        self._teams = [] if teams is None or up else [_bound(key) for key in sorted(teams)]

    def ids(self) -> list[str]:
        """The versions, the starts included, nearest first."""
        return [row[0] for row in self._read("SELECT CAST(id AS text) FROM near", self._given)]

    def children(self) -> list[tuple[str, str]]:
        """Downwards: each version with one that was made of it, in no order."""
        return self._read(_CHILDREN + self._shown, [*self._given, *self._teams])

    def made_of(self, limit: int) -> list[tuple[str, str, str, str | None]]:
        """Upwards, in one walk: child, source (see `Line.source`), role, and the licence stated for a source that is a version.

        Data that went in by an operation stands in the role SHAPING_DATA. At most `limit` rows.
        """
        return sorted(self._read(_MADE_OF.format(data=DATA, shaping=SHAPING_DATA, links=int(limit)), self._given))

    def lines(self) -> list[Line]:
        """The edges, oldest first: upwards those to everything that the versions were made from, downwards those to children."""
        sql = _LINES.format(end=self._end) + self._shown
        return sorted(Line(*row) for row in self._read(sql, [*self._given, *self._teams]))

    def versions(self) -> dict[str, Thing]:
        """What the versions are, each under the licence that its newest correction states."""
        found = {row[0]: Thing(*row) for row in self._read(_VERSIONS, self._given)}
        if Correction.objects.exists():
            for raw, licence in self._read(_CORRECTED, self._given):
                found[raw] = found[raw]._replace(licence=licence)
        return found

    def _read(self, sql: str, given: list[Any]) -> list[tuple[Any, ...]]:
        return _read(self._walk + sql, given)


def versions_of(raws: Collection[str]) -> dict[str, Thing]:
    """What those of the ids are that belong to versions, each as it was registered."""
    wanted = sorted(raws)
    found: dict[str, Thing] = {}
    for start in range(0, len(wanted), _BATCH):
        batch = [id_of(raw) for raw in wanted[start : start + _BATCH]]
        rows = _read(_THINGS.format(ids=_places(batch)), [_bound(key) for key in batch])
        found |= {row[0]: Thing(*row) for row in rows}
    return found


def data_of(raws: Collection[str]) -> dict[str, Thing]:
    """What those of the ids are that belong to dataset versions, each as its newest correction states it."""
    wanted = sorted(raws)
    corrected = bool(wanted) and DatasetCorrection.objects.exists()
    found: dict[str, Thing] = {}
    for start in range(0, len(wanted), _BATCH):
        batch = [id_of(raw) for raw in wanted[start : start + _BATCH]]
        places, given = _places(batch), [_bound(key) for key in batch]
        found |= {row[0]: Thing(*row) for row in _read(_DATA.format(ids=places), given)}
        for raw, licence, uses in _read(_DATA_CORRECTED.format(ids=places), given) if corrected else ():
            before = found[raw]
            found[raw] = before._replace(licence=licence or before.licence, uses=uses or before.uses)
    return found


def _read(sql: str, given: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        return list(cursor.fetchall())


def _places(keys: Collection[uuid.UUID]) -> str:
    """Places for bound values; an empty list stands for none, which IN () would not say on every database."""
    return ", ".join(["%s"] * len(keys)) or "NULL"


def _bound(key: uuid.UUID) -> Any:
    return key.hex if connection.vendor == "sqlite" else key

"""The uploaded files of a state of data: which they are, whether they are here, and which states hold which. Reads.

Rules:
- a state that was registered by one digest is one file without a name of its own; it is called `data`;
- a state of several files is named by the digest of their list, and each file by its own; rows are those of all files, by path;
- who holds all files of a state holds its rows, whatever else is beside them.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q

from registry import storage
from registry.access import permissions
from registry.errors import NotFound
from registry.events import Caller
from registry.provenance import purged
from registry.provenance.models import DatasetFile, DatasetVersion, Source

ONLY_FILE = "data"
"""What the file of a state that was registered by one digest is called."""


@dataclass(frozen=True)
class DataFile:
    """One file: its path within the state, its digest, and where they were counted its rows."""

    path: str
    digest: str
    size_bytes: int
    row_count: int | None


def files_of(version: DatasetVersion) -> list[DataFile]:
    """The uploaded files by path; none where the bytes were never here."""
    if version.source != Source.MEASURED:
        return []
    rows = version.files.order_by("path")
    found = [DataFile(row.path, row.digest, row.size_bytes, row.row_count) for row in rows]
    return found or [DataFile(ONLY_FILE, str(version.digest), version.size_bytes or 0, version.row_count)]


def get_file(version: DatasetVersion, path: str) -> DataFile:
    """A file by its path; Gone where it was purged, NotFound with the paths that there are."""
    found = files_of(version)
    file = next((file for file in found if file.path == path), None)
    if file is None:
        named = ", ".join(file.path for file in found[:5]) + (" and others" if len(found) > 5 else "")
        hint = f"There are: {named}." if found else "The bytes of declared data are elsewhere."
        raise NotFound(f"{version} has no file {path[:100]!r}.", hint=hint)
    if version.purged_at is not None:
        raise purged.gone(version.pk, str(version))
    return file


def file_to_download(caller: Caller, version: DatasetVersion, path: str) -> DataFile:
    """A file of a version that the caller read, for whoever may take bytes away from its team."""
    permissions.require(caller, "version.download", version.dataset.team_id)
    return get_file(version, path)


def all_here(version: DatasetVersion) -> bool:
    """Whether its bytes are ours and stored."""
    if version.source != Source.MEASURED or version.purged_at is not None:
        return False
    return all(storage.is_stored(file.digest) for file in files_of(version))


def file_digests(versions: Iterable[DatasetVersion]) -> dict[uuid.UUID, set[str]]:
    """The digests of the files of each of the states, declared ones by the digest that is named; one question for all."""
    rows = list(versions)
    found: dict[uuid.UUID, set[str]] = defaultdict(set)
    named = DatasetFile.objects.filter(dataset_version__in=[row.pk for row in rows])
    for key, digest in named.values_list("dataset_version_id", "digest"):
        found[key].add(digest)
    return {row.pk: found[row.pk] or ({row.digest} if row.digest else set()) for row in rows}


def states_holding(versions: Iterable[DatasetVersion]) -> set[uuid.UUID]:
    """States that hold all files of one of the states, under whatever name; the given ones are among them."""
    given = list(versions)
    wanted = file_digests(given)
    holders: dict[str, set[uuid.UUID]] = defaultdict(set)
    for key, digest in _holding(set().union(*wanted.values()) if wanted else set()):
        holders[digest].add(key)
    found = {row.pk for row in given}
    for row in given:
        sets = [holders[digest] for digest in wanted[row.pk]]
        found |= set.intersection(*sets) if sets else set()
        found |= set(
            DatasetVersion.objects.filter(digest=row.digest).values_list("pk", flat=True) if row.digest else ()
        )
    return found


def states_within(versions: Iterable[DatasetVersion]) -> set[uuid.UUID]:
    """States all of whose files one of the states holds; the given ones are among them."""
    given = list(versions)
    found = {row.pk for row in given}
    for row_id, held in file_digests(given).items():
        keys = {key for key, _ in _holding(held)}
        others = file_digests(DatasetVersion.objects.filter(pk__in=keys))
        found |= {key for key, digests in others.items() if digests and digests <= held} - {row_id}
    same = DatasetVersion.objects.filter(digest__in={row.digest for row in given if row.digest})
    return found | set(same.values_list("pk", flat=True))


def _holding(digests: set[str]) -> list[tuple[uuid.UUID, str]]:
    """(state, digest) for every state that has one of the digests as a file, or as the digest of its only one."""
    named = DatasetFile.objects.filter(digest__in=digests).values_list("dataset_version_id", "digest")
    alone = DatasetVersion.objects.filter(Q(digest__in=digests), files=None).values_list("pk", "digest")
    return [*named, *((key, digest) for key, digest in alone if digest is not None)]

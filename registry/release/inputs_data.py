"""Gathers what was found in the rows of datasets for a gate, from finished profiles. Reads only, judges nothing."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from registry import storage
from registry.digests import parse_canonical
from registry.provenance.models import DataProfile
from registry.release.gate_facts import OverlapInput, ProfileInput


def profiles(dataset_versions: Iterable[uuid.UUID]) -> dict[uuid.UUID, ProfileInput]:
    """By dataset version what its newest finished profile found, and each comparison with other data as newest made.

    Where the bytes of the newest one are gone nothing is known: an older one would tell what may not be so any more.
    """
    rows = DataProfile.objects.filter(dataset_version__in=set(dataset_versions), digest__isnull=False)
    found: dict[uuid.UUID, ProfileInput] = {}
    lost: set[uuid.UUID] = set()
    for key, digest in rows.order_by("-finished_at", "-pk").values_list("dataset_version_id", "digest"):
        if key in lost or digest is None:
            continue
        if not storage.is_stored(digest):
            lost |= {key} - found.keys()
            continue
        this, newer = _read(digest), found.get(key)
        found[key] = this if newer is None else _joined(newer, this)
    return found


def _joined(newer: ProfileInput, older: ProfileInput) -> ProfileInput:
    """The newer one speaks; about data that it was not compared with, the older one does."""
    known = {overlap.other_digest for overlap in newer.overlaps}
    added = [overlap for overlap in older.overlaps if overlap.other_digest not in known]
    return ProfileInput(
        newer.digest, newer.rows, newer.figures, (*newer.overlaps, *added), newer.files or older.files
    )  # fmt: skip


@lru_cache(maxsize=512)
def _read(digest: str) -> ProfileInput:
    document: Any = parse_canonical(storage.read_bytes(digest))
    whole = {f["metric"]: f["value"] for f in document["figures"] if not f["slice"]}
    overlaps = tuple(_overlap(other) for other in document["against"])
    files = {file["digest"]: file["rows"] for file in document["data"].get("files", [])}
    return ProfileInput(digest, document["data"]["rows"], whole, overlaps, files)


def _overlap(other: Mapping[str, Any]) -> OverlapInput:
    """What stands in one other set of data; profiles of one file name no files, and older ones no identifiers."""
    files = None
    if "files" in other:
        files = {file["digest"]: _counts(other["digest"], file) for file in other["files"]}
    return replace(_counts(other["digest"], other), files=files)


def _counts(other_digest: str, counted: Mapping[str, Any]) -> OverlapInput:
    bare = counted.get("same_rows_without_identifiers")
    return OverlapInput(other_digest, counted["same_rows"], counted["near_rows"], bare)

"""Reads of this room: models, versions, their files and evidence. What may not be seen is not found."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from django.db.models import QuerySet

from registry import storage
from registry.access.queries import get_readable, readable, readable_team_ids
from registry.catalog import targets
from registry.catalog.descendants import descendants_of
from registry.catalog.evidence import TARGET_KIND
from registry.catalog.evidence_order import NEVER, Again, newest_first
from registry.catalog.evidence_reading import EvidenceReader, evidence_body
from registry.catalog.lineage import Ancestry, Lineage, lineage, load_ancestors, load_ancestors_of
from registry.catalog.models import Artifact, Evidence, ModelVersion, RegisteredModel
from registry.catalog.stated import Stated, stated, stated_in
from registry.catalog.terms import EffectiveTerms
from registry.catalog.terms_along import terms_along, terms_along_each
from registry.digests import evidence_set_document, sha256
from registry.errors import BytesDiffer, Conflict, NotFound
from registry.events import Caller
from registry.provenance import purged
from registry.provenance import queries as provenance

__all__ = [
    "Ancestry", "EvidenceReader", "Lineage", "Stated", "descendants_of", "effective_terms", "effective_terms_of",
    "evidence_body", "evidence_documents", "evidence_documents_of", "evidence_set", "figure", "get_artifact", "get_model",
    "get_version", "lineage", "load_ancestors", "load_ancestors_of", "materialise", "models", "rehash_version", "stated",
    "stated_in", "target_measurements", "usable_digests", "version_document", "versions",
]  # fmt: skip


def get_model(caller: Caller, team_slug: str, slug: str) -> RegisteredModel:
    """A model by team and name."""
    rows = RegisteredModel.objects.select_related("team", "title", "owner", "use_case")
    return get_readable(rows, caller, team__slug=team_slug, slug=slug)


def models(caller: Caller) -> QuerySet[RegisteredModel]:
    """All models that the caller may read."""
    return readable(RegisteredModel.objects.select_related("team", "title", "owner", "use_case"), caller)


def versions(caller: Caller) -> QuerySet[ModelVersion]:
    """All versions that the caller may read."""
    rows = ModelVersion.objects.select_related("model__team", "licence", "note", "created_by")
    rows = rows.prefetch_related("corrections__licence")
    return readable(rows, caller, team="model__team")


def get_version(caller: Caller, ref: str) -> ModelVersion:
    """A version by reference: `team/model@7` or `team/model@sha256:<12 to 64 hex>`."""
    team, name, number, digits = provenance.parse_reference(ref)
    rows = versions(caller).filter(model__team__slug=team, model__slug=name)
    if number is not None:
        found = list(rows.filter(number=number))
    else:
        found = list(rows.filter(digest__startswith=f"sha256:{digits}")[:2])
    if not found:
        raise NotFound(
            "There is no such model version, or you may not see it.",
            hint="The page of its model lists its versions; a role in its team lets you see them.",
        )
    if len(found) > 1:
        raise Conflict(f"{ref} fits several versions.", hint="Give more digits of the digest.", code="ambiguous")
    return found[0]


def usable_digests(caller: Caller, digests: set[str]) -> set[str]:
    """Those of the digests that the caller may name in a manifest: brought by them, or open to them for download."""
    usable = provenance.usable_digests(caller, digests)
    held = readable(Artifact.objects.all(), caller, team="model__team")
    rows = held.filter(digest__in=digests - usable, version__purged_at=None).values_list("digest", "model__team_id")
    owners = set(rows)
    open_teams = provenance.roles_allow(caller.actor_id, "version.download", {team for _, team in owners})
    return usable | {digest for digest, team in owners if team in open_teams}


# --- bytes ------------------------------------------------------------------------------------------------------------


def version_document(version: ModelVersion) -> bytes:
    """The canonical manifest whose SHA-256 is the version digest, checked against it."""
    return storage.read_bytes(version.digest)


def rehash_version(version: ModelVersion) -> None:
    """Read every file again; BytesDiffer when one is missing or changed. Reads the whole version: not inside a unit."""
    _refuse_purged(version)
    version_document(version)
    for artifact in version.artifacts.order_by("path"):
        storage.rehash(artifact.digest, artifact.size_bytes)


def _refuse_purged(version: ModelVersion) -> None:
    if version.purged_at is not None:
        raise BytesDiffer(
            f"The bytes of {version} were purged.", hint="Register the files again to use them.", code="purged"
        )


def get_artifact(version: ModelVersion, path: str) -> Artifact:
    """One file of a version whose bytes are here in their recorded size; they are not read. Gone when they were purged."""
    artifact = version.artifacts.filter(path=path).first()
    if artifact is None:
        raise NotFound(f"{version} has no file {path!r}.", hint="The version's manifest lists its files by path.")
    if version.purged_at is not None:
        raise purged.gone(version.pk, str(version))
    stored = storage.path_of(artifact.digest)
    if not stored.is_file() or stored.stat().st_size != artifact.size_bytes:
        raise BytesDiffer(
            f"The bytes of {path} ({artifact.digest}) are missing or have another size.",
            hint="Restore the file from a backup; nothing was sent.",
        )
    return artifact


def materialise(version: ModelVersion, folder: Path) -> None:
    """Copy the files of a version into a folder under their manifest paths; BytesDiffer when one is not what it was.

    Copies, not links: whatever a run does to them cannot reach the store, and ONNX loaders refuse linked external data.
    """
    _refuse_purged(version)
    for artifact in version.artifacts.order_by("path"):
        target = folder / artifact.path
        target.parent.mkdir(parents=True, exist_ok=True)
        hasher = hashlib.sha256()
        with storage.open_stored(artifact.digest) as source, target.open("xb") as out:
            for chunk in storage.chunks_of(source):
                hasher.update(chunk)
                out.write(chunk)
        if f"sha256:{hasher.hexdigest()}" != artifact.digest:
            os.unlink(target)
            raise BytesDiffer(
                f"The stored bytes of {artifact.path} ({artifact.digest}) have changed.",
                hint="Restore the file from a backup; nothing was used.",
            )


# --- evidence ---------------------------------------------------------------------------------------------------------


def evidence_set(version: ModelVersion) -> tuple[str, bytes, list[Evidence]]:
    """Digest and bytes of `pressmark/evidence_set/1` over all evidence of a version, and its rows, oldest first."""
    rows = list(version.evidence.order_by("created_at", "id"))
    document = evidence_set_document(row.digest for row in rows)
    return sha256(document), document, rows


def evidence_documents(
    version: ModelVersion, reader: EvidenceReader | None = None, again: Again = NEVER
) -> list[tuple[Evidence, dict[str, Any]]]:
    """Evidence with its documents, for a reader or as they were sealed; `again` as `evidence_order` has it.

    The newest of each kind first (by kind), then the older ones in the same way.
    """
    return _documents(version.evidence.select_related("dataset_version__dataset"), reader, again)


def evidence_documents_of(version_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, list[tuple[Evidence, dict[str, Any]]]]:
    """The same for several versions as they were sealed, in one question."""
    rows: dict[uuid.UUID, list[Evidence]] = {key: [] for key in version_ids}
    for row in Evidence.objects.filter(version_id__in=version_ids).select_related("dataset_version__dataset"):
        rows[row.version_id].append(row)
    return {key: _documents(own, None, NEVER) for key, own in rows.items()}


def _documents(
    evidence: Iterable[Evidence], reader: EvidenceReader | None, again: Again
) -> list[tuple[Evidence, dict[str, Any]]]:
    rows = newest_first(evidence, again)
    seen: dict[str, int] = {}
    ranked = []
    for row in rows:
        seen[row.kind] = seen.get(row.kind, 0) + 1
        ranked.append((seen[row.kind], row.kind, row))
    ranked.sort(key=lambda item: item[:2])
    return [(row, evidence_body(row) if reader is None else reader.document(row)) for _, _, row in ranked]


def target_measurements(
    version: ModelVersion, reader: EvidenceReader | None = None
) -> list[tuple[Evidence, dict[str, Any], str | None]]:
    """What was measured where the version is served, for a reader or as sealed, newest first, each with why it is stale."""
    rows = version.evidence.filter(kind=TARGET_KIND).select_related("dataset_version__dataset")
    rows = rows.order_by("-created_at", "-id")
    documents = [evidence_body(row) if reader is None else reader.document(row) for row in rows]
    environments = [{fact["name"]: fact["value"] for fact in document["environment"]} for document in documents]
    return list(zip(rows, documents, targets.staleness(environments), strict=True))


def figure(
    version: ModelVersion, kind: str, metric: str, *, source: str = "measured", again: Again = NEVER
) -> dict[str, Any] | None:
    """The newest figure of a kind over the whole (no slice). Only measured evidence counts unless said otherwise."""
    for row in newest_first(version.evidence.filter(kind=kind, source=source), again):
        for found in evidence_body(row)["figures"]:
            if found["metric"] == metric and not found["slice"]:
                return dict(found)
    return None


def effective_terms_of(versions: Sequence[ModelVersion]) -> dict[uuid.UUID, EffectiveTerms]:
    """The same for several versions without a caller, in as many questions as for one."""
    return terms_along_each(versions)


def effective_terms(version: ModelVersion, *, caller: Caller | None = None) -> EffectiveTerms:
    """What binds a version, by its licence and its lineage, with the proof. Without a caller only its own team is named."""
    teams = {version.model.team_id} if caller is None else readable_team_ids(caller.actor_id)
    return terms_along(version, teams)

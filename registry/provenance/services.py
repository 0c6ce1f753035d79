"""Writes of this room: uploads, licences, datasets and their versions. Keyword-only, the actor first; every act is emitted."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.utils import timezone

from registry import storage
from registry.access import permissions
from registry.access.models import Actor, Membership, Team, Text
from registry.access.services import check_slug, new_text
from registry.digests import is_digest
from registry.errors import Conflict, Forbidden, Invalid
from registry.events import Caller, Ref, Unit, emit, unit
from registry.ids import uuid7
from registry.provenance import queries
from registry.provenance.dataset_documents import (
    QUESTIONS,
    USES,
    Stated,
    check_stated,
    checked_files,
    dataset_document,
    dataset_facts,
    one_state,
    require_one_way,
)
from registry.provenance.measured_files import MeasuredFile, joined
from registry.provenance.models import Dataset, DatasetFile, DatasetVersion, Licence, Upload
from registry.provenance.rows import measure_rows
from registry.provenance.services_licences import register_licence

FILES_PER_EVENT = 60
"""Up to some 900 bytes each, beside a version and its texts: an event holds at most 65,000."""
_UPLOADING = ("version.register", "dataset_version.register", "document.attach")

__all__ = [
    "USES", "measure_uploads", "register_dataset", "register_dataset_version", "register_licence", "require_dataset_version",
    "require_uploader", "store_upload", "uploaded_files",
]  # fmt: skip


def store_upload(*, actor: Caller, chunks: Iterable[bytes], expected: str | None = None) -> Upload:
    """Stream bytes into the store and note who brought them. A cut or differing stream leaves nothing.

    Operational: bytes without a record of their own are swept after a day, so nothing is emitted.
    """
    require_uploader(actor)
    if expected is not None and not is_digest(expected):
        raise Invalid("The expected digest is none.", hint="Give 'sha256:' and 64 lower-case hexadecimal digits.")
    stored = storage.store(chunks, expected=expected, limit_bytes=settings.PRESSMARK_UPLOAD_LIMIT_BYTES)
    note = Upload(
        actor_id=actor.actor_id, digest=stored.digest, size_bytes=stored.size_bytes, created_at=timezone.now()
    )
    Upload.objects.bulk_create([note], ignore_conflicts=True)  # two uploads of the same bytes at once are one
    return Upload.objects.get(actor_id=actor.actor_id, digest=stored.digest)


def require_uploader(actor: Caller) -> None:
    """Whoever may register or attach something in any team may upload; asked before the first byte is read."""
    teams = Membership.objects.filter(actor_id=actor.actor_id, ended_at=None).values_list("team_id", flat=True)
    if not any(permissions.may(actor.actor_id, action, team) for team in set(teams) for action in _UPLOADING):
        raise Forbidden(
            "Uploading needs a role that may register something.",
            hint="Ask an administrator for the role engineer in your team.",
        )


def register_dataset(*, actor: Caller, team: Team, slug: str, title: str = "", steward: Actor | None = None) -> Dataset:
    """A named line of data; its steward is who registers it, or somebody else of the team."""
    role = permissions.require(actor, "dataset.register", team.pk)
    check_slug(slug, "dataset")
    steward_id = steward.pk if steward else actor.actor_id
    if steward is not None and not permissions.may(steward_id, "team.read", team.pk):
        raise Invalid("The steward has no role in this team.", hint="Name somebody of the team.", code="steward")
    with unit(actor, role=role) as opened:
        if Dataset.objects.filter(team=team, slug=slug).exists():
            raise Conflict(f"There is a dataset {team.slug}/{slug} already.", hint="Register a version of it.")
        key = uuid7()
        text = new_text(stream=f"dataset:{key}", purpose="title", value=title or slug, now=opened.now)
        dataset = Dataset.objects.create(
            id=key,
            team=team,
            slug=slug,
            title=text,
            steward_id=steward_id,
            created_by_id=actor.actor_id,
            created_at=opened.now,
        )
        emit("dataset.registered", dataset, text, team=team.pk)
        return dataset


def require_dataset_version(*, actor: Caller, dataset: Dataset) -> str:
    """The role under which the caller may register a version of this dataset."""
    return permissions.require(actor, "dataset_version.register", dataset.team_id)


def measure_uploads(*, actor: Caller, files: Sequence[tuple[str, str]]) -> list[MeasuredFile]:
    """Walk uploaded files (path, digest) of a state; "" names its only one. Long for large files: call it before a unit is open."""
    usable = queries.usable_digests(actor, {digest for _, digest in files})
    for path, digest in files:
        if digest not in usable or not storage.is_stored(digest):
            raise Invalid(
                f"The bytes of {f'{path!r} ({digest})' if path else digest} were not uploaded by you.",
                hint="Upload the file first; a digest alone is not enough.",
                code="not-uploaded",
            )
    known: dict[str, MeasuredFile] = {}  # the same bytes under thousands of names are walked once
    for path, digest in files:
        if digest not in known:
            known[digest] = _measured(path, digest)
    return [replace(known[digest], path=path) for path, digest in files]


def _measured(path: str, digest: str) -> MeasuredFile:
    with storage.open_stored(digest) as file:
        try:
            measured = measure_rows(file)
        except Invalid as error:
            if not path:
                raise
            raise Invalid(f"{path}: {error.detail}", hint=error.hint, code=error.code, path=path) from None
    return MeasuredFile(path, digest, storage.size_of(digest) or 0, measured)


def register_dataset_version(
    *,
    actor: Caller,
    dataset: Dataset,
    licence: Licence | None,
    origin: str,
    uses: Sequence[str],
    digest: str | None = None,
    files: Sequence[Mapping[str, Any]] | None = None,
    declared_digest: str | None = None,
    declared_files: Sequence[Mapping[str, Any]] | None = None,
    state_unknown: bool = False,
    collection: str = "",
    personal_data: str = "unknown",
    consent: str = "unknown",
    third_party_works: str = "unknown",
    third_party_basis: str = "",
    opt_out_honoured: str = "unknown",
    owner: str = "",
    known_biases: str = "",
    collected_from: datetime.date | None = None,
    collected_until: datetime.date | None = None,
    retain_until: datetime.date | None = None,
    measured: Sequence[MeasuredFile] | None = None,
) -> DatasetVersion:
    """The next state of a dataset: `digest` names uploaded bytes (they are walked), `declared_digest` bytes elsewhere.

       `files` lists several uploaded ones (path, digest), each of which is walked: the version's digest is then that of the list's
       document, and that of the file where one stands alone. `declared_files` lists several elsewhere (path, digest, size_bytes) in
       the same way. `state_unknown` says that nobody knows the exact state of declared data; then there is no digest.
    `measured` is the
       answer of `measure_uploads` where the caller asked for it before opening a unit.
    """
    role = require_dataset_version(actor=actor, dataset=dataset)
    answers = dict(zip(QUESTIONS, (personal_data, consent, third_party_works, opt_out_honoured), strict=True))
    stated = Stated(uses, answers, collected_from, collected_until, retain_until)
    named = _check_named(licence, origin)
    check_stated(stated, basis=third_party_basis, today=timezone.now().date())
    require_one_way(digest, files, declared_digest, declared_files, state_unknown)
    walked = _walked(actor, digest, files, measured)
    sized = [{"path": f.path, "digest": f.digest, "size_bytes": f.size_bytes} for f in walked] if files else None
    state = one_state(digest, declared_digest, declared_files, state_unknown, sized)
    facts = dataset_facts(state, joined(walked), sum(f.size_bytes for f in walked) or None, named.expression, stated)
    stored = storage.store_bytes(dataset_document(facts))
    columns = {
        "digest": state.digest, "document_digest": stored.digest, "licence": named, "collected_from": collected_from,
        "collected_until": collected_until, "retain_until": retain_until, **answers,
        **{name: facts[name] for name in ("source", "uses", "size_bytes", "row_count")},
    }  # fmt: skip
    written = {
        "origin": origin, "collection": collection, "third_party_basis": third_party_basis, "owner": owner,
        "known_biases": known_biases,
    }  # fmt: skip
    with unit(actor, role=role) as opened:
        version, texts = _write_version(opened, dataset, columns, written)
        first, *rest = _write_files(version, walked if files else ())
        refs = [Ref("dataset", stored.digest, stored.size_bytes)]
        emit("dataset_version.registered", version, *texts, *first, team=dataset.team_id, refs=refs)
        _emit_files(rest, dataset)
        return version


def _emit_files(parts: Sequence[Sequence[DatasetFile]], dataset: Dataset) -> None:
    for part in parts:
        emit("dataset_file.registered", *part, team=dataset.team_id)


def _walked(
    actor: Caller,
    digest: str | None,
    files: Sequence[Mapping[str, Any]] | None,
    measured: Sequence[MeasuredFile] | None,
) -> list[MeasuredFile]:
    uploaded = uploaded_files(digest, files)
    found = measure_uploads(actor=actor, files=uploaded) if measured is None else list(measured)
    if [(file.path, file.digest) for file in found] != uploaded:
        raise Invalid("Other files were measured than are registered.", hint="Register the files that were measured.")
    return found


def uploaded_files(digest: str | None, files: Sequence[Mapping[str, Any]] | None) -> list[tuple[str, str]]:
    """What is to be walked, by path; "" names the only one of a state that is named by one digest."""
    if files:
        return sorted(
            (file["path"], file["digest"]) for file in checked_files([{**file, "size_bytes": 0} for file in files])
        )
    if digest is not None and not is_digest(digest):
        raise Invalid(f"{digest!r} is no digest.", hint="Give 'sha256:' and 64 lower-case hexadecimal digits.")
    return [("", digest)] if digest is not None else []


def _write_files(version: DatasetVersion, measured: Sequence[MeasuredFile]) -> list[list[DatasetFile]]:
    """The rows of the files, in parts that fit an event each."""
    rows = [
        DatasetFile(
            dataset_id=version.dataset_id, dataset_version=version, path=file.path, digest=file.digest,
            size_bytes=file.size_bytes, format=file.measured.format, row_count=file.measured.row_count,
        )
        for file in measured
    ]  # fmt: skip
    DatasetFile.objects.bulk_create(rows, batch_size=500)
    return [rows[start : start + FILES_PER_EVENT] for start in range(0, max(len(rows), 1), FILES_PER_EVENT)]


def _write_version(
    opened: Unit, dataset: Dataset, columns: Mapping[str, Any], written: Mapping[str, str]
) -> tuple[DatasetVersion, list[Text]]:
    dataset = Dataset.objects.select_for_update(no_key=True).select_related("team").get(pk=dataset.pk)
    number = _next_number(dataset, columns["digest"])
    texts = {
        name: new_text(stream=f"dataset:{dataset.pk}", purpose=name, value=value, now=opened.now)
        for name, value in written.items()
        if value
    }
    version = DatasetVersion.objects.create(
        dataset=dataset, number=number, created_by_id=opened.caller.actor_id, created_at=opened.now, **columns, **texts
    )
    return version, list(texts.values())


def _check_named(licence: Licence | None, origin: str) -> Licence:
    if licence is None:
        raise Invalid(
            "A dataset version needs a licence.",
            hint="Give an SPDX expression; if nobody knows yet, LicenseRef-pressmark-unknown says so.",
            code="licence-missing",
        )
    if licence.ended_at is not None:
        raise Conflict(f"The licence {licence.expression} has ended.", hint="Register it again with its present terms.")
    if not origin.strip():
        raise Invalid("Where the data comes from is missing.", hint="Say it in 'origin', in a sentence.", code="origin")
    return licence


def _next_number(dataset: Dataset, digest: str | None) -> int:
    if dataset.ended_at is not None:
        raise Conflict(f"The dataset {dataset.slug} has ended.", hint="Register another dataset.")
    same = DatasetVersion.objects.filter(dataset=dataset, digest=digest).first() if digest else None
    if same is not None:
        name = f"{dataset.team.slug}/{dataset.slug}@{same.number}"
        purged = same.purged_at is not None
        raise Conflict(
            f"The same bytes {'were' if purged else 'are'} {name} already{', and were purged' if purged else ''}.",
            hint="Register them in another dataset, if they may be kept again." if purged else "Use that version.",
            code="duplicate",
            existing=name,
        )
    newest = DatasetVersion.objects.filter(dataset=dataset).order_by("-number").first()
    return newest.number + 1 if newest else 1

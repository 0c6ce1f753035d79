"""Writes of this room: uploads, licences, datasets and their versions. Keyword-only, the actor first; every act is emitted."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
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
    dataset_document,
    dataset_facts,
    one_state,
)
from registry.provenance.models import Dataset, DatasetVersion, Licence, Upload
from registry.provenance.rows import Measured, measure_rows
from registry.provenance.services_licences import register_licence

_UPLOADING = ("version.register", "dataset_version.register", "document.attach")

__all__ = [
    "USES", "measure_upload", "register_dataset", "register_dataset_version", "register_licence", "require_dataset_version",
    "require_uploader", "store_upload",
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


def measure_upload(*, actor: Caller, digest: str) -> Measured:
    """Walk the bytes of a dataset that the caller may name. Long for large files: call it before a unit is open."""
    if digest not in queries.usable_digests(actor, {digest}) or not storage.is_stored(digest):
        raise Invalid(
            f"The bytes of {digest} were not uploaded by you.",
            hint="Upload the file first; a digest alone is not enough.",
            code="not-uploaded",
        )
    with storage.open_stored(digest) as file:
        return measure_rows(file)


def register_dataset_version(
    *,
    actor: Caller,
    dataset: Dataset,
    licence: Licence | None,
    origin: str,
    uses: Sequence[str],
    digest: str | None = None,
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
    measured: Measured | None = None,
) -> DatasetVersion:
    """The next state of a dataset: `digest` names uploaded bytes (they are walked), `declared_digest` bytes elsewhere.

    `declared_files` lists several files elsewhere (path, digest, size_bytes): the digest of the version is then that of the list's
    document. `state_unknown` says that nobody knows the exact state of declared data; then there is no digest.

    `measured` is the answer of `measure_upload` where the caller asked for it before opening a unit.
    """
    role = require_dataset_version(actor=actor, dataset=dataset)
    answers = dict(zip(QUESTIONS, (personal_data, consent, third_party_works, opt_out_honoured), strict=True))
    stated = Stated(uses, answers, collected_from, collected_until, retain_until)
    named = _check_named(licence, origin)
    check_stated(stated, basis=third_party_basis, today=timezone.now().date())
    state = one_state(digest, declared_digest, declared_files, state_unknown)
    if digest is not None and measured is None:
        measured = measure_upload(actor=actor, digest=digest)
    facts = dataset_facts(state, measured, storage.size_of(digest) if digest else None, named.expression, stated)
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
        refs = [Ref("dataset", stored.digest, stored.size_bytes)]
        emit("dataset_version.registered", version, *texts, team=dataset.team_id, refs=refs)
        return version


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

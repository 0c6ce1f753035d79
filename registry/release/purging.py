"""What a purge would remove, and why it may not: reads for the two people who decide on it.

Rules:
- bytes go only where no other row needs them: neither a file of another version, nor other data measured here, nor a document;
- nothing goes while a legal hold stands on it, or while a run or a profile still reads it (that an alias serves it or would be
  offered it as a way back, the service asks);
- a digest that only binds (of an approval, a review, an edge) needs no bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from django.db import models
from django.db.models import Q, QuerySet

from registry import storage
from registry.access.queries import readable_team_ids
from registry.catalog.models import Artifact, ModelVersion
from registry.compression.models import Run, RunState
from registry.errors import Conflict, Invalid, NotFound
from registry.events import Caller
from registry.fields import DigestField
from registry.governed import governed_models
from registry.oversight.queries import team_of_stream, teams_of_streams
from registry.oversight.queries_proofs import open_holds
from registry.oversight.subjects import subject_of
from registry.provenance.dataset_files import files_of
from registry.provenance.models import DataProfile, DatasetFile, DatasetVersion, Source
from registry.provenance.subjects import Subject
from registry.release.stopping_models import Purge, PurgeKind

# digests that bind to a state of data, to a text or to an address, and stand for no file of ours
_ONLY_BIND = {
    ("access_text", "commitment"),
    ("catalog_edge", "parent_digest"),
    ("oversight_review", "digest"),
    ("notices_webhook", "url_digest"),
}
_BATCH = 500
Referred = Callable[[set[str]], set[str]]
_ALSO_KEPT: dict[str, Referred] = {}


def also_kept_by(referred: Referred) -> None:
    """Let the ledger, which stands above, say which digests its entries refer to."""
    _ALSO_KEPT["ledger"] = referred


@dataclass(frozen=True)
class Going:
    """What a purge removes: files with their sizes, and how many stay because something else needs them."""

    files: dict[str, int]
    shared: int

    @property
    def freed_bytes(self) -> int:
        return sum(self.files.values())


def named_bytes() -> Iterator[tuple[str, QuerySet[models.Model]]]:
    """(column, rows) for every column whose digests name stored bytes; rows whose bytes were purged are left out."""
    for model in governed_models():
        for column in model._meta.concrete_fields:
            if isinstance(column, DigestField) and (model._meta.db_table, column.column) not in _ONLY_BIND:
                rows = model._default_manager.exclude(**{column.name: None})
                yield column.name, rows.exclude(_without_bytes(model, column.name))


def _without_bytes(model: type[models.Model], column: str) -> Q:
    if model is DatasetVersion and column == "digest":
        # of several files it is the digest of their list, which is stored nowhere
        return (
            Q(purged_at__isnull=False)
            | ~Q(source=Source.MEASURED)
            | Q(pk__in=DatasetFile.objects.values("dataset_version"))
        )
    if model is DatasetFile:
        return Q(dataset_version__purged_at__isnull=False)
    if model is Artifact:
        return Q(version__purged_at__isnull=False)
    return Q(pk__in=[])


def _digests_of(subject: Subject) -> set[str]:
    if subject.kind == PurgeKind.DATASET_VERSION:
        return {file.digest for file in files_of(DatasetVersion.objects.get(pk=subject.about))}
    return set(Artifact.objects.filter(version_id=subject.about).values_list("digest", flat=True))


def needed(digests: Iterable[str], *, but: uuid.UUID | None = None) -> set[str]:
    """Those of the digests whose bytes some record needs; the record `but`, which is about to lose its own, needs nothing."""
    wanted = sorted(digests)
    found: set[str] = set()
    for start in range(0, len(wanted), _BATCH):
        part = wanted[start : start + _BATCH]
        for column, rows in named_bytes():
            held = rows.filter(**{f"{column}__in": part})
            if but is not None and rows.model is DatasetVersion and column == "digest":
                held = held.exclude(pk=but)
            if but is not None and rows.model is DatasetFile:
                held = held.exclude(dataset_version_id=but)
            if but is not None and rows.model is Artifact:
                held = held.exclude(version_id=but)
            found |= set(held.values_list(column, flat=True))
    return found


def referred(digests: set[str]) -> set[str]:
    """Those of the digests that entries of the ledger refer to as documents. Reads the ledger: not inside a unit."""
    find = _ALSO_KEPT.get("ledger")
    return find(digests) if find is not None and digests else set()


def going(subject: Subject, kept: set[str]) -> Going:
    """What would be removed now; `kept`: the answer of `referred` about its digests."""
    own = _digests_of(subject)
    shared = needed(own, but=subject.about) | (kept & own)
    sizes = {digest: storage.size_of(digest) for digest in sorted(own - shared)}
    return Going({digest: size for digest, size in sizes.items() if size is not None}, len(shared))


def own_digests(subject: Subject) -> set[str]:
    """The digests of the files that belong to a version of data or of a model."""
    return _digests_of(subject)


# --- why not ---


def refuse_unpurgeable(subject: Subject) -> None:
    """Invalid or Conflict says why the bytes of the subject may not go now."""
    if subject.kind not in PurgeKind.values:
        raise Invalid(
            "Only a version of a dataset or of a model has bytes of its own.", hint="Name one with its number."
        )
    state = _state(subject)
    if state.purged_at is not None:
        raise Conflict(f"The bytes of {subject.name} were purged already.", code="purged")
    if isinstance(state, DatasetVersion) and state.source != Source.MEASURED:
        raise Conflict(f"{subject.name} is declared: its bytes were never here.", hint="There is nothing to purge.")
    holds = open_holds(subject)
    if holds:
        raise Conflict(
            f"A legal hold stands on {holds[0].subject}: {holds[0].reason}", hint="End the hold first.", code="held"
        )
    _refuse_in_use(subject)


def _state(subject: Subject) -> DatasetVersion | ModelVersion:
    if subject.kind == PurgeKind.DATASET_VERSION:
        return DatasetVersion.objects.get(pk=subject.about)
    return ModelVersion.objects.select_related("model__team").get(pk=subject.about)


def _refuse_in_use(subject: Subject) -> None:
    if subject.kind == PurgeKind.DATASET_VERSION:
        columns: tuple[str, ...] = ("calibration", "evaluation", "baseline", "out_of_distribution", "training")
    else:
        columns = ("parent", "base", "incumbent", "first", "rederives", "teacher", "student")
    reads = Q()
    for column in columns:
        reads |= Q(**{column: subject.about})
    run = Run.objects.filter(reads, state__in=(RunState.QUEUED, RunState.RUNNING)).order_by("pk").first()
    if run is not None:
        raise Conflict(
            f"The run {run.pk} still reads {subject.name}.",
            hint="Wait until it has ended, or cancel it.",
            code="in-use",
        )
    if subject.kind == PurgeKind.DATASET_VERSION:
        _refuse_profiled(subject)


def _refuse_profiled(subject: Subject) -> None:
    for profile in DataProfile.objects.filter(finished_at=None).order_by("pk"):
        beside = [
            *profile.settings["against"],
            *([profile.settings["previous"]] if profile.settings["previous"] else []),
        ]
        read = {str(profile.dataset_version_id), *(entry["dataset_version"] for entry in beside)}
        if str(subject.about) in read:
            raise Conflict(
                f"A profile still reads {subject.name}.", hint="Wait until it has ended: a few minutes.", code="in-use"
            )


# --- reads ---


def _rows() -> QuerySet[Purge]:
    return Purge.objects.select_related("reason", "requested_by", "confirmed_by").order_by("-pk")


def purges_of(about: uuid.UUID) -> QuerySet[Purge]:
    """Every purge of a record, withdrawn ones too, newest first. The caller must have read the subject already."""
    return _rows().filter(about=about)


def open_purges(teams: Collection[uuid.UUID] | None) -> list[tuple[Purge, uuid.UUID]]:
    """Purges that wait for a second person in these teams (None: in all), each with its team, oldest first."""
    rows = list(_rows().filter(confirmed_at=None, withdrawn_at=None).order_by("pk"))
    owners = teams_of_streams(row.stream for row in rows)
    return [(row, owners[row.stream]) for row in rows if teams is None or owners[row.stream] in teams]


def get_purge(caller: Caller, key: uuid.UUID) -> Purge:
    """A purge by id, if the caller may read what it is about."""
    row = _rows().filter(pk=key).first()
    teams = readable_team_ids(caller.actor_id)
    if row is None or (teams is not None and team_of_stream(row.stream) not in teams):
        raise NotFound(
            "There is no such purge, or you may not see it.", hint="The page of the data or model lists them."
        )
    return row


def subject_of_purge(purge: Purge) -> Subject:
    """What a purge is about."""
    return subject_of(purge.stream, purge.about)


def reason_of(about: uuid.UUID) -> str | None:
    """Why the bytes of a record were purged; None where nobody confirmed a purge of it."""
    row = Purge.objects.select_related("reason").filter(about=about, confirmed_at__isnull=False).order_by("-pk").first()
    return None if row is None else str(row.reason)

"""Reads of the audit house: what was issued, entries and proofs. What may not be seen is not found."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet

from audit import checkpoints, merkle, notes
from audit.models import Assessment, Bundle, Checkpoint, Entry, Report
from audit.witnessing import witnesses
from registry import storage
from registry.access.queries import readable, readable_team_ids
from registry.catalog.models import RegisteredModel
from registry.digests import parse_canonical
from registry.errors import Invalid, NotFound, Unavailable
from registry.events import Caller
from registry.oversight.queries import team_of_stream

# --- what was issued ---


def assessments_of(model: RegisteredModel) -> QuerySet[Assessment]:
    """Issued assessments of a model, newest first. The caller must have read the model already."""
    rows = Assessment.objects.filter(stream=f"model:{model.pk}").select_related("issued_by", "note")
    return rows.prefetch_related("reports").order_by("-id")


def bundles_of(model: RegisteredModel) -> QuerySet[Bundle]:
    """Issued bundles about a model, newest first. The caller must have read the model already."""
    return _bundles().filter(subject=f"model:{model.pk}")


def bundles_of_instance(caller: Caller) -> QuerySet[Bundle]:
    """Issued bundles about the whole installation, newest first; none for who has no role in the whole of it."""
    rows = _bundles().filter(subject="instance")
    return rows if readable_team_ids(caller.actor_id) is None else rows.none()


def readable_bundles(caller: Caller) -> QuerySet[Bundle]:
    """Every issued bundle that the caller may see, newest first: those about models of his teams, or all."""
    if readable_team_ids(caller.actor_id) is None:
        return _bundles()
    models = readable(RegisteredModel.objects.all(), caller).values_list("pk", flat=True)
    return _bundles().filter(subject__in=[f"model:{key}" for key in models])


def _bundles() -> QuerySet[Bundle]:
    return Bundle.objects.select_related("issued_by", "version").order_by("-id")


def get_assessment(caller: Caller, key: uuid.UUID) -> Assessment:
    """An assessment by id, if the caller may read its model."""
    row = Assessment.objects.select_related("issued_by", "note").filter(pk=key).first()
    if row is None or not _may_read_stream(caller, row.stream):
        raise NotFound("There is no such assessment, or you may not see it.")
    return row


def get_report(caller: Caller, key: uuid.UUID) -> Report:
    """A report by id, if the caller may read its model."""
    row = Report.objects.select_related("assessment").filter(pk=key).first()
    if row is None or not _may_read_stream(caller, row.assessment.stream):
        raise NotFound("There is no such report, or you may not see it.")
    return row


def get_bundle(caller: Caller, key: uuid.UUID) -> Bundle:
    """A bundle by id, if the caller may read its model."""
    row = _bundles().filter(pk=key).first()
    if row is None or not _may_read_stream(caller, row.subject):
        raise NotFound("There is no such bundle, or you may not see it.")
    return row


def event_of(row: Assessment | Report | Bundle) -> dict[str, Any]:
    """The event that issued it."""
    event: dict[str, Any] = read_entry(entry_of(row))["event"]
    return event


def read_entry(entry: Entry) -> dict[str, Any]:
    """What an entry says."""
    read: dict[str, Any] = json.loads(bytes(entry.entry))
    return read


def entry_of(row: Assessment | Report | Bundle) -> Entry:
    """The entry that issued it: the first of its stream with its record, past the entries that it speaks about."""
    stream = row.stream if isinstance(row, Assessment) else "instance"
    key = str(row.pk).encode()
    rows = Entry.objects.filter(stream=stream, position__gte=_spoken_about(row)).order_by("position")
    for entry in rows.iterator(chunk_size=200):
        if key in bytes(entry.entry) and any(r["id"] == str(row.pk) for r in read_entry(entry)["event"]["records"]):
            return entry
    raise NotFound("The ledger holds no entry for it.", hint="Run `pressmark verify-ledger`.")


def _spoken_about(row: Assessment | Report | Bundle) -> int:
    """How many entries there were when it was made; the one that issues it comes later."""
    if isinstance(row, Bundle):
        scope: Any = parse_canonical(storage.read_bytes(row.scope_digest))
        return int(scope["size"])
    return row.as_of_position + 1 if isinstance(row, Assessment) else row.assessment.as_of_position + 1


def _may_read_stream(caller: Caller, stream: str) -> bool:
    teams = readable_team_ids(caller.actor_id)
    if teams is None:
        return True
    try:
        owner = team_of_stream(stream)
    except NotFound:
        return False
    return owner is not None and owner in teams


# --- entries and proofs ---


def get_entry(caller: Caller, position: int) -> Entry:
    """An entry by position, if the caller may read it."""
    row = Entry.objects.filter(position=position).first()
    if row is None or not reader_of_entries(caller)(row):
        raise NotFound("There is no such entry, or you may not see it.")
    return row


def reader_of_entries(caller: Caller) -> Callable[[Entry], bool]:
    """Whether the caller may read an entry: its team is readable; those of the instance are open to whoever has a role in it."""
    teams = readable_team_ids(caller.actor_id)

    def may_read(row: Entry) -> bool:
        if teams is None:
            return True
        try:
            team = read_entry(row)["event"]["team"]
            return bool(teams) if team is None else uuid.UUID(team) in teams
        except (ValueError, KeyError, TypeError, AttributeError):
            return False  # overwritten: nobody can say whose it was

    return may_read


def latest_checkpoint() -> Checkpoint:
    """The newest signed checkpoint; its note, as shown here, has the cosignatures that came late as well."""
    last = Checkpoint.objects.order_by("-size").first()
    if last is None:
        raise Unavailable("No checkpoint is signed yet.", hint="The keeper signs one within seconds; is it running?")
    last.note = witnesses.complete(last)
    return last


def covering(position: int) -> Checkpoint | None:
    """The first checkpoint past an entry, where there is one already."""
    return Checkpoint.objects.filter(size__gt=position).order_by("size").first()


def covering_checkpoint(position: int) -> Checkpoint:
    """The first checkpoint past an entry: it never changes, so what is made with it gives the same bytes again."""
    found = covering(position)
    if found is None:
        raise Unavailable(
            "The keeper has not signed a checkpoint past this entry yet: pending.",
            hint="Try again in some seconds; if it lasts, see whether `pressmark keeper` is running.",
            code="pending",
        )
    return found


def inclusion_proof(position: int) -> tuple[Checkpoint, notes.TlogProof]:
    """The proof that an entry stands in the tree of the first checkpoint past it."""
    checkpoint = covering_checkpoint(position)
    path = checkpoints.tree().inclusion_path(position, checkpoint.size)
    return checkpoint, notes.TlogProof(position, tuple(path), checkpoint.note.encode())


def consistency_proof(old: int, new: int) -> dict[str, Any]:
    """A `pressmark/consistency/1` from one size to another, as the verifier takes it for a newer checkpoint."""
    built = checkpoints.built_size()
    if not 1 <= old < new <= built:
        raise Invalid(
            f"There is no proof from {old} to {new}; the tree has {built} entries.",
            hint="Give two sizes of signed checkpoints, the older first.",
        )
    tree = checkpoints.tree()
    return consistency_document(tree, [old], new)


def consistency_document(tree: merkle.TileTree, old_sizes: list[int], new: int) -> dict[str, Any]:
    """Consistency proofs from older sizes to `new`, in the shape of docs/bundle-format.md."""
    proofs = [
        {
            "old_root": "sha256:" + tree.root(old).hex(),
            "old_size": old,
            "path": [item.hex() for item in tree.consistency_path(old, new)],
        }
        for old in sorted(set(old_sizes))
    ]
    return {"proofs": proofs, "size": new, "type": "pressmark/consistency/1"}

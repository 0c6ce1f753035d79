"""Writes of the audit house: the birth of the ledger (entry 0), and what leaves the building: assessments, reports, bundles.

Rules:
- issuing is an act with an entry; reading writes nothing;
- the long work (snapshot, verification of the ledger, typesetting) is done before the unit opens: `prepare_*`, then `seal_*`;
- what was issued is stored as bytes and bound by digest in the row and in the entry;
- a report is issued for an assessment, once per template; a bundle seals the scope that it will hold, if that fits into one.
"""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit import assessments, checkpoints, eras, keys, notes, queries, scopes, snapshots
from audit.bundles.about import About
from audit.bundles.fitting import demand_fits
from audit.frameworks import packs
from audit.models import Assessment, Bundle, Entry, Key, Ledger, Report
from audit.reports import data as report_data
from audit.reports import pdf
from audit.signing import Signer, issuer_name
from audit.snapshots import Snapshot
from registry import storage
from registry.access import permissions
from registry.access.models import SYSTEM_ROLE, Actor, ActorKind, Text
from registry.access.services import new_text
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.digests import parse_canonical, time_text
from registry.errors import Conflict, Invalid
from registry.events import Caller, Ref, emit, unit
from registry.ids import uuid7
from registry.storage import Stored

# --- the birth of the ledger ---


def origin_of(instance: uuid.UUID, epoch: int) -> str:
    """The origin line of checkpoints: the instance and its epoch."""
    return f"pressmark/{instance}/{epoch}"


def make_keys(origin: str, folder: Path, first: int = 0) -> tuple[Signer, Signer]:
    """Two new keys as 0600 files, named after the origin, to sign from position `first` on."""
    folder.mkdir(parents=True, exist_ok=True)
    log, issuer = Signer.generate(origin), Signer.generate(issuer_name(origin))
    log.save(folder / keys.file_name("log", first))
    issuer.save(folder / keys.file_name("issuer", first))
    keys.forget()
    return log, issuer


def create_ledger(*, instance: uuid.UUID, log: Signer, issuer: Signer) -> Ledger:
    """Entry 0, `ledger.created`: the ledger, the system actor and both keys, and the keys note signed by both."""
    if Entry.objects.exists():
        raise Conflict("There is a ledger already.", hint="An installation is set up once; see `pressmark check`.")
    origin = origin_of(instance, 1)
    note = notes.sign_keys(notes.KeysNote(origin, 0, log.public, issuer.public), log, issuer)
    stored = storage.store_bytes(note)
    system_id = uuid7()
    caller = Caller(actor_id=system_id, via="setup")
    with unit(caller, role=SYSTEM_ROLE) as opened:
        system = Actor(id=system_id, kind=ActorKind.SYSTEM, username="system", created_at=opened.now)
        system.set_unusable_password()
        system.save()
        ledger = Ledger.objects.create(instance=instance, epoch=1, origin=origin, created_at=opened.now)
        key_rows = [_key(Key.Use.LOG, log, opened.now), _key(Key.Use.ISSUER, issuer, opened.now)]
        emit(
            "ledger.created", ledger, system, *key_rows, team=None,
            refs=[Ref("keys", stored.digest, stored.size_bytes)],
        )  # fmt: skip
    return ledger


def _key(use: str, signer: Signer, now: datetime.datetime) -> Key:
    return Key.objects.create(use=use, key_line=signer.key_line, first_position=0, created_at=now)


# --- assessments ---


@dataclass(frozen=True)
class PreparedAssessment:
    """An assessment that is not issued yet."""

    model: RegisteredModel
    document: dict[str, Any]
    stored: Stored
    pack: Stored


def prepare_assessment(*, actor: Caller, model: RegisteredModel) -> PreparedAssessment:
    """Compute and store the document; the ledger is verified from its bytes, however long it is."""
    permissions.require(actor, "assessment.issue", model.team_id)
    document = assessments.assess(model)
    stored = storage.store_bytes(assessments.to_bytes(document))
    return PreparedAssessment(model, document, stored, storage.store_bytes(packs.load().data))


def seal_assessment(*, actor: Caller, prepared: PreparedAssessment, note: str = "") -> Assessment:
    """The row and its entry in the model's stream."""
    model, document = prepared.model, prepared.document
    role = permissions.require(actor, "assessment.issue", model.team_id)
    stream = f"model:{model.pk}"
    with unit(actor, role=role) as opened:
        text: Text | None = None
        if note:
            text = new_text(stream=stream, purpose="note", value=note, now=opened.now)
        row = Assessment.objects.create(
            stream=stream, framework=document["framework"]["id"], framework_digest=prepared.pack.digest,
            as_of_position=document["as_of"]["entries"] - 1, digest=prepared.stored.digest,
            size_bytes=prepared.stored.size_bytes, note=text, issued_by_id=actor.actor_id, issued_at=opened.now,
        )  # fmt: skip
        refs = [
            Ref("assessment", prepared.stored.digest, prepared.stored.size_bytes),
            Ref("framework", prepared.pack.digest, prepared.pack.size_bytes),
        ]
        records = [row] if text is None else [row, text]
        emit("assessment.issued", *records, team=model.team_id, refs=refs)
        return row


def issue_assessment(*, actor: Caller, model: RegisteredModel, note: str = "") -> Assessment:
    """Answer a framework for a model, as of now, and keep the answer."""
    return seal_assessment(actor=actor, prepared=prepare_assessment(actor=actor, model=model), note=note)


# --- reports ---


@dataclass(frozen=True)
class PreparedReport:
    """A report that is typeset, but not issued yet."""

    assessment: Assessment
    model: RegisteredModel
    json: Stored
    pdf: Stored
    template: str


def model_of(assessment: Assessment) -> RegisteredModel:
    """The model that an assessment is about."""
    key = assessment.stream.partition(":")[2]
    return RegisteredModel.objects.select_related("team", "owner", "use_case").get(pk=uuid.UUID(key))


def snapshot_of(assessment: Assessment) -> tuple[Snapshot, dict[str, Any]]:
    """The snapshot and document that an assessment was issued over, as they were."""
    document = parse_canonical(storage.read_bytes(assessment.digest))
    assert isinstance(document, dict)
    as_of: Any = document["as_of"]
    key = uuid.UUID(assessment.stream.partition(":")[2])
    return snapshots.take_at(key, as_of["entries"], as_of["time"]), document


def report_data_of(assessment: Assessment) -> dict[str, Any]:
    """The report over an issued assessment, as page, PDF, JSON and CSV show it."""
    snapshot, document = snapshot_of(assessment)
    event = queries.event_of(assessment)
    actor = event["actor"]
    issue = report_data.Issue(str(assessment.pk), assessment.digest, actor["role"], actor["id"], event["at"])
    return report_data.build(document, snapshot, issue)


def report_of(assessment: Assessment) -> bytes:
    """Its canonical bytes."""
    return report_data.to_bytes(report_data_of(assessment))


def prepare_report(*, actor: Caller, assessment: Assessment) -> PreparedReport:
    """Build and typeset; takes some seconds, and no transaction is open meanwhile."""
    model = model_of(assessment)
    permissions.require(actor, "report.issue", model.team_id)
    name = pdf.template_name()
    _refuse_second(assessment, name)
    data = report_of(assessment)
    typeset = pdf.render(data)
    return PreparedReport(assessment, model, storage.store_bytes(data), storage.store([typeset]), name)


def _refuse_second(assessment: Assessment, template: str) -> None:
    known = Report.objects.filter(assessment=assessment, template=template).first()
    if known is not None:
        raise Conflict(
            "This assessment has a report already.",
            hint="Download that one, or issue a new assessment.",
            code="duplicate",
            existing=str(known.pk),
        )


def seal_report(*, actor: Caller, prepared: PreparedReport) -> Report:
    """The row and its entry in the stream of the instance."""
    role = permissions.require(actor, "report.issue", prepared.model.team_id)
    with unit(actor, role=role) as opened:
        Assessment.objects.select_for_update(no_key=True).get(pk=prepared.assessment.pk)
        _refuse_second(prepared.assessment, prepared.template)
        row = Report.objects.create(
            assessment=prepared.assessment, json_digest=prepared.json.digest, json_size_bytes=prepared.json.size_bytes,
            pdf_digest=prepared.pdf.digest, pdf_size_bytes=prepared.pdf.size_bytes, template=prepared.template,
            issued_by_id=actor.actor_id, issued_at=opened.now,
        )  # fmt: skip
        refs = [
            Ref("report_json", prepared.json.digest, prepared.json.size_bytes),
            Ref("report_pdf", prepared.pdf.digest, prepared.pdf.size_bytes),
        ]
        emit("report.issued", row, team=prepared.model.team_id, refs=refs)
        return row


def issue_report(*, actor: Caller, assessment: Assessment) -> Report:
    """The assessment as a report that can be handed over: PDF and JSON."""
    return seal_report(actor=actor, prepared=prepare_report(actor=actor, assessment=assessment))


# --- bundles ---


@dataclass(frozen=True)
class PreparedBundle:
    """What a bundle will hold, not sealed yet: about a model, one version of it, or the instance (no model)."""

    model: RegisteredModel | None
    version: ModelVersion | None
    scope: Stored
    checkpoint: Stored | None

    @property
    def team_id(self) -> uuid.UUID | None:
        return None if self.model is None else self.model.team_id

    @property
    def subject(self) -> str:
        return scopes.INSTANCE if self.model is None else f"model:{self.model.pk}"


def prepare_bundle(
    *,
    actor: Caller,
    model: RegisteredModel | None,
    version: ModelVersion | None = None,
    checkpoint: bytes | None = None,
) -> PreparedBundle:
    """Find and store what will be sealed. `checkpoint`: one that the recipient holds; the bundle will lead on from it."""
    permissions.require(actor, "bundle.issue", None if model is None else model.team_id)
    if version is not None and (model is None or version.model_id != model.pk):
        raise Invalid("That version is of another model.", hint="Name a version of the model.")
    known = None if checkpoint is None else storage.store_bytes(_checked_note(checkpoint))
    if model is None:
        scope = scopes.of_instance()
    else:
        scope = scopes.of_model(model) if version is None else scopes.of_version(version)
    moment = time_text(datetime.datetime.now(datetime.UTC))
    demand_fits(About(model, None if version is None else str(version.pk), scope, moment))
    return PreparedBundle(model, version, storage.store_bytes(scope.document()), known)


def seal_bundle(*, actor: Caller, prepared: PreparedBundle) -> Bundle:
    """The row and its entry in the stream of the instance."""
    role = permissions.require(actor, "bundle.issue", prepared.team_id)
    with unit(actor, role=role) as opened:
        row = Bundle.objects.create(
            scope_digest=prepared.scope.digest, scope_size_bytes=prepared.scope.size_bytes, subject=prepared.subject,
            version=prepared.version, issued_by_id=actor.actor_id, issued_at=opened.now,
        )  # fmt: skip
        refs = [Ref("scope", prepared.scope.digest, prepared.scope.size_bytes)]
        if prepared.checkpoint is not None:
            refs.append(Ref("checkpoint", prepared.checkpoint.digest, prepared.checkpoint.size_bytes))
        emit("bundle.issued", row, team=prepared.team_id, refs=refs)
        return row


def issue_bundle(
    *,
    actor: Caller,
    model: RegisteredModel | None,
    version: ModelVersion | None = None,
    checkpoint: bytes | None = None,
) -> Bundle:
    """Seal what a bundle about a model, one version of it, or the instance (None) will hold."""
    prepared = prepare_bundle(actor=actor, model=model, version=version, checkpoint=checkpoint)
    return seal_bundle(actor=actor, prepared=prepared)


def _checked_note(note: bytes) -> bytes:
    """A checkpoint from outside, if it is one of this ledger's and this ledger continues it."""
    try:
        claimed = notes.parse_checkpoint_body(notes.parse_note(note).text)
    except notes.NoteError as error:
        raise Invalid(f"That is no checkpoint: {error}", hint="Send the note as it was given to you.") from None
    try:
        eras.open_checkpoint(eras.read(), note)
    except (notes.NoteError, eras.EraError) as error:
        raise Invalid(
            f"That checkpoint is not of this ledger: {error}.",
            hint="Send one that this installation signed, or issue the bundle without it.",
            code="checkpoint-foreign",
        ) from None
    size = checkpoints.ledger_size()
    if claimed.size > size or (
        claimed.size <= checkpoints.built_size() and checkpoints.tree().root(claimed.size) != claimed.root
    ):
        raise Conflict(
            f"This ledger, of {size} entries, does not continue the checkpoint over {claimed.size} entries that you sent.",
            hint="Keep it: it shows that history was cut, rewritten, or went on from an old backup. Run `pressmark verify-ledger`.",
            code="checkpoint-differs",
        )
    return note

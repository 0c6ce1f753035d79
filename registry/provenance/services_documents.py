"""Attaching a document to what it proves something about: bytes first, bound by digest, sealed in the stream of the subject."""

from __future__ import annotations

import uuid

from registry import storage
from registry.access import permissions
from registry.access.models import Membership, Role
from registry.access.services import new_text
from registry.errors import Conflict, Invalid
from registry.events import Caller, Ref, emit, unit
from registry.provenance import documents
from registry.provenance.models import Document, Upload
from registry.provenance.subjects import Subject


def require_for(caller: Caller, action: str, subject: Subject) -> str:
    """The role that allows an act on a subject. What belongs to the instance (a licence) is open to that role in any team."""
    if subject.team_id is not None:
        return permissions.require(caller, action, subject.team_id)
    teams = Membership.objects.filter(actor_id=caller.actor_id, ended_at=None).values_list("team_id", flat=True)
    held: set[Role] = {role for team in set(teams) for role in permissions.roles_of(caller.actor_id, team)}
    found = next((role.value for role in Role if role in held & permissions.PERMISSIONS[action]), None)
    return found if found is not None else permissions.require(caller, action, None)


def attach_document(*, actor: Caller, subject: Subject, kind: str, digest: str, title: str = "") -> Document:
    """Keep uploaded bytes as proof beside a record. Its media type is told from the bytes."""
    role = require_for(actor, "document.attach", subject)
    if kind not in documents.KINDS:
        raise Invalid(f"There is no kind of document {kind[:40]!r}.", hint=f"Kinds are: {', '.join(documents.KINDS)}.")
    size_bytes = _uploaded(actor.actor_id, digest)
    with storage.open_stored(digest) as file:
        media_type = documents.media_type_of(file)
    with unit(actor, role=role) as opened:
        same = Document.objects.filter(about=subject.about, kind=kind, digest=digest).first()
        if same is not None:
            raise Conflict(
                f"The same bytes are attached to {subject.name} as {kind} already.", hint="Use that document.",
                code="duplicate", existing=str(same.pk),
            )  # fmt: skip
        text = new_text(stream=subject.stream, purpose="title", value=title, now=opened.now) if title.strip() else None
        row = Document.objects.create(
            stream=subject.stream, subject=subject.name, about=subject.about, kind=kind, title=text, digest=digest,
            size_bytes=size_bytes, media_type=media_type, created_by_id=actor.actor_id, created_at=opened.now,
        )  # fmt: skip
        texts = [text] if text else []
        emit("document.attached", row, *texts, team=subject.team_id, refs=[Ref("document", digest, size_bytes)])
        return row


def _uploaded(actor_id: uuid.UUID, digest: str) -> int:
    """Size of the bytes that the actor brought; Invalid when they brought none, or ones too large to be a document."""
    note = Upload.objects.filter(actor_id=actor_id, digest=digest).first()
    if note is None or not storage.is_stored(digest):
        raise Invalid(
            f"The bytes of {digest[:80]} were not uploaded by you.",
            hint="Upload the file first; a digest alone is not enough.",
            code="not-uploaded",
        )
    if not 0 < note.size_bytes <= documents.MAX_BYTES:
        raise Invalid(
            f"The document has {note.size_bytes} bytes.",
            hint=f"A document has 1 to {documents.MAX_BYTES} bytes.",
            code="size",
        )
    return int(note.size_bytes)

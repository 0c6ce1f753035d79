"""What every move of an alias shares: the bytes are read again shortly before, and the move is one more row and a forward event.

Rules:
- the bytes are read and hashed again outside of the unit; what the check found holds for a few minutes, for exactly that version;
- a move is a new row with the next number; nothing is overwritten, and its time is never before that of the last one;
- what a recall or a purge stops is moved to by nobody, whatever else allows it.
"""

from __future__ import annotations

import datetime
import time
import uuid
from dataclasses import dataclass, field

from registry.access.services import new_text
from registry.catalog import queries as catalog
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.errors import Conflict, NotFound
from registry.events import Ref, Unit, emit
from registry.release import queries
from registry.release.models import Alias, AliasAssignment, Approval, MoveKind
from registry.release.serving_models import BrokenGlass

CHECK_LIFETIME_SECONDS = 300


@dataclass(frozen=True)
class CheckedBytes:
    """Proof, for this process and a few minutes, that all files of a version were read again and are what was recorded."""

    version_id: uuid.UUID
    digest: str
    at_seconds: float = field(default_factory=time.monotonic)

    def fits(self, version: ModelVersion) -> bool:
        fresh = time.monotonic() - self.at_seconds < CHECK_LIFETIME_SECONDS
        return fresh and self.version_id == version.pk and self.digest == version.digest


def check_bytes(version: ModelVersion) -> CheckedBytes:
    """Read every file of the version again; BytesDiffer when one changed. Long for large models: call it before a unit opens."""
    catalog.rehash_version(version)
    return CheckedBytes(version.pk, version.digest)


def ensure_checked(version: ModelVersion, checked: CheckedBytes | None) -> CheckedBytes:
    """The proof that was given, or a new one where it does not fit any more."""
    return checked if checked is not None and checked.fits(version) else check_bytes(version)


def demand_fresh(version: ModelVersion, checked: CheckedBytes) -> None:
    """Asked inside the unit, where nothing is read again."""
    if not checked.fits(version):
        raise Conflict("The check of the bytes is too old.", hint="Try again.")


def corrected_since(version: ModelVersion) -> str:
    """Why an approval moves nothing any more: its builder may correct a version alone, so who grants has to see it anew."""
    return f"What is stated about {version} was corrected after the approval was granted."


def history_of(model: RegisteredModel, alias: str) -> list[AliasAssignment]:
    """Every move of an alias, newest first; NotFound before the first."""
    history = list(queries.moves_to_judge(model, alias))
    if not history:
        raise NotFound(f"{model} has no alias '{alias}'.", hint="The first promotion creates it.")
    return history


def append_move(
    opened: Unit,
    model: RegisteredModel,
    slug: str,
    kind: MoveKind,
    *,
    approval: Approval | None = None,
    glass: BrokenGlass | None = None,
    reason: str | None = None,
) -> AliasAssignment:
    """Append one assignment under the model's lock: to the version of an approval or of a broken glass, else to nothing."""
    alias = Alias.objects.filter(model=model, slug=slug).first() or _create_alias(opened, model, slug)
    newest = AliasAssignment.objects.filter(alias=alias).order_by("-number").first()
    source = approval or glass
    text = glass.reason if glass else None
    if reason is not None:
        text = new_text(stream=f"model:{model.pk}", purpose="reason", value=reason, now=opened.now)
    assignment = AliasAssignment.objects.create(
        model=model, alias=alias, number=newest.number + 1 if newest else 1, kind=kind,
        version=source.version if source else None, version_digest=source.version_digest if source else None,
        approval=approval, broken_glass=glass, reason=text, assigned_by_id=opened.caller.actor_id,
        assigned_at=_after(opened.now, newest),
    )  # fmt: skip
    refs = []
    if source is not None:
        refs.append(Ref("version", source.version_digest, len(catalog.version_document(source.version))))
    records = [record for record in (assignment, glass, text) if record is not None]
    emit(f"alias.{kind.replace('-', '_')}", *records, team=model.team_id, refs=refs, awaited=True)
    return assignment


def _after(now: datetime.datetime, newest: AliasAssignment | None) -> datetime.datetime:
    """The clock of this machine may stand behind the one that moved the alias last: time of moves never goes back."""
    if newest is not None and newest.assigned_at > now:
        raise Conflict(
            "The clock of this machine is behind the last move of the alias.", hint="Correct the clock.", code="clock"
        )
    return now


def _create_alias(opened: Unit, model: RegisteredModel, slug: str) -> Alias:
    alias = Alias.objects.create(model=model, slug=slug, created_by_id=opened.caller.actor_id, created_at=opened.now)
    emit("alias.created", alias, team=model.team_id)
    return alias

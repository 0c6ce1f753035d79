"""Purges: the bytes of a version of data or of a model go for good, by two people; its row, digest and history stay.

Rules:
- what an alias serves stays, and so does every way back of an alias, also of a suspended one: what it served before, until its
  approval for the alias is revoked or it is in quarantine, whatever else bars the way today;
- one asks with a reason, another one confirms; every rule of `release.purging` is asked both times, the second time under the lock
  of the row and of its model or dataset, which placing a hold takes as well;
- the record says first that the bytes are gone, then they go: a process that dies in between leaves them to the sweeper;
- bytes that another record needs stay, and are asked for once more immediately before each file goes.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable

from registry import storage
from registry.access import permissions
from registry.access.queries_responsibility import is_own
from registry.access.services import new_text
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.errors import Conflict, Forbidden, Invalid
from registry.events import Caller, emit, unit
from registry.oversight.queries import team_of_stream
from registry.oversight.subjects import lock_owner
from registry.provenance.models import DatasetVersion
from registry.provenance.subjects import Subject
from registry.release import purging, queries
from registry.release.models import Alias
from registry.release.services.rollbacks import ways_back
from registry.release.stopping_models import Purge, PurgeKind

logger = logging.getLogger(__name__)


def request_purge(*, actor: Caller, subject: Subject, reason: str) -> Purge:
    """Ask that the bytes go. Nothing goes before somebody else confirms it."""
    role = permissions.require(actor, "purge.request", subject.team_id)
    _check_reason(reason)
    _refuse_unpurgeable(subject)
    with unit(actor, role=role) as opened:
        _lock(subject)
        if Purge.objects.filter(about=subject.about, confirmed_at=None, withdrawn_at=None).exists():
            raise Conflict(f"A purge of {subject.name} is asked for already.", hint="Confirm or withdraw that one.")
        text = new_text(stream=subject.stream, purpose="reason", value=reason, now=opened.now)
        row = Purge.objects.create(
            stream=subject.stream, kind=subject.kind, about=subject.about, subject=subject.name, reason=text,
            requested_by_id=actor.actor_id, requested_at=opened.now,
        )  # fmt: skip
        emit("purge.requested", row, text, team=subject.team_id)
        return row


def withdraw_purge(*, actor: Caller, purge: Purge) -> Purge:
    """The bytes stay after all; that it was asked for stays on record."""
    team_id = team_of_stream(purge.stream)
    role = permissions.require(actor, "purge.request", team_id)
    with unit(actor, role=role) as opened:
        row = _open(purge.pk)
        row.withdrawn_at = opened.now
        row.save(update_fields=["withdrawn_at"])
        emit("purge.withdrawn", row, team=team_id)
        return row


def confirm_purge(*, actor: Caller, purge: Purge, kept: set[str] | None = None) -> Purge:
    """The second person: the record says that the bytes are gone, and once that is committed they go.

    `kept`: the answer of `referred_by_ledger`, where the caller asked for it before opening a unit.
    """
    subject = purging.subject_of_purge(purge)
    role = permissions.require(actor, "purge.confirm", subject.team_id)
    if is_own(actor.actor_id, purge.requested_by_id):
        raise Forbidden(
            "You asked for this purge; somebody else has to confirm it.",
            hint="Ask another compliance officer or administrator.",
            code="own-request",
        )
    kept = referred_by_ledger(purge) if kept is None else kept
    with unit(actor, role=role) as opened:
        state = _lock(subject)
        row = _open(purge.pk)
        _refuse_unpurgeable(subject)
        gone = purging.going(subject, kept)
        row.confirmed_by_id, row.confirmed_at, row.freed_bytes = actor.actor_id, opened.now, gone.freed_bytes
        row.save(update_fields=["confirmed_by", "confirmed_at", "freed_bytes"])
        state.purged_at = opened.now
        state.save(update_fields=["purged_at"])
        emit("purge.confirmed", row, state, team=subject.team_id)
        opened.after_commit.append(lambda: _remove(gone.files))
        return row


def _refuse_unpurgeable(subject: Subject) -> None:
    purging.refuse_unpurgeable(subject)
    if subject.kind != PurgeKind.VERSION:
        return
    model = RegisteredModel.objects.get(versions=subject.about)
    for alias in Alias.objects.filter(model=model).order_by("slug"):
        history = queries.alias_history(model, alias.slug)
        if history and history[0].version_id == subject.about:
            raise Conflict(
                f"The alias '{alias.slug}' serves {subject.name}.",
                hint="Move or suspend the alias first.",
                code="served",
            )
        if any(version.pk == subject.about for version in ways_back(history, alias.slug)):
            raise Conflict(
                f"{subject.name} is a way back: the alias '{alias.slug}' served it, and its approval was not revoked.",
                hint=f"If nobody is to go back to it, revoke its approval for '{alias.slug}' first.",
                code="way-back",
                alias=alias.slug,
            )


def referred_by_ledger(purge: Purge) -> set[str]:
    """Digests of the subject's files that are documents of the ledger as well. Reads the ledger: call it before a unit is open."""
    return purging.referred(purging.own_digests(purging.subject_of_purge(purge)))


def _lock(subject: Subject) -> DatasetVersion | ModelVersion:
    lock_owner(subject)  # no alias moves meanwhile, and no hold is placed
    if subject.kind == PurgeKind.DATASET_VERSION:
        return DatasetVersion.objects.select_for_update(no_key=True).get(pk=subject.about)
    return ModelVersion.objects.select_for_update(no_key=True).get(pk=subject.about)


def _open(key: uuid.UUID) -> Purge:
    row = Purge.objects.select_for_update(no_key=True).get(pk=key)
    if row.confirmed_at is not None or row.withdrawn_at is not None:
        raise Conflict(f"This purge was {'confirmed' if row.confirmed_at else 'withdrawn'} already.")
    return row


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise Invalid("The reason is empty.", hint="Say in a sentence why the bytes have to go; it is shown for ever.")


def _remove(digests: Iterable[str]) -> None:
    """After the commit; a file that cannot be removed now is left to the sweeper, for the act itself is done."""
    for digest in digests:
        try:
            if not purging.needed({digest}):
                storage.remove(digest)
        except OSError:
            logger.exception("purged bytes %s could not be removed yet; the sweeper removes them", digest)

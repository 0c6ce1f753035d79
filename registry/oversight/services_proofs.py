"""Reviews that named people sign about one state of a record, and legal holds. Keyword-only, the actor first; every act is emitted.

Rules:
- a review is bound to the digest of the state; a later one of the same kind takes its place, and says when the next one is due;
  once what is stated about that state is corrected, whatever it is, the review speaks of other words and counts no longer;
- whoever brought the state, or asked for the run that made it, in person or by a service account, does not review it, nor the same
  weights or rows under another name, nor a list of files with one of theirs in it (the database refuses it as well);
- while a hold stands, what it names is neither purged nor erased; placing and ending one needs a reason, and a hold is placed
  under the lock that a purge takes.
"""

from __future__ import annotations

import datetime
from typing import Any

from django.db.models import Q, QuerySet

from registry.access import permissions
from registry.access.queries_responsibility import hands_of
from registry.access.services import new_text
from registry.catalog.models import Artifact, ModelVersion
from registry.compression.models import Run
from registry.errors import Conflict, Forbidden, Invalid
from registry.events import Caller, emit, unit
from registry.oversight.models import Hold, Review
from registry.oversight.queries import team_of_stream
from registry.oversight.subjects import lock_owner
from registry.provenance.models import DatasetFile, DatasetVersion
from registry.provenance.subjects import Subject

REVIEW_KINDS = ("vetting", "privacy", "legal", "security", "quality", "other")
REVIEWED = ("version", "dataset_version")
HELD = ("model", "version", "dataset", "dataset_version")
NEXT_LIMIT_DAYS = 3 * 366


def sign_review(
    *,
    actor: Caller,
    subject: Subject,
    kind: str,
    accepted: bool,
    statement: str,
    next_on: datetime.date | None = None,
) -> Review:
    """Say, under one's own name and role, what one found in one state of a dataset or model."""
    _check_kind(subject, REVIEWED, "review")
    role = permissions.require(actor, "review.sign", subject.team_id)
    if kind not in REVIEW_KINDS:
        raise Invalid(f"There is no kind of review {kind[:40]!r}.", hint=f"Kinds are: {', '.join(REVIEW_KINDS)}.")
    _check_filled("statement", statement)
    _refuse_own_work(actor, subject)
    with unit(actor, role=role) as opened:
        today = opened.now.date()
        if next_on is not None and not today < next_on <= today + datetime.timedelta(days=NEXT_LIMIT_DAYS):
            raise Invalid(f"The next review is due within {NEXT_LIMIT_DAYS} days from now.", hint="Correct 'next_on'.")
        text = new_text(stream=subject.stream, purpose="statement", value=statement, now=opened.now)
        row = Review.objects.create(
            stream=subject.stream, kind=kind, subject=subject.name[:120], about=subject.about, digest=subject.digest,
            accepted=accepted, statement=text, reviewed_by_id=actor.actor_id, role=role, reviewed_at=opened.now,
            next_on=next_on,
        )  # fmt: skip
        emit("review.signed", row, text, team=subject.team_id)
        return row


def _refuse_own_work(actor: Caller, subject: Subject) -> None:
    hands = hands_of(actor.actor_id)
    made = subject.kind == "version" and Run.objects.filter(child_id=subject.about, requested_by__in=hands).exists()
    if made or subject.brought_by in hands:
        raise Forbidden(
            f"You {'requested the run that made' if made else 'brought'} {subject.name}; somebody else has to review it.",
            hint="Ask another approver or compliance officer.",
            code="own-work",
        )
    if _same_work(subject).filter(created_by__in=hands).exists() or (
        subject.kind == "version" and Run.objects.filter(child__in=_same_work(subject), requested_by__in=hands).exists()
    ):
        raise Forbidden(
            f"You brought or made what {subject.name} holds under another name; somebody else has to review it.",
            hint="Ask another approver or compliance officer.",
            code="own-work",
        )


def _same_work(subject: Subject) -> QuerySet[Any]:
    """Every version of models with the same weights, or of data with the same rows or a file of them."""
    if subject.kind == "version":
        weights = Artifact.objects.filter(version_id=subject.about, role="weights").values("digest")
        return ModelVersion.objects.filter(artifacts__digest__in=weights, artifacts__role="weights")
    held = {subject.digest, *DatasetFile.objects.filter(dataset_version=subject.about).values_list("digest", flat=True)}
    lists = DatasetFile.objects.filter(digest__in=held).values("dataset_version")
    return DatasetVersion.objects.filter(Q(digest__in=held) | Q(pk__in=lists))


def place_hold(*, actor: Caller, subject: Subject, reason: str) -> Hold:
    """From now on nothing that this names is purged or erased, until the hold ends."""
    _check_kind(subject, HELD, "hold")
    role = permissions.require(actor, "hold.place", subject.team_id)
    _check_filled("reason", reason)
    with unit(actor, role=role) as opened:
        lock_owner(subject)
        text = new_text(stream=subject.stream, purpose="reason", value=reason, now=opened.now)
        row = Hold.objects.create(
            stream=subject.stream, subject=subject.name[:120], about=subject.about, reason=text,
            placed_by_id=actor.actor_id, placed_at=opened.now,
        )  # fmt: skip
        emit("hold.placed", row, text, team=subject.team_id)
        return row


def end_hold(*, actor: Caller, hold: Hold, reason: str) -> Hold:
    """Say why it need not be kept any longer. That it was held, by whom and until when stays on record."""
    team_id = team_of_stream(hold.stream)
    role = permissions.require(actor, "hold.end", team_id)
    _check_filled("reason", reason)
    with unit(actor, role=role) as opened:
        row = Hold.objects.select_for_update(no_key=True).get(pk=hold.pk)
        if row.ended_at is not None:
            raise Conflict("This hold has ended already.")
        text = new_text(stream=row.stream, purpose="reason", value=reason, now=opened.now)
        row.ended_at, row.ended_by_id, row.ended_reason = opened.now, actor.actor_id, text
        row.save(update_fields=["ended_at", "ended_by", "ended_reason"])
        emit("hold.ended", row, text, team=team_id)
        return row


def _check_kind(subject: Subject, kinds: tuple[str, ...], what: str) -> None:
    if subject.kind not in kinds:
        raise Invalid(
            f"A {what} is about no {subject.kind.replace('_', ' ')}.", hint=f"It may be about: {', '.join(kinds)}."
        )


def _check_filled(name: str, value: str) -> None:
    if not value.strip():
        raise Invalid(f"The {name} is empty.", hint=f"Write the {name} in a sentence or two.")

"""Reads of documents, reviews and holds: what is kept as proof about a record, who looked at it, and what must not be removed.

Who asks for a listing must have read the subject already; what is asked for by id is found only by whoever may read its subject.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable
from typing import TypeVar

from django.db.models import Q, QuerySet
from django.utils import timezone

from registry.access.models import Team
from registry.access.queries import readable, readable_team_ids, unseen
from registry.catalog.models import Correction
from registry.events import Caller
from registry.oversight.models import Hold, Review
from registry.oversight.queries import team_of_stream
from registry.provenance.models import DatasetCorrection, Document
from registry.provenance.subjects import Subject

T = TypeVar("T")


def documents_of(*about: uuid.UUID) -> QuerySet[Document]:
    """What is kept as proof about these records, newest first."""
    return Document.objects.filter(about__in=about).select_related("title", "created_by").order_by("-pk")


def get_document(caller: Caller, key: uuid.UUID) -> Document:
    """A document by id."""
    row = Document.objects.select_related("title", "created_by").filter(pk=key).first()
    return _let_in(caller, row, row.stream if row else "", "document")


def reviews_of(*about: uuid.UUID) -> QuerySet[Review]:
    """Who looked at these records and what they said, newest first."""
    return Review.objects.filter(about__in=about).select_related("statement", "reviewed_by").order_by("-pk")


def review_in_force(subject: Subject, kind: str, at: datetime.datetime | None = None) -> Review | None:
    """The newest review of a kind of exactly this state, where it accepts it, still speaks of it and is not overdue; else None.

    A later review takes the place of an earlier one, so one that refuses ends one that accepted.
    """
    moment = at or timezone.now()
    rows = reviews_of(subject.about).filter(kind=kind, digest=subject.digest, reviewed_at__lte=moment)
    newest, corrected = rows.first(), last_corrected([subject.about], moment).get(subject.about)
    return newest if newest is not None and is_in_force(newest, moment.date(), corrected) else None


def reviews_in_force(subject: Subject) -> set[uuid.UUID]:
    """The reviews that count now, of every kind."""
    kinds = set(reviews_of(subject.about).values_list("kind", flat=True))
    return {row.pk for kind in kinds if (row := review_in_force(subject, kind)) is not None}


def is_in_force(review: Review, today: datetime.date, corrected_at: datetime.datetime | None) -> bool:
    """Whether a review, if it is the newest of its kind, accepts, speaks of what is stated now, and is not overdue."""
    if not review.accepted or is_overtaken(review.reviewed_at, corrected_at):
        return False
    return review.next_on is None or review.next_on >= today


def is_overtaken(reviewed_at: datetime.datetime, corrected_at: datetime.datetime | None) -> bool:
    """Whether a review speaks of what was stated wrongly: the bytes are the same, what is said about them is not."""
    return corrected_at is not None and corrected_at >= reviewed_at


def last_corrected(
    about: Iterable[uuid.UUID], until: datetime.datetime | None = None
) -> dict[uuid.UUID, datetime.datetime]:
    """When something was last corrected about states of data or of models, by id; who was never corrected is not there."""
    keys = list(about)
    found: dict[uuid.UUID, datetime.datetime] = {}
    for rows, column in (
        (DatasetCorrection.objects.filter(dataset_version__in=keys), "dataset_version_id"),
        (Correction.objects.filter(version__in=keys), "version_id"),
    ):
        known = rows if until is None else rows.filter(corrected_at__lte=until)
        found |= dict(known.order_by("corrected_at").values_list(column, "corrected_at"))
    return found


def open_holds(subject: Subject) -> list[Hold]:
    """Holds that stand on a record: on itself or on the model or dataset that it belongs to, newest first."""
    whole = uuid.UUID(subject.stream.partition(":")[2])
    rows = Hold.objects.filter(Q(about=subject.about) | Q(about=whole), ended_at=None)
    return list(rows.select_related("reason", "placed_by").order_by("-pk"))


def holds_in(stream: str) -> QuerySet[Hold]:
    """Every hold in a stream, ended ones too, newest first."""
    rows = Hold.objects.filter(stream=stream).select_related("reason", "placed_by", "ended_by", "ended_reason")
    return rows.order_by("-pk")


def held_streams(streams: Iterable[str]) -> list[str]:
    """Those of the streams in which a hold stands: nothing written there is erased."""
    found = Hold.objects.filter(stream__in=set(streams), ended_at=None).values_list("stream", flat=True)
    return sorted(set(found))


def get_hold(caller: Caller, key: uuid.UUID) -> Hold:
    """A hold by id."""
    row = Hold.objects.select_related("reason", "placed_by").filter(pk=key).first()
    return _let_in(caller, row, row.stream if row else "", "hold")


def _let_in(caller: Caller, row: T | None, stream: str, noun: str) -> T:
    if row is not None:
        team_id = team_of_stream(stream)
        if team_id is None and readable_team_ids(caller.actor_id) != set():
            return row
        if team_id is not None and readable(Team.objects.filter(pk=team_id), caller, team="pk").exists():
            return row
    raise unseen(noun)

"""What is kept about a record, for people: files as proof, reviews, holds and purges, and what the reader may do about them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone

from registry.access import permissions
from registry.access.queries import readable_team_ids
from registry.access.queries_responsibility import hands_of
from registry.errors import Forbidden
from registry.events import Caller
from registry.oversight import queries_proofs as proofs
from registry.oversight.models import Hold, Review
from registry.oversight.services_proofs import HELD, REVIEWED
from registry.provenance.models import Document
from registry.provenance.services_documents import require_for
from registry.provenance.subjects import Subject
from registry.release import purging
from registry.release.stopping_models import Purge, PurgeKind


@dataclass(frozen=True)
class ReviewView:
    """A review, and whether it still counts: the status as pages colour it, and in words."""

    row: Review
    state: str
    said: str


@dataclass(frozen=True)
class Kept:
    """Everything that stands beside one record, and the acts that the reader is offered (name, label, address)."""

    subject: Subject
    documents: Sequence[Document]
    reviews: Sequence[ReviewView]
    holds: Sequence[Hold]
    purges: Sequence[Purge]
    acts: Mapping[str, str]
    may_download: bool
    may_end_holds: bool


def kept_about(caller: Caller, subject: Subject, *, purged: bool = False) -> Kept:
    """What is kept about a record. The caller must have read it already."""
    return Kept(
        subject=subject,
        documents=list(proofs.documents_of(subject.about)),
        reviews=_reviews(subject),
        holds=_holds(subject),
        purges=list(purging.purges_of(subject.about)),
        acts=_acts(caller, subject, purged),
        may_download=allowed(caller, "version.download", subject),
        may_end_holds=allowed(caller, "hold.end", subject),
    )


def allowed(caller: Caller, action: str, subject: Subject) -> bool:
    """Whether the caller may do this about the subject."""
    try:
        require_for(caller, action, subject)
    except Forbidden:
        return False
    return True


def _reviews(subject: Subject) -> list[ReviewView]:
    today, corrected = timezone.now().date(), proofs.last_corrected([subject.about]).get(subject.about)
    seen: set[str] = set()
    found = []
    for row in proofs.reviews_of(subject.about):
        state = ("closed", "replaced by a later one")
        if row.kind not in seen:
            state = _standing(row, today, corrected)
        seen.add(row.kind)
        found.append(ReviewView(row, *state))
    return found


def _standing(row: Review, today: datetime.date, corrected_at: datetime.datetime | None) -> tuple[str, str]:
    """How the newest review of a kind stands, as a colour and in words."""
    if not row.accepted:
        return "rejected", "refused"
    if proofs.is_in_force(row, today, corrected_at):
        return "in-force", "in force"
    overtaken = proofs.is_overtaken(row.reviewed_at, corrected_at)
    return "expired", "before a correction: to be reviewed again" if overtaken else "overdue"


def _holds(subject: Subject) -> list[Hold]:
    """Holds on the record and those on the whole that it belongs to, ended ones too."""
    standing = {row.pk for row in proofs.open_holds(subject)}
    return [row for row in proofs.holds_in(subject.stream) if row.about == subject.about or row.pk in standing]


def _acts(caller: Caller, subject: Subject, purged: bool) -> dict[str, str]:
    possible = {"attach-document": "document.attach"}
    if subject.kind in REVIEWED:
        possible["sign-review"] = "review.sign"
    if subject.kind in HELD:
        possible["place-hold"] = "hold.place"
    if subject.kind in PurgeKind.values and not purged:
        possible["request-purge"] = "purge.request"
    about = urlencode({"about": subject.reference})
    return {
        name.replace("-", "_"): f"{reverse(f'desk:{name}')}?{about}"
        for name, action in possible.items()
        if allowed(caller, action, subject) and not (name == "sign-review" and subject.brought_by == caller.actor_id)
    }


def subject_url(subject: Subject) -> str:
    """The page of a record that something is kept about."""
    team, _, rest = subject.name.partition("/")
    name, _, number = rest.partition("@")
    if subject.kind == "version":
        return reverse("desk:version", args=[team, name, number])
    if subject.kind == "dataset_version":
        return reverse("desk:dataset-version", args=[team, name, int(number)])
    if subject.kind in ("model", "dataset"):
        return reverse(f"desk:{subject.kind}", args=[team, name])
    if subject.kind == "licence":
        return reverse("desk:licence", args=[subject.about])
    return reverse("desk:home")


def waiting_purges(caller: Caller) -> list[Purge]:
    """Purges that the caller could confirm: asked for by somebody else, in a team where the caller may."""
    hands = hands_of(caller.actor_id)
    rows = [
        (row, team)
        for row, team in purging.open_purges(readable_team_ids(caller.actor_id))
        if row.requested_by_id not in hands
    ]
    may = {team: permissions.may(caller.actor_id, "purge.confirm", team) for team in {team for _, team in rows}}
    return [row for row, team in rows if may[team]]

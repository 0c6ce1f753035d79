"""What waits for the reader of the first page, by what he may do: each line leads to the place where it is done.

Rules:
- a line is shown to whoever may do something about it, and a request to everybody who may read it, with why one may not decide;
- each list has an end, so that the page costs the same however much has piled up; what is due first comes first.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.urls import reverse
from django.utils import timezone

from registry.access.permissions import PERMISSIONS
from registry.access.queries import readable, readable_team_ids
from registry.compression.models import RunState
from registry.desk import queries
from registry.events import Caller
from registry.oversight.models import Finding, Review
from registry.oversight.queries import team_of_stream
from registry.oversight.queries_findings import findings
from registry.release import queries as release
from registry.release import status as rules
from registry.release.models import Approval, DecisionKind, Waiver
from registry.release.quarantines import recalls
from registry.release.stopping_models import Recall

SHOWN = 8
AHEAD = datetime.timedelta(days=14)
FAILED_SHOWN = datetime.timedelta(days=7)
_LOOKED_AT = 60


@dataclass(frozen=True)
class Line:
    """One thing that waits: what it is, where it is done, and a soft word beside it."""

    what: str
    href: str
    said: str = ""


@dataclass(frozen=True)
class Section:
    """Lines of one kind under a heading."""

    key: str
    title: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class Request:
    """A request that waits for a decision; `why_not` says why this reader may not give it."""

    row: Approval
    status: str
    why_not: str | None

    @property
    def mine_to_decide(self) -> bool:
        return self.why_not is None


def requests(caller: Caller) -> list[Request]:
    """What waits for a decision, the oldest first, and before the others what the reader may decide."""
    found = []
    for row in _undecided(caller).exclude(Exists(_returned())).order_by("pk")[: 2 * SHOWN]:
        now = release.status_of(row)
        if now.word != rules.EXPIRED and now.grants < now.required:
            found.append(Request(row, now.word, release.may_decide(caller, row)))
    return sorted(found, key=lambda request: not request.mine_to_decide)[:SHOWN]


def sections(caller: Caller, holding: queries.Holding) -> list[Section]:
    """Everything else that waits for this reader; what is empty is left out."""
    found = [Section("failed", "Your runs that failed", _failed(caller))]
    if _may(holding, "approval.answer"):
        found.append(Section("questions", "Requests that came back with a question", _questions(caller)))
    if _may(holding, "recall.end"):
        found.append(Section("recalls", "Recalls that go on", _recalls(caller)))
    if _may(holding, "waiver.sign"):
        found.append(Section("ending", "Approvals and waivers that end soon", _ending(caller)))
    if _may(holding, "review.sign"):
        found.append(Section("reviews", "Reviews that are due", _reviews(caller)))
    return [section for section in found if section.lines]


def to_mend(caller: Caller, holding: queries.Holding) -> list[Finding]:
    """What the reader has to mend, and for whoever may close findings what is overdue, the first due first."""
    wanted = Q(owner_id=caller.actor_id)
    if _may(holding, "finding.close"):
        wanted |= Q(due_on__lt=timezone.now().date())
    return list(findings(caller, still_open=True).filter(wanted).order_by("due_on", "pk")[:SHOWN])


def _may(holding: queries.Holding, act: str) -> bool:
    return not holding.roles.isdisjoint(PERMISSIONS[act])


# --- approvals ---


def _undecided(caller: Caller) -> QuerySet[Approval]:
    """Without those whose grants are complete, which would fill the list before what waits is reached."""
    return release.lacking_grants(release.without_final_decision(release.approvals(caller)))


def _returned() -> QuerySet[Approval]:
    """Approvals whose newest word between the two sides is a question."""
    turns = Approval.objects.filter(
        pk=OuterRef("pk"), decisions__kind__in=(DecisionKind.RETURNED, DecisionKind.ANSWERED)
    )
    newest = turns.order_by("-decisions__decided_at", "-decisions__pk").values("decisions__kind")[:1]
    return Approval.objects.filter(pk=OuterRef("pk")).annotate(turn=Subquery(newest)).filter(turn=DecisionKind.RETURNED)


def _questions(caller: Caller) -> list[Line]:
    rows = _undecided(caller).filter(Exists(_returned())).order_by("pk")[:SHOWN]
    return [
        Line(
            f"{row.version} for {row.alias}",
            reverse("desk:approval", args=[row.pk]),
            f"asked for by {row.requested_by}",
        )
        for row in rows
    ]


def _ending(caller: Caller) -> list[Line]:
    """What was granted, and not replaced by a later grant; and waivers."""
    now = timezone.now()
    soon = {"expires_at__gt": now, "expires_at__lte": now + AHEAD}
    granted = release.without_final_decision(release.approvals(caller)).filter(decisions__kind=DecisionKind.GRANTED)
    later = Approval.objects.filter(
        version=OuterRef("version"), alias=OuterRef("alias"), expires_at__gt=OuterRef("expires_at"),
        decisions__kind=DecisionKind.GRANTED,
    )  # fmt: skip
    found = [
        (row.expires_at, f"Approval of {row.version} for {row.alias}", reverse("desk:approval", args=[row.pk]))
        for row in granted.filter(~Exists(later), **soon).distinct().order_by("expires_at")[:SHOWN]
    ]
    waivers = readable(Waiver.objects.filter(ended_at=None, **soon), caller, team="model__team")
    for waiver in waivers.select_related("version__model__team").order_by("expires_at")[:SHOWN]:
        model = waiver.version.model
        place = reverse("desk:version", args=[model.team.slug, model.slug, waiver.version.number])
        found.append((waiver.expires_at, f"Waiver of {waiver.rule} for {waiver.version}", place))
    return [Line(what, href, f"ends {ends:%Y-%m-%d}") for ends, what, href in sorted(found)[:SHOWN]]


# --- runs, recalls, reviews ---


def _failed(caller: Caller) -> list[Line]:
    since = timezone.now() - FAILED_SHOWN
    rows = queries.runs(caller).filter(requested_by_id=caller.actor_id, state=RunState.FAILED, heartbeat_at__gt=since)
    return [
        Line(f"{row.recipe or 'evaluation'} of {row.parent}", reverse("desk:run", args=[row.pk]), "the page says why")
        for row in rows[:SHOWN]
    ]


def _recalls(caller: Caller) -> list[Line]:
    """Those of the reader's own teams: who started one has to end it, or to see that what it stops is replaced."""
    teams = readable_team_ids(caller.actor_id)
    rows = [row for row in recalls(caller).filter(ended_at=None)[:_LOOKED_AT] if _of(row.stream, teams)]
    return [
        Line(f"{row.kind.replace('_', ' ')} {row.subject}", _page_of_recall(row), f"since {row.recalled_at:%Y-%m-%d}")
        for row in rows[:SHOWN]
    ]


def _page_of_recall(row: Recall) -> str:
    return reverse("desk:recall", args=[row.pk])


def _reviews(caller: Caller) -> list[Line]:
    """The newest review of each thing, where its next one is due within the fortnight or was due before."""
    newer = Review.objects.filter(
        about=OuterRef("about"), kind=OuterRef("kind"), reviewed_at__gt=OuterRef("reviewed_at")
    )
    rows = Review.objects.filter(~Exists(newer), next_on__lte=(timezone.now() + AHEAD).date())
    teams = readable_team_ids(caller.actor_id)
    due = [row for row in rows.order_by("next_on", "pk")[:_LOOKED_AT] if _of(row.stream, teams)][:SHOWN]
    return [Line(f"{row.kind} of {row.subject}", _sign_again(row), f"due {row.next_on}") for row in due]


def _sign_again(row: Review) -> str:
    """The form of a review is about what its name says: `dataset_version:team/rows@3`."""
    kind = row.stream.partition(":")[0]
    about = {"model": "version", "dataset": "dataset_version"}.get(kind, kind) if "@" in row.subject else kind
    return f"{reverse('desk:sign-review')}?{urlencode({'about': f'{about}:{row.subject}'})}"


def _of(stream: str, teams: set[uuid.UUID] | None) -> bool:
    """Whether it belongs to one of the teams, or to the instance for those who have a role there."""
    return teams is None or team_of_stream(stream) in teams

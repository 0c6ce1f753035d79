"""Which versions are in quarantine because of a recall, and who may read about it: reads only.

Rules:
- a version is in quarantine from the recall on, or from its registration if it was made later, until the recall ends or its own
  release is granted; a release of a version releases nothing that was made from it;
- nothing lets a version in quarantine pass: no policy, no waiver, no emergency;
- what was recalled is named to readers of its team; owners of what it stops learn that it stops, and when;
- how much it stops in all is told to those who may start or end it, and to readers of the whole instance; to everybody else, what
  it stops of theirs.
"""

from __future__ import annotations

import uuid

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from registry.access.permissions import may
from registry.access.queries import get_readable, readable, readable_team_ids
from registry.catalog.models import ModelVersion
from registry.errors import Conflict, NotFound
from registry.events import Caller
from registry.oversight.queries import team_of_stream
from registry.provenance.models import DatasetVersion, Licence
from registry.provenance.subjects import Subject
from registry.release.stopping_models import Quarantine, QuarantineAct, QuarantineActKind, Recall, RecallKind

# --- what is in quarantine ---


def quarantines_of(version: ModelVersion) -> QuerySet[Quarantine]:
    """Every quarantine of a version, ended ones too, newest first."""
    return _rows().filter(version=version).order_by("-pk")


def quarantined(version: ModelVersion) -> list[Recall]:
    """The recalls that stop a version now; empty when nothing does."""
    rows = Quarantine.objects.filter(version=version, ended_at=None).select_related("recall__reason").order_by("pk")
    return [row.recall for row in rows]


def refuse_quarantined(version: ModelVersion) -> None:
    """Conflict `quarantined` when a recall stops the version: nothing lets it pass but its release or the end of the recall."""
    stopping = quarantined(version)
    if not stopping:
        return
    since = stopping[0].recalled_at.date().isoformat()
    others = f" {len(stopping)} recalls stop it." if len(stopping) > 1 else ""
    raise Conflict(
        f"{version} is in quarantine since {since}: something that it is, or was made from, was recalled.{others}",
        hint="Serve another version, suspend the alias, or ask for a release (`pressmark request-quarantine-release`).",
        code="quarantined",
        recalls=[str(row.pk) for row in stopping],
    )


def _rows() -> QuerySet[Quarantine]:
    related = ("model__team", "version__model__team", "recall__reason", "recall__recalled_by")
    return Quarantine.objects.select_related(*related).prefetch_related("acts__reason", "acts__done_by")


def get_quarantine(caller: Caller, key: uuid.UUID) -> Quarantine:
    """A quarantine by id, if the caller may read the model."""
    return get_readable(_rows(), caller, team="model__team", pk=key)


def release_asked(quarantine: Quarantine) -> bool:
    """Whether a release of the quarantine waits for a decision."""
    kinds = list(quarantine.acts.order_by("pk").values_list("kind", flat=True))
    return quarantine.ended_at is None and bool(kinds) and kinds[-1] == "requested"


def waiting_releases(caller: Caller) -> list[Quarantine]:
    """Quarantines whose release waits for a decision, in the teams of the caller, oldest request first."""
    newest = QuarantineAct.objects.filter(quarantine=OuterRef("pk")).order_by("-pk").values("kind")[:1]
    waiting = _rows().annotate(newest=Subquery(newest)).filter(ended_at=None, newest=QuarantineActKind.REQUESTED)
    return list(readable(waiting, caller, team="model__team").order_by("pk"))


# --- recalls ---


def _recalls() -> QuerySet[Recall]:
    return Recall.objects.select_related("reason", "recalled_by", "ended_by", "ended_reason").order_by("-pk")


def open_recall_of(subject: Subject) -> Recall | None:
    """The recall of exactly this that has not ended; licences are what they say, whichever of its rows was named."""
    about = {subject.about}
    if subject.kind == RecallKind.LICENCE:
        expression = Licence.objects.values("expression").filter(pk=subject.about)
        about |= set(Licence.objects.filter(expression__in=expression).values_list("pk", flat=True))
    return _recalls().filter(kind=subject.kind, about__in=about, ended_at=None).first()


def recalls(caller: Caller) -> QuerySet[Recall]:
    """Recalls of what the caller may read, and those that stop a version of the caller's teams; newest first."""
    teams = readable_team_ids(caller.actor_id)
    if teams is None:
        return _recalls()
    if not teams:
        return _recalls().none()
    model = ModelVersion.objects.filter(pk=OuterRef("about"), model__team__in=teams)
    data = DatasetVersion.objects.filter(pk=OuterRef("about"), dataset__team__in=teams)
    stops = Quarantine.objects.filter(recall=OuterRef("pk"), model__team__in=teams)
    return _recalls().filter(Q(kind=RecallKind.LICENCE) | Exists(model) | Exists(data) | Exists(stops))


def open_recalls_named(caller: Caller, reference: str) -> list[Recall]:
    """Open recalls of what is written `dataset_version:team/rows@1` and the like, as far as the caller may read its name."""
    kind, _, subject = reference.partition(":")
    rows = recalls(caller).filter(kind=kind, subject=subject, ended_at=None)
    return [row for row in rows if may_name(caller, row)]


def get_recall(caller: Caller, key: uuid.UUID) -> Recall:
    """A recall by id, if it is of something that the caller may read, or stops something of the caller's teams."""
    row = recalls(caller).filter(pk=key).first()
    if row is None:
        raise NotFound("There is no such recall, or you may not see it.", hint="The page of recalls lists them.")
    return row


def may_name(caller: Caller, recall: Recall) -> bool:
    """Whether the caller may read what was recalled, and why; licences belong to everybody in the instance."""
    teams = readable_team_ids(caller.actor_id)
    owner = team_of_stream(recall.stream)
    return teams is None or (bool(teams) and owner is None) or owner in teams


def may_count(caller: Caller, team_id: uuid.UUID | None) -> bool:
    """Whether the caller learns how much a recall of something of a team (None: of the instance) stops in teams of others."""
    return readable_team_ids(caller.actor_id) is None or may(caller.actor_id, "recall.start", team_id)

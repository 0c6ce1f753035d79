"""Pages of recalls: what one would stop, what it stops, and the way out of a quarantine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from django import forms
from django.urls import reverse

from registry.access import permissions
from registry.access.models import Membership
from registry.access.permissions import PERMISSIONS
from registry.desk.forms import ReasonField
from registry.desk.http import Act, Context, FormPage, Page
from registry.desk.warnings import quarantine_view
from registry.events import Caller
from registry.oversight.queries import team_of_stream
from registry.oversight.subjects import find_subject, subject_of
from registry.provenance.subjects import Subject
from registry.release import quarantines, recall_reach, services
from registry.release.stopping_models import QuarantineAct, Recall

_SHOWN = 100


class ReasonForm(forms.Form):
    """Why."""

    reason = ReasonField()


@dataclass(frozen=True)
class RecallLine:
    """A recall for a reader: named, with its reason, where its subject may be read."""

    row: Recall
    source: str
    reason: str


def recall_line(caller: Caller, row: Recall) -> RecallLine:
    kind = row.kind.replace("_", " ")
    if quarantines.may_name(caller, row):
        return RecallLine(row, f"{kind} {row.subject}", str(row.reason))
    return RecallLine(row, f"a {kind} of another team", "")


class Recalls(Page):
    """Every recall that concerns the reader, and releases that wait."""

    template = "release/recalls.html"
    section = "recalls"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        rows = quarantines.recalls(caller)
        held = Membership.objects.filter(actor_id=caller.actor_id, ended_at=None)
        return {
            "lines": [recall_line(caller, row) for row in rows[:_SHOWN]],
            "more": rows.count() - _SHOWN,
            "waiting": quarantines.waiting_releases(caller),
            "may_start": held.filter(role__in=PERMISSIONS["recall.start"]).exists(),
        }


class StartRecall(FormPage):
    """Shows what a recall would stop; then starts it."""

    template = "release/start_recall.html"
    section = "recalls"
    form_class = ReasonForm

    def subject(self, caller: Caller) -> Subject:
        return find_subject(caller, self.request.GET.get("about", ""))

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        subject = self.subject(caller)
        return {
            "found": recall_reach.preview(caller, subject),
            "already": quarantines.open_recall_of(subject),
            "may_start": permissions.may(caller.actor_id, "recall.start", subject.team_id),
        }

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        row = services.start_recall(actor=caller, subject=self.subject(caller), reason=data["reason"])
        return reverse("desk:recall", args=[row.pk]), f"{row.subject} is recalled; {row.affected} versions are stopped."


class RecallPage(Page):
    """One recall: what it stops, and its end."""

    template = "release/recall.html"
    section = "recalls"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        row = quarantines.get_recall(caller, kwargs["recall"])
        may_end = row.ended_at is None and permissions.may(caller.actor_id, "recall.end", team_of_stream(row.stream))
        return {
            "recall": row,
            "named": quarantines.may_name(caller, row),
            "source": recall_line(caller, row).source,
            "found": recall_reach.stopped_by(caller, row, subject_of(row.stream, row.about)),
            "may_end": may_end,
        }


class EndRecall(Act):
    """It may be used again."""

    page = RecallPage
    form_class = ReasonForm

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        row = quarantines.get_recall(caller, kwargs["recall"])
        services.end_recall(actor=caller, recall=row, reason=data["reason"])
        return reverse("desk:recall", args=[row.pk]), "The recall has ended, and its quarantines with it."


class QuarantinePage(Page):
    """Why one version is stopped, and its way out."""

    template = "release/quarantine.html"
    section = "models"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        row = quarantines.get_quarantine(caller, kwargs["quarantine"])
        acts = row.acts.select_related("reason", "done_by").order_by("pk")
        view = quarantine_view(caller, row)
        return {"view": view, "version": row.version, "model": row.model, "acts": acts}


class _Release(Act):
    page = QuarantinePage
    form_class = ReasonForm
    service: ClassVar[Callable[..., QuarantineAct]]
    said: ClassVar[str]

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        row = quarantines.get_quarantine(caller, kwargs["quarantine"])
        type(self).service(actor=caller, quarantine=row, reason=data["reason"])
        return reverse("desk:quarantine", args=[row.pk]), self.said


class RequestQuarantineRelease(_Release):
    """Asks that the version may be used."""

    service, said = services.request_quarantine_release, "Asked for. Somebody who had no part in the version decides."


class GrantQuarantineRelease(_Release):
    """Lets the version out."""

    service, said = services.grant_quarantine_release, "The version is out of this quarantine."


class RefuseQuarantineRelease(_Release):
    """Keeps the version in."""

    service, said = services.refuse_quarantine_release, "The version stays in quarantine."

"""Pages about what has to be mended: mine first and what is overdue on top, one finding with what can be done with it next."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.urls import reverse
from django.utils import timezone

from registry.access import permissions
from registry.access.models import Actor
from registry.access.queries_responsibility import is_own
from registry.catalog.models import RegisteredModel
from registry.desk.forms import ReasonField
from registry.desk.http import Act, Context, Page
from registry.errors import NotFound
from registry.events import Caller
from registry.oversight import queries, queries_findings, services, services_findings
from registry.oversight.models import Finding

_SHOWN = 300
KIND_WORDS = {
    "manual": "found by somebody",
    "approval-lapsed": "approval lapsed",
    "broken-glass": "glass broken",
    "recalled": "recalled",
    "terms-changed": "terms changed",
    "replay-differs": "replay differs",
}


def kind_words(kind: str) -> str:
    """What a kind of finding is called."""
    return KIND_WORDS.get(kind, kind.replace("-", " "))


class Findings(Page):
    """What waits to be mended: one's own, or all that the reader may see; what is overdue first."""

    template = "oversight/findings.html"
    section = "findings"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        scope = query.get("of", "mine")
        rows = queries_findings.findings(caller, mine=scope == "mine", still_open=scope != "closed")
        if scope == "closed":
            rows = rows.filter(closed_at__isnull=False)
        ordered = rows.order_by("-closed_at", "-pk") if scope == "closed" else rows.order_by("due_on", "pk")
        today = timezone.now().date()
        shown = list(ordered[:_SHOWN])
        models = models_of(shown)
        return {
            "findings": [Shown.of(row, models, today) for row in shown],
            "scope": scope,
            "scopes": [("mine", "mine"), ("all", "all that are open"), ("closed", "closed")],
            "overdue": queries_findings.overdue(shown, today),
            "full": len(shown) == _SHOWN,
        }


class Shown:
    """A finding with its place and whether it is late."""

    def __init__(self, row: Finding, model: RegisteredModel | None, late: bool) -> None:
        self.row, self.model, self.late = row, model, late
        self.kind = kind_words(row.kind)

    @classmethod
    def of(cls, row: Finding, models: Mapping[str, RegisteredModel], today: datetime.date) -> Shown:
        """One row of a listing."""
        return cls(row, models.get(row.stream), row.closed_at is None and row.due_on < today)


def models_of(rows: list[Finding]) -> dict[str, RegisteredModel]:
    """The models whose streams findings stand in, by stream."""
    keys = [row.stream.partition(":")[2] for row in rows if row.stream.startswith("model:")]
    found = RegisteredModel.objects.select_related("team").filter(pk__in=keys)
    return {f"model:{model.pk}": model for model in found}


def shown_of(stream: str, limit: int = 20) -> list[Shown]:
    """What is open about a model, for its own pages. The caller must have read the model already."""
    rows = list(queries.findings_of(stream).filter(closed_at=None).order_by("due_on", "pk")[:limit])
    today = timezone.now().date()
    return [Shown.of(row, {}, today) for row in rows]


class FindingPage(Page):
    """One finding: what it is about, what was written on the way, and the next steps."""

    template = "oversight/finding.html"
    section = "findings"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        row = queries.get_finding(caller, kwargs["finding"])
        team_id = queries.team_of_stream(row.stream)
        works = permissions.may(caller.actor_id, "finding.work", team_id)
        shown = Shown.of(row, models_of([row]), timezone.now().date())
        return {
            "shown": shown,
            "finding": row,
            "notes": queries_findings.notes_of(row),
            "may_work": works and row.closed_at is None,
            "may_close": permissions.may(caller.actor_id, "finding.close", team_id) and row.closed_at is None,
            "own_act": row.kind in services.CLOSED_BY_OTHERS and is_own(caller.actor_id, row.created_by_id),
            "assign": AssignForm(prefix="assign"),
        }


class NoteForm(forms.Form):
    """How, or why."""

    note = ReasonField(label="Note")


class _Step(Act):
    """One step of a finding; the page of it shows what follows."""

    page = FindingPage
    form_class: ClassVar[type[forms.Form]] = NoteForm

    def finding(self, caller: Caller, kwargs: Mapping[str, Any]) -> Finding:
        return queries.get_finding(caller, kwargs["finding"])

    def back(self, row: Finding, said: str) -> tuple[str, str]:
        return reverse("desk:finding", args=[row.pk]), said


class AcceptFinding(_Step):
    """It will be mended."""

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        found = self.finding(caller, kwargs)
        row = services_findings.accept_finding(actor=caller, finding=found, note=data["note"])
        return self.back(row, "You accepted it.")


class FixFinding(_Step):
    """It is mended."""

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        found = self.finding(caller, kwargs)
        row = services_findings.fix_finding(actor=caller, finding=found, note=data["note"])
        return self.back(row, "It is said to be mended; somebody who may judge that closes it.")


class ReopenFinding(_Step):
    """It was not mended after all."""

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        found = self.finding(caller, kwargs)
        row = services_findings.reopen_finding(actor=caller, finding=found, note=data["note"])
        return self.back(row, "It is open again.")


class AssignForm(NoteForm):
    """Another owner, another day."""

    owner = forms.CharField(label="Owner", max_length=150, required=False, help_text="User name; empty: as it is.")
    due_on = forms.DateField(
        label="Due on", required=False, widget=forms.DateInput(attrs={"type": "date"}),
        help_text="A later day is given by whoever may close it.",
    )  # fmt: skip
    field_order = ("owner", "due_on", "note")


class AssignFinding(_Step):
    """Another owner, another day."""

    def form(self, caller: Caller, data: Mapping[str, str] | None, **kwargs: Any) -> forms.Form:
        return AssignForm(data, prefix="assign")

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        owner = None
        if data["owner"]:
            owner = Actor.objects.filter(username=data["owner"], ended_at=None).first()
            if owner is None:
                raise NotFound(f"There is no active actor {data['owner']!r}.")
        row = services_findings.assign_finding(
            actor=caller, finding=self.finding(caller, kwargs), note=data["note"], owner=owner, due_on=data["due_on"]
        )
        return self.back(row, f"It is {row.owner}'s to mend by {row.due_on.isoformat()}.")


class CloseForm(forms.Form):
    """How it was mended, or why it need not be."""

    closure = ReasonField(label="How it was mended, or why it need not be")


class CloseFinding(_Step):
    """It is done with."""

    form_class = CloseForm

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        found = self.finding(caller, kwargs)
        row = services.close_finding(actor=caller, finding=found, closure=data["closure"])
        return self.back(row, "It is closed.")

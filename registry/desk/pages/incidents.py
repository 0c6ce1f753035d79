"""What people do about an incident: acknowledge it, judge it, and end it, with or without a roll-back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.urls import reverse

from registry.desk.forms import ReasonField
from registry.desk.http import Act
from registry.desk.pages.monitors import IncidentPage
from registry.events import Caller
from registry.monitoring import queries, services
from registry.monitoring.models import Incident


class IncidentAct(Act):
    """What all acts on an incident share."""

    page = IncidentPage

    def back(self, incident: Incident, said: str) -> tuple[str, str]:
        return reverse("desk:incident", args=[incident.pk]), said


class AcknowledgeIncident(IncidentAct):
    """Somebody has seen it and is looking."""

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        incident = services.acknowledge_incident(
            actor=caller, incident=queries.get_incident(caller, kwargs["incident"])
        )
        return self.back(incident, "The incident is acknowledged.")


class JudgementForm(forms.Form):
    """Harmless, or a real change."""

    benign = forms.TypedChoiceField(choices=[("yes", "yes"), ("no", "no")], coerce=lambda value: value == "yes")
    reason = forms.CharField(required=False, max_length=4000)


class JudgeIncident(IncidentAct):
    """Somebody has looked and says whether the change matters."""

    form_class = JudgementForm

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        incident = queries.get_incident(caller, kwargs["incident"])
        incident = services.judge_incident(
            actor=caller, incident=incident, benign=data["benign"], reason=data["reason"]
        )
        return self.back(incident, "Judged harmless." if data["benign"] else "Confirmed as a real change.")


class ReasonForm(forms.Form):
    """A reason that is kept for ever (and can be erased without breaking a proof)."""

    reason = ReasonField()


class ResolveIncident(IncidentAct):
    """Closed without moving the alias."""

    form_class = ReasonForm

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        incident = queries.get_incident(caller, kwargs["incident"])
        incident = services.resolve_incident(actor=caller, incident=incident, resolution=data["reason"])
        return self.back(incident, "The incident is resolved.")


class ResolveByRollback(IncidentAct):
    """Closed by moving the alias back to the version before."""

    form_class = ReasonForm

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        incident = queries.get_incident(caller, kwargs["incident"])
        incident = services.resolve_by_rollback(actor=caller, incident=incident, reason=data["reason"])
        return self.back(incident, "The alias was rolled back and the incident is resolved.")

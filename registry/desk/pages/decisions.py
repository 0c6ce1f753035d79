"""Decisions on the page of an approval: yes with conditions, no, back with a question, the answer, and taking a yes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django import forms
from django.urls import reverse

from registry.desk.forms import ReasonField
from registry.desk.http import Act
from registry.desk.pages.approvals import ApprovalPage, end_of
from registry.events import Caller
from registry.release import queries, queries_targets, services
from registry.release.models import Approval, Decision


class ReasonForm(forms.Form):
    """Why."""

    reason = ReasonField()


class GrantForm(ReasonForm):
    """Why, and under which conditions."""

    expires_on = forms.DateField(required=False)
    target = forms.CharField(required=False, max_length=200)


class _DecisionAct(Act):
    page = ApprovalPage
    form_class = ReasonForm
    service: ClassVar[Callable[..., Decision]]
    done: ClassVar[str]

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        approval = queries.get_approval(caller, kwargs["approval"])
        type(self).service(actor=caller, approval=approval, **self.given(caller, approval, data))
        return reverse("desk:approval", args=[approval.pk]), self.done

    def given(self, caller: Caller, approval: Approval, data: Mapping[str, Any]) -> dict[str, Any]:
        """What the service is told."""
        return {"reason": data["reason"]}


class GrantApproval(_DecisionAct):
    """Says yes."""

    form_class = GrantForm
    service = services.grant_approval
    done = "Your grant is recorded."

    def given(self, caller: Caller, approval: Approval, data: Mapping[str, Any]) -> dict[str, Any]:
        end = min(end_of(data["expires_on"]), approval.expires_at) if data["expires_on"] else None
        target = queries_targets.get_target(caller, data["target"]) if data["target"] else None
        return {"reason": data["reason"], "expires_at": end, "target": target}


class RejectApproval(_DecisionAct):
    """Says no."""

    service = services.reject_approval
    done = "The request is rejected."


class ReturnApproval(_DecisionAct):
    """Asks a question."""

    service = services.return_approval
    done = "The request went back with your question; it goes on once it is answered."


class AnswerApproval(_DecisionAct):
    """Answers it."""

    service = services.answer_approval
    done = "The question is answered; those who decide go on."


class RevokeApproval(_DecisionAct):
    """Takes a yes back."""

    service = services.revoke_approval
    done = "The approval is revoked. What the alias serves was not moved: roll back or suspend it."

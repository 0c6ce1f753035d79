"""Pages about releases: approvals and what they rest on, asking the gate or for one, waiving, promoting."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from django import forms
from django.urls import reverse

from registry.access import permissions
from registry.access.http import keyset_page
from registry.catalog import queries as catalog
from registry.desk.addresses import reference, version_url
from registry.desk.allowed import allowed_of, limits_of, rules_of, waivable_rules, waiver_state
from registry.desk.decision import decision_of
from registry.desk.evaluations import evaluation_runs, said_first
from registry.desk.forms import AliasField, ReasonField
from registry.desk.http import Act, Context, FormPage, Page
from registry.desk.measured import measured_of
from registry.desk.terms_asked import terms_asked
from registry.events import Caller
from registry.release import queries, queries_targets, services
from registry.release.grounds import grounds_of
from registry.release.models import Approval


class Approvals(Page):
    """Every approval of the reader's teams, newest first, with what it is worth now."""

    template = "release/approvals.html"
    section = "approvals"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        page = keyset_page(
            queries.approvals(caller), {**query, "limit": "25"}, lambda row: (row, queries.status_of(row)),
            newest_first=True,
        )  # fmt: skip
        return {"approvals": page["items"], "next": page["next"]}


class ApprovalPage(Page):
    """One approval: everything for the decision on one page, and the decision itself."""

    template = "release/approval.html"
    section = "approvals"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        approval = queries.get_approval(caller, kwargs["approval"])
        version, team_id = approval.version, approval.model.team_id
        incumbent = queries.incumbent(approval.model, approval.alias)
        evaluations = evaluation_runs(caller, version)
        now = queries.status_of(approval)
        may_answer = permissions.may(caller.actor_id, "approval.answer", team_id)
        return {
            "approval": approval,
            "now": now,
            "deciding": decision_of(caller, approval, now, may_answer),
            "limited_to": next((d.target for d in approval.decisions.all() if d.target), approval.target),
            "closable": now.word in ("requested", "returned", "stale") and now.grants < now.required,
            "targets": queries_targets.targets_of(approval.model.team).filter(ended_at=None),
            "model": approval.model,
            "version": version,
            "evidence": measured_of(caller, version, limits_of(approval.policy), evaluations),
            "evaluations": evaluations,
            "said": said_first(caller, version, evaluations[0]) if evaluations else None,
            "rules": rules_of(approval.verdict),
            "terms_asked": terms_asked(approval.policy),
            "grounds": grounds_of(approval.verdict),
            "waivers": [(row, waiver_state(row)) for row in queries.waivers_of(version)],
            "incumbent": incumbent,
            "serves": incumbent is not None and incumbent.approval_id == approval.pk,
            "may_withdraw": approval.requested_by_id == caller.actor_id,
            "may_promote": permissions.may(caller.actor_id, "alias.promote", team_id),
        }


class RequestForm(forms.Form):
    """For which name, why, and until when at most."""

    alias = AliasField(initial="production", help_text="The name that consumers resolve.")
    reason = ReasonField(label="Why this version should be released")
    expires_on = forms.DateField(
        required=False, widget=forms.DateInput(attrs={"type": "date"}), label="Ends on (optional)",
        help_text="Left empty, the policy says how long an approval lasts. A pilot is an approval that ends soon.",
    )  # fmt: skip
    target = forms.CharField(
        required=False, max_length=200, label="For one target only (optional)",
        help_text="Where it may run, such as search/edge@1. Left empty, anywhere.",
    )  # fmt: skip


class RequestApproval(FormPage):
    """Asks for an approval; the gate is evaluated first and must not block."""

    template = "release/request_approval.html"
    section = "approvals"
    form_class = RequestForm

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        version = catalog.get_version(caller, reference(kwargs))
        return {"version": version, "model": version.model, "allowed": allowed_of(version)}

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        approval = services.request_approval(
            actor=caller, version=catalog.get_version(caller, reference(kwargs)), alias=data["alias"],
            reason=data["reason"], expires_at=end_of(data["expires_on"]) if data["expires_on"] else None,
            target=queries_targets.get_target(caller, data["target"]) if data["target"] else None,
        )  # fmt: skip
        return reverse(
            "desk:approval", args=[approval.pk]
        ), "The approval is requested; an approver can decide on it now."


class EvaluateGate(FormPage):
    """Asks the gate without asking for anything else; the verdict is recorded."""

    template = "release/evaluate_gate.html"
    section = "approvals"

    class form_class(forms.Form):  # noqa: N801  the name that FormPage reads
        alias = AliasField(initial="production")

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        version = catalog.get_version(caller, reference(kwargs))
        return {"version": version, "model": version.model}

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        version = catalog.get_version(caller, reference(kwargs))
        verdict = services.evaluate_gate(actor=caller, version=version, alias=data["alias"])
        return version_url(kwargs) + "#allowed", f"The gate answers: {verdict.get_outcome_display().lower()}."


class WaiverForm(forms.Form):
    """Which rule, why, and until when."""

    rule = forms.ChoiceField(label="Rule", help_text="Only rules that the policy in force lets be waived.")
    reason = ReasonField(label="Why the exception is acceptable")
    expires_on = forms.DateField(widget=forms.DateInput(attrs={"type": "date"}), label="Ends on")


class SignWaiver(FormPage):
    """An exception from one rule for exactly this version, with a reason and an end."""

    template = "release/sign_waiver.html"
    section = "approvals"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        version = catalog.get_version(caller, reference(kwargs))
        return {"version": version, "model": version.model, "allowed": allowed_of(version)}

    def form(self, caller: Caller, data: Mapping[str, str] | None, **kwargs: Any) -> forms.Form:
        form = WaiverForm(data)
        policy = allowed_of(catalog.get_version(caller, reference(kwargs))).policy
        form.fields["rule"].choices = waivable_rules(policy)  # type: ignore[attr-defined]
        return form

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        waiver = services.sign_waiver(
            actor=caller, version=catalog.get_version(caller, reference(kwargs)), rule=data["rule"],
            reason=data["reason"], expires_at=end_of(data["expires_on"]),
        )  # fmt: skip
        return version_url(kwargs) + "#allowed", f"The waiver of '{waiver.rule}' is signed."


class WithdrawApproval(Act):
    """Takes a request back."""

    page = ApprovalPage

    class form_class(forms.Form):  # noqa: N801  the name that Act reads
        reason = ReasonField()

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        approval = queries.get_approval(caller, kwargs["approval"])
        services.withdraw_approval(actor=caller, approval=approval, reason=data["reason"])
        return _approval_url(approval), "The request is withdrawn."


class Promote(Act):
    """Moves the alias of a granted approval to its version."""

    page = ApprovalPage

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        approval = queries.get_approval(caller, kwargs["approval"])
        services.promote(actor=caller, model=approval.model, alias=approval.alias, approval=approval)
        return _approval_url(approval), f"{approval.alias} now serves {approval.version}."


def _approval_url(approval: Approval) -> str:
    return reverse("desk:approval", args=[approval.pk])


def end_of(day: datetime.date) -> datetime.datetime:
    """The last moment of a day, UTC."""
    return datetime.datetime.combine(day, datetime.time.max, datetime.UTC)

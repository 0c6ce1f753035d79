"""Pages of the audit house: what an assessment says now, and what was issued. Reading writes nothing; issuing is a POST."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views import View

from audit import assessments, downloads, queries, services
from audit.models import Assessment
from audit.reports import data as report_data
from registry.access import permissions
from registry.access.http import caller_of
from registry.access.receipts import receipt_of_act
from registry.catalog import queries as catalog
from registry.catalog.models import RegisteredModel
from registry.errors import NotFound, Problem
from registry.events import Caller


class AuditPage(LoginRequiredMixin, View):
    """What is not visible is not found; every other refusal says why and what to do."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return super().dispatch(request, *args, **kwargs)
        except NotFound as missing:
            raise Http404(missing.detail) from missing
        except Problem as problem:
            return render(request, "audit/refused.html", {"problem": problem}, status=problem.status)

    def caller(self) -> Caller:
        return caller_of(self.request, "page")

    def model(self) -> RegisteredModel:
        return catalog.get_model(self.caller(), self.kwargs["team"], self.kwargs["model"])

    def assessment(self) -> Assessment:
        return queries.get_assessment(self.caller(), self.kwargs["assessment"])


class AssessmentPage(AuditPage):
    """A model against a framework, computed now; and what was issued about it."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        model = self.model()
        snapshot = assessments.prepare(model, ledger_limit=assessments.VIEW_LEDGER_LIMIT)
        document = assessments.assess_snapshot(snapshot, model)
        context = {
            "bundles": queries.bundles_of(model)[:10],
            "issued": queries.assessments_of(model)[:10],
            "may_issue": permissions.may(self.caller().actor_id, "assessment.issue", model.team_id),
            "model": model,
            "report": report_data.build(document, snapshot, None),
        }
        return render(request, "audit/assessment.html", context)


class IssuedAssessmentPage(AuditPage):
    """An assessment as it was issued."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        row = self.assessment()
        model = services.model_of(row)
        context = {
            "assessment": row,
            "may_issue": permissions.may(self.caller().actor_id, "report.issue", model.team_id),
            "model": model,
            "report": services.report_data_of(row),
            "reports": row.reports.order_by("-id"),
        }
        return render(request, "audit/issued.html", context)


class IssueForm(forms.Form):
    """A word about why, as free text."""

    note = forms.CharField(required=False, max_length=2000)


class IssueAssessment(AuditPage):
    """Issue an assessment of a model."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        form = IssueForm(request.POST)
        note = form.cleaned_data["note"] if form.is_valid() else ""
        with receipt_of_act(request) as told:
            row = services.issue_assessment(actor=self.caller(), model=self.model(), note=note)
        messages.success(request, told.with_receipt("The assessment is issued and sealed in the ledger."))
        return redirect("audit:issued-assessment", assessment=row.pk)


class IssueReport(AuditPage):
    """Issue the report of an assessment."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        row = self.assessment()
        with receipt_of_act(request) as told:
            services.issue_report(actor=self.caller(), assessment=row)
        messages.success(request, told.with_receipt("The report is issued; its digests are sealed in the ledger."))
        return redirect("audit:issued-assessment", assessment=row.pk)


class DownloadReport(AuditPage):
    """The report as pdf, json or csv."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        report = queries.get_report(self.caller(), kwargs["report"])
        return downloads.report_file(report, kwargs["extension"])

"""The inbox of approvals: what waits, all evidence on one page, and yes, no or back with a reason, through the services.

Rules:
- the page is read-only; grant (on conditions or without), reject and return are POSTs of their own, each one unit;
- a bulk grant opens one unit for each row and answers for each row: one refusal stops none of the others;
- a refusal is shown as its sentence with what to do; nothing is lost.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.admin import SimpleListFilter, action
from django.contrib.admin.helpers import ActionForm
from django.db import IntegrityError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from registry.access import permissions
from registry.access.models import Role
from registry.access.queries import readable_team_ids
from registry.access.receipts import receipt_of_act
from registry.admin import evidence
from registry.admin.governed import GovernedAdmin
from registry.admin.site import caller_of, site, waiting
from registry.errors import Invalid, NotFound, Problem
from registry.release import queries as release
from registry.release import queries_targets, services
from registry.release.models import Approval, Decision
from registry.release.status import ALL, Status

SERVICES: dict[str, Callable[..., Decision]] = {
    "grant": services.grant_approval,
    "reject": services.reject_approval,
    "return": services.return_approval,
    "revoke": services.revoke_approval,
}
_DONE = {"grant": "Granted", "reject": "Rejected", "return": "Returned", "revoke": "Revoked"}


class StatusFilter(SimpleListFilter):
    """By computed status. What waits for a decision comes first, because that is what people come for."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("all", "All"), *((word, word.capitalize()) for word in ALL)]

    def choices(self, changelist: Any) -> Any:
        yield {
            "selected": self.value() is None,
            "query_string": changelist.get_query_string(remove=[self.parameter_name]),
            "display": "Waiting for a decision",
        }
        for word, title in self.lookup_choices:
            chosen = self.value() == str(word)
            yield {
                "selected": chosen,
                "query_string": changelist.get_query_string({self.parameter_name: word}),
                "display": title,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Approval]) -> QuerySet[Approval]:
        word = self.value()
        if word == "all":
            return queryset
        if word is None:
            return queryset.filter(pk__in=[row.pk for row, _ in waiting(request)])
        return queryset.filter(pk__in=[row.pk for row in queryset if release.approval_status(row) == word])


class GrantForm(ActionForm):
    """The bulk action asks for a reason, as every decision does."""

    reason = forms.CharField(
        required=False,
        max_length=2000,
        label="Reason:",
        widget=forms.TextInput(attrs={"size": 50, "autocomplete": "off"}),
    )


class ApprovalAdmin(GovernedAdmin):
    """Approvals, and the three answers to them."""

    team_path = "model__team"
    list_display = (
        "version",
        "alias",
        "tier",
        "status",
        "grants",
        "policy",
        "requested_by",
        "requested_at",
        "expires_at",
    )
    list_filter = (StatusFilter, "tier", "alias")
    search_fields = ("model__slug", "model__team__slug", "version_digest", "alias")
    list_select_related = ("version__model__team", "policy", "requested_by")
    ordering: ClassVar[Any] = ("pk",)
    actions = ("grant_selected",)  # type: ignore[assignment]
    action_form = GrantForm
    actions_selection_counter = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Approval]:
        return super().get_queryset(request).prefetch_related("decisions")

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """Whether the caller holds a deciding role anywhere; each row is judged on its own by the service."""
        found: bool | None = getattr(request, "pressmark_decides", None)
        if found is None:
            caller = caller_of(request)
            teams = readable_team_ids(caller.actor_id)
            places: set[uuid.UUID | None] = {None} if teams is None else {None, *teams}
            acts = ("approval.decide", "approval.decide_as_officer")
            found = any(permissions.authorities(caller.actor_id, act, team) for team in places for act in acts)
            request.pressmark_decides = found  # type: ignore[attr-defined]
        return found

    def status(self, row: Approval) -> SafeString:
        word = _status_now(row).word
        return format_html('<span class="status status-{}">{}</span>', word, word)

    def grants(self, row: Approval) -> str:
        now = _status_now(row)
        return f"{now.grants} of {now.required}"

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        page = path("<uuid:approval_id>/decide/", wrap(self.decide_view), name="registry_approval_decide")
        acts = [
            path(f"<uuid:approval_id>/{verb}/", wrap(self.act_view), {"verb": verb}, name=f"registry_approval_{verb}")
            for verb in SERVICES
        ]
        return [page, *acts, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """There is no form to change an approval: its page is the one with the evidence."""
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        try:
            key = uuid.UUID(object_id)
        except ValueError:
            raise Http404 from None
        return redirect(reverse("admin:registry_approval_decide", args=[key]))

    def decide_view(self, request: HttpRequest, approval_id: uuid.UUID) -> HttpResponseBase:
        """All evidence on one page."""
        approval = self._readable(request, approval_id)
        page = evidence.page_of(caller_of(request), approval)
        context = {
            **self.admin_site.each_context(request),
            "title": f"{approval.version} to '{approval.alias}'",
            "opts": self.opts,
            "page": page,
            "approval": approval,
            "undecided": page.status.word == "requested",
            "returned": page.status.word == "returned",
            "closable": page.status.word in ("requested", "returned", "stale", "expired")
            and page.status.grants < page.status.required,
            "targets": queries_targets.targets_of(approval.model.team).filter(ended_at=None),
        }
        return TemplateResponse(request, "admin/registry/approval/decide.html", context)

    def act_view(self, request: HttpRequest, approval_id: uuid.UUID, verb: str) -> HttpResponseBase:
        """One decision, one unit."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        approval = self._readable(request, approval_id)
        level, answer = decide(request, approval, verb, request.POST.get("reason", ""), conditions=verb == "grant")
        messages.add_message(request, level, answer)
        return redirect(reverse("admin:registry_approval_decide", args=[approval_id]))

    @action(description="Grant the selected approvals", permissions=["decide"])
    def grant_selected(self, request: HttpRequest, queryset: QuerySet[Approval]) -> None:
        """One unit and one answer for each row."""
        reason = request.POST.get("reason", "")
        for row in release.approvals(caller_of(request)).filter(pk__in=queryset.values("pk")).order_by("pk"):
            level, answer = decide(request, row, "grant", reason)
            self.message_user(request, answer, level)

    def _readable(self, request: HttpRequest, approval_id: uuid.UUID) -> Approval:
        try:
            return release.get_approval(caller_of(request), approval_id)
        except NotFound as error:
            raise Http404(error.detail) from None


def _status_now(row: Approval) -> Status:
    """The status of a listed row, worked out once for its columns."""
    found: Status | None = getattr(row, "pressmark_status", None)
    if found is None:
        found = release.status_of(row)
        row.pressmark_status = found  # type: ignore[attr-defined]
    return found


class ConditionsForm(forms.Form):
    """What a grant may be limited to."""

    expires_on = forms.DateField(required=False)
    target = forms.CharField(required=False, max_length=200)


def _conditions(request: HttpRequest, approval: Approval) -> dict[str, Any]:
    """The conditions that were typed beside a grant."""
    form = ConditionsForm(request.POST)
    if not form.is_valid():
        raise Invalid("The day is none.", hint="Write it as 2026-01-31, or leave it out.")
    day, target = form.cleaned_data["expires_on"], form.cleaned_data["target"]
    end = datetime.datetime.combine(day, datetime.time.max, datetime.UTC) if day else None
    return {
        "expires_at": min(end, approval.expires_at) if end else None,
        "target": queries_targets.get_target(caller_of(request), target) if target else None,
    }


def decide(
    request: HttpRequest, approval: Approval, verb: str, reason: str, *, conditions: bool = False
) -> tuple[int, str]:
    """Carry out one decision; the level and sentence to show for it."""
    name = f"{approval.version} to '{approval.alias}'"
    try:
        given = _conditions(request, approval) if conditions else {}
        with receipt_of_act(request) as told:
            SERVICES[verb](actor=caller_of(request), approval=approval, reason=reason, **given)
    except Problem as error:
        return messages.ERROR, f"Refused, {name}: {error.detail} {error.hint}".rstrip()
    except IntegrityError:
        return (
            messages.ERROR,
            f"Refused, {name}: the database does not allow this, because it would break a rule of the registry.",
        )
    now = release.status_of(release.get_approval(caller_of(request), approval.pk))
    missing = ", ".join(f"{n} by {Role(role).label.lower()}" for role, n in now.missing.items())
    more = f" It still needs {missing}." if verb == "grant" and missing else ""
    return messages.SUCCESS, told.with_receipt(f"{_DONE[verb]}: {name}.{more}")


def register_inbox() -> None:
    """Mount the inbox; called once by the menu."""
    if not site.is_registered(Approval):
        site.register(Approval, ApprovalAdmin)

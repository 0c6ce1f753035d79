"""The page that finds texts which name somebody, and erases those that are ticked, with a reason."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse

from audit import erasure
from registry.access import permissions
from registry.access.models import Text
from registry.access.receipts import receipt_of_act
from registry.admin.site import caller_of, site
from registry.errors import Invalid, Problem
from registry.events import Caller

SHOWN = 200


def texts_view(request: HttpRequest) -> HttpResponseBase:
    """GET looks for words; POST erases what is ticked."""
    caller = caller_of(request)
    if not permissions.may(caller.actor_id, "text.erase", None):
        raise PermissionDenied("Only administrators and compliance officers of the whole instance erase texts.")
    words = (request.POST or request.GET).get("holding", "")
    problem: Problem | None = None
    found: list[Text] = []
    try:
        if request.method == "POST":
            _erase(request, caller)
            return redirect(reverse("admin:texts"))
    except Problem as refused:
        problem = refused
    try:
        found = erasure.holding(caller, words) if words else []
    except Problem as refused:
        problem = problem or refused
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": "Texts that name somebody",
        "words": words,
        "found": found[:SHOWN],
        "found_count": len(found),
        "ticked": request.POST.getlist("text"),
        "reason": request.POST.get("reason", ""),
        "problem": problem,
    }
    return TemplateResponse(request, "admin/registry/texts.html", context, status=problem.status if problem else 200)


def _erase(request: HttpRequest, caller: Caller) -> None:
    texts = erasure.named(caller, request.POST.getlist("text"))
    if not texts:
        raise Invalid("No text is ticked.", hint="Tick those that go.")
    with receipt_of_act(request) as told:
        done = erasure.erase(actor=caller, texts=texts, reason=request.POST.get("reason", ""))
    messages.success(request, told.with_receipt(f"{done.count} texts are erased; every proof still verifies."))


def register_erasing() -> None:
    """Mount the page beside the tables; called once by the menu."""
    page = path("texts/", site.admin_view(texts_view), name="texts")
    if page.name not in {known.name for known in site.own_pages}:
        site.own_pages.append(page)

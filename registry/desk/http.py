"""How the desk speaks HTML: pages that only read, and acts that call one service and then lead back to a page.

Rules:
- a page reads through queries and opens no transaction; who may see it is decided there, and what is not visible is 404;
- an act is a POST with CSRF token, calls one service, and redirects, with the receipt of the act beside what is said about it; a
  refusal shows the page again with the problem and its hint;
- nothing of what went wrong inside is shown.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views import View

from registry.access.http import caller_of
from registry.access.receipts import receipt_of_act
from registry.errors import Conflict, NotFound, Problem
from registry.events import Caller

logger = logging.getLogger(__name__)
Context = dict[str, Any]


class Page(LoginRequiredMixin, View):
    """A read: `context` gives what the template shows."""

    template: ClassVar[str]
    section: ClassVar[str] = ""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Refusals become pages: what is not visible is 404, the rest says why and what to do."""
        try:
            return super().dispatch(request, *args, **kwargs)
        except NotFound as missing:
            raise Http404(missing.detail) from missing
        except Problem as problem:
            return render(request, "desk/refused.html", {"problem": problem}, status=problem.status)

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return self.show(request, **kwargs)

    def show(self, request: HttpRequest, *, problem: Problem | None = None, **kwargs: Any) -> HttpResponse:
        """The page, with a problem above it when an act was refused."""
        context = self.context(caller_of(request, "page"), request.GET, **kwargs)
        status = problem.status if problem else 200
        return render(request, self.template, {"section": self.section, "problem": problem, **context}, status=status)

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        raise NotImplementedError


class Act(Page):
    """A write: `perform` calls one service and answers where to go and what to say. A refusal shows `page` again."""

    page: ClassVar[type[Page]]
    form_class: ClassVar[type[forms.Form]] = forms.Form
    http_method_names = ["post"]

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        form = self.form(caller_of(request, "page"), request.POST, **kwargs)
        if not form.is_valid():
            return self.refused(request, form, _unusable(form), **kwargs)
        try:
            with receipt_of_act(request) as told:
                target, said = self.perform(caller_of(request, "page"), form.cleaned_data, **kwargs)
        except NotFound:
            raise
        except Problem as problem:
            return self.refused(request, form, problem, **kwargs)
        except IntegrityError as error:
            logger.warning("the database refused a write: %s", error)
            refused = Conflict("The database refused this: it would break a rule of the registry.", code="refused")
            return self.refused(request, form, refused, **kwargs)
        messages.success(request, told.with_receipt(said))
        return redirect(target)

    def form(self, caller: Caller, data: Mapping[str, str] | None, **kwargs: Any) -> forms.Form:
        """The form, with choices that this caller has."""
        return self.form_class(data)

    def refused(self, request: HttpRequest, form: forms.Form, problem: Problem, **kwargs: Any) -> HttpResponse:
        """The page that the act belongs to, with the problem above it."""
        shown = self.page()
        shown.setup(request, **kwargs)
        return shown.show(request, problem=problem, **kwargs)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        raise NotImplementedError


class FormPage(Act):
    """An act with a page of its own: GET shows the form, a refused POST shows it again with what was typed."""

    http_method_names = ["get", "post"]

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        form = self.form(caller_of(request, "page"), None, **kwargs)
        return self.show(request, form=form, **kwargs)

    def show(
        self, request: HttpRequest, *, problem: Problem | None = None, form: forms.Form | None = None, **kwargs: Any
    ) -> HttpResponse:
        """The form beside what it is about."""
        context = self.context(caller_of(request, "page"), request.GET, **kwargs)
        status = problem.status if problem else 200
        shown = {"section": self.section, "problem": problem, "form": form, **context}
        return render(request, self.template, shown, status=status)

    def refused(self, request: HttpRequest, form: forms.Form, problem: Problem, **kwargs: Any) -> HttpResponse:
        return self.show(request, problem=problem if form.is_valid() else None, form=form, **kwargs)


def _unusable(form: forms.Form) -> Problem:
    """What a form says about its fields, as one problem."""
    named = "; ".join(f"{name}: {' '.join(str(e) for e in errors)}" for name, errors in form.errors.items())
    problem = Problem(named, hint="Correct the fields that are named and send the form again.", code="invalid")
    problem.status = 422
    return problem

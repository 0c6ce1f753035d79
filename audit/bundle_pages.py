"""Pages of bundles: everything that was issued, one bundle with how to check it, and the acts that issue one."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse

from audit import bundles, downloads, notes, queries, scopes, services
from audit.models import Bundle, Key
from audit.pages import AuditPage
from registry import storage
from registry.access import permissions
from registry.access.receipts import Told, receipt_of_act
from registry.catalog import queries as catalog
from registry.catalog.models import RegisteredModel
from registry.errors import Invalid

_SHOWN = 50
_CHECKPOINT_LIMIT_BYTES = 64 * 1024


@dataclass(frozen=True)
class BundleView:
    """An issued bundle with what it is about, in words and as a link."""

    row: Bundle
    about: str
    href: str | None


def views_of(rows: Iterable[Bundle]) -> list[BundleView]:
    """The bundles with the names of their models, in one query."""
    rows = list(rows)
    keys = {uuid.UUID(row.subject.partition(":")[2]) for row in rows if row.subject != scopes.INSTANCE}
    models = {f"model:{m.pk}": m for m in RegisteredModel.objects.select_related("team").filter(pk__in=keys)}
    return [_view(row, models.get(row.subject)) for row in rows]


def _view(row: Bundle, model: RegisteredModel | None) -> BundleView:
    if model is None:
        return BundleView(row, "the whole installation", None)
    where = [model.team.slug, model.slug]
    if row.version is None:
        return BundleView(row, str(model), reverse("desk:model", args=where))
    number = row.version.number
    return BundleView(row, f"{model}@{number}", reverse("desk:version", args=[*where, number]))


class Bundles(AuditPage):
    """Every bundle that the reader may see, and where who may issues one of the whole installation."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        rows = queries.readable_bundles(self.caller())
        context = {
            "bundles": views_of(rows[:_SHOWN]),
            "may_issue": permissions.may(self.caller().actor_id, "bundle.issue", None),
            "more": rows.count() - _SHOWN,
            "section": "bundles",
        }
        return render(request, "audit/bundles.html", context)


class BundlePage(AuditPage):
    """One bundle: what it holds, whether it can be had, and how a stranger checks it."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        row = queries.get_bundle(self.caller(), kwargs["bundle"])
        scope = scopes.sealed(row)
        kinds = Counter(stream.partition(":")[0] for stream in scope.ends)
        context = {
            "entries": sum(scope.ends.values()),
            "key_line": _key_line(),
            "kinds": sorted(kinds.items()),
            "now": bundles.readiness(row),
            "scope": scope,
            "section": "bundles",
            "since": _known_size(row),
            "streams": sorted(scope.ends.items()),
            "view": views_of([row])[0],
        }
        return render(request, "audit/bundle.html", context)


def _key_line() -> str:
    """The log key in force, as it is handed out; the private half is the keeper's alone."""
    row = Key.objects.filter(use=Key.Use.LOG).order_by("-first_position").first()
    return row.key_line if row else ""


def _known_size(row: Bundle) -> int | None:
    """The size of the checkpoint that the recipient held when the bundle was issued."""
    for ref in queries.event_of(row)["refs"]:
        if ref["name"] == "checkpoint":
            return notes.parse_checkpoint_body(notes.parse_note(storage.read_bytes(ref["digest"])).text).size
    return None


class BundleState(AuditPage):
    """Whether a bundle can be had, for a page that waits."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        now = bundles.readiness(queries.get_bundle(self.caller(), kwargs["bundle"]))
        return JsonResponse({"finished": now.state != bundles.PENDING, "state": now.state})


class DownloadBundle(AuditPage):
    """The bundle as a zip."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        return downloads.bundle_file(queries.get_bundle(self.caller(), kwargs["bundle"]))


class IssueForm(forms.Form):
    """A checkpoint that the recipient holds, and the version that the bundle is about; either may be left out."""

    checkpoint = forms.FileField(required=False)
    version = forms.IntegerField(required=False, min_value=1)


class IssueBundle(AuditPage):
    """Issue a bundle about a model or one version of it."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        model, form = self.model(), _form(request)
        number = form.cleaned_data["version"]
        version = catalog.get_version(self.caller(), f"{model}@{number}") if number else None
        with receipt_of_act(request) as told:
            row = services.issue_bundle(
                actor=self.caller(), model=model, version=version, checkpoint=_note(form)
            )  # fmt: skip
        return _issued(request, row, told)


class IssueInstanceBundle(AuditPage):
    """Issue a bundle of the whole installation."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        checkpoint = _note(_form(request))
        with receipt_of_act(request) as told:
            row = services.issue_bundle(actor=self.caller(), model=None, checkpoint=checkpoint)
        return _issued(request, row, told)


def _form(request: HttpRequest) -> IssueForm:
    form = IssueForm(request.POST, request.FILES)
    if not form.is_valid():
        named = "; ".join(f"{name}: {' '.join(map(str, errors))}" for name, errors in form.errors.items())
        raise Invalid(named, hint="Correct the fields that are named and send the form again.")
    return form


def _note(form: IssueForm) -> bytes | None:
    """The bytes of the checkpoint that was handed in with the form."""
    file: UploadedFile[bytes] | None = form.cleaned_data["checkpoint"]
    if file is None:
        return None
    if (file.size or 0) > _CHECKPOINT_LIMIT_BYTES:
        raise Invalid(
            "That is no checkpoint: it is too long.", hint="Give the file with the note as it was given to you."
        )
    return bytes(file.read())


def _issued(request: HttpRequest, row: Bundle, told: Told) -> HttpResponse:
    messages.success(request, told.with_receipt("The bundle is issued and sealed in the ledger."))
    return redirect("audit:bundle", bundle=row.pk)

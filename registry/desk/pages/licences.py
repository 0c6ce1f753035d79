"""Pages about licences: what waits for a ruling, one licence with its terms and where they come from, rulings and corrections.

Licences belong to the instance: whoever may sign in reads them. What depends on one is counted over all teams and named to readers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.urls import reverse

from registry.access import permissions
from registry.access.queries_responsibility import is_own
from registry.catalog import queries as catalog
from registry.catalog.affected import affected_by_ruling
from registry.catalog.models import Completeness
from registry.catalog.plain_answers import TERM_NAMES
from registry.catalog.services_corrections import correct_version
from registry.desk.addresses import reference, version_url
from registry.desk.forms import ReasonField
from registry.desk.http import Act, Context, FormPage, Page
from registry.desk.kept import allowed
from registry.errors import NotFound
from registry.events import Caller
from registry.provenance import licences, queries, services_licences
from registry.provenance.licences import ANSWERS, TERMS, TermDocument
from registry.provenance.models import Document, Licence, LicenceRuling
from registry.provenance.rulings_api import ruling_state
from registry.provenance.services import require_uploader, store_upload
from registry.provenance.services_documents import attach_document, require_for
from registry.release.recall_reach import live_moves
from registry.release.terms_api import reach_body
from registry.release.terms_queue import waiting_licences

SHOWN = 50


def find_licence(key: Any) -> Licence:
    """A licence by id."""
    found = Licence.objects.select_related("created_by").filter(pk=key).first()
    if found is None:
        raise NotFound("There is no such licence.", hint="The list of licences leads to each.")
    return found


class Licences(Page):
    """What waits for a ruling, then every licence that is registered."""

    template = "provenance/licences.html"
    section = "licences"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        rows = list(Licence.objects.filter(ended_at=None).order_by("expression", "-number"))
        newest: dict[str, Licence] = {}
        for row in rows:
            newest.setdefault(row.expression, row)
        terms = queries.terms_in_force(row.pk for row in newest.values())
        return {
            "waiting": [(item, [TERM_NAMES[term] for term in item.unknown]) for item in waiting_licences(caller)],
            "licences": [(row, terms[row.pk]["answers"]) for row in newest.values()],
            "drafts": [row for row in _rulings() if ruling_state(row) == "waiting"],
        }


def _rulings() -> Any:
    rows = LicenceRuling.objects.select_related("licence", "reason", "document", "authored_by", "approved_by")
    return rows.order_by("-pk")


class LicencePage(Page):
    """One licence: its terms, where each comes from, its text and documents, the rulings on it."""

    template = "provenance/licence.html"
    section = "licences"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        licence = find_licence(kwargs["licence"])
        terms = queries.terms_in_force([licence.pk])[licence.pk]
        same = queries.same_licence(licence)
        entry = licences.pack().entries.get(licence.expression)
        registered = licence.terms["answers"]
        return {
            "licence": licence,
            "terms": [
                (TERM_NAMES[term], terms["answers"][term], terms["answers"][term] != registered[term]) for term in TERMS
            ],
            "notes": terms["notes"],
            "source": entry.source if entry else "",
            "is_category": licences.is_category(licence.expression),
            "documents": Document.objects.filter(about__in=same.values("pk")).select_related("title", "created_by"),
            "rulings": [(row, ruling_state(row)) for row in _rulings().filter(licence__in=same)],
            "others": Licence.objects.filter(expression=licence.expression).exclude(pk=licence.pk).order_by("number"),
            "may_author": allowed(caller, "ruling.author", services_licences.subject_of(licence)),
            "attach": _attach_url(caller, licence),
        }


def _attach_url(caller: Caller, licence: Licence) -> str:
    """Where a text or an opinion is attached; of an earlier number nowhere, since a name leads to the newest."""
    subject = services_licences.subject_of(licence)
    newest = queries.licence_in_force(licence.expression)
    if newest is None or newest.pk != licence.pk or not allowed(caller, "document.attach", subject):
        return ""
    return f"{reverse('desk:attach-document')}?{urlencode({'about': subject.reference})}"


class RulingForm(forms.Form):
    """An answer and a sentence for each term that was found, the document that proves it, and why."""

    def __init__(self, licence: Licence, *given: Any) -> None:
        super().__init__(*given)
        terms = queries.terms_in_force([licence.pk])[licence.pk]["answers"]
        for term in TERMS:
            now = terms[term]
            choices = [("", f"leave as it is ({now['answer']})"), *((word, word) for word in ANSWERS)]
            self.fields[f"{term}_answer"] = forms.ChoiceField(
                label=TERM_NAMES[term], choices=choices, required=False, help_text=now["sentence"]
            )
            self.fields[f"{term}_sentence"] = forms.CharField(
                label=f"{TERM_NAMES[term]}, in one sentence", required=False,
                max_length=services_licences.MAX_SENTENCE_CHARACTERS,
            )  # fmt: skip
        attached = Document.objects.filter(about__in=queries.same_licence(licence).values("pk")).order_by("-pk")
        self.fields["document"] = forms.ChoiceField(
            label="Document that it rests on", required=False,
            choices=[("", "the file below"), *((str(d.pk), f"{d.kind} {d.digest[7:19]}") for d in attached)],
        )  # fmt: skip
        self.fields["file"] = forms.FileField(
            label="Or a file, attached now as legal opinion", required=False, help_text="Downloaded, never shown here."
        )
        self.fields["reason"] = ReasonField(label="How you came to these answers")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not cleaned.get("document") and not cleaned.get("file"):
            self.add_error("document", "Choose a document, or give a file: a ruling rests on one.")
        return cleaned

    def answers(self) -> dict[str, TermDocument]:
        """The terms that were answered."""
        return {
            term: TermDocument(
                answer=self.cleaned_data[f"{term}_answer"], sentence=self.cleaned_data[f"{term}_sentence"]
            )
            for term in TERMS
            if self.cleaned_data[f"{term}_answer"]
        }


class AuthorRuling(FormPage):
    """What a named person found in the text; it counts once somebody else approved it."""

    template = "provenance/author_ruling.html"
    section = "licences"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        licence = find_licence(kwargs["licence"])
        require_for(caller, "ruling.author", services_licences.subject_of(licence))
        return {"licence": licence}

    def form(self, caller: Caller, data: Mapping[str, str] | None, **kwargs: Any) -> forms.Form:
        files = None if data is None else self.request.FILES
        self.ruling_form = RulingForm(find_licence(kwargs["licence"]), data, files)
        return self.ruling_form

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        licence = find_licence(kwargs["licence"])
        require_for(caller, "ruling.author", services_licences.subject_of(licence))
        answers = self.ruling_form.answers()
        services_licences.check_answers(answers)
        document = _attached(caller, licence, data)
        ruling = services_licences.author_ruling(
            actor=caller, licence=licence, answers=answers, reason=data["reason"], document=document
        )
        return reverse("desk:ruling", args=[ruling.pk]), "The ruling waits for somebody else's approval."


def _attached(caller: Caller, licence: Licence, data: Mapping[str, Any]) -> Document:
    if data["document"]:
        return Document.objects.get(pk=data["document"])
    require_uploader(caller)
    file: UploadedFile[bytes] = data["file"]
    stored = store_upload(actor=caller, chunks=file.chunks())
    subject = services_licences.subject_of(licence)
    same = Document.objects.filter(about=subject.about, kind="legal-opinion", digest=stored.digest).first()
    return same or attach_document(actor=caller, subject=subject, kind="legal-opinion", digest=stored.digest)


class RulingPage(Page):
    """One ruling: its answers beside what stands now, whose terms it changes, and the decision."""

    template = "provenance/ruling.html"
    section = "licences"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        ruling = queries.get_ruling(kwargs["ruling"])
        state = ruling_state(ruling)
        registered = queries.terms_in_force([ruling.licence_id])[ruling.licence_id]["answers"]
        own = is_own(caller.actor_id, ruling.authored_by_id)
        may_approve = permissions.may(caller.actor_id, "ruling.approve", None)
        return {
            "ruling": ruling,
            "state": state,
            "terms": [(TERM_NAMES[t], registered[t], ruling.terms["answers"][t]) for t in TERMS],
            "reach": _named(reach_body(caller, affected_by_ruling(ruling))) if state == "waiting" else None,
            "may_approve": may_approve and not own and state == "waiting",
            "may_end": (state == "waiting" and (may_approve or ruling.authored_by_id == caller.actor_id))
            or (state == "in-force" and may_approve and not own),
            "own": own,
        }


def _named(reach: dict[str, Any]) -> dict[str, Any]:
    """A reach with terms as people call them."""
    shown = [
        {**item, "changes": [{**change, "term": TERM_NAMES[change["term"]]} for change in item["changes"]]}
        for item in reach["shown"][:SHOWN]
    ]
    return {**reach, "terms": [(TERM_NAMES[term], count) for term, count in reach["terms"].items()], "shown": shown}


class ApproveRuling(Act):
    """Puts a ruling in force, for every team."""

    page = RulingPage

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        ruling = services_licences.approve_ruling(actor=caller, ruling=queries.get_ruling(kwargs["ruling"]))
        return reverse("desk:ruling", args=[ruling.pk]), "The ruling is in force, for every team."


class EndRuling(Act):
    """Takes a ruling out of force, or back before anybody approved it."""

    page = RulingPage

    class form_class(forms.Form):  # noqa: N801  the name that Act reads
        reason = ReasonField()

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        ruling = queries.get_ruling(kwargs["ruling"])
        services_licences.end_ruling(actor=caller, ruling=ruling, reason=data["reason"])
        return reverse("desk:ruling", args=[ruling.pk]), "The ruling counts no longer; what it said stays on record."


class CorrectionForm(forms.Form):
    """What it should read, and why."""

    licence = forms.CharField(
        label="Licence", required=False, max_length=licences.MAX_EXPRESSION_CHARACTERS,
        help_text="An SPDX expression or a registered LicenseRef; left empty, the licence stays.",
    )  # fmt: skip
    training_data = forms.ChoiceField(
        label="What is known about the training data", required=False,
        choices=[("", "leave as it is"), *Completeness.choices],
    )  # fmt: skip
    reason = ReasonField(label="What was registered wrongly, and how you know")


class CorrectVersion(FormPage):
    """Says anew what was registered about a version; the old words stay on record."""

    template = "catalog/correct_version.html"
    section = "models"
    form_class = CorrectionForm

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        version = catalog.get_version(caller, reference(kwargs))
        return {
            "version": version,
            "model": version.model,
            "stated": catalog.stated_in(version),
            "corrections": version.corrections.select_related("licence", "reason", "corrected_by").order_by("-number"),
            "live": live_moves([version.pk]),
        }

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        version = catalog.get_version(caller, reference(kwargs))
        permissions.require(caller, "version.correct", version.model.team_id)
        licence = None
        if data["licence"]:
            licence = services_licences.register_licence(
                actor=caller, team=version.model.team, expression=data["licence"]
            )
        row = correct_version(
            actor=caller, version=version, licence=licence, training_data=data["training_data"] or None,
            reason=data["reason"],
        )  # fmt: skip
        return version_url(kwargs) + "#origins", f"Correction {row.number} counts from now on; the old words stay."

"""Pages for what is kept about a record: attach a file as proof, sign a review, place and end a hold, ask for and confirm a purge.

Each is about one record, named in the address as `?about=version:team/model@3`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse

from registry.access import permissions
from registry.access.http import caller_of
from registry.access.queries_responsibility import is_own
from registry.desk.forms import ReasonField
from registry.desk.http import Act, Context, FormPage, Page
from registry.desk.kept import allowed, subject_url
from registry.errors import Invalid
from registry.events import Caller
from registry.oversight import queries_proofs as proofs
from registry.oversight.document_api import send_document
from registry.oversight.services_proofs import REVIEW_KINDS, end_hold, place_hold, sign_review
from registry.oversight.subjects import find_subject, subject_of
from registry.provenance import documents
from registry.provenance.services import require_uploader, store_upload
from registry.provenance.services_documents import attach_document, require_for
from registry.provenance.subjects import Subject
from registry.release import purging
from registry.release.purge_api import state_of
from registry.release.services.purges import confirm_purge, referred_by_ledger, request_purge, withdraw_purge


class AboutPage(FormPage):
    """A form about the record that the address names."""

    template = "provenance/keeping.html"
    title = ""
    lead = ""
    button = ""
    grave = False

    def subject(self, caller: Caller) -> Subject:
        return find_subject(caller, self.request.GET.get("about", ""))

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        subject = self.subject(caller)
        shown = {"title": self.title, "lead": self.lead, "button": self.button, "grave": self.grave}
        return {**shown, "subject": subject, "back": subject_url(subject)}


def _choices(words: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(word, word.replace("-", " ")) for word in words]


class AttachForm(forms.Form):
    """A file, what kind of proof it is, and what to call it."""

    file = forms.FileField(
        label="File", help_text=f"At most {documents.MAX_BYTES // 2**20} MiB. Downloaded, never shown here."
    )
    kind = forms.ChoiceField(label="Kind", choices=_choices(documents.KINDS))
    title = forms.CharField(label="Title", max_length=200, required=False)


class AttachDocument(AboutPage):
    """Keeps a file as proof beside a record."""

    title, button = "Attach a document to", "Attach the document"
    lead = "The file is bound by its digest and stays as it is. Readers who may download get it as an attachment."

    def form(self, caller: Caller, data: Mapping[str, str] | None, **kwargs: Any) -> forms.Form:
        return AttachForm(data, None if data is None else self.request.FILES)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        subject = self.subject(caller)
        require_for(caller, "document.attach", subject)
        require_uploader(caller)
        file: UploadedFile[bytes] = data["file"]
        if file.size is None or file.size > documents.MAX_BYTES:
            raise Invalid(
                f"The file has {file.size} bytes.", hint=f"A document has at most {documents.MAX_BYTES} bytes."
            )
        stored = store_upload(actor=caller, chunks=file.chunks())
        row = attach_document(
            actor=caller, subject=subject, kind=data["kind"], digest=stored.digest, title=data["title"]
        )
        return subject_url(subject), f"Attached as {row.kind} ({row.media_type})."


class DownloadDocument(Page):
    """The bytes of a document, as an attachment."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        caller = caller_of(request, "page")
        answer: HttpResponseBase = send_document(caller, proofs.get_document(caller, kwargs["document"]))
        return answer  # type: ignore[return-value]


class ReviewForm(forms.Form):
    """What somebody looked at and found, and when to look again."""

    kind = forms.ChoiceField(label="Kind", choices=_choices(REVIEW_KINDS))
    accepted = forms.ChoiceField(
        label="May it be used as it is?", choices=[("yes", "Yes"), ("no", "No")], widget=forms.RadioSelect
    )
    statement = forms.CharField(
        label="What you looked at and found", max_length=4000, widget=forms.Textarea(attrs={"rows": 4})
    )
    next_on = forms.DateField(
        label="Next review on", required=False, widget=forms.DateInput(attrs={"type": "date"}),
        help_text="After that day it counts no more, until somebody reviews it again.",
    )  # fmt: skip


class SignReview(AboutPage):
    """Signs a review of one state of data or of a model."""

    title, button, form_class = "Review", "Sign the review", ReviewForm
    lead = (
        "It stands under your name and role, for exactly this state. A later review of the same kind takes its place."
    )

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        subject = self.subject(caller)
        given = {**data, "accepted": data["accepted"] == "yes"}
        row = sign_review(actor=caller, subject=subject, **given)
        return subject_url(subject), f"Your {row.kind} review is signed."


class ReasonForm(forms.Form):
    """Why."""

    reason = ReasonField()


class PlaceHold(AboutPage):
    """Places a legal hold."""

    title, button, form_class = "Place a legal hold on", "Place the hold", ReasonForm
    lead = "While it stands, nothing that it names is purged or erased."

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        subject = self.subject(caller)
        place_hold(actor=caller, subject=subject, reason=data["reason"])
        return subject_url(subject), f"A legal hold stands on {subject.name}."


class EndHold(AboutPage):
    """Ends a legal hold."""

    title, button, form_class = "End the legal hold on", "End the hold", ReasonForm
    lead = "That it was held, by whom and until when stays on record."

    def subject(self, caller: Caller) -> Subject:
        row = proofs.get_hold(caller, self.kwargs["hold"])
        return subject_of(row.stream, row.about)

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        row = proofs.get_hold(caller, kwargs["hold"])
        end_hold(actor=caller, hold=row, reason=data["reason"])
        return subject_url(self.subject(caller)), f"The hold on {row.subject} has ended."


class RequestPurge(AboutPage):
    """Asks that bytes go for good."""

    title, button, grave, form_class = "Purge the bytes of", "Ask for the purge", True, ReasonForm
    lead = "Nothing goes before somebody else confirms it. Then the bytes are gone for good; digest, facts and history stay."

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        row = request_purge(actor=caller, subject=self.subject(caller), reason=data["reason"])
        return reverse("desk:purge", args=[row.pk]), "Asked for. Somebody else has to confirm it."


class PurgePage(Page):
    """One purge: what would go, who asked and why, and the second person's answer."""

    template = "provenance/purge.html"

    def context(self, caller: Caller, query: Mapping[str, str], **kwargs: Any) -> Context:
        row = purging.get_purge(caller, kwargs["purge"])
        subject = purging.subject_of_purge(row)
        waits = row.confirmed_at is None and row.withdrawn_at is None
        return {
            "purge": row,
            "subject": subject,
            "back": subject_url(subject),
            "state": state_of(row),
            "going": purging.going(subject, referred_by_ledger(row)) if waits else None,
            "may_confirm": waits
            and not is_own(caller.actor_id, row.requested_by_id)
            and permissions.may(caller.actor_id, "purge.confirm", subject.team_id),
            "may_withdraw": waits and allowed(caller, "purge.request", subject),
        }


class ConfirmPurge(Act):
    """The second person: the bytes go now."""

    page = PurgePage

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        row = confirm_purge(actor=caller, purge=purging.get_purge(caller, kwargs["purge"]))
        return reverse("desk:purge", args=[row.pk]), f"The bytes of {row.subject} are gone; digest and facts stay."


class WithdrawPurge(Act):
    """The bytes stay after all."""

    page = PurgePage

    def perform(self, caller: Caller, data: Mapping[str, Any], **kwargs: Any) -> tuple[str, str]:
        row = withdraw_purge(actor=caller, purge=purging.get_purge(caller, kwargs["purge"]))
        return reverse("desk:purge", args=[row.pk]), f"The bytes of {row.subject} stay."

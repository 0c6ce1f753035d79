"""The page that checks a bundle: whoever was handed one, by whichever installation, sees the verifier's four answers in words.

Rules:
- the same verifier answers as offline, over the uploaded file; nothing of the upload is kept;
- only what the reader gives counts as known from outside; what this installation knows is added only when asked for, and said;
- the page convinces nobody who does not trust this installation, and says so;
- what was given wrongly is named by its field, and the form comes back with what was typed.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from audit import offline_verify, queries
from audit.models import Checkpoint, Key
from audit.pages import AuditPage
from registry.digests import canonical
from registry.errors import Invalid

BUNDLE_LIMIT_BYTES = 256 * 1024 * 1024
_SMALL_LIMIT_BYTES = 1024 * 1024
_LABELS = {
    "--key": "Key lines that you know",
    "--checkpoint": "Checkpoint that you kept",
    "--witness": "Key lines of witnesses",
    "--proof": "Consistency proof",
    "--receipt": "Receipt",
}
_OPTION = re.compile(rf"({'|'.join(_LABELS)})\b(?: FILE| \d+)?")


class CheckForm(forms.Form):
    """The bundle, and what its recipient knows from elsewhere."""

    bundle = forms.FileField()
    keys = forms.CharField(required=False, max_length=4000)
    witnesses = forms.CharField(required=False, max_length=4000)
    checkpoint = forms.FileField(required=False)
    proof = forms.FileField(required=False)
    receipt = forms.FileField(required=False)
    ours = forms.BooleanField(required=False)


@dataclass(frozen=True)
class Known:
    """What the verifier is given beside the bundle."""

    keys: Sequence[str] = ()
    witnesses: Sequence[str] = ()
    checkpoint: bytes | None = None
    proof: bytes | None = None
    receipts: Sequence[bytes] = field(default_factory=tuple)

    def judge(self, path: str) -> offline_verify.Verdict:
        """The verdict; Invalid when what was given cannot be read."""
        try:
            return offline_verify.verify_bundle(
                path, keys=self.keys, witnesses=self.witnesses, checkpoint=self.checkpoint, proof=self.proof,
                receipts=self.receipts,
            )  # fmt: skip
        except offline_verify.WrongCall as error:
            option, _, what = str(error).partition(": ")
            raise Invalid(
                f"{_LABELS.get(option.split()[0], 'Bundle' if option == path else option)}: {what}.",
                hint="Correct what you gave; nothing was judged.",
            ) from None


def in_words_of_the_page(sentence: str) -> str:
    """A reason or note of the verifier, with its options called as the fields of the form are."""
    return _OPTION.sub(lambda found: f"“{_LABELS[found[1]]}”", sentence)


class CheckBundle(AuditPage):
    """A form, and the answers about what was uploaded with it."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return render(request, "audit/check.html", {"section": "bundles"})

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        try:
            return render(request, "audit/check.html", self._judged(request))
        except Invalid as problem:
            given = {name: request.POST.get(name, "") for name in ("keys", "witnesses", "ours")}
            context = {"section": "bundles", "problem": problem, "given": given}
            return render(request, "audit/check.html", context, status=problem.status)

    def _judged(self, request: HttpRequest) -> dict[str, Any]:
        form = CheckForm(request.POST, request.FILES)
        if not form.is_valid():
            raise Invalid("No bundle was given.", hint="Choose the zip file of a bundle and send the form again.")
        given = form.cleaned_data
        with tempfile.NamedTemporaryFile(prefix="pressmark-check-") as copy:
            for chunk in _within(given["bundle"], BUNDLE_LIMIT_BYTES).chunks():
                copy.write(chunk)
            copy.flush()
            known = _known(given)
            verdict = known.judge(copy.name)
            if given["ours"] and verdict.tree_size:
                verdict = _with_ours(known, verdict.tree_size).judge(copy.name)
        answers = [
            {"name": a.name, "reasons": [in_words_of_the_page(reason) for reason in a.reasons], "result": a.result}
            for a in verdict.answers.values()
        ]
        notes = [in_words_of_the_page(note) for note in verdict.notes]
        return {
            "answers": answers, "name": given["bundle"].name, "notes": notes, "ours": given["ours"],
            "section": "bundles", "verdict": verdict,
        }  # fmt: skip


def _known(given: dict[str, Any]) -> Known:
    receipt = _bytes(given["receipt"])
    return Known(
        keys=_lines(given["keys"]), witnesses=_lines(given["witnesses"]), checkpoint=_bytes(given["checkpoint"]),
        proof=_bytes(given["proof"]), receipts=() if receipt is None else (receipt,),
    )  # fmt: skip


def _with_ours(known: Known, tree_size: int) -> Known:
    """The same with the keys of this installation and its newest checkpoint, and the proof that leads to it."""
    keys = [*known.keys, *Key.objects.filter(revoked_at=None).values_list("key_line", flat=True)]
    newest = Checkpoint.objects.order_by("-size").first()
    if known.checkpoint is not None or newest is None:
        return Known(keys, known.witnesses, known.checkpoint, known.proof, known.receipts)
    proof = None
    if tree_size < newest.size:
        proof = canonical(queries.consistency_proof(tree_size, newest.size))
    return Known(keys, known.witnesses, newest.note.encode(), proof, known.receipts)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _bytes(file: UploadedFile[bytes] | None) -> bytes | None:
    return None if file is None else bytes(_within(file, _SMALL_LIMIT_BYTES).read())


def _within(file: UploadedFile[bytes], limit_bytes: int) -> UploadedFile[bytes]:
    if (file.size or 0) > limit_bytes:
        raise Invalid(
            f"{file.name} has {file.size} bytes; this page takes {limit_bytes}.",
            hint="Check it on your own machine: `pressmark verify`, or the verifier's one file.",
        )
    return file

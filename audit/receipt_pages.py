"""Pages of a receipt: what it says, the note to keep, and the folder that stands alone once a checkpoint is past it."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from audit import notes, queries, receipt_proofs
from audit.pages import AuditPage
from registry.access.receipts import kept_receipt
from registry.errors import NotFound, Problem

_ENTRIES_SHOWN = 10


class _ReceiptPage(AuditPage):
    """A receipt that this session got for an act of its own."""

    def note(self) -> bytes:
        found = kept_receipt(self.request, self.kwargs["first"])
        if found is None:
            raise NotFound("This session keeps no such receipt.", hint="The newest twenty are kept until you log out.")
        return found


class ReceiptPage(_ReceiptPage):
    """What the receipt covers, and both ways to take it along."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        note = self.note()
        refusal: Problem | None = None
        try:
            receipt_proofs.complete(self.caller(), note)
        except Problem as refused:
            refusal = refused
        receipt = notes.parse_receipt_body(notes.parse_note(note).text)
        context = {"acts": self.acts(receipt), "note": note.decode(), "receipt": receipt, "refusal": refusal}
        return render(request, "audit/receipt.html", context)

    def acts(self, receipt: notes.Receipt) -> list[tuple[int, str]]:
        """Position and kind of the entries that it is for, the first of them, as far as the reader may see them."""
        found = []
        for position in range(receipt.first, receipt.first + min(receipt.count, _ENTRIES_SHOWN)):
            with suppress(NotFound, ValueError, KeyError, TypeError):
                entry = queries.get_entry(self.caller(), position)
                found.append((position, str(queries.read_entry(entry)["event"]["kind"])))
        return found


class DownloadReceipt(_ReceiptPage):
    """The note, as the header `Pressmark-Receipt` carries it."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return _attachment(self.note(), "text/plain; charset=utf-8", f"pressmark-receipt-{kwargs['first']}.note")


class DownloadCompletedReceipt(_ReceiptPage):
    """The completed receipt as a zip: unpack it, and `pressmark receipt verify FOLDER` needs nothing else of ours."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        done = receipt_proofs.complete(self.caller(), self.note())
        name = f"pressmark-receipt-{done.receipt.first}"
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, data in sorted(done.files().items()):
                archive.writestr(zipfile.ZipInfo(f"{name}/{path}", (1980, 1, 1, 0, 0, 0)), data)
        return _attachment(packed.getvalue(), "application/zip", f"{name}.zip")


def _attachment(data: bytes, content_type: str, name: str) -> HttpResponse:
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return HttpResponse(data, content_type=content_type, headers=headers)

"""Pages of the ledger itself: looking through entries, and one entry with its bytes and its proof. Reading writes nothing."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from audit import queries
from audit.browsing import entries_found, entry_views
from audit.pages import AuditPage
from registry.errors import NotFound, Problem

_FIELDS = ("stream", "actor", "kind", "begin", "end")


class LedgerPage(AuditPage):
    """Entries by stream, actor, kind and period, newest first."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        asked = {name: request.GET.get(name, "").strip() for name in _FIELDS}
        context: dict[str, Any] = {"asked": asked, "section": "ledger"}
        try:
            search = entries_found.parse_search(self.caller(), request.GET)
            found = entries_found.browse(self.caller(), search, request.GET.get("before", ""))
        except Problem as problem:
            status = 422 if isinstance(problem, NotFound) else problem.status
            return render(request, "audit/ledger.html", context | {"problem": problem}, status=status)
        given = {name: value for name, value in asked.items() if value}
        context |= {
            "found": found,
            "following": None if found.following is None else urlencode(given | {"before": found.following}),
            "lines": entry_views.lines_of(self.caller(), found.entries),
            "narrowed": bool(given),
        }
        return render(request, "audit/ledger.html", context)


class EntryPage(AuditPage):
    """One entry: what it says, its bytes, its proof."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        row = queries.get_entry(self.caller(), kwargs["position"])
        context = {"section": "ledger", "view": entry_views.view_of(self.caller(), row)}
        return render(request, "audit/entry.html", context)


class DownloadEntry(AuditPage):
    """The exact bytes of an entry: what is hashed."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        row = queries.get_entry(self.caller(), kwargs["position"])
        return _attachment(bytes(row.entry), "application/json", f"{row.position}.json")


class DownloadProof(AuditPage):
    """The inclusion proof of an entry, as a `c2sp.org/tlog-proof@v1`."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        row = queries.get_entry(self.caller(), kwargs["position"])
        _, proof = queries.inclusion_proof(row.position)
        return _attachment(proof.text(), "text/plain; charset=utf-8", f"{row.position}.tlog-proof")


def _attachment(data: bytes, content_type: str, name: str) -> HttpResponse:
    headers = {
        "Cache-Control": "private, no-store",
        "Content-Disposition": f'attachment; filename="{name}"',
        "X-Content-Type-Options": "nosniff",
    }
    return HttpResponse(data, content_type=content_type, headers=headers)

"""The menu of the ledger's own pages, a part of this room's."""

from __future__ import annotations

from django.urls import URLPattern, path

from audit.browsing import api as doors
from audit.browsing import pages as views

api: list[URLPattern] = [path("ledger/entries", doors.ListEntries.as_view(), name="list-entries")]
pages: list[URLPattern] = [
    path("ledger/", views.LedgerPage.as_view(), name="ledger"),
    path("ledger/<int:position>/", views.EntryPage.as_view(), name="entry"),
    path("ledger/<int:position>/entry.json", views.DownloadEntry.as_view(), name="download-entry"),
    path("ledger/<int:position>/proof.tlog-proof", views.DownloadProof.as_view(), name="download-proof"),
]

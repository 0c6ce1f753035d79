"""The menu of this room."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from audit import admission_api, bundle_pages, check_pages, receipt_api, receipt_pages
from audit import api as doors
from audit import bundle_api as bundle_doors
from audit import erasure_api as erasure
from audit import pages as views
from audit.browsing import urls as ledger
from audit.history import urls as history

_MODEL = "teams/<str:team>/models/<str:model>"
_MODEL_PAGE = "models/<str:team>/<str:model>"

api: list[URLPattern] = [
    path(f"{_MODEL}/assessment", doors.PreviewAssessment.as_view(), name="preview-assessment"),
    path(f"{_MODEL}/assessments", doors.IssueAssessment.as_view(), name="issue-assessment"),
    path("assessments/<uuid:assessment_id>", doors.ShowAssessment.as_view(), name="show-assessment"),
    path("assessments/<uuid:assessment_id>/reports", doors.IssueReport.as_view(), name="issue-report"),
    path("reports/<uuid:report_id>", doors.ShowReport.as_view(), name="show-report"),
    path("reports/<uuid:report_id>/report.<str:extension>", doors.DownloadReport.as_view(), name="download-report"),
    path(f"{_MODEL}/bundles", bundle_doors.IssueBundle.as_view(), name="issue-bundle"),
    path("ledger/bundles", bundle_doors.IssueInstanceBundle.as_view(), name="issue-instance-bundle"),
    path("bundles/<uuid:bundle_id>", bundle_doors.ShowBundle.as_view(), name="show-bundle"),
    path("bundles/<uuid:bundle_id>/bundle.zip", bundle_doors.DownloadBundle.as_view(), name="download-bundle"),
    path("ledger/entries/<int:position>", doors.ShowEntry.as_view(), name="show-entry"),
    path("ledger/entries/<int:position>/proof", doors.ProveInclusion.as_view(), name="prove-inclusion"),
    path("ledger/consistency", doors.ProveConsistency.as_view(), name="prove-consistency"),
    path("ledger/checkpoint", doors.ShowCheckpoint.as_view(), name="show-checkpoint"),
    path("texts", erasure.ListErasableTexts.as_view(), name="list-erasable-texts"),
    path("texts/erase", erasure.EraseTexts.as_view(), name="erase-texts"),
    path("actors/<uuid:actor_id>/erase", erasure.EraseActor.as_view(), name="erase-actor"),
    path("admissions", admission_api.AskAdmission.as_view(), name="ask-admission"),
    path("ledger/receipt", receipt_api.CompleteReceipt.as_view(), name="complete-receipt"),
    *history.api,
    *ledger.api,
]

_PAGES: list[URLPattern] = [
    path(f"{_MODEL_PAGE}/assessment/", views.AssessmentPage.as_view(), name="assessment"),
    path(f"{_MODEL_PAGE}/assessment/issue/", views.IssueAssessment.as_view(), name="issue-assessment"),
    path(f"{_MODEL_PAGE}/bundles/issue/", bundle_pages.IssueBundle.as_view(), name="issue-bundle"),
    path("receipts/<int:first>/", receipt_pages.ReceiptPage.as_view(), name="receipt"),
    path("receipts/<int:first>/receipt.note", receipt_pages.DownloadReceipt.as_view(), name="download-receipt"),
    path(
        "receipts/<int:first>/receipt.zip",
        receipt_pages.DownloadCompletedReceipt.as_view(),
        name="download-completed-receipt",
    ),
    path("assessments/<uuid:assessment>/", views.IssuedAssessmentPage.as_view(), name="issued-assessment"),
    path("assessments/<uuid:assessment>/report/", views.IssueReport.as_view(), name="issue-report"),
    path("reports/<uuid:report>/report.<str:extension>", views.DownloadReport.as_view(), name="download-report"),
    path("bundles/", bundle_pages.Bundles.as_view(), name="bundles"),
    path("bundles/check/", check_pages.CheckBundle.as_view(), name="check-bundle"),
    path("bundles/issue/", bundle_pages.IssueInstanceBundle.as_view(), name="issue-instance-bundle"),
    path("bundles/<uuid:bundle>/", bundle_pages.BundlePage.as_view(), name="bundle"),
    path("bundles/<uuid:bundle>/state", bundle_pages.BundleState.as_view(), name="bundle-state"),
    path("bundles/<uuid:bundle>/bundle.zip", bundle_pages.DownloadBundle.as_view(), name="download-bundle"),
    *history.pages,
    *ledger.pages,
]
pages: list[URLPattern | URLResolver] = [path("", include((_PAGES, "audit")))]

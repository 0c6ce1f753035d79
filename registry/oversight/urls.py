"""The menu of this room."""

from __future__ import annotations

from django.urls import URLPattern, path

from registry.oversight import api as views
from registry.oversight import document_api, finding_api, proof_api, tier_api

_MODEL = "teams/<str:team>/models/<str:model>"

api: list[URLPattern] = [
    path("teams/<str:team>/use-cases", views.RegisterUseCase.as_view(), name="register-use-case"),
    path("teams/<str:team>/use-cases/<str:use_case>/tier", views.ChangeTier.as_view(), name="change-tier"),
    path(f"{_MODEL}/attestations", views.SignAttestation.as_view(), name="sign-attestation"),
    path(f"{_MODEL}/findings", views.OpenFinding.as_view(), name="open-finding"),
    path("documents", document_api.AttachDocument.as_view(), name="attach-document"),
    path("documents/<uuid:document>", document_api.ShowDocument.as_view(), name="document"),
    path("documents/<uuid:document>/content", document_api.DownloadDocument.as_view(), name="download-document"),
    path("reviews", proof_api.SignReview.as_view(), name="sign-review"),
    path("holds", proof_api.PlaceHold.as_view(), name="place-hold"),
    path("holds/<uuid:hold>/end", proof_api.EndHold.as_view(), name="end-hold"),
    path("attestations/<uuid:attestation_id>/end", views.EndAttestation.as_view(), name="end-attestation"),
    path("findings", finding_api.ListFindings.as_view(), name="list-findings"),
    path("findings/<uuid:finding_id>", finding_api.ShowFinding.as_view(), name="show-finding"),
    path("findings/<uuid:finding_id>/accept", finding_api.AcceptFinding.as_view(), name="accept-finding"),
    path("findings/<uuid:finding_id>/fix", finding_api.FixFinding.as_view(), name="fix-finding"),
    path("findings/<uuid:finding_id>/reopen", finding_api.ReopenFinding.as_view(), name="reopen-finding"),
    path("findings/<uuid:finding_id>/assign", finding_api.AssignFinding.as_view(), name="assign-finding"),
    path("tier-tables", tier_api.AuthorTierTable.as_view(), name="author-tier-table"),
    path("tier-tables/ready-made", tier_api.ReadyMadeTierTable.as_view(), name="ready-made-tier-table"),
    path("tier-tables/<int:number>", tier_api.ShowTierTable.as_view(), name="show-tier-table"),
    path("tier-tables/<int:number>/approve", tier_api.ApproveTierTable.as_view(), name="approve-tier-table"),
    path("teams/<str:team>/use-cases/<str:use_case>", tier_api.AnswerTierTable.as_view(), name="answer-tier-table"),
    path("findings/<uuid:finding_id>/close", views.CloseFinding.as_view(), name="close-finding"),
]
pages: list[URLPattern] = []

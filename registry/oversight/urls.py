"""The menu of this room."""

from __future__ import annotations

from django.urls import URLPattern, path

from registry.oversight import api as views

_MODEL = "teams/<str:team>/models/<str:model>"

api: list[URLPattern] = [
    path("teams/<str:team>/use-cases", views.RegisterUseCase.as_view(), name="register-use-case"),
    path("teams/<str:team>/use-cases/<str:use_case>/tier", views.ChangeTier.as_view(), name="change-tier"),
    path(f"{_MODEL}/attestations", views.SignAttestation.as_view(), name="sign-attestation"),
    path(f"{_MODEL}/findings", views.OpenFinding.as_view(), name="open-finding"),
    path("attestations/<uuid:attestation_id>/end", views.EndAttestation.as_view(), name="end-attestation"),
    path("findings/<uuid:finding_id>/close", views.CloseFinding.as_view(), name="close-finding"),
]
pages: list[URLPattern] = []

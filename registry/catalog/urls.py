"""The menu of this room."""

from __future__ import annotations

from django.urls import URLPattern, path

from registry.catalog import api as views
from registry.catalog.corrections_api import CorrectVersion
from registry.catalog.downloads import DownloadFile
from registry.catalog.target_api import RecordTargetMeasurement

_MODELS = "teams/<str:team>/models"
_MODEL = f"{_MODELS}/<str:model>"
_VERSION = f"{_MODEL}/versions/<int:number>"

api: list[URLPattern] = [
    path(_MODELS, views.RegisterModel.as_view(), name="register-model"),
    path(_MODEL, views.ShowModel.as_view(), name="model"),
    path(f"{_MODEL}/use-case", views.AssignUseCase.as_view(), name="assign-use-case"),
    path(f"{_MODEL}/versions", views.RegisterVersion.as_view(), name="register-version"),
    path(_VERSION, views.ShowVersion.as_view(), name="version"),
    path(f"{_VERSION}/evidence", views.AttachEvidence.as_view(), name="attach-evidence"),
    path(f"{_VERSION}/evidence/<str:digest>", views.ShowEvidence.as_view(), name="evidence-document"),
    path(f"{_VERSION}/target-measurements", RecordTargetMeasurement.as_view(), name="record-target-measurement"),
    path(f"{_VERSION}/corrections", CorrectVersion.as_view(), name="correct-version"),
    path(f"{_VERSION}/lineage", views.ShowLineage.as_view(), name="lineage"),
    path(f"{_VERSION}/effective-terms", views.ShowEffectiveTerms.as_view(), name="effective-terms"),
    path(f"{_VERSION}/files/<path:path>", DownloadFile.as_view(), name="download-file"),
]
pages: list[URLPattern] = []

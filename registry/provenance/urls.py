"""The menu of this room."""

from __future__ import annotations

from django.urls import URLPattern, path

from registry.provenance import api as views
from registry.provenance import croissant_api, dataset_api, rulings_api
from registry.provenance.dataset_corrections_api import CorrectDatasetVersion
from registry.provenance.dataset_files_api import DownloadDatasetFile

_TEAM = "teams/<str:team>"
_DATASET = f"{_TEAM}/datasets/<str:dataset>"

api: list[URLPattern] = [
    path("uploads", views.StoreUpload.as_view(), name="store-upload"),
    path("licences", views.Licences.as_view(), name="licences"),
    path("rulings", rulings_api.AuthorRuling.as_view(), name="author-ruling"),
    path("rulings/<uuid:ruling>/approve", rulings_api.ApproveRuling.as_view(), name="approve-ruling"),
    path("rulings/<uuid:ruling>/end", rulings_api.EndRuling.as_view(), name="end-ruling"),
    path(f"{_TEAM}/licences", views.RegisterLicence.as_view(), name="register-licence"),
    path(f"{_TEAM}/datasets", dataset_api.RegisterDataset.as_view(), name="register-dataset"),
    path(_DATASET, dataset_api.ShowDataset.as_view(), name="dataset"),
    path(f"{_DATASET}/versions", dataset_api.RegisterDatasetVersion.as_view(), name="register-dataset-version"),
    path(f"{_DATASET}/versions/<int:number>", dataset_api.ShowDatasetVersion.as_view(), name="dataset-version"),
    path(
        f"{_DATASET}/versions/<int:number>/corrections", CorrectDatasetVersion.as_view(), name="correct-dataset-version"
    ),
    path(
        f"{_DATASET}/versions/<int:number>/files/<path:path>",
        DownloadDatasetFile.as_view(),
        name="download-dataset-file",
    ),
    path(f"{_DATASET}/versions/<int:number>/croissant.json", croissant_api.Croissant.as_view(), name="croissant"),
]
pages: list[URLPattern] = []

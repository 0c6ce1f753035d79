"""The menu of this room."""

from __future__ import annotations

from django.urls import URLPattern, path

from registry.compression import api as views
from registry.compression import comparison_api as comparisons
from registry.compression import evaluation_api as evaluations
from registry.compression import profile_api as profiles
from registry.compression import replay_api as replays

_PROFILES = "teams/<str:team>/datasets/<str:dataset>/versions/<int:number>/profiles"
_EVALUATIONS = "teams/<str:team>/models/<str:model>/versions/<int:number>/evaluations"

api: list[URLPattern] = [
    path("recipes/shipped", views.ListShippedRecipes.as_view(), name="list-shipped-recipes"),
    path("teams/<str:team>/recipes", views.PublishRecipe.as_view(), name="publish-recipe"),
    path("teams/<str:team>/recipes/<str:recipe>", views.ShowRecipe.as_view(), name="show-recipe"),
    path("teams/<str:team>/models/<str:model>/runs", views.RequestRun.as_view(), name="request-run"),
    path(
        "teams/<str:team>/models/<str:model>/comparisons",
        comparisons.RequestComparison.as_view(),
        name="request-comparison",
    ),
    path("comparisons/<uuid:comparison>", comparisons.ShowComparison.as_view(), name="show-comparison"),
    path(_EVALUATIONS, evaluations.RequestEvaluation.as_view(), name="request-evaluation"),
    path(f"{_EVALUATIONS}/<uuid:run>", evaluations.ShowEvaluation.as_view(), name="show-evaluation"),
    path(f"{_EVALUATIONS}/<uuid:run>/outputs", evaluations.DownloadOutputs.as_view(), name="download-outputs"),
    path(
        "teams/<str:team>/models/<str:model>/versions/<int:number>/replays",
        replays.RequestReplay.as_view(),
        name="request-replay",
    ),
    path(_PROFILES, profiles.RequestProfile.as_view(), name="request-profile"),
    path("profiles/<uuid:profile>", profiles.ShowProfile.as_view(), name="show-profile"),
    path("runs/<uuid:run>", views.ShowRun.as_view(), name="show-run"),
    path("runs/<uuid:run>/log", views.ShowRunLog.as_view(), name="show-run-log"),
    path("runs/<uuid:run>/cancel", views.CancelRun.as_view(), name="cancel-run"),
]
pages: list[URLPattern] = []

"""The menu of this room."""

from __future__ import annotations

from django.urls import URLPattern, path

from registry.release import api as views
from registry.release import purge_api, terms_api

_MODEL = "teams/<str:team>/models/<str:model>"
_VERSION = f"{_MODEL}/versions/<int:number>"
_ALIAS = f"{_MODEL}/aliases/<str:alias>"
_APPROVAL = "approvals/<uuid:approval_id>"

api: list[URLPattern] = [
    path("purges", purge_api.RequestPurge.as_view(), name="request-purge"),
    path("purges/<uuid:purge>", purge_api.ShowPurge.as_view(), name="purge"),
    path("purges/<uuid:purge>/confirm", purge_api.ConfirmPurge.as_view(), name="confirm-purge"),
    path("purges/<uuid:purge>/withdraw", purge_api.WithdrawPurge.as_view(), name="withdraw-purge"),
    path("licences/waiting", terms_api.WaitingLicences.as_view(), name="waiting-licences"),
    path("rulings/<uuid:ruling>", terms_api.ShowRuling.as_view(), name="ruling"),
    path(f"{_VERSION}/affected", terms_api.AffectedByCorrection.as_view(), name="affected-by-correction"),
    path(
        "teams/<str:team>/datasets/<str:dataset>/versions/<int:number>/affected",
        terms_api.AffectedByData.as_view(),
        name="affected-by-data",
    ),
    path("policies", views.AuthorPolicy.as_view(), name="author-policy"),
    path("policies/ready-made", views.ReadyMadePolicies.as_view(), name="ready-made-policies"),
    path("policies/<str:slug>/<int:number>", views.ShowPolicy.as_view(), name="show-policy"),
    path("policies/<str:slug>/<int:number>/approve", views.ApprovePolicy.as_view(), name="approve-policy"),
    path("policies/<str:slug>/<int:number>/end", views.EndPolicy.as_view(), name="end-policy"),
    path(f"{_VERSION}/verdicts", views.EvaluateGate.as_view(), name="evaluate-gate"),
    path(f"{_VERSION}/waivers", views.SignWaiver.as_view(), name="sign-waiver"),
    path("waivers/<uuid:waiver_id>/end", views.EndWaiver.as_view(), name="end-waiver"),
    path(f"{_VERSION}/approvals", views.RequestApproval.as_view(), name="request-approval"),
    path("approvals", views.ListApprovals.as_view(), name="list-approvals"),
    path(_APPROVAL, views.ShowApproval.as_view(), name="show-approval"),
    path(f"{_APPROVAL}/grant", views.GrantApproval.as_view(), name="grant-approval"),
    path(f"{_APPROVAL}/reject", views.RejectApproval.as_view(), name="reject-approval"),
    path(f"{_APPROVAL}/return", views.ReturnApproval.as_view(), name="return-approval"),
    path(f"{_APPROVAL}/withdraw", views.WithdrawApproval.as_view(), name="withdraw-approval"),
    path(f"{_APPROVAL}/revoke", views.RevokeApproval.as_view(), name="revoke-approval"),
    path(f"{_MODEL}/resolve/<str:name>", views.Resolve.as_view(), name="resolve"),
    path(f"{_ALIAS}/history", views.AliasHistory.as_view(), name="alias-history"),
    path(f"{_ALIAS}/promote", views.Promote.as_view(), name="promote"),
    path(f"{_ALIAS}/roll-back", views.RollBack.as_view(), name="roll-back"),
    path(f"{_ALIAS}/suspend", views.Suspend.as_view(), name="suspend"),
]
pages: list[URLPattern] = []

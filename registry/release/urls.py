"""The menu of this room."""

from __future__ import annotations

from django.urls import URLPattern, path

from registry.release import api as views
from registry.release import approval_api as approvals
from registry.release import moving_api, policy_api, preview_api, purge_api, stopping_api, terms_api

_MODEL = "teams/<str:team>/models/<str:model>"
_VERSION = f"{_MODEL}/versions/<int:number>"
_ALIAS = f"{_MODEL}/aliases/<str:alias>"
_APPROVAL = "approvals/<uuid:approval_id>"
_QUARANTINE = "quarantines/<uuid:quarantine>"

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
    path("policies/dry-run", policy_api.DryRunDraft.as_view(), name="dry-run-draft"),
    path("policies/<str:slug>/<int:number>/dry-run", policy_api.DryRunPolicy.as_view(), name="dry-run-policy"),
    path("teams/<str:team>/alias-rules", policy_api.AuthorAliasRule.as_view(), name="author-alias-rule"),
    path("teams/<str:team>/alias-rights", policy_api.AliasRights.as_view(), name="alias-rights"),
    path("alias-rules/<uuid:rule>/approve", policy_api.ApproveAliasRule.as_view(), name="approve-alias-rule"),
    path("alias-rules/<uuid:rule>/end", policy_api.EndAliasRule.as_view(), name="end-alias-rule"),
    path(f"{_VERSION}/verdicts", views.EvaluateGate.as_view(), name="evaluate-gate"),
    path(f"{_VERSION}/preview-gate", preview_api.PreviewGate.as_view(), name="preview-gate"),
    path(f"{_VERSION}/waivers", views.SignWaiver.as_view(), name="sign-waiver"),
    path("waivers/<uuid:waiver_id>/end", views.EndWaiver.as_view(), name="end-waiver"),
    path(f"{_VERSION}/approvals", approvals.RequestApproval.as_view(), name="request-approval"),
    path("approvals", approvals.ListApprovals.as_view(), name="list-approvals"),
    path(_APPROVAL, approvals.ShowApproval.as_view(), name="show-approval"),
    path(f"{_APPROVAL}/grant", approvals.GrantApproval.as_view(), name="grant-approval"),
    path(f"{_APPROVAL}/reject", approvals.RejectApproval.as_view(), name="reject-approval"),
    path(f"{_APPROVAL}/return", approvals.ReturnApproval.as_view(), name="return-approval"),
    path(f"{_APPROVAL}/answer", approvals.AnswerApproval.as_view(), name="answer-approval"),
    path(f"{_APPROVAL}/withdraw", approvals.WithdrawApproval.as_view(), name="withdraw-approval"),
    path(f"{_APPROVAL}/revoke", approvals.RevokeApproval.as_view(), name="revoke-approval"),
    path("teams/<str:team>/targets", approvals.RegisterTarget.as_view(), name="register-target"),
    path("targets/<uuid:target>/end", approvals.EndTarget.as_view(), name="end-target"),
    path(f"{_MODEL}/resolve/<str:name>", views.Resolve.as_view(), name="resolve"),
    path("recalls", stopping_api.StartRecall.as_view(), name="start-recall"),
    path("recalls/preview", stopping_api.PreviewRecall.as_view(), name="preview-recall"),
    path("recalls/<uuid:recall>", stopping_api.ShowRecall.as_view(), name="recall"),
    path("recalls/<uuid:recall>/end", stopping_api.EndRecall.as_view(), name="end-recall"),
    path("quarantines", stopping_api.ListQuarantines.as_view(), name="quarantines"),
    path(
        f"{_QUARANTINE}/request-release",
        stopping_api.RequestQuarantineRelease.as_view(),
        name="request-quarantine-release",
    ),
    path(
        f"{_QUARANTINE}/grant-release", stopping_api.GrantQuarantineRelease.as_view(), name="grant-quarantine-release"
    ),
    path(
        f"{_QUARANTINE}/refuse-release",
        stopping_api.RefuseQuarantineRelease.as_view(),
        name="refuse-quarantine-release",
    ),
    path(f"{_ALIAS}/served-at", moving_api.ServedAt.as_view(), name="served-at"),
    path(f"{_ALIAS}/break-glass", moving_api.BreakGlass.as_view(), name="break-glass"),
    path(f"{_ALIAS}/drills", moving_api.DrillRollback.as_view(), name="drill-rollback"),
    path(f"{_ALIAS}/history", views.AliasHistory.as_view(), name="alias-history"),
    path(f"{_ALIAS}/promote", views.Promote.as_view(), name="promote"),
    path(f"{_ALIAS}/roll-back", views.RollBack.as_view(), name="roll-back"),
    path(f"{_ALIAS}/suspend", views.Suspend.as_view(), name="suspend"),
]
pages: list[URLPattern] = []

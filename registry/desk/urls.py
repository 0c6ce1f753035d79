"""The menu of this room: every page that a person may open, under the names that acts have everywhere."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, register_converter

from registry.desk.diff_api import DiffVersions
from registry.desk.pages import (
    accounts,
    aliases,
    approvals,
    catalog,
    comparisons,
    correcting_data,
    data,
    decisions,
    deputies,
    differences,
    evaluations,
    findings,
    home,
    incidents,
    keeping,
    licences,
    monitors,
    moves,
    notices,
    policies,
    previewing,
    profiling,
    replaying,
    requests,
    rights,
    runs,
    stopping,
    story,
    targets,
    use_cases,
    webhooks,
)  # fmt: skip


class NameConverter:
    """A slug: what a team, model, dataset or alias is called."""

    regex = "[a-z0-9][a-z0-9._-]{0,62}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: object) -> str:
        return str(value)


class VersionConverter(NameConverter):
    """What follows the @: a number, a digest or an alias."""

    regex = "[a-z0-9][a-z0-9._:-]{0,70}"


register_converter(NameConverter, "name")
register_converter(VersionConverter, "version")

_MODEL = "models/<name:team>/<name:model>/"
_VERSION = "models/<name:team>/<name:model>@<version:version>/"
_ALIAS = f"{_MODEL}aliases/<name:alias>/"
_DATA = "datasets/<name:team>/<name:dataset>@<int:number>/"
_POLICY = "policies/<name:slug>@<int:number>/"
_PAGES = [
    path("", home.Home.as_view(), name="home"),
    path("search/", home.Search.as_view(), name="search"),
    path("models/", catalog.Models.as_view(), name="models"),
    path(_MODEL, catalog.ModelPage.as_view(), name="model"),
    path(_ALIAS, aliases.AliasPage.as_view(), name="alias"),
    path(f"{_ALIAS}drill/", aliases.DrillRollback.as_view(), name="drill-rollback"),
    path(f"{_ALIAS}break-glass/", aliases.BreakGlass.as_view(), name="break-glass"),
    path(f"{_ALIAS}roll-back/", moves.RollBack.as_view(), name="roll-back"),
    path(f"{_ALIAS}suspend/", moves.Suspend.as_view(), name="suspend"),
    path(_VERSION, story.VersionPage.as_view(), name="version"),
    path(f"{_VERSION}evidence/<uuid:evidence>/", story.EvidenceDocument.as_view(), name="evidence-document"),
    path(f"{_VERSION}evaluations/<uuid:run>/", evaluations.EvaluationPage.as_view(), name="evaluation"),
    path(
        f"{_VERSION}evaluations/<uuid:run>/evaluation.json",
        evaluations.EvaluationJSON.as_view(),
        name="evaluation-json",
    ),
    path(
        f"{_VERSION}evaluations/<uuid:run>/outputs", evaluations.EvaluationOutputs.as_view(), name="evaluation-outputs"
    ),
    path(f"{_VERSION}request-run/", requests.RequestRun.as_view(), name="request-run"),
    path(f"{_VERSION}request-replay/", replaying.RequestReplay.as_view(), name="request-replay"),
    path(f"{_VERSION}request-approval/", approvals.RequestApproval.as_view(), name="request-approval"),
    path(f"{_VERSION}evaluate-gate/", approvals.EvaluateGate.as_view(), name="evaluate-gate"),
    path(f"{_VERSION}preview-gate/", previewing.PreviewGate.as_view(), name="preview-gate"),
    path(f"{_VERSION}sign-waiver/", approvals.SignWaiver.as_view(), name="sign-waiver"),
    path("diff-versions/", differences.DiffVersions.as_view(), name="diff-versions"),
    path("runs/", runs.Runs.as_view(), name="runs"),
    path("comparisons/<uuid:comparison>/", comparisons.ComparisonPage.as_view(), name="comparison"),
    path("comparisons/<uuid:comparison>/comparison.json", comparisons.ComparisonJSON.as_view(), name="comparison-json"),
    path("comparisons/<uuid:comparison>/comparison.csv", comparisons.ComparisonCSV.as_view(), name="comparison-csv"),
    path("runs/<uuid:run>/", runs.RunPage.as_view(), name="run"),
    path("runs/<uuid:run>/progress", runs.RunProgress.as_view(), name="run-progress"),
    path("runs/<uuid:run>/log", runs.RunLog.as_view(), name="run-log"),
    path("runs/<uuid:run>/cancel/", runs.CancelRun.as_view(), name="cancel-run"),
    path("approvals/", approvals.Approvals.as_view(), name="approvals"),
    path("approvals/<uuid:approval>/", approvals.ApprovalPage.as_view(), name="approval"),
    path("deputies/", deputies.AppointDeputy.as_view(), name="appoint-deputy"),
    path("deputies/<uuid:deputyship>/end/", deputies.EndDeputyship.as_view(), name="end-deputyship"),
    path("targets/", targets.RegisterTarget.as_view(), name="register-target"),
    path("targets/<uuid:target>/end/", targets.EndTarget.as_view(), name="end-target"),
    path("approvals/<uuid:approval>/grant/", decisions.GrantApproval.as_view(), name="grant-approval"),
    path("approvals/<uuid:approval>/reject/", decisions.RejectApproval.as_view(), name="reject-approval"),
    path("approvals/<uuid:approval>/return/", decisions.ReturnApproval.as_view(), name="return-approval"),
    path("approvals/<uuid:approval>/answer/", decisions.AnswerApproval.as_view(), name="answer-approval"),
    path("approvals/<uuid:approval>/revoke/", decisions.RevokeApproval.as_view(), name="revoke-approval"),
    path("approvals/<uuid:approval>/withdraw/", approvals.WithdrawApproval.as_view(), name="withdraw-approval"),
    path("approvals/<uuid:approval>/promote/", approvals.Promote.as_view(), name="promote"),
    path("policies/", policies.Policies.as_view(), name="policies"),
    path("policies/author/", policies.AuthorPolicy.as_view(), name="author-policy"),
    path(_POLICY, policies.PolicyPage.as_view(), name="policy"),
    path(f"{_POLICY}dry-run/", policies.DryRunPolicy.as_view(), name="dry-run-policy"),
    path(f"{_POLICY}approve/", policies.ApprovePolicy.as_view(), name="approve-policy"),
    path(f"{_POLICY}end/", policies.EndPolicy.as_view(), name="end-policy"),
    path("teams/<name:team>/register-use-case/", use_cases.RegisterUseCase.as_view(), name="register-use-case"),
    path("use-cases/", use_cases.UseCases.as_view(), name="use-cases"),
    path("use-cases/<name:team>/<name:use_case>/", use_cases.UseCasePage.as_view(), name="use-case"),
    path(
        "use-cases/<name:team>/<name:use_case>/answer/", use_cases.AnswerTierTable.as_view(), name="answer-tier-table"
    ),
    path("tier-tables/author/", use_cases.AuthorTierTable.as_view(), name="author-tier-table"),
    path("tier-tables/<int:number>/", use_cases.TierTablePage.as_view(), name="tier-table"),
    path("tier-tables/<int:number>/approve/", use_cases.ApproveTierTable.as_view(), name="approve-tier-table"),
    path("findings/", findings.Findings.as_view(), name="findings"),
    path("findings/<uuid:finding>/", findings.FindingPage.as_view(), name="finding"),
    path("findings/<uuid:finding>/accept/", findings.AcceptFinding.as_view(), name="accept-finding"),
    path("findings/<uuid:finding>/fix/", findings.FixFinding.as_view(), name="fix-finding"),
    path("findings/<uuid:finding>/reopen/", findings.ReopenFinding.as_view(), name="reopen-finding"),
    path("findings/<uuid:finding>/assign/", findings.AssignFinding.as_view(), name="assign-finding"),
    path("findings/<uuid:finding>/close/", findings.CloseFinding.as_view(), name="close-finding"),
    path("teams/<name:team>/rights/", rights.AliasRights.as_view(), name="alias-rights"),
    path("teams/<name:team>/rights/author/", rights.AuthorAliasRule.as_view(), name="author-alias-rule"),
    path("teams/<name:team>/rights/<uuid:rule>/approve/", rights.ApproveAliasRule.as_view(), name="approve-alias-rule"),
    path("teams/<name:team>/rights/<uuid:rule>/end/", rights.EndAliasRule.as_view(), name="end-alias-rule"),
    path("teams/<name:team>/service-accounts/", accounts.ServiceAccounts.as_view(), name="service-accounts"),
    path(
        "teams/<name:team>/service-accounts/<uuid:account>/responsibility/",
        accounts.GiveResponsibility.as_view(),
        name="give-responsibility",
    ),
    path("monitors/", monitors.Monitors.as_view(), name="monitors"),
    path("monitors/<uuid:monitor>/", monitors.MonitorPage.as_view(), name="monitor"),
    path("monitors/<uuid:monitor>/end/", monitors.EndMonitor.as_view(), name="end-monitor"),
    path("incidents/<uuid:incident>/", monitors.IncidentPage.as_view(), name="incident"),
    path(
        "incidents/<uuid:incident>/acknowledge/", incidents.AcknowledgeIncident.as_view(), name="acknowledge-incident"
    ),
    path("incidents/<uuid:incident>/judge/", incidents.JudgeIncident.as_view(), name="judge-incident"),
    path("incidents/<uuid:incident>/resolve/", incidents.ResolveIncident.as_view(), name="resolve-incident"),
    path("incidents/<uuid:incident>/roll-back/", incidents.ResolveByRollback.as_view(), name="resolve-by-rollback"),
    path("notices/", notices.Notices.as_view(), name="notices"),
    path("notices/mail/", notices.ChooseMail.as_view(), name="choose-mail"),
    path("webhooks/", webhooks.Webhooks.as_view(), name="webhooks"),
    path("webhooks/register/", webhooks.RegisterWebhook.as_view(), name="register-webhook"),
    path("webhooks/<uuid:webhook>/rotate/", webhooks.RotateWebhook.as_view(), name="rotate-webhook"),
    path("webhooks/<uuid:webhook>/resend/", webhooks.ResendWebhook.as_view(), name="resend-webhook"),
    path("webhooks/<uuid:webhook>/end/", webhooks.EndWebhook.as_view(), name="end-webhook"),
    path("recalls/", stopping.Recalls.as_view(), name="recalls"),
    path("recalls/start/", stopping.StartRecall.as_view(), name="start-recall"),
    path("recalls/<uuid:recall>/", stopping.RecallPage.as_view(), name="recall"),
    path("recalls/<uuid:recall>/end/", stopping.EndRecall.as_view(), name="end-recall"),
    path("quarantines/<uuid:quarantine>/", stopping.QuarantinePage.as_view(), name="quarantine"),
    path(
        "quarantines/<uuid:quarantine>/request-release/",
        stopping.RequestQuarantineRelease.as_view(),
        name="request-quarantine-release",
    ),
    path(
        "quarantines/<uuid:quarantine>/grant-release/",
        stopping.GrantQuarantineRelease.as_view(),
        name="grant-quarantine-release",
    ),
    path(
        "quarantines/<uuid:quarantine>/refuse-release/",
        stopping.RefuseQuarantineRelease.as_view(),
        name="refuse-quarantine-release",
    ),
    path("datasets/", data.Datasets.as_view(), name="datasets"),
    path("datasets/<name:team>/<name:dataset>/", data.DatasetPage.as_view(), name="dataset"),
    path(_DATA, data.DatasetVersionPage.as_view(), name="dataset-version"),
    path(f"{_DATA}correct/", correcting_data.CorrectDatasetVersion.as_view(), name="correct-dataset-version"),
    path(f"{_DATA}croissant.json", data.Croissant.as_view(), name="croissant"),
    path(f"{_DATA}files/<path:path>", data.DownloadDataFile.as_view(), name="download-data-file"),
    path(f"{_DATA}request-profile/", profiling.RequestProfile.as_view(), name="request-profile"),
    path("profiles/<uuid:profile>/", profiling.ProfilePage.as_view(), name="profile"),
    path("licences/", licences.Licences.as_view(), name="licences"),
    path("licences/<uuid:licence>/", licences.LicencePage.as_view(), name="licence"),
    path("licences/<uuid:licence>/author-ruling/", licences.AuthorRuling.as_view(), name="author-ruling"),
    path("rulings/<uuid:ruling>/", licences.RulingPage.as_view(), name="ruling"),
    path("rulings/<uuid:ruling>/approve/", licences.ApproveRuling.as_view(), name="approve-ruling"),
    path("rulings/<uuid:ruling>/end/", licences.EndRuling.as_view(), name="end-ruling"),
    path(f"{_VERSION}correct/", licences.CorrectVersion.as_view(), name="correct-version"),
    path("documents/attach/", keeping.AttachDocument.as_view(), name="attach-document"),
    path("documents/<uuid:document>/", keeping.DownloadDocument.as_view(), name="download-document"),
    path("reviews/sign/", keeping.SignReview.as_view(), name="sign-review"),
    path("holds/place/", keeping.PlaceHold.as_view(), name="place-hold"),
    path("holds/<uuid:hold>/end/", keeping.EndHold.as_view(), name="end-hold"),
    path("purges/request/", keeping.RequestPurge.as_view(), name="request-purge"),
    path("purges/<uuid:purge>/", keeping.PurgePage.as_view(), name="purge"),
    path("purges/<uuid:purge>/confirm/", keeping.ConfirmPurge.as_view(), name="confirm-purge"),
    path("purges/<uuid:purge>/withdraw/", keeping.WithdrawPurge.as_view(), name="withdraw-purge"),
]

api: list[URLPattern] = [path("diff-versions", DiffVersions.as_view(), name="diff-versions")]
pages: list[URLPattern | URLResolver] = [path("", include((_PAGES, "desk")))]

"""Read-only tables of governed records: no form adds, changes or deletes, and nobody sees more than elsewhere.

Rules:
- rows pass the same choke point as every other read (`access.queries.readable`);
- tables without a team (policies, licences, people) are open to whoever may enter; those whose subject is a stream only to
  people with a role in the whole instance;
- filters offer what the reader may read, no name of another team;
- secrets, salts and typed texts stand in no table here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.admin import AdminSite, ModelAdmin, SimpleListFilter
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse

from registry.access.models import Actor, Membership, Team, Token
from registry.access.queries import readable, readable_team_ids
from registry.admin.site import caller_of, site
from registry.catalog.models import Evidence, ModelVersion, RegisteredModel
from registry.compression.models import Recipe, Run
from registry.monitoring.models import Baseline, Incident, Monitor, Window
from registry.monitoring.queries import incident_status
from registry.oversight.models import Attestation, Finding, UseCase
from registry.provenance.models import Dataset, DatasetVersion, Licence
from registry.release.models import AliasAssignment, Decision, Policy, Verdict, Waiver

OPEN_TO_ALL = ""
INSTANCE_ONLY = "!"
_NEVER_SHOWN = {"password", "token_key", "salt", "value", "owner_token", "progress"}


if TYPE_CHECKING:
    _ModelAdmin = ModelAdmin[Any]
else:
    _ModelAdmin = ModelAdmin  # generic only for type checkers


class GovernedAdmin(_ModelAdmin):
    """Looks, never touches. `team_path` leads from the row to its team."""

    team_path: ClassVar[str] = OPEN_TO_ALL
    plural: ClassVar[str] = ""
    actions = None
    list_per_page = 50
    show_full_result_count = False
    ordering: ClassVar[Any] = ("-pk",)

    def __init__(self, model: type[Model], admin_site: AdminSite) -> None:
        super().__init__(model, admin_site)
        if self.plural:
            self.opts.verbose_name_plural = self.plural

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """The history of a record is the ledger's; Django's own log of admin forms would show an empty page."""
        raise Http404

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        caller = caller_of(request)
        if self.team_path == INSTANCE_ONLY:
            return rows if readable_team_ids(caller.actor_id) is None else rows.none()
        return rows if self.team_path == OPEN_TO_ALL else readable(rows, caller, team=self.team_path)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return [f.name for f in self.model._meta.concrete_fields if f.name not in _NEVER_SHOWN]


class TeamFilter(SimpleListFilter):
    """By team; Django's own filter of a relation would offer every team that there is."""

    title = "team"
    parameter_name = "of_team"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        slugs = readable(Team.objects.all(), caller_of(request), team="pk").order_by("slug")
        return [(slug, slug) for slug in slugs.values_list("slug", flat=True)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(team__slug=self.value()) if self.value() else queryset


class RegisteredModelAdmin(GovernedAdmin):
    plural = "models"
    team_path = "team"
    list_display = ("__str__", "owner", "use_case", "created_at")
    list_filter = (TeamFilter, "use_case__tier")
    search_fields = ("slug", "team__slug")
    list_select_related = ("team", "owner", "use_case")


class ModelVersionAdmin(GovernedAdmin):
    plural = "versions"
    team_path = "model__team"
    list_display = ("__str__", "format", "origin", "size_bytes", "training_data", "licence", "created_at")
    list_filter = ("origin", "format", "training_data")
    search_fields = ("model__slug", "digest")
    list_select_related = ("model__team", "licence")


class EvidenceAdmin(GovernedAdmin):
    plural = "evidence"
    team_path = "model__team"
    list_display = ("version", "kind", "source", "digest", "created_at")
    list_filter = ("kind", "source")
    search_fields = ("version__model__slug", "digest", "version_digest")
    list_select_related = ("version__model__team",)


class RunAdmin(GovernedAdmin):
    team_path = "model__team"
    list_display = ("id", "kind", "state", "parent", "recipe", "child", "attempt", "requested_by", "requested_at")
    list_filter = ("state", "kind")
    search_fields = ("model__slug",)
    list_select_related = ("parent__model__team", "recipe", "child__model__team", "requested_by")


class RecipeAdmin(GovernedAdmin):
    team_path = "team"
    list_display = ("__str__", "team", "digest", "created_by", "created_at")
    search_fields = ("slug", "digest")
    list_select_related = ("team", "created_by")


class DatasetAdmin(GovernedAdmin):
    team_path = "team"
    list_display = ("slug", "team", "steward", "created_at")
    search_fields = ("slug",)
    list_select_related = ("team", "steward")


class DatasetVersionAdmin(GovernedAdmin):
    team_path = "dataset__team"
    list_display = ("__str__", "source", "licence", "row_count", "personal_data", "consent", "created_at")
    list_filter = ("source", "personal_data", "consent", "third_party_works")
    search_fields = ("dataset__slug", "digest")
    list_select_related = ("dataset", "licence")


class LicenceAdmin(GovernedAdmin):
    list_display = ("expression", "number", "pack", "created_at", "ended_at")
    search_fields = ("expression",)


class PolicyAdmin(GovernedAdmin):
    plural = "policies"
    list_display = ("__str__", "author", "approved_by", "in_force_at", "ended_at", "digest")
    search_fields = ("slug", "digest")
    list_select_related = ("author", "approved_by")


class VerdictAdmin(GovernedAdmin):
    team_path = "model__team"
    list_display = ("version", "alias", "outcome", "policy", "created_by", "created_at")
    list_filter = ("outcome", "alias")
    search_fields = ("version__model__slug", "digest", "version_digest")
    list_select_related = ("version__model__team", "policy", "created_by")


class WaiverAdmin(GovernedAdmin):
    team_path = "model__team"
    list_display = ("version", "rule", "signed_by", "signed_at", "expires_at", "ended_at")
    list_filter = ("rule",)
    search_fields = ("version__model__slug", "rule")
    list_select_related = ("version__model__team", "signed_by")


class DecisionAdmin(GovernedAdmin):
    team_path = "model__team"
    list_display = ("approval_of", "kind", "role", "decided_by", "decided_at")
    list_filter = ("kind", "role")
    search_fields = ("approval__version__model__slug",)
    list_select_related = ("approval__version__model__team", "decided_by")

    def approval_of(self, row: Decision) -> str:
        return f"{row.approval.version} to {row.approval.alias}"

    approval_of.short_description = "approval"  # type: ignore[attr-defined]


class AliasAssignmentAdmin(GovernedAdmin):
    plural = "moves of aliases"
    team_path = "model__team"
    list_display = ("model", "alias", "number", "kind", "version", "assigned_by", "assigned_at")
    list_filter = ("kind",)
    search_fields = ("model__slug", "alias__slug", "version_digest")
    list_select_related = ("model__team", "alias", "version__model__team", "assigned_by")


class UseCaseAdmin(GovernedAdmin):
    team_path = "team"
    list_display = ("slug", "team", "tier", "sector", "jurisdiction", "owner", "created_at")
    list_filter = ("tier", "sector", "jurisdiction")
    search_fields = ("slug",)
    list_select_related = ("team", "owner")


class AttestationAdmin(GovernedAdmin):
    team_path = INSTANCE_ONLY
    list_display = ("requirement", "framework", "signed_by", "role", "signed_at", "expires_at", "ended_at")
    list_filter = ("framework", "role")
    search_fields = ("requirement",)
    list_select_related = ("signed_by",)


class FindingAdmin(GovernedAdmin):
    team_path = INSTANCE_ONLY
    list_display = ("subject", "state", "owner", "due_on", "created_at", "closed_at")
    list_filter = ("state",)
    search_fields = ("subject",)
    list_select_related = ("owner",)


class MonitorAdmin(GovernedAdmin):
    team_path = "model__team"
    list_display = ("slug", "model", "alias", "created_at", "ended_at")
    search_fields = ("slug", "model__slug")
    list_select_related = ("model__team", "alias")


class WindowAdmin(GovernedAdmin):
    team_path = "monitor__model__team"
    list_display = ("label", "monitor_name", "state", "version", "row_count", "started_at", "ended_at")
    list_filter = ("state",)
    search_fields = ("label", "monitor__slug", "version_digest")
    list_select_related = ("monitor__model__team", "version__model__team")

    def monitor_name(self, row: Window) -> str:
        return f"{row.monitor.model}: {row.monitor.slug}"

    monitor_name.short_description = "monitor"  # type: ignore[attr-defined]


class BaselineAdmin(GovernedAdmin):
    team_path = "model__team"
    list_display = ("version", "digest", "created_by", "created_at")
    search_fields = ("version__model__slug", "digest")
    list_select_related = ("version__model__team", "created_by")


class IncidentAdmin(GovernedAdmin):
    team_path = "monitor__model__team"
    list_display = ("window_name", "status", "opened_at", "acknowledged_at", "judged_at", "resolved_at")
    list_filter = ("benign", "opened_at")
    search_fields = ("monitor__slug", "window__label")
    list_select_related = ("monitor__model__team", "window")

    def window_name(self, row: Incident) -> str:
        return f"{row.monitor.model}: {row.monitor.slug}, {row.window.label}"

    window_name.short_description = "window"  # type: ignore[attr-defined]

    def status(self, row: Incident) -> str:
        return incident_status(row)


class TeamAdmin(GovernedAdmin):
    team_path = "pk"
    list_display = ("slug", "created_at", "ended_at")
    search_fields = ("slug",)


class ActorAdmin(GovernedAdmin):
    list_display = ("username", "display_name", "kind", "created_at", "ended_at")
    list_filter = ("kind",)
    search_fields = ("username", "display_name")


class MembershipAdmin(GovernedAdmin):
    team_path = "team"
    list_display = ("actor", "role", "team", "granted_by", "created_at", "expires_at", "ended_at")
    list_filter = ("role",)
    search_fields = ("actor__username",)
    list_select_related = ("actor", "team", "granted_by")


class TokenAdmin(GovernedAdmin):
    team_path = INSTANCE_ONLY
    list_display = ("actor", "created_at", "expires_at", "ended_at")
    search_fields = ("actor__username",)
    list_select_related = ("actor",)


_TABLES: dict[type[Model], type[GovernedAdmin]] = {
    Actor: ActorAdmin,
    AliasAssignment: AliasAssignmentAdmin,
    Attestation: AttestationAdmin,
    Baseline: BaselineAdmin,
    Dataset: DatasetAdmin,
    DatasetVersion: DatasetVersionAdmin,
    Decision: DecisionAdmin,
    Evidence: EvidenceAdmin,
    Finding: FindingAdmin,
    Incident: IncidentAdmin,
    Licence: LicenceAdmin,
    Membership: MembershipAdmin,
    ModelVersion: ModelVersionAdmin,
    Monitor: MonitorAdmin,
    Policy: PolicyAdmin,
    Recipe: RecipeAdmin,
    RegisteredModel: RegisteredModelAdmin,
    Run: RunAdmin,
    Team: TeamAdmin,
    Token: TokenAdmin,
    UseCase: UseCaseAdmin,
    Verdict: VerdictAdmin,
    Waiver: WaiverAdmin,
    Window: WindowAdmin,
}


def register_tables() -> None:
    """Mount every table; called once by the menu."""
    for model, table in _TABLES.items():
        if not site.is_registered(model):
            site.register(model, table)

"""Reads over several rooms that no single room answers: what waits for me, what stands where, what a name or digest means.

Rules:
- every row passes `readable`: what the caller may not see is not counted either;
- each page costs a number of queries that does not grow with what is stored.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from django.db.models import Count, Exists, Max, Model, OuterRef, Prefetch, Q, QuerySet

from registry.access.models import Membership, Role, Team
from registry.access.queries import readable
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.compression.models import Recipe, Run, RunState
from registry.events import Caller
from registry.monitoring.models import Monitor, Window
from registry.provenance.models import Dataset, DatasetVersion
from registry.provenance.stated import with_corrections
from registry.release.models import Alias, AliasAssignment

M = TypeVar("M", bound=Model)
IN_WORK = (RunState.QUEUED, RunState.RUNNING)
PAGE_ROWS = 50
LIST_ROWS = 200


def versions(caller: Caller) -> QuerySet[ModelVersion]:
    """All versions that the caller may see, newest first."""
    rows = readable(ModelVersion.objects.all(), caller, team="model__team")
    return rows.select_related("model__team", "created_by", "licence").order_by("-pk")


def models(caller: Caller) -> QuerySet[RegisteredModel]:
    """All models that the caller may see, with owner, tier, number of versions and where the aliases point."""
    rows = readable(RegisteredModel.objects.all(), caller)
    return (
        rows.select_related("team", "owner", "title", "use_case")
        .annotate(version_count=Count("versions"), newest=Max("versions__number"))
        .prefetch_related(Prefetch("aliases", queryset=aliases_now()))
        .order_by("team__slug", "slug")
    )


def models_page(caller: Caller, query: Mapping[str, str]) -> tuple[list[RegisteredModel], str | None]:
    """One page of models by name, of one team if `team` is given; `after` is the last name of the page before."""
    rows = models(caller)
    if query.get("team"):
        rows = rows.filter(team__slug=query["team"])
    team, _, slug = query.get("after", "").partition("/")
    if slug:
        rows = rows.filter(Q(team__slug__gt=team) | Q(team__slug=team, slug__gt=slug))
    found = list(rows[: PAGE_ROWS + 1])
    return found[:PAGE_ROWS], str(found[PAGE_ROWS - 1]) if len(found) > PAGE_ROWS else None


def aliases_now() -> QuerySet[Alias]:
    """Aliases with their newest assignment as `newest[0]`."""
    newest = AliasAssignment.objects.select_related("version__model__team").order_by("-number")[:1]
    return Alias.objects.order_by("slug").prefetch_related(Prefetch("assignments", queryset=newest, to_attr="newest"))


def runs(caller: Caller) -> QuerySet[Run]:
    """All runs that the caller may see, newest first."""
    rows = readable(Run.objects.all(), caller, team="model__team")
    related = ("model__team", "parent__model__team", "child__model__team", "recipe", "requested_by", "failure")
    return rows.select_related(*related).order_by("-pk")


def monitors(caller: Caller) -> QuerySet[Monitor]:
    """All monitors that the caller may see, with their newest window as `newest[0]` and the number of open incidents."""
    newest = Window.objects.order_by("-pk")[:1]
    return (
        readable(Monitor.objects.filter(ended_at=None), caller, team="model__team")
        .select_related("model__team", "alias")
        .annotate(open_incidents=Count("incidents", filter=Q(incidents__resolved_at=None)))
        .prefetch_related(Prefetch("windows", queryset=newest, to_attr="newest"))
        .order_by("model__team__slug", "model__slug", "slug")
    )


def datasets(caller: Caller) -> QuerySet[Dataset]:
    """All datasets that the caller may see."""
    rows = readable(Dataset.objects.all(), caller).select_related("team", "steward", "title")
    return rows.order_by("team__slug", "slug")


def newest_states(datasets: Iterable[Dataset]) -> dict[uuid.UUID, DatasetVersion]:
    """The newest version of each of the datasets, with what is stated about it. The caller must have read these already."""
    rows = DatasetVersion.objects.filter(dataset__in=[row.pk for row in datasets])
    later = DatasetVersion.objects.filter(dataset=OuterRef("dataset"), number__gt=OuterRef("number"))
    return {row.dataset_id: row for row in with_corrections(rows.filter(~Exists(later)).select_related("licence"))}


@dataclass(frozen=True)
class Holding:
    """What the caller may be, in words, and in which teams."""

    memberships: Sequence[Membership]
    roles: frozenset[str]

    @property
    def decides(self) -> bool:
        """Whether the caller decides on approvals anywhere: as an approver, or as an officer where a policy asks for one."""
        return not self.roles.isdisjoint({Role.APPROVER, Role.COMPLIANCE_OFFICER})


def holding(actor_id: uuid.UUID) -> Holding:
    """The caller's roles in force."""
    rows = Membership.objects.filter(actor_id=actor_id, ended_at=None).select_related("team").order_by("pk")
    held = [m for m in rows if m.in_force()]
    return Holding(held, frozenset(m.role for m in held))


@dataclass(frozen=True)
class Found:
    """What a search answers."""

    query: str
    models: Sequence[RegisteredModel] = field(default_factory=list)
    versions: Sequence[ModelVersion] = field(default_factory=list)
    datasets: Sequence[DatasetVersion] = field(default_factory=list)
    recipes: Sequence[Recipe] = field(default_factory=list)
    teams: Sequence[Team] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any((self.models, self.versions, self.datasets, self.recipes, self.teams))


def digest_prefix(query: str) -> str | None:
    """The stored form of a digest or its beginning (six digits or more), or None if it is no digest."""
    digits = query.removeprefix("sha256:")
    if 6 <= len(digits) <= 64 and all(c in "0123456789abcdef" for c in digits):
        return f"sha256:{digits}"
    return None


def search(caller: Caller, query: str) -> Found:
    """Everything whose name holds the words, or whose digest begins as given; at most PAGE_ROWS of each kind."""
    query = query.strip().lower()
    if not query:
        return Found(query)
    prefix = digest_prefix(query)
    name = query.partition("@")[0].rpartition("/")[2] or query
    by_digest = Q(digest__startswith=prefix) if prefix else Q(pk__in=[])
    files = Q(artifacts__digest__startswith=prefix) if prefix else Q(pk__in=[])
    data = readable(DatasetVersion.objects.all(), caller, team="dataset__team").select_related("dataset__team")
    recipes = readable(Recipe.objects.all(), caller).select_related("team")
    return Found(
        query,
        _some(models(caller).filter(slug__contains=name)),
        _some(versions(caller).filter(by_digest | files).distinct()),
        _some(data.filter(by_digest | Q(dataset__slug__contains=name)).order_by("-pk")),
        _some(recipes.filter(by_digest | Q(slug__contains=name)).order_by("-pk")),
        _some(readable(Team.objects.filter(slug__contains=name), caller, team="pk")),
    )


def _some(rows: QuerySet[M]) -> list[M]:
    return list(rows[:PAGE_ROWS])

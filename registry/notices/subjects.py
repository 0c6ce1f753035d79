"""What a notice is about: names that are sealed in clear, and the page to open. Never what somebody typed.

Things of a model are read for all happenings of a unit at once, so that a recall of thousands costs a handful of queries.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from django.urls import NoReverseMatch, reverse

from registry.access.models import Team
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.compression.models import Recipe
from registry.monitoring.models import Monitor
from registry.notices.happenings import Happening, Row
from registry.oversight.models import UseCase
from registry.provenance.models import Dataset, Licence
from registry.release.models import Alias, AliasAssignment, Approval, Policy
from registry.release.serving_models import BrokenGlass
from registry.release.stopping_models import Quarantine

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """`search/minilm@3 for production`, and the path of its page ("" where there is none)."""

    words: str
    path: str = ""


def page(name: str, *args: object) -> str:
    """The path of a page by its name. A link that cannot be made is a fault of ours, and keeps nobody from his act."""
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        logger.error("a notice has no link: there is no page %s for %s", name, args)
        return ""


@dataclass
class Things:
    """The rows that the happenings of one unit are about, each table read once."""

    models: dict[uuid.UUID, RegisteredModel] = field(default_factory=dict)
    monitors: dict[uuid.UUID, Monitor] = field(default_factory=dict)
    approvals: dict[uuid.UUID, Approval] = field(default_factory=dict)
    aliases: dict[uuid.UUID, Alias] = field(default_factory=dict)
    versions: dict[uuid.UUID, ModelVersion] = field(default_factory=dict)
    found_at: dict[uuid.UUID, uuid.UUID | str] = field(default_factory=dict)
    """What a finding came from -> the version that it is about, or the name of the alias."""

    @classmethod
    def of(cls, happenings: Iterable[Happening]) -> Things:
        """Read what is needed, and only that."""
        told = list(happenings)
        monitors = {key for h in told if (key := h.identity_of("monitor"))}
        approvals = {key for h in told for key in _approval_ids(h)}
        aliases = {row["alias_id"] for h in told for _, row in h.rows("release.assignment")}
        found = cls()
        if monitors:
            rows = Monitor.objects.filter(pk__in=monitors)
            found.monitors = {row.pk: row for row in rows}
        models = {key for h in told if (key := h.identity_of("model"))}
        models |= {row.model_id for row in found.monitors.values()}
        if models:
            found.models = {r.pk: r for r in RegisteredModel.objects.filter(pk__in=models).select_related("team")}
        if approvals:
            related = Approval.objects.filter(pk__in=approvals).select_related("version__model__team")
            found.approvals = {row.pk: row for row in related}
        if aliases:
            found.aliases = {row.pk: row for row in Alias.objects.filter(pk__in=aliases)}
        found.found_at = _origins_of_findings(told)
        versions = {key for h in told for key in _version_ids(h)}
        versions |= {key for key in found.found_at.values() if isinstance(key, uuid.UUID)}
        if versions:
            rows_of = ModelVersion.objects.filter(pk__in=versions).select_related("model__team")
            found.versions = {row.pk: row for row in rows_of}
        return found

    def model(self, happening: Happening) -> RegisteredModel | None:
        """The model whose stream it is, that of the monitor included."""
        monitor = self.monitors.get(happening.identity_of("monitor") or uuid.UUID(int=0))
        key = monitor.model_id if monitor else happening.identity_of("model")
        return self.models.get(key) if key else None

    def approval(self, happening: Happening) -> Approval | None:
        """The approval that it is about."""
        return next((self.approvals[key] for key in _approval_ids(happening) if key in self.approvals), None)

    def subject(self, happening: Happening) -> Subject:
        """What it is about."""
        for type_, key, row in happening.records:
            if type_ in _SUBJECTS:
                return _SUBJECTS[type_](self, happening, key, row)
        return _of_stream(self, happening)


def _version_ids(happening: Happening) -> Iterator[uuid.UUID]:
    """The versions that a subject may be made of."""
    for type_, key, row in happening.records:
        if type_ == "catalog.version":
            yield key
        elif type_ == "catalog.edge":
            yield uuid.UUID(row["child_id"])
        elif type_ in _SUBJECTS and row.get("version_id"):
            yield uuid.UUID(row["version_id"])


def _origins_of_findings(told: Iterable[Happening]) -> dict[uuid.UUID, uuid.UUID | str]:
    by_kind: dict[str, set[uuid.UUID]] = {}
    for happening in told:
        for _, row in happening.rows("oversight.finding"):
            if row["about"]:
                by_kind.setdefault(row["kind"], set()).add(uuid.UUID(row["about"]))
    found: dict[uuid.UUID, uuid.UUID | str] = {key: key for key in by_kind.get("replay-differs", ())}
    if moves := by_kind.get("approval-lapsed", set()) | by_kind.get("terms-changed", set()):
        found |= dict(AliasAssignment.objects.filter(pk__in=moves).values_list("pk", "alias__slug"))
    if glasses := by_kind.get("broken-glass"):
        found |= dict(BrokenGlass.objects.filter(pk__in=glasses).values_list("pk", "alias"))
    if stopped := by_kind.get("recalled"):
        found |= dict(Quarantine.objects.filter(pk__in=stopped).values_list("pk", "version_id"))
    return found


def _approval_ids(happening: Happening) -> list[uuid.UUID]:
    asked = [key for key, _ in happening.rows("release.approval")]
    return asked + [uuid.UUID(row["approval_id"]) for _, row in happening.rows("release.decision")]


# --- by the record that it seals ---


def _of_approval(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    approval = things.approval(happening)
    if approval is None:
        return _of_stream(things, happening)
    return Subject(f"{approval.version} for {approval.alias}", page("desk:approval", approval.pk))


def _of_version(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    return _version(things, happening, uuid.UUID(row["version_id"]) if "version_id" in row else key)


def _version(things: Things, happening: Happening, key: uuid.UUID) -> Subject:
    version = things.versions.get(key)
    if version is None:
        return _of_stream(things, happening)
    model = version.model
    return Subject(str(version), page("desk:version", model.team.slug, model.slug, version.number))


def _of_alias(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    known = things.aliases.get(uuid.UUID(row["alias_id"])) if "alias_id" in row else None
    name = known.slug if known else row.get("slug", row.get("alias", ""))
    model = things.model(happening)
    if model is None:
        return Subject(str(name))
    return Subject(f"{model}@{name}", page("desk:alias", model.team.slug, model.slug, name))


def _of_incident(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    monitor, model = things.monitors.get(uuid.UUID(row["monitor_id"])), things.model(happening)
    return Subject(f"{model}, monitor {monitor.slug if monitor else ''}".rstrip(), page("desk:incident", key))


def _of_run(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    return Subject(str(things.model(happening) or "a run"), page("desk:run", key))


def _of_finding(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    """Its own page. What a finding of ours came from names the version or the alias; one by hand names what it stands with."""
    origin = things.found_at.get(uuid.UUID(row["about"])) if row["about"] else None
    about = _version(things, happening, origin) if isinstance(origin, uuid.UUID) else _of_stream(things, happening)
    words = f"{about.words}@{origin}" if isinstance(origin, str) else about.words
    return Subject(words, page("desk:finding", key))


def _of_recall(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    """What was recalled may belong to a team that the receiver may not read: its kind alone is told."""
    return Subject(f"a {str(row['kind']).replace('_', ' ')}", page("desk:recall", key))


def _of_quarantine(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    """The version where one alone is told of, with the page of its way out; the line where several are."""
    if happening.is_more_than_one:
        return _of_stream(things, happening)
    return Subject(_of_version(things, happening, key, row).words, page("desk:quarantine", key))


def _of_edge(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    return _version(things, happening, uuid.UUID(row["child_id"]))


def _of_purge(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    return Subject(_of_stream(things, happening).words, page("desk:purge", key))


def _of_profile(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    return Subject(_of_stream(things, happening).words, page("desk:profile", key))


def _of_policy(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    return Subject(f"{row['slug']}@{row['number']}", page("desk:policy", row["slug"], row["number"]))


def _of_ruling(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    return Subject(_of_stream(things, happening).words, page("desk:ruling", key))


def _of_tier_table(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    return Subject(f"tier table {row['number']}", page("desk:tier-table", row["number"]))


def _of_alias_rule(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    team = _team(happening.team)
    return Subject(f"{row['alias']} in {team}", page("desk:alias-rights", team))


def _of_webhook(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    of = "of the whole installation" if row["team_id"] is None else f"of {_team(happening.team)}"
    return Subject(f"webhook {str(key)[-12:]} {of}", page("desk:webhooks"))


_SUBJECTS: dict[str, Callable[[Things, Happening, uuid.UUID, Row], Subject]] = {
    "release.approval": _of_approval,
    "release.decision": _of_approval,
    "release.assignment": _of_alias,
    "release.alias": _of_alias,
    "release.broken_glass": _of_alias,
    "release.waiver": _of_version,
    "release.verdict": _of_version,
    "release.recall": _of_recall,
    "release.quarantine": _of_quarantine,
    "release.purge": _of_purge,
    "release.policy": _of_policy,
    "release.alias_rule": _of_alias_rule,
    "catalog.version": _of_version,
    "catalog.correction": _of_version,
    "catalog.edge": _of_edge,
    "compression.run": _of_run,
    "provenance.profile": _of_profile,
    "provenance.ruling": _of_ruling,
    "monitoring.incident": _of_incident,
    "oversight.finding": _of_finding,
    "oversight.tier_table": _of_tier_table,
    "notices.webhook": _of_webhook,
}


# --- by the stream that it stands in ---


def _of_stream(things: Things, happening: Happening) -> Subject:
    model = things.model(happening)
    if model is not None:
        return Subject(str(model), page("desk:model", model.team.slug, model.slug))
    kind, _, key = happening.stream.partition(":")
    if kind == "dataset":
        dataset = Dataset.objects.select_related("team").get(pk=key)
        return Subject(
            f"{dataset.team.slug}/{dataset.slug}, a dataset", page("desk:dataset", dataset.team.slug, dataset.slug)
        )
    if kind == "use_case":
        use_case = UseCase.objects.select_related("team").get(pk=key)
        return Subject(
            f"{use_case.team.slug}/{use_case.slug}, a use case",
            page("desk:use-case", use_case.team.slug, use_case.slug),
        )
    if kind == "recipe":
        recipe = Recipe.objects.select_related("team").get(pk=key)
        return Subject(f"{recipe.team.slug}/{recipe.slug}, a recipe")
    if kind == "policy":
        policy = Policy.objects.get(pk=key)
        return Subject(str(policy), page("desk:policy", policy.slug, policy.number))
    if kind == "licence":
        return Subject(str(Licence.objects.get(pk=key)), page("desk:licence", key))
    if kind == "team":
        return Subject(f"the team {_team(uuid.UUID(key))}")
    return Subject("this installation")


def _team(key: uuid.UUID | None) -> str:
    found = Team.objects.filter(pk=key).first() if key else None
    return str(found.slug) if found else "the whole installation"

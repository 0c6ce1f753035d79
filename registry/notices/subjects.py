"""What a notice is about: names that are sealed in clear, and the page to open. Never what somebody typed.

Things of a model are read for all happenings of a unit at once, so that a recall of thousands costs a handful of queries.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from django.urls import NoReverseMatch, reverse

from registry.access.models import Team
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.monitoring.models import Monitor
from registry.notices.happenings import Happening, Row
from registry.oversight.models import UseCase
from registry.provenance.models import Dataset, Licence
from registry.release.models import Alias, Approval


@dataclass(frozen=True)
class Subject:
    """`search/minilm@3 for production`, and the path of its page ("" where there is none)."""

    words: str
    path: str = ""


def page(name: str, *args: object) -> str:
    """The path of a page by its name; "" while no room has that page."""
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return ""


@dataclass
class Things:
    """The rows that the happenings of one unit are about, each table read once."""

    models: dict[uuid.UUID, RegisteredModel] = field(default_factory=dict)
    monitors: dict[uuid.UUID, Monitor] = field(default_factory=dict)
    approvals: dict[uuid.UUID, Approval] = field(default_factory=dict)
    aliases: dict[uuid.UUID, Alias] = field(default_factory=dict)

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
    version = ModelVersion.objects.filter(pk=row.get("version_id", key)).select_related("model__team").first()
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
    return Subject(f"{model}@{name}", page("desk:model", model.team.slug, model.slug))


def _of_incident(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    monitor, model = things.monitors.get(uuid.UUID(row["monitor_id"])), things.model(happening)
    return Subject(f"{model}, monitor {monitor.slug if monitor else ''}".rstrip(), page("desk:incident", key))


def _of_run(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    return Subject(str(things.model(happening) or "a run"), page("desk:run", key))


def _of_finding(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    """Its own page; a finding about what a replay found names the version."""
    of_version = row["kind"] == "replay-differs" and row["about"]
    about = _of_version(things, happening, uuid.UUID(row["about"]), {}) if of_version else _of_stream(things, happening)
    return Subject(about.words, page("desk:finding", key) or about.path)


def _of_recall(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    """What was recalled may belong to a team that the receiver may not read: its kind alone is told."""
    return Subject(f"a {str(row['kind']).replace('_', ' ')}", page("desk:recall", key))


def _of_quarantine(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    """The version where one alone is told of; the line where several are."""
    return _of_stream(things, happening) if happening.is_more_than_one else _of_version(things, happening, key, row)


def _of_edge(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    return _of_version(things, happening, uuid.UUID(row["child_id"]), {})


def _of_purge(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    about = _of_stream(things, happening)
    return Subject(about.words, page("desk:purge", key) or about.path)


def _of_policy(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    return Subject(f"{row['slug']}@{row['number']}", page("desk:policy", row["slug"], row["number"]))


def _of_ruling(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    return Subject(_of_stream(things, happening).words, page("desk:ruling", key))


def _of_tier_table(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    return Subject(f"tier table {row['number']}", page("desk:tier-table", row["number"]))


def _of_alias_rule(things: Things, happening: Happening, key: uuid.UUID, row: Row) -> Subject:
    return Subject(f"{row['alias']} in {_team(happening.team)}", page("desk:alias-rules"))


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
    "catalog.edge": _of_edge,
    "compression.run": _of_run,
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
    if kind == "licence":
        return Subject(str(Licence.objects.get(pk=key)), page("desk:licence", key))
    if kind == "team":
        return Subject(f"the team {_team(uuid.UUID(key))}")
    return Subject("this installation")


def _team(key: uuid.UUID | None) -> str:
    found = Team.objects.filter(pk=key).first() if key else None
    return str(found.slug) if found else "the whole installation"

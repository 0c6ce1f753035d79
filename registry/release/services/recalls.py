"""Recalls: something must not be used any more, and so all that was made from it, in whichever team.

Rules:
- a compliance officer of the team that it belongs to (of the instance, for a licence) starts and ends a recall, with a reason;
- starting puts every version that `recall_reach` names in quarantine in ONE unit: the recall in the stream of what is recalled, the
  quarantines in the streams of the affected models, up to 120 in an event. A unit holds 10,000 events, so that is the bound: some
  1.2 million versions of one line, or 9,900 lines; more is refused whole, with the numbers;
- nothing is moved: who owns a line that serves such a version gets a finding, and rolls back or suspends;
- while a recall is written nobody registers a version or moves an alias (both tables are locked on PostgreSQL; on SQLite all writes
  are one after the other): what is made later meets the recall in the unit that registers it;
- an end takes every quarantine of the recall with it; findings stay until people close them.
"""

from __future__ import annotations

import datetime
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from django.db import connection

from registry.access import permissions
from registry.access.services import new_text
from registry.catalog import queries as catalog
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.errors import Conflict
from registry.events import MAX_EVENTS_PER_UNIT, Caller, Unit, emit, unit
from registry.oversight.models import Finding
from registry.oversight.queries import team_of_stream
from registry.provenance.subjects import Subject
from registry.release import recall_reach
from registry.release.models import AliasAssignment
from registry.release.quarantines import open_recall_of
from registry.release.services.gate import check_reason
from registry.release.stopping_models import Quarantine, Recall

FINDING = "recalled"
FINDING_DUE_DAYS = 1
QUARANTINES_PER_EVENT = 120
"""About 480 bytes each: an event holds at most 65,000."""


def require_start(*, actor: Caller, subject: Subject) -> str:
    """The role under which the caller may recall this."""
    return permissions.require(actor, "recall.start", subject.team_id)


def start_recall(*, actor: Caller, subject: Subject, reason: str) -> Recall:
    """Put everything that was made from the subject in quarantine. `recall_reach.preview` says before what that is."""
    role = require_start(actor=actor, subject=subject)
    check_reason(reason)
    with unit(actor, role=role) as opened:
        _one_after_the_other()
        require_start(actor=actor, subject=subject)  # that may have waited
        if open_recall_of(subject) is not None:
            raise Conflict(f"{subject.name} is recalled already.", hint="End that recall before another one.")
        reached = recall_reach.reached_by(subject.kind, subject.about)
        text = new_text(stream=subject.stream, purpose="reason", value=reason, now=opened.now)
        recall = Recall.objects.create(
            stream=subject.stream, kind=subject.kind, about=subject.about, subject=subject.name, reason=text,
            affected=len(reached), recalled_by_id=actor.actor_id, role=role, recalled_at=opened.now,
        )  # fmt: skip
        emit("recall.started", recall, text, team=subject.team_id, awaited=True)
        live = recall_reach.live_moves(reached)
        rows = _quarantine(opened, {key: {recall: distance} for key, distance in reached.items()}, len(live))
        _open_findings(opened, rows, live)
        return recall


def end_recall(*, actor: Caller, recall: Recall, reason: str) -> Recall:
    """It may be used again; every quarantine that only this recall held ends with it."""
    team_id = team_of_stream(recall.stream)
    role = permissions.require(actor, "recall.end", team_id)
    check_reason(reason)
    with unit(actor, role=role) as opened:
        row = Recall.objects.select_for_update(no_key=True, of=("self",)).get(pk=recall.pk)
        if row.ended_at is not None:
            raise Conflict("This recall has ended already.")
        text = new_text(stream=row.stream, purpose="reason", value=reason, now=opened.now)
        row.ended_at, row.ended_by_id, row.ended_reason = opened.now, actor.actor_id, text
        row.save(update_fields=["ended_at", "ended_by", "ended_reason"])
        emit("recall.ended", row, text, team=team_id, awaited=True)
        open_rows = Quarantine.objects.filter(recall=row, ended_at=None).order_by("pk")
        # a release that is granted at this moment ends its row itself: what is told here is what was open under the lock
        stopped = list(open_rows.select_related("model").select_for_update(no_key=True, of=("self",)))
        open_rows.update(ended_at=opened.now)
        for quarantine in stopped:
            quarantine.ended_at = opened.now
        for model, part in _by_model(stopped):
            emit("quarantine.ended", *part, team=model.team_id)
        return row


def follow_recalls(opened: Unit, version: ModelVersion) -> None:
    """Run inside the unit that registers or corrects a version: what open recalls say about it and what was made from it."""
    met = recall_reach.recalls_met_by(version)
    if not met:
        return
    # a recall that ends at this moment either waits for this unit and ends what it adds, or adds nothing any more
    rows = Recall.objects.select_for_update(no_key=True, of=("self",)).filter(pk__in=met, ended_at=None).order_by("pk")
    recalls = {row.pk: row for row in rows}
    met = {key: distance for key, distance in met.items() if key in recalls}
    if not met:
        return
    steps = {version.pk: 0, **dict(catalog.descendants_of(version_ids=[version.pk]))}
    known = set(
        Quarantine.objects.filter(version_id__in=steps, recall_id__in=met).values_list("version_id", "recall_id")
    )
    reached = {
        key: {recalls[recall]: distance + n for recall, distance in met.items() if (key, recall) not in known}
        for key, n in steps.items()
    }
    live = recall_reach.live_moves(reached)
    _open_findings(opened, _quarantine(opened, reached, len(live)), live)


def _one_after_the_other() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE catalog_version, release_assignment IN SHARE MODE")


def _quarantine(opened: Unit, reached: Mapping[uuid.UUID, Mapping[Recall, int]], findings: int) -> list[Quarantine]:
    """Write and emit the quarantines of versions, each under the recalls and with the steps that are given."""
    rows = [
        Quarantine(
            model=version.model, version=version, version_digest=version.digest, recall=recall, distance=distance,
            created_at=opened.now,
        )
        for version in _versions(reached)
        for recall, distance in reached[version.pk].items()
    ]  # fmt: skip
    parts = list(_by_model(rows))
    events = len(opened.events) + len(parts) + findings
    if events > MAX_EVENTS_PER_UNIT:
        raise Conflict(
            f"This reaches {len(rows)} versions in {len({row.model_id for row in rows})} lines of models, {findings} of them live: "
            f"{events} events, and one act holds {MAX_EVENTS_PER_UNIT}.",
            hint="Recall what was made from it in parts: single versions of models first, then the source.",
            code="too-many",
        )
    Quarantine.objects.bulk_create(rows, batch_size=500)
    for model, part in parts:
        emit("quarantine.opened", *part, team=model.team_id)
    return rows


def _versions(keys: Collection[uuid.UUID]) -> Iterator[ModelVersion]:
    for batch in recall_reach.batches(keys):
        yield from (
            ModelVersion.objects.select_related("model__team").filter(pk__in=batch).order_by("model_id", "number")
        )


def _by_model(rows: Sequence[Quarantine]) -> Iterator[tuple[RegisteredModel, list[Quarantine]]]:
    found: dict[uuid.UUID, list[Quarantine]] = defaultdict(list)
    for row in rows:
        found[row.model_id].append(row)
    for part in found.values():
        for start in range(0, len(part), QUARANTINES_PER_EVENT):
            yield part[0].model, part[start : start + QUARANTINES_PER_EVENT]


def _open_findings(opened: Unit, rows: Sequence[Quarantine], live: Sequence[AliasAssignment]) -> None:
    """One for each live version and recall, for the owner of its line. No name of another team stands in it."""
    serving: dict[uuid.UUID, list[AliasAssignment]] = defaultdict(list)
    for move in live:
        assert move.version_id is not None
        serving[move.version_id].append(move)
    due = opened.now.date() + datetime.timedelta(days=FINDING_DUE_DAYS)
    for row in rows:
        moves = serving.get(row.version_id)
        if not moves:
            continue
        model, stream = moves[0].model, f"model:{row.model_id}"
        aliases = ", ".join(sorted(move.alias.slug for move in moves))
        text = new_text(
            stream=stream, purpose="description", now=opened.now,
            value=f"{aliases} serves {model}@{row.version.number}, which is in quarantine: {_what(row, model)} was recalled. "
            "Nothing was moved. Roll back or suspend, or ask for a release of this version.",
        )  # fmt: skip
        finding = Finding.objects.create(
            stream=stream, kind=FINDING, about=row.pk, subject=f"{aliases} of {model.slug}"[:120],
            state=Finding.State.OPEN, description=text, owner=model.owner, due_on=due,
            created_by_id=opened.caller.actor_id, created_at=opened.now,
        )  # fmt: skip
        emit("finding.opened", finding, text, team=model.team_id)


def _what(row: Quarantine, model: RegisteredModel) -> str:
    if team_of_stream(row.recall.stream) in (None, model.team_id):
        return f"the {row.recall.kind.replace('_', ' ')} {row.recall.subject}"
    return "something of another team that it was made from"

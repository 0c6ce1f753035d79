"""Writes of this room: baselines, monitors, windows, incidents. Keyword-only, the actor first; every act is emitted."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from registry import storage
from registry.access import permissions
from registry.access.services import check_slug, new_text
from registry.catalog import distributions
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.compression.measured_again import evidence_documents
from registry.digests import is_digest
from registry.errors import Conflict, Invalid, NotFound
from registry.events import Caller, Ref, Unit, emit, unit
from registry.monitoring import documents, drift, queries
from registry.monitoring.models import Baseline, Incident, Monitor, Window, WindowState
from registry.release import queries as release
from registry.release import services as release_services
from registry.release.models import Alias, AliasAssignment, Approval
from registry.release.status import GRANTED

CLOCK_TOLERANCE = datetime.timedelta(minutes=5)
LABEL_LIMIT_CHARACTERS = 80
_OPENS_INCIDENT = {WindowState.DRIFTED, WindowState.DIGEST_DRIFT}

# --- baselines ---


def freeze_baseline(*, actor: Caller, approval: Approval) -> Baseline:
    """Freeze how an approved version behaves, from its measured distribution and the limits of the policy it was approved under."""
    role = permissions.require(actor, "baseline.freeze", approval.model.team_id)
    with unit(actor, role=role) as opened:
        row = release.approvals_of(approval.version).get(pk=approval.pk)
        if release.approval_status(row) != GRANTED:
            raise Conflict("A baseline is frozen for a granted approval only.", hint="Have the version approved first.")
        if Baseline.objects.filter(approval=row, version=row.version).exists():
            raise Conflict("The baseline of this approval is frozen already; it never changes.")
        baseline = _freeze(opened, row)
        if baseline is None:
            raise Conflict(
                f"There is no measured distribution of {row.version}.",
                hint="Request an evaluation run of the version; then ask for a new approval.",
                code="no-distribution",
            )
        return baseline


def freeze_on_grant(opened: Unit, approval: Approval) -> None:
    """Run inside the unit of the grant that completes an approval; without a measured distribution nothing is frozen."""
    _freeze(opened, approval)


def _freeze(opened: Unit, approval: Approval) -> Baseline | None:
    version = approval.version
    found = next(
        (
            (row, body)
            for row, body in evidence_documents(version)
            if row.kind == distributions.KIND and row.source == "measured"
        ),
        None,
    )
    if found is None:
        return None
    evidence, body = found
    data = documents.baseline_bytes(
        version_id=version.pk, version_digest=version.digest, approval_id=approval.pk, alias=approval.alias,
        policy_digest=approval.policy_digest, evidence_digest=evidence.digest,
        limits=release.policy_rules(approval.policy).drift_limits, distribution=distributions.from_document(body),
    )  # fmt: skip
    stored = storage.store_bytes(data)
    baseline = Baseline.objects.create(
        model_id=approval.model_id, version=version, version_digest=version.digest, approval=approval,
        digest=stored.digest, size_bytes=stored.size_bytes, created_by_id=opened.caller.actor_id,
        created_at=opened.now,
    )  # fmt: skip
    refs = [
        Ref("baseline", stored.digest, stored.size_bytes),
        Ref("evidence", evidence.digest, evidence.size_bytes),
    ]
    emit("baseline.frozen", baseline, team=approval.model.team_id, refs=refs)
    return baseline


# --- monitors and windows ---


def create_monitor(*, actor: Caller, model: RegisteredModel, alias: Alias | str, slug: str) -> Monitor:
    """Watch what an alias of a model serves."""
    role = permissions.require(actor, "monitor.create", model.team_id)
    check_slug(slug, "monitor")
    found = Alias.objects.filter(model=model, slug=str(alias)).first()
    if found is None:
        raise NotFound(f"{model} has no alias '{alias}'.", hint="The first promotion creates it.")
    if Monitor.objects.filter(model=model, slug=slug).exists():
        raise Conflict(f"{model} has a monitor '{slug}' already.", hint="Choose another name.")
    with unit(actor, role=role) as opened:
        monitor = Monitor.objects.create(
            model=model, alias=found, slug=slug, created_by_id=actor.actor_id, created_at=opened.now
        )
        emit("monitor.created", monitor, team=model.team_id)
        return monitor


def end_monitor(*, actor: Caller, monitor: Monitor) -> Monitor:
    """Watch no longer; what it saw stays."""
    role = permissions.require(actor, "monitor.create", monitor.model.team_id)
    with unit(actor, role=role) as opened:
        row = Monitor.objects.select_for_update(no_key=True).get(pk=monitor.pk)
        if row.ended_at is not None:
            raise Conflict("This monitor has ended already.")
        row.ended_at = opened.now
        row.save(update_fields=["ended_at"])
        emit("monitor.ended", row, team=monitor.model.team_id)
        return row


def record_window(
    *,
    actor: Caller,
    monitor: Monitor,
    label: str,
    started_at: datetime.datetime,
    ended_at: datetime.datetime,
    version_digest: str,
    distribution: dict[str, Any],
) -> Window:
    """Record and judge one stretch of live traffic. The same window again is answered with the one that is there.

    A window that drifted, or in which other bytes were served than the alias names, opens an incident in the same unit.
    """
    role = permissions.require(actor, "window.push", monitor.model.team_id)
    counted = _checked_distribution(distribution)
    _check_frame(label, started_at, ended_at, version_digest)
    data = documents.window_bytes(
        monitor_id=monitor.pk, label=label, started_at=started_at, ended_at=ended_at, version_digest=version_digest,
        distribution=counted,
    )  # fmt: skip
    stored = storage.store_bytes(data)
    with unit(actor, role=role) as opened:
        locked = Monitor.objects.select_for_update(no_key=True, of=("self",)).select_related("model", "alias")
        row = locked.get(pk=monitor.pk)
        known = Window.objects.filter(monitor=row, label=label).first()
        if known is not None:
            return _same_or_conflict(known, stored.digest)
        if row.ended_at is not None:
            raise Conflict("This monitor has ended.", hint="Create another one.")
        if ended_at > opened.now + CLOCK_TOLERANCE:
            raise Invalid("The window ends in the future.", hint="Correct 'ended_at', or the clock of the sender.")
        judged = _judge(row, counted, stored.digest, started_at, ended_at, version_digest)
        return _write_window(opened, row, label, started_at, ended_at, version_digest, counted["n"], stored, judged)


@dataclass(frozen=True)
class _Judged:
    """The answer for a window before it is written."""

    version: ModelVersion
    baseline: Baseline | None
    state: str
    document: bytes


def _judge(
    monitor: Monitor,
    distribution: dict[str, Any],
    window_digest: str,
    started_at: datetime.datetime,
    ended_at: datetime.datetime,
    version_digest: str,
) -> _Judged:
    served = release.served_between(monitor.model, monitor.alias.slug, started_at, ended_at)
    if not served:
        raise Conflict(
            f"'{monitor.alias}' served nothing between {started_at.isoformat()} and {ended_at.isoformat()}.",
            hint="Check the times; a window must lie where the alias served a version.",
            code="served-nothing",
        )
    move = next((m for m in reversed(served) if m.version_digest == version_digest), None)
    n = distribution["n"]
    if move is None:
        expected = served[-1]
        summary = (
            f"Other bytes were served than '{monitor.alias}' names: {version_digest[:19]} instead of "
            f"{str(expected.version_digest)[:19]}. Their behaviour was not judged."
        )
        state = WindowState.DIGEST_DRIFT
        document = documents.unjudged_bytes(state=state, summary=summary, n=n, window_digest=window_digest)
        return _Judged(_served(expected), None, state, document)
    baseline = queries.baseline_for(move)
    if baseline is None:
        summary = f"No baseline was frozen when {move.version} was approved, so nothing can be said about drift."
        state = WindowState.NO_BASELINE
        document = documents.unjudged_bytes(state=state, summary=summary, n=n, window_digest=window_digest)
        return _Judged(_served(move), None, state, document)
    try:
        judgement = drift.judge(queries.document_of(baseline.digest), distribution)
    except drift.WindowError as error:
        raise Invalid(
            f"The window does not fit the baseline: {error}.",
            hint="Count in the frozen bins; the monitor's 'baseline' gives them.",
            code="bins",
        ) from None
    document = documents.judgement_bytes(judgement, baseline_digest=baseline.digest, window_digest=window_digest)
    return _Judged(_served(move), baseline, judgement.state, document)


def _served(move: AliasAssignment) -> ModelVersion:
    assert move.version is not None  # served_between leaves suspensions out
    return move.version


def _write_window(
    opened: Unit, monitor: Monitor, label: str, started_at: datetime.datetime, ended_at: datetime.datetime,
    version_digest: str, row_count: int, stored: storage.Stored, judged: _Judged,
) -> Window:  # fmt: skip
    judgement = storage.store_bytes(judged.document)
    window = Window.objects.create(
        monitor=monitor, label=label, version=judged.version, version_digest=version_digest, baseline=judged.baseline,
        started_at=started_at, ended_at=ended_at, row_count=row_count, state=judged.state, digest=stored.digest,
        size_bytes=stored.size_bytes, judgement_digest=judgement.digest, judgement_size_bytes=judgement.size_bytes,
        pushed_by_id=opened.caller.actor_id, received_at=opened.now,
    )  # fmt: skip
    team_id = monitor.model.team_id
    refs = [
        Ref("window", stored.digest, stored.size_bytes), Ref("judgement", judgement.digest, judgement.size_bytes),
    ]  # fmt: skip
    emit("window.recorded", window, team=team_id, refs=refs)
    if window.state in _OPENS_INCIDENT:
        incident = Incident.objects.create(monitor=monitor, window=window, opened_at=opened.now)
        emit("incident.opened", incident, team=team_id, refs=[refs[1]])
    return window


def _same_or_conflict(known: Window, digest: str) -> Window:
    if known.digest == digest:
        return known
    raise Conflict(
        f"There is another window '{known.label}' already; a window never changes.",
        hint="Send the counts under another label.",
        code="label-taken",
        existing=str(known.pk),
    )


def _checked_distribution(distribution: dict[str, Any]) -> dict[str, Any]:
    counted = {"type": documents.DISTRIBUTION_TYPE, **distribution}
    try:
        distributions.check(counted)
    except distributions.DistributionError as error:
        raise Invalid(f"The counts cannot be used: {error}.", hint="Send a pressmark/distribution/1.") from None
    return counted


def _check_frame(label: str, started_at: datetime.datetime, ended_at: datetime.datetime, version_digest: str) -> None:
    if not (0 < len(label) <= LABEL_LIMIT_CHARACTERS and label.isascii() and label.isprintable()):
        raise Invalid(
            f"A label is 1 to {LABEL_LIMIT_CHARACTERS} printable ASCII characters.",
            hint="Use a date, such as 2026-01-31.",
        )
    if not is_digest(version_digest):
        raise Invalid("'version_digest' is no digest.", hint="Give the digest of the version that was served.")
    if started_at.tzinfo is None or ended_at.tzinfo is None or started_at >= ended_at:
        raise Invalid("The window must begin before it ends.", hint="Give both times with their zone.")


# --- incidents ---


def acknowledge_incident(*, actor: Caller, incident: Incident) -> Incident:
    """Say that somebody looks at it."""
    role = permissions.require(actor, "incident.acknowledge", incident.monitor.model.team_id)
    with unit(actor, role=role) as opened:
        row = _lock(incident)
        if row.acknowledged_at is not None or row.judged_at is not None or row.resolved_at is not None:
            raise Conflict(f"The incident is {queries.incident_status(row)} already.")
        row.acknowledged_at, row.acknowledged_by_id = opened.now, actor.actor_id
        row.save(update_fields=["acknowledged_at", "acknowledged_by"])
        emit("incident.acknowledged", row, team=row.monitor.model.team_id)
        return row


def judge_incident(*, actor: Caller, incident: Incident, benign: bool, reason: str = "") -> Incident:
    """Say whether the change harms: benign or confirmed."""
    role = permissions.require(actor, "incident.judge", incident.monitor.model.team_id)
    with unit(actor, role=role) as opened:
        row = _lock(incident)
        if row.judged_at is not None or row.resolved_at is not None:
            raise Conflict(f"The incident is {queries.incident_status(row)} already; a judgement is made once.")
        row.judged_at, row.judged_by_id, row.benign = opened.now, actor.actor_id, benign
        row.save(update_fields=["judged_at", "judged_by", "benign"])
        texts = []
        if reason.strip():
            stream = f"monitor:{row.monitor_id}"
            texts.append(new_text(stream=stream, purpose="reason", value=reason, now=opened.now))
        emit("incident.judged", row, *texts, team=row.monitor.model.team_id)
        return row


def resolve_incident(*, actor: Caller, incident: Incident, resolution: str) -> Incident:
    """Say how it ended, where the alias need not move."""
    role = permissions.require(actor, "incident.resolve", incident.monitor.model.team_id)
    with unit(actor, role=role) as opened:
        row = _lock(incident)
        return _resolve(opened, row, resolution, None)


def resolve_by_rollback(
    *,
    actor: Caller,
    incident: Incident,
    reason: str,
    to_version: ModelVersion | None = None,
    checked: tuple[release_services.Target, release_services.CheckedBytes] | None = None,
) -> Incident:
    """Roll the alias back and resolve the incident with it: two events, one unit. The target's bytes are read again before."""
    team_id = incident.monitor.model.team_id
    role = permissions.require(actor, "incident.resolve", team_id)
    model, alias = incident.monitor.model, incident.monitor.alias.slug
    _demand_still_served(incident)
    checked = checked or release_services.check_rollback(actor=actor, model=model, alias=alias, to_version=to_version)
    with unit(actor, role=role) as opened:
        row = _lock(incident)
        if row.resolved_at is not None:
            raise Conflict("The incident is resolved already.")
        _demand_still_served(row)
        move = release_services.roll_back(actor=actor, model=model, alias=alias, reason=reason, checked=checked)
        return _resolve(opened, row, reason, move)


def check_resolve_by_rollback(
    *, actor: Caller, incident: Incident
) -> tuple[release_services.Target, release_services.CheckedBytes]:
    """The long part of `resolve_by_rollback`, for callers that open a unit around it."""
    permissions.require(actor, "incident.resolve", incident.monitor.model.team_id)
    _demand_still_served(incident)
    model, alias = incident.monitor.model, incident.monitor.alias.slug
    return release_services.check_rollback(actor=actor, model=model, alias=alias)


def _demand_still_served(incident: Incident) -> None:
    """Rolling back must leave the version that drifted, not one that was promoted since."""
    move = release.incumbent(incident.monitor.model, incident.monitor.alias.slug)
    if move is None or move.version_id != incident.window.version_id:
        serves = f"serves {move.version}" if move else "serves nothing"
        raise Conflict(
            f"The alias has moved since: it {serves}, not the version of this incident.",
            hint="Resolve the incident with a statement.",
            code="moved-since",
        )


def _lock(incident: Incident) -> Incident:
    rows = Incident.objects.select_for_update(no_key=True, of=("self",))
    return rows.select_related("monitor__model", "monitor__alias", "window").get(pk=incident.pk)


def _resolve(opened: Unit, row: Incident, resolution: str, move: AliasAssignment | None) -> Incident:
    if row.resolved_at is not None:
        raise Conflict("The incident is resolved already.")
    if not resolution.strip():
        raise Invalid("The resolution is empty.", hint="Say in a sentence what was found and done.")
    text = new_text(stream=f"monitor:{row.monitor_id}", purpose="resolution", value=resolution, now=opened.now)
    row.resolved_at, row.resolved_by_id, row.resolution, row.assignment = opened.now, opened.caller.actor_id, text, move
    row.save(update_fields=["resolved_at", "resolved_by", "resolution", "assignment"])
    emit("incident.resolved", row, text, team=row.monitor.model.team_id)
    return row

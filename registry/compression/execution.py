"""Runs: who works on one, and how it ends. The row is the truth; a message from the queue only says where to look.

Rules:
- a run is claimed by ONE conditional UPDATE: queued, or running with its lease over; it sets owner token, lease and attempt;
- whoever does not hold the owner token writes nothing: every later write is conditional on it, the last one included;
- success is ONE unit: first the UPDATE on the owner token, then the version, its evidence and `run.succeeded`;
- a failure keeps its reason and log, and no version appears; cancelling wins over success until that last unit;
- a lease that is over puts the run back in the queue, or ends it after the last attempt: `reap`.
"""

from __future__ import annotations

import datetime
import logging
import uuid
from functools import partial
from typing import Any

from django.conf import settings
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from registry import storage
from registry.access.models import SYSTEM_ROLE
from registry.access.queries import system_actor
from registry.access.services import new_text
from registry.catalog import services as catalog
from registry.catalog.models import EdgeRole, Grade, ModelVersion, VersionOrigin
from registry.catalog.services_grades import raise_grade
from registry.compression import replays
from registry.compression.calling import WorkHalted, ending
from registry.compression.heartbeat import Halt, Heartbeat, Held, Progress
from registry.compression.job import Job, sweep_work
from registry.compression.material import declaring_file
from registry.compression.models import Run, RunKind, RunState
from registry.compression.queries import recipe_bytes
from registry.compression.replay_hooks import run_when_replay_differs
from registry.compression.results import EngineResult
from registry.compression.rules import Failure, needs_calibration, operations, parsed_recipe, worker_lost
from registry.compression.subjects import evidence_spec
from registry.compression.taken import first_operations
from registry.compression.training import check_covers, edges_of, trains
from registry.compression.work import Outcome, Work
from registry.events import Caller, Ref, Unit, Via, emit, unit
from registry.storage import Stored

logger = logging.getLogger(__name__)
_RELATED = (
    "model", "parent", "recipe", "evaluation__dataset", "calibration__dataset", "baseline__dataset",
    "out_of_distribution__dataset", "training__dataset", "teacher__model", "student__model",
    "base", "incumbent", "first", "rederives__model", "requested_by",
)  # fmt: skip


def execute(run_id: uuid.UUID) -> bool:
    """Claim the run and carry it out to its end; False when there was nothing to do here."""
    token = uuid.uuid4()
    run = claim(run_id, token)
    if run is None:
        return False
    job = Job(run)
    try:
        _carry_out(run, token, job)
    except WorkHalted:
        logger.warning("run %s: the lease was lost in attempt %s; nothing was written", run.pk, run.attempt)
    finally:
        job.remove()
        sweep_work(_ended)
    return True


def _ended(run_ids: list[uuid.UUID]) -> set[uuid.UUID]:
    """Those of the runs that nobody will work on any more."""
    going = Run.objects.filter(pk__in=run_ids, state__in=(RunState.QUEUED, RunState.RUNNING))
    return set(run_ids) - set(going.values_list("pk", flat=True))


def claim(run_id: uuid.UUID, token: uuid.UUID) -> Run | None:
    """Make the run ours, or None when it is somebody's, has ended, or may not be tried again."""
    requester = Run.objects.filter(pk=run_id).values_list("requested_by_id", flat=True).first()
    if requester is None:
        logger.warning("run %s is not known", run_id)
        return None
    with unit(_system(requester, "worker"), role=SYSTEM_ROLE) as opened:
        free = Q(state=RunState.QUEUED) | Q(state=RunState.RUNNING, lease_until__lt=opened.now)
        rows = Run.objects.filter(free, pk=run_id, cancel_requested_at=None, attempt__lt=F("max_attempts"))
        claimed = rows.update(
            state=RunState.RUNNING, owner_token=token, attempt=F("attempt") + 1, started_at=opened.now,
            heartbeat_at=opened.now, lease_until=opened.now + _lease(), progress={},
        )  # fmt: skip
        if not claimed:
            return None
        run = _fresh(run_id)
        emit("run.started", run, team=run.model.team_id)
    return run


def renew(run_id: uuid.UUID, token: uuid.UUID, progress: Progress | None) -> Held:
    """Lengthen the lease and write progress down, if the run is still ours."""
    now = timezone.now()
    values: dict[str, Any] = {"lease_until": now + _lease(), "heartbeat_at": now}
    if progress is not None:
        values["progress"] = dict(progress)
    if not _ours(run_id, token).update(**values):
        return Held.LOST
    return Held.CANCELLED if _ours(run_id, token).filter(cancel_requested_at__isnull=False).exists() else Held.HELD


def note_wake(run: Run, now: datetime.datetime) -> bool:
    """Note that a worker is being woken for a queued run; False when somebody else just did, or it is not queued any more."""
    waiting = Run.objects.filter(pk=run.pk, state=RunState.QUEUED, heartbeat_at=run.heartbeat_at)
    return bool(waiting.update(heartbeat_at=now))


def reap(now: datetime.datetime) -> int:
    """Take back every run whose lease is over: queue it again, or end it. Harmless to repeat, and from several places."""
    stale = Run.objects.filter(state=RunState.RUNNING, lease_until__lt=now).values_list("pk", "requested_by_id")
    return sum(_take_back(pk, requester, now) for pk, requester in list(stale))


def _take_back(run_id: uuid.UUID, requester: uuid.UUID, now: datetime.datetime) -> bool:
    with unit(_system(requester, "keeper"), role=SYSTEM_ROLE) as opened:
        run = Run.objects.select_for_update(no_key=True).get(pk=run_id)
        gone = Run.objects.filter(pk=run_id, owner_token=run.owner_token, state=RunState.RUNNING, lease_until__lt=now)
        if run.cancel_requested_at is not None:
            return bool(_end(gone, RunState.CANCELLED, opened.now)) and _say(run_id, "run.cancelled")
        if run.attempt >= run.max_attempts:
            ended = _end(gone, RunState.FAILED, opened.now)
            return bool(ended) and _say_failed(run_id, worker_lost(run.attempt), opened)
        # no heartbeat: nobody has been woken for it yet
        back = gone.update(state=RunState.QUEUED, owner_token=None, lease_until=None, heartbeat_at=None)
        return bool(back) and _say(run_id, "run.requeued")


def _carry_out(run: Run, token: uuid.UUID, job: Job) -> None:
    ended = ending(f"run {run.pk}", partial(_worked, run, token, job))
    log = storage.store_bytes(job.log(f"Run {run.pk}, {run.kind}, attempt {run.attempt}, seed {run.seed}\n"))
    last = ending(f"run {run.pk}", partial(_succeed, run, token, ended, log)) if isinstance(ended, Outcome) else ended
    if isinstance(last, Failure):
        _fail(run, token, last, log)
    elif last is Halt.CANCELLED:
        _cancel(run, token, log)
    elif last is Halt.LOST:
        raise WorkHalted(Halt.LOST)


def _worked(run: Run, token: uuid.UUID, job: Job) -> Outcome:
    heartbeat = Heartbeat(
        partial(renew, run.pk, token),
        lease_seconds=settings.PRESSMARK_LEASE_SECONDS,
        limit_seconds=settings.PRESSMARK_RUN_TIME_LIMIT_SECONDS,
    )
    with heartbeat:
        outcome = Work(run, job, heartbeat).carry_out()
    held = renew(run.pk, token, None)
    if held is not Held.HELD:
        raise WorkHalted(Halt(held))
    return outcome


def _succeed(run: Run, token: uuid.UUID, outcome: Outcome, log: Stored) -> None:
    """The one unit in which a run succeeds."""
    with unit(_system(run.requested_by_id, "worker"), role=SYSTEM_ROLE) as opened:
        mine, made = _ours(run.pk, token), outcome.result
        values = {
            "log_digest": log.digest, "engine_version": made.engine_version,
            "result_digest": outcome.document.digest, "outputs_digest": made.outputs_digest,
        }  # fmt: skip
        if not _end(mine.filter(cancel_requested_at=None), RunState.SUCCEEDED, opened.now, **values):
            raise WorkHalted(Halt.CANCELLED if mine.exists() else Halt.LOST)
        version = _derived(opened, run, outcome) if run.rederives is None else run.rederives
        specs = [evidence_spec(run, version, made, document) for document in outcome.evidence]
        catalog.add_evidence(opened, version=version, specs=specs, created_by=run.requested_by)
        if run.kind == RunKind.COMPRESSION:
            Run.objects.filter(pk=run.pk).update(child=version)
        if run.rederives is not None:
            _judge_replay(opened, run, run.rederives, made)
        refs = [_log_ref(log), Ref("engine_result", outcome.document.digest, outcome.document.size_bytes)]
        kept = made.outputs_file
        refs += [] if kept is None else [Ref("outputs", kept["digest"], kept["size_bytes"])]
        _say(run.pk, "run.succeeded", refs)


def _judge_replay(opened: Unit, run: Run, version: ModelVersion, made: EngineResult) -> None:
    """The grade of what the version came from rises, or somebody is told that it could not be made again.

    What cannot be told on this worker's processor is no word about the version: nothing rises and nobody is told.
    """
    document = made.document
    if document["outcome"] == replays.UNTOLD:
        return
    if document["outcome"] == replays.DIFFERS:
        run_when_replay_differs(opened, run, str(document["evidence"][0]["plain"][0]))
        return
    used = [None if document["calibration"] is None else run.calibration, run.training]
    beside = (run.teacher, run.student, run.parent if run.student is not None else None)
    learned = [one for one in beside if one is not None]
    data = [rows for rows in used if rows is not None]
    raise_grade(opened, version=version, parent=run.parent, data=data, learned=learned)


def _derived(opened: Unit, run: Run, outcome: Outcome) -> ModelVersion:
    """The child as the next version of the model; for an evaluation the version itself.

    The same parent and recipe give the same bytes: a child that an earlier run made is not made twice, it gets the new evidence;
    unless this one came from something whose terms do not bind that one.
    """
    if outcome.manifest is None or run.recipe is None:
        return run.parent
    begun, made = run.student or run.parent, outcome.result
    done = parsed_recipe(made.done or recipe_bytes(run.recipe))
    used = [run.calibration] if run.calibration is not None and needs_calibration(done) else []
    used += [run.training] if run.training is not None and run.training not in used and trains(done) else []
    role, origins = EdgeRole.BASE if run.student is None else EdgeRole.STUDENT_START, edges_of(run, done)
    made_before = ModelVersion.objects.filter(
        model=run.model, digest=outcome.manifest.digest, origin=VersionOrigin.DERIVED,
        parent_edges__parent=begun, parent_edges__grade__in=(Grade.EXECUTED, Grade.REDERIVED),
    ).first()  # fmt: skip
    if made_before is not None:
        check_covers(made_before, begun, role, origins, used)
        return made_before
    did = [*first_operations(begun.format, declaring_file(begun)), *operations(done, made.document["steps"])]
    return catalog.add_derived_version(
        opened, model=run.model, parent=begun, files=(), manifest=outcome.manifest, requested_by=run.requested_by,
        operations=did, data=used, origins=origins, role=role,
    )  # fmt: skip


def _fail(run: Run, token: uuid.UUID, failure: Failure, log: Stored) -> None:
    with unit(_system(run.requested_by_id, "worker"), role=SYSTEM_ROLE) as opened:
        if not _end(_ours(run.pk, token), RunState.FAILED, opened.now, log_digest=log.digest):
            raise WorkHalted(Halt.LOST)
        _say_failed(run.pk, failure, opened, [_log_ref(log)])


def _cancel(run: Run, token: uuid.UUID, log: Stored) -> None:
    with unit(_system(run.requested_by_id, "worker"), role=SYSTEM_ROLE) as opened:
        if not _end(_ours(run.pk, token), RunState.CANCELLED, opened.now, log_digest=log.digest):
            raise WorkHalted(Halt.LOST)
        _say(run.pk, "run.cancelled", [_log_ref(log)])


def _end(mine: QuerySet[Run], state: RunState, now: datetime.datetime, **values: Any) -> int:
    """Conditional: only the rows that are still ours."""
    return mine.update(state=state, finished_at=now, owner_token=None, lease_until=None, **values)


def _say(run_id: uuid.UUID, kind: str, refs: list[Ref] | None = None) -> bool:
    run = _fresh(run_id)
    emit(kind, run, team=run.model.team_id, refs=refs or [])
    return True


def _say_failed(run_id: uuid.UUID, failure: Failure, opened: Unit, refs: list[Ref] | None = None) -> bool:
    run = _fresh(run_id)
    text = new_text(stream=f"model:{run.model_id}", purpose="failure", value=failure.text, now=opened.now)
    Run.objects.filter(pk=run_id).update(failure_code=failure.code, failure=text)
    run = _fresh(run_id)
    emit("run.failed", run, text, team=run.model.team_id, refs=refs or [])
    return True


def _ours(run_id: uuid.UUID, token: uuid.UUID) -> QuerySet[Run]:
    return Run.objects.filter(pk=run_id, owner_token=token, state=RunState.RUNNING)


def _fresh(run_id: uuid.UUID) -> Run:
    return Run.objects.select_related(*_RELATED).get(pk=run_id)


def _lease() -> datetime.timedelta:
    return datetime.timedelta(seconds=settings.PRESSMARK_LEASE_SECONDS)


def _log_ref(log: Stored) -> Ref:
    return Ref("log", log.digest, log.size_bytes)


def _system(requester: uuid.UUID, via: Via) -> Caller:
    return Caller(actor_id=system_actor().pk, via=via, on_behalf_of=requester)

"""Data profiles: who works on one, and how it ends. The row is the truth; a message from the queue only says where to look.

Rules:
- a profile is claimed by ONE conditional UPDATE: not ended, and nobody's or with its lease over; it sets token, lease and attempt;
- whoever does not hold the token writes nothing; success and failure are ONE unit each, which begins with that UPDATE;
- what the engine wrote counts only if it has the shape of its schema and is about the bytes that it was given;
- a lease that is over frees the profile for another attempt, or ends it after the last one.
While nobody holds a profile, `lease_until` says until when no further worker is woken for it.
"""

from __future__ import annotations

import datetime
import logging
import shutil
import uuid
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from registry import storage
from registry.access.models import SYSTEM_ROLE
from registry.access.queries import system_actor
from registry.access.services import new_text
from registry.compression.calling import Engine, WorkHalted, ending
from registry.compression.child import Limits
from registry.compression.heartbeat import Halt, Heartbeat, Held, Progress
from registry.compression.job import place_data
from registry.compression.profile_results import read_profile
from registry.compression.rules import Failure, due_again, plain, worker_lost
from registry.events import Caller, Ref, Unit, Via, emit, unit
from registry.provenance.models import DataProfile, DatasetVersion
from registry.provenance.profiles import label_of
from registry.storage import Stored

logger = logging.getLogger(__name__)
ATTEMPTS_MAX = 3
_RESEND = datetime.timedelta(seconds=60)
_PREFIX = "profile-"
_LOG_BYTES = 256 * 1024


def execute(profile_id: uuid.UUID) -> bool:
    """Claim the profile and carry it out to its end; False when there was nothing to do here."""
    token = uuid.uuid4()
    profile = claim(profile_id, token)
    if profile is None:
        return False
    root = Path(settings.PRESSMARK_RUNS)
    folder = root / f"{_PREFIX}{profile.pk}-{profile.attempt}-{uuid.uuid4().hex[:8]}"
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(mode=0o700)
        _carry_out(profile, token, folder)
    except WorkHalted:
        logger.warning("profile %s: the lease was lost in attempt %s; nothing was written", profile.pk, profile.attempt)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _sweep(root)
    return True


def claim(profile_id: uuid.UUID, token: uuid.UUID) -> DataProfile | None:
    """Make the profile ours, or None when it is somebody's, has ended, or may not be tried again."""
    asked_by = DataProfile.objects.filter(pk=profile_id).values_list("asked_by_id", flat=True).first()
    if asked_by is None:
        logger.warning("profile %s is not known", profile_id)
        return None
    with unit(_system(asked_by, "worker"), role=SYSTEM_ROLE) as opened:
        free = Q(owner_token=None) | Q(lease_until__lt=opened.now)
        rows = DataProfile.objects.filter(free, pk=profile_id, finished_at=None, attempt__lt=ATTEMPTS_MAX)
        if not rows.update(owner_token=token, lease_until=opened.now + _lease(), attempt=F("attempt") + 1):
            return None
        profile = _fresh(profile_id)
        emit("profile.started", profile, team=profile.dataset_version.dataset.team_id)
    return profile


def renew(profile_id: uuid.UUID, token: uuid.UUID, progress: Progress | None) -> Held:
    """Lengthen the lease, if the profile is still ours."""
    held = _ours(profile_id, token).update(lease_until=timezone.now() + _lease())
    return Held.HELD if held else Held.LOST


def note_wake(profile: DataProfile, now: datetime.datetime) -> bool:
    """Note that a worker is being woken; False when somebody else just did, or somebody works on it."""
    woken_at = None if profile.lease_until is None else profile.lease_until - _RESEND
    if not due_again(profile.asked_at, woken_at or profile.asked_at, now):
        return False
    waiting = DataProfile.objects.filter(
        pk=profile.pk, finished_at=None, owner_token=None, lease_until=profile.lease_until
    )
    return bool(waiting.update(lease_until=now + _RESEND))


def reap(now: datetime.datetime) -> int:
    """Free every profile whose lease is over, or end it after the last attempt. Harmless to repeat, and from several places."""
    gone = DataProfile.objects.filter(finished_at=None, owner_token__isnull=False, lease_until__lt=now)
    return sum(_take_back(profile, now) for profile in list(gone))


def _take_back(profile: DataProfile, now: datetime.datetime) -> bool:
    gone = DataProfile.objects.filter(pk=profile.pk, owner_token=profile.owner_token, lease_until__lt=now)
    if profile.attempt < ATTEMPTS_MAX:
        return bool(gone.filter(finished_at=None).update(owner_token=None, lease_until=None))
    with unit(_system(profile.asked_by_id, "keeper"), role=SYSTEM_ROLE) as opened:
        return _fail(profile.pk, gone.filter(finished_at=None), worker_lost(profile.attempt), opened, [])


def _carry_out(profile: DataProfile, token: uuid.UUID, folder: Path) -> None:
    name = f"profile {profile.pk}"
    ended = ending(name, partial(_worked, profile, token, folder))
    last = ending(name, partial(_succeed, profile, token, ended)) if isinstance(ended, tuple) else ended
    if isinstance(last, Failure):
        log = storage.store_bytes(_log(folder))
        with unit(_system(profile.asked_by_id, "worker"), role=SYSTEM_ROLE) as opened:
            refs = [Ref("log", log.digest, log.size_bytes)]
            if not _fail(profile.pk, _ours(profile.pk, token), last, opened, refs):
                raise WorkHalted(Halt.LOST)
    elif isinstance(last, Halt):
        raise WorkHalted(last)


def _worked(profile: DataProfile, token: uuid.UUID, folder: Path) -> tuple[Stored, str]:
    """The stored document and the engine's version."""
    seconds = settings.PRESSMARK_RUN_TIME_LIMIT_SECONDS
    limits = Limits(settings.PRESSMARK_RUN_MEMORY_LIMIT_BYTES, seconds)
    heartbeat = Heartbeat(
        partial(renew, profile.pk, token), lease_seconds=settings.PRESSMARK_LEASE_SECONDS, limit_seconds=seconds
    )
    with heartbeat:
        engine = Engine(
            folder, said=folder / "said.txt", told=folder / "told.jsonl", limits=limits, heartbeat=heartbeat
        )
        arguments = _placed(profile, folder)
        engine.call(arguments, foreign_data=partial(_uses_foreign_data, profile))
        found = read_profile(folder / "profile.json", profile)
    if renew(profile.pk, token, None) is not Held.HELD:
        raise WorkHalted(Halt.LOST)
    return storage.store_bytes(found.raw), found.engine_version


def _placed(profile: DataProfile, folder: Path) -> list[object]:
    """The rows in the folder, and the call that looks at them; files are called by what they are there for."""
    asked = profile.settings
    named = [*asked["against"], *([asked["previous"]] if asked["previous"] else [])]
    versions = DatasetVersion.objects.in_bulk([uuid.UUID(entry["dataset_version"]) for entry in named])
    place_data(profile.dataset_version, folder / "data")
    arguments: list[object] = ["profile", folder / "data", "--seed", asked["seed"], "--output", folder / "profile.json"]
    label = label_of(profile)
    arguments += [] if label is None else [f"--label={label}"]
    for number, other in enumerate(asked["against"]):
        place_data(versions[uuid.UUID(other["dataset_version"])], folder / f"against-{number}")
        arguments += ["--against", folder / f"against-{number}"]
    if asked["previous"] is not None:
        place_data(versions[uuid.UUID(asked["previous"]["dataset_version"])], folder / "previous")
        arguments += ["--previous", folder / "previous"]
    return arguments


def _uses_foreign_data(profile: DataProfile) -> bool:
    named = [entry["dataset_version"] for entry in profile.settings["against"]]
    team_id = profile.dataset_version.dataset.team_id
    return DatasetVersion.objects.filter(pk__in=named).exclude(dataset__team_id=team_id).exists()


def _succeed(profile: DataProfile, token: uuid.UUID, made: tuple[Stored, str]) -> None:
    """The one unit in which a profile is finished."""
    stored, version = made
    with unit(_system(profile.asked_by_id, "worker"), role=SYSTEM_ROLE) as opened:
        values: dict[str, Any] = {
            "digest": stored.digest, "size_bytes": stored.size_bytes, "engine_version": version,
            "finished_at": opened.now, "owner_token": None, "lease_until": None,
        }  # fmt: skip
        if not _ours(profile.pk, token).update(**values):
            raise WorkHalted(Halt.LOST)
        row = _fresh(profile.pk)
        refs = [Ref("data_profile", stored.digest, stored.size_bytes)]
        emit("profile.finished", row, team=row.dataset_version.dataset.team_id, refs=refs)


def _fail(profile_id: uuid.UUID, mine: QuerySet[DataProfile], failure: Failure, opened: Unit, refs: list[Ref]) -> bool:
    """Inside an open unit: the profile ends with a reason, if it is still whose it was."""
    values = {"finished_at": opened.now, "failure_code": failure.code, "owner_token": None, "lease_until": None}
    if not mine.update(**values):
        return False
    row = _fresh(profile_id)
    text = new_text(stream=f"dataset:{row.dataset_id}", purpose="failure", value=failure.text, now=opened.now)
    DataProfile.objects.filter(pk=profile_id).update(failure=text)
    row = _fresh(profile_id)
    emit("profile.failed", row, text, team=row.dataset_version.dataset.team_id, refs=refs)
    return True


def _log(folder: Path) -> bytes:
    """What the engine said, for people."""
    try:
        said = (folder / "said.txt").read_bytes()[-_LOG_BYTES:]
    except OSError:
        said = b""
    return b"".join(plain(line, 2000).encode() + b"\n" for line in said.decode(errors="replace").splitlines())


def _sweep(root: Path) -> None:
    """Remove what lost attempts left of profiles that have ended."""
    folders = {folder: uuid.UUID(folder.name[len(_PREFIX) :][:36]) for folder in root.glob(f"{_PREFIX}*-*-*")}
    ended = DataProfile.objects.filter(pk__in=folders.values(), finished_at__isnull=False)
    gone = set(ended.values_list("pk", flat=True))
    for folder, key in folders.items():
        if key in gone:
            shutil.rmtree(folder, ignore_errors=True)


def _ours(profile_id: uuid.UUID, token: uuid.UUID) -> QuerySet[DataProfile]:
    return DataProfile.objects.filter(pk=profile_id, owner_token=token, finished_at=None)


def _fresh(profile_id: uuid.UUID) -> DataProfile:
    return DataProfile.objects.select_related("dataset_version__dataset").get(pk=profile_id)


def _lease() -> datetime.timedelta:
    return datetime.timedelta(seconds=settings.PRESSMARK_LEASE_SECONDS)


def _system(asked_by: uuid.UUID, via: Via) -> Caller:
    return Caller(actor_id=system_actor().pk, via=via, on_behalf_of=asked_by)

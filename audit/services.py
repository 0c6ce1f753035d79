"""Writes of the ledger's own house: its birth (entry 0)."""

from __future__ import annotations

import datetime
import uuid
from pathlib import Path

from django.conf import settings

from audit import keys, notes
from audit.models import Entry, Key, Ledger
from audit.signing import Signer, issuer_name
from registry import storage
from registry.access.models import SYSTEM_ROLE, Actor, ActorKind
from registry.errors import Conflict
from registry.events import Caller, Ref, emit, unit
from registry.ids import uuid7


def origin_of(instance: uuid.UUID, epoch: int) -> str:
    """The origin line of checkpoints: the instance and its epoch."""
    return f"pressmark/{instance}/{epoch}"


def make_keys(origin: str, folder: Path) -> tuple[Signer, Signer]:
    """Two new keys as 0600 files, named after the origin."""
    folder.mkdir(parents=True, exist_ok=True)
    log, issuer = Signer.generate(origin), Signer.generate(issuer_name(origin))
    log.save(folder / keys.LOG_FILE)
    issuer.save(folder / keys.ISSUER_FILE)
    keys.forget()
    return log, issuer


def create_ledger(*, instance: uuid.UUID, log: Signer, issuer: Signer) -> Ledger:
    """Entry 0, `ledger.created`: the ledger, the system actor and both keys, and the keys note signed by both."""
    if Entry.objects.exists():
        raise Conflict("There is a ledger already.", hint="An installation is set up once; see `pressmark check`.")
    origin = origin_of(instance, 1)
    note = notes.sign_keys(notes.KeysNote(origin, 0, log.public, issuer.public), log, issuer)
    stored = storage.store_bytes(note)
    system_id = uuid7()
    caller = Caller(actor_id=system_id, via="setup")
    with unit(caller, role=SYSTEM_ROLE) as opened:
        system = Actor(id=system_id, kind=ActorKind.SYSTEM, username="system", created_at=opened.now)
        system.set_unusable_password()
        system.save()
        ledger = Ledger.objects.create(instance=instance, epoch=1, origin=origin, created_at=opened.now)
        key_rows = [_key(Key.Use.LOG, log, opened.now), _key(Key.Use.ISSUER, issuer, opened.now)]
        emit(
            "ledger.created", ledger, system, *key_rows, team=None,
            refs=[Ref("keys", stored.digest, stored.size_bytes)],
        )  # fmt: skip
    return ledger


def _key(use: str, signer: Signer, now: datetime.datetime) -> Key:
    return Key.objects.create(use=use, key_line=signer.key_line, first_position=0, created_at=now)


def keys_folder() -> Path:
    """Where this installation keeps its keys."""
    return Path(settings.PRESSMARK_KEYS)

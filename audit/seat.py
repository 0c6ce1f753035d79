"""Where an installation stands: so that a home folder that was copied does not sign a second history under the same origin.

Rules:
- the folder of checkpoints says on which host and at which real path it is used, for which origin; it does so from `init` on;
- host: PRESSMARK_HOST_ID, else /etc/machine-id (as a hash: the id itself is nobody's business), else nothing: then the path alone
  must do; several hosts that share the folder share one PRESSMARK_HOST_ID;
- nothing is signed elsewhere before an administrator says what happened: `pressmark confirm-move` (moved, the old place is no more)
  or `pressmark reopen-ledger --copied` (both go on, this one under an origin of its own);
- a seat that was taken for an earlier origin of this ledger binds nothing: who reopened it is here.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from django.conf import settings

from audit.refusal import LedgerRefused
from registry.digests import time_text
from registry.storage import sync_folder

FILE = "seat.json"
MACHINE_ID = Path("/etc/machine-id")
REMEDY = (
    "If it was moved and the old place is gone for ever, run `pressmark confirm-move`. "
    "If the old one goes on as well, run `pressmark reopen-ledger --copied`: this one then has an origin of its own."
)


@dataclass(frozen=True)
class Seat:
    """A place, and the origin that is signed for there."""

    origin: str
    host: str | None
    path: str


def here(origin: str) -> Seat:
    """The place where this process looks."""
    return Seat(origin, _host(), str(_folder().resolve()))


def _folder() -> Path:
    return Path(settings.PRESSMARK_CHECKPOINTS)


def _host() -> str | None:
    name = settings.PRESSMARK_HOST_ID
    if not name:
        try:
            name = MACHINE_ID.read_text().strip()
        except OSError:
            name = ""
    return "sha256:" + hashlib.sha256(b"pressmark/seat/1\x00" + name.encode()).hexdigest() if name else None


def taken() -> Seat | None:
    """The place that the folder says it is used at; None when it says nothing. LedgerRefused when what it says cannot be read."""
    try:
        said = json.loads((_folder() / FILE).read_text())
        return Seat(said["origin"], said["host"], said["path"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise LedgerRefused(f"{_folder() / FILE} is damaged: it does not say where it is used.", hint=REMEDY) from None


def taken_or_none() -> Seat | None:
    """The same, where a damaged answer is as good as none."""
    try:
        return taken()
    except LedgerRefused:
        return None


def take(origin: str) -> None:
    """Say that it is used here."""
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    said = asdict(here(origin)) | {"since": time_text(datetime.datetime.now(datetime.UTC)), "type": "pressmark/seat/1"}
    temporary = folder / (FILE + ".new")
    with temporary.open("w") as target:
        json.dump(said, target, indent=1, sort_keys=True)
        target.flush()
        os.fsync(target.fileno())
    os.replace(temporary, folder / FILE)
    sync_folder(folder)


def demand(origins: Sequence[str], *, signed: bool) -> None:
    """Refuse to sign anywhere but at the seat.

    `origins`: those of this ledger, the present one last. `signed`: whether the folder holds checkpoints.
    """
    seat, now = taken(), here(origins[-1])
    if seat is None:
        if signed:
            raise LedgerRefused(f"{now.path} does not say where it is used: {FILE} is missing.", hint=REMEDY)
        return
    if seat.origin in origins[:-1]:
        return
    if seat.path != now.path:
        raise LedgerRefused(f"This installation was used at {seat.path}, and now it is at {now.path}.", hint=REMEDY)
    if seat.host is not None and seat.host != now.host:
        raise LedgerRefused("This installation was used on another host.", hint=REMEDY)

"""The private keys of the instance: the log key signs checkpoints (keeper only), the issuer key receipts, statements, manifests.

They are 0600 files outside the database, `log.key` and `issuer.key` from entry 0 on, `log-<position>.key` and
`issuer-<position>.key` from that position on. A process loads only the key that it needs. Rules:
- what is signed for a position is signed by the key of its era (`audit.eras`), as the table of keys names it, and by no other: a
  file that is missing or holds another key than the table says signs nothing, and the refusal says so; nor does a revoked key;
- key files are written before the entry that names them is committed, so a newer file counts only once the table of keys holds
  its public half: a file left behind by an attempt that failed signs nothing;
- a rotation is seen at once by every process that shares the folder; looking costs one `stat`, and no query while nothing changed
  (but one every few seconds, for a host that was given no copy of the new files).
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from audit.models import Key
from audit.signing import KeyFileError, PublicKey, Signer
from registry.errors import Unavailable
from registry.storage import sync_folder

LOG_FILE = "log.key"
ISSUER_FILE = "issuer.key"
_LATER = re.compile(r"(log|issuer)-([1-9][0-9]{0,15})\.key")
_RECENT_NS = 2_000_000_000  # a folder may change again within the grain of its time stamp: then look again
_TRUST_SECONDS = 5.0
_LOST_HINT = (
    "Restore keys/ from its newest backup. If the key is lost for good, `pressmark revoke-keys` brings new ones."
)


def folder() -> Path:
    """Where this installation keeps its keys."""
    place = settings.PRESSMARK_KEYS
    return place if isinstance(place, Path) else Path(place)


def file_name(use: str, first: int) -> str:
    """The file of the key that signs from position `first` on; `use` is log or issuer."""
    return f"{use}-{first}.key" if first else f"{use}.key"


def log_signer(position: int | None = None) -> Signer:
    """The log key in force at a position (now, when none is given); only the keeper and set-up ask for it."""
    return _signer("log", position)


def issuer_signer(position: int | None = None) -> Signer:
    """The issuer key in force at a position (now, when none is given)."""
    return _signer("issuer", position)


@dataclass(frozen=True)
class _Row:
    first: int
    key_line: str
    revoked: bool


@dataclass(frozen=True)
class _Seen:
    """The folder and the table of keys as they were last read; replaced whole, never changed.

    But `void` only grows, and `newest` holds what was found to be in force while no other file waits to be.
    """

    folder: Path
    changed_ns: int
    read_at: float
    files: dict[str, tuple[int, ...]]
    rows: dict[str, tuple[_Row, ...]]
    void: set[tuple[str, int]] = field(default_factory=set)
    newest: dict[str, tuple[int, Signer]] = field(default_factory=dict)


_seen: _Seen | None = None


def _signer(use: str, position: int | None) -> Signer:
    if position == 0:  # entry 0 names its keys itself: they sign for it before anything else is known
        return _load(folder() / file_name(use, 0))
    newest = _look().newest.get(use)
    if newest is not None and (position is None or newest[0] <= position):
        return newest[1]
    rows = _rows(use, position)
    row = next((r for r in rows if position is None or r.first <= position), None)
    if row is None:
        return _load(folder() / file_name(use, 0))
    if row.revoked:
        raise Unavailable(
            f"The {use} key that signed from position {row.first} on is revoked; it signs nothing any more.",
            hint="What is signed now is signed by the keys in force; see `pressmark keys`.",
        )
    signer = _load(folder() / file_name(use, row.first))
    if signer.key_line != row.key_line:
        raise Unavailable(
            f"{folder() / file_name(use, row.first)} is not the {use} key that the ledger names from position {row.first} on.",
            hint=_LOST_HINT,
        )
    _keep_newest(use, row, signer)
    return signer


def _keep_newest(use: str, row: _Row, signer: Signer) -> None:
    seen = _seen
    if seen is not None and row == seen.rows[use][0] and set(seen.files[use]) <= {r.first for r in seen.rows[use]}:
        seen.newest[use] = (row.first, signer)


def _rows(use: str, position: int | None) -> tuple[_Row, ...]:
    """The table's keys of one use, newest first; read again whenever a newer file may have come into force."""
    seen = _look()
    known = {row.first for row in seen.rows[use]}
    waiting = [
        first
        for first in seen.files[use]
        if first not in known and (use, first) not in seen.void and (position is None or first <= position)
    ]
    if waiting:
        seen = _read(seen.folder, seen.changed_ns, seen.files, seen.void)
        if position is not None:  # what stands at `position` is committed: no era can begin before it any more
            known = {row.first for row in seen.rows[use]}
            seen.void.update((use, first) for first in waiting if first not in known)
    return seen.rows[use]


def _look() -> _Seen:
    place = folder()
    try:
        changed_ns = os.stat(place).st_mtime_ns
    except OSError:
        changed_ns = -1
    seen = _seen
    if seen is None or (seen.folder, seen.changed_ns) != (place, changed_ns):
        _load.cache_clear()
        return _read(place, changed_ns, _list(place), set())
    if time.time_ns() - changed_ns < _RECENT_NS:
        return _read(place, changed_ns, _list(place), seen.void)
    if time.monotonic() - seen.read_at > _TRUST_SECONDS:
        return _read(place, changed_ns, seen.files, seen.void)
    return seen


def _list(place: Path) -> dict[str, tuple[int, ...]]:
    """Positions that the names of later key files give."""
    later: dict[str, list[int]] = {"log": [], "issuer": []}
    try:
        names = sorted(path.name for path in place.iterdir())
    except OSError:
        names = []
    for name in names:
        if match := _LATER.fullmatch(name):
            later[match[1]].append(int(match[2]))
    return {use: tuple(firsts) for use, firsts in later.items()}


def _read(place: Path, changed_ns: int, files: dict[str, tuple[int, ...]], void: set[tuple[str, int]]) -> _Seen:
    global _seen
    rows: dict[str, list[_Row]] = {"log": [], "issuer": []}
    for row in Key.objects.order_by("-first_position"):
        rows[row.use].append(_Row(row.first_position, row.key_line, row.revoked_at is not None))
    found = {use: tuple(of_use) for use, of_use in rows.items()}
    _seen = _Seen(place, changed_ns, time.monotonic(), files, found, void)
    return _seen


@lru_cache(maxsize=8)
def _load(path: Path) -> Signer:
    try:
        return Signer.load(path)
    except KeyFileError as error:
        raise Unavailable(
            str(error),
            hint="Run `pressmark init` if this is a new installation. If it is not: " + _LOST_HINT,
        ) from None


def log_keys_here() -> list[PublicKey]:
    """The public halves of every log key whose file can be read, those set aside included: they tell what was signed here."""
    found = []
    for path in sorted(folder().glob("log*.key*")) if folder().is_dir() else []:
        with suppress(KeyFileError):
            found.append(Signer.load(path).public)
    return found


def forget() -> None:
    """Forget loaded keys (after new ones were written)."""
    global _seen
    _load.cache_clear()
    _seen = None


# --- files that must sign nothing any more ---


def set_aside(path: Path) -> None:
    """Rename a private key's file so that nothing finds it again; nothing is deleted, a second one gets another number."""
    number = 1
    while (target := path.with_name(f"{path.name}.set-aside-{number}")).exists():
        number += 1
    path.rename(target)
    sync_folder(path.parent)


def set_leftovers_aside() -> None:
    """Rename later key files that no row names: left by an attempt that failed, or of a history that was lost.

    Only while the head of the ledger is held: nobody else is in the middle of bringing new keys then.
    """
    named = set(Key.objects.values_list("use", "first_position"))
    for use, firsts in _list(folder()).items():
        for first in firsts:
            if (use, first) not in named:
                set_aside(folder() / file_name(use, first))


def set_spent_aside(instance: str) -> None:
    """Rename the files of revoked keys, and of keys of another instance that this one was copied from. Safe at any time."""
    ours = f"pressmark/{instance}/"
    for row in Key.objects.all():
        path = folder() / file_name(row.use, row.first_position)
        if (row.revoked_at is None and row.key_line.startswith(ours)) or not path.is_file():
            continue
        with suppress(Unavailable):  # what cannot be read cannot sign either
            if _load(path).key_line == row.key_line:
                set_aside(path)

"""The private keys of the instance: the log key signs checkpoints (keeper only), the issuer key receipts, statements, manifests.

They are 0600 files outside the database, `log.key` and `issuer.key` from entry 0 on, `log-<position>.key` and
`issuer-<position>.key` from that position on. A process loads only the key that it needs. Rules:
- what is signed for a position is signed by the key of its era (`audit.eras`);
- key files are written before the entry that names them is committed, so a newer file counts only once the table of keys holds
  its public half: a file left behind by an attempt that failed signs nothing;
- a rotation is seen at once by every process that shares the folder; looking costs one `stat`, and no query while nothing changed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from audit.models import Key
from audit.signing import KeyFileError, Signer
from registry.errors import Unavailable

LOG_FILE = "log.key"
ISSUER_FILE = "issuer.key"
_LATER = re.compile(r"(log|issuer)-([1-9][0-9]{0,15})\.key")


def folder() -> Path:
    """Where this installation keeps its keys."""
    return Path(settings.PRESSMARK_KEYS)


def file_name(use: str, first: int) -> str:
    """The file of the key that signs from position `first` on; `use` is log or issuer."""
    return f"{use}-{first}.key" if first else f"{use}.key"


def log_signer(position: int | None = None) -> Signer:
    """The log key in force at a position (now, when none is given); only the keeper and set-up ask for it."""
    return _signer("log", position)


def issuer_signer(position: int | None = None) -> Signer:
    """The issuer key in force at a position (now, when none is given)."""
    return _signer("issuer", position)


@dataclass
class _Seen:
    """The folder as it was last listed, and which of its later keys the table of keys is known to hold."""

    folder: Path | None = None
    changed_ns: int = -1
    later: dict[str, list[int]] = field(default_factory=dict)
    confirmed: set[tuple[str, int]] = field(default_factory=set)


_seen = _Seen()


def _signer(use: str, position: int | None) -> Signer:
    for first in _later_firsts(use):
        if (position is None or first <= position) and _is_in_force(use, first):
            return _load(folder() / file_name(use, first))
    return _load(folder() / file_name(use, 0))


def _later_firsts(use: str) -> list[int]:
    """Positions that later key files name, the highest first."""
    place = folder()
    try:
        changed_ns = place.stat().st_mtime_ns
    except OSError:
        return []
    if (_seen.folder, _seen.changed_ns) != (place, changed_ns):
        later: dict[str, list[int]] = {"log": [], "issuer": []}
        for name in sorted(path.name for path in place.iterdir()):
            if match := _LATER.fullmatch(name):
                later[match[1]].append(int(match[2]))
        _seen.folder, _seen.changed_ns = place, changed_ns
        _seen.later = {name: sorted(firsts, reverse=True) for name, firsts in later.items()}
    return _seen.later[use]


def _is_in_force(use: str, first: int) -> bool:
    if (use, first) not in _seen.confirmed:
        line = _load(folder() / file_name(use, first)).key_line
        if not Key.objects.filter(use=use, first_position=first, key_line=line).exists():
            return False
        _seen.confirmed.add((use, first))
    return True


@lru_cache(maxsize=8)
def _load(path: Path) -> Signer:
    try:
        return Signer.load(path)
    except KeyFileError as error:
        raise Unavailable(
            str(error),
            hint="Run `pressmark init` on a new installation; on an old one restore the key from its backup.",
        ) from None


def forget() -> None:
    """Forget loaded keys (after set-up wrote new ones)."""
    _load.cache_clear()
    _seen.folder = None
    _seen.confirmed.clear()

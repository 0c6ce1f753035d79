"""Run as a script inside an installation of its own: does what its words say, and prints a line of JSON for each.

python -m tests.audit.home_acts act act sign          two entries, then the keeper's signature
Words: act, sign, rotate, revoke, reopen, copied; `die-before-commit` and `die-after-commit` make the next of these a SIGKILL there;
`wait` reads a line of standard input before going on, and `slow` makes the next unit do so before its COMMIT; `look` says which
issuer key this process would sign with, and `trusting` makes it look again only when it must.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import django


def main(words: list[str]) -> None:
    django.setup()
    doing = {
        "act": _act, "sign": _sign, "rotate": _rotate, "revoke": _revoke, "reopen": _reopen, "copied": _copied,
        "wait": sys.stdin.readline,
        "die-before-commit": _die_before_commit, "die-after-commit": _die_after_commit,
        "slow": _slow, "look": _look, "trusting": _trusting,
    }  # fmt: skip
    for word in words:
        print(json.dumps(doing[word]()), flush=True)


def _caller(name: str = "admin") -> Any:
    from registry.access.models import Actor
    from registry.events import Caller

    return Caller(actor_id=Actor.objects.get(username=name).pk, via="cli")


def _act() -> dict[str, Any]:
    """One more entry; whether its receipt is signed by the key of its era, and by which."""
    from audit import eras, notes
    from registry.access.models import Team
    from registry.events import emit, unit
    from registry.ids import uuid7

    with unit(_caller(), role="administrator") as opened:
        team = Team.objects.create(slug=f"team-{uuid7()}", created_at=opened.now)
        emit("team.created", team, team=team.pk)
    if opened.receipt is None:
        return {"position": opened.positions[0], "receipt": None}
    found = eras.read()
    receipt = eras.open_receipt(found, opened.receipt.encode())
    key_id = notes.parse_note(opened.receipt.encode()).signatures[0].key_id
    by = [era.first for era in found if era.keys.issuer.key_id == key_id]
    return {"position": receipt.first, "receipt": opened.receipt, "era": by[0]}


def _sign() -> dict[str, Any]:
    from audit import checkpoints

    try:
        row = checkpoints.sign_next()
    except checkpoints.LedgerRefused as refused:
        return {"refused": refused.detail, "hint": refused.hint}
    return {"size": row.size if row else None, "origin": row.note.split("\n")[0] if row else None}


def _rotate() -> str:
    from audit import services_interventions

    return str(services_interventions.rotate_keys(actor=_caller(), reason="It is time.").pk)


def _revoke() -> str:
    from audit import services_interventions
    from registry.access.models import Actor

    second = Actor.objects.get(username="rhea")
    return str(services_interventions.revoke_keys(actor=_caller(), agreed_by=second, reason="They were stolen.").pk)


def _reopen(*, copied: bool = False) -> str:
    from audit import services_interventions

    return str(services_interventions.reopen_ledger(actor=_caller(), reason="It must go on.", copied=copied).pk)


def _copied() -> str:
    return _reopen(copied=True)


def _slow() -> None:
    from audit import ledger

    append = ledger.AppendedUnit.__init__

    def appended(self: Any, *arguments: Any) -> None:
        append(self, *arguments)
        print(json.dumps("all is written, but COMMIT"), flush=True)
        sys.stdin.readline()

    ledger.AppendedUnit.__init__ = appended  # type: ignore[method-assign]


def _look() -> str:
    from audit import keys

    return keys.issuer_signer().key_line


def _trusting() -> None:
    from audit import keys

    keys._RECENT_NS, keys._TRUST_SECONDS = 0, 3600.0


def _die_before_commit() -> None:
    from audit import ledger

    append = ledger.AppendedUnit.__init__

    def appended(self: Any, *arguments: Any) -> None:
        append(self, *arguments)  # key files, note and entry are written; COMMIT has not been said
        os.kill(os.getpid(), signal.SIGKILL)

    ledger.AppendedUnit.__init__ = appended  # type: ignore[method-assign]


def _die_after_commit() -> None:
    from django.db.backends.base.base import BaseDatabaseWrapper

    commit = BaseDatabaseWrapper._commit

    def committed(self: Any) -> None:
        commit(self)
        os.kill(os.getpid(), signal.SIGKILL)

    BaseDatabaseWrapper._commit = committed  # type: ignore[method-assign]


if __name__ == "__main__":
    main(sys.argv[1:])

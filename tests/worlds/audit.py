"""What tests of the audit house may need: a store that holds the keys note of entry 0, checkpoints, and a hand that tampers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection

from audit import checkpoints, keys, notes
from audit.models import Checkpoint, Entry
from registry import storage
from registry.access import services as access
from registry.access.models import Team
from tests.worlds.base import BaseWorld


def restore_keys_note() -> str:
    """Each test has a store of its own, entry 0 is of the session: write its keys note again (same keys, same bytes)."""
    log, issuer = keys.log_signer(), keys.issuer_signer()
    note = notes.sign_keys(notes.KeysNote(log.name, 0, log.public, issuer.public), log, issuer)
    return storage.store_bytes(note).digest


def tamper(table: str, sql: str, parameters: Sequence[Any] = ()) -> int:
    """Change a table as somebody who owns the database could: its guards are taken away first, in the test's transaction."""
    on = f' ON "{table}"' if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        for verb in ("insert", "update", "delete", "truncate"):
            cursor.execute(f'DROP TRIGGER IF EXISTS "pressmark_guard_{table}_{verb}"{on}')
        cursor.execute(sql, list(parameters))
        return int(cursor.rowcount)


def rewrite_entry(position: int, old: bytes, new: bytes, *, leaf: bool = False) -> None:
    """Replace bytes inside one entry; with `leaf` the stored leaf is made to fit."""
    from audit import merkle

    entry = bytes(Entry.objects.get(position=position).entry)
    assert old in entry
    changed = entry.replace(old, new, 1)
    tamper("audit_entry", "UPDATE audit_entry SET entry = %s WHERE position = %s", [changed, position])
    if leaf:
        value = merkle.leaf_hash(changed)
        tamper("audit_entry", "UPDATE audit_entry SET leaf = %s WHERE position = %s", [value, position])


class AuditWorld(BaseWorld):
    """One method per thing; each returns the row."""

    def teams(self, count: int) -> list[Team]:
        """Some more acts in the ledger, each a stream of its own."""
        return [access.create_team(actor=self.cast.root, slug=f"team-{number}") for number in range(count)]

    def checkpoint(self) -> Checkpoint:
        """The ledger as it stands, signed."""
        signed = checkpoints.sign_next()
        assert signed is not None
        return signed

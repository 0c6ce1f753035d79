"""The ten ways in which whoever owns the database, and more, changes history; each says where the first wrong entry then stands.

Rules:
- an attacker leaves no trace that he can avoid: edited entries keep every rule of entries, positions are closed up, tiles are built
  anew, and our own file of checkpoints is treated like the database;
- all of it happens in a transaction that is rolled back, on a copy of the folder of checkpoints.
Import it only where Django is set up.
"""

from __future__ import annotations

import base64
import random
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import connection

from audit import checkpoints, merkle, notes
from audit.ledger import entry_bytes
from audit.models import Checkpoint, Entry, Tile
from audit.signing import Signer
from registry import guards
from registry.digests import canonical, parse_canonical
from tests.battery.tampering_ledgers import Outside

_TIME = re.compile(r'"[a-z_]+_at":"[0-9T:-]{19}\.([0-9]{6})Z"')
_TABLES = ("audit_entry", "audit_checkpoint", "audit_key", "audit_tile")


@dataclass
class Scene:
    """What the attacker finds, and the chance that chooses for him."""

    outside: Outside
    chance: random.Random
    signed_size: int
    """What the newest checkpoint covers; past it there is only the fresh tail."""

    @property
    def size(self) -> int:
        return checkpoints.ledger_size()

    def somewhere(self, begin: int = 0, end: int | None = None) -> int:
        """A position."""
        return self.chance.randrange(begin, self.size if end is None else end)


Attack = Callable[[Scene], int]
"""Changes the ledger, and answers with the position of the first entry that is wrong or missing."""


# --- the ten ---


def edit_alone(scene: Scene) -> int:
    """A payload is edited; the stored hash is left alone."""
    position = scene.somewhere()
    _write(position, _edited(position, scene.chance))
    return position


def edit_and_leaf(scene: Scene) -> int:
    """A payload is edited, and its leaf hashed again."""
    position = scene.somewhere(end=scene.signed_size)
    _write_with_leaf(position, _edited(position, scene.chance))
    return position


def delete_and_close_up(scene: Scene) -> int:
    """A row is deleted, and the later ones take the positions before theirs."""
    position = scene.somewhere()
    _sql("DELETE FROM audit_entry WHERE position = %s", position)
    _move(position, -1)
    return position


def swap(scene: Scene) -> int:
    """Two rows change places."""
    first, second = sorted(scene.chance.sample(range(scene.size), 2))
    _sql("UPDATE audit_entry SET position = -1 WHERE position = %s", first)
    _sql("UPDATE audit_entry SET position = %s WHERE position = %s", first, second)
    _sql("UPDATE audit_entry SET position = %s WHERE position = -1", second)
    return first


def insert(scene: Scene) -> int:
    """An entry that keeps every rule is put between the others."""
    position = scene.somewhere(1)
    before = Entry.objects.get(position=position - 1)
    event = parse_canonical(bytes(before.entry))["event"]  # type: ignore[index,call-overload]
    event |= {"id": str(uuid.uuid4()), "records": [], "refs": [], "unit": str(uuid.uuid4()), "kind": "team.created"}  # type: ignore[operator]
    stream = f"team:{uuid.uuid4()}"
    data = entry_bytes(before.at, canonical(event), stream, 1)
    _move(position, 1)
    Entry.objects.create(
        position=position, stream=stream, stream_seq=1, at=before.at, entry=data, leaf=merkle.leaf_hash(data)
    )
    return position


def cut_below_a_checkpoint(scene: Scene) -> int:
    """The tail goes, below the newest checkpoint, and everything that speaks of it."""
    position = scene.somewhere(1, scene.signed_size)
    _cut(position)
    return position


def cut_after_the_last_checkpoint(scene: Scene) -> int:
    """Only what no checkpoint covers yet goes."""
    position = scene.somewhere(scene.signed_size)
    _cut(position)
    return position


def edit_and_hash_everything_again(scene: Scene) -> int:
    """A payload is edited, leaf and tiles are made anew; checkpoints past it are removed, or signed with another key."""
    position = scene.somewhere(end=scene.signed_size)
    _write_with_leaf(position, _edited(position, scene.chance))
    _build_tiles()
    if scene.chance.random() < 0.5:
        _forget_checkpoints(position)
    else:
        _sign_again(position, {key.key_line: Signer.generate(key.name) for key in scene.outside.log_keys})
    return position


def rewrite_without_checkpoints(scene: Scene) -> int:
    """Every checkpoint is deleted, here and in our own file, and history from a point on is written anew."""
    position = scene.somewhere(end=scene.signed_size)
    _rewrite(position, scene.chance)
    _forget_checkpoints(0)
    return position


def rewrite_with_the_stolen_key(scene: Scene) -> int:
    """History is written anew, and every checkpoint signed again with the real log key."""
    position = scene.somewhere(end=scene.signed_size)
    _rewrite(position, scene.chance)
    _sign_again(position, {key.key_line: key for key in scene.outside.log_keys})
    return position


ATTACKS: dict[str, Attack] = {
    "payload edited, stored hash left alone": edit_alone,
    "payload edited, leaf hashed again": edit_and_leaf,
    "row deleted, positions closed up": delete_and_close_up,
    "two rows swapped": swap,
    "row inserted": insert,
    "tail cut below a checkpoint": cut_below_a_checkpoint,
    "tail cut after the last checkpoint": cut_after_the_last_checkpoint,
    "edited, everything after it hashed again": edit_and_hash_everything_again,
    "every checkpoint deleted, history rewritten": rewrite_without_checkpoints,
    "history rewritten and signed with the stolen key": rewrite_with_the_stolen_key,
}


# --- what the attacker's hands do ---


def _sql(statement: str, *parameters: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, list(parameters))


def open_the_guards() -> None:
    """Whoever owns the database takes its triggers away."""
    for table in _TABLES:
        on = f' ON "{table}"' if connection.vendor == "postgresql" else ""
        for verb in ("insert", "update", "delete", "truncate"):
            _sql(f'DROP TRIGGER IF EXISTS "{guards.PREFIX}{table}_{verb}"{on}')


def _edited(position: int, chance: random.Random) -> bytes:
    """The entry with another time in one of its rows: still canonical, and right by every rule of entries."""
    data = bytes(Entry.objects.get(position=position).entry).decode()
    found = chance.choice(list(_TIME.finditer(data)))
    digits = found.span(1)
    other = f"{(int(found[1]) + chance.randrange(1, 1_000_000)) % 1_000_000:06d}"
    return (data[: digits[0]] + other + data[digits[1] :]).encode()


def _write(position: int, data: bytes) -> None:
    _sql("UPDATE audit_entry SET entry = %s WHERE position = %s", data, position)


def _write_with_leaf(position: int, data: bytes) -> None:
    _sql("UPDATE audit_entry SET entry = %s, leaf = %s WHERE position = %s", data, merkle.leaf_hash(data), position)


def _rewrite(begin: int, chance: random.Random) -> None:
    """The entry, and by chance those after it, say something else; tiles follow."""
    for position in range(begin, checkpoints.ledger_size()):
        if position == begin or chance.random() < 0.5:
            _write_with_leaf(position, _edited(position, chance))
    _build_tiles()


def _move(begin: int, by: int) -> None:
    """Positions from `begin` on move; by way of negative ones, so that no two rows meet."""
    _sql("UPDATE audit_entry SET position = -(position + %s) - 1 WHERE position >= %s", by, begin)
    _sql("UPDATE audit_entry SET position = -(position + 1) WHERE position < 0")


def _cut(position: int) -> None:
    _sql("DELETE FROM audit_entry WHERE position >= %s", position)
    _sql("DELETE FROM audit_key WHERE first_position >= %s", position)
    _forget_checkpoints(position)
    _build_tiles()


def _build_tiles() -> None:
    Tile.objects.all().delete()
    checkpoints.grow()


def _forget_checkpoints(position: int) -> None:
    """Those that cover the position go, from the database and from our own file."""
    _sql("DELETE FROM audit_checkpoint WHERE size > %s", position)
    _write_file(note for note in checkpoints.outside_notes() if _read(note).size <= position)


def _sign_again(position: int, signers: dict[str, Signer]) -> None:
    """Those that cover the position get the root of what stands there now, in the database and in our own file.

    `signers`: who signs in the place of the key of that line.
    """
    tree, replaced = checkpoints.tree(), {}
    for row in Checkpoint.objects.filter(size__gt=position):
        old = row.note.encode()
        line = notes.parse_note(old).signatures[0]
        signer = next(new for was, new in signers.items() if was.startswith(f"{line.name}+{line.key_id.hex()}+"))
        root = tree.root(row.size)
        replaced[old] = new = notes.sign_checkpoint(signer, row.size, root)
        _sql("UPDATE audit_checkpoint SET note = %s, root = %s WHERE size = %s", new.decode(), root, row.size)
    _write_file(replaced.get(note, note) for note in checkpoints.outside_notes())


def _read(note: bytes) -> notes.Checkpoint:
    return notes.parse_checkpoint_body(notes.parse_note(note).text)


def _write_file(kept: Iterable[bytes]) -> None:
    data = b"".join(base64.b64encode(note) + b"\n" for note in list(kept))
    (Path(settings.PRESSMARK_CHECKPOINTS) / checkpoints.FILE).write_bytes(data)

"""The folder `log/` of a bundle: entries as they were sealed, the proof of each, and the checkpoint that they lead to.

Rules:
- an entry goes out only if its leaf is the one in the tree, so that what was changed in the table stops the build here;
- proofs are cut into files of at most 8,000, below the 16 MiB of a document;
- consistency proofs lead from the scope's size, from the recipient's checkpoint, from each month's last and from the newest ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from audit import checkpoints, merkle, notes, queries
from audit.bundles.packing import Contents
from audit.models import Checkpoint, Entry
from registry import storage
from registry.digests import canonical
from registry.errors import Conflict

PROOFS_PER_FILE = 8_000
NEWEST_CHECKPOINTS = 64
_ENTRIES_PER_QUERY = 2_000


def write_entries(contents: Contents, positions: Sequence[int], size: int) -> Iterator[Mapping[str, Any]]:
    """Write `log/entries.jsonl` and answer each entry read; Conflict where the table differs from the tree."""
    with contents.writing("log/entries.jsonl") as out:
        for part in _parts(positions, _ENTRIES_PER_QUERY):
            tree = checkpoints.tree(size)
            found = _rows(part)
            for position in part:
                data = found.get(position)
                if data is None or merkle.leaf_hash(data) != tree.leaf(position):
                    raise _not_sealed(position, "missing" if data is None else "not the one that was sealed")
                out.write(data + b"\n")
                entry: Mapping[str, Any] = json.loads(data)
                yield entry


def entries_at(positions: Sequence[int]) -> Iterator[bytes]:
    """The bytes of the entries as they stand in the table, held against nothing; Conflict where one is missing."""
    for part in _parts(positions, _ENTRIES_PER_QUERY):
        found = _rows(part)
        for position in part:
            if position not in found:
                raise _not_sealed(position, "missing")
            yield found[position]


def _not_sealed(position: int, how: str) -> Conflict:
    return Conflict(
        f"The entry at position {position} is {how}.",
        hint="Run `pressmark verify-ledger`: the ledger was changed. Nothing was handed out.",
        code="entry-differs",
    )


def _rows(positions: Sequence[int]) -> dict[int, bytes]:
    first, last = positions[0], positions[-1]
    side_by_side = last - first + 1 == len(positions)
    where = {"position__range": (first, last)} if side_by_side else {"position__in": list(positions)}
    rows = Entry.objects.filter(**where).values_list("position", "entry")
    return {position: bytes(data) for position, data in rows}


def write_proofs(
    contents: Contents, positions: Sequence[int], checkpoint: Checkpoint, old_sizes: Iterable[int]
) -> None:
    """Everything of `log/` beside the entries."""
    tree = checkpoints.tree(checkpoint.size)
    contents.add("log/checkpoint", checkpoint.note.encode())
    consistency = queries.consistency_document(tree, list(old_sizes), checkpoint.size)
    contents.add("log/consistency.json", canonical(consistency))
    for number, part in enumerate(_parts(positions, PROOFS_PER_FILE), 1):
        path = "log/proofs.json" if number == 1 else f"log/proofs-{number}.json"
        contents.add(path, _proofs(checkpoints.tree(checkpoint.size), part))


def _proofs(tree: merkle.TileTree, positions: Sequence[int]) -> bytes:
    rows = [
        {"path": [item.hex() for item in tree.inclusion_path(position)], "position": position} for position in positions
    ]
    return canonical({"proofs": rows, "size": tree.size, "type": "pressmark/proofs/1"})


def _parts(positions: Sequence[int], count: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(positions), count):
        yield positions[start : start + count]


def old_sizes(issued: Mapping[str, Any], scope_size: int, tree_size: int) -> list[int]:
    """From which older trees the bundle leads on. `issued` is the event that issued it."""
    signed = list(Checkpoint.objects.filter(size__lt=tree_size).order_by("size").values_list("size", "signed_at"))
    last_of_month = {(at.year, at.month): size for size, at in signed}
    newest = [size for size, _ in signed[::-1][:NEWEST_CHECKPOINTS]]
    sizes = {scope_size, *last_of_month.values(), *newest, *_known_sizes(issued)}
    return sorted(size for size in sizes if 1 <= size < tree_size)


def _known_sizes(issued: Mapping[str, Any]) -> Iterator[int]:
    """The size of the checkpoint that the recipient handed in."""
    for ref in issued["refs"]:
        if ref["name"] == "checkpoint":
            yield notes.parse_checkpoint_body(notes.parse_note(storage.read_bytes(ref["digest"])).text).size

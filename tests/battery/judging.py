"""What writers left, judged from the entries' bytes and their acknowledgements alone, and then by the product's own verifier.

Import it only where Django is set up.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from audit import eras, merkle, notes
from audit.eras import Era
from audit.models import Entry
from audit.verification import replay, verify_ledger
from tests.battery import writing
from tests.battery.writing import folder


@dataclass(frozen=True)
class Told:
    """One acknowledgement: a unit, where it stands, and its receipt."""

    first: int
    count: int
    unit: str
    receipt: bytes | None


def told() -> list[Told]:
    """Every acknowledgement. A line without its end was being written when its writer was killed: nobody has read it."""
    found = []
    for path in sorted(folder().iterdir()):
        if path.name not in {"errors", "stop"}:
            for line in path.read_text().split("\n")[:-1]:
                first, count, unit, receipt = line.split(" ")
                signed = None if receipt == writing.NO_RECEIPT else base64.b64decode(receipt)
                found.append(Told(int(first), int(count), unit, signed))
    return found


@dataclass
class Stored:
    """The entries as they lie there: leaves by position, where each unit stands, and what is wrong with their order."""

    leaves: list[bytes]
    units: dict[str, list[int]]
    gaps: int = 0
    doubled: int = 0


def stored() -> Stored:
    """One pass over all entries."""
    found = Stored([], {})
    numbers: Counter[str] = Counter()
    events: set[str] = set()
    for row in Entry.objects.order_by("position").iterator():
        data = bytes(row.entry)
        entry = json.loads(data)
        numbers[entry["stream"]] += 1
        found.gaps += (row.position, entry["stream_seq"]) != (len(found.leaves), numbers[entry["stream"]])
        found.doubled += entry["event"]["id"] in events
        events.add(entry["event"]["id"])
        found.units.setdefault(entry["event"]["unit"], []).append(row.position)
        found.leaves.append(hashlib.sha256(b"\x00" + data).digest())
    for positions in found.units.values():
        found.doubled += positions != list(range(positions[0], positions[0] + len(positions)))
    return found


def judge() -> dict[str, Any]:
    """How much was told and is there, and everything that is not as it must be."""
    begun, there, claims, known = time.monotonic(), stored(), told(), eras.read()
    lost = [claim for claim in claims if not _stands(claim, there, known)]
    again = [unit for unit, times in Counter(claim.unit for claim in claims).items() if times > 1]
    report = verify_ledger.verify(receipts=[claim.receipt for claim in claims if claim.receipt])
    differences = replay.compare()
    errors = folder() / "errors"
    return {
        "entries": len(there.leaves),
        "told_units": len(claims),
        "without_receipt": sum(claim.receipt is None for claim in claims),
        "told_events": sum(claim.count for claim in claims),
        "untold_units": len(set(there.units) - {claim.unit for claim in claims}),
        "lost": len(lost),
        "doubled": there.doubled + len(again),
        "gaps": there.gaps,
        "flaws": [str(flaw) for flaw in report.flaws],
        "flaw_count": report.flaw_count,
        "differences": [str(difference) for difference in differences],
        "errors": errors.read_text().splitlines() if errors.exists() else [],
        "judge_seconds": time.monotonic() - begun,
    }


def write(units_each: int, seed: int) -> dict[str, Any]:
    """A new installation, its writers at once, and what they left."""
    writing.set_up()
    return writing.write(units_each, seed) | judge()


def kill(writers: int, keepers: int, seed: int) -> dict[str, Any]:
    """A new installation whose writers, then keepers are killed, and what they left each time."""
    writing.set_up()
    killed = writing.kill_writers(writers, seed) | judge()
    return {"writers": killed, "keepers": writing.kill_keepers(keepers, seed) | judge()}


def _stands(claim: Told, there: Stored, known: list[Era]) -> bool:
    """Whether the unit is where its receipt says, whole and no more, with the leaves that were signed for."""
    place = range(claim.first, claim.first + claim.count)
    if there.units.get(claim.unit) != list(place):
        return False
    if claim.receipt is None:
        return True
    try:
        receipt = eras.open_receipt(known, claim.receipt)
    except (eras.EraError, notes.NoteError):
        return False
    root = merkle.root(there.leaves[claim.first : place.stop])
    return (receipt.first, receipt.count, receipt.root) == (claim.first, claim.count, root)

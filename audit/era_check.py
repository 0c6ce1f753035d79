"""Which eras the ledger under verification has, whether the tables agree, and what it said about history that was lost.

Rules:
- the eras are those that `audit.eras` follows from entry 0; the table of keys holds both keys of each, from its position on;
- a key given from outside must be one of the last era, or of one joined to it by keys that vouch for the next; one of an earlier
  era is told: whoever holds it needs the new key from outside;
- changing keys, reopening the ledger and correcting its clock stand in an intervention that says which; revoking keys and
  correcting the clock take two people;
- a reopening says what it went on from: checkpoints of the old origin up to `agreed_size` must agree, those up to `old_size` speak
  of history that was lost, and nobody can have signed a larger one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audit import entries, eras
from audit.entries import Bad, ParsedEntry
from audit.eras import Era, EraError
from audit.ledger_report import LedgerReport
from audit.models import Entry, Key
from audit.signing import PublicKey, parse_key_line
from registry.digests import hex_of, is_digest

CLOCK_CORRECTED = "ledger.clock_corrected"
_INTERVENTIONS = {
    "key.rotated": {"keys_rotated"},
    "key.revoked": {"keys_revoked"},
    "ledger.reopened": {"ledger_restored", "ledger_copied"},
    CLOCK_CORRECTED: {"clock_corrected"},
}
_TWO_PEOPLE = {"key.revoked", CLOCK_CORRECTED}
KINDS = frozenset(eras.KINDS) | {CLOCK_CORRECTED}


@dataclass(frozen=True)
class Reopening:
    """What a `ledger.reopened` at `position` says about the origin before it."""

    position: int
    old_origin: str
    old_size: int
    old_root: bytes
    agreed_size: int


@dataclass
class KnownEras:
    """The eras that could be followed, and the reopenings between them."""

    eras: list[Era] = field(default_factory=list)
    reopenings: dict[str, Reopening] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return self.eras[-1].origin if self.eras else ""

    def begins_at(self, position: int) -> bool:
        return any(era.first == position for era in self.eras)


def intervention_of(entry: ParsedEntry) -> Mapping[str, Any] | None:
    """The row of the one intervention that an entry seals; None when it seals none, or several."""
    rows = [r["row"] for r in entry.event["records"] if str(r["type"]).startswith("audit.intervention/")]
    return rows[0] if len(rows) == 1 else None


def intervention_flaw(entry: ParsedEntry) -> str | None:
    """What is wrong with the intervention that an entry of such a kind must seal."""
    kind = str(entry.event["kind"])
    expected = _INTERVENTIONS.get(kind)
    if expected is None:
        return None
    row = intervention_of(entry)
    if row is None or row.get("kind") not in expected:
        return f"{kind} seals no intervention of its kind"
    if kind in _TWO_PEOPLE and row.get("agreed_by_id") in {None, row.get("done_by_id")}:
        return f"{kind} takes two people, and only one stands in it"
    return None


def read(report: LedgerReport, size: int | None) -> KnownEras:
    """Follow the eras, those among the first `size` entries, telling the report what does not follow."""
    known = KnownEras()
    rows: dict[int, set[str]] = {0: set()}
    for first, line in Key.objects.values_list("first_position", "key_line"):
        rows.setdefault(first, set()).add(line)
    for position in sorted(rows):
        if size is not None and position >= max(size, 1):
            break
        try:
            entry = _entry_at(position)
            known.eras.append(eras.follow(known.eras[-1] if known.eras else None, entry, position))
        except EraError as error:
            report.add("keys", str(error), position)
            break
        _compare_rows(report, known.eras[-1], rows[position])
        if entry.event["kind"] == "ledger.reopened":
            _read_reopening(report, known, entry, position)
    report.origin = known.origin
    return known


def _entry_at(position: int) -> ParsedEntry:
    row = Entry.objects.filter(position=position).values_list("entry", flat=True).first()
    if row is None:
        raise EraError("the entry that names the keys is missing", position)
    try:
        return entries.parse(bytes(row))
    except Bad as error:
        raise EraError(f"the entry that names the keys cannot be read: {error}", position) from None


def _compare_rows(report: LedgerReport, era: Era, rows: set[str]) -> None:
    if rows != {era.keys.log.key_line, era.keys.issuer.key_line}:
        report.add("keys", f"the table of keys does not hold the keys of {era.kind}, and these alone", era.first)


def _read_reopening(report: LedgerReport, known: KnownEras, entry: ParsedEntry, position: int) -> None:
    origin = known.eras[-2].origin
    row: Mapping[str, Any] = intervention_of(entry) or {}
    old_size: Any = row.get("old_size")
    agreed: Any = row.get("agreed_size")
    root: Any = row.get("old_root")
    typed = type(old_size) is int and type(agreed) is int and is_digest(root) and row.get("old_origin") == origin
    if typed and 0 <= agreed <= min(old_size, position):
        known.reopenings[origin] = Reopening(position, origin, old_size, bytes.fromhex(hex_of(root)), agreed)
        return
    report.add("reopened", "the reopening does not say which checkpoint of which origin it went on from", position)


def judge_keys(report: LedgerReport, known: KnownEras, key_lines: Sequence[str]) -> None:
    """Hold key lines from outside against the eras."""
    if not key_lines or not known.eras:
        return
    given = {parse_key_line(line).key_line for line in key_lines}
    joined = _lines(known.eras[_first_joined(known.eras) :])
    if given & joined:
        return
    last = known.eras[-1]
    if given & _lines(known.eras):
        first = known.eras[_first_joined(known.eras)]
        report.notice(
            f"The key that you gave was in force before position {first.first} ({first.kind}), and nothing that it signed leads "
            "on to the keys after it: get the key in force now from somebody whom you trust."
        )
        return
    report.add("keys", f"none of the given keys is {last.keys.log.keyid} or {last.keys.issuer.keyid}", last.first)


def _first_joined(found: Sequence[Era]) -> int:
    """The index of the earliest era from which vouched ones lead to the last."""
    index = len(found) - 1
    while index and found[index].vouched:
        index -= 1
    return index


def _lines(found: Sequence[Era]) -> set[str]:
    keys: list[PublicKey] = [key for era in found for key in (era.keys.log, era.keys.issuer)]
    return {key.key_line for key in keys}

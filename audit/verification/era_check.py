"""Which eras the ledger under verification has, whether the tables agree, and what it said about history that was lost.

Rules:
- the eras are those that `audit.eras` follows from entry 0; the table of keys holds both keys of each, from its position on;
- a reopening raises the epoch; under the same instance (restored) the keys before vouch for the new ones; nobody vouches for those
  after a revocation or in a copy, whoever signed;
- a key given from outside must be one of the last era, or of one joined to it by keys that vouch for the next; one of an earlier
  era is told: whoever holds it needs the new key from outside;
- changing keys, reopening the ledger and correcting its clock stand in an intervention that says which; revoking keys and
  correcting the clock take two people;
- a reopening says what it went on from: checkpoints of the old origin up to `agreed_size` must agree, those up to `old_size` speak
  of history that was lost, and nobody can have signed a larger one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from audit import entries, eras
from audit.entries import Bad, ParsedEntry
from audit.eras import Era, EraError
from audit.models import Entry, Key
from audit.signing import PublicKey, parse_key_line
from audit.verification.ledger_report import LedgerReport
from registry.digests import hex_of, is_digest

CLOCK_CORRECTED = "ledger.clock_corrected"
_INTERVENTIONS = {
    "key.rotated": {"keys_rotated"},
    "key.revoked": {"keys_revoked"},
    "ledger.reopened": {"ledger_restored", "ledger_copied"},
    CLOCK_CORRECTED: {"clock_corrected"},
}
_TWO_PEOPLE = {"key.revoked", CLOCK_CORRECTED}
_ORIGIN = re.compile(r"pressmark/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/([1-9][0-9]{0,8})")
KINDS = frozenset(eras.KINDS) | {CLOCK_CORRECTED}


@dataclass(frozen=True)
class Reopening:
    """What a `ledger.reopened` at `position` says about the origin before it; None where nothing was known to be signed."""

    position: int
    old_size: int | None
    old_root: bytes | None
    agreed_size: int


@dataclass
class KnownEras:
    """The eras that could be followed, how the origins before the last one ended, and the keys that were handed in."""

    eras: list[Era] = field(default_factory=list)
    given: list[PublicKey] = field(default_factory=list)
    reopenings: dict[str, Reopening] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return self.eras[-1].origin if self.eras else ""

    def begins_at(self, position: int) -> bool:
        """Whether an era begins there."""
        return any(era.first == position for era in self.eras)

    def only_keys(self) -> dict[str, PublicKey]:
        """By their names, the keys beside which there was no other of that name: no position has to be looked at for those."""
        keys = [key for era in self.eras for key in (era.keys.log, era.keys.issuer)]
        count = Counter(key.name for key in keys)
        return {key.name: key for key in keys if count[key.name] == 1}

    def is_skipped(self, origin: str) -> bool:
        """Whether it is an epoch of ours that was used and lost as a whole, so that a reopening went past it."""
        place = _instance_and_epoch(origin)
        last = _instance_and_epoch(self.origin)
        if place is None or last is None or any(era.origin == origin for era in self.eras):
            return False
        return place[1] < last[1] and any(era.origin.startswith(f"pressmark/{place[0]}/") for era in self.eras)

    def is_later(self, origin: str) -> bool:
        """Whether it is an epoch of ours that this ledger has not come to."""
        place, last = _instance_and_epoch(origin), _instance_and_epoch(self.origin)
        return place is not None and last is not None and place[0] == last[0] and place[1] > last[1]

    def is_lost(self, origin: str, size: int) -> bool:
        """Whether the first `size` entries under an origin reach past what this ledger still holds of it."""
        ended = self.reopenings.get(origin)
        return self.is_skipped(origin) if ended is None else size > ended.agreed_size


def _instance_and_epoch(origin: str) -> tuple[str, int] | None:
    found = _ORIGIN.fullmatch(origin)
    return None if found is None else (found[1], int(found[2]))


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
            known.eras.append(_follow(known.eras[-1] if known.eras else None, entry, position))
        except EraError as error:
            report.add("keys", str(error), position)
            break
        _compare_rows(report, known.eras[-1], rows[position])
        if entry.event["kind"] == "ledger.reopened":
            _read_reopening(report, known, entry, position)
    report.origin = known.origin
    return known


def _follow(before: Era | None, entry: ParsedEntry, position: int) -> Era:
    era = eras.follow(before, entry, position)
    if before is None or era.kind == "key.rotated":
        return era
    old, new = _instance_and_epoch(before.origin), _instance_and_epoch(era.origin)
    if era.kind == "ledger.reopened" and (old is None or new is None or new[1] <= old[1]):
        raise EraError(f"the epoch after {before.origin} cannot be {era.origin}", position)
    restored = era.kind == "ledger.reopened" and old is not None and new is not None and old[0] == new[0]
    if restored and not era.vouched:
        raise EraError("the keys note of a restored ledger is not signed by the keys before", position)
    return replace(era, vouched=restored)


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
    names = ("old_origin", "old_size", "old_root", "agreed_size")
    old_origin, old_size, root, agreed = (row.get(name) for name in names)
    typed = all(value is None or type(value) is int for value in (old_size, agreed))
    named = old_origin is root is None if old_size is None else old_origin == origin and is_digest(root)
    if not typed or not named or not 0 <= (agreed or 0) <= min(position, old_size or position):
        sentence = "the reopening does not say which checkpoint of which origin it went on from"
        report.add("reopened", sentence, position)
        return
    old_root = None if root is None else bytes.fromhex(hex_of(str(root)))
    known.reopenings[origin] = Reopening(position, old_size, old_root, agreed or 0)


def judge_keys(report: LedgerReport, known: KnownEras, key_lines: Sequence[str]) -> None:
    """Hold key lines from outside against the eras."""
    known.given = [parse_key_line(line) for line in key_lines]
    if not key_lines or not known.eras:
        return
    given = {key.key_line for key in known.given}
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

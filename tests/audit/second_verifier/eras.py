"""Eras: which keys signed from which position, what vouches for them, and what a reopening says was lost ("Eras" of the page)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from . import forms
from .entries import ERA_KINDS, Entry
from .findings import KEY, SIGNATURE, STREAMS, Findings
from .forms import Unreadable
from .keys import Key
from .notes import KeysNote, read_keys_note

_NULL_OR_COUNT = forms.nullable(forms.count)


@dataclass(frozen=True)
class Era:
    kind: str
    note: KeysNote
    vouched: bool = True
    agreed_size: int = 0
    old_size: int | None = None
    old_root: bytes | None = None

    @property
    def first(self) -> int:
        return self.note.first

    @property
    def origin(self) -> str:
        return self.note.origin

    @property
    def log(self) -> Key:
        return self.note.log

    @property
    def issuer(self) -> Key:
        return self.note.issuer


@dataclass
class Eras:
    """The list, and whether a SIGNATURE rule ended it early (`signed` is then false) or any other rule (`whole` is)."""

    listed: list[Era] = field(default_factory=list)
    signed: bool = True
    whole: bool = True

    @property
    def last(self) -> Era:
        return self.listed[-1]

    def at(self, position: int) -> Era:
        return next(era for era in reversed(self.listed) if era.first <= position)

    def of(self, origin: str) -> list[Era]:
        return [era for era in self.listed if era.origin == origin]

    def ended_by(self, origin: str) -> Era:
        """The reopening that ended an earlier origin."""
        after = self.listed.index(self.of(origin)[-1]) + 1
        return self.listed[after]


def instance_and_epoch(origin: str) -> tuple[str, int]:
    """Of an origin of the form of a ledger; epoch 0, which no ledger has, for any other line."""
    if not forms.origin(origin):
        return origin, 0
    _, instance, epoch = origin.split("/")
    return instance, int(epoch)


def _follows(before: Era, note: KeysNote, kind: str) -> Era:
    """The era that this keys note begins after the one before; raises Unreadable with the rule that breaks."""
    crossed = note.signed_by_both_of(before.note)
    if kind == "ledger.reopened":
        (old_instance, old_epoch), (instance, epoch) = (
            instance_and_epoch(before.origin),
            instance_and_epoch(note.origin),
        )
        if not 0 < old_epoch < epoch:
            raise Unreadable("the epoch does not rise, or an origin is not of the form of a ledger")
        if instance == old_instance and not crossed:
            raise Unreadable("the ledger was restored, but the keys before did not sign")
        return Era(kind, note, vouched=instance == old_instance)
    if note.origin != before.origin:
        raise Unreadable("another origin without a reopening")
    if kind == "key.rotated" and not crossed:
        raise Unreadable("the keys before did not sign")
    return Era(kind, note, vouched=kind == "key.rotated")


def _read_signed(data: bytes, first: int) -> KeysNote:
    note = read_keys_note(data)
    if note.first != first or not note.signed_by_both_of(note):
        raise Unreadable("of another first position, or not signed by both its keys")
    return note


def _intervention(entry: Entry, before: Era, era: Era) -> Era:
    """The era with what the record of the reopening says; raises Unreadable where it does not obey the page."""
    records = entry.records("audit.intervention")
    if len(records) != 1:
        raise Unreadable(f"{len(records)} records of audit.intervention instead of one")
    row: dict[str, Any] = records[0]["row"]
    old, agreed, old_origin, old_root = (
        row.get(column) for column in ("old_size", "agreed_size", "old_origin", "old_root")
    )
    if row.get("kind") != ("ledger_restored" if era.vouched else "ledger_copied"):
        raise Unreadable(f"{row.get('kind')!r} is not what happened")
    if not _NULL_OR_COUNT(old) or not _NULL_OR_COUNT(agreed):
        raise Unreadable("a size that is no count")
    if old is None:
        known = old_origin is None and old_root is None
    else:
        known = old_origin == before.origin and forms.digest(old_root)
    if not known:
        raise Unreadable("the old origin, size and root do not fit")
    if agreed is not None and (agreed > entry.position or (old is not None and agreed > old)):
        raise Unreadable("more was agreed than there was")
    root = bytes.fromhex(old_root.removeprefix("sha256:")) if isinstance(old_root, str) else None
    return Era(era.kind, era.note, era.vouched, agreed or 0, old, root)


def eras_of_bundle(entries: list[Entry], files: Mapping[str, bytes], findings: Findings) -> Eras:
    """Walks the entries that begin eras; the first rule that breaks ends the list."""
    eras = Eras()
    for entry in entries:
        if entry.kind not in ERA_KINDS:
            continue
        name = f"keys/keys-{entry.position}.note"
        try:
            refs = entry.refs("keys")
            if len(refs) != 1 or (name in files and refs[0]["digest"] != f"sha256:{sha256(files[name]).hexdigest()}"):
                raise Unreadable("its ref to the keys note is missing, doubled or another")
        except Unreadable as error:
            return _ended(eras, findings, STREAMS, entry, error)
        try:
            if name not in files:
                raise Unreadable(f"{name} is missing")
            note = _read_signed(files[name], entry.position)
            era = _follows(eras.last, note, entry.kind) if eras.listed else Era(entry.kind, note)
        except Unreadable as error:
            return _ended(eras, findings, SIGNATURE, entry, error)
        if entry.kind == "ledger.reopened" and eras.listed:
            try:
                era = _intervention(entry, eras.last, era)
            except Unreadable as error:
                return _ended(eras, findings, STREAMS, entry, error)
        eras.listed.append(era)
    eras.whole = bool(eras.listed)
    _tell(eras, findings)
    return eras


def _ended(eras: Eras, findings: Findings, answer: str, entry: Entry, error: Unreadable) -> Eras:
    findings.no(answer, f"the era of position {entry.position}: {error}")
    eras.whole = False
    eras.signed = answer != SIGNATURE
    return eras


def _tell(eras: Eras, findings: Findings) -> None:
    for era in eras.listed:
        if era.kind == "ledger.reopened":
            findings.notes.append(
                f"reopened at {era.first}: agreed up to {era.agreed_size}, signed before up to {era.old_size}"
            )
        if era.kind == "key.revoked":
            findings.notes.append(f"the keys were revoked at {era.first}")


def eras_of_folder(notes: Mapping[int, bytes], findings: Findings) -> Eras:
    """From the keys notes alone; under one origin it is a rotation if the keys before signed too, else a revocation."""
    eras = Eras()
    for first, data in sorted(notes.items()):
        try:
            note = _read_signed(data, first)
            if not eras.listed:
                if first != 0:
                    raise Unreadable("the first era does not begin at 0")
                era = Era("ledger.created", note)
            elif note.origin != eras.last.origin:
                era = _follows(eras.last, note, "ledger.reopened")
            else:
                crossed = note.signed_by_both_of(eras.last.note)
                era = _follows(eras.last, note, "key.rotated" if crossed else "key.revoked")
        except Unreadable as error:
            findings.no(SIGNATURE, f"keys/keys-{first}.note: {error}")
            eras.signed = eras.whole = False
            return eras
        eras.listed.append(era)
    eras.whole = bool(eras.listed)
    return eras


def judge_key(eras: Eras, given: list[Key], findings: Findings) -> None:
    """KEY: the first line of its table that fits."""
    if not eras.listed or not eras.signed:
        return findings.open(KEY, "the keys notes could not be read, or do not follow from each other")
    if not given:
        return findings.open(KEY, "no key was given")
    where = [i for i, era in enumerate(eras.listed) if any(key in (era.log, era.issuer) for key in given)]
    if not where:
        return findings.no(KEY, "no key that was given is a key of the bundle")
    if not all(era.vouched for era in eras.listed[where[-1] + 1 :]):
        findings.open(KEY, "the keys that were given end before a revocation or a copy")
    return None

"""A completed receipt: the folder from which nothing of the server is needed ("Completed receipts" of the page)."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from .call import Call
from .entries import Entry, check_units, read_entry
from .eras import Eras, eras_of_folder, judge_key
from .findings import ANSWERS, FILES, SIGNATURE, STREAMS, Findings, WrongCall
from .forms import Unreadable
from .notes import Receipt, TlogProof, read_receipt, read_tlog_proof
from .outside import Shown, judge_outside
from .tree import included, root_of

_NUMBER = "(0|[1-9][0-9]{0,15})"
_ROOMS = {
    "entries": re.compile(rf"entries/{_NUMBER}\.json"),
    "proofs": re.compile(rf"proofs/{_NUMBER}\.tlog-proof"),
    "keys": re.compile(rf"keys/keys-{_NUMBER}\.note"),
}
Read = TypeVar("Read")


@dataclass
class Folder:
    """The bytes that lie there, by room and number."""

    note: bytes | None = None
    entries: dict[int, bytes] = field(default_factory=dict)
    proofs: dict[int, bytes] = field(default_factory=dict)
    keys: dict[int, bytes] = field(default_factory=dict)


def _bytes_of(path: Path, findings: Findings) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError as error:
        findings.no(FILES, f"{path.name} cannot be read: {error.strerror}")
        return None


def _collect(root: Path, findings: Findings) -> Folder:
    folder = Folder()
    for path in sorted(p for p in root.rglob("*") if not p.is_dir()):
        name = path.relative_to(root).as_posix()
        room, match = next(((r, m) for r, p in _ROOMS.items() if (m := p.fullmatch(name))), ("", None))
        if match is None and name != "receipt.note":
            findings.notes.append(f"{name} is no part of a completed receipt")
            continue
        data = _bytes_of(path, findings)
        if data is None:
            continue
        if match is None:
            folder.note = data
        else:
            getattr(folder, room)[int(match[1])] = data
    return folder


def _read_each(
    found: dict[int, bytes], receipt: Receipt, room: str, read: Callable[[int, bytes], Read], findings: Findings
) -> dict[int, Read]:
    """What can be read of the positions of the receipt; a position that is missing or unreadable is a "no"."""
    known: dict[int, Read] = {}
    missing = receipt.count - sum(position in receipt.positions for position in found)
    findings.demand(missing == 0, FILES, f"{missing} files are missing under {room}/")
    for position in sorted(found):
        if position not in receipt.positions:
            findings.notes.append(f"{room}/{position} is not of the receipt")
            continue
        with findings.readable(FILES, f"{room}/{position}"):
            known[position] = read(position, found[position])
    return known


def _check_entries(receipt: Receipt, entries: list[Entry], findings: Findings) -> None:
    findings.demand(
        root_of([e.leaf for e in entries]) == receipt.root, FILES, "the entries do not give the receipt's root"
    )
    findings.demand(len({e.unit for e in entries}) == 1, FILES, "the events are not of one unit")
    findings.demand({e.at for e in entries} == {receipt.at}, FILES, "an entry has another time than the receipt")
    findings.demand(len({e.event["id"] for e in entries}) == len(entries), FILES, "an event id is there twice")
    check_units(entries, findings, FILES)
    last: dict[str, int] = {}
    for entry in entries:
        findings.demand(entry.seq > last.get(entry.stream, 0), FILES, f"the numbers of {entry.stream} do not rise")
        last[entry.stream] = entry.seq


def _check_proofs(folder: Folder, proofs: dict[int, TlogProof], findings: Findings) -> None:
    for position, proof in proofs.items():
        findings.demand(proof.extra == folder.note, FILES, f"proofs/{position}: its extra is not receipt.note")
        findings.demand(proof.index == position, FILES, f"proofs/{position}: its index is {proof.index}")
    notes = {proof.checkpoint.note.data for proof in proofs.values()}
    findings.demand(len(notes) == 1, FILES, "the proofs do not carry the same checkpoint")


def _check_signatures(receipt: Receipt, shown: Shown, proof: TlogProof, findings: Findings) -> None:
    eras, checkpoint = shown.eras, proof.checkpoint
    findings.demand(
        checkpoint.origin == eras.last.origin, SIGNATURE, "the checkpoint is of another origin than the last era"
    )
    findings.demand(
        checkpoint.note.signed_first_by(eras.last.log), SIGNATURE, "the checkpoint is not signed by the log key"
    )
    era = eras.at(receipt.first)
    mine = era.origin == receipt.origin and receipt.note.signed_by(era.issuer)
    findings.demand(mine, SIGNATURE, "the receipt is not of its era, or not signed by its issuer key")


def _unread(findings: Findings, why: str) -> Findings:
    for answer in ANSWERS:
        findings.open(answer, why)
    return findings


def _eras(folder: Folder, size: int, findings: Findings) -> Eras:
    findings.demand(0 in folder.keys, FILES, "keys/keys-0.note is missing")
    for first in folder.keys:
        findings.demand(first < size, SIGNATURE, f"keys/keys-{first}.note begins at or above the checkpoint")
    return eras_of_folder(folder.keys, findings)


def verify_folder(root: Path, call: Call) -> Findings:
    findings = Findings()
    if (root / "manifest.json").exists() and not (root / "receipt.note").exists():
        raise WrongCall(f"{root} is a bundle that was unpacked")
    folder = _collect(root, findings)
    if folder.note is None:
        findings.no(FILES, "receipt.note is missing")
        return _unread(findings, "without the receipt nothing can be checked")
    try:
        receipt = read_receipt(folder.note)
    except Unreadable as error:
        findings.no(FILES, f"receipt.note: {error}")
        return _unread(findings, "without the receipt nothing can be checked")
    entries = _read_each(folder.entries, receipt, "entries", read_entry, findings)
    proofs = _read_each(folder.proofs, receipt, "proofs", lambda _, data: read_tlog_proof(data), findings)
    if entries:
        _check_entries(receipt, list(entries.values()), findings)
    if not proofs:
        return _unread(findings, "there is no proof that can be read")
    _check_proofs(folder, proofs, findings)
    one = next(iter(proofs.values()))
    eras = _eras(folder, one.checkpoint.size, findings)
    judge_key(eras, call.keys, findings)
    for position, entry in entries.items():
        proof = proofs.get(position)
        if proof is not None:
            c = proof.checkpoint
            held = included(entry.leaf, position, c.size, proof.path, c.root)
            findings.demand(held, STREAMS, f"position {position} is not included by its proof")
    if not eras.whole:
        findings.open(SIGNATURE, "the eras are not known")
        findings.open(STREAMS, "the eras are not known, so nothing from outside can be judged")
        return findings
    shown = Shown(eras, one.checkpoint.size, one.checkpoint.root, {}, call.keys, call.proof)
    _check_signatures(receipt, shown, one, findings)
    judge_outside(shown, one.checkpoint, call.checkpoint, call.witnesses, findings)
    return findings

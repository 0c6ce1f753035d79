"""Receipts that were given beside a bundle ("Receipts: STREAMS" of the page)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import forms
from .entries import Entry, read_entry
from .findings import NO, OPEN, YES
from .forms import Unreadable
from .keys import Key
from .notes import PROOF_HEAD, Receipt, TlogProof, read_receipt, read_tlog_proof
from .outside import Judged, Shown, judge_lost_root, judge_root, judge_signature
from .tree import included, root_of

MAX_UNIT = 10_000


@dataclass(frozen=True)
class Given:
    """A receipt as it was given: alone, with its one proof, or with entries and proofs of a folder, by position."""

    receipt: Receipt
    entries: Mapping[int, Entry] = field(default_factory=dict)
    proofs: Mapping[int, TlogProof] = field(default_factory=dict)


def read_given(given: Path | bytes) -> Given:
    """From the folder of a completed receipt, or from the bytes of a note, of its base64 or of a proof."""
    return _read_folder(given) if isinstance(given, Path) else _read_bytes(given)


def _read_folder(path: Path) -> Given:
    receipt = read_receipt((path / "receipt.note").read_bytes())
    if receipt.count > MAX_UNIT:
        raise Unreadable(f"a receipt over {receipt.count} entries")
    return Given(
        receipt,
        {p: read_entry(p, (path / "entries" / f"{p}.json").read_bytes()) for p in receipt.positions},
        {p: read_tlog_proof((path / "proofs" / f"{p}.tlog-proof").read_bytes()) for p in receipt.positions},
    )


def _read_bytes(data: bytes) -> Given:
    if data.startswith(PROOF_HEAD.encode()):
        proof = read_tlog_proof(data)
        receipt = read_receipt(proof.extra)
        return Given(receipt, proofs={receipt.first: proof} if receipt.count == 1 else {})
    if data.startswith(b"pressmark/"):
        return Given(read_receipt(data))
    try:
        return Given(read_receipt(forms.read_base64(data.decode("ascii").strip())))
    except UnicodeDecodeError as error:
        raise Unreadable("neither a note, nor its base64, nor a proof") from error


def _demanded(receipt: Receipt, key: Key | None) -> Judged:
    if key is None or not receipt.note.signed_by(key):
        return Judged(NO, "not signed by the issuer key of its era")
    return Judged(YES)


def _signature(shown: Shown, receipt: Receipt) -> Judged:
    eras, origin, note = shown.eras, receipt.origin, receipt.note
    end = receipt.first + receipt.count
    given = [key for key in shown.given if key.name == f"{origin}/issuer"]
    if origin == shown.origin:
        if receipt.first >= shown.size:
            if any(note.of(era.issuer) for era in eras.of(origin)[:-1]):
                return Judged(NO, "signed by keys that were given up before")
            at_hand = [eras.last.issuer, *given]
        else:
            era = eras.at(receipt.first)
            return _demanded(receipt, era.issuer if era.origin == origin else None)
    elif eras.of(origin):
        if end <= eras.ended_by(origin).agreed_size:
            era = eras.at(receipt.first)
            return _demanded(receipt, era.issuer if era.origin == origin else None)
        at_hand = [era.issuer for era in eras.of(origin)] + given
    elif shown.skipped(origin) or (shown.yet_to_come(origin) and receipt.first >= shown.size):
        at_hand = given
    else:
        return Judged(NO, f"of another log: {origin}")
    meant = [key for key in at_hand if note.of(key)]
    if not meant:
        return Judged(OPEN, "signed by a key that is not known")
    return _demanded(receipt, meant[0])


def _left_out(given: Given, entries: Mapping[int, Entry], size: int, streams: set[str]) -> int | None:
    """The position of an entry of the folder that the scope covers and the bundle lacks."""
    for position, entry in given.entries.items():
        if position not in entries and position < size and entry.stream in streams:
            return position
    return None


def _proof_judged(shown: Shown, given: Given, position: int, proof: TlogProof) -> Judged:
    checkpoint = proof.checkpoint
    signature = judge_signature(shown, checkpoint)
    if signature.result != YES:
        return signature
    leaf = given.entries[position].leaf if given.entries else given.receipt.root
    if proof.index != position or not included(leaf, position, checkpoint.size, proof.path, checkpoint.root):
        return Judged(NO, f"its proof for position {position} does not hold")
    if not shown.lost(checkpoint.origin, checkpoint.size):
        return judge_root(shown, checkpoint)
    return judge_lost_root(shown, checkpoint)


def _proven(shown: Shown, given: Given) -> Judged:
    judged = [_proof_judged(shown, given, position, proof) for position, proof in given.proofs.items()]
    for result in (NO, OPEN):
        for one in judged:
            if one.result == result:
                return one
    return Judged(YES)


def judge_receipt(
    shown: Shown, given: Given, entries: Mapping[int, Entry], scope_size: int, streams: set[str]
) -> Judged:
    receipt = given.receipt
    signature = _signature(shown, receipt)
    if signature.result != YES:
        return signature
    if given.entries and root_of([entry.leaf for entry in given.entries.values()]) != receipt.root:
        return Judged(NO, "its entries do not give its root")
    there = [entry for position, entry in entries.items() if position in receipt.positions]
    same_time = all(entry.at == receipt.at for entry in there)
    if len(there) == receipt.count and same_time and root_of([entry.leaf for entry in there]) == receipt.root:
        return Judged(YES)
    if shown.lost(receipt.origin, receipt.first + receipt.count):
        return Judged(OPEN, "it speaks of what was lost when the ledger was reopened")
    if not same_time or len(there) == receipt.count:
        return Judged(NO, "other entries stand at its positions")
    missing = _left_out(given, entries, scope_size, streams)
    if missing is not None:
        return Judged(NO, f"the entry of position {missing} belongs to the scope and is left out")
    if not given.proofs:
        return Judged(OPEN, "its entries are not in the bundle, and it has no proofs")
    return _proven(shown, given)

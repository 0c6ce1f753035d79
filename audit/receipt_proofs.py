"""What makes a receipt stand alone: the bytes of its entries, a proof for each, and the keys notes that lead to its checkpoint.

Rules:
- a receipt is judged by the issuer key of its era; one that an issuer of this ledger signed, and that the ledger contradicts, is
  evidence of a lost or rewritten history: 409 `receipt-differs`, whoever asks, and nothing is completed;
- whoever may not read every entry of the unit gets none of them: a receipt that is completed half proves nothing;
- all proofs lead to one checkpoint, the first past the unit, so that completing again gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from audit import checkpoints, eras, merkle, notes, queries
from audit.eras import Era
from audit.models import Checkpoint, Entry
from registry.errors import Conflict, Invalid, NotFound
from registry.events import Caller


@dataclass(frozen=True)
class Completed:
    """A receipt with all that an offline verifier asks for."""

    note: bytes
    receipt: notes.Receipt
    entries: Sequence[Entry]
    proofs: Sequence[bytes]
    eras: Sequence[Era]
    checkpoint: Checkpoint

    def files(self) -> dict[str, bytes]:
        """The folder of docs/bundle-format.md, by path."""
        files = {"receipt.note": self.note}
        files |= {f"keys/keys-{era.first}.note": era.note for era in self.eras}
        for entry, proof in zip(self.entries, self.proofs, strict=True):
            files[f"entries/{entry.position}.json"] = bytes(entry.entry)
            files[f"proofs/{entry.position}.tlog-proof"] = proof
        return files


def complete(caller: Caller, note: bytes) -> Completed:
    """Complete a receipt. Invalid when it is none of this ledger, Conflict when the ledger contradicts it, Unavailable (pending)
    until a checkpoint is past it, NotFound when the caller may not read all of its entries."""
    found = _read_eras()
    receipt = _open(found, note)
    entries = _entries_of(receipt)
    _refuse_unreadable(caller, entries)
    checkpoint = queries.covering_checkpoint(entries[-1].position)
    tree = checkpoints.tree(checkpoint.size)
    proofs = [
        notes.TlogProof(
            entry.position, tuple(tree.inclusion_path(entry.position)), checkpoint.note.encode(), note
        ).text()
        for entry in entries
    ]  # fmt: skip
    known = [era for era in found if era.first < checkpoint.size]
    return Completed(note, receipt, entries, proofs, known, checkpoint)


def note_of_header(header: str) -> bytes:
    """The note in the value of `Pressmark-Receipt`. Invalid when there is none."""
    try:
        return notes.parse_receipt_header(header.strip())
    except notes.NoteError as error:
        raise _no_receipt(str(error)) from None


def _read_eras() -> list[Era]:
    try:
        return eras.read()
    except eras.EraError as error:
        raise Conflict(
            f"The keys of this ledger cannot be followed: position {error.position}: {error}.",
            hint="Keep the receipt. Run `pressmark verify-ledger`: the ledger is damaged.",
            code="receipt-differs",
        ) from None


def _open(found: Sequence[Era], note: bytes) -> notes.Receipt:
    """The receipt, signed by the issuer of the era that its position belongs to."""
    try:
        parsed = notes.parse_note(note)
        receipt = notes.parse_receipt_body(parsed.text)
    except notes.NoteError as error:
        raise _no_receipt(str(error)) from None
    ours = [era for era in found if era.origin == receipt.origin]
    if not ours:
        raise _no_receipt(f"it is of {receipt.origin}")
    signers = [era.first for era in ours if eras.signed_by(note, era.keys.issuer)]
    if not signers:
        raise _no_receipt(
            "no issuer key that this ledger knows signed it", "Keep it, if this installation gave it to you."
        )
    if eras.era_at(found, receipt.first).first not in signers:
        raise _differs("Another key signs at the positions of this receipt")
    return receipt


def _entries_of(receipt: notes.Receipt) -> list[Entry]:
    """The entries at the receipt's positions; their bytes must give its root, whatever the columns beside them say."""
    last = receipt.first + receipt.count
    rows = list(Entry.objects.filter(position__gte=receipt.first, position__lt=last).order_by("position"))
    if len(rows) < receipt.count:
        raise _differs(f"The ledger lacks {receipt.count - len(rows)} of the {receipt.count} entries of this receipt")
    if merkle.root([merkle.leaf_hash(bytes(row.entry)) for row in rows]) != receipt.root:
        raise _differs("The ledger holds other entries at the positions of this receipt")
    return rows


def _refuse_unreadable(caller: Caller, entries: Sequence[Entry]) -> None:
    may_read = queries.reader_of_entries(caller)
    closed = sum(not may_read(entry) for entry in entries)
    if closed:
        raise NotFound(
            f"You may not read {closed} of the {len(entries)} entries of this receipt.",
            hint="Whoever has a role in every team that the act touched can complete it; the receipt itself stays good.",
        )


def _no_receipt(why: str, hint: str = "Send the value of the header Pressmark-Receipt.") -> Invalid:
    return Invalid(f"That is no receipt of this installation: {why}.", hint=hint)


def _differs(sentence: str) -> Conflict:
    return Conflict(
        f"{sentence}.",
        hint="Keep the receipt: it proves that history was lost or rewritten. Run `pressmark verify-ledger`.",
        code="receipt-differs",
    )

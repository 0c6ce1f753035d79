"""Checkpoints, witnesses and proofs from outside, held against what a bundle or folder itself shows.

Rules: "What is known from outside" of the page, but for keys (eras) and receipts (receipts).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import forms
from .eras import Eras, instance_and_epoch
from .findings import NO, OPEN, STREAMS, YES, Findings
from .forms import Unreadable
from .keys import Key
from .notes import Checkpoint
from .tree import consistent

_CONSISTENCY = forms.shaped(
    proofs=forms.listed(
        forms.shaped(old_root=forms.digest, old_size=forms.integer_from(1), path=forms.hash_path),
    ),
    size=forms.integer_from(1),
    type=forms.literally("pressmark/consistency/1"),
)


@dataclass(frozen=True)
class OldRoot:
    root: bytes
    path: list[bytes]


@dataclass(frozen=True)
class Consistency:
    size: int
    proofs: Mapping[int, OldRoot]

    def must_hold(self, root: bytes) -> None:
        """Raises Unreadable if one of the proofs does not lead to this root."""
        for size, old in self.proofs.items():
            if not consistent(size, old.root, self.size, root, old.path):
                raise Unreadable(f"the proof from {size} to {self.size} does not hold")


def read_consistency(data: bytes) -> Consistency:
    value: Any = forms.read_canonical(data)
    if not _CONSISTENCY(value):
        raise Unreadable("not of the shape of consistency proofs")
    sizes = [proof["old_size"] for proof in value["proofs"]]
    if not forms.rising(sizes) or any(size >= value["size"] for size in sizes):
        raise Unreadable("old sizes that do not ascend, or reach the size")
    return Consistency(
        value["size"],
        {
            proof["old_size"]: OldRoot(
                bytes.fromhex(proof["old_root"].removeprefix("sha256:")), [bytes.fromhex(h) for h in proof["path"]]
            )
            for proof in value["proofs"]
        },
    )


@dataclass(frozen=True)
class Judged:
    result: str
    why: str = ""

    def put(self, findings: Findings, what: str) -> bool:
        if self.result == NO:
            findings.no(STREAMS, f"{what}: {self.why}")
        elif self.result == OPEN:
            findings.open(STREAMS, f"{what}: {self.why}")
        elif self.why:
            findings.notes.append(f"{what}: {self.why}")
        return self.result == YES


@dataclass
class Shown:
    """What is held against the outside: the eras, the checkpoint inside, the older roots that it proves, and what was given."""

    eras: Eras
    size: int
    root: bytes
    inside: Mapping[int, OldRoot] = field(default_factory=dict)
    given: list[Key] = field(default_factory=list)
    proof: Consistency | None = None

    @property
    def origin(self) -> str:
        return self.eras.last.origin

    def ran_earlier(self, origin: str) -> bool:
        return origin != self.origin and bool(self.eras.of(origin))

    def skipped(self, origin: str) -> bool:
        """An epoch of the last era's instance that was used, lost, and is no era here."""
        mine, last = instance_and_epoch(origin), instance_and_epoch(self.origin)
        return not self.eras.of(origin) and mine[0] == last[0] and mine[1] < last[1]

    def yet_to_come(self, origin: str) -> bool:
        mine, last = instance_and_epoch(origin), instance_and_epoch(self.origin)
        return mine[0] == last[0] and mine[1] > last[1]

    def lost(self, origin: str, end: int) -> bool:
        """Whether what was signed under this origin up to this size may have been lost in a reopening."""
        if self.ran_earlier(origin):
            return end > self.eras.ended_by(origin).agreed_size
        return self.skipped(origin)

    def root_at(self, size: int) -> bytes | None:
        """The proven root at a size up to the checkpoint's; None without a proof; raises Unreadable if the proof does not hold."""
        if size == self.size:
            return self.root
        if size in self.inside:
            return self.inside[size].root
        if self.proof is None or self.proof.size != self.size:
            return None
        self.proof.must_hold(self.root)
        if size not in self.proof.proofs:
            return None
        return self.proof.proofs[size].root

    def grown_to(self, checkpoint: Checkpoint) -> Judged:
        if self.proof is None or self.proof.size != checkpoint.size or self.size not in self.proof.proofs:
            return Judged(OPEN, f"newer, of size {checkpoint.size}, and no proof from {self.size} to it")
        old = self.proof.proofs[self.size]
        self.proof.must_hold(checkpoint.root)
        if old.root != self.root:
            return Judged(NO, f"the proof does not lead from size {self.size} to it")
        return Judged(YES, f"the log has grown since, from {self.size} to {checkpoint.size}")


def judge_signature(shown: Shown, checkpoint: Checkpoint) -> Judged:
    """Whether the key signed that must, by origin and size."""
    note, origin, size, eras = checkpoint.note, checkpoint.origin, checkpoint.size, shown.eras
    line = note.lines[0]
    if line.name != origin:
        return Judged(NO, "its first signature line is of another name than its origin")
    own = [era.log for era in eras.of(origin)]
    at_hand: list[Key] = []
    if origin == shown.origin:
        if size <= shown.size:
            return _by_era(shown, checkpoint)
        if line.names(eras.last.log):
            at_hand = [eras.last.log]
        elif any(line.names(era.log) for era in eras.listed):
            return Judged(NO, "signed by keys that were given up before")
        else:
            at_hand = shown.given
    elif own:
        if size <= eras.ended_by(origin).agreed_size:
            return _by_era(shown, checkpoint)
        at_hand = own + shown.given
    elif shown.skipped(origin) or (shown.yet_to_come(origin) and size > shown.size):
        at_hand = shown.given
    else:
        return Judged(NO, f"of another log: {origin}")
    meant = [key for key in at_hand if line.names(key)]
    if not meant:
        return Judged(OPEN, "signed by a key that is not known")
    return _held(note.signed_first_by(meant[0]))


def _by_era(shown: Shown, checkpoint: Checkpoint) -> Judged:
    begins = shown.eras.of(checkpoint.origin)[0].first
    if begins and checkpoint.size <= begins:
        return Judged(NO, f"its origin begins only at position {begins}")
    return _held(checkpoint.note.signed_first_by(shown.eras.at(checkpoint.size - 1).log))


def _held(holds: bool) -> Judged:
    return Judged(YES) if holds else Judged(NO, "its signature is missing, of another key, or does not hold")


def judge_lost_root(shown: Shown, checkpoint: Checkpoint) -> Judged:
    """What was lost holds where a proof gives its own root all the same."""
    try:
        if checkpoint.size <= shown.size and shown.root_at(checkpoint.size) == checkpoint.root:
            return Judged(YES)
    except Unreadable as error:
        return Judged(NO, str(error))
    return Judged(OPEN, "it speaks of what was lost when the ledger was reopened")


def _lost_history(shown: Shown, checkpoint: Checkpoint) -> Judged:
    judged = judge_lost_root(shown, checkpoint)
    if judged.result != OPEN:
        return judged
    size = checkpoint.size
    if shown.ran_earlier(checkpoint.origin):
        era = shown.eras.ended_by(checkpoint.origin)
        if era.old_size is not None and size > era.old_size:
            return Judged(NO, f"signed under the old origin past its end at {era.old_size}")
        if size == era.old_size and checkpoint.root != era.old_root:
            return Judged(NO, f"another root than the reopening names for size {size}")
    return judged


def judge_root(shown: Shown, checkpoint: Checkpoint) -> Judged:
    """Whether a checkpoint that is well signed tells the same history."""
    try:
        if shown.lost(checkpoint.origin, checkpoint.size):
            return _lost_history(shown, checkpoint)
        if checkpoint.size > shown.size:
            return shown.grown_to(checkpoint)
        root = shown.root_at(checkpoint.size)
    except Unreadable as error:
        return Judged(NO, str(error))
    if root is None:
        return Judged(OPEN, f"no proof from size {checkpoint.size} to {shown.size}")
    return (
        Judged(YES) if root == checkpoint.root else Judged(NO, f"another root at size {checkpoint.size}: two histories")
    )


def judge_checkpoint(shown: Shown, checkpoint: Checkpoint) -> Judged:
    signature = judge_signature(shown, checkpoint)
    return judge_root(shown, checkpoint) if signature.result == YES else signature


def judge_witnesses(witnesses: list[Key], inside: Checkpoint, outside: Checkpoint | None, findings: Findings) -> bool:
    """Judges every line of every witness; True if one cosigned the checkpoint inside."""
    cosigned = False
    for key in witnesses:
        seen = 0
        for checkpoint in filter(None, (inside, outside)):
            for line in checkpoint.note.of(key):
                seen += 1
                if key.holds(line.signature, checkpoint.note.text.encode()):
                    cosigned = cosigned or checkpoint is inside
                    findings.notes.append(f"{key.name} saw it at {int.from_bytes(line.signature[:8], 'big')}")
                else:
                    findings.no(STREAMS, f"the cosignature of {key.name} does not hold")
        if not seen:
            findings.open(STREAMS, f"{key.name} did not cosign")
    return cosigned


def judge_outside(
    shown: Shown, inside: Checkpoint, outside: Checkpoint | None, witnesses: list[Key], findings: Findings
) -> None:
    held = judge_witnesses(witnesses, inside, outside, findings)
    if outside is not None:
        held = judge_checkpoint(shown, outside).put(findings, "the checkpoint from outside") or held
    if not held:
        findings.open(STREAMS, "nothing from outside shows that the log was not rewritten as a whole")

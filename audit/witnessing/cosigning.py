"""The keeper asks the witnesses: checkpoint and proof go out to all side by side, and what comes back is judged before it is kept.

Rules:
- whatever a witness answers or does not, the keeper goes on in time: it waits for those that were punctual last time, at most
  1.5 s together; the others are asked as well, and what they answer is taken when it is there;
- nothing that a witness says is believed by itself: a cosignature is kept when it holds for our checkpoint under the key that the
  file names, and its clock agrees with ours; that it knows another history counts when it shows a checkpoint signed with our key;
- that checkpoint is kept outside the database, and the ledger is not signed on while it contradicts it: somebody else signs under
  this origin, or this is an old backup;
- a witness that forgot what it cosigned is told, and gets no new chance to cosign another history: it needs a new key;
- before the first signature of a process the witnesses are asked about the last checkpoint: a copy is noticed before it signs.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from audit import eras, keys, merkle, notes
from audit.eras import Era
from audit.models import Witness
from audit.refusal import LedgerRefused
from audit.witnessing import witnesses
from audit.witnessing.cosignatures import cosignature_of
from audit.witnessing.witness_client import Call, Callers, Reply
from audit.witnessing.witnesses import Listed
from registry.storage import sync_folder

WAIT_SECONDS = 1.5
PUNCTUAL_SECONDS = 0.5
PATIENCE_SECONDS = 10.0
COLLECT_WAIT_SECONDS = 0.25
HEARD_SECONDS = 60
CLOCK_SECONDS = 600
_STEPS = 4
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,15})\n")
_OTHER = "other-history-*.note"


@dataclass(frozen=True)
class Question:
    """A signed checkpoint, the tree that proves it, and the root that the ledger has now at any size (None past its end)."""

    note: bytes
    checkpoint: notes.Checkpoint
    tree: merkle.TileTree
    root_at: Callable[[int], bytes | None]


@dataclass
class _Talk:
    """A checkpoint put to one witness, and how far they have come."""

    listed: Listed
    question: Question
    known: int
    """The size that it provably cosigned of this history."""
    old: int
    seconds: float = 0.0
    """How long it took for its answers so far."""
    steps: int = 0
    refusal: str = ""
    """What it answered when it is being asked to show what it holds."""


class Panel:
    """The witnesses as one process of the keeper sees them: who is being asked, who was late, who was heard when."""

    def __init__(self) -> None:
        self._callers = Callers()
        self._talks: dict[str, _Talk] = {}
        self._late: set[str] = set()
        self._heard: dict[str, float] = {}

    def cosigned(self, question: Question) -> bytes:
        """The checkpoint with the cosignatures that come in time. Late ones are kept by later turns."""
        listed = witnesses.listed()
        if not listed:
            return question.note
        self._take_what_came()
        self._put([each for each in listed if each.name not in self._late], question, WAIT_SECONDS)
        kept = witnesses.rows()
        lines = [(each.key, kept[each.name].line) for each in listed if each.name in kept]
        good = [line for key, line in lines if witnesses.holds_for(question.note, key, line)]
        return witnesses.with_lines(question.note, good)

    def unheard(self) -> list[Listed]:
        """The witnesses that this process has not heard lately."""
        return [each for each in witnesses.listed() if self._silent_for(each) > 2 * HEARD_SECONDS]

    def look(self, question: Question) -> None:
        """Put the last checkpoint to those that are unheard, before the next one is signed; the late are not waited for."""
        unheard = self.unheard()
        self._put([each for each in unheard if each.name in self._late], question, 0)
        self._put([each for each in unheard if each.name not in self._late], question, WAIT_SECONDS)

    def collect(self, question: Question) -> None:
        """Take late answers, and ask again for what is missing; once a minute everybody is asked whether all is well."""
        self._take_what_came()
        kept = witnesses.rows() if witnesses.listed() else {}
        missing = [
            each
            for each in witnesses.listed()
            if self._silent_for(each) > HEARD_SECONDS
            or each.name not in kept
            or not witnesses.holds_for(question.note, each.key, kept[each.name].line)
        ]
        self._put(missing, question, COLLECT_WAIT_SECONDS)

    def _put(self, listed: Sequence[Listed], question: Question, seconds: float) -> None:
        """Ask these, and take what comes in that time; who has not answered by then is late."""
        kept = witnesses.rows() if listed else {}
        for each in listed:
            self._ask(each, question, kept.get(each.name))
        asked = {each.name for each in listed}
        end = time.monotonic() + seconds
        while self._open(question) & asked:
            came = self._callers.next(end - time.monotonic())
            if came is None:
                break
            self._take(*came)
        self._late |= self._open(question)

    def _open(self, question: Question) -> set[str]:
        return {name for name, talk in self._talks.items() if talk.question is question}

    def _silent_for(self, each: Listed) -> float:
        return time.monotonic() - self._heard.get(each.name, float("-inf"))

    def _ask(self, listed: Listed, question: Question, row: Witness | None) -> None:
        if listed.name in self._talks:  # still at another question; it will be asked again
            self._late.add(listed.name)
            return
        known = _known_size(listed, question, row)
        talk = _Talk(listed, question, known, known)
        self._post(talk)
        self._talks[listed.name] = talk
        self._heard[listed.name] = time.monotonic()

    def _post(self, talk: _Talk) -> None:
        path = talk.question.tree.consistency_path(talk.old, talk.question.checkpoint.size)
        lines = [f"old {talk.old}", *(base64.b64encode(item).decode() for item in path)]
        body = ("\n".join(lines) + "\n\n").encode() + talk.question.note
        self._callers.start(talk.listed.name, Call(talk.listed.url + "/add-checkpoint", body, PATIENCE_SECONDS))

    def _take_what_came(self) -> None:
        while (came := self._callers.next(0)) is not None:
            self._take(*came)

    def _take(self, name: str, reply: Reply) -> None:
        talk = self._talks.pop(name)
        if talk.listed in witnesses.listed() and self._goes_on(talk, reply):
            self._talks[name] = talk

    def _goes_on(self, talk: _Talk, reply: Reply) -> bool:
        """Judge an answer; whether another question follows from it."""
        talk.steps += 1
        talk.seconds += reply.seconds
        if reply.failure:
            return self._end(talk, f"does not cosign: {reply.failure}")
        if talk.refusal:
            return self._end(talk, _judge_what_it_shows(talk, reply))
        if reply.status == 200:
            return self._end(talk, _accept(talk, reply))
        if reply.status == 409 and reply.content_type.startswith("text/x.tlog.size"):
            return self._go_on_from(talk, reply)
        if reply.status in (409, 422):
            return self._examine(talk, f"it answers {reply.status}")
        return self._end(talk, _sentence_of(reply.status))

    def _go_on_from(self, talk: _Talk, reply: Reply) -> bool:
        """It says which size it knows; the proof has to begin there."""
        told = _SIZE.fullmatch(reply.body)
        size = int(told[1]) if told else -1
        if told is None or size == talk.old or talk.steps >= _STEPS:
            return self._examine(talk, "it answers 409 and names no other size")
        if size < talk.known:
            return self._end(
                talk,
                f"forgot what it cosigned: it did so up to {talk.known} entries, and now knows {size}. Its state was set back, so "
                "it could cosign a second history: its operator makes a new key in another folder, and gives its line",
            )
        if size > talk.question.checkpoint.size:
            return self._examine(talk, f"it says that it knows {size} entries")
        talk.old = size
        self._post(talk)
        return True

    def _examine(self, talk: _Talk, refusal: str) -> bool:
        """It refuses: let it show the checkpoint that it holds against ours."""
        talk.refusal = refusal
        name = hashlib.sha256(talk.question.checkpoint.origin.encode()).hexdigest()
        self._callers.start(talk.listed.name, Call(f"{talk.listed.url}/{name}/checkpoint", None, PATIENCE_SECONDS))
        return True

    def _end(self, talk: _Talk, trouble: str) -> bool:
        """The talk is over; False, so that callers can return it."""
        name = talk.listed.name
        self._heard[name] = time.monotonic()
        if trouble or talk.seconds > PUNCTUAL_SECONDS:
            self._late.add(name)
        else:
            self._late.discard(name)
        if trouble:
            witnesses.record_trouble(name, trouble)
        return False


PANEL = Panel()


def _known_size(listed: Listed, question: Question, row: Witness | None) -> int:
    """The size up to which the kept cosignature proves that the witness follows this history; 0 when it proves nothing."""
    if row is None or not 1 <= row.size <= question.checkpoint.size:
        return 0
    body = notes.Checkpoint(question.checkpoint.origin, row.size, question.tree.root(row.size)).body()
    try:
        cosignature_of(notes.parse_note(f"{body}\n{row.line}\n".encode()), listed.key)
    except notes.NoteError:
        return 0
    return row.size


def _accept(talk: _Talk, reply: Reply) -> str:
    """Keep the cosignature; else what is wrong with it."""
    try:
        note = notes.parse_note(witnesses.bare(talk.question.note) + reply.body)
        seconds, line = cosignature_of(note, talk.listed.key)
    except notes.NoteError:
        return "answers with something else than its cosignature; is its key line right?"
    if note.text != talk.question.checkpoint.body():
        return "answers with something else than its cosignature"
    ahead = seconds - time.time()
    if abs(ahead) > CLOCK_SECONDS:
        return f"has a clock that is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} ours: one of the two is wrong"
    witnesses.record_cosignature(talk.listed.name, talk.question.checkpoint.size, line)
    return ""


def _judge_what_it_shows(talk: _Talk, reply: Reply) -> str:
    """Whether the checkpoint that it holds proves another history under our key; empty when it merely has a newer one of ours."""
    unproven = (
        f"refuses the checkpoint ({talk.refusal}) and shows nothing that this ledger's key signed; "
        "its operator can say what it holds. If this installation was restored from a backup, stop it: keys may have been "
        "changed since, and then it would sign a second history"
    )
    try:
        shown = _signed_by_us(eras.read(), reply.body)
    except (notes.NoteError, eras.EraError):
        return unproven
    if reply.status != 200 or shown.origin != talk.question.checkpoint.origin:
        return unproven
    if talk.question.root_at(shown.size) != shown.root:
        _keep_other_history(reply.body, shown)
        return (
            f"holds a checkpoint over {shown.size} entries, signed with the log key of this ledger, that this ledger does not "
            "continue: a copy signs under the same origin, or this is an old backup"
        )
    if shown.size > talk.question.checkpoint.size:
        return ""
    return f"refuses the checkpoint ({talk.refusal}), though it shows one that this ledger continues"


def _signed_by_us(found: Sequence[Era], note: bytes) -> notes.Checkpoint:
    """The checkpoint, if the log key of its era signed it, or one whose file lies here though no row names it. Raises NoteError.

    Such a key is of a history that was lost: a backup of before a rotation or a revocation was restored. Keys that were revoked do
    not count: whoever stole one could stop the ledger with it.
    """
    try:
        return eras.open_checkpoint(found, note)
    except notes.NoteError:
        named = {era.keys.log for era in found}
        for key in keys.log_keys_here():
            if key.name == found[-1].origin and key not in named:
                with suppress(notes.NoteError):
                    return notes.open_checkpoint(note, key)
        raise


def _sentence_of(status: int) -> str:
    if status == 404:
        return "does not know this ledger: its operator gives it the log key line that `pressmark check` prints"
    if status == 403:
        return "does not know the log key in force: its operator gives it the line that `pressmark check` prints"
    if status == 503:
        return "cannot trust or keep its own state: its operator must look"
    return f"refuses the checkpoint with status {status}"


# --- another history ---


def _keep_other_history(note: bytes, shown: notes.Checkpoint) -> None:
    folder = Path(settings.PRESSMARK_CHECKPOINTS)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _OTHER.replace("*", f"{shown.size}-{shown.root.hex()[:16]}")
    if path.exists():
        return
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as target:
        target.write(note)
        target.flush()
        os.fsync(target.fileno())
    os.replace(temporary, path)
    sync_folder(folder)


def refuse_other_history(read_eras: Callable[[], Sequence[Era]], root_at: Callable[[int], bytes | None]) -> None:
    """Raise LedgerRefused while a kept checkpoint of a witness contradicts this ledger under its present origin."""
    for path in sorted(Path(settings.PRESSMARK_CHECKPOINTS).glob(_OTHER)):
        found = read_eras()
        try:
            shown = _signed_by_us(found, path.read_bytes())
        except notes.NoteError:
            continue  # of a key that was revoked since, or no checkpoint at all
        if shown.origin == found[-1].origin and root_at(shown.size) != shown.root:
            raise LedgerRefused(
                f"A witness holds a checkpoint over {shown.size} entries, signed with the log key of this ledger, that this ledger "
                f"does not continue ({path}): a copy signs under the same origin, or this is an old backup.",
                hint="Restore the newest backup. If another copy goes on under this origin, stop one of the two. What cannot be "
                f"put right goes on under the next epoch: `pressmark reopen-ledger --restored --checkpoint {path}`, or --copied.",
            )

"""The witness: remembers the newest checkpoint of each log it knows, and cosigns only what continues it (C2SP tlog-witness).

One reason: a log that kept two histories for two audiences would need the witness to cosign both. No Django. Rules:
- a log is known by the key lines that the operator gave; nothing that arrives over the network adds or removes one;
- a checkpoint is cosigned only if a known key of its origin signed it and a consistency proof leads from the newest one cosigned;
- the new state is on the disk (file, folder and mark synced) before the cosignature leaves;
- reading the state, judging and writing it happen under a lock of the file system, so neither two requests nor two processes on
  one folder cosign two histories;
- the state file is the cosigned note itself: one that this witness did not cosign is refused, and so is one that is older than the
  mark beside it says, or gone; then nothing of that log is cosigned until a person has looked;
- what contradicts the state under a known key is kept as evidence.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from audit import merkle, notes
from audit.signing import PublicKey, Signer, strict_base64
from audit.witnessing.cosignatures import CosignerKey, cosign, cosigner_of, open_cosignature, signature_line

KEY_FILE = "witness.key"
LOGS = "logs"
EVIDENCE = "evidence"
SIZE_TYPE = "text/x.tlog.size"
LOCK_WAIT_SECONDS = 5.0
PROOF_LIMIT = 63
EVIDENCE_LIMIT = 100

_OLD_LINE = re.compile(r"old (0|[1-9][0-9]{0,15})")
_ORIGIN_HASH = re.compile(r"[0-9a-f]{64}")
_MARK = re.compile(rb"([0-9]{20}) ([0-9a-f]{64})\n")
_MARK_BYTES = 86


class StateError(Exception):
    """The remembered state cannot be trusted or kept; nothing of that log is cosigned. The message says what to do."""


@dataclass(frozen=True)
class Answer:
    """What goes back over HTTP."""

    status: int
    body: str
    content_type: str = "text/plain; charset=utf-8"


class Refused(Exception):
    """A request that is not cosigned."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.answer = Answer(status, sentence + "\n")


@dataclass(frozen=True)
class Request:
    """The body of add-checkpoint, read; nothing in it is trusted yet."""

    old: int
    path: tuple[bytes, ...]
    note: notes.Note
    checkpoint: notes.Checkpoint


def parse_request(body: bytes) -> Request:
    """Read `old N`, the proof lines, a blank line and the checkpoint. Raises Refused (400)."""
    head, blank, note_bytes = body.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
        old = _OLD_LINE.fullmatch(lines[0])
        if not blank or old is None:
            raise Refused(400, "The body is: old N, proof lines, a blank line, a checkpoint.")
        if len(lines) - 1 > PROOF_LIMIT:
            raise Refused(400, f"There are {len(lines) - 1} proof lines; at most {PROOF_LIMIT} can be needed.")
        path = tuple(strict_base64(line) for line in lines[1:])
        note = notes.parse_note(note_bytes)
        checkpoint = notes.parse_checkpoint_body(note.text)
    except ValueError as error:  # what is not ASCII, not base64, no note or no checkpoint
        raise Refused(400, f"The request cannot be read: {error}.") from None
    if any(len(item) != merkle.HASH_BYTES for item in path):
        raise Refused(400, f"A proof line holds a hash of {merkle.HASH_BYTES} bytes.")
    if int(old[1]) > checkpoint.size:
        raise Refused(400, f"The old size {old[1]} is larger than the checkpoint's {checkpoint.size}.")
    return Request(int(old[1]), path, note, checkpoint)


@dataclass(frozen=True)
class Seen:
    """The newest checkpoint that this witness cosigned of a log; of a log that it never cosigned, the empty tree."""

    size: int = 0
    root: bytes = merkle.EMPTY_ROOT
    note: bytes = b""


class State:
    """One folder with one file per log, and beside it a mark that is locked and that says how far the file must be."""

    def __init__(self, folder: Path, key: CosignerKey) -> None:
        self._folder = folder
        self._key = key

    @contextmanager
    def locked(self, origin: str) -> Iterator[Place]:
        """The place of one log, for this thread of this process alone. Raises StateError when it stays locked."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / origin_hash(origin)
        descriptor = os.open(path.with_suffix(".mark"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor)
            yield Place(path.with_suffix(".note"), descriptor, origin, self._key)
        finally:
            os.close(descriptor)  # gives the lock back

    def origins(self) -> list[str]:
        """The origins of which something was cosigned, read from the files; whether each can be trusted says `Place.read`."""
        found = []
        for path in sorted(self._folder.glob("*.note")):
            try:
                found.append(notes.parse_checkpoint_body(notes.parse_note(path.read_bytes()).text).origin)
            except (OSError, notes.NoteError):
                raise StateError(
                    f"{path} cannot be read as a cosigned checkpoint; do not go on with this key"
                ) from None
        return found


@dataclass(frozen=True)
class Place:
    """The remembered checkpoint of one log, while its lock is held."""

    path: Path
    mark: int
    origin: str
    key: CosignerKey

    def read(self) -> Seen:
        """What was cosigned last. Raises StateError when file and mark do not say so together."""
        marked = self._read_mark()
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            if marked is not None:
                raise self._untrusted(f"is gone, though {marked[0]} entries were cosigned") from None
            return Seen()
        try:
            note = notes.parse_note(data)
            checkpoint = notes.parse_checkpoint_body(note.text)
            open_cosignature(note, self.key)
        except notes.NoteError as error:
            raise self._untrusted(f"was not written by this witness ({error})") from None
        if checkpoint.origin != self.origin:
            raise self._untrusted(f"is of {checkpoint.origin}")
        if marked is not None and checkpoint.size <= marked[0] and marked != (checkpoint.size, checkpoint.root.hex()):
            raise self._untrusted(f"was set back to {checkpoint.size} entries; {marked[0]} were cosigned")
        return Seen(checkpoint.size, checkpoint.root, data)

    def write(self, seen: Seen) -> None:
        """Make the new state last, then move the mark; only then may the cosignature leave."""
        temporary = self.path.with_suffix(".new")
        try:
            with open(temporary, "wb", opener=_private) as target:
                target.write(seen.note)
                target.flush()
                os.fsync(target.fileno())
            os.replace(temporary, self.path)
            sync_folder(self.path.parent)
            os.pwrite(self.mark, b"%020d %s\n%s\n" % (seen.size, seen.root.hex().encode(), self.origin.encode()), 0)
            os.fsync(self.mark)
        except OSError as error:
            raise StateError(
                f"the state cannot be kept: {error.strerror}; see to the disk of {self.path.parent}"
            ) from None

    def _read_mark(self) -> tuple[int, str] | None:
        data = os.pread(self.mark, _MARK_BYTES, 0)
        found = _MARK.fullmatch(data)
        if data and found is None:
            raise self._untrusted("has a damaged mark beside it")
        return None if found is None else (int(found[1]), found[2].decode())

    def _untrusted(self, what: str) -> StateError:
        return StateError(
            f"the state file {self.path} of {self.origin} {what}. A witness that forgot what it cosigned could cosign another "
            "history: put the newest file back, or make a new key with `pressmark witness init` in another folder"
        )


class Witness:
    """Judges what it is asked; knows nothing of HTTP but the numbers of the answers."""

    def __init__(self, folder: Path, log_keys: Iterable[PublicKey]) -> None:
        self._signer = Signer.load(folder / KEY_FILE)
        self._folder = folder
        self.key = cosigner_of(self._signer)
        self.state = State(folder / LOGS, self.key)
        self.logs: dict[str, list[PublicKey]] = {}
        for key in dict.fromkeys(log_keys):
            self.logs.setdefault(key.name, []).append(key)

    def add_checkpoint(self, body: bytes) -> Answer:
        """The cosignature, or the C2SP answer that says why not. Raises StateError."""
        try:
            request = parse_request(body)
            self._demand_signature(request)
        except Refused as refused:
            return refused.answer
        with self.state.locked(request.checkpoint.origin) as place:
            seen = place.read()
            if request.old != seen.size:
                return Answer(409, f"{seen.size}\n", SIZE_TYPE)
            checkpoint = request.checkpoint
            if not merkle.verify_consistency(seen.size, checkpoint.size, seen.root, checkpoint.root, request.path):
                if (checkpoint.size, checkpoint.root) != (seen.size, seen.root):
                    self._keep_evidence("fork" if checkpoint.size == seen.size else "unproven", request)
                return Answer(422, f"The checkpoint is not proven to continue that of {seen.size} entries.\n")
            line = cosign(self._signer, self.key.name, request.note.text, int(time.time()))
            place.write(Seen(checkpoint.size, checkpoint.root, self._note_with(request, line)))
        return Answer(200, line + "\n")

    def newest(self, hash_of_origin: str) -> Answer:
        """The newest cosigned checkpoint of a log, by the SHA-256 of its origin. Raises StateError."""
        for origin in self.logs:
            if _ORIGIN_HASH.fullmatch(hash_of_origin) and origin_hash(origin) == hash_of_origin:
                with self.state.locked(origin) as place:
                    seen = place.read()
                if seen.size:
                    return Answer(200, seen.note.decode())
        return Answer(404, "Nothing was cosigned of such a log.\n")

    def check_state(self) -> None:
        """Read the state of every known log once, so that a damaged one is told at the start. Raises StateError."""
        for origin in self.logs:
            with self.state.locked(origin) as place:
                place.read()

    def _demand_signature(self, request: Request) -> None:
        """A signature by a known key must be there; each that claims to be by one must hold. Those of others are ignored."""
        known = self.logs.get(request.checkpoint.origin)
        if known is None:
            raise Refused(404, "This witness does not know that log.")
        claimed = {(signature.name, signature.key_id) for signature in request.note.signatures}
        signing = [key for key in known if (key.name, key.key_id) in claimed]
        if not signing:
            raise Refused(403, "No key that this witness knows of that log signed the checkpoint.")
        try:
            request.note.require(*signing)
        except notes.NoteError as error:
            raise Refused(403, f"The checkpoint is not signed as it must be: {error}.") from None

    def _note_with(self, request: Request, *own: str) -> bytes:
        """The note with the log's signatures and ours; what others added is left out."""
        known = {(key.name, key.key_id) for key in self.logs[request.checkpoint.origin]}
        lines = [signature_line(s) for s in request.note.signatures if (s.name, s.key_id) in known]
        return (request.note.text + "\n" + "".join(f"{each}\n" for each in [*lines, *own])).encode()

    def _keep_evidence(self, kind: str, request: Request) -> None:
        """A checkpoint that the log signed and that was not shown to continue the state.

        `fork`: the same size with another root, which is a proof by itself. `unproven`: it may be the proof that was wrong.
        The log's own checkpoint with a wrong proof is neither: anybody could send that, until no room is left for the true ones.
        Each log has room of its own.
        """
        folder = self._folder / EVIDENCE
        checkpoint = request.checkpoint
        of_log = f"{kind}-{origin_hash(checkpoint.origin)[:16]}"
        name = f"{of_log}-{checkpoint.size}-{checkpoint.root.hex()[:16]}.note"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            if not (folder / name).exists() and sum(1 for _ in folder.glob(f"{of_log}-*")) < EVIDENCE_LIMIT:
                (folder / name).write_bytes(self._note_with(request))
        except OSError:
            return  # it was refused either way


def origin_hash(origin: str) -> str:
    """How a log is named in files and addresses: the SHA-256 of its origin, in lower-case hexadecimal."""
    return hashlib.sha256(origin.encode()).hexdigest()


def sync_folder(folder: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    end = time.monotonic() + LOCK_WAIT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise StateError("the state stays locked by another process; end the one that hangs") from None
            time.sleep(0.005)
        else:
            return


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)

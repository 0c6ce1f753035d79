"""Mutants of what a bundle says happened: entries left out, ends lowered, forks, checkpoints and bundles of another time."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from audit import merkle, notes, offline_verify
from registry.digests import canonical, parse_canonical, sha256
from tests.audit import bundle_builder as builder
from tests.audit import stories
from tests.audit.bundle_builder import Story, Witness
from tests.audit.verdicts import edit
from tests.battery.bundle_mutants import EVERYONE, FORGER, NO, OPEN, Case, Files, Mutant

LOG = ("log/entries.jsonl", "log/proofs.json")
TAILS = 3  # how many entries are cut off the end of a stream, at most
FORKED_AT = 5  # in every story an entry of the model, or the one that began an era


def without_witnesses(case: Case) -> dict[str, Any]:
    return {name: value for name, value in case.outside.items() if name != "witnesses"}


# --- entries left out


def left_out(case: Case) -> Iterator[Mutant]:
    for position in case.story.positions:
        log = log_of(case.story, [at for at in case.story.positions if at != position])
        for who in EVERYONE:
            yield case.changed("left out", f"entry {position}", who, log)
    for end in case.story.scope["ends"]:
        rest = [at for at in case.story.positions if not builder.in_stream(case.story.ledger, at, end["stream"])]
        yield case.changed("left out", f"stream {end['stream']}", "issuer", log_of(case.story, rest))


def log_of(story: Story, positions: list[int]) -> Files:
    """The entries of these positions and their proofs."""
    files = builder.content(dataclasses.replace(story, positions=positions))
    return {path: files[path] for path in LOG}


def lowered(case: Case) -> Iterator[Mutant]:
    """The end of each stream lowered, its tail left out or not, and everything signed again by the real issuer."""
    story = case.story
    seen = case.outside | {"checkpoint": story.checkpoint()}  # witnesses may collude, so what was seen before is known
    below = [at for at in story.positions if at < story.scope["size"]]
    for number, end in enumerate(story.scope["ends"]):
        tail = [at for at in below if builder.in_stream(story.ledger, at, end["stream"])]
        for count in range(1, min(TAILS + 1, end["last_seq"])):
            scope: Any = parse_canonical(canonical(story.scope))
            scope["ends"][number]["last_seq"] -= count
            kept = [at for at in story.positions if at not in tail[-count:]]
            for positions, shown in ((story.positions, "shown"), (kept, "left out")):
                label = f"{end['stream']} by {count}, tail {shown}"
                beside = partial(_beside_the_sealed_scope, case, canonical(scope), positions)
                yield Mutant("lowered", f"{label}, the sealed scope stays", beside, case.outside)
                again = partial(_history_signed_again, case, canonical(scope), positions)
                yield Mutant("lowered", f"{label}, history signed again", again, case.outside)
                if story.witnesses:
                    colluding = partial(_history_signed_again, case, canonical(scope), positions, story.witnesses)
                    yield Mutant("lowered", f"{label}, witnesses too", colluding, seen)


def _beside_the_sealed_scope(case: Case, scope: bytes, positions: list[int]) -> Files:
    """Another scope in manifest and documents; the entry that sealed the old one is left as it is."""
    files = case.content | log_of(case.story, positions) | {"documents/" + sha256(scope)[7:]: scope}
    manifest = builder.manifest_of(case.story, files) | {"scope": sha256(scope)}
    return builder.seal(files, manifest, case.issuer)


def _history_signed_again(case: Case, scope: bytes, positions: list[int], colluding: Sequence[Witness] = ()) -> Files:
    """The entry that seals the scope is rewritten as well, and the whole history signed again with the real keys.

    Witnesses that do not collude cosign no second history: what they signed is put under it.
    """
    ledger = case.story.ledger.fork(len(case.story.ledger.entries))
    reference = ledger.store("scope", scope)

    def change(entry: Any) -> None:
        entry["event"]["refs"] = [reference]
        entry["event"]["records"][0]["row"]["scope_digest"] = reference["digest"]

    at = case.story.issued_at
    ledger.entries[at] = edit(ledger.entries[at], change)
    document: Any = parse_canonical(scope)
    facts: dict[str, Any] = {"ledger": ledger, "scope": document, "positions": positions, "witnesses": list(colluding)}
    story = dataclasses.replace(case.story, **facts)
    files = builder.content(story)
    if not colluding:
        files["log/checkpoint"] += case.story.checkpoint().removeprefix(case.story.ledger.checkpoint(case.story.size))
    return builder.sealed(story, files)


def sealed_lies(folder: Path) -> Iterator[Mutant]:
    """The issuer lowered the end from the start. Of the whole instance it shows; of a model, by a receipt of what is left out."""
    for stream in (builder.MODEL, builder.DATASET):
        story = builder.tell(lowered=stream)
        known = {"keys": [story.ledger.log.key_line], "checkpoint": story.ledger.checkpoint(story.size)}
        assert story.left_out is not None
        unit = max(first for first in story.ledger.receipts if first <= story.left_out)
        place = folder / stream.replace(":", "-")
        for name, data in builder.completed(story.ledger, unit, story.size).items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
        plain, completed = known | {"receipts": [story.ledger.receipts[unit]]}, known | {"receipts": [place]}
        make = partial(builder.sealed, story)
        expected = OPEN if stream == builder.MODEL else NO  # the last state of the data is named by a run that is there
        yield Mutant("lowered", f"{stream}, end sealed too low, receipt", make, plain, expected)
        yield Mutant("lowered", f"{stream}, end sealed too low, completed receipt", make, completed)
        whole = builder.tell(subject="instance", lowered=stream)
        known = {"keys": [whole.ledger.log.key_line], "checkpoint": whole.ledger.checkpoint(whole.size)}
        yield Mutant("lowered", f"{stream}, end sealed too low, instance", partial(builder.sealed, whole), known)


# --- checkpoints from outside


def outside_checkpoints(case: Case) -> Iterator[Mutant]:
    """Clean bundles where the answer must be "not checked", for no proof leads from one to the other; and false proofs."""
    story, ledger, known = case.story, case.story.ledger, without_witnesses(case)
    proved = {story.early_size, story.scope["size"], story.size}
    for size in range(1, len(ledger.entries) + 1):
        if size not in proved and not stories.is_never_signed(ledger, size):
            when = "newer" if size > story.size else "older"
            asked = known | {"checkpoint": ledger.checkpoint(size)}
            yield Mutant("checkpoint", f"{when}, {size}, without a proof", case.sealed.copy, asked, OPEN)
    known["checkpoint"] = ledger.checkpoint()
    other = known | {"proof": ledger.consistency(story.size - 1)}
    yield Mutant("checkpoint", "newer, proof from another size", case.sealed.copy, other, OPEN)
    broken = edit(ledger.consistency(story.size), lambda value: value["proofs"][0]["path"].pop())
    yield Mutant("checkpoint", "newer, broken proof", case.sealed.copy, known | {"proof": broken})
    yield Mutant("checkpoint", "none", case.sealed.copy, known | {"checkpoint": None}, OPEN)


def forked(case: Case) -> Iterator[Mutant]:
    """A bundle of another history, made with the real keys, against what is known of the first; and the other way round."""
    story = case.story
    thief = story.ledger.fork(len(story.ledger.entries))
    thief.entries[FORKED_AT] = edit(thief.entries[FORKED_AT], lambda entry: entry["event"].update(request="another"))
    other = dataclasses.replace(story, ledger=thief)
    for label, bundled, known in (("thief's", other, story), ("ours", story, other)):
        held, make = without_witnesses(case), partial(builder.sealed, bundled)
        for size in sorted({story.early_size, story.scope["size"], story.size}):
            yield Mutant("fork", f"{label}, {size}", make, held | {"checkpoint": known.ledger.checkpoint(size)})
        newest = held | {"checkpoint": known.ledger.checkpoint()}
        yield Mutant("fork", f"{label}, newer", make, newest, OPEN)
        for whose in (story, other):
            proof = {"proof": whose.ledger.consistency(story.size)}
            yield Mutant("fork", f"{label}, newer, with a proof", make, newest | proof)
        receipts = {"receipts": [_receipt_again(known, FORKED_AT)], "checkpoint": None}
        yield Mutant("fork", f"{label}, receipt", make, held | receipts)


def _receipt_again(story: Story, first: int) -> bytes:
    """The receipt that a ledger gave for what stands there."""
    old = notes.parse_receipt_body(notes.parse_note(story.ledger.receipts[first]).text)
    leaves = story.ledger.leaves()[first : first + old.count]
    return notes.sign_receipt(story.ledger.era_of(first).issuer, first, old.count, merkle.root(leaves), old.at)


# --- witnesses


def witnesses(case: Case) -> Iterator[Mutant]:
    story, witness = case.story, Witness()
    real = story.ledger.checkpoint(story.size)
    asked = case.outside | {"witnesses": [witness.key_line]}
    body = real.split(b"\n\n")[0] + b"\n"
    false = {
        "of another size": witness.cosign(real, body=body.replace(f"\n{story.size}\n".encode(), b"\n5\n")),
        "of another time": _cosigned(real, witness, lambda data: data[:11] + bytes([data[11] ^ 1]) + data[12:]),
        "by another key": _cosigned(real, witness, lambda data: data[:4] + _line(real, _namesake(witness))[4:]),
    }
    for label, note in false.items():
        for who in EVERYONE:
            yield case.changed("witness", f"cosignature {label}", who, {"log/checkpoint": note}, **asked)
    bare = partial(builder.sealed, story, case.content | {"log/checkpoint": real})
    yield Mutant("witness", "no cosignature", bare, asked, OPEN)
    stranger = asked | {"witnesses": [_namesake(witness).key_line]}
    yield Mutant("witness", "asked about another", case.sealed.copy, stranger, OPEN)


def _namesake(witness: Witness) -> Witness:
    return Witness(witness.name, 0x7F)


def _line(note: bytes, witness: Witness) -> bytes:
    return base64.b64decode(witness.cosign(note).rstrip(b"\n").rpartition(b" ")[2])


def _cosigned(note: bytes, witness: Witness, change: Any) -> bytes:
    """The note with a changed cosignature."""
    line = base64.b64encode(change(_line(note, witness))).decode()
    return note + f"\u2014 {witness.name} {line}\n".encode()


# --- an old bundle passed off as new


def old_as_new(kind: str) -> Iterator[Mutant]:
    old = stories.KINDS[kind]()
    before = builder.sealed(old)
    new = builder.again(old)
    after = builder.sealed(new)
    held: dict[str, Any] = {"keys": [new.ledger.log.key_line], "checkpoint": new.ledger.checkpoint(new.size)}
    yield Mutant("old as new", "a newer checkpoint is known", before.copy, held, OPEN)
    proved = held | {"proof": new.ledger.consistency(old.size, size=new.size)}
    sealed_at: Any = parse_canonical(new.ledger.entries[new.issued_at])
    yield Mutant("old as new", "asked not to be older", before.copy, proved | {"not_before": sealed_at["at"]})
    issuer = new.ledger.era_of(new.size - 1).issuer
    content = {path: data for path, data in before.items() if path not in offline_verify.UNSEALED_FILES}
    fresh = {path: data for path, data in after.items() if path not in offline_verify.UNSEALED_FILES}
    manifests: Any = [parse_canonical(bundle["manifest.json"]) for bundle in (before, after)]
    for member in ("bundle", "scope", "root", "tree_size"):
        changed = manifests[0] | {member: manifests[1][member]}
        make = partial(builder.seal, content, changed, issuer)
        yield Mutant("old as new", f"{member} of the new", make, proved)
    for path in (*LOG, "log/checkpoint", "log/consistency.json"):
        mixed = fresh | {path: content[path]}
        for who, signer in (("forger", FORGER), ("issuer", issuer)):
            make = partial(builder.sealed, new, mixed, signer)
            yield Mutant("old as new", f"{path} of the old by the {who}", make, held)
        yield Mutant("old as new", f"{path} of the old by the stranger", (after | {path: before[path]}).copy, held)

"""Mutants of bundles, class by class: what a stranger, a forger with keys of his own, and the issuer himself can change.

Each mutant says what the verifier must answer: "no", or "not checked" where docs/bundle-format.md says so; none may get four yes.
What the issuer may write as he likes (the two pages of advice, files that a bundle need not have) is left out where he is the
attacker.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from audit import dsse, notes, offline_verify, sshsig
from audit.signing import Signer
from registry.digests import canonical, parse_canonical, sha256
from tests.audit import bundle_builder as builder
from tests.audit.bundle_builder import Story

NO, OPEN = 1, 3
EVERYONE = ("stranger", "forger", "issuer")
Files = dict[str, bytes]
FORGER = builder.issuer_signer(9)
ADVICE = {"VERIFY.md", "verify.py"}
OPTIONAL = ("report.", "statements/")
STATEMENT = "statements/run-1.dsse.json"


@dataclass(frozen=True)
class Mutant:
    """What is handed to the verifier, made only when it is needed, and the exit status that it must end with."""

    attack: str
    label: str
    make: Callable[[], bytes | Files]
    outside: Mapping[str, Any]
    expected: int = NO


@dataclass
class Case:
    """A clean bundle of one kind with what is known about it from outside."""

    kind: str
    story: Story
    outside: dict[str, Any]
    chance: random.Random
    places: int  # offsets per file
    content: Files = field(init=False)
    sealed: Files = field(init=False)

    def __post_init__(self) -> None:
        self.content = builder.content(self.story)
        self.sealed = builder.sealed(self.story, self.content)

    @property
    def issuer(self) -> Signer:
        return self.story.ledger.era_of(self.story.size - 1).issuer

    def seal(self, who: str, files: Files) -> Files:
        """The files as somebody hands them on: a stranger leaves the manifest as it was, the others sign a new one."""
        if who == "stranger":
            return files | {path: self.sealed[path] for path in offline_verify.UNSEALED_FILES}
        return builder.sealed(self.story, files, FORGER if who == "forger" else self.issuer)

    def changed(self, attack: str, label: str, who: str, changes: Files, **outside: Any) -> Mutant:
        """The bundle with other bytes in some files."""
        make = partial(self.seal, who, self.content | changes)
        return Mutant(attack, f"{label} by the {who}", make, self.outside | outside)

    def packed(self) -> bytes:
        return builder.pack(self.sealed)


def who_may_not(path: str) -> tuple[str, ...]:
    """Whose change of a file must be caught."""
    return EVERYONE[:2] if path in ADVICE else EVERYONE


def flip(data: bytes, at: int, bit: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


# --- files


def flipped(case: Case) -> Iterator[Mutant]:
    for path, data in case.content.items():
        places = [0, len(data) - 1, len(data) // 2, *(case.chance.randrange(len(data)) for _ in range(case.places))]
        for at in places[: case.places]:
            for who in who_may_not(path):
                changes = {path: flip(data, at, case.chance.randrange(8))}
                yield case.changed("flipped", f"{path} byte {at}", who, changes)
    for path in offline_verify.UNSEALED_FILES:
        for _ in range(case.places):
            at = case.chance.randrange(len(case.sealed[path]))
            files = case.sealed | {path: flip(case.sealed[path], at)}
            yield Mutant("flipped", f"{path} byte {at}", files.copy, case.outside)


def flipped_manifest_signed_again(case: Case) -> Iterator[Mutant]:
    data = case.sealed["manifest.json"]
    for _ in range(4 * case.places):
        at = case.chance.randrange(len(data))
        for who, signer in (("forger", FORGER), ("issuer", case.issuer)):
            make = partial(_signed_again, case.content, flip(data, at), signer)
            yield Mutant("manifest", f"byte {at} signed again by the {who}", make, case.outside)


def _signed_again(content: Files, manifest: bytes, signer: Signer) -> Files:
    armored = sshsig.sign_armored(signer, manifest).encode()
    return content | {"manifest.json": manifest, "manifest.sig": signer.sign(manifest), "manifest.json.sig": armored}


def flipped_zip(case: Case) -> Iterator[Mutant]:
    data = case.packed()
    ends = [*range(30), *range(len(data) - 120, len(data))]
    for number in range(12 * case.places):
        at = case.chance.choice(ends) if number % 3 == 0 else case.chance.randrange(len(data))
        yield Mutant("zip", f"byte {at}", partial(flip, data, at, case.chance.randrange(8)), case.outside)


def dropped(case: Case) -> Iterator[Mutant]:
    for path in case.content:
        for who in EVERYONE[:2] if path.startswith(OPTIONAL) else EVERYONE:
            make = partial(case.seal, who, _without(case.content, path))
            yield Mutant("dropped", f"{path} by the {who}", make, case.outside)
    for path in offline_verify.UNSEALED_FILES:
        yield Mutant("dropped", path, partial(_without, case.sealed, path), case.outside)


def _without(files: Files, path: str) -> Files:
    return {name: data for name, data in files.items() if name != path}


def added(case: Case) -> Iterator[Mutant]:
    strange = "documents/" + "0" * 64
    for path in ("report.pdf", "notes.txt", "log/proofs-2.json", strange, "keys/keys-7.note", "Report.json"):
        for who in EVERYONE[:1]:
            yield case.changed("added", path, who, {path: b"x"})
    wrong_even_if_listed = {
        strange: b"x",
        "keys/keys-7.note": case.story.ledger.eras[0].note,
        "log/proofs-2.json": case.content["log/proofs.json"],
        "report.pdf": b"%PDF-1.7",
        "Report.json": b"x",
        "statements/run-2.dsse.json": dsse.sign_envelope(FORGER, builder.STATEMENT),
        "manifest.sig": b"x" * 64,
    }
    for path, data in wrong_even_if_listed.items():
        for who in EVERYONE[1:]:
            yield case.changed("added", path, who, {path: data})
    for path in ("../up", "folder/", "NUL", "a b./c"):
        yield Mutant("added", path, (case.sealed | {path: b""}).copy, case.outside)


def truncated(case: Case) -> Iterator[Mutant]:
    for path, data in case.content.items():
        for keep in sorted({0, len(data) // 2, len(data) - 1}):
            for who in who_may_not(path):
                yield case.changed("truncated", f"{path} to {keep}", who, {path: data[:keep]})
    whole = case.packed()
    places = [0, 1, 21, 22, len(whole) // 2, len(whole) - 23, len(whole) - 1]
    for keep in [*places, *(case.chance.randrange(len(whole)) for _ in range(case.places))]:
        yield Mutant("truncated", f"the zip to {keep}", partial(bytes, whole[:keep]), case.outside)


def reordered(case: Case) -> Iterator[Mutant]:
    order = sorted(case.sealed)
    for at in range(len(order) - 1):
        swapped = [*order[:at], order[at + 1], order[at], *order[at + 2 :]]
        make = partial(builder.pack, case.sealed, swapped)
        yield Mutant("reordered", f"{order[at]} after {order[at + 1]}", make, case.outside)
    for at in range(len(case.story.positions) - 1):
        lines = _swapped_lines(case.content, at)
        for who in EVERYONE:
            yield case.changed("reordered", f"entry line {at}", who, lines)
        yield case.changed("reordered", f"line {at} and proof", "issuer", lines | _swapped_proofs(case.content, at))


def _swapped_lines(files: Files, at: int) -> Files:
    lines = files["log/entries.jsonl"].splitlines(keepends=True)
    lines[at], lines[at + 1] = lines[at + 1], lines[at]
    return {"log/entries.jsonl": b"".join(lines)}


def _swapped_proofs(files: Files, at: int) -> Files:
    value: Any = parse_canonical(files["log/proofs.json"])
    value["proofs"][at], value["proofs"][at + 1] = value["proofs"][at + 1], value["proofs"][at]
    return {"log/proofs.json": canonical(value)}


# --- contents swapped


def swapped_files(case: Case) -> Iterator[Mutant]:
    documents = sorted(path for path in case.content if path.startswith("documents/"))
    keys = sorted(path for path in case.content if path.startswith("keys/"))
    pairs = [*itertools.pairwise(documents), *itertools.combinations(keys, 2)]
    pairs += [
        ("texts.json", "not_included.json"),
        ("report.json", STATEMENT),
        ("log/proofs.json", "log/consistency.json"),
    ]
    for one, two in pairs:
        both = {one: case.content[two], two: case.content[one]}
        for who in EVERYONE:
            yield case.changed("swapped", f"{one} and {two}", who, both)


def swapped_texts(case: Case) -> Iterator[Mutant]:
    for label, change in {"two texts swapped": _swap_texts, "a text in other words": _reword}.items():
        value: Any = parse_canonical(case.content["texts.json"])
        change(value["texts"])
        for who in EVERYONE:
            yield case.changed("texts", label, who, {"texts.json": canonical(value)})


def _swap_texts(texts: list[dict[str, str]]) -> None:
    texts[0]["value"], texts[1]["value"] = texts[1]["value"], texts[0]["value"]


def _reword(texts: list[dict[str, str]]) -> None:
    texts[1]["value"] = "Freigabe erteilt."


def swapped_statements(case: Case) -> Iterator[Mutant]:
    """Statements that the issuer really signed, about a model that this bundle does not speak of; and false ones."""
    elsewhere = builder.STATEMENT.replace(sha256(builder.version_document(0))[7:].encode(), b"0" * 64)
    envelopes = {
        "a real one about something else": dsse.sign_envelope(case.issuer, elsewhere),
        "one that a forger signed": dsse.sign_envelope(FORGER, builder.STATEMENT),
        "no statement": dsse.sign_envelope(case.issuer, b"{}"),
        "one by the log key": dsse.sign_envelope(case.story.ledger.log, builder.STATEMENT),
    }
    if case.story.version:
        envelopes["a real one about another version"] = dsse.sign_envelope(case.issuer, builder.statement(1))
    for label, envelope in envelopes.items():
        for who in EVERYONE:
            yield case.changed("statement", label, who, {STATEMENT: envelope})


# --- keys


def swapped_keys(case: Case) -> Iterator[Mutant]:
    forged = builder.tell(builder.log_signer(8), FORGER)
    yield Mutant("keys", "forged throughout", partial(builder.sealed, forged), case.outside)
    theirs = {path: data for path, data in builder.content(forged).items() if path.startswith("keys/")}
    for path, data in theirs.items():
        for who in EVERYONE:
            yield case.changed("keys", f"{path} of a forger", who, {path: data})
    yield case.changed("keys", "all keys of a forger", "forger", theirs)
    ledger, size = case.story.ledger, case.story.size
    for era in ledger.eras:
        if era.first < size and era.issuer is not case.issuer:
            make = partial(builder.sealed, case.story, case.content, era.issuer)
            yield Mutant("keys", f"manifest signed by the era of {era.first}", make, case.outside)
    origin = ledger.era_of(size - 1).origin
    note = notes.sign_checkpoint(builder.log_signer(8, origin), size, ledger.root(size))
    yield case.changed("keys", "checkpoint by another key", "issuer", {"log/checkpoint": note})
    stranger = {"keys": [builder.log_signer(7, origin).key_line]}
    yield Mutant("keys", "another key is known", case.sealed.copy, case.outside | stranger)

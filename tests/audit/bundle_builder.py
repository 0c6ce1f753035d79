"""A small ledger in memory and bundles made of it, so that the verifier is tested against docs/bundle-format.md alone.

The steps are apart on purpose: a test can change files after sealing (a stranger's attack), or change them and seal again with
any key (an operator's or a forger's attack).
"""

from __future__ import annotations

import base64
import io
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audit import dsse, merkle, notes, offline_verify, sshsig
from audit.signing import Signer
from registry.digests import canonical, commitment, hex_of, sha256

INSTANCE = "01890a5d-ac96-774b-bcce-b302099a8057"
ORIGIN = f"pressmark/{INSTANCE}/1"
SYSTEM = INSTANCE
BUNDLE = "01890a5d-ac96-774b-bcce-b302099b0001"
TEXT = "01890a5d-ac96-774b-bcce-b302099b0002"
MODEL = "model:01890a5d-ac96-774b-bcce-b302099c0001"
OTHER = "model:01890a5d-ac96-774b-bcce-b302099c0002"
DATASET = "dataset:01890a5d-ac96-774b-bcce-b302099c0003"
SALT = bytes(range(32))
NOTE_TEXT = "Freigabe erteilt: Grüße"
STATEMENT = b'{"_type":"https://in-toto.io/Statement/v1","predicate":{},"predicateType":"urn:pressmark:predicate:run:1","subject":[]}'


def log_signer(seed: int = 1) -> Signer:
    return Signer.from_seed(ORIGIN, bytes([seed]) * 32)


def issuer_signer(seed: int = 2) -> Signer:
    return Signer.from_seed(ORIGIN + "/issuer", bytes([seed]) * 32)


def uuid(number: int) -> str:
    return f"01890a5d-ac96-774b-bcce-{number:012x}"


def ref(name: str, data: bytes) -> dict[str, Any]:
    return {"digest": sha256(data), "name": name, "size_bytes": len(data)}


@dataclass
class Ledger:
    """Entries with their positions; every act is one unit of one or more (stream, kind, refs, records)."""

    log: Signer = field(default_factory=log_signer)
    issuer: Signer = field(default_factory=issuer_signer)
    entries: list[bytes] = field(default_factory=list)
    documents: dict[str, bytes] = field(default_factory=dict)
    last_seq: dict[str, int] = field(default_factory=dict)
    units: int = 0

    def act(self, *events: tuple[str, str, list[dict[str, Any]], list[dict[str, Any]]]) -> bytes:
        """Append one unit; returns its receipt note."""
        first = len(self.entries)
        self.units += 1
        at = f"2026-01-02T03:{self.units // 60:02d}:{self.units % 60:02d}.000000Z"
        for stream, kind, refs, records in events:
            event = {
                "actor": {"id": SYSTEM, "on_behalf_of": None, "role": "system", "via": "setup"},
                "at": at,
                "id": uuid(0x1000 + len(self.entries)),
                "kind": kind,
                "records": records,
                "refs": refs,
                "request": None,
                "team": None,
                "unit": uuid(0x900000 + self.units),
                "v": 1,
            }
            seq = self.last_seq[stream] = self.last_seq.get(stream, 0) + 1
            self.entries.append(canonical({"at": at, "event": event, "stream": stream, "stream_seq": seq, "v": 1}))
        leaves = self.leaves()[first:]
        return notes.sign_receipt(self.issuer, first, len(leaves), merkle.root(leaves), at)

    def store(self, name: str, data: bytes) -> dict[str, Any]:
        self.documents[sha256(data)] = data
        return ref(name, data)

    def leaves(self) -> list[bytes]:
        return [merkle.leaf_hash(entry) for entry in self.entries]

    def checkpoint(self, size: int | None = None) -> bytes:
        leaves = self.leaves()[:size]
        return notes.sign_checkpoint(self.log, len(leaves), merkle.root(leaves))

    def consistency(self, *old_sizes: int, size: int | None = None) -> bytes:
        """A `pressmark/consistency/1` document to `size`."""
        leaves = self.leaves()[:size]
        rows = [
            {
                "old_root": "sha256:" + merkle.root(leaves[:old]).hex(),
                "old_size": old,
                "path": [item.hex() for item in merkle.consistency_path(leaves.__getitem__, old, len(leaves))],
            }
            for old in sorted(set(old_sizes))
        ]
        return canonical({"proofs": rows, "size": len(leaves), "type": "pressmark/consistency/1"})


@dataclass
class Story:
    """A ledger with the positions and receipts that tests speak of, ready to be bundled."""

    ledger: Ledger
    scope: dict[str, Any]
    early_size: int
    issued_at: int
    size: int
    positions: list[int]
    receipts: list[bytes]


def tell(log: Signer | None = None, issuer: Signer | None = None) -> Story:
    """Two models and a dataset, interleaved; the bundle is about MODEL and DATASET; life goes on after it was issued."""
    ledger = Ledger(log or log_signer(), issuer or issuer_signer())
    keys = notes.KeysNote(ORIGIN, 0, ledger.log.public, ledger.issuer.public)
    keys_ref = ledger.store("keys", notes.sign_keys(keys, ledger.log, ledger.issuer))
    ledger.act(("instance", "ledger.created", [keys_ref], []))
    row = {"commitment": commitment(SALT, NOTE_TEXT), "created_at": None, "erased_at": None}
    text = {"id": TEXT, "row": row, "type": "access.text/1"}
    receipts = []
    for number in range(6):
        document = ledger.store("version", canonical({"number": number, "type": "pressmark/test/1"}))
        receipts.append(ledger.act((MODEL, "version.registered", [document], [text] if number == 0 else [])))
        ledger.act((OTHER, "version.registered", [], []))
        ledger.act((DATASET, "dataset.registered", [], []), (MODEL, "run.requested", [], []))
    early_size = 9
    size = len(ledger.entries)
    ends = [{"last_seq": ledger.last_seq[stream], "stream": stream} for stream in sorted([MODEL, DATASET])]
    scope = {"ends": ends, "size": size, "type": "pressmark/scope/1"}
    scope_ref = ledger.store("scope", canonical(scope))
    issued_at = len(ledger.entries)
    ledger.act(("instance", "bundle.issued", [scope_ref], [{"id": BUNDLE, "row": {}, "type": "audit.bundle/1"}]))
    bundle_size = len(ledger.entries) + 2
    for _ in range(5):
        ledger.act((OTHER, "version.registered", [], []))
    whole = [position for position in range(size) if not in_stream(ledger, position, OTHER)]
    return Story(ledger, scope, early_size, issued_at, bundle_size, [*whole, issued_at], receipts)


def in_stream(ledger: Ledger, position: int, stream: str) -> bool:
    return f'"stream":"{stream}"'.encode() in ledger.entries[position]


def content(story: Story) -> dict[str, bytes]:
    """All files but the three unsealed ones."""
    ledger, size = story.ledger, story.size
    leaves = ledger.leaves()[:size]
    keys_note = next(data for data in ledger.documents.values() if data.startswith(b"pressmark/keys/1"))
    rows = [
        {"path": [item.hex() for item in merkle.inclusion_path(leaves.__getitem__, at, size)], "position": at}
        for at in story.positions
    ]
    text = {
        "commitment": commitment(SALT, NOTE_TEXT),
        "id": TEXT,
        "salt": base64.b64encode(SALT).decode(),
        "value": NOTE_TEXT,
    }
    return {
        **{f"documents/{hex_of(digest)}": data for digest, data in ledger.documents.items()},
        "VERIFY.md": b"How to check this bundle.\n",
        "verify.py": Path(offline_verify.__file__).read_bytes(),
        "texts.json": canonical({"texts": [text], "type": "pressmark/texts/1"}),
        "not_included.json": canonical({"documents": [], "type": "pressmark/not_included/1"}),
        "statements/run-1.dsse.json": dsse.sign_envelope(ledger.issuer, STATEMENT),
        "report.json": b'{"disclaimer":"evidence status, no certification"}',
        "keys/log.key": ledger.log.key_line.encode() + b"\n",
        "keys/issuer.key": ledger.issuer.key_line.encode() + b"\n",
        "keys/log.pem": ledger.log.pem.encode(),
        "keys/issuer.pem": ledger.issuer.pem.encode(),
        "keys/allowed_signers": sshsig.allowed_signers_line(ledger.issuer.public).encode(),
        "keys/keys-0.note": keys_note,
        "log/entries.jsonl": b"".join(ledger.entries[at] + b"\n" for at in story.positions),
        "log/proofs.json": canonical({"proofs": rows, "size": size, "type": "pressmark/proofs/1"}),
        "log/checkpoint": ledger.checkpoint(size),
        "log/consistency.json": ledger.consistency(story.early_size, story.scope["size"], size=size),
    }


def manifest_of(story: Story, files: dict[str, bytes]) -> dict[str, Any]:
    checkpoint = notes.parse_checkpoint_body(notes.parse_note(story.ledger.checkpoint(story.size)).text)
    rows = [{"digest": sha256(files[path]), "path": path, "size_bytes": len(files[path])} for path in sorted(files)]
    return {
        "bundle": BUNDLE,
        "files": rows,
        "origin": ORIGIN,
        "root": "sha256:" + checkpoint.root.hex(),
        "scope": sha256(canonical(story.scope)),
        "tree_size": checkpoint.size,
        "type": "pressmark/bundle/1",
    }


def seal(files: dict[str, bytes], manifest: dict[str, Any], issuer: Signer) -> dict[str, bytes]:
    data = canonical(manifest)
    return {
        **files,
        "manifest.json": data,
        "manifest.sig": issuer.sign(data),
        "manifest.json.sig": sshsig.sign_armored(issuer, data).encode(),
    }


def sealed(story: Story, files: dict[str, bytes] | None = None, issuer: Signer | None = None) -> dict[str, bytes]:
    """Files with a fresh, matching manifest and its signatures."""
    files = content(story) if files is None else files
    return seal(files, manifest_of(story, files), issuer or story.ledger.issuer)


def pack(files: dict[str, bytes], order: list[str] | None = None) -> bytes:
    """The one allowed form of the zip (unless `order` says otherwise)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in order or sorted(files):
            archive.writestr(zip_info(path), files[path])
    return buffer.getvalue()


def zip_info(path: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
    info.create_system = 3
    info.external_attr = 0o100644 << 16
    return info

"""Bundles and completed receipts made of a small ledger, so that the verifier is tested against docs/bundle-format.md alone.

The steps are apart on purpose: a test can change files after sealing (a stranger's attack), or change them and seal again with
any key (an operator's or a forger's attack).
"""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audit import dsse, notes, offline_verify, sshsig
from audit.signing import Signer
from registry.digests import CanonicalError, canonical, commitment, hex_of, parse_canonical, sha256
from tests.audit.bundle_ledger import (
    ELSEWHERE,
    INSTANCE,
    ORIGIN,
    SYSTEM,
    Ledger,
    Witness,
    issuer_signer,
    log_signer,
    ref,
    uuid,
)

__all__ = [
    "ASSESSMENT",
    "BUNDLE",
    "DATASET",
    "ELSEWHERE",
    "INSTANCE",
    "MODEL",
    "ORIGIN",
    "OTHER",
    "REPORT",
    "STATEMENT",
    "SYSTEM",
    "TEXT",
    "Ledger",
    "Story",
    "Witness",
    "again",
    "completed",
    "content",
    "in_stream",
    "issuer_signer",
    "log_signer",
    "manifest_of",
    "pack",
    "ref",
    "seal",
    "sealed",
    "tell",
    "uuid",
    "version_document",
    "version_id",
    "zip_info",
]

BUNDLE = "01890a5d-ac96-774b-bcce-b302099b0001"
BUNDLE_AGAIN = "01890a5d-ac96-774b-bcce-b302099b1111"
TEXTS = {  # by id, in order: the salt, and what somebody wrote
    "01890a5d-ac96-774b-bcce-b302099b0002": (bytes(range(32)), "Freigabe erteilt: Grüße"),
    "01890a5d-ac96-774b-bcce-b302099b0003": (bytes(range(1, 33)), "Freigabe verweigert."),
}
TEXT = min(TEXTS)
MODEL = "model:01890a5d-ac96-774b-bcce-b302099c0001"
OTHER = "model:01890a5d-ac96-774b-bcce-b302099c0002"
DATASET = "dataset:01890a5d-ac96-774b-bcce-b302099c0003"
ASSESSMENT = "01890a5d-ac96-774b-bcce-b302099b0004"
REPORT = b'{"disclaimer":"evidence status, no certification"}'
VERSIONS = 6
PROOFS_PER_FILE = 8_000
Acts = Mapping[int, Callable[[Ledger], Ledger]]
"""What happens to the ledger itself before the n-th version is registered; after the bundle was issued at VERSIONS."""


def version_id(number: int) -> str:
    return uuid(0x5000 + number)


def version_document(number: int) -> bytes:
    return canonical({"number": number, "type": "pressmark/test/1"})


def statement(number: int) -> bytes:
    """An in-toto statement about a version."""
    subject = {"digest": {"sha256": hex_of(sha256(version_document(number)))}, "name": f"model@{number}"}
    body = {"_type": "https://in-toto.io/Statement/v1", "predicate": {}, "subject": [subject]}
    kind = {"predicateType": "urn:pressmark:predicate:run:1"}
    return json.dumps(body | kind, sort_keys=True, separators=(",", ":")).encode()


STATEMENT = statement(0)


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
    version: str | None = None
    left_out: int | None = None
    bundle: str = BUNDLE
    witnesses: list[Witness] = field(default_factory=list)

    def checkpoint(self) -> bytes:
        """The one in the bundle, with its cosignatures."""
        note = self.ledger.checkpoint(self.size)
        for witness in self.witnesses:
            note = witness.cosign(note)
        return note


def tell(
    log: Signer | None = None,
    issuer: Signer | None = None,
    *,
    subject: str = MODEL,
    version: str | None = None,
    acts: Acts | None = None,
    rounds: int = VERSIONS,
    lowered: str | None = None,
) -> Story:
    """Two models and a dataset, interleaved; the bundle is about MODEL and DATASET, or all; life goes on after it was issued.

    `lowered`: a stream whose end the issuer seals one too low, and whose last entry is left out.
    """
    acts = acts or {}
    ledger = Ledger()
    signers = log or log_signer(), issuer or issuer_signer()
    ledger.begin("ledger.created", *signers, *signers)
    receipts = []
    for number in range(rounds):
        ledger = acts[number](ledger) if number in acts else ledger
        receipts.append(_register(ledger, number))
    report = ledger.store("report_json", REPORT)
    row = {"id": uuid(0x9000), "row": {"assessment_id": ASSESSMENT}, "type": "audit.report/1"}
    ledger.act(("instance", "report.issued", [report], [row]))
    size = len(ledger.entries)
    streams = sorted(ledger.last_seq) if subject == "instance" else sorted([MODEL, DATASET])
    ends = [{"last_seq": ledger.last_seq[stream] - (stream == lowered), "stream": stream} for stream in streams]
    scope = {"ends": ends, "size": size, "type": "pressmark/scope/1"}
    _issue(ledger, scope, subject, version)
    ledger = acts[rounds](ledger) if rounds in acts else ledger
    bundle_size = len(ledger.entries) + 2
    for _ in range(5):
        ledger.act((OTHER, "version.registered", [], []))
    whole = [at for at in range(size) if subject == "instance" or not in_stream(ledger, at, OTHER)]
    later = {era.first for era in ledger.eras if size < era.first < bundle_size}
    left_out = None if lowered is None else max(at for at in whole if in_stream(ledger, at, lowered))
    positions = [at for at in [*whole, size, *sorted(later)] if at != left_out]
    return Story(ledger, scope, 9, size, bundle_size, positions, receipts, version, left_out)


def _register(ledger: Ledger, number: int) -> bytes:
    """A version of MODEL, one of OTHER, and a run on a new state of DATASET; returns the first one's receipt."""
    document = ledger.store("version", version_document(number))
    rows = [{"id": version_id(number), "row": {"digest": document["digest"]}, "type": "catalog.version/1"}]
    for text, (salt, value) in [*TEXTS.items()][number : number + 1]:
        row = {"commitment": commitment(salt, value), "created_at": None, "erased_at": None}
        rows.append({"id": text, "row": row, "type": "access.text/1"})
    if not number:
        rows.append({"id": ASSESSMENT, "row": {"stream": MODEL}, "type": "audit.assessment/1"})
    receipt = ledger.act((MODEL, "version.registered", [document], rows))
    ledger.act((OTHER, "version.registered", [], []))
    data = uuid(0x6000 + number)
    used = {"dataset_id": DATASET.partition(":")[2], "evaluation_id": data, "licence_id": None}
    ledger.act(
        (DATASET, "dataset.registered", [], [{"id": data, "row": {}, "type": "provenance.dataset_version/1"}]),
        (MODEL, "run.requested", [], [{"id": uuid(0x8000 + number), "row": used, "type": "compression.run/1"}]),
    )
    return receipt


def again(story: Story) -> Story:
    """Life goes on in the same ledger, and a newer bundle about the same is issued."""
    ledger = story.ledger
    issued: Any = parse_canonical(ledger.entries[story.issued_at])
    subject = issued["event"]["records"][0]["row"]["subject"]
    receipts = [_register(ledger, number) for number in (VERSIONS, VERSIONS + 1)]
    size = len(ledger.entries)
    streams = sorted(ledger.last_seq) if subject == "instance" else sorted([MODEL, DATASET])
    ends = [{"last_seq": ledger.last_seq[stream], "stream": stream} for stream in streams]
    scope = {"ends": ends, "size": size, "type": "pressmark/scope/1"}
    _issue(ledger, scope, subject, story.version, BUNDLE_AGAIN)
    ledger.act((OTHER, "version.registered", [], []))
    whole = [at for at in range(size) if subject == "instance" or any(in_stream(ledger, at, s) for s in streams)]
    positions = sorted({*whole, *story.positions, size} - {story.issued_at if subject != "instance" else -1})
    return Story(ledger, scope, 9, size, size + 2, positions, receipts, story.version, bundle=BUNDLE_AGAIN)


def _issue(ledger: Ledger, scope: dict[str, Any], subject: str, version: str | None, bundle: str = BUNDLE) -> None:
    scope_ref = ledger.store("scope", canonical(scope))
    row = {"scope_digest": scope_ref["digest"], "subject": subject, "version_id": version}
    ledger.act(("instance", "bundle.issued", [scope_ref], [{"id": bundle, "row": row, "type": "audit.bundle/1"}]))


def in_stream(ledger: Ledger, position: int, stream: str) -> bool:
    return f'"stream":"{stream}"'.encode() in ledger.entries[position]


def _documents(story: Story) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """The documents of the included entries; in a bundle of one version those of the others are withheld."""
    files: dict[str, bytes] = {}
    left_out: dict[str, dict[str, Any]] = {}
    for position in story.positions:
        try:
            entry: Any = parse_canonical(story.ledger.entries[position])
        except CanonicalError:  # a test wrote it otherwise
            continue
        versions = {r["id"] for r in entry["event"]["records"] if r["type"] == "catalog.version/1"}
        for item in entry["event"]["refs"]:
            if story.version and versions and story.version not in versions:
                left_out[item["digest"]] = item | {"reason": "withheld"}
            else:
                files[f"documents/{hex_of(item['digest'])}"] = story.ledger.documents[item["digest"]]
    return files, [left_out[digest] for digest in sorted(left_out)]


def content(story: Story) -> dict[str, bytes]:
    """All files but the three unsealed ones."""
    ledger, size = story.ledger, story.size
    eras = [era for era in ledger.eras if era.first < size]
    last = eras[-1]
    paths = ledger.paths(size)
    rows = [{"path": [item.hex() for item in paths[at]], "position": at} for at in story.positions]
    texts = [
        {"commitment": commitment(salt, value), "id": key, "salt": base64.b64encode(salt).decode(), "value": value}
        for key, (salt, value) in TEXTS.items()
    ]
    documents, left_out = _documents(story)
    about = 0 if story.version is None else next(n for n in range(VERSIONS) if version_id(n) == story.version)
    return {
        **documents,
        "VERIFY.md": b"How to check this bundle.\n",
        "verify.py": Path(offline_verify.__file__).read_bytes(),
        "texts.json": canonical({"texts": texts, "type": "pressmark/texts/1"}),
        "not_included.json": canonical({"documents": left_out, "type": "pressmark/not_included/1"}),
        "statements/run-1.dsse.json": dsse.sign_envelope(last.issuer, statement(about)),
        "report.json": REPORT,
        "keys/log.key": last.log.key_line.encode() + b"\n",
        "keys/issuer.key": last.issuer.key_line.encode() + b"\n",
        "keys/log.pem": last.log.pem.encode(),
        "keys/issuer.pem": last.issuer.pem.encode(),
        "keys/allowed_signers": sshsig.allowed_signers_line(last.issuer.public).encode(),
        **{f"keys/keys-{era.first}.note": era.note for era in eras},
        "log/entries.jsonl": b"".join(ledger.entries[at] + b"\n" for at in story.positions),
        **_proofs(rows, size),
        "log/checkpoint": story.checkpoint(),
        "log/consistency.json": ledger.consistency(story.early_size, story.scope["size"], size=size),
    }


def _proofs(rows: list[dict[str, Any]], size: int) -> dict[str, bytes]:
    parts = [rows[start : start + PROOFS_PER_FILE] for start in range(0, len(rows), PROOFS_PER_FILE)] or [[]]
    names = ["log/proofs.json", *(f"log/proofs-{number}.json" for number in range(2, len(parts) + 1))]
    documents = [canonical({"proofs": part, "size": size, "type": "pressmark/proofs/1"}) for part in parts]
    return dict(zip(names, documents, strict=True))


def manifest_of(story: Story, files: dict[str, bytes]) -> dict[str, Any]:
    checkpoint = notes.parse_checkpoint_body(notes.parse_note(story.ledger.checkpoint(story.size)).text)
    rows = [{"digest": sha256(files[path]), "path": path, "size_bytes": len(files[path])} for path in sorted(files)]
    return {
        "bundle": story.bundle,
        "files": rows,
        "origin": checkpoint.origin,
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
    return seal(files, manifest_of(story, files), issuer or story.ledger.era_of(story.size - 1).issuer)


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


def completed(ledger: Ledger, first: int, size: int | None = None) -> dict[str, bytes]:
    """The files of the completed receipt of the unit that began at `first`, proved to the checkpoint of a size."""
    size = size or len(ledger.entries)
    note = ledger.receipts[first]
    receipt = notes.parse_receipt_body(notes.parse_note(note).text)
    span = range(first, first + receipt.count)
    return {
        "receipt.note": note,
        **{f"entries/{at}.json": ledger.entries[at] for at in span},
        **{f"proofs/{at}.tlog-proof": ledger.proof(at, size, note) for at in span},
        **{f"keys/keys-{era.first}.note": era.note for era in ledger.eras if era.first < size},
    }

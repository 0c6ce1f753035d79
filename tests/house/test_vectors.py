"""FORMATS section 8 against the product's own code and against the verifier's, which share nothing.

The ledger's SQL function is held against the same file where it lives.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from audit import merkle, notes, offline_verify
from audit.signing import Signer
from registry import digests

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text(encoding="utf-8"))
KEYS = VECTORS["keys"]
ORIGIN = f"pressmark/{KEYS['instance']}/{KEYS['epoch']}"
LOG = Signer.from_seed(ORIGIN, bytes.fromhex(KEYS["log_seed_hex"]))
ISSUER = Signer.from_seed(f"{ORIGIN}/issuer", bytes.fromhex(KEYS["issuer_seed_hex"]))


def hex_sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def entry_bytes(event_id: str, at: str, stream_seq: int) -> bytes:
    event = {**VECTORS["event"]["value"], "id": event_id}
    stream = VECTORS["entry"]["stream"]
    return digests.canonical({"at": at, "event": event, "stream": stream, "stream_seq": stream_seq, "v": 1})


def entries() -> list[bytes]:
    first = entry_bytes(VECTORS["event"]["value"]["id"], VECTORS["entry"]["at"], VECTORS["entry"]["stream_seq"])
    return [first, *(entry_bytes(m["event_id"], m["at"], m["stream_seq"]) for m in VECTORS["root_of_three"]["more"])]


@pytest.mark.parametrize("vector", VECTORS["canonical"])
def test_canonical_bytes_are_those_of_the_vector(vector: dict[str, Any]) -> None:
    data = digests.canonical(vector["value"])
    assert len(data) == vector["size_bytes"]
    assert hex_sha256(data).startswith(vector.get("sha256") or vector["sha256_prefix"])
    assert digests.parse_canonical(data) == vector["value"]
    assert offline_verify.write_json(vector["value"]) == data
    assert offline_verify.read_json(data, "vector") == vector["value"]


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["why"])
def test_what_the_format_refuses_is_refused_by_both_readers(vector: dict[str, Any]) -> None:
    with pytest.raises(digests.CanonicalError):
        digests.parse_canonical(vector["json"].encode())
    with pytest.raises(offline_verify.Bad):
        offline_verify.read_json(vector["json"].encode(), "vector")


@pytest.mark.parametrize("vector", VECTORS["decimals"])
def test_decimals_are_spelled_as_in_the_vector(vector: dict[str, str]) -> None:
    number = float(vector["float"]) if "float" in vector else Decimal(vector["decimal"])
    assert digests.decimal_text(number) == vector["text"]
    assert digests.is_decimal(vector["text"])


def test_the_version_document_has_the_digest_of_the_vector() -> None:
    vector = VECTORS["version"]
    data = digests.version_document(vector["files"])
    assert (len(data), hex_sha256(data)) == (vector["size_bytes"], vector["sha256"])
    assert vector["files"][0]["digest"] == digests.sha256(b"abc\n")


def test_the_commitment_is_that_of_the_vector() -> None:
    vector = VECTORS["commitment"]
    assert digests.commitment(bytes.fromhex(vector["salt_hex"]), vector["text"]) == "sha256:" + vector["sha256"]


def test_event_entry_leaf_and_root_are_those_of_the_vectors() -> None:
    event = digests.canonical(VECTORS["event"]["value"])
    assert (len(event), hex_sha256(event)) == (VECTORS["event"]["size_bytes"], VECTORS["event"]["sha256"])
    first = entries()[0]
    assert len(first) == VECTORS["entry"]["size_bytes"]
    leaves = [merkle.leaf_hash(entry) for entry in entries()]
    assert leaves == [offline_verify.leaf_hash(entry) for entry in entries()]
    assert leaves[0].hex() == VECTORS["entry"]["leaf"]
    assert merkle.root(leaves).hex() == VECTORS["root_of_three"]["root"]
    assert offline_verify.tree_root(leaves).hex() == VECTORS["root_of_three"]["root"]


def test_the_verifier_reads_the_entry_of_the_vector() -> None:
    entry = offline_verify.read_entry(entries()[0], 0, "vector")
    assert entry.leaf.hex() == VECTORS["entry"]["leaf"]
    assert (entry.stream, entry.seq, entry.event) == ("instance", 1, VECTORS["event"]["value"])


def test_key_ids_are_those_of_the_vector() -> None:
    assert (LOG.key_id_hex, ISSUER.key_id_hex) == (KEYS["log_key_id"], KEYS["issuer_key_id"])
    for signer in (LOG, ISSUER):
        theirs = offline_verify.read_key_line(signer.key_line, "vector")
        assert (theirs.raw, theirs.line, theirs.pem) == (signer.public.raw, signer.key_line, signer.pem)


def test_the_checkpoint_note_is_that_of_the_vector() -> None:
    vector = VECTORS["checkpoint_note"]
    leaf = merkle.leaf_hash(entries()[0])
    data = notes.sign_checkpoint(LOG, vector["size"], leaf)
    assert hex_sha256(data) == vector["sha256"]
    assert notes.open_checkpoint(data, LOG.public) == notes.Checkpoint(ORIGIN, 1, leaf)
    theirs = offline_verify.read_checkpoint(data, "vector")
    theirs.note.require(offline_verify.PublicKey(ORIGIN, LOG.public.raw), "vector")
    assert (theirs.origin, theirs.size, theirs.root) == (ORIGIN, 1, leaf)


def test_the_receipt_note_is_that_of_the_vector() -> None:
    vector = VECTORS["receipt_note"]
    leaf, at = merkle.leaf_hash(entries()[0]), VECTORS["entry"]["at"]
    data = notes.sign_receipt(ISSUER, vector["first"], vector["count"], leaf, at)
    assert hex_sha256(data) == vector["sha256"]
    assert len(notes.receipt_header(data)) == vector["header_characters"]
    assert notes.open_receipt(data, ISSUER.public) == notes.Receipt(ORIGIN, 0, 1, leaf, at)
    theirs = offline_verify.read_receipt(notes.receipt_header(data).encode(), "vector")
    theirs.note.require(offline_verify.PublicKey(ISSUER.name, ISSUER.public.raw), "vector")
    assert (theirs.origin, theirs.first, theirs.count, theirs.root, theirs.at) == (ORIGIN, 0, 1, leaf, at)

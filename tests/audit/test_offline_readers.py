"""The verifier's own readers, rule by rule: key lines, notes, checkpoints, receipts, keys notes, SSHSIG, DSSE and the zip."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from audit import dsse, merkle, notes, offline_verify, sshsig
from audit.offline_verify import Bad
from audit.signing import Signer
from registry.digests import canonical, parse_canonical
from tests.audit import bundle_builder as builder

LOG, ISSUER = builder.log_signer(), builder.issuer_signer()
ORIGIN, AT, ROOT = builder.ORIGIN, "2026-01-02T03:04:05.000000Z", bytes(range(32))
ROOT64 = base64.b64encode(ROOT).decode()
KEYS = offline_verify.read_keys(
    notes.sign_keys(notes.KeysNote(ORIGIN, 0, LOG.public, ISSUER.public), LOG, ISSUER), "keys", 0
)


def ours(signer: Signer) -> offline_verify.PublicKey:
    return offline_verify.PublicKey(signer.name, signer.public.raw)


def test_key_lines_are_read_and_other_lines_refused() -> None:
    assert offline_verify.read_key_line(LOG.key_line, "here") == ours(LOG)
    name, key_id, data = LOG.key_line.split("+", 2)
    rsa = base64.b64encode(bytes([2]) + LOG.public.raw).decode()
    for line in (
        *("", name, f"{name}+{key_id}", f"+{key_id}+{data}", f"{name} +{key_id}+{data}", f"{name}+00000000+{data}"),
        *(f"{name}+{key_id}+{rsa}", f"{name}+{key_id}+{data}=", f"{name}+{key_id}+!{data[1:]}", LOG.key_line + "\n"),
        f"{name}+{key_id}+{data[:-4]}",
    ):
        with pytest.raises(Bad):
            offline_verify.read_key_line(line, "here")


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"a\n", b"a\n\n", b"\xff\n\n\xe2\x80\x94 n AAAAAAA=\n", b"\n\n\xe2\x80\x94 n AAAAAAA=\n"),
        *("a\n\n\u2014 n AAAAAAA=".encode(), b"a\n\n- n AAAAAAA=\n", "a\n\n\u2014 n AAAAAA==\n".encode()),
        *(
            "a\n\n\u2014 n AAAAAAB=\n".encode(),
            "a\n\n\u2014 n  AAAAAAA=\n".encode(),
            "a\n\n\u2014  AAAAAAA=\n".encode(),
        ),
        *("a\n\n\u2014 n+1 AAAAAAA=\n".encode(), "a\r\n\n\u2014 n AAAAAAA=\n".encode(), "a\n\n\u2014 n !\n".encode()),
        *(("a\n\n" + "\u2014 n AAAAAAA=\n" * 65).encode(), b"a" * 1024 * 1024 + "\n\n\u2014 n AAAAAAA=\n".encode()),
    ],
    ids=lambda data: repr(data[:16]),
)
def test_what_is_no_note_is_refused(data: bytes) -> None:
    with pytest.raises(Bad):
        offline_verify.read_note(data, "here")


def test_a_note_must_be_signed_once_and_rightly() -> None:
    offline_verify.read_note(notes.sign_note("a\n", LOG), "here").require(ours(LOG), "here")
    with pytest.raises(Bad, match="2 signatures"):
        offline_verify.read_note(notes.sign_note("a\n", LOG, LOG), "here").require(ours(LOG), "here")
    with pytest.raises(Bad, match="0 signatures"):
        offline_verify.read_note(notes.sign_note("a\n", ISSUER), "here").require(ours(LOG), "here")
    changed = b"b" + notes.sign_note("a\n", LOG)[1:]
    with pytest.raises(Bad, match="does not hold"):
        offline_verify.read_note(changed, "here").require(ours(LOG), "here")


@pytest.mark.parametrize(
    "body",
    [
        *(f"{ORIGIN}\n0\n{ROOT64}\n", f"{ORIGIN}\n05\n{ROOT64}\n", f"{ORIGIN}\n-5\n{ROOT64}\n", f"{ORIGIN}\n5\n"),
        *(f"{ORIGIN}\n5\n{ROOT64}\nmore\n", f"{ORIGIN}\n5\n{ROOT.hex()}\n", f"{ORIGIN}\n5\n{ROOT64[:-4]}\n"),
        f"{ORIGIN}\nfive\n{ROOT64}\n",
    ],
)
def test_a_checkpoint_of_another_form_is_refused(body: str) -> None:
    with pytest.raises(Bad):
        offline_verify.read_checkpoint(notes.sign_note(body, LOG), "here")


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"pressmark/9" + notes.sign_checkpoint(LOG, 5, ROOT)[11:], "of the log"),
        (notes.sign_checkpoint(LOG, 5, ROOT).replace(b"\n5\n", b"\n6\n"), "does not hold"),
        (notes.sign_note(f"{ORIGIN}\n5\n{ROOT64}\n", ISSUER), "0 signatures"),
        (notes.sign_note(f"{ORIGIN}\n5\n{ROOT64}\n", ISSUER, LOG), "first signature"),
    ],
)
def test_a_checkpoint_must_be_signed_first_by_the_key_of_its_log(data: bytes, hint: str) -> None:
    with pytest.raises(Bad, match=hint):
        offline_verify.read_checkpoint(data, "here").require(KEYS.log, "here")


def keys_text(**changes: str) -> str:
    lines = {"type": "pressmark/keys/1", "origin": ORIGIN, "first": "0"}
    lines |= {"log": f"log {LOG.key_line}", "issuer": f"issuer {ISSUER.key_line}"} | changes
    return "\n".join(lines.values()) + "\n"


@pytest.mark.parametrize(
    "changes",
    [
        *({"type": "pressmark/keys/2"}, {"first": "1"}, {"origin": "pressmark/other/1"}, {"log": LOG.key_line}),
        *({"log": f"log {ISSUER.key_line}"}, {"issuer": f"issuer {LOG.key_line}"}, {"issuer": ISSUER.key_line}),
        {"issuer": f"issuer {builder.issuer_signer(1).key_line}"},
    ],
)
def test_a_keys_note_that_does_not_bind_two_keys_of_its_origin_is_refused(changes: dict[str, str]) -> None:
    assert offline_verify.read_keys(notes.sign_note(keys_text(), LOG, ISSUER), "here", 0) == KEYS
    with pytest.raises(Bad):
        offline_verify.read_keys(notes.sign_note(keys_text(**changes), LOG, ISSUER), "here", 0)


@pytest.mark.parametrize(
    "body",
    [
        f"pressmark/receipt/2\n{ORIGIN}\n0\n1\n{ROOT64}\n{AT}\n",
        f"pressmark/receipt/1\n{ORIGIN}\n0\n0\n{ROOT64}\n{AT}\n",
        f"pressmark/receipt/1\n{ORIGIN}\n-1\n1\n{ROOT64}\n{AT}\n",
        f"pressmark/receipt/1\n{ORIGIN}\n0\n1\n{ROOT64}\ntoday\n",
        f"pressmark/receipt/1\n{ORIGIN}\n0\n1\n{ROOT64}\n",
    ],
)
def test_a_receipt_of_another_form_is_refused(body: str) -> None:
    with pytest.raises(Bad):
        offline_verify.read_receipt(notes.sign_note(body, ISSUER), "here")


def test_a_proof_file_without_a_receipt_in_it_is_refused() -> None:
    receipt = notes.sign_receipt(ISSUER, 0, 1, ROOT, AT)
    checkpoint = notes.sign_checkpoint(LOG, 1, ROOT)
    good = notes.TlogProof(0, (ROOT,), checkpoint, receipt).text()
    read = offline_verify.read_given(good, "here")
    assert (read.receipt.first, read.proofs[0].index, read.proofs[0].path) == (0, 0, (ROOT,))
    bad = [notes.TlogProof(0, (ROOT,), checkpoint).text(), good.replace(b"index 0", b"index x")]
    bad += [good.replace(b"index 0", b"Index 0"), good.replace(b"\n\n", b"\nAAAA\n\n", 1), good[:40], good[:-1]]
    for data in bad:
        with pytest.raises(Bad):
            offline_verify.read_given(data, "here")


def test_ssh_signatures_hold_for_one_message_key_and_namespace() -> None:
    good = sshsig.sign_armored(ISSUER, b"message").encode()
    assert offline_verify.sshsig_verifies(good, b"message", ours(ISSUER))
    other = sshsig.sign_armored(ISSUER, b"message", "file").encode()
    body = base64.b64decode(b"".join(good.split(b"\n")[1:-2]))
    reserved = base64.b64encode(body[:-1] + bytes([body[-1] ^ 1])).decode()
    for data in (
        *(b"", good[:-1], good + b"\n", good.replace(b"BEGIN", b"BEGUN"), good.replace(b"END", b"EN"), other),
        good.replace(b"U1NIU0lH", b"!!!!!!!!"),
        f"-----BEGIN SSH SIGNATURE-----\n{reserved}\n-----END SSH SIGNATURE-----\n".encode(),
    ):
        assert not offline_verify.sshsig_verifies(data, b"message", ours(ISSUER))
    assert not offline_verify.sshsig_verifies(good, b"massage", ours(ISSUER))
    assert not offline_verify.sshsig_verifies(good, b"message", ours(LOG))


@pytest.mark.parametrize(
    "change",
    [
        lambda envelope: envelope.update(payload=base64.b64encode(b"{}").decode()),
        lambda envelope: envelope.update(payloadType="text/plain"),
        lambda envelope: envelope.update(signatures=[]),
        lambda envelope: envelope.update(signatures=[{"sig": 5, "keyid": ours(ISSUER).keyid}]),
        lambda envelope: envelope.update(payload=None),
        lambda envelope: envelope.pop("payload"),
    ],
)
def test_a_statement_that_was_changed_is_refused(change: Callable[[dict[str, Any]], None]) -> None:
    good = dsse.sign_envelope(ISSUER, builder.STATEMENT)
    offline_verify.check_statement(good, ours(ISSUER), "here")
    envelope = json.loads(good)
    change(envelope)
    with pytest.raises(Bad):
        offline_verify.check_statement(json.dumps(envelope).encode(), ours(ISSUER), "here")
    with pytest.raises(Bad):
        offline_verify.check_statement(b"[" * 100_000, ours(ISSUER), "here")


@pytest.mark.parametrize(
    "rows",
    [
        [{"old_root": "sha256:" + "0" * 64, "old_size": 5, "path": []}],
        [{"old_root": "sha256:" + "0" * 64, "old_size": size, "path": []} for size in (3, 2)],
        [{"old_root": "0" * 64, "old_size": 2, "path": []}],
        [{"old_root": "sha256:" + "0" * 64, "old_size": 2, "path": ["sha256:" + "0" * 64]}],
        [{"old_root": "sha256:" + "0" * 64, "old_size": 2, "path": ["0" * 64] * 65}],
    ],
)
def test_a_consistency_document_of_another_form_is_refused(rows: list[Any]) -> None:
    data = canonical({"proofs": rows, "size": 5, "type": "pressmark/consistency/1"})
    with pytest.raises(Bad):
        offline_verify.read_consistency(data, "here")


def test_a_zip_directory_that_says_less_or_more_than_there_is_is_refused() -> None:
    data = builder.pack({"a": b"1", "b": b"2"})
    assert offline_verify.read_zip(memoryview(data), pytest.fail) == {"a": b"1", "b": b"2"}
    for count in (1, 3):
        number = count.to_bytes(2, "little")
        wrong = data[:-14] + number + number + data[-10:]
        complaints: list[str] = []
        try:
            offline_verify.read_zip(memoryview(wrong), complaints.append)
        except Bad as error:
            complaints.append(str(error))
        assert complaints


def test_a_checksum_that_does_not_fit_its_file_is_told_although_both_headers_agree() -> None:
    data = builder.pack({"a": b"1"})
    crc = int.from_bytes(data[14:18], "little")
    wrong = data.replace(crc.to_bytes(4, "little"), (crc ^ 1).to_bytes(4, "little"))
    complaints: list[str] = []
    offline_verify.read_zip(memoryview(wrong), complaints.append)
    assert complaints == ["a: the zip's own checksum does not fit"]


def test_a_file_that_reaches_into_the_directory_is_refused() -> None:
    data = builder.pack({"a": b"1"})
    long = data.replace((1).to_bytes(4, "little") * 2, (99).to_bytes(4, "little") * 2)
    with pytest.raises(Bad, match="cut short"):
        offline_verify.read_zip(memoryview(long), lambda reason: None)


def test_its_own_proof_checks_agree_with_the_tree_and_refuse_every_other_proof() -> None:
    leaves = [merkle.leaf_hash(bytes([number])) for number in range(40)]
    included, consistent = offline_verify.included, offline_verify.consistent
    for size in range(1, 41):
        root = offline_verify.tree_root(leaves[:size])
        assert root == merkle.root(leaves[:size])
        for index in range(size):
            path = merkle.inclusion_path(leaves.__getitem__, index, size)
            assert included(leaves[index], index, size, path, root)
            assert not included(leaves[index], index, size, [*path, bytes(32)], root)
            assert not included(leaves[index], index + size, size, path, root)
            assert not included(leaves[index], index - size, size, path, root)
            assert size == 1 or not included(leaves[index], index, size, path[:-1], root)
        for old in range(1, size):
            old_root = merkle.root(leaves[:old])
            path = merkle.consistency_path(leaves.__getitem__, old, size)
            assert consistent(old, size, old_root, root, path)
            assert not consistent(old, size, old_root, root, [*path, bytes(32)])
            assert not consistent(old, size, old_root, root, path[:-1])
            assert not consistent(old, size, bytes(32), root, path)
            assert not consistent(old, size, old_root, bytes(32), path)
            assert not consistent(size, old, root, old_root, path)
            assert not consistent(0, size, old_root, root, path)


def test_a_complete_old_tree_needs_a_proof_even_if_its_root_is_given_twice() -> None:
    root = merkle.leaf_hash(b"a")
    assert not offline_verify.consistent(1, 2, root, root, [])
    assert not offline_verify.consistent(3, 4, root, root, [])


@pytest.mark.parametrize(
    "data",
    [
        *(b"[" * 17 + b"]" * 17, b"[" * 100_000, b'{"A":1}', b'"\\u0000"', b"9007199254740992", b"1.0", b"NaN", b" 1"),
        *(b'{"a":1,"a":1}', b"\xff", b'"' + b"x" * 16 * 1024 * 1024 + b'"', b""),
    ],
    ids=lambda data: repr(data[:12]),
)
def test_its_own_reader_refuses_what_the_format_refuses(data: bytes) -> None:
    with pytest.raises(offline_verify.Bad):
        offline_verify.read_json(data, "here")


def test_a_record_stands_once_in_an_event() -> None:
    event: Any = parse_canonical(builder.tell().ledger.entries[1])
    event["event"]["records"] *= 2
    with pytest.raises(Bad, match="a record stands twice"):
        offline_verify.read_entry(canonical(event), 1, "here")


def test_its_own_reader_takes_sixteen_levels() -> None:
    assert offline_verify.write_json(offline_verify.read_json(b"[" * 16 + b"]" * 16, "here")) == b"[" * 16 + b"]" * 16

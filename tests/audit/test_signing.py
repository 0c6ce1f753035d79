"""Keys, notes, envelopes and SSH signatures: what holds, what is refused, and that openssl and ssh-keygen agree."""

from __future__ import annotations

import base64
import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from audit import dsse, merkle, notes, sshsig
from audit.notes import NoteError
from audit.signing import KeyFileError, KeyLineError, PublicKey, Signer, issuer_name, parse_key_line

ORIGIN = "pressmark/01890a5d-ac96-774b-bcce-b302099a8057/1"
AT = "2026-01-02T03:04:05.000000Z"
ROOT = bytes(range(32))


@pytest.fixture
def log() -> Signer:
    return Signer.from_seed(ORIGIN, bytes([1]) * 32)


@pytest.fixture
def issuer() -> Signer:
    return Signer.from_seed(issuer_name(ORIGIN), bytes([2]) * 32)


def rewrite(note: bytes, old: str, new: str) -> bytes:
    assert old.encode() in note
    return note.replace(old.encode(), new.encode(), 1)


# --- keys


def test_a_saved_key_signs_the_same_after_loading_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    signer = Signer.generate(ORIGIN)
    signer.save(tmp_path / "log.key")
    assert stat.S_IMODE((tmp_path / "log.key").stat().st_mode) == 0o600
    loaded = Signer.load(tmp_path / "log.key")
    assert (loaded.key_line, loaded.sign(b"x")) == (signer.key_line, signer.sign(b"x"))


def test_two_generated_keys_differ() -> None:
    assert Signer.generate(ORIGIN).key_line != Signer.generate(ORIGIN).key_line


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o622])
def test_a_key_file_that_others_may_touch_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "log.key"
    Signer.generate(ORIGIN).save(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="run chmod 600"):
        Signer.load(path)


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    Signer.generate(ORIGIN).save(path)
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="never overwritten"):
        Signer.generate(ORIGIN).save(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("data", [b"", b"hello\n", b"pressmark-key a\n", b"pressmark-key a\n-----BEGIN X-----\n"])
def test_a_damaged_key_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "log.key"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="backup"):
        Signer.load(path)


def test_a_missing_key_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="No such file"):
        Signer.load(tmp_path / "none.key")
    with pytest.raises(KeyFileError, match="cannot"):
        Signer.load(tmp_path)
    with pytest.raises(KeyFileError, match="cannot write"):
        Signer.generate(ORIGIN).save(tmp_path / "none" / "log.key")


def test_a_key_line_is_read_back_and_a_changed_one_is_refused(log: Signer) -> None:
    assert parse_key_line(log.key_line) == log.public
    name, key_id, data = log.key_line.split("+", 2)
    other = Signer.from_seed(ORIGIN, bytes([9]) * 32).key_line.split("+", 2)[2]
    for line in (
        f"{name}x+{key_id}+{data}",
        f"{name}+00000000+{data}",
        f"{name}+{key_id}+{other}",
        f"{name}+{key_id.upper()}+{data}",
        f"{name}+{key_id}+{data[:-1]}",
        f"{name} +{key_id}+{data}",
        f"{name}+{key_id}",
        f"+{key_id}+{data}",
        f"{name}+{key_id}+{base64.b64encode(bytes([2]) + log.public.raw).decode()}",
        log.key_line + "\n",
        "",
    ):
        with pytest.raises(KeyLineError):
            parse_key_line(line)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\x01"])
def test_a_key_name_without_the_allowed_form_is_refused(name: str) -> None:
    with pytest.raises(KeyLineError, match="no key name"):
        PublicKey(name, bytes(32))


# --- notes


def test_a_note_holds_for_its_key_and_for_no_other(log: Signer, issuer: Signer) -> None:
    note = notes.parse_note(notes.sign_note("a\n\nb\n", log))
    assert note.text == "a\n\nb\n"
    note.require(log.public)
    with pytest.raises(NoteError, match="0 signatures"):
        note.require(issuer.public)
    with pytest.raises(NoteError, match="0 signatures"):
        note.require(Signer.from_seed(ORIGIN, bytes([9]) * 32).public)


def test_a_changed_text_is_refused(log: Signer) -> None:
    data = notes.sign_note("a\n", log)
    with pytest.raises(NoteError, match="does not hold"):
        notes.parse_note(b"b" + data[1:]).require(log.public)


def test_signatures_of_witnesses_are_kept_and_not_judged(log: Signer) -> None:
    witness = "\u2014 witness.example " + base64.b64encode(b"wxyz" + bytes(2420)).decode() + "\n"
    data = notes.sign_checkpoint(log, 5, ROOT) + witness.encode()
    assert notes.open_checkpoint(data, log.public) == notes.Checkpoint(ORIGIN, 5, ROOT)
    assert [item.name for item in notes.parse_note(data).signatures] == [ORIGIN, "witness.example"]
    body, _, ours = data.removesuffix(witness.encode()).rpartition(b"\n\n")
    with pytest.raises(NoteError, match="first signature"):
        notes.open_checkpoint(body + b"\n\n" + witness.encode() + ours, log.public)


def test_a_note_signed_twice_by_the_same_key_is_refused(log: Signer) -> None:
    with pytest.raises(NoteError, match="2 signatures"):
        notes.parse_note(notes.sign_note("a\n", log, log)).require(log.public)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a\n",
        b"a\n\n",
        b"\n\n\xe2\x80\x94 n AAAAAAA=\n",
        "a\n\n\u2014 n AAAAAAA=".encode(),
        b"a\n\n- n AAAAAAA=\n",
        "a\n\n\u2014 n AAAAAA==\n".encode(),
        "a\n\n\u2014 n AAAAAAB=\n".encode(),
        "a\n\n\u2014 n  AAAAAAA=\n".encode(),
        "a\n\n\u2014 n+1 AAAAAAA=\n".encode(),
        "a\r\n\n\u2014 n AAAAAAA=\n".encode(),
        "a\n\n\u2014 n AAAAAAA=\nx\n".encode(),
        b"\xff\n\n\xe2\x80\x94 n AAAAAAA=\n",
        ("a\n\n" + "\u2014 n AAAAAAA=\n" * 65).encode(),
        b"a" * (1024 * 1024 + 1),
    ],
)
def test_what_is_no_note_is_refused(data: bytes) -> None:
    with pytest.raises(NoteError):
        notes.parse_note(data)


def test_sixty_four_signatures_are_read() -> None:
    assert len(notes.parse_note(("a\n\n" + "\u2014 n AAAAAAA=\n" * 64).encode()).signatures) == 64


@pytest.mark.parametrize("text", ["a", "a\x00\n", ""])
def test_a_text_that_no_reader_would_take_is_not_signed(log: Signer, text: str) -> None:
    with pytest.raises(NoteError):
        notes.sign_note(text, log)
    with pytest.raises(NoteError):
        notes.sign_note("a\n")


@pytest.mark.parametrize(
    "body",
    [
        f"{ORIGIN}\n5\n",
        f"{ORIGIN}\n05\n{base64.b64encode(ROOT).decode()}\n",
        f"{ORIGIN}\n0\n{base64.b64encode(ROOT).decode()}\n",
        f"{ORIGIN}\n-1\n{base64.b64encode(ROOT).decode()}\n",
        f"{ORIGIN}\n5\n{base64.b64encode(ROOT[1:]).decode()}\n",
        f"{ORIGIN}\n5\n{ROOT.hex()}\n",
        f"{ORIGIN}\n5\n{base64.b64encode(ROOT).decode()}\nmore\n",
        f"\n5\n{base64.b64encode(ROOT).decode()}\n",
        f"other\n5\n{base64.b64encode(ROOT).decode()}\n",
    ],
)
def test_a_checkpoint_of_another_form_or_log_is_refused_although_signed(log: Signer, body: str) -> None:
    with pytest.raises(NoteError):
        notes.open_checkpoint(notes.sign_note(body, log), log.public)


def test_a_checkpoint_of_nothing_is_never_signed(log: Signer) -> None:
    with pytest.raises(NoteError, match="size 0"):
        notes.sign_checkpoint(log, 0, merkle.EMPTY_ROOT)


def test_a_receipt_comes_back_from_its_header_and_only_under_its_key(log: Signer, issuer: Signer) -> None:
    data = notes.sign_receipt(issuer, 3, 2, ROOT, AT)
    header = notes.receipt_header(data)
    assert header.isascii()
    assert notes.open_receipt(notes.parse_receipt_header(header), issuer.public) == notes.Receipt(
        ORIGIN, 3, 2, ROOT, AT
    )
    with pytest.raises(NoteError):
        notes.open_receipt(rewrite(data, "\n3\n", "\n4\n"), issuer.public)
    with pytest.raises(NoteError):
        notes.open_receipt(data, log.public)
    with pytest.raises(NoteError):
        notes.parse_receipt_header(header[:-1])


@pytest.mark.parametrize(("first", "count", "at"), [(-1, 1, AT), (0, 0, AT), (0, 1, "2026-01-02")])
def test_a_receipt_over_nothing_or_without_a_time_is_never_signed(
    issuer: Signer, first: int, count: int, at: str
) -> None:
    with pytest.raises(NoteError):
        notes.sign_receipt(issuer, first, count, ROOT, at)


def test_the_log_key_signs_no_receipts(log: Signer) -> None:
    with pytest.raises(NoteError, match="issuer key"):
        notes.sign_receipt(log, 0, 1, ROOT, AT)


def test_a_keys_note_needs_both_signatures_and_fitting_names(log: Signer, issuer: Signer) -> None:
    keys = notes.KeysNote(ORIGIN, 0, log.public, issuer.public)
    assert notes.open_keys(notes.sign_keys(keys, log, issuer)) == keys
    for signers in ((log,), (issuer,)):
        with pytest.raises(NoteError, match="0 signatures"):
            notes.open_keys(notes.sign_keys(keys, *signers))
    with pytest.raises(NoteError, match="keys are named"):
        notes.sign_keys(notes.KeysNote("pressmark/other/1", 0, log.public, issuer.public), log, issuer)
    same = PublicKey(issuer.name, log.public.raw)
    with pytest.raises(NoteError, match="two keys"):
        notes.sign_keys(notes.KeysNote(ORIGIN, 0, log.public, same), log)


def test_a_proof_file_is_read_back_with_and_without_extra(log: Signer, issuer: Signer) -> None:
    leaves = [merkle.leaf_hash(bytes([number])) for number in range(5)]
    checkpoint = notes.sign_checkpoint(log, 5, merkle.root(leaves))
    path = tuple(merkle.inclusion_path(leaves.__getitem__, 3, 5))
    for extra in (None, b"", notes.sign_receipt(issuer, 3, 1, leaves[3], AT)):
        proof = notes.TlogProof(3, path, checkpoint, extra)
        assert notes.parse_tlog_proof(proof.text()) == proof
    assert proof.text().splitlines()[0] == b"c2sp.org/tlog-proof@v1"
    single = notes.TlogProof(0, (), notes.sign_checkpoint(log, 1, leaves[0]))
    assert notes.parse_tlog_proof(single.text()) == single


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("@v1", "@v2"),
        ("index 3", "index 03"),
        ("index 3", "index -3"),
        ("index 3\n", ""),
        ("extra ", "Extra "),
        ("=\n", "\n"),
    ],
)
def test_a_proof_file_of_another_form_is_refused(log: Signer, old: str, new: str) -> None:
    text = notes.TlogProof(3, (ROOT, ROOT), notes.sign_checkpoint(log, 5, ROOT), b"ex").text()
    with pytest.raises(NoteError):
        notes.parse_tlog_proof(rewrite(text, old, new))


# --- DSSE


def test_an_envelope_gives_its_payload_back_under_its_key_only(log: Signer, issuer: Signer) -> None:
    data = dsse.sign_envelope(issuer, b'{"a":1}')
    assert dsse.open_envelope(data, issuer.public) == b'{"a":1}'
    assert json.loads(data)["signatures"][0]["keyid"] == f"{ORIGIN}/issuer+{issuer.key_id_hex}"
    with pytest.raises(dsse.DsseError, match="no signature by"):
        dsse.open_envelope(data, log.public)
    other = json.loads(data) | {"payload": base64.b64encode(b'{"a":2}').decode()}
    with pytest.raises(dsse.DsseError, match="does not hold"):
        dsse.open_envelope(json.dumps(other).encode(), issuer.public)


def test_the_payload_type_is_signed_and_expected(issuer: Signer) -> None:
    data = dsse.sign_envelope(issuer, b"{}", "text/plain")
    with pytest.raises(dsse.DsseError, match="payload type"):
        dsse.open_envelope(data, issuer.public)
    other = json.loads(data) | {"payloadType": dsse.IN_TOTO_TYPE}
    with pytest.raises(dsse.DsseError, match="does not hold"):
        dsse.open_envelope(json.dumps(other).encode(), issuer.public)


def test_the_signed_bytes_are_those_of_the_dsse_specification() -> None:
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"payload":"!","payloadType":"x","signatures":[]}', b"[" * 100_000]
)
def test_what_is_no_envelope_is_refused(issuer: Signer, data: bytes) -> None:
    with pytest.raises(dsse.DsseError, match="not a DSSE envelope"):
        dsse.open_envelope(data, issuer.public)


# --- SSHSIG and foreign tools


def test_an_ssh_signature_holds_for_its_message_key_and_namespace_only(log: Signer, issuer: Signer) -> None:
    text = sshsig.sign_armored(issuer, b"manifest")
    assert sshsig.verify_armored(text, b"manifest", issuer.public)
    assert not sshsig.verify_armored(text, b"manifesto", issuer.public)
    assert not sshsig.verify_armored(text, b"manifest", log.public)
    assert not sshsig.verify_armored(text, b"manifest", issuer.public, "file")
    assert not sshsig.verify_armored(text.replace("A", "B", 1), b"manifest", issuer.public)
    assert not sshsig.verify_armored("", b"manifest", issuer.public)
    assert not sshsig.verify_armored(text + "\n", b"manifest", issuer.public)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_ssh_keygen_accepts_the_signature_and_refuses_a_changed_message(tmp_path: Path, issuer: Signer) -> None:
    message = b'{"bundle":"x"}' * 500
    (tmp_path / "allowed_signers").write_text(sshsig.allowed_signers_line(issuer.public))
    (tmp_path / "manifest.json.sig").write_text(sshsig.sign_armored(issuer, message))
    command = ["ssh-keygen", "-Y", "verify", "-f", "allowed_signers", "-I", issuer.name]
    command += ["-n", sshsig.NAMESPACE, "-s", "manifest.json.sig"]
    good = subprocess.run(command, cwd=tmp_path, input=message, capture_output=True, check=False)
    assert good.returncode == 0, good.stderr
    assert b"Good" in good.stdout
    bad = subprocess.run(command, cwd=tmp_path, input=message + b" ", capture_output=True, check=False)
    assert bad.returncode != 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_accepts_the_raw_signature_and_refuses_a_changed_message(tmp_path: Path, issuer: Signer) -> None:
    (tmp_path / "issuer.pem").write_text(issuer.pem)
    (tmp_path / "manifest.json").write_bytes(b'{"bundle":"x"}')
    (tmp_path / "manifest.sig").write_bytes(issuer.sign(b'{"bundle":"x"}'))
    command = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "issuer.pem"]
    command += ["-in", "manifest.json", "-sigfile", "manifest.sig"]
    good = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert good.returncode == 0, good.stderr
    (tmp_path / "manifest.json").write_bytes(b'{"bundle":"y"}')
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0

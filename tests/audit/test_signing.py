"""Keys, envelopes and SSH signatures: what holds, what is refused, and that openssl and ssh-keygen agree."""

from __future__ import annotations

import base64
import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from audit import dsse, sshsig
from audit.signing import KeyFileError, KeyLineError, PublicKey, Signer, issuer_name, parse_key_line

ORIGIN = "pressmark/01890a5d-ac96-774b-bcce-b302099a8057/1"


@pytest.fixture
def log() -> Signer:
    return Signer.from_seed(ORIGIN, bytes([1]) * 32)


@pytest.fixture
def issuer() -> Signer:
    return Signer.from_seed(issuer_name(ORIGIN), bytes([2]) * 32)


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


def test_a_key_file_without_name_or_with_another_kind_of_key_or_no_file_at_all_is_refused(tmp_path: Path) -> None:
    Signer.generate(ORIGIN).save(tmp_path / "good.key")
    pem = (tmp_path / "good.key").read_bytes().split(b"\n", 1)[1]
    other = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    cases = {"no Pressmark key file": pem, "no Ed25519 key": b"pressmark-key a\n" + other}
    cases["no key name"] = b"pressmark-key a b\n" + pem
    for hint, data in cases.items():
        path = tmp_path / "bad.key"
        path.write_bytes(data)
        path.chmod(0o600)
        with pytest.raises(KeyFileError, match=hint):
            Signer.load(path)
    with pytest.raises(KeyFileError, match="no regular file"):
        Signer.load(Path("/dev/null"))
    with pytest.raises(KeyLineError, match="32 bytes"):
        PublicKey("a", bytes(31))


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
    assert not sshsig.verify_armored(text.replace("BEGIN", "BEGUN"), b"manifest", issuer.public)
    assert not sshsig.verify_armored(text.replace("U1NI", "!!!!"), b"manifest", issuer.public)
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

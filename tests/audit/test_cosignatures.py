"""Cosignatures: the bytes are those of C2SP tlog-cosignature, and whatever is not exactly one good one by the key is refused."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import notes
from audit.signing import KeyLineError, Signer
from audit.witnessing.cosignatures import CosignerKey, cosign, cosigner_of, open_cosignature, parse_cosigner_line
from tests.audit.witnessing import ORIGIN, Log

SECONDS = 1_679_315_147
WITNESS = Signer.from_seed("witness.example.com/w1", b"\x07" * 32)
KEY = cosigner_of(WITNESS)
NOTE = Log().grow(3).note()
BODY = notes.parse_note(NOTE).text


def with_lines(*lines: str) -> bytes:
    return NOTE + "".join(f"{line}\n" for line in lines).encode()


def test_the_bytes_of_a_cosignature_are_those_of_the_specification() -> None:
    line = cosign(WITNESS, WITNESS.name, BODY, SECONDS)
    dash, name, encoded = line.split(" ")
    data = base64.b64decode(encoded)
    key_id = hashlib.sha256(b"witness.example.com/w1\n\x04" + WITNESS.public.raw).digest()[:4]
    assert (dash, name, data[:4], data[4:12]) == ("\u2014", WITNESS.name, key_id, SECONDS.to_bytes(8, "big"))
    assert WITNESS.public.verifies(b"cosignature/v1\ntime 1679315147\n" + BODY.encode(), data[12:])
    assert BODY.startswith(ORIGIN)


def test_a_bare_private_key_cosigns_the_same() -> None:
    bare = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
    assert cosign(bare, WITNESS.name, BODY, SECONDS) == cosign(WITNESS, WITNESS.name, BODY, SECONDS)


def test_a_cosigned_note_is_still_the_ledgers_checkpoint_and_tells_when_it_was_cosigned() -> None:
    both = with_lines(cosign(WITNESS, WITNESS.name, BODY, SECONDS))
    assert open_cosignature(both, KEY) == SECONDS
    assert notes.open_checkpoint(both, Log().signer.public).size == 3


def test_what_is_not_exactly_one_good_cosignature_by_the_key_is_refused() -> None:
    good = cosign(WITNESS, WITNESS.name, BODY, SECONDS)
    elsewhere = cosign(WITNESS, WITNESS.name, BODY.replace("\n3\n", "\n4\n"), SECONDS)
    data = base64.b64decode(good.rsplit(" ", 1)[1])
    another_time = data[:4] + (SECONDS + 1).to_bytes(8, "big") + data[12:]
    for lines, reason in (
        ((), "0 cosignatures"),
        ((good, good), "2 cosignatures"),
        ((elsewhere,), "does not hold"),
        ((_line(another_time),), "does not hold"),
        ((_line(data[:-1]),), "has 72 bytes"),
        ((_line(data[:4] + bytes(8) + data[12:]),), "names no time"),
        ((_line(data[:4] + b"\xff" * 8 + data[12:]),), "names no time"),
        ((cosign(Signer.from_seed(WITNESS.name, b"\x08" * 32), WITNESS.name, BODY, SECONDS),), "0 cosignatures"),
    ):
        with pytest.raises(notes.NoteError, match=reason):
            open_cosignature(with_lines(*lines), KEY)


@pytest.mark.parametrize("seconds", [0, -1, 2**63])
def test_a_time_that_is_none_is_not_signed(seconds: int) -> None:
    with pytest.raises(notes.NoteError, match="no time"):
        cosign(WITNESS, WITNESS.name, BODY, seconds)


def test_a_key_line_is_read_back_and_a_changed_one_is_refused() -> None:
    assert parse_cosigner_line(KEY.key_line) == KEY
    name, key_id, data = KEY.key_line.split("+", 2)
    for line in (
        WITNESS.key_line,  # the key of a log: 0x01
        f"{name}x+{key_id}+{data}",
        f"{name}+00000000+{data}",
        f"{name}+{key_id}+{data[:-1]}",
        f"{name}+{key_id}",
        f"+{key_id}+{data}",
        KEY.key_line + "\n",
        "",
    ):
        with pytest.raises(KeyLineError):
            parse_cosigner_line(line)
    with pytest.raises(KeyLineError, match="32 bytes"):
        CosignerKey("a", bytes(31))


def _line(data: bytes) -> str:
    return f"\u2014 {WITNESS.name} {base64.b64encode(data).decode()}"

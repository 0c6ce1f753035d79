"""Signed notes: checkpoints, receipts, keys notes and proofs; what is read, what is refused, what is never signed."""

from __future__ import annotations

import base64

import pytest

from audit import merkle, notes
from audit.notes import NoteError
from audit.signing import PublicKey, Signer, issuer_name

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


@pytest.mark.parametrize("text", ["", "\n", "no newline", "a\tb\n", "a\r\n", "a\n\0\n", "x" * 1024 * 1024 + "\n"])
def test_nothing_is_signed_that_a_reader_would_refuse(log: Signer, text: str) -> None:
    with pytest.raises(NoteError):
        notes.sign_note(text, log)
    with pytest.raises(NoteError):
        notes.sign_note("a\n", *[log] * 65)


@pytest.mark.parametrize("text", ["a\n", "\n\n", "\na\n", "\u00e9\u2014 x y\n"])
def test_whatever_is_signed_can_be_read(log: Signer, text: str) -> None:
    note = notes.parse_note(notes.sign_note(text, *[log] * 64))
    assert (note.text, len(note.signatures)) == (text, 64)


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
        b"a" * 1024 * 1024 + "\n\n\u2014 n AAAAAAA=\n".encode(),
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


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("receipt/1", "receipt/2"),
        (f"\n{ORIGIN}\n", "\npressmark/other/1\n"),
        ("\n3\n2\n", "\n3\n"),
        ("\n3\n2\n", "\n3\n0\n"),
        (AT, "today"),
    ],
)
def test_a_receipt_of_another_form_or_log_is_refused_although_signed(issuer: Signer, old: str, new: str) -> None:
    text = notes.Receipt(ORIGIN, 3, 2, ROOT, AT).body()
    assert old in text
    with pytest.raises(NoteError):
        notes.open_receipt(notes.sign_note(text.replace(old, new), issuer), issuer.public)


def test_what_would_break_the_lines_of_a_note_is_not_signed(issuer: Signer) -> None:
    for receipt in (notes.Receipt("a\nb", 0, 1, ROOT, AT), notes.Receipt(ORIGIN, 0, 1, ROOT[1:], AT)):
        with pytest.raises(NoteError):
            receipt.body()


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


@pytest.mark.parametrize(
    ("old", "new"),
    [("keys/1", "keys/2"), ("\nlog ", "\n"), ("\nissuer ", "\n"), ("/issuer+", "/issuer-"), ("\n0\n", "\n00\n")],
)
def test_a_keys_note_of_another_form_is_refused(log: Signer, issuer: Signer, old: str, new: str) -> None:
    text = notes.KeysNote(ORIGIN, 0, log.public, issuer.public).body()
    assert old in text
    with pytest.raises(NoteError):
        notes.open_keys(notes.sign_note(text.replace(old, new), log, issuer))


def test_a_proof_file_with_more_hashes_than_any_tree_needs_is_refused(log: Signer) -> None:
    checkpoint = notes.sign_checkpoint(log, 5, ROOT)
    notes.parse_tlog_proof(notes.TlogProof(3, (ROOT,) * 63, checkpoint).text())
    with pytest.raises(NoteError, match="64 hashes"):
        notes.parse_tlog_proof(notes.TlogProof(3, (ROOT,) * 64, checkpoint).text())
    with pytest.raises(NoteError, match="not ASCII"):
        notes.parse_tlog_proof(b"\xff\n\n" + checkpoint)
    with pytest.raises(NoteError, match="no index line"):
        notes.parse_tlog_proof(b"c2sp.org/tlog-proof@v1\n\n" + checkpoint)


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

"""What the two verifiers once answered differently, or docs/bundle-format.md left open: one rule, one example, one answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit import dsse, offline_verify
from registry.digests import canonical, sha256
from tests.audit import bundle_builder as builder
from tests.audit import stories
from tests.audit.both import agreed, opinions_on
from tests.audit.bundle_builder import STATEMENT, Story
from tests.audit.second_verifier import bundle_log
from tests.audit.test_second_verifier import write
from tests.audit.verdicts import edit, edit_entry

ENVELOPE = "statements/run-1.dsse.json"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
Files = dict[str, bytes]


def exit_of(story: Story, files: Files | None = None, **outside: Any) -> int:
    """What both say of a bundle that its issuer sealed so."""
    outside.setdefault("keys", [story.ledger.log.key_line])
    outside.setdefault("checkpoint", story.ledger.checkpoint(story.size))
    return agreed(*opinions_on(builder.sealed(story, files), **outside)).exit_code


def spelled_otherwise(text: str) -> str:
    """Base64 of the same bytes with other bits where the last character has some to spare."""
    body = text.rstrip("=")
    assert len(body) < len(text), "there are no bits to spare"
    return body[:-1] + ALPHABET[ALPHABET.index(body[-1]) + 1] + text[len(body) :]


def test_a_proof_from_another_root_than_the_bundles_is_a_no() -> None:
    story = builder.tell()
    newest = story.ledger.checkpoint()
    proof = story.ledger.consistency(story.size)
    assert exit_of(story, checkpoint=newest, proof=proof) == 0
    false = edit(proof, lambda value: value["proofs"][0].update(old_root="sha256:" + "0" * 64))
    assert exit_of(story, checkpoint=newest, proof=false) == 1


def test_of_a_proof_file_that_is_used_every_proof_must_hold_and_of_another_none() -> None:
    story = builder.tell()
    older = story.early_size + 1
    proof = story.ledger.consistency(3, older, size=story.size)
    false = edit(proof, lambda value: value["proofs"][0]["path"].pop())
    assert exit_of(story, checkpoint=story.ledger.checkpoint(older), proof=proof) == 0
    assert exit_of(story, checkpoint=story.ledger.checkpoint(older), proof=false) == 1
    assert exit_of(story, checkpoint=story.ledger.checkpoint(story.early_size), proof=false) == 0
    assert exit_of(story, proof=false) == 0


def test_a_path_of_more_than_64_hashes_in_a_proof_file_is_a_wrong_call() -> None:
    story = builder.tell()
    proof = story.ledger.consistency(story.size)
    long = edit(proof, lambda value: value["proofs"][0].update(path=["0" * 64] * 65))
    assert exit_of(story, checkpoint=story.ledger.checkpoint(), proof=long) == 2


def test_a_receipt_that_was_completed_later_holds_with_a_proof_and_is_open_without(tmp_path: Path) -> None:
    story = builder.tell()
    ledger = story.ledger
    left_out = next(at for at in sorted(ledger.receipts) if at not in story.positions)
    write(tmp_path, builder.completed(ledger, left_out))
    for receipt in (tmp_path, (tmp_path / f"proofs/{left_out}.tlog-proof").read_bytes()):
        assert exit_of(story, receipts=[receipt]) == 3
        assert exit_of(story, receipts=[receipt], proof=ledger.consistency(story.size)) == 0
        false = edit(ledger.consistency(story.size), lambda value: value["proofs"][0]["path"].pop())
        assert exit_of(story, receipts=[receipt], proof=false) == 1


def test_a_receipt_in_another_spelling_of_base64_is_a_wrong_call() -> None:
    story = builder.tell()
    note = next(note for note in story.ledger.receipts.values() if len(note) % 3)  # its base64 has bits to spare
    header = base64.b64encode(note).decode()
    assert exit_of(story, receipts=[f" {header}\n".encode()]) in (0, 3)
    assert exit_of(story, receipts=[spelled_otherwise(header).encode()]) == 2


def test_an_entry_of_a_given_folder_that_is_none_is_a_wrong_call(tmp_path: Path) -> None:
    story = builder.tell()
    write(tmp_path, builder.completed(story.ledger, 0))
    assert exit_of(story, receipts=[tmp_path]) == 0
    (tmp_path / "entries/0.json").write_bytes(b"{}")
    assert exit_of(story, receipts=[tmp_path]) == 2


def other_signature(envelope: Any) -> None:
    envelope["signatures"].append({"sig": "AAAA"})


def no_object(envelope: Any) -> None:
    envelope["signatures"].append("AAAA")


def respelled(envelope: Any) -> None:
    envelope["signatures"][0]["sig"] = spelled_otherwise(envelope["signatures"][0]["sig"])


@pytest.mark.parametrize(("change", "expected"), [(other_signature, 0), (no_object, 1), (respelled, 1)])
def test_signatures_beside_the_issuers_are_not_judged_but_must_be_objects(
    change: Callable[[Any], None], expected: int
) -> None:
    story = builder.tell()
    files = builder.content(story)
    envelope = json.loads(files[ENVELOPE])
    change(envelope)
    assert exit_of(story, files | {ENVELOPE: json.dumps(envelope).encode()}) == expected


def test_an_envelope_is_utf_8_and_a_payload_holds_no_number_that_json_does_not_have() -> None:
    story = builder.tell()
    files = builder.content(story)
    wide = files[ENVELOPE].decode().encode("utf-16")
    assert exit_of(story, files | {ENVELOPE: wide}) == 1
    for predicate, expected in ((b"1.5", 0), (b"NaN", 1)):
        payload = STATEMENT.replace(b'"predicate":{}', b'"predicate":{"x":%b}' % predicate)
        assert payload != STATEMENT
        signed = dsse.sign_envelope(story.ledger.issuer, payload)
        assert exit_of(story, files | {ENVELOPE: signed}) == expected


def test_a_scope_that_is_said_to_be_purged_is_a_no() -> None:
    story = builder.tell()
    files = builder.content(story)
    digest = sha256(canonical(story.scope))
    size = len(files.pop(f"documents/{digest[7:]}"))
    row = {"digest": digest, "name": "scope", "reason": "purged", "size_bytes": size}
    files["not_included.json"] = canonical({"documents": [row], "type": "pressmark/not_included/1"})
    assert exit_of(story, files) == 1


def test_only_a_keys_note_with_a_number_needs_an_era() -> None:
    story = builder.tell()
    files = builder.content(story)
    note = story.ledger.eras[0].note
    for name, expected in {"keys-x": 0, "keys-07": 0, "keys-7": 1}.items():
        assert exit_of(story, files | {f"keys/{name}.note": note}) == expected


def test_a_checkpoint_whose_origin_is_of_another_form_is_of_another_log() -> None:
    story = builder.tell()
    for origin in ("elsewhere.example/log", "pressmark/elsewhere/1", f"{builder.ORIGIN}x"):
        signer = builder.log_signer(5, origin)
        text = story.ledger.checkpoint(story.size).split(b"\n\n")[0].decode().replace(builder.ORIGIN, origin) + "\n"
        note = f"{text}\n{_signed(signer, text)}".encode()
        assert exit_of(story, keys=[story.ledger.log.key_line, signer.key_line], checkpoint=note) == 1


def _signed(signer: Any, text: str) -> str:
    key_id = bytes.fromhex(signer.key_line.split("+")[1])
    return f"\u2014 {signer.name} {base64.b64encode(key_id + signer.sign(text.encode())).decode()}\n"


@pytest.mark.parametrize(("deep", "expected"), [(11, 0), (12, 1)])
def test_objects_and_lists_stand_at_most_16_deep(deep: int, expected: int) -> None:
    """A row is the fifth, so eleven lists may stand in it; what is in the innermost does not count."""
    story = builder.tell()
    value: Any = 1
    for _ in range(deep):
        value = [value]
    at = next(at for at in story.positions if b'"catalog.version/1"' in story.ledger.entries[at])
    data = json.loads(story.ledger.entries[at])
    data["event"]["records"][0]["row"]["nested"] = value
    story.ledger.entries[at] = json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
    assert exit_of(story) == expected


def test_what_was_agreed_may_be_known_where_the_old_size_is_not() -> None:
    """And a column that the row lacks counts as null."""
    story, at = _reopened()
    edit_entry(story, at, lambda entry: _row_of(entry).update(old_size=None, old_origin=None, old_root=None))
    assert exit_of(story) == 0
    edit_entry(story, at, _forget)
    assert exit_of(story) == 0
    edit_entry(story, at, lambda entry: _row_of(entry).update(agreed_size=at + 1))
    assert exit_of(story) == 1


def _forget(entry: Any) -> None:
    for name in ("old_size", "old_origin", "old_root"):
        del _row_of(entry)[name]


def _reopened() -> tuple[Story, int]:
    story = stories.reopened()[0]
    return story, story.ledger.eras[-1].first


def _row_of(entry: Any) -> Any:
    return entry["event"]["records"][0]["row"]


def test_a_file_holds_at_most_8000_proofs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held at ten, so that it takes no time."""
    assert offline_verify.PROOFS_LIMIT == bundle_log.MAX_PROOFS_IN_FILE == 8_000
    monkeypatch.setattr(offline_verify, "PROOFS_LIMIT", 10)
    monkeypatch.setattr(bundle_log, "MAX_PROOFS_IN_FILE", 10)
    story = builder.tell()
    for held, expected in ((10, 0), (11, 1)):
        assert len(story.positions) > held
        monkeypatch.setattr(builder, "PROOFS_PER_FILE", held)
        assert exit_of(story) == expected

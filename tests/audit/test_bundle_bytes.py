"""Attacks on the bytes of a bundle: by a stranger without keys, and by a forger who seals again with keys of their own."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from audit import dsse, notes, offline_verify
from audit.offline_verify import FILES, KEY, SIGNATURE, STREAMS
from registry.digests import canonical, hex_of, parse_canonical, sha256
from tests.audit import bundle_builder as builder
from tests.audit.bundle_builder import Story
from tests.audit.verdicts import assert_no, judge, results

Files = dict[str, bytes]


@pytest.fixture
def story() -> Story:
    return builder.tell()


# --- a stranger changes bytes

PATHS = sorted(builder.sealed(builder.tell()))


@pytest.mark.parametrize("path", PATHS)
def test_one_changed_byte_in_any_file_is_caught_and_the_file_named(story: Story, path: str) -> None:
    files = builder.sealed(story)
    middle = len(files[path]) // 2
    files[path] = files[path][:middle] + bytes([files[path][middle] ^ 1]) + files[path][middle + 1 :]
    verdict = judge(files)
    assert verdict.exit_code == 1
    assert path in " ".join(reason for answer in verdict.answers.values() for reason in answer.reasons)
    if path not in offline_verify.UNSEALED_FILES:
        assert_no(verdict, FILES, path)
    else:
        assert_no(verdict, SIGNATURE, path)


@pytest.mark.parametrize("path", PATHS)
def test_a_dropped_file_is_caught_and_named(story: Story, path: str) -> None:
    files = builder.sealed(story)
    del files[path]
    assert_no(judge(files), SIGNATURE if path == "manifest.sig" else FILES, path)


def test_any_flipped_bit_of_the_zip_is_caught(story: Story) -> None:
    data = builder.pack(builder.sealed(story))
    chance = random.Random(11)
    ends = [*range(0, 60), *range(len(data) - 120, len(data))]  # headers, directory and end record
    for at in [*chance.sample(ends, 60), *(chance.randrange(len(data)) for _ in range(90))]:
        changed = data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]
        assert judge(changed).exit_code == 1, f"byte {at}"


@pytest.mark.parametrize("keep", [0, 1, 21, 22, 500, 40_000, -1])
def test_a_cut_zip_is_caught(story: Story, keep: int) -> None:
    verdict = judge(builder.pack(builder.sealed(story))[:keep])
    assert_no(verdict, FILES, "cannot be read")
    assert verdict.exit_code == 1


def test_what_is_no_zip_is_a_no_and_not_a_crash() -> None:
    assert_no(judge(b"hello" * 100), FILES, "not a whole zip file")


def test_bytes_before_after_or_between_the_files_are_caught(story: Story) -> None:
    data = builder.pack(builder.sealed(story))
    assert judge(b"\x00" + data).exit_code == 1
    assert judge(data + b"\x00").exit_code == 1
    start = int.from_bytes(data[-6:-2], "little")
    shifted = data[:start] + b"hidden" + data[start:-6] + (start + 6).to_bytes(4, "little") + data[-2:]
    assert_no(judge(shifted), FILES, "belong to no file")


def zipped(files: Files, change: Callable[[zipfile.ZipInfo], None], comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = comment
        for path in sorted(files):
            info = builder.zip_info(path)
            if path == "report.json":
                change(info)
            archive.writestr(info, files[path])
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("compress_type", zipfile.ZIP_DEFLATED),
        ("date_time", (2026, 1, 2, 3, 4, 6)),
        ("extra", b"\x01\x00\x02\x00ab"),
        ("comment", b"c"),
        ("external_attr", 0o100755 << 16),
        ("create_system", 0),
        ("internal_attr", 1),
    ],
)
def test_a_zip_header_of_another_form_is_caught(story: Story, member: str, value: Any) -> None:
    verdict = judge(zipped(builder.sealed(story), lambda info: setattr(info, member, value)))
    assert verdict.answers[FILES].result == "no"
    assert verdict.exit_code == 1
    assert "report.json" in verdict.answers[FILES].reasons[0] or "cannot be read" in verdict.answers[FILES].reasons[0]


def test_a_zip_comment_is_caught(story: Story) -> None:
    assert_no(judge(zipped(builder.sealed(story), lambda info: None, b"hello")), FILES)


def test_files_in_another_order_are_caught(story: Story) -> None:
    files = builder.sealed(story)
    order = sorted(files)
    order[3], order[4] = order[4], order[3]
    assert_no(judge(builder.pack(files, order)), FILES, "not sorted")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_doubled_path_is_caught(story: Story) -> None:
    files = builder.sealed(story)
    assert_no(judge(builder.pack(files, sorted([*files, "report.json"]))), FILES, "report.json", "stands twice")


@pytest.mark.parametrize("path", ["folder/", "../up", "/root", "report.json.", "NUL", "a\\b"])
def test_paths_that_are_not_allowed_are_caught(story: Story, path: str) -> None:
    assert_no(judge(builder.sealed(story) | {path: b""}), FILES, "no allowed path")


def test_paths_that_differ_in_case_only_are_caught(story: Story) -> None:
    files = builder.content(story) | {"Report.json": b"x"}
    assert_no(judge(builder.sealed(story, files)), FILES, "upper and lower case")


def test_an_added_file_is_caught(story: Story) -> None:
    assert_no(judge(builder.sealed(story) | {"report.pdf": b"x"}), FILES, "report.pdf", "not listed")


# --- somebody seals again


def test_a_manifest_sealed_with_another_key_is_caught(story: Story) -> None:
    files = builder.content(story) | {"VERIFY.md": b"All is well.\n"}
    verdict = judge(builder.sealed(story, files, builder.issuer_signer(9)))
    assert_no(verdict, SIGNATURE, "manifest.sig", "manifest.json.sig")
    assert verdict.answers[FILES].result == "yes"


def test_a_forger_with_own_keys_throughout_is_caught_by_the_known_key_and_the_checkpoint() -> None:
    forged = builder.tell(builder.log_signer(8), builder.issuer_signer(9))
    files = builder.sealed(forged)
    verdict = judge(files)
    assert_no(verdict, KEY, "you know")
    assert_no(verdict, STREAMS, "--checkpoint")
    assert results(judge(files, keys=[], checkpoint=None)) == ["yes", "yes", "not checked", "not checked"]


def test_a_forged_issuer_key_beside_the_real_log_key_is_caught(story: Story) -> None:
    forger = builder.issuer_signer(9)
    keys = notes.KeysNote(builder.ORIGIN, 0, story.ledger.log.public, forger.public)
    files = builder.content(story)
    real = next(line for line in files["keys/keys-0.note"].decode().split("\n") if line.startswith("\u2014"))
    body, _, last = notes.sign_keys(keys, forger).decode().rpartition("\n\n")
    files["keys/keys-0.note"] = f"{body}\n\n{real}\n{last}".encode()
    verdict = judge(builder.sealed(story, files, forger), keys=[story.ledger.log.key_line])
    assert_no(verdict, SIGNATURE, "keys/keys-0.note")
    assert_no(verdict, STREAMS, "not the keys note that entry at position 0")
    assert verdict.answers[KEY].result == "not checked"


@pytest.mark.parametrize(
    "path", ["keys/issuer.pem", "keys/log.pem", "keys/allowed_signers", "keys/log.key", "keys/issuer.key"]
)
def test_a_key_file_that_leads_foreign_tools_to_another_key_is_caught(story: Story, path: str) -> None:
    other = builder.content(builder.tell(builder.log_signer(8), builder.issuer_signer(9)))[path]
    verdict = judge(builder.sealed(story, builder.content(story) | {path: other}))
    assert_no(verdict, SIGNATURE, path)
    assert verdict.answers[FILES].result == "yes"


def test_a_statement_signed_by_another_key_is_caught(story: Story) -> None:
    path = "statements/run-1.dsse.json"
    files = builder.content(story) | {path: dsse.sign_envelope(builder.issuer_signer(9), builder.STATEMENT)}
    assert_no(judge(builder.sealed(story, files)), SIGNATURE, path)
    files[path] = files[path].replace(b"payload", b"Payload")
    assert_no(judge(builder.sealed(story, files)), SIGNATURE, path, "not a DSSE envelope")


def test_a_manifest_that_is_not_canonical_is_caught_although_signed(story: Story) -> None:
    files = builder.sealed(story)
    data = json.dumps(json.loads(files["manifest.json"]), sort_keys=True).encode()
    signed = {"manifest.json": data, "manifest.sig": story.ledger.issuer.sign(data)}
    assert_no(judge(files | signed), FILES, "manifest.json", "canonical")


@pytest.mark.parametrize(
    ("member", "value"),
    [("origin", "pressmark/other/1"), ("tree_size", 27), ("root", "sha256:" + "0" * 64)],
)
def test_a_manifest_that_speaks_of_another_tree_is_caught(story: Story, member: str, value: Any) -> None:
    files = builder.content(story)
    manifest = builder.manifest_of(story, files) | {member: value}
    assert_no(judge(builder.seal(files, manifest, story.ledger.issuer)), STREAMS, "manifest.json")


@pytest.mark.parametrize("change", [{"extra": 1}, {"type": "pressmark/bundle/2"}, {"bundle": "x"}, {"tree_size": 0}])
def test_a_manifest_of_another_shape_is_caught(story: Story, change: dict[str, Any]) -> None:
    files = builder.content(story)
    manifest = builder.manifest_of(story, files) | change
    assert_no(judge(builder.seal(files, manifest, story.ledger.issuer)), FILES, "manifest.json")


@pytest.mark.parametrize("path", sorted(set(offline_verify.REQUIRED_FILES) - set(offline_verify.UNSEALED_FILES)))
def test_a_file_that_every_bundle_needs_may_not_be_left_out(story: Story, path: str) -> None:
    files = builder.content(story)
    del files[path]
    assert_no(judge(builder.sealed(story, files)), FILES, f"{path}: the file is missing")


def test_a_keys_note_that_only_one_key_signed_vouches_for_nothing(story: Story) -> None:
    keys = notes.KeysNote(builder.ORIGIN, 0, story.ledger.log.public, story.ledger.issuer.public)
    files = builder.content(story) | {"keys/keys-0.note": notes.sign_keys(keys, story.ledger.log)}
    verdict = judge(builder.sealed(story, files))
    assert_no(verdict, SIGNATURE, "keys/keys-0.note: 0 signatures")
    assert verdict.answers[KEY].result == "not checked"


def sealed_with_rows(story: Story, change: Callable[[list[dict[str, Any]]], None]) -> Files:
    files = builder.content(story)
    manifest = builder.manifest_of(story, files)
    change(manifest["files"])
    return builder.seal(files, manifest, story.ledger.issuer)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda rows: rows.reverse(), "ascending"),
        (lambda rows: rows.append(rows[-1]), "stands twice"),
        (lambda rows: rows[0].update(size_bytes=1), "the manifest says 1"),
        (lambda rows: rows[0].update(digest="sha256:" + "0" * 64), "another SHA-256"),
        (lambda rows: rows[0].update(path="A"), "A: listed in the manifest, but missing"),
        (lambda rows: rows.pop(), "not listed"),
    ],
)
def test_a_manifest_that_does_not_list_what_is_there_is_caught(
    story: Story, change: Callable[[list[dict[str, Any]]], None], hint: str
) -> None:
    assert_no(judge(sealed_with_rows(story, change)), FILES, hint)


def test_a_manifest_may_not_list_its_own_signature(story: Story) -> None:
    files = builder.content(story) | {"manifest.sig": b"x"}
    verdict = judge(builder.sealed(story, files))
    assert_no(verdict, FILES, "manifest.sig: the manifest must not list it")


# --- nonsense in the right places

STRANGE: list[Any] = [None, True, -1, 2**53 - 1, "", "x", "\u00e9", [], [[]], {}, {"a": {}}]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) inside a JSON value."""
    pairs = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [found for key, item in pairs for found in [(value, key), *places(item)]]


@pytest.mark.parametrize(
    "path", ["manifest.json", "scope", "log/proofs.json", "log/consistency.json", "texts.json", "entry"]
)
def test_nonsense_anywhere_in_the_json_gets_a_verdict_and_never_a_crash(story: Story, path: str) -> None:
    chance = random.Random(path)
    for _ in range(25):
        files = builder.sealed(builder.tell())
        name = {"scope": "documents/" + hex_of(sha256(canonical(story.scope))), "entry": "log/entries.jsonl"}.get(
            path, path
        )
        lines = files[name].split(b"\n")
        at = chance.randrange(len(lines) - 1) if path == "entry" else 0
        value: Any = parse_canonical(lines[at])
        container, key = chance.choice(places(value))
        before, container[key] = container[key], chance.choice(STRANGE)
        lines[at] = canonical(value)
        files[name] = b"\n".join(lines)
        if path != "manifest.json":
            files = {name: data for name, data in files.items() if name not in offline_verify.UNSEALED_FILES}
            files = builder.sealed(story, files)
        assert before == container[key] or judge(files).exit_code == 1

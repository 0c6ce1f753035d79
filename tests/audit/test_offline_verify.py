"""The verifier's four answers about a whole bundle, what is known from outside, and its command line.

Attacks on bundles are in test_bundle_bytes.py and test_bundle_log.py.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from audit import merkle, notes, offline_verify
from audit.offline_verify import KEY, SIGNATURE, STREAMS, WrongCall
from audit.signing import Signer
from registry.digests import canonical, parse_canonical
from tests.audit import bundle_builder as builder
from tests.audit.bundle_builder import Story
from tests.audit.verdicts import assert_no, edit, judge, results, rewritten, unit_of


@pytest.fixture
def story() -> Story:
    return builder.tell()


# --- a whole bundle


def test_a_whole_bundle_with_key_and_checkpoint_from_outside_gets_four_yes(story: Story) -> None:
    verdict = judge(builder.sealed(story))
    assert results(verdict) == ["yes"] * 4, offline_verify.show(verdict)
    assert verdict.exit_code == 0
    assert not verdict.notes
    assert verdict.scope == story.scope
    assert f"speaks of stream {builder.MODEL} up to number 12" in offline_verify.show(verdict)
    assert (verdict.bundle, verdict.origin, verdict.tree_size) == (builder.BUNDLE, builder.ORIGIN, story.size)


def test_the_same_bundle_has_the_same_bytes_twice() -> None:
    assert builder.pack(builder.sealed(builder.tell())) == builder.pack(builder.sealed(builder.tell()))


def test_without_anything_from_outside_nothing_is_shown_green(story: Story) -> None:
    verdict = judge(builder.sealed(story), keys=[], checkpoint=None)
    assert results(verdict) == ["yes", "yes", "not checked", "not checked"]
    assert verdict.exit_code == 3


def test_the_log_key_alone_makes_the_issuer_key_known(story: Story) -> None:
    assert judge(builder.sealed(story), keys=[story.ledger.log.key_line]).exit_code == 0


def test_a_key_ring_with_keys_of_other_instances_is_fine_while_the_right_one_is_in_it(story: Story) -> None:
    other = Signer.from_seed("pressmark/other/1", bytes(32)).key_line
    assert judge(builder.sealed(story), keys=[other, story.ledger.issuer.key_line]).exit_code == 0
    assert_no(judge(builder.sealed(story), keys=[other]), KEY, "none of the keys")


def test_a_known_key_of_the_same_name_with_other_bytes_is_a_no_unless_another_fits(story: Story) -> None:
    other = builder.issuer_signer(8).key_line  # the issuer's next key, or a forger's: by itself nobody can tell
    assert_no(judge(builder.sealed(story), keys=[other]), KEY, "none of the keys", other.split("+")[1])
    assert judge(builder.sealed(story), keys=[story.ledger.log.key_line, other]).exit_code == 0


def test_an_older_checkpoint_is_reached_by_the_proofs_inside(story: Story) -> None:
    for size in (story.early_size, story.scope["size"]):
        assert judge(builder.sealed(story), checkpoint=story.ledger.checkpoint(size)).exit_code == 0


def test_an_older_checkpoint_without_a_proof_inside_is_not_checked_until_a_proof_file_is_given(story: Story) -> None:
    checkpoint = story.ledger.checkpoint(story.early_size + 1)
    verdict = judge(builder.sealed(story), checkpoint=checkpoint)
    assert (verdict.answers[STREAMS].result, verdict.exit_code) == ("not checked", 3)
    proof = story.ledger.consistency(story.early_size + 1, size=story.size)
    assert judge(builder.sealed(story), checkpoint=checkpoint, proof=proof).exit_code == 0


def test_a_newer_checkpoint_needs_a_proof_file(story: Story) -> None:
    checkpoint = story.ledger.checkpoint()
    verdict = judge(builder.sealed(story), checkpoint=checkpoint)
    assert (verdict.answers[STREAMS].result, verdict.exit_code) == ("not checked", 3)
    assert "--proof" in verdict.answers[STREAMS].reasons[0]
    proof = story.ledger.consistency(story.size)
    assert judge(builder.sealed(story), checkpoint=checkpoint, proof=proof).exit_code == 0
    wrong = story.ledger.consistency(story.size - 1)
    assert judge(builder.sealed(story), checkpoint=checkpoint, proof=wrong).exit_code == 3


def test_checkpoints_may_carry_the_signatures_of_witnesses(story: Story) -> None:
    files = builder.content(story)
    files["log/checkpoint"] += "\u2014 witness.example AAAAAAAA\n".encode()
    assert judge(builder.sealed(story, files), checkpoint=files["log/checkpoint"]).exit_code == 0


def test_a_document_may_be_named_as_not_included(story: Story) -> None:
    files = builder.content(story)
    digest = next(d for d, data in story.ledger.documents.items() if b"pressmark/test/1" in data)
    data = files.pop("documents/" + digest[7:])
    row = {"digest": digest, "name": "version", "reason": "purged", "size_bytes": len(data)}
    files["not_included.json"] = canonical({"documents": [row], "type": "pressmark/not_included/1"})
    verdict = judge(builder.sealed(story, files))
    assert verdict.exit_code == 0
    assert verdict.notes == ["1 documents are named as not included: purged"]


def test_another_verifier_inside_is_told_and_does_not_change_the_answers(story: Story) -> None:
    verdict = judge(builder.sealed(story, builder.content(story) | {"verify.py": b"print('all is well')\n"}))
    assert verdict.exit_code == 0
    assert "not this verifier" in verdict.notes[0]


def test_proofs_may_go_on_in_further_files(story: Story) -> None:
    files = builder.content(story)
    whole: Any = parse_canonical(files["log/proofs.json"])
    files["log/proofs.json"] = canonical(whole | {"proofs": whole["proofs"][:7]})
    assert_no(judge(builder.sealed(story, files)), STREAMS, "21 entries, but 7 proofs")
    files["log/proofs-2.json"] = canonical(whole | {"proofs": whole["proofs"][7:]})
    assert judge(builder.sealed(story, files)).exit_code == 0


# --- another history


def test_a_rewritten_log_is_whole_in_itself_and_caught_by_any_checkpoint_from_outside(story: Story) -> None:
    files = builder.sealed(rewritten())
    assert results(judge(files, checkpoint=None)) == ["yes", "yes", "yes", "not checked"]
    for size in (story.early_size, story.scope["size"], story.size):
        assert_no(judge(files, checkpoint=story.ledger.checkpoint(size)), STREAMS, f"another root at size {size}")
    proof = story.ledger.consistency(story.size)
    assert_no(judge(files, checkpoint=story.ledger.checkpoint(), proof=proof), STREAMS, "does not continue")


@pytest.mark.parametrize("signer", [builder.log_signer(8), Signer.from_seed("pressmark/other/1", bytes(32))])
def test_a_checkpoint_of_another_log_is_a_no(story: Story, signer: Any) -> None:
    checkpoint = notes.sign_checkpoint(signer, story.size, merkle.root(story.ledger.leaves()[: story.size]))
    assert_no(judge(builder.sealed(story), checkpoint=checkpoint), STREAMS, "--checkpoint")


def test_a_checkpoint_inside_that_the_log_key_did_not_sign_is_caught(story: Story) -> None:
    files = builder.content(story)
    root = merkle.root(story.ledger.leaves()[: story.size])
    files["log/checkpoint"] = notes.sign_checkpoint(builder.log_signer(8), story.size, root)
    assert_no(judge(builder.sealed(story, files)), SIGNATURE, "log/checkpoint")


def test_a_consistency_proof_that_does_not_hold_is_caught(story: Story) -> None:
    files = builder.content(story)
    path = "log/consistency.json"
    files[path] = edit(files[path], lambda value: value["proofs"][0]["path"].pop())
    assert_no(judge(builder.sealed(story, files)), STREAMS, path, f"size {story.early_size}")


def test_the_consistency_proof_from_the_scopes_size_may_not_be_missing(story: Story) -> None:
    files = builder.content(story)
    files["log/consistency.json"] = story.ledger.consistency(story.early_size, size=story.size)
    assert_no(judge(builder.sealed(story, files)), STREAMS, f"scope's size {story.scope['size']}")


def test_the_first_line_of_a_checkpoint_names_its_log_whatever_its_size(story: Story) -> None:
    body = notes.parse_note(story.ledger.checkpoint()).text
    note = notes.sign_note(body, story.ledger.issuer, story.ledger.log)
    assert_no(
        judge(builder.sealed(story), checkpoint=note), STREAMS, "the first signature must be the log key's, named"
    )


# --- receipts


def test_receipts_of_entries_in_the_bundle_hold_in_each_form(story: Story) -> None:
    receipt = story.receipts[2]
    leaves = story.ledger.leaves()
    first = notes.parse_receipt_body(notes.parse_note(receipt).text).first
    proof = notes.TlogProof(first, tuple(merkle.inclusion_path(leaves.__getitem__, first, len(leaves))), b"", receipt)
    forms = [receipt, notes.receipt_header(receipt).encode(), proof.text() + story.ledger.checkpoint()]
    assert judge(builder.sealed(story), receipts=forms).exit_code == 0


def test_a_receipt_of_a_unit_of_two_holds(story: Story) -> None:
    first = unit_of(story) - 1
    entry: Any = parse_canonical(story.ledger.entries[first])
    root = merkle.root(story.ledger.leaves()[first : first + 2])
    receipt = notes.sign_receipt(story.ledger.issuer, first, 2, root, entry["at"])
    assert judge(builder.sealed(story), receipts=[receipt]).exit_code == 0


def test_a_receipt_that_contradicts_the_bundle_is_a_no(story: Story) -> None:
    verdict = judge(builder.sealed(rewritten()), checkpoint=None, receipts=story.receipts[:1])
    assert_no(verdict, STREAMS, "--receipt 1", "other entries stand at position 1")


def test_a_receipt_that_the_issuer_did_not_sign_is_a_no(story: Story) -> None:
    receipt = builder.tell(builder.log_signer(), builder.issuer_signer(9)).receipts[0]
    assert_no(judge(builder.sealed(story), receipts=[receipt]), STREAMS, "--receipt 1")


def test_a_receipt_of_an_entry_outside_the_bundle_is_not_checked_unless_its_proof_meets_the_bundle(
    story: Story,
) -> None:
    leaves = story.ledger.leaves()
    entry: Any = parse_canonical(story.ledger.entries[2])
    assert entry["stream"] == builder.OTHER
    receipt = notes.sign_receipt(story.ledger.issuer, 2, 1, leaves[2], entry["at"])
    assert judge(builder.sealed(story), receipts=[receipt]).exit_code == 3
    path = tuple(merkle.inclusion_path(leaves.__getitem__, 2, story.size))
    good = notes.TlogProof(2, path, story.ledger.checkpoint(story.size), receipt)
    assert judge(builder.sealed(story), receipts=[good.text()]).exit_code == 0
    bad = notes.TlogProof(2, (bytes(32), *path[1:]), story.ledger.checkpoint(story.size), receipt)
    assert_no(judge(builder.sealed(story), receipts=[bad.text()]), STREAMS, "its proof does not hold")


def test_a_receipt_of_another_log_or_another_time_is_a_no(story: Story) -> None:
    leaf = story.ledger.leaves()[1]
    entry: Any = parse_canonical(story.ledger.entries[1])
    other = notes.sign_receipt(Signer.from_seed("pressmark/other/1/issuer", bytes(32)), 1, 1, leaf, entry["at"])
    assert_no(judge(builder.sealed(story), receipts=[other]), STREAMS, "--receipt 1: it is of pressmark/other/1")
    late = notes.sign_receipt(story.ledger.issuer, 1, 1, leaf, "2026-01-02T09:00:00.000000Z")
    assert_no(judge(builder.sealed(story), receipts=[late]), STREAMS, "--receipt 1: position 1 has another time")


def test_the_proof_of_a_receipt_must_lead_to_the_log_of_the_bundle(story: Story) -> None:
    leaves, size = story.ledger.leaves(), story.size
    entry: Any = parse_canonical(story.ledger.entries[2])
    receipt = notes.sign_receipt(story.ledger.issuer, 2, 1, leaves[2], entry["at"])
    path = tuple(merkle.inclusion_path(leaves.__getitem__, 2, size))
    unsigned = notes.sign_checkpoint(builder.log_signer(8), size, merkle.root(leaves[:size]))
    proof = notes.TlogProof(2, path, unsigned, receipt)
    assert_no(judge(builder.sealed(story), receipts=[proof.text()]), STREAMS, "--receipt 1", "signatures by")
    real = notes.TlogProof(2, path, story.ledger.checkpoint(size), receipt).text()
    verdict = judge(builder.sealed(rewritten()), checkpoint=None, receipts=[real])
    assert_no(verdict, STREAMS, f"--receipt 1: another root at size {size}")


def test_a_receipt_of_two_entries_outside_the_bundle_is_not_checked_by_a_proof_for_one(story: Story) -> None:
    leaves, size = story.ledger.leaves(), story.size
    root = merkle.root(leaves[size - 2 : size])
    receipt = notes.sign_receipt(story.ledger.issuer, size - 2, 2, root, "2026-01-02T09:00:00.000000Z")
    path = tuple(merkle.inclusion_path(leaves.__getitem__, size - 2, size))
    proof = notes.TlogProof(size - 2, path, story.ledger.checkpoint(size), receipt)
    verdict = judge(builder.sealed(story), receipts=[proof.text()])
    assert (verdict.answers[STREAMS].result, verdict.exit_code) == ("not checked", 3)


# --- the wrong call, and the command line


@pytest.mark.parametrize(
    "outside",
    [
        {"keys": ["nonsense"]},
        {"checkpoint": b"nonsense"},
        {"checkpoint": builder.tell().receipts[0]},
        {"proof": b"{}"},
        {"receipts": [b"nonsense"]},
        {"receipts": [builder.tell().ledger.checkpoint()]},
    ],
)
def test_what_the_caller_hands_in_must_be_readable_or_nothing_is_judged(story: Story, outside: dict[str, Any]) -> None:
    with pytest.raises(WrongCall):
        judge(builder.sealed(story), **outside)


def test_a_bundle_that_is_not_there_is_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(WrongCall, match="no such file"):
        offline_verify.verify_bundle(tmp_path / "none.zip")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The file alone, in an empty folder, without site packages or environment."""
    script = folder / "verify.py"
    script.write_bytes(Path(offline_verify.__file__).read_bytes())
    command = [sys.executable, "-I", "-S", "-W", "error", str(script), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={})


def test_the_file_runs_alone_and_exits_with_0_1_2_and_3(story: Story, tmp_path: Path) -> None:
    data = builder.pack(builder.sealed(story))
    (tmp_path / "good.zip").write_bytes(data)
    (tmp_path / "bad.zip").write_bytes(data.replace(b"no certification", b"a certification."))
    (tmp_path / "issuer.key").write_text(f"# kept by the auditor\n\n{story.ledger.issuer.key_line}\n")
    (tmp_path / "checkpoint").write_bytes(story.ledger.checkpoint())
    (tmp_path / "proof").write_bytes(story.ledger.consistency(story.size))
    (tmp_path / "receipt").write_text(notes.receipt_header(story.receipts[0]) + "\n")
    known = ["--key", "issuer.key", "--checkpoint", "checkpoint", "--proof", "proof", "--receipt", "receipt"]
    good = run(tmp_path, "good.zip", *known, "--json")
    assert good.returncode == 0, good.stdout + good.stderr
    assert [answer["result"] for answer in json.loads(good.stdout)["answers"]] == ["yes"] * 4
    assert json.loads(good.stdout)["exit_code"] == 0
    bad = run(tmp_path, "bad.zip", *known)
    assert bad.returncode == 1
    assert "report.json: the bytes are not those of the manifest" in bad.stdout
    alone = run(tmp_path, "good.zip")
    assert alone.returncode == 3
    assert alone.stdout.count("not checked") >= 2
    assert run(tmp_path, "good.zip", "--key", story.ledger.log.key_line, *known[2:6]).returncode == 0
    for wrong in (["none.zip"], ["good.zip", "--key", "none"], ["good.zip", "--what"], []):
        assert run(tmp_path, *wrong).returncode == 2


def test_the_file_imports_the_standard_library_only_and_nothing_that_talks() -> None:
    tree = ast.parse(Path(offline_verify.__file__).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    roots = {name.split(".")[0] for name in names}
    assert roots <= set(sys.stdlib_module_names)
    assert not roots & {"socket", "ssl", "http", "urllib", "subprocess", "os", "ctypes", "pickle", "importlib"}


def test_what_a_bundle_says_cannot_steer_the_terminal(story: Story) -> None:
    files = builder.content(story)
    manifest = builder.manifest_of(story, files) | {"origin": "pressmark/\x1b[2J/1"}
    shown = offline_verify.show(judge(builder.seal(files, manifest, story.ledger.issuer)))
    assert "\x1b" not in shown
    assert "\\x1b[2J" in shown

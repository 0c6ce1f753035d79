"""What a witness on another host adds: its cosignature on the bundle's checkpoint is knowledge from outside."""

from __future__ import annotations

import base64

import pytest

from audit import notes, offline_verify
from audit.offline_verify import SIGNATURE, STREAMS, WrongCall
from tests.audit import bundle_builder as builder
from tests.audit import stories
from tests.audit.bundle_builder import Story, Witness
from tests.audit.verdicts import assert_no, assert_open, judge_story, results

W1, W2 = Witness(), Witness("witness.example/w2", 0x71)


@pytest.fixture
def story() -> Story:
    return stories.witnessed()


def test_a_witness_makes_a_checkpoint_from_outside_unnecessary(story: Story) -> None:
    verdict = judge_story(story, checkpoint=None, witnesses=[W1.key_line])
    assert results(verdict) == ["yes"] * 4
    assert verdict.as_dict()["witnesses"] == [{"name": W1.name, "time": "2026-01-02T03:04:05Z"}]
    assert f"the witness {W1.name} cosigned at 2026-01-02T03:04:05Z" in offline_verify.show(verdict)
    assert judge_story(story, checkpoint=None, witnesses=[W1.key_line, W2.key_line]).exit_code == 0


def test_a_witness_that_nobody_asked_about_vouches_for_nothing(story: Story) -> None:
    assert_open(judge_story(story, checkpoint=None), STREAMS, "no witness")


def test_a_witness_that_did_not_cosign_is_told_though_a_checkpoint_fits(story: Story) -> None:
    story.witnesses = [W1]
    assert_open(judge_story(story, witnesses=[W1.key_line, W2.key_line]), STREAMS, W2.name)
    stranger = Witness(W1.name, 0x72)  # the name alone is nothing: the key id is another
    assert_open(judge_story(story, checkpoint=None, witnesses=[stranger.key_line]), STREAMS, "no cosignature")


@pytest.mark.parametrize("where", ["log/checkpoint", "--checkpoint"])
def test_a_false_cosignature_is_a_no_wherever_it_stands(story: Story, where: str) -> None:
    story.witnesses = []
    real = story.ledger.checkpoint(story.size)
    false = W1.cosign(real, body=real.split(b"\n\n")[0].replace(b"\n29\n", b"\n30\n") + b"\n")
    files = builder.content(story) | ({"log/checkpoint": false} if where == "log/checkpoint" else {})
    outside = false if where == "--checkpoint" else real
    verdict = judge_story(story, files, checkpoint=outside, witnesses=[W1.key_line])
    assert_no(verdict, STREAMS, where, "cosignature by the witness", "does not hold")


def test_a_cosignature_is_bound_to_its_time_and_its_length(story: Story) -> None:
    lines = builder.content(story)["log/checkpoint"].decode().splitlines(keepends=True)
    name, data = lines[-2].split(" ")[1:]
    raw = bytearray(base64.b64decode(data))
    for change in (raw[:11] + bytes([raw[11] ^ 1]) + raw[12:], raw[:-1], raw + b"\0"):
        lines[-2] = f"\u2014 {name} {base64.b64encode(change).decode()}\n"
        files = builder.content(story) | {"log/checkpoint": "".join(lines).encode()}
        assert_no(judge_story(story, files, witnesses=[W1.key_line]), STREAMS, "does not hold")


def test_two_cosignatures_by_one_witness_must_both_hold(story: Story) -> None:
    story.witnesses = []
    real = story.ledger.checkpoint(story.size)
    twice = W1.cosign(W1.cosign(real), 1_767_323_099)
    files = builder.content(story) | {"log/checkpoint": twice}
    verdict = judge_story(story, files, checkpoint=None, witnesses=[W1.key_line])
    assert (verdict.exit_code, len(verdict.witnesses)) == (0, 2)
    files["log/checkpoint"] = W1.cosign(W1.cosign(real), body=b"another text\n")
    assert_no(judge_story(story, files, witnesses=[W1.key_line]), STREAMS, "does not hold")


def test_a_cosignature_on_the_checkpoint_from_outside_does_not_spare_the_proof(story: Story) -> None:
    story.witnesses = []
    newer = W1.cosign(story.ledger.checkpoint())
    asked = {"checkpoint": newer, "witnesses": [W1.key_line]}
    assert_open(judge_story(story, **asked), STREAMS, "--proof")
    assert judge_story(story, **asked, proof=story.ledger.consistency(story.size)).exit_code == 0


def test_a_witness_does_not_make_good_a_checkpoint_that_cannot_be_compared(story: Story) -> None:
    verdict = judge_story(story, checkpoint=story.ledger.checkpoint(), witnesses=[W1.key_line])
    assert_open(verdict, STREAMS, "--proof")


def test_a_witness_cannot_sign_for_the_log(story: Story) -> None:
    story.witnesses = []
    root = story.ledger.root(story.size)
    alone = notes.sign_checkpoint(builder.log_signer(9), story.size, root)
    files = builder.content(story) | {"log/checkpoint": W1.cosign(alone)}
    assert_no(judge_story(story, files, witnesses=[W1.key_line]), SIGNATURE, "log/checkpoint")


def test_a_rewritten_log_has_no_cosignature_of_the_witness_that_saw_the_real_one(story: Story) -> None:
    forked = builder.tell(acts={5: lambda ledger: ledger.fork(len(ledger.entries))})
    real = builder.content(story)["log/checkpoint"].decode().splitlines(keepends=True)
    assert forked.ledger.root(forked.size) != story.ledger.root(story.size)
    files = builder.content(forked)
    files["log/checkpoint"] += "".join(line for line in real if W1.name in line).encode()
    assert_no(judge_story(forked, files, checkpoint=None, witnesses=[W1.key_line]), STREAMS, "does not hold")


def test_a_time_that_is_none_is_told_as_seconds() -> None:
    story = builder.tell()
    real = story.ledger.checkpoint(story.size)
    files = builder.content(story) | {"log/checkpoint": W1.cosign(real, 2**64 - 1)}
    verdict = judge_story(story, files, witnesses=[W1.key_line])
    assert verdict.exit_code == 0
    assert verdict.witnesses[0][1] == f"{2**64 - 1} seconds since 1970"


def test_key_lines_of_the_log_and_of_witnesses_are_not_taken_for_each_other(story: Story) -> None:
    with pytest.raises(WrongCall, match="a witness's key line, where a log or issuer key line"):
        judge_story(story, keys=[W1.key_line])
    with pytest.raises(WrongCall, match="a log or issuer key line, where a witness's key line"):
        judge_story(story, witnesses=[story.ledger.log.key_line])
    with pytest.raises(WrongCall):
        judge_story(story, witnesses=["nonsense"])

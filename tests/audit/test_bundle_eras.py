"""Bundles of ledgers whose keys changed, or that were lost and reopened: whose signature counts, and which key leads to which."""

from __future__ import annotations

import pytest

from audit import notes, offline_verify
from audit.offline_verify import FILES, KEY, SIGNATURE, STREAMS
from registry.digests import sha256
from tests.audit import bundle_builder as builder
from tests.audit import stories
from tests.audit.bundle_builder import MODEL
from tests.audit.stories import resigned
from tests.audit.verdicts import assert_no, assert_open, edit_entry, judge, judge_story, results


@pytest.mark.parametrize("kind", sorted(stories.KINDS))
def test_a_clean_bundle_of_every_kind_gets_four_yes(kind: str) -> None:
    verdict = judge_story(stories.KINDS[kind]())
    assert results(verdict) == ["yes"] * 4, offline_verify.show(verdict)


# --- rotations


def test_after_rotations_each_key_that_there_ever_was_leads_to_the_last_one() -> None:
    story = stories.rotated()
    assert len(story.ledger.eras) == 4
    for era in story.ledger.eras:
        for signer in (era.log, era.issuer):
            assert judge_story(story, keys=[signer.key_line]).exit_code == 0


def test_the_eras_are_told() -> None:
    verdict = judge_story(stories.rotated()).as_dict()
    assert [era["kind"] for era in verdict["eras"]] == ["ledger.created", *["key.rotated"] * 3]
    assert [era["first"] for era in verdict["eras"]] == [era.first for era in stories.rotated().ledger.eras]


def test_an_older_checkpoint_is_judged_by_the_key_of_its_time() -> None:
    story = stories.rotated()
    for size in range(1, story.size):
        checkpoint = story.ledger.checkpoint(size)
        proof = story.ledger.consistency(size, size=story.size)
        assert judge_story(story, checkpoint=checkpoint, proof=proof).exit_code == 0, size


def test_a_checkpoint_signed_by_the_key_of_another_time_is_a_no() -> None:
    story = stories.rotated()
    first, second = story.ledger.eras[0].log, story.ledger.eras[1].log
    turn = story.ledger.eras[1].first
    for size, signer in ((turn, second), (turn + 1, first), (story.size, first), (story.size + 2, second)):
        note = notes.sign_checkpoint(signer, size, story.ledger.root(size))
        assert_no(judge_story(story, checkpoint=note), STREAMS, "--checkpoint")


def test_a_newer_checkpoint_by_a_key_that_came_later_needs_that_key() -> None:
    story = stories.rotated()
    story.ledger.rotate()
    story.ledger.act((MODEL, "version.registered", [], []))
    known = [story.ledger.eras[0].issuer.key_line]
    newer, proof = story.ledger.checkpoint(), story.ledger.consistency(story.size)
    assert_open(judge_story(story, keys=known, checkpoint=newer, proof=proof), STREAMS, "give it with --key")
    late = [*known, story.ledger.log.key_line]
    assert judge_story(story, keys=late, checkpoint=newer, proof=proof).exit_code == 0
    assert_open(judge_story(story, keys=late, checkpoint=newer), STREAMS, "--proof")
    forged = notes.sign_checkpoint(story.ledger.log, len(story.ledger.entries), bytes(32))
    assert_no(judge_story(story, keys=late, checkpoint=forged, proof=proof), STREAMS, "--proof")


def test_only_a_later_key_from_outside_makes_no_key_of_the_bundle_known() -> None:
    story = stories.rotated()
    files = builder.sealed(story)
    story.ledger.rotate()
    verdict = judge(files, keys=[story.ledger.log.key_line], checkpoint=None)
    assert_no(verdict, KEY, "none of the keys")


def test_receipts_of_every_era_hold() -> None:
    story = stories.rotated(subject="instance")
    whole = set(story.positions)
    receipts = [note for first, note in story.ledger.receipts.items() if first in whole]
    assert len(receipts) > 15
    assert judge_story(story, receipts=receipts).exit_code == 0


def test_a_receipt_by_the_key_of_another_era_is_a_no() -> None:
    story = stories.rotated()
    leaf = story.ledger.leaves()[1]
    late = notes.sign_receipt(story.ledger.eras[1].issuer, 1, 1, leaf, "2026-01-02T03:00:02.000000Z")
    assert_no(judge_story(story, receipts=[late]), STREAMS, "--receipt 1: 0 signatures")
    past = notes.sign_receipt(story.ledger.eras[0].issuer, story.size + 1, 1, leaf, "2026-01-02T03:00:02.000000Z")
    assert_no(judge_story(story, receipts=[past]), STREAMS, "--receipt 1", "replaced before")


def test_a_receipt_newer_than_the_bundle_is_not_checked_whoever_signed_it() -> None:
    story = stories.rotated()
    files = builder.sealed(story)
    receipts = {"same key": story.ledger.act((MODEL, "run.requested", [], []))}
    story.ledger.rotate()
    receipts["later key"] = story.ledger.act((MODEL, "run.requested", [], []))
    for receipt in receipts.values():
        for keys in (
            [story.ledger.eras[0].log.key_line],
            [story.ledger.eras[0].log.key_line, story.ledger.issuer.key_line],
        ):
            checkpoint = story.ledger.checkpoint(story.size)
            assert_open(judge(files, keys=keys, checkpoint=checkpoint, receipts=[receipt]), STREAMS, "--receipt 1")


def test_a_tlog_proof_of_an_older_era_holds() -> None:
    story = stories.rotated()
    at = next(at for at in range(story.scope["size"]) if builder.in_stream(story.ledger, at, builder.OTHER))
    receipt = story.ledger.receipts[at]
    assert_open(judge_story(story, receipts=[receipt]), STREAMS, "not all here")
    assert judge_story(story, receipts=[story.ledger.proof(at, 9, receipt)]).exit_code == 0
    assert judge_story(story, receipts=[story.ledger.proof(at, story.size, receipt)]).exit_code == 0
    assert_open(judge_story(story, receipts=[story.ledger.proof(at, 10, receipt)]), STREAMS, "not all here")


@pytest.mark.parametrize("who", [[2, 3], [0, 2, 3], [1, 2, 3], [0, 1, 2], [0, 1, 3]])
def test_a_rotation_is_signed_by_both_keys_before_and_both_new_ones(who: list[int]) -> None:
    story = stories.rotated()
    before, after = story.ledger.eras[1:3]
    signers = [before.log, before.issuer, after.log, after.issuer]
    assert judge_story(resigned(story, 2, *signers)).exit_code == 0
    verdict = judge_story(resigned(story, 2, *(signers[number] for number in who)))
    assert_no(verdict, SIGNATURE, f"keys/keys-{after.first}.note")
    assert verdict.answers[KEY].result == "not checked"


def test_the_keys_note_of_a_rotation_says_its_own_position() -> None:
    story = stories.rotated()
    before, after = story.ledger.eras[1:3]
    resigned(story, 2, before.log, before.issuer, after.log, after.issuer, first=after.first + 1)
    assert_no(judge_story(story), SIGNATURE, f"keys/keys-{after.first}.note: its first position is {after.first + 1}")


def test_a_rotation_goes_on_under_the_same_origin() -> None:
    story, _ = stories.reopened()
    edit_entry(story, story.ledger.eras[1].first, lambda entry: entry["event"].update(kind="key.rotated"))
    assert_no(judge_story(story), SIGNATURE, "key.rotated goes from")
    other = stories.rotated()
    edit_entry(other, other.ledger.eras[1].first, lambda entry: entry["event"].update(kind="ledger.reopened"))
    assert_no(judge_story(other), SIGNATURE, "ledger.reopened goes from")


def test_a_ledger_is_created_once() -> None:
    story = stories.rotated()
    edit_entry(story, story.ledger.eras[1].first, lambda entry: entry["event"].update(kind="ledger.created"))
    assert_no(judge_story(story), STREAMS, "a ledger is created once")


def test_a_rotation_left_out_with_its_keys_note_leaves_the_bundle_signed_by_a_stranger() -> None:
    story = stories.rotated()
    last = story.ledger.eras[-1].first
    story.positions.remove(last)
    files = builder.content(story)
    del files[f"keys/keys-{last}.note"]
    assert_no(judge_story(story, files), SIGNATURE, "manifest.sig", "keys/log.key", "log/checkpoint")


def test_a_rotation_in_the_middle_left_out_breaks_the_chain() -> None:
    story = stories.rotated()
    middle = story.ledger.eras[1].first
    story.positions.remove(middle)
    files = builder.content(story)
    del files[f"keys/keys-{middle}.note"]
    assert_no(judge_story(story, files), SIGNATURE, f"keys/keys-{story.ledger.eras[2].first}.note", "both keys before")


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_the_keys_note_of_every_era_is_needed(number: int) -> None:
    story = stories.rotated()
    files = builder.content(story)
    path = f"keys/keys-{story.ledger.eras[number].first}.note"
    del files[path]
    assert_no(judge_story(story, files), SIGNATURE, path)


def test_a_keys_note_without_an_era_is_caught() -> None:
    story = stories.rotated()
    files = builder.content(story) | {"keys/keys-7.note": story.ledger.eras[1].note}
    assert_no(judge_story(story, files), SIGNATURE, "keys/keys-7.note: no entry")


def test_the_entry_seals_the_very_bytes_of_the_keys_note() -> None:
    story = stories.rotated()
    era = story.ledger.eras[1]
    files = builder.content(story)
    path = f"keys/keys-{era.first}.note"
    files[path] += "\u2014 x AAAAAAA=\n".encode()
    assert_no(judge_story(story, files), STREAMS, path, "seals")


@pytest.mark.parametrize("refs", [[], [0, 0]])
def test_an_era_names_its_keys_once(refs: list[int]) -> None:
    story = stories.rotated()
    era = story.ledger.eras[1]
    named = [builder.ref("keys", story.ledger.eras[1].note) for _ in refs]
    edit_entry(story, era.first, lambda entry: entry["event"].update(refs=named))
    assert_no(judge_story(story), STREAMS, f"keys/keys-{era.first}.note")


def test_keys_of_an_earlier_era_sign_nothing_of_a_later_bundle() -> None:
    story = stories.rotated()
    files = builder.content(story)
    sealed = builder.seal(files, builder.manifest_of(story, files), story.ledger.eras[-2].issuer)
    checkpoint = story.ledger.checkpoint(story.size)
    verdict = judge(sealed, keys=[story.ledger.issuer.key_line], checkpoint=checkpoint)
    assert_no(verdict, SIGNATURE, "manifest.sig", "manifest.json.sig")


# --- revocations


def test_after_a_revocation_only_keys_after_it_are_known() -> None:
    story = stories.revoked()
    kinds = ["created", "rotated", "revoked", "rotated"]
    for kind, era in zip(kinds, story.ledger.eras, strict=True):
        verdict = judge_story(story, keys=[era.log.key_line])
        if kind in ("created", "rotated") and era.first < story.ledger.eras[2].first:
            assert_open(verdict, KEY, f"key.revoked at position {story.ledger.eras[2].first}", "from outside")
        else:
            assert verdict.exit_code == 0
    assert judge_story(story, keys=[era.log.key_line for era in story.ledger.eras]).exit_code == 0


def test_a_revocation_is_told() -> None:
    story = stories.revoked()
    assert f"the keys before position {story.ledger.eras[2].first} were revoked" in judge_story(story).notes


def test_a_revocation_that_the_stolen_keys_signed_too_vouches_for_nothing() -> None:
    story = stories.revoked()
    before, after = story.ledger.eras[1:3]
    resigned(story, 2, before.log, before.issuer, after.log, after.issuer)
    assert_open(judge_story(story, keys=[before.log.key_line]), KEY, "key.revoked")
    assert judge_story(story).exit_code == 0


def test_a_thief_with_revoked_keys_cannot_sign_what_comes_after_the_revocation() -> None:
    story = stories.revoked()
    thief = story.ledger.eras[1]
    note = notes.sign_checkpoint(thief.log, story.size, bytes(32))
    assert_no(judge_story(story, checkpoint=note), STREAMS, "--checkpoint")
    newer = notes.sign_checkpoint(thief.log, story.size + 50, bytes(32))
    assert_no(judge_story(story, checkpoint=newer, keys=[thief.log.key_line]), STREAMS, "replaced before")


def test_documents_of_keys_are_documents_like_all_others() -> None:
    story = stories.rotated()
    files = builder.content(story)
    del files["documents/" + sha256(story.ledger.eras[1].note)[7:]]
    assert_no(judge_story(story, files), FILES, "refers to it as keys")

"""Bundles of ledgers that were lost and restored, or copied: what is continued, what was lost, and whose signature counts where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audit import merkle, notes
from audit.offline_verify import KEY, SIGNATURE, STREAMS
from tests.audit import bundle_builder as builder
from tests.audit import stories
from tests.audit.bundle_builder import MODEL, Ledger, Story
from tests.audit.stories import BACKUP, COPIED, LOST, RESTORED, resigned
from tests.audit.verdicts import assert_no, assert_open, edit_entry, judge, judge_story


def test_a_restored_ledger_is_known_by_its_old_keys_and_a_copy_is_not() -> None:
    for origin in (RESTORED, COPIED):
        story, lost = stories.reopened(origin)
        verdict = judge_story(story, keys=[lost.issuer.key_line])
        if origin == RESTORED:
            assert verdict.exit_code == 0
        else:
            assert_open(verdict, KEY, "ledger.reopened at position 10", "from outside")
        told = " ".join(verdict.notes)
        assert f"it continues the first {BACKUP} of {LOST} signed entries: entries {BACKUP} to {LOST - 1}" in told
        assert ("lost or replaced" in told) is (story.ledger.origin == RESTORED)
        assert ("of the original alone" in told) is (story.ledger.origin == COPIED)
        assert verdict.origin == origin


def test_a_checkpoint_of_the_old_origin_that_is_continued_holds() -> None:
    for origin in (RESTORED, COPIED):
        story, lost = stories.reopened(origin)
        for size in range(1, BACKUP + 1):
            proof = story.ledger.consistency(size, size=story.size)
            assert judge_story(story, checkpoint=lost.checkpoint(size), proof=proof).exit_code == 0


def test_a_checkpoint_of_the_old_origin_with_another_root_where_it_is_continued_is_a_no() -> None:
    story, lost = stories.reopened()
    proof = story.ledger.consistency(5, size=story.size)
    forged = notes.sign_checkpoint(lost.log, 5, bytes(32))
    assert_no(judge_story(story, checkpoint=forged, proof=proof), STREAMS, "another root at size 5")


def test_a_checkpoint_of_what_was_lost_is_neither_a_no_nor_enough() -> None:
    story, lost = stories.reopened()
    for size in range(BACKUP + 1, LOST + 1):
        verdict = judge_story(story, checkpoint=lost.checkpoint(size))
        assert_open(verdict, STREAMS, "were lost", RESTORED)
        assert "speaks of what was lost" in " ".join(verdict.notes)


def test_a_witness_makes_up_for_a_checkpoint_of_what_was_lost_only_beside_it() -> None:
    story, lost = stories.reopened()
    story.witnesses = [builder.Witness()]
    verdict = judge_story(story, checkpoint=lost.checkpoint(LOST), witnesses=[builder.Witness().key_line])
    assert_open(verdict, STREAMS, "were lost")


def test_who_signed_on_under_the_old_origin_is_caught() -> None:
    story, lost = stories.reopened()
    other = notes.sign_checkpoint(lost.log, LOST, bytes(32))
    assert_no(judge_story(story, checkpoint=other), STREAMS, f"another root at size {LOST}")
    lost.act((MODEL, "version.registered", [], []))
    assert_no(judge_story(story, checkpoint=lost.checkpoint()), STREAMS, f"ended at size {LOST}", "somebody signed 14")


def test_a_checkpoint_of_the_new_origin_from_before_it_began_is_a_no() -> None:
    story, _ = stories.reopened()
    first = story.ledger.eras[1].first
    for size in (3, first):
        note = notes.sign_checkpoint(story.ledger.log, size, story.ledger.root(size))
        assert_no(judge_story(story, checkpoint=note), STREAMS, f"which began at position {first} only")
    assert judge_story(story, checkpoint=story.ledger.checkpoint(first + 1)).exit_code == 3
    proof = story.ledger.consistency(first + 1, size=story.size)
    assert judge_story(story, checkpoint=story.ledger.checkpoint(first + 1), proof=proof).exit_code == 0


def test_keys_that_came_and_went_in_what_was_lost_are_not_held_against_the_bundle() -> None:
    reopen = stories.Reopen(RESTORED)
    story = builder.tell(acts={2: lambda ledger: ledger, 3: lambda ledger: reopen(stories.rotate(ledger))})
    assert reopen.lost is not None
    lost = reopen.lost
    assert_open(judge_story(story, checkpoint=lost.checkpoint()), STREAMS, "a key that is not here")
    known = [story.ledger.log.key_line, lost.log.key_line]
    assert_open(judge_story(story, checkpoint=lost.checkpoint(), keys=known), STREAMS, "were lost")


def test_an_epoch_that_was_skipped_was_lost_and_is_no_no() -> None:
    reopen = stories.Reopen(f"pressmark/{builder.INSTANCE}/3")
    story = builder.tell(acts={3: reopen})
    skipped = builder.log_signer(0x55, RESTORED)
    note = notes.sign_checkpoint(skipped, 12, bytes(32))
    assert_open(judge_story(story, checkpoint=note), STREAMS, "a key that is not here")
    known = [story.ledger.log.key_line, skipped.key_line]
    assert_open(judge_story(story, checkpoint=note, keys=known), STREAMS, "were lost")


def test_where_nothing_was_lost_nobody_says_so() -> None:
    story = builder.tell(acts={3: reopened_whole})
    told = " ".join(judge_story(story).notes)
    assert f"it continues all {LOST} entries that were known to be signed under the old origin" in told
    assert "lost" not in told


def reopened_whole(ledger: Ledger) -> Ledger:
    goes_on = ledger.fork(len(ledger.entries))
    goes_on.reopen(RESTORED, old=ledger, agreed_size=len(ledger.entries))
    return goes_on


def later_epoch(story: Story) -> Ledger:
    """The ledger that the bundle is of, reopened once more after the bundle was made, with nothing lost."""
    ledger = story.ledger.fork(len(story.ledger.entries))
    ledger.reopen(f"pressmark/{builder.INSTANCE}/2", old=story.ledger, agreed_size=len(story.ledger.entries))
    ledger.act((MODEL, "version.registered", [], []))
    return ledger


def test_a_checkpoint_of_a_later_epoch_needs_its_key_and_a_proof() -> None:
    story = builder.tell()
    later = later_epoch(story)
    newer, proof = later.checkpoint(), later.consistency(story.size)
    known = [story.ledger.log.key_line, later.log.key_line]
    assert_open(judge_story(story, checkpoint=newer, proof=proof), STREAMS, "give it with --key")
    assert_open(judge_story(story, checkpoint=newer, keys=known), STREAMS, "--proof")
    assert judge_story(story, checkpoint=newer, proof=proof, keys=known).exit_code == 0
    early = notes.sign_checkpoint(later.log, story.size, story.ledger.root(story.size))
    assert_no(judge_story(story, checkpoint=early, keys=known), STREAMS, "no origin of this log")


@pytest.mark.parametrize(
    ("origin", "hint"),
    [
        (f"pressmark/{builder.INSTANCE}/1", "goes from"),
        (f"pressmark/{builder.ELSEWHERE}/1", "the epoch after"),
        (f"pressmark/{builder.INSTANCE}/0", "the epoch after"),
        ("pressmark/elsewhere/2", "the epoch after"),
    ],
)
def test_a_reopened_ledger_has_a_higher_epoch(origin: str, hint: str) -> None:
    story, _ = stories.reopened(origin)
    assert_no(judge_story(story), SIGNATURE, "keys/keys-10.note", hint)


def test_a_restored_ledger_is_signed_for_by_the_keys_before() -> None:
    story, lost = stories.reopened()
    after = story.ledger.eras[1]
    assert judge_story(resigned(story, 1, after.log, after.issuer, lost.log, lost.issuer)).exit_code == 0
    assert_no(judge_story(resigned(story, 1, after.log, after.issuer)), SIGNATURE, "both keys before")


def test_a_copy_that_the_old_keys_signed_too_is_still_another_instance() -> None:
    story, lost = stories.reopened(COPIED)
    after = story.ledger.eras[1]
    resigned(story, 1, after.log, after.issuer, lost.log, lost.issuer)
    assert_open(judge_story(story, keys=[lost.log.key_line]), KEY, "ledger.reopened at position 10")


def change_row(**row: Any) -> Callable[[Any], None]:
    return lambda entry: entry["event"]["records"][0]["row"].update(row)


@pytest.mark.parametrize(
    "change",
    [
        *(change_row(kind="ledger_copied"), change_row(kind="keys_rotated"), change_row(old_origin=RESTORED)),
        *(change_row(agreed_size=11), change_row(agreed_size=-1), change_row(old_size=None), change_row(old_root=None)),
        *(change_row(old_size=8), change_row(old_size="13"), change_row(old_root="x"), change_row(old_origin=None)),
        lambda entry: entry["event"].update(records=[]),
    ],
)
def test_a_reopening_says_what_it_went_on_from(change: Callable[[Any], None]) -> None:
    story, _ = stories.reopened()
    edit_entry(story, story.ledger.eras[1].first, change)
    assert_no(judge_story(story), STREAMS, "entry at position 10")


def test_a_ledger_that_nothing_was_signed_for_may_be_reopened() -> None:
    story, lost = stories.reopened()
    nothing = change_row(agreed_size=None, old_size=None, old_root=None, old_origin=None)
    edit_entry(story, story.ledger.eras[1].first, nothing)
    verdict = judge_story(story)
    assert verdict.exit_code == 0
    assert "how far the old origin was signed, nobody here knows" in " ".join(verdict.notes)
    assert_open(judge_story(story, checkpoint=lost.checkpoint(LOST + 0)), STREAMS, "were lost")


def test_receipts_of_the_old_origin_hold_where_it_is_continued_and_are_told_as_lost_elsewhere() -> None:
    story, lost = stories.reopened(subject="instance")
    for first, receipt in lost.receipts.items():
        verdict = judge_story(story, receipts=[receipt])
        if first < BACKUP:
            assert verdict.exit_code == 0, first
        else:
            assert_open(verdict, STREAMS, "--receipt 1: its entries are not here")
    assert judge_story(story, receipts=[story.ledger.receipts[BACKUP]]).exit_code == 0  # sealed before anybody noticed
    assert judge_story(story, receipts=[story.ledger.receipts[BACKUP + 1]]).exit_code == 0  # the reopening itself


def test_a_receipt_of_the_old_origin_that_contradicts_what_is_continued_is_a_no() -> None:
    story, lost = stories.reopened()
    forged = notes.sign_receipt(lost.issuer, 1, 1, bytes(32), "2026-01-02T03:00:02.000000Z")
    assert_no(judge_story(story, receipts=[forged]), STREAMS, "other entries stand at position 1")
    stranger = notes.sign_receipt(builder.issuer_signer(9), 1, 1, bytes(32), "2026-01-02T03:00:02.000000Z")
    assert_no(judge_story(story, receipts=[stranger]), STREAMS, "0 signatures")
    above = notes.sign_receipt(builder.issuer_signer(9), 12, 1, bytes(32), "2026-01-02T03:00:02.000000Z")
    assert_open(judge_story(story, receipts=[above]), STREAMS, "a key that is not here")


def test_the_origin_of_the_manifest_is_that_of_the_last_keys() -> None:
    story, lost = stories.reopened()
    files = builder.content(story)
    manifest = builder.manifest_of(story, files) | {"origin": lost.origin}
    verdict = judge(builder.seal(files, manifest, story.ledger.issuer), checkpoint=None)
    assert_no(verdict, STREAMS, "manifest.json: its origin is not that of the last keys")


def test_a_reopened_ledger_signed_under_the_old_origin_is_a_no() -> None:
    story, lost = stories.reopened()
    files = builder.content(story)
    root = merkle.root(story.ledger.leaves()[: story.size])
    files["log/checkpoint"] = notes.sign_checkpoint(lost.log, story.size, root)
    assert_no(judge_story(story, files), SIGNATURE, "log/checkpoint: it is of the log")

"""Whether a version may run, rule by rule, from plain facts: default no, and every yes names what it rests on and until when."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

import pytest

from registry.release import status
from registry.release.admission import Approved, Asked, Facts, Glass, Serving, Standing, decide

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
ANY, PRODUCTION = Asked(), Asked("production")
POLICY = "sha256:" + "a" * 64


def approved(word: str = status.GRANTED, **changes: Any) -> Approved:
    whole = Approved("approval", word, (), NOW - 100 * HOUR, NOW + 100 * HOUR, None, POLICY)
    return replace(whole, **changes)


def serving(approval: Approved | None = None, **changes: Any) -> Serving:
    return replace(Serving("move", approval, None, None, 72 * HOUR), **changes)


def facts(*standings: Standing, **changes: Any) -> Facts:
    return replace(Facts(NOW, standings), **changes)


def served(approval: Approved | None = None, others: tuple[Approved, ...] = (), **changes: Any) -> Facts:
    own = () if approval is None else (approval,)
    return facts(Standing("production", (*others, *own), serving=serving(approval, **changes)))


def said(found: Facts | None, asked: Asked = PRODUCTION) -> tuple[str, list[str]]:
    answer = decide(found, asked)
    return answer.decision, [reason.code for reason in answer.reasons]


def test_what_is_not_known_is_no() -> None:
    assert said(None) == ("no", ["unknown"])
    assert said(facts()) == ("no", ["not-approved"])
    assert said(facts(Standing("production", ()))) == ("no", ["not-approved"])
    assert said(served(None)) == ("no", ["not-approved"])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"purged": True}, "purged"),
        ({"ended": True}, "ended"),
        ({"recalled": ("A dataset",)}, "quarantined"),
        ({"target_known": False}, "target-unknown"),
    ],
)
def test_what_stops_a_version_stops_it_whatever_was_approved(change: dict[str, Any], code: str) -> None:
    found = served(approved())
    assert said(found) == ("yes", ["served"])
    assert said(replace(found, **change)) == ("no", [code])
    glass = Glass("glass", NOW + HOUR, POLICY)
    assert said(replace(served(None, glass=glass), **change)) == ("no", [code])


@pytest.mark.parametrize("word", [w for w in status.ALL if w != status.GRANTED])
def test_nothing_but_granted_admits_what_no_alias_serves(word: str) -> None:
    assert said(facts(Standing("production", (approved(word),)))) == ("no", [f"approval-{word}"])


@pytest.mark.parametrize(
    "word", sorted({status.REVOKED, status.REJECTED, status.WITHDRAWN, status.REQUESTED, status.RETURNED})
)
def test_what_is_served_under_an_approval_that_was_taken_back_has_no_grace(word: str) -> None:
    assert said(served(approved(word))) == ("no", [f"approval-{word}"])


def test_another_approval_of_the_same_version_and_alias_takes_the_place_of_a_revoked_one() -> None:
    answer = decide(served(approved(status.REVOKED), (approved(id="newer"),)), PRODUCTION)
    assert (answer.decision, answer.approval, answer.assignment) == ("yes", "newer", "move")


def test_the_grace_of_an_expired_approval_runs_from_its_end_to_the_hour() -> None:
    for hours, expected in ((71, "yes"), (72, "no"), (73, "no")):
        found = served(approved(status.EXPIRED, ends_at=NOW - hours * HOUR))
        answer = decide(found, PRODUCTION)
        assert answer.decision == expected
        assert expected == "no" or answer.until == NOW + HOUR


def test_the_grace_of_a_stale_approval_runs_from_when_it_was_found_and_never_begins_again() -> None:
    stale = approved(status.STALE)
    assert decide(served(stale), PRODUCTION).until == NOW + 72 * HOUR
    assert said(served(stale, lapse_known_at=NOW - 71 * HOUR)) == ("yes", ["lapse-grace"])
    assert said(served(stale, lapse_known_at=NOW - 72 * HOUR)) == ("no", ["lapsed"])
    both = approved(status.EXPIRED, ends_at=NOW - HOUR)
    assert said(served(both, lapse_known_at=NOW - 80 * HOUR)) == ("no", ["lapsed"]), "the earlier of the two counts"
    assert said(served(stale, grace=datetime.timedelta(0))) == ("no", ["lapsed"])


def test_broken_glass_admits_until_its_end_and_says_so() -> None:
    answer = decide(served(None, glass=Glass("glass", NOW + HOUR, POLICY)), Asked("production", served=True))
    assert (answer.decision, answer.standing, answer.broken_glass) == ("yes", "broken-glass", "glass")
    assert answer.until == NOW + HOUR
    assert said(served(None, glass=Glass("glass", NOW, POLICY))) == ("no", ["broken-glass-ended"])
    later = facts(Standing("production", (approved(),), serving=serving(glass=Glass("glass", NOW, POLICY))))
    assert said(later) == ("yes", ["served"]), "an approval that was given since admits it"


def test_an_approval_for_one_target_is_for_no_other() -> None:
    found = served(approved(target="search/edge@1"))
    assert said(found) == ("no", ["other-target"])
    assert said(found, Asked("production", "search/phone@1")) == ("no", ["other-target"])
    assert said(found, Asked("production", "search/edge@1")) == ("yes", ["served"])
    lapsed = served(approved(status.EXPIRED, target="search/edge@1", ends_at=NOW - HOUR))
    assert said(lapsed) == ("no", ["other-target"]), "grace widens nothing"
    assert said(served(approved()), Asked("production", "search/edge@1")) == ("yes", ["served"])


def test_an_alias_that_went_back_needs_an_approval_that_was_asked_for_afterwards() -> None:
    old, new = approved(), approved(id="new", requested_at=NOW - HOUR)
    left = NOW - 2 * HOUR
    assert said(facts(Standing("production", (old,), left_at=left))) == ("no", ["rolled-back"])
    assert said(facts(Standing("production", (new, old), left_at=left))) == ("yes", ["approved"])


def test_a_suspended_alias_admits_nothing() -> None:
    assert said(facts(Standing("production", (approved(),), suspended=True))) == ("no", ["suspended"])


def test_an_approval_for_one_alias_is_for_no_other_and_without_one_the_strongest_is_named() -> None:
    staging = Standing("staging", (approved(id="staging"),))
    production = Standing("production", (approved(id="production"),), serving=serving(approved(id="production")))
    assert said(facts(staging)) == ("no", ["not-approved"])
    answer = decide(facts(staging, production), ANY)
    assert (answer.alias, answer.standing, answer.approval) == ("production", "served", "production")
    assert said(facts(staging), Asked(served=True)) == ("no", ["not-served"])
    refused = facts(Standing("production", (approved(status.REVOKED),)), Standing("staging", (), suspended=True))
    assert said(refused, ANY) == ("no", ["approval-revoked", "suspended"])


def test_an_answer_never_outlives_the_approval_and_binds_its_policy() -> None:
    short, long = approved(id="short", ends_at=NOW + HOUR), approved(id="long", ends_at=NOW + 9 * HOUR)
    answer = decide(served(short, (long,)), PRODUCTION)
    assert (answer.approval, answer.until, answer.policy_digest) == ("long", NOW + 9 * HOUR, POLICY)
    assert said(facts(Standing("production", (approved(ends_at=NOW),)))) == ("no", ["approval-expired"])


def test_a_correction_after_the_grant_lets_what_is_served_go_on_as_long_as_a_lapse_and_nothing_else() -> None:
    old = approved(corrected_at=NOW - 71 * HOUR)
    answer = decide(served(old), PRODUCTION)
    assert (answer.decision, answer.standing, answer.until) == ("yes", "lapse-grace", NOW + HOUR)
    assert "corrected after the approval" in answer.reasons[0].text
    assert said(served(approved(corrected_at=NOW - 72 * HOUR))) == ("no", ["corrected-since"])
    assert said(served(old, grace=datetime.timedelta(0))) == ("no", ["corrected-since"])
    assert said(facts(Standing("production", (old,)))) == ("no", ["corrected-since"])
    assert said(served(old, others=(approved(),))) == ("yes", ["served"])
    assert said(served(approved(status.REVOKED, corrected_at=NOW))) == ("no", ["approval-revoked"])
    assert said(served(replace(old, target="search/edge@1"))) == ("no", ["other-target"]), "grace widens nothing"


def test_terms_that_the_policy_forbids_let_what_is_served_go_on_from_when_its_owner_was_told() -> None:
    old = approved(forbidden="commercial use is forbidden.")
    assert decide(served(old), PRODUCTION).until == NOW + 72 * HOUR
    told = decide(served(old, terms_known_at=NOW - 71 * HOUR), PRODUCTION)
    assert (told.decision, told.standing, told.until) == ("yes", "lapse-grace", NOW + HOUR)
    late = served(old, terms_known_at=NOW - 72 * HOUR)
    assert said(late) == ("no", ["terms-forbidden"])
    assert "commercial use is forbidden." in decide(late, PRODUCTION).reasons[0].text
    assert said(facts(Standing("production", (old,)))) == ("no", ["terms-forbidden"])
    unharmed = served(approved(), terms_known_at=NOW - 500 * HOUR)
    assert said(unharmed) == ("yes", ["served"]), "terms that the policy allows stop nothing, looked at or not"


def test_a_lapse_and_a_correction_have_one_grace_from_the_first_of_the_two() -> None:
    both = approved(status.STALE, corrected_at=NOW - 72 * HOUR)
    assert said(served(both, lapse_known_at=NOW - HOUR)) == ("no", ["lapsed"])
    healed = approved(corrected_at=NOW - HOUR)
    assert said(served(healed, lapse_known_at=NOW - 99 * HOUR)) == ("yes", ["lapse-grace"]), "that lapse is over"

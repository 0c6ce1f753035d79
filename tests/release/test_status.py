"""The status of an approval is computed from its decisions and the world; nobody stores it."""

from __future__ import annotations

import datetime
import uuid
from dataclasses import replace
from typing import Any

import pytest

from registry.digests import sha256
from registry.release.status import Act, Binding, Request, Status, completed_at, status

T = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
OMAR, OLGA, CARLA, ADA = uuid.uuid4(), uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
NOW = Binding(sha256(b"version"), sha256(b"evidence"), sha256(b"policy"), "limited", uuid.uuid4())


def ask(*acts: tuple[str, uuid.UUID, int], required: int = 1, now: Binding = NOW, day: int = 10) -> str:
    request = Request(NOW, required, T, T + 100 * DAY)
    return status(request, [Act(kind, by, T + at * DAY) for kind, by, at in acts], now, T + day * DAY).word


def test_without_a_decision_it_is_requested() -> None:
    assert ask() == "requested"


def test_one_grant_of_one_makes_it_granted() -> None:
    assert ask(("granted", OMAR, 1)) == "granted"


def test_two_grants_must_come_from_two_people() -> None:
    assert ask(("granted", OMAR, 1), required=2) == "requested"
    assert ask(("granted", OMAR, 1), ("granted", OMAR, 2), required=2) == "requested"
    assert ask(("granted", OMAR, 1), ("granted", OLGA, 2), required=2) == "granted"


@pytest.mark.parametrize("kind", ["rejected", "withdrawn", "revoked"])
def test_a_final_decision_ends_it_whatever_else_was_said(kind: str) -> None:
    assert ask(("granted", OMAR, 1), (kind, OLGA, 2)) == kind
    assert ask((kind, OLGA, 2), ("granted", OMAR, 3)) == kind


def test_the_first_final_decision_stays() -> None:
    assert ask(("rejected", OLGA, 2), ("revoked", OMAR, 3)) == "rejected"


def test_it_expires_by_itself_granted_or_not() -> None:
    assert ask(("granted", OMAR, 1), day=99) == "granted"
    assert ask(("granted", OMAR, 1), day=100) == "expired"
    assert ask(day=100) == "expired"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"evidence_set_digest": sha256(b"more")}, "evidence"),
        ({"policy_digest": sha256(b"other")}, "policy"),
        ({"policy_digest": None}, "policy"),
        ({"tier": "high"}, "tier"),
        ({"use_case_id": uuid.uuid4()}, "use_case"),
        ({"version_digest": sha256(b"bytes")}, "version"),
    ],
)
def test_it_is_stale_as_soon_as_something_it_was_given_for_changes(change: dict, name: str) -> None:
    world = replace(NOW, **change)
    assert ask(("granted", OMAR, 1), now=world) == "stale"
    assert ask(now=world) == "stale"
    assert ask(("revoked", OMAR, 2), now=world) == "revoked"
    found = status(Request(NOW, 1, T, T + DAY), [], world, T)
    assert found.changes == (name,)
    assert found.reasons[0].endswith(".")


def test_at_an_earlier_moment_later_decisions_do_not_count() -> None:
    acts = ("granted", OMAR, 1), ("revoked", OLGA, 20)
    assert ask(*acts, day=0) == "requested"
    assert ask(*acts, day=10) == "granted"
    assert ask(*acts, day=20) == "revoked"


def test_returned_waits_until_somebody_answers_and_nothing_is_granted_meanwhile() -> None:
    asked = ("granted", OMAR, 1), ("returned", OLGA, 2)
    assert ask(*asked) == "returned"
    assert ask(*asked, ("answered", ADA, 3)) == "granted"
    assert ask(*asked, ("answered", ADA, 3), ("returned", OLGA, 4)) == "returned"
    assert ask(*asked, ("rejected", OLGA, 3)) == "rejected"
    assert ask(*asked, now=replace(NOW, tier="high")) == "stale"
    assert ask(*asked, day=100) == "expired"


def found(*acts: Act, required: int = 2, officers: int = 1, target: uuid.UUID | None = None, day: int = 10) -> Status:
    request = Request(NOW, required, T, T + 100 * DAY, officers, target)
    return status(request, acts, NOW, T + day * DAY)


def grant(by: uuid.UUID, role: str = "approver", day: int = 1, **more: Any) -> Act:
    return Act("granted", by, T + day * DAY, role, **more)


def test_each_role_gives_its_own_grants() -> None:
    omar, olga, carla = grant(OMAR), grant(OLGA), grant(CARLA, "compliance_officer")
    assert (found(omar, olga).word, found(omar, olga).grants) == ("requested", 1)
    assert found(omar, olga).missing == {"compliance_officer": 1}
    assert found(carla).missing == {"approver": 1}
    assert found(omar, carla).word == "granted"
    assert found(omar, carla).missing == {}
    both = grant(OMAR, "compliance_officer", 2)
    assert found(omar, both).word == "requested", "one person under two roles is one person"


def test_a_deputy_and_whom_he_stands_for_are_one_person() -> None:
    own, lent = grant(OMAR), grant(OLGA, on_behalf_of=OMAR, day=2)
    assert found(own, lent, required=2, officers=0).grants == 1
    assert found(lent, grant(OMAR, day=3), required=2, officers=0).word == "requested"
    assert found(lent, grant(OLGA, day=3), required=2, officers=0).word == "requested"
    assert found(lent, grant(ADA, day=3), required=2, officers=0).word == "granted"


def test_it_ends_with_the_earliest_end_that_a_grant_asks_for() -> None:
    limited = grant(OMAR, expires_at=T + 20 * DAY)
    assert found(limited, required=1, officers=0, day=19).ends_at == T + 20 * DAY
    assert found(limited, required=1, officers=0, day=19).word == "granted"
    assert found(limited, required=1, officers=0, day=20).word == "expired"


def test_grants_for_different_targets_allow_nothing_and_say_so() -> None:
    edge, cloud = uuid.uuid4(), uuid.uuid4()
    one = grant(OMAR, target=edge)
    assert found(one, grant(OLGA, day=2), officers=0).target == edge
    torn = found(one, grant(OLGA, day=2, target=cloud), officers=0)
    assert (torn.word, torn.target) == ("requested", None)
    assert "different targets" in torn.reasons[0]
    assert found(one, required=1, officers=0, target=cloud).word == "requested"


def test_it_is_stale_once_its_target_has_ended() -> None:
    edge = uuid.uuid4()
    request = Request(NOW, 1, T, T + 100 * DAY, 0, edge)
    world = replace(NOW, ended_targets=frozenset({edge, uuid.uuid4()}))
    assert status(request, [grant(OMAR)], world, T + DAY).changes == ("target",)
    assert status(replace(request, target=None), [grant(OMAR)], world, T + DAY).word == "granted"


def test_it_was_complete_when_the_last_missing_grant_came() -> None:
    request = Request(NOW, 2, T, T + 100 * DAY, 1)
    acts = [grant(CARLA, "compliance_officer", 5), grant(OLGA, day=2), grant(OMAR, day=1)]
    assert completed_at(request, acts) == T + 5 * DAY
    assert completed_at(request, acts[1:]) is None

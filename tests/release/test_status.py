"""The status of an approval is computed from its decisions and the world; nobody stores it."""

from __future__ import annotations

import datetime
import uuid
from dataclasses import replace

import pytest

from registry.digests import sha256
from registry.release.status import Act, Binding, Request, status

T = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
OMAR, OLGA = uuid.uuid4(), uuid.uuid4()
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


@pytest.mark.parametrize("kind", ["rejected", "returned", "withdrawn", "revoked"])
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

"""Decisions at the same moment, each in a connection of its own: PostgreSQL lets one after the other through, or one of them.

SQLite has one writer at a time, so there is nothing to race there.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections

from audit.models import Entry
from registry.access import services as access
from registry.access import services_deputies as deputies
from registry.errors import Conflict, Forbidden
from registry.release import queries, services
from registry.release.models import Approval, Decision
from tests.world import Cast, World, as_caller

pytestmark = [
    pytest.mark.db_guarantee,
    pytest.mark.skipif("connections['default'].vendor != 'postgresql'"),
    pytest.mark.usefixtures("committed_db"),
]

ROUNDS = 4


@pytest.fixture
def cast() -> Cast:
    return Cast.assemble()


def at_once(*acts: Callable[[], Any]) -> list[Exception | None]:
    """What each act raised; they start together."""
    barrier, raised = threading.Barrier(len(acts)), [None] * len(acts)

    def run(number: int, act: Callable[[], Any]) -> None:
        try:
            barrier.wait(10)
            act()
        except Exception as error:
            raised[number] = error  # type: ignore[call-overload]
        finally:
            connections["default"].close()

    threads = [threading.Thread(target=run, args=(number, act)) for number, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return list(raised)


def word(approval: Approval) -> str:
    return queries.approval_status(queries.approvals_of(approval.version).get(pk=approval.pk))


def positions(kind: str) -> list[int]:
    rows = Entry.objects.order_by("position").values_list("position", "entry")
    return [position for position, entry in rows if json.loads(bytes(entry))["event"]["kind"] == kind]


def test_of_two_approvers_for_the_last_grant_one_gives_it(world: World) -> None:
    version, olga = world.parent_version(), world.second_approver()
    for number in range(ROUNDS):
        approval = world.approval(version, alias=f"alias-{number}")

        def grant(caller: Any, approval: Approval = approval) -> Any:
            return services.grant_approval(actor=caller, approval=approval, reason="Fine.")

        raised = at_once(lambda g=grant: g(world.cast.omar), lambda g=grant: g(olga))
        refused = [error for error in raised if error is not None]
        assert [type(error) for error in refused] == [Conflict], refused
        assert Decision.objects.filter(approval=approval).count() == 1
        assert word(approval) == "granted"


def test_after_a_revocation_no_grant_stands_that_came_later(world: World) -> None:
    world.needing(2)
    version, olga = world.parent_version(), world.second_approver()
    for number in range(ROUNDS):
        approval = world.approval(version, alias=f"alias-{number}")
        services.grant_approval(actor=world.cast.omar, approval=approval, reason="Fine.")
        granted, revoked = at_once(
            lambda a=approval: services.grant_approval(actor=olga, approval=a, reason="Fine."),
            lambda a=approval: services.revoke_approval(actor=world.cast.omar, approval=a, reason="A fault."),
        )
        assert revoked is None
        assert granted is None or isinstance(granted, Conflict)
        assert word(approval) == "revoked"
        kinds = list(Decision.objects.filter(approval=approval).order_by("decided_at").values_list("kind", flat=True))
        assert kinds[-1] == "revoked"
        with pytest.raises(Conflict, match="is revoked"):
            services.promote(
                actor=world.cast.otto, model=version.model, alias=approval.alias,
                approval=queries.approvals_of(version).get(pk=approval.pk),
            )  # fmt: skip


def test_a_role_that_ends_at_the_same_moment_was_used_before_or_not_at_all(world: World) -> None:
    version, outcomes = world.parent_version(), set()
    for number in range(ROUNDS):
        name = f"nina-{number}"
        caller = world.second_approver(name)
        membership = world.cast.people[name].memberships.get()
        approval = world.approval(version, alias=f"alias-{number}")
        granted, ended = at_once(
            lambda c=caller, a=approval: services.grant_approval(actor=c, approval=a, reason="Fine."),
            lambda m=membership: access.end_membership(actor=world.cast.root, membership=m),
        )
        assert ended is None
        outcomes.add(type(granted))
        if granted is None:
            assert positions("approval.granted")[-1] < positions("membership.ended")[-1]
        else:
            assert isinstance(granted, Forbidden | Conflict)
            assert word(approval) == "requested"
    assert outcomes <= {type(None), Forbidden, Conflict}


def test_a_deputyship_that_ends_at_the_same_moment_was_used_before_or_not_at_all(world: World) -> None:
    version = world.parent_version()
    for number in range(ROUNDS):
        row = world.deputy("dora")
        dora = as_caller(world.cast.people["dora"])
        approval = world.approval(version, alias=f"alias-{number}")
        granted, ended = at_once(
            lambda a=approval, d=dora: services.grant_approval(actor=d, approval=a, reason="Fine."),
            lambda r=row: deputies.end_deputyship(actor=world.cast.omar, deputyship=r),
        )
        assert ended is None
        if granted is None:
            assert positions("approval.granted")[-1] < positions("deputyship.ended")[-1]
        else:
            assert isinstance(granted, Forbidden | Conflict)
            assert word(approval) == "requested"


def test_the_deputy_and_the_principal_at_the_same_moment_are_one_grant(world: World) -> None:
    world.needing(2)
    version = world.parent_version()
    world.deputy("dora")
    dora = as_caller(world.cast.people["dora"])
    for number in range(ROUNDS):
        approval = world.approval(version, alias=f"alias-{number}")
        raised = at_once(
            lambda a=approval: services.grant_approval(actor=world.cast.omar, approval=a, reason="Fine."),
            lambda a=approval: services.grant_approval(actor=dora, approval=a, reason="Fine."),
        )
        assert [type(error) for error in raised if error is not None] == [Conflict]
        assert word(approval) == "requested"

"""Acts by which somebody answers with a name are no service account's: whoever holds its token would be two people."""

from __future__ import annotations

import pytest

from registry.access import permissions, services
from registry.access.models import Actor, Role
from registry.access.permissions import PERMISSIONS, PERSONS_ONLY
from registry.errors import Forbidden
from registry.events import Caller
from registry.release import services as release
from registry.release.models import Policy
from tests.world import World


@pytest.fixture
def robot(world: World) -> Actor:
    """A service account with every role of the instance."""
    made = world.cast.service_account()
    for role in set(Role) - {Role.AUDITOR}:
        services.grant_membership(actor=world.cast.root, person=made, role=role, team=None)
    return made


def test_an_administrator_does_not_approve_his_own_policy_through_a_service_account(world: World, robot: Actor) -> None:
    row = release.author_policy(actor=world.cast.root, slug="limited", document=world.policy_document())
    with pytest.raises(Forbidden) as refused:
        release.approve_policy(actor=Caller(actor_id=robot.pk, via="api"), policy=row)
    assert (refused.value.code, Policy.objects.get(pk=row.pk).in_force_at) == ("not-a-person", None)


@pytest.mark.parametrize("action", sorted(PERSONS_ONLY))
def test_no_role_lets_a_service_account_do_what_a_person_answers_for(world: World, robot: Actor, action: str) -> None:
    assert action in PERMISSIONS
    assert not permissions.may(robot.pk, action, None)
    with pytest.raises(Forbidden, match="act of a person"):
        permissions.require(Caller(actor_id=robot.pk, via="api"), action, None)


def test_what_a_service_account_is_for_stays_its_own(world: World, robot: Actor) -> None:
    assert permissions.may(robot.pk, "version.register", world.team.pk)
    assert permissions.may(robot.pk, "alias.promote", world.team.pk)

"""A token of a service account is made by an administrator alone: whoever holds it acts under the account's roles."""

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from registry.access import services as access
from registry.access.models import Actor, Role, Token
from registry.errors import Conflict, Forbidden, Invalid
from tests.world import Cast


@pytest.fixture
def robot(cast: Cast) -> Actor:
    """A service account that may write."""
    return cast.service_account("pipeline", Role.SERVICE_ACCOUNT)


@pytest.mark.parametrize("role", [role for role in Role if role != Role.ADMINISTRATOR])
def test_no_other_role_of_the_whole_instance_makes_a_token_of_a_service_account(
    cast: Cast, robot: Actor, role: str
) -> None:
    end = timezone.now() + datetime.timedelta(days=30)
    access.grant_membership(actor=cast.root, person=cast.people["eve"], role=role, team=None, expires_at=end)
    with pytest.raises(Forbidden, match="Administrator"):
        access.create_token(actor=cast.eve, person=robot)
    assert not Token.objects.exists()


def test_an_administrator_makes_a_token_of_a_service_account(cast: Cast, robot: Actor) -> None:
    token, secret = access.create_token(actor=cast.root, person=robot)
    assert token.actor_id == robot.pk
    assert secret


def test_an_account_that_has_ended_gets_no_token(cast: Cast, robot: Actor) -> None:
    access.end_actor(actor=cast.root, person=robot)
    robot.refresh_from_db()
    with pytest.raises(Conflict, match="ended"):
        access.create_token(actor=cast.root, person=robot)


@pytest.mark.parametrize("name", ["omar\r\nroot", "omar\u200b", "\u202eramo", "omar\x00"])
def test_a_name_that_shows_otherwise_than_it_is_written_is_refused(cast: Cast, name: str) -> None:
    with pytest.raises(Invalid, match="do not show"):
        access.create_actor(actor=cast.root, username=name)
    with pytest.raises(Invalid, match="do not show"):
        access.create_actor(actor=cast.root, username="fine", display_name=name)

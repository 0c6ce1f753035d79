"""The decision table is what the program does: each cell of it is asked, and the acts on approvals are done."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from registry.access import permissions
from registry.access import services as access
from registry.access.models import Actor, Role
from registry.errors import Conflict, Forbidden, Problem
from registry.release import decision_table as table
from registry.release import queries, services
from registry.release.models import Approval
from tests.world import World, as_caller
from tests.worlds.catalog import figure
from tests.worlds.release import DAY

PAGE = Path(__file__).resolve().parents[2] / "docs" / "permissions.md"
EVERY_CELL = bool(os.environ.get("PRESSMARK_TEST_EVERY_CELL"))
"""Also a role that allows nothing in a state that allows nothing: a battery."""
SERVICES: dict[str, Callable[..., Any]] = {
    act.name: getattr(services, act.name.replace("-", "_")) for act in table.ACTS
}


def test_the_page_is_what_the_program_says() -> None:
    assert PAGE.read_text() == table.markdown(), f"docs/permissions.md is stale: {table.__doc__}"


def member(world: World, role: Role, team: Any, where: str) -> Actor:
    """Somebody with this one role there."""
    name = f"{role}-{where}".replace("_", "-")
    machine = role == Role.SERVICE_ACCOUNT
    person = world.cast.service_account(name) if machine else access.create_actor(actor=world.cast.root, username=name)
    expires = timezone.now() + DAY if role == Role.AUDITOR else None
    access.grant_membership(actor=world.cast.root, person=person, role=role, team=team, expires_at=expires)
    return person


def test_every_cell_of_role_and_act_is_what_a_role_that_is_held_allows() -> None:
    cells = [(role, action) for role in Role for action in permissions.PERMISSIONS]
    for role, action in cells:
        for scope in table.SCOPES:
            for thing in table.OBJECTS:
                held = {role} if table.reaches(scope, thing) else set()
                expected = table.allowed(role, action, scope, thing)
                assert (permissions.role_for(held, action) == role) is expected, (role, action, scope, thing)
    assert len(cells) == len(Role) * len(permissions.PERMISSIONS)


def test_every_role_is_held_where_its_membership_counts_and_its_acts_are_asked_and_demanded(world: World) -> None:
    """The acts stand in the test above: here each membership is asked for one that it allows and one that it does not."""
    elsewhere = access.create_team(actor=world.cast.root, slug="elsewhere")
    things = {table.OWN_TEAM: world.team.pk, table.OTHER_TEAM: elsewhere.pk, table.INSTANCE: None}
    for role in Role:
        acts = [
            next(a for a, roles in permissions.PERMISSIONS.items() if (role in roles) is may) for may in (True, False)
        ]
        for scope in table.SCOPES:
            person = member(world, role, world.team if scope == table.IN_TEAM else None, scope.replace(" ", "-"))
            for thing, team_id in things.items():
                held = permissions.roles_of(person.pk, team_id)
                assert held == ({role} if table.reaches(scope, thing) else set())
                for action in acts:
                    expected = table.allowed(role, action, scope, thing)
                    assert permissions.may(person.pk, action, team_id) is expected, (role, action, scope, thing)
                    if expected:
                        assert permissions.require(as_caller(person), action, team_id) == role
                    else:
                        with pytest.raises(Forbidden):
                            permissions.require(as_caller(person), action, team_id)


# --- the acts on approvals ---


def granted(world: World, version: Any, alias: str, **condition: Any) -> Approval:
    approval = world.approval(version, alias, actor=requester(world))
    services.grant_approval(actor=world.cast.omar, approval=approval, reason="Fine.", **condition)
    services.grant_approval(actor=world.cast.carla, approval=approval, reason="Fine.")
    return approval


def requester(world: World) -> Any:
    return as_caller(world.cast.people["engineer-own"])


def approvals_by_state(world: World) -> dict[str, Approval]:
    """One approval in every state of the table."""
    world.needing(2, officers=1)
    version, omar, ask = world.parent_version(), world.cast.omar, requester(world)
    old = world.parent_version(version.model, seed=8)
    made = {
        name: world.approval(version, name, actor=ask) for name in ("requested", "returned", "rejected", "withdrawn")
    }
    services.return_approval(actor=omar, approval=made["returned"], reason="On which rows?")
    services.reject_approval(actor=omar, approval=made["rejected"], reason="No.")
    services.withdraw_approval(actor=ask, approval=made["withdrawn"], reason="Not yet.")
    made["granted"], made["revoked"] = granted(world, version, "granted"), granted(world, version, "revoked")
    services.revoke_approval(actor=omar, approval=made["revoked"], reason="A fault.")
    made["stale, asked"] = world.approval(old, "asked", actor=ask)
    made["stale, granted"] = granted(world, old, "granted")
    world.evidence(old, "size", [figure("size_bytes", "1", "byte")])
    soon = timezone.now() + datetime.timedelta(seconds=1.5)
    made["expired, asked"] = services.request_approval(
        actor=ask, version=version, alias="soon", reason="r", expires_at=soon
    )
    made["expired, granted"] = granted(world, version, "soon-granted", expires_at=soon)
    time.sleep(max(0.0, (soon - timezone.now()).total_seconds()))
    return {name: made[name] for name in table.STATES}


def done(act: Callable[..., Any], person: Actor, approval: Approval) -> Problem | None:
    """Try it for real, and take back what it did."""
    point = transaction.savepoint()
    try:
        act(actor=as_caller(person), approval=approval, reason="Said in the table.")
    except Problem as error:
        return error
    finally:
        transaction.savepoint_rollback(point)
    return None


def test_every_act_on_an_approval_is_accepted_in_the_states_and_for_the_roles_of_the_table(world: World) -> None:
    world.cast.people["engineer-own"] = member(world, Role.ENGINEER, world.team, "own")
    people = {Role.ENGINEER: world.cast.people["engineer-own"]}
    people |= {role: member(world, role, world.team, "own") for role in Role if role != Role.ENGINEER}
    states = approvals_by_state(world)
    assert [queries.approval_status(queries.approvals_of(a.version).get(pk=a.pk)) for a in states.values()] == [
        name.partition(",")[0] for name in states
    ]
    accepted = 0
    for act in table.ACTS:
        opened = next(name for name, state in table.STATES.items() if table.rules.open_for(act.kind, state))
        for role, person in people.items():
            # a role that allows nothing is refused before the state is looked at: the state that would let the act through shows it
            for state in states if EVERY_CELL or role in act.roles else [opened]:
                approval = states[state]
                may = role in act.roles and (act.kind != "withdrawn" or person.pk == approval.requested_by_id)
                expected = may and table.rules.open_for(act.kind, table.STATES[state])
                refused = done(SERVICES[act.name], person, approval)
                assert (refused is None) is expected, (act.name, role, state, refused)
                assert refused is None or isinstance(refused, Forbidden | Conflict)
                accepted += expected
    assert accepted > 20


def test_no_act_on_an_approval_is_for_members_of_another_team_and_all_of_the_instance_have_theirs(world: World) -> None:
    world.cast.people["engineer-own"] = member(world, Role.ENGINEER, world.team, "own")
    world.needing(2, officers=1)
    approval = world.approval(world.parent_version(), actor=requester(world))
    elsewhere = access.create_team(actor=world.cast.root, slug="elsewhere")
    stranger = member(world, Role.ENGINEER, elsewhere, "else")
    for role in set(Role) - {Role.ENGINEER, Role.AUDITOR}:
        access.grant_membership(actor=world.cast.root, person=stranger, role=role, team=elsewhere)
    people = {role: member(world, role, None, "all") for role in Role}
    for act in table.ACTS:
        assert isinstance(done(SERVICES[act.name], stranger, approval), Forbidden), act.name
        for role, person in people.items():
            name = f"{act.name}-{role}"
            refused = done(SERVICES[act.name], person, approval)
            expected = role in act.roles and act.kind in ("granted", "rejected", "returned")
            assert (refused is None) is expected, (name, refused)

"""A finding is accepted, mended, found wanting and closed; each step says how or why, and no later day is given by who is late."""

from __future__ import annotations

import datetime
import json

import pytest
from django.utils import timezone

from audit.models import Entry
from registry.access.models import Text
from registry.errors import Conflict, Forbidden, Invalid
from registry.oversight import services, services_findings
from registry.oversight.models import Finding
from tests.world import Cast, World

DAY = datetime.timedelta(days=1)


def a_finding(world: World, days: int = 14) -> Finding:
    model = world.model()
    return services.open_finding(
        actor=world.cast.carla, stream=f"model:{model.pk}", team_id=model.team_id, subject="recall in Bavarian",
        description="Too few rows.", owner=world.cast.people["ada"], due_on=timezone.now().date() + days * DAY,
    )  # fmt: skip


def newest_kind() -> str:
    return str(json.loads(bytes(Entry.objects.order_by("-position")[0].entry))["event"]["kind"])


def test_it_goes_from_open_to_accepted_to_fixed_to_closed_and_each_step_is_recorded(world: World, cast: Cast) -> None:
    row = a_finding(world)
    kinds, states = [], []
    for step in (services_findings.accept_finding, services_findings.fix_finding):
        states.append(step(actor=cast.ada, finding=row, note="Two hundred rows more.").state)
        kinds.append(newest_kind())
    closed = services.close_finding(actor=cast.carla, finding=row, closure="Measured again.")
    assert [*states, closed.state] == ["accepted", "fixed", "closed"]
    assert [*kinds, newest_kind()] == ["finding.accepted", "finding.fixed", "finding.closed"]
    notes = Text.objects.filter(stream=row.stream, purpose__endswith=row.pk.hex).order_by("pk")
    assert [t.purpose.partition(":")[0] for t in notes] == ["accept", "fix"]


def test_what_was_not_mended_after_all_is_open_again(world: World, cast: Cast) -> None:
    row = a_finding(world)
    services_findings.fix_finding(actor=cast.ada, finding=row, note="Done.")
    assert services_findings.reopen_finding(actor=cast.omar, finding=row, note="It came back.").state == "open"
    with pytest.raises(Conflict, match="is open already"):
        services_findings.reopen_finding(actor=cast.omar, finding=row, note="Again.")


def test_a_step_that_does_not_follow_and_a_closed_finding_are_refused(world: World, cast: Cast) -> None:
    row = a_finding(world)
    services_findings.accept_finding(actor=cast.ada, finding=row, note="Mine.")
    with pytest.raises(Conflict, match="is accepted already"):
        services_findings.accept_finding(actor=cast.ada, finding=row, note="Mine.")
    with pytest.raises(Invalid, match="note is empty"):
        services_findings.fix_finding(actor=cast.ada, finding=row, note=" ")
    services.close_finding(actor=cast.carla, finding=row, closure="Not needed.")
    for step in (services_findings.accept_finding, services_findings.fix_finding, services_findings.reopen_finding):
        with pytest.raises(Conflict, match="is closed"):
            step(actor=cast.ada, finding=row, note="x")


def test_who_works_in_the_team_works_on_it_and_nobody_else(world: World, cast: Cast) -> None:
    row = a_finding(world)
    for caller in (cast.root, cast.eve):
        with pytest.raises(Forbidden):
            services_findings.accept_finding(actor=caller, finding=row, note="x")
    services_findings.accept_finding(actor=cast.otto, finding=row, note="I take it.")


def test_an_earlier_day_is_given_by_anybody_who_works_on_it_a_later_one_by_who_may_close(
    world: World, cast: Cast
) -> None:
    row = a_finding(world)
    sooner, later = row.due_on - DAY, row.due_on + DAY
    found = services_findings.assign_finding(actor=cast.ada, finding=row, note="Sooner.", due_on=sooner)
    assert found.due_on == sooner
    with pytest.raises(Forbidden):
        services_findings.assign_finding(actor=cast.ada, finding=row, note="I am late.", due_on=later)
    assert Finding.objects.get(pk=row.pk).due_on == sooner
    assert services_findings.assign_finding(actor=cast.omar, finding=row, note="Fine.", due_on=later).due_on == later


def test_it_is_handed_over_to_somebody_who_is_there(world: World, cast: Cast) -> None:
    row = a_finding(world)
    found = services_findings.assign_finding(actor=cast.ada, finding=row, note="His field.", owner=cast.people["otto"])
    assert (found.owner, newest_kind()) == (cast.people["otto"], "finding.assigned")
    with pytest.raises(Conflict, match="this owner and day"):
        services_findings.assign_finding(actor=cast.ada, finding=row, note="x", owner=cast.people["otto"])
    with pytest.raises(Invalid, match="has passed"):
        services_findings.assign_finding(actor=cast.ada, finding=row, note="x", due_on=timezone.now().date() - DAY)


@pytest.mark.parametrize("kind", ["broken-glass", "recalled", "terms-changed"])
def test_whose_own_act_opened_it_does_not_close_it(world: World, cast: Cast, kind: str) -> None:
    row = a_finding(world)
    mine = Finding.objects.create(
        stream=row.stream, kind=kind, subject="production", state="open", description=row.description,
        owner=row.owner, due_on=row.due_on, created_by_id=cast.omar.actor_id, created_at=row.created_at,
    )  # fmt: skip
    with pytest.raises(Forbidden, match="Your own act"):
        services.close_finding(actor=cast.omar, finding=mine, closure="It was needed.")
    assert services.close_finding(actor=cast.carla, finding=mine, closure="Reviewed.").state == "closed"

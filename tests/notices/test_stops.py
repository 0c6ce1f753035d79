"""Recalls, quarantines and moves in an emergency are told across teams, to each what is his."""

from __future__ import annotations

from registry.access.models import Team
from registry.notices.models import Outgoing
from registry.oversight.subjects import of_version
from registry.release import services
from tests.release.test_start_recall import child_elsewhere
from tests.world import World


def told(kind: str) -> dict[str, str]:
    """User name -> sentence."""
    rows = Outgoing.objects.filter(kind=kind).select_related("actor")
    return {row.actor.username: row.body["says"] for row in rows if row.actor}


def test_a_recall_is_told_to_each_owner_with_what_is_his_alone(world: World, outsider_team: Team) -> None:
    parent, child = world.released_pair()
    theirs, zoe = child_elsewhere(world, outsider_team, parent)
    services.start_recall(actor=world.cast.carla, subject=of_version(parent), reason="Xylophone data.")
    opened = told("quarantine.opened")
    owner = next(person.username for person in world.cast.people.values() if person.pk == zoe.actor_id)
    assert str(theirs.model) in opened[owner] or str(child.model) in opened[owner]
    bodies = {row.actor.username: str(row.body) for row in Outgoing.objects.exclude(actor=None).select_related("actor")}
    assert {"ada", "otto", "omar"} <= set(opened)
    assert all(str(theirs.model) not in bodies[name] for name in ("ada", "otto", "omar"))
    assert told("recall.started") == {"omar": "Something was recalled: a version"}
    assert "Xylophone" not in str(bodies)
    assert told("finding.opened").keys() >= {"ada"}


def test_a_move_in_an_emergency_is_told_loudly(world: World) -> None:
    parent = world.parent_version()
    world.promoted(parent)
    hotfix = world.child_version(parent, evidence=False)
    services.break_glass(actor=world.cast.otto, version=hotfix, alias="production", reason="Customers are down.")
    said = told("alias.broken_glass")
    assert set(said) == {"ada", "omar", "carla", "root"}
    assert said["ada"] == f"An alias was moved WITHOUT an approval: {hotfix.model}@production"

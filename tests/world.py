"""Builds situations through services only: the cast, and one method for each thing that a test may need to have."""

from __future__ import annotations

from dataclasses import dataclass

from registry.access import services as access
from registry.access.models import Actor, ActorKind, Role, Team
from registry.access.queries import system_actor
from registry.events import Caller, unit
from tests.worlds.audit import AuditWorld
from tests.worlds.catalog import CatalogWorld
from tests.worlds.compression import CompressionWorld
from tests.worlds.monitoring import MonitoringWorld
from tests.worlds.oversight import OversightWorld
from tests.worlds.provenance import ProvenanceWorld
from tests.worlds.release import ReleaseWorld

PASSWORD = "correct horse battery staple"


def as_caller(actor: Actor) -> Caller:
    return Caller(actor_id=actor.pk, via="cli")


@dataclass(frozen=True)
class Cast:
    """Callers by name, their rows, and their team."""

    root: Caller
    ada: Caller
    omar: Caller
    carla: Caller
    otto: Caller
    eve: Caller
    people: dict[str, Actor]
    team: Team

    @classmethod
    def assemble(cls) -> Cast:
        people = {}
        setup = Caller(actor_id=system_actor().pk, via="setup")
        with unit(setup, role="system") as opened:
            people["root"] = access.add_actor("root", "person", "Root", "", PASSWORD, opened.now)
            access.add_membership(people["root"], Role.ADMINISTRATOR, None, setup.actor_id, opened.now)
        root = as_caller(people["root"])
        for name in ("ada", "omar", "carla", "otto", "eve"):
            people[name] = access.create_actor(
                actor=root, username=name, display_name=name.capitalize(), password=PASSWORD
            )
        team = access.create_team(actor=root, slug="search", title="Search")
        roles = {
            "ada": Role.ENGINEER, "omar": Role.APPROVER, "carla": Role.COMPLIANCE_OFFICER, "otto": Role.OPERATOR,
        }  # fmt: skip
        for name, role in roles.items():
            access.grant_membership(actor=root, person=people[name], role=role, team=team)
        callers = {name: as_caller(person) for name, person in people.items()}
        return cls(**callers, people=people, team=team)

    def service_account(
        self, name: str = "robot", *roles: str, answers: str = "root", team: Team | None = None
    ) -> Actor:
        """A service account with roles in the team (`team`: another), for which somebody answers; made by root."""
        made = access.create_actor(
            actor=self.root, username=name, kind=ActorKind.SERVICE, responsible=self.people[answers]
        )
        for role in roles:
            access.grant_membership(actor=self.root, person=made, role=role, team=team or self.team)
        return made


class World(AuditWorld, MonitoringWorld, ReleaseWorld, OversightWorld, CompressionWorld, CatalogWorld, ProvenanceWorld):
    """Everything that a test may need to have; each room adds its part in tests/worlds/."""

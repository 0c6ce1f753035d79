"""A statement is taken back over HTTP; that it was made stays on record."""

from __future__ import annotations

from django.utils import timezone

from registry.access import services as access
from registry.access.models import Role, Team
from registry.oversight import services
from registry.oversight.models import Attestation
from tests.access.events import last_events
from tests.world import World
from tests.worlds.http import api
from tests.worlds.release import DAY


def signed(world: World) -> Attestation:
    model = world.model()
    return services.sign_attestation(
        actor=world.cast.carla, stream=f"model:{model.pk}", team_id=model.team_id, framework="nist_ai_rmf_1_0",
        requirement="MAP 1.1", statement="Read and agreed.", expires_at=timezone.now() + DAY * 30,
    )  # fmt: skip


def test_an_officer_takes_a_statement_back(world: World) -> None:
    row = signed(world)
    answer = api("carla").post(f"/api/v1/attestations/{row.pk}/end")
    assert answer.status_code == 200
    assert answer.json()["ended_at"]
    event = last_events(1)[0]
    assert (event["kind"], event["team"]) == ("attestation.ended", str(world.team.pk))
    assert api("carla").post(f"/api/v1/attestations/{row.pk}/end").status_code == 409


def test_who_does_not_sign_statements_ends_none_and_strangers_find_none(world: World, outsider_team: Team) -> None:
    row = signed(world)
    assert api("ada").post(f"/api/v1/attestations/{row.pk}/end").status_code == 403
    access.grant_membership(
        actor=world.cast.root, person=world.cast.people["eve"], role=Role.COMPLIANCE_OFFICER, team=outsider_team
    )
    assert api("eve").post(f"/api/v1/attestations/{row.pk}/end").status_code == 404
    row.refresh_from_db()
    assert row.ended_at is None

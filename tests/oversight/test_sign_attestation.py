"""A person signs a statement under name and role; it ends by itself or is taken back, and stays on record."""

from __future__ import annotations

import datetime
import json

import pytest
from django.utils import timezone

from audit.models import Entry
from registry.access.models import Team
from registry.errors import Conflict, Forbidden, Invalid, NotFound
from registry.oversight import queries, services
from registry.oversight.models import Attestation
from tests.world import World
from tests.worlds.http import api

YEAR = datetime.timedelta(days=365)


def sign(world: World, **changes: object) -> Attestation:
    model = changes.pop("model", None) or world.model()
    given = {
        "actor": world.cast.carla, "stream": f"model:{model.pk}", "team_id": world.team.pk, "framework": "nist_ai_rmf_1_0",
        "requirement": "GOVERN 2.1", "statement": "Roles are assigned and known.", "expires_at": timezone.now() + YEAR,
    }  # fmt: skip
    return services.sign_attestation(**{**given, **changes})  # type: ignore[arg-type]


def test_a_statement_is_sealed_in_the_stream_of_its_subject_with_the_role_of_the_signer(world: World) -> None:
    row = sign(world)
    sealed = json.loads(bytes(Entry.objects.order_by("-position")[0].entry))
    assert sealed["stream"] == row.stream
    assert row.role == "compliance_officer"
    assert [a.pk for a in queries.attestations_of(row.stream)] == [row.pk]


def test_an_engineer_signs_nothing(world: World) -> None:
    with pytest.raises(Forbidden):
        sign(world, actor=world.cast.ada)


def test_a_statement_must_end(world: World) -> None:
    for end in (timezone.now() - YEAR, timezone.now() + 4 * YEAR):
        with pytest.raises(Invalid, match="must end"):
            sign(world, expires_at=end)


def test_a_subject_that_is_not_there_cannot_be_attested(world: World) -> None:
    with pytest.raises(NotFound):
        sign(world, stream="model:01890a5d-ac96-774b-bcce-b302099a8057")
    with pytest.raises(NotFound):
        sign(world, stream="nonsense")


def test_the_team_of_the_subject_decides_not_the_one_that_is_claimed(world: World, outsider_team: Team) -> None:
    with pytest.raises(Invalid, match="another team"):
        sign(world, team_id=outsider_team.pk)


def test_a_statement_is_taken_back_once(world: World) -> None:
    row = services.end_attestation(actor=world.cast.carla, attestation=sign(world))
    assert row.ended_at is not None
    with pytest.raises(Conflict, match="ended already"):
        services.end_attestation(actor=world.cast.carla, attestation=row)


def test_over_http_a_statement_about_a_model_is_signed_and_listed(world: World) -> None:
    model = world.model()
    client = api("carla")
    body = {
        "framework": "nist_ai_rmf_1_0", "requirement": "GOVERN 2.1", "statement": "Roles are assigned.",
        "expires_at": (timezone.now() + YEAR).isoformat(),
    }  # fmt: skip
    path = f"/api/v1/teams/search/models/{model.slug}/attestations"
    assert client.post(path, body, format="json").status_code == 201
    assert [row["requirement"] for row in client.get(path).json()["items"]] == ["GOVERN 2.1"]

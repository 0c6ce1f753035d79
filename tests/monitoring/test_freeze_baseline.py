"""A baseline is frozen from the measured distribution when a version is approved, with the limits of its policy."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction

from registry import storage
from registry.catalog.distributions import to_figures
from registry.digests import sha256
from registry.errors import Conflict, Forbidden
from registry.monitoring import queries, services
from registry.monitoring.models import Baseline
from tests.world import World
from tests.worlds.release import CALM, distribution


def test_the_baseline_holds_bins_counts_and_the_limits_that_were_approved(world: World) -> None:
    _, child = world.released_pair()
    row = Baseline.objects.get(version=child)
    document = queries.document_of(row.digest)
    assert document["features"][0]["counts"] == CALM
    assert document["limits"] == {
        "false_alarm_level": "0.01", "missing_share": "0.05", "population_stability_index": "0.25",
    }  # fmt: skip
    assert document["version"] == {"digest": child.digest, "id": str(child.pk)}
    assert document["policy"] == world.policy().digest
    assert sha256(storage.read_bytes(row.digest)) == row.digest


def test_a_declared_distribution_is_never_frozen(world: World) -> None:
    version = world.parent_version()
    world.evidence(version, "distribution", to_figures(distribution()), source="declared")
    approval = world.granted(version)
    assert not Baseline.objects.exists()
    with pytest.raises(Conflict, match="no measured distribution"):
        services.freeze_baseline(actor=world.cast.otto, approval=approval)


def test_a_baseline_is_frozen_once_and_only_for_a_granted_approval(world: World) -> None:
    version = world.parent_version()
    world.evidence(version, "distribution", to_figures(distribution()))
    pending = world.approval(version)
    with pytest.raises(Conflict, match="granted approval only"):
        services.freeze_baseline(actor=world.cast.otto, approval=pending)
    approval = world.granted(version, alias="staging")
    with pytest.raises(Conflict, match="never changes"):
        services.freeze_baseline(actor=world.cast.otto, approval=approval)
    with pytest.raises(Forbidden):
        services.freeze_baseline(actor=world.cast.carla, approval=approval)


@pytest.mark.db_guarantee
def test_the_database_lets_nobody_change_a_baseline(world: World) -> None:
    world.released_pair()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Baseline.objects.update(digest=sha256(b"friendlier"))

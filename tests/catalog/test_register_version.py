"""Registering a version."""

from __future__ import annotations

from tests.world import World


def test_smoke(world: World) -> None:
    version = world.version()
    assert version.number == 1
    data = world.dataset_version(uses=["calibration"])
    child = world.derived_version(version, data=[data])
    assert child.number == 2
    world.evidence(child, "fidelity", [])

"""Data of several files: one is chosen to judge by, by API and worker; evidence, profile and gates speak of that file alone."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from registry.access import services as access
from registry.access.models import Role
from registry.catalog.edges import EdgeSpec
from registry.catalog.models import ModelVersion
from registry.compression import execution, profiling, services, services_profiles
from registry.compression.models import Run
from registry.digests import sha256
from registry.provenance.models import DataProfile, DatasetVersion
from registry.release import inputs
from registry.release.data_checks import contamination
from registry.release.gate_facts import Finding
from tests.compression.test_api import client
from tests.compression.test_evaluation_api import evaluations_url
from tests.world import World

PLAN = {"type": "pressmark/evaluation_plan/1", "task": "embedding", "measures": ["fidelity"]}


def shards(world: World) -> tuple[DatasetVersion, bytes]:
    """Evaluation data of a large file and of a small one, and the bytes of the small one."""
    small = world.tiny_inputs(8, 5)
    files = {"large.npz": world.tiny_inputs(64, 7), "part/small.npz": small}
    return world.files_version(files, uses=["evaluation"], slug="shards"), small


def with_more(rows: bytes, others: bytes) -> bytes:
    """The rows of both in one file."""
    first, second = (np.load(io.BytesIO(data)) for data in (rows, others))
    target = io.BytesIO()
    np.savez(target, **{name: np.concatenate([first[name], second[name]]) for name in first.files})
    return target.getvalue()


def judged(world: World, version: ModelVersion, **body: Any) -> Any:
    return client(world, "ada").post(evaluations_url(version), {"evaluation": "search/shards@1", **body}, format="json")


@pytest.mark.usefixtures("committed_db")
def test_one_file_is_judged_by_and_a_copy_of_it_in_training_is_not_thinned_out(world: World) -> None:
    data, small = shards(world)
    training = world.dataset_version(data=with_more(small, world.tiny_inputs(9, 3)), uses=("training",), slug="learned")
    version = world.version(edges=[EdgeSpec("data", (), dataset_version=training)])
    refused = judged(world, version)
    assert refused.json()["type"].endswith("data-of-several-files")
    assert "'evaluation_file'" in refused.json()["hint"]
    assert judged(world, version, evaluation_file="small.npz").status_code == 404
    assert not Run.objects.exists()

    for file, found in (("part/small.npz", "8 of 8 rows"), ("large.npz", "0 of 64 rows")):
        asked = judged(world, version, evaluation_file=file, allow_seen=True, plan=PLAN)
        assert asked.json()["evaluation_file"] == file, asked.content
        execution.execute(Run.objects.latest("requested_at").pk)
        body = client(world, "otto").get(f"{evaluations_url(version)}/{asked.json()['id']}").json()
        assert body["run"]["state"] == "succeeded", body["run"]["failure"]
        digest = sha256(small) if file.endswith("small.npz") else sha256(world.tiny_inputs(64, 7))
        named = {"name": "evaluation_file", "value": digest}
        assert all(named in e["environment"] for e in body["evidence"])
        assert (body["data"][0]["file"], body["n"]) == (file, int(found.split()[2]))
        finding = answered(world, version, data, training)
        assert f"{found} of the file {digest[:19]}" in finding.reason
        assert finding.holds is (file == "large.npz")


def answered(world: World, version: ModelVersion, data: DatasetVersion, training: DatasetVersion) -> Finding:
    """What a rule of contamination says now; the rows are looked at first where nobody did."""
    if not DataProfile.objects.exists():
        profile = services_profiles.request_profile(actor=world.cast.ada, dataset_version=data, against=[training])
        assert profiling.execute(profile.pk)
    given = inputs.gather(ModelVersion.objects.get(pk=version.pk), timezone.now())
    return contamination({"limit": "0.01"}, given)


def test_a_file_that_shaped_the_version_does_not_judge_it_whatever_lies_beside_it(world: World) -> None:
    _, small = shards(world)
    learned = world.dataset_version(data=small, uses=("training",), slug="learned")
    version = world.version(edges=[EdgeSpec("data", (), dataset_version=learned)])
    assert "stands in the lineage" in judged(world, version, evaluation_file="part/small.npz").json()["detail"]
    assert judged(world, version, evaluation_file="large.npz").status_code == 201


def test_the_path_of_a_file_is_told_to_readers_of_the_data_alone(world: World) -> None:
    other = access.create_team(actor=world.cast.root, slug="others")
    access.grant_membership(actor=world.cast.root, person=world.cast.people["ada"], role=Role.ENGINEER, team=other)
    dataset = world.dataset("secrets", team=other)
    data = world.files_version(
        {"a.npz": world.tiny_inputs(8, 5), "patients.npz": world.tiny_inputs(9, 6)},
        uses=["evaluation"],
        dataset=dataset,
    )
    version = world.version()
    run = services.request_evaluation(
        actor=world.cast.ada, version=version, evaluation=data, evaluation_file="patients.npz"
    )
    door = f"{evaluations_url(version)}/{run.pk}"
    assert client(world, "ada").get(door).json()["run"]["evaluation_file"] == "patients.npz"
    for url in (door, f"/api/v1/runs/{run.pk}", evaluations_url(version)):
        assert "patients" not in client(world, "otto").get(url).content.decode(), url

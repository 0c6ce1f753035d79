"""Lineage and effective terms over rows: what the reader may see, and which ancestor decides."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from registry.access.models import Team
from registry.catalog import lineage, queries, services
from registry.catalog.edges import EdgeSpec
from registry.catalog.manifest import FileSpec
from registry.catalog.models import Edge, ModelVersion
from tests.provenance.http import client_for, make_eve_engineer_of
from tests.world import World
from tests.worlds.catalog import make_onnx


def test_ancestors_and_descendants_stand_around_a_version(world: World) -> None:
    data, base = world.dataset_version(uses=["training"]), world.version(world.model("base"))
    middle = world.version(
        world.model("middle"), seed=2,
        edges=[EdgeSpec("base", ("fine-tuned",), parent=base), EdgeSpec("data", dataset_version=data)],
    )  # fmt: skip
    child = world.derived_version(middle, model=world.model("child"))
    found = queries.lineage(world.cast.ada, middle)
    distance = {node.label: node.distance for node in found.nodes}
    assert distance == {"search/base@1": -1, world.reference(data): -1, "search/middle@1": 0, "search/child@1": 1}
    assert {(e.role, e.operations, e.grade) for e in found.edges} == {
        ("base", ("fine-tuned",), "declared"), ("data", (), "declared"), ("base", ("quantized",), "executed"),
    }  # fmt: skip
    assert found.root == f"version:{middle.pk}"
    assert queries.lineage(world.cast.ada, child).nodes[0].distance == -2


def theirs(world: World, outsider_team: Team, parent: ModelVersion, licence: str = "Apache-2.0") -> ModelVersion:
    """A version in Eve's team that was made from a parent which she may no longer see."""
    from registry.access import services as access
    from registry.access.models import Membership, Role

    make_eve_engineer_of(world.cast, outsider_team)
    eve, person = world.cast.eve, world.cast.people["eve"]
    access.grant_membership(actor=world.cast.root, person=person, role=Role.VIEWER, team=world.team)
    child = services.register_version(
        actor=eve, model=world.model("far", actor=eve, owner=person, team=outsider_team),
        files=[FileSpec("model.onnx", "weights", world.upload(make_onnx(77), actor=eve).digest)],
        licence=world.licence(licence), training_data="complete", edges=[EdgeSpec("base", parent=parent)],
    )  # fmt: skip
    access.end_membership(actor=world.cast.root, membership=Membership.objects.get(actor=person, role=Role.VIEWER))
    return child


def test_an_ancestor_of_another_team_is_reduced_to_digest_licence_and_grade(world: World, outsider_team: Team) -> None:
    data = world.dataset_version(uses=["training"], slug="secret-rows")
    base = world.version(world.model("secret"), licence="CC-BY-NC-4.0", edges=[EdgeSpec("data", dataset_version=data)])
    child = theirs(world, outsider_team, base)
    found = queries.lineage(world.cast.eve, child)
    reduced = {node.digest: node for node in found.nodes if not node.visible}
    assert set(reduced) == {base.digest, data.digest}
    assert reduced[base.digest].licence == "CC-BY-NC-4.0"
    for node in reduced.values():
        assert (node.label, node.team, node.name, node.number, node.size_bytes) == (None, None, None, None, None)
    assert "secret" not in str(found)
    eve = client_for(world.cast, "eve")
    url = "/api/v1/teams/elsewhere/models/far/versions/1"
    for part in ("/lineage", "/effective-terms", ""):
        assert b"secret" not in eve.get(url + part).content
    terms = eve.get(f"{url}/effective-terms").json()
    assert terms["answers"]["commercial_use"] == "forbidden"


def test_a_descendant_that_the_reader_may_not_see_is_not_there(world: World, outsider_team: Team) -> None:
    base = world.version(world.model("open"))
    child = theirs(world, outsider_team, base)
    shown = [node.digest for node in queries.lineage(world.cast.ada, base).nodes]
    assert child.digest not in shown
    assert child.digest in [node.digest for node in queries.lineage(world.cast.root, base).nodes]


def test_what_is_outside_stands_by_its_digest_and_makes_terms_unknown(world: World) -> None:
    outside = "sha256:" + "cd" * 32
    version = world.version(edges=[EdgeSpec("base", parent_digest=outside)])
    nodes = queries.lineage(world.cast.ada, version).nodes
    assert (nodes[0].kind, nodes[0].digest, nodes[0].label) == ("outside", outside, None)
    assert set(queries.effective_terms(version).answers.values()) == {"unknown"}


def test_non_commercial_calibration_data_blocks_a_clean_model_and_the_proof_names_the_path(world: World) -> None:
    data = world.dataset_version(slug="nc-rows", uses=["calibration"], licence="CC-BY-NC-4.0")
    parent = world.version(world.model("clean"), licence="Apache-2.0")
    child = world.derived_version(parent, data=[data])
    grandchild = world.derived_version(child, model=world.model("last"), seed=9)
    found = queries.effective_terms(grandchild)
    assert found.answers["commercial_use"] == "forbidden"
    (proof,) = found.because("commercial_use")
    assert (proof.source, proof.licence) == ("search/nc-rows@1", "CC-BY-NC-4.0")
    assert proof.path == ("base: search/clean@2", "data: search/nc-rows@1")
    assert queries.effective_terms(parent).answers["commercial_use"] == "allowed"


def test_incomplete_knowledge_of_training_data_is_said_beside_the_answer(world: World) -> None:
    version = world.version(training_data="incomplete")
    assert any("training data is incomplete" in note for note in queries.effective_terms(version).notes)
    assert queries.effective_terms(world.version(seed=2)).notes == []


def test_effective_terms_over_http_give_answers_proof_and_sources(world: World) -> None:
    world.version(world.model("net"), licence="MIT OR GPL-3.0-only")
    found = client_for(world.cast, "ada").get("/api/v1/teams/search/models/net/versions/1/effective-terms").json()
    assert found["answers"]["share_alike"] == "allowed"
    assert found["considered"] == [
        {
            "source": "search/net@1",
            "licence": "MIT OR GPL-3.0-only",
            "role": "the version itself",
            "binds": "Every term binds.",
        }
    ]
    assert any("Licensee's choice" in note for note in found["notes"])
    assert all(step["sentence"] and step["licence"] for step in found["proof"])


@pytest.mark.parametrize("count", [3, 12])
def test_a_level_of_many_parents_takes_as_many_queries_as_one_of_few(world: World, count: int) -> None:
    parents = [world.version(world.model(), seed=20 + n) for n in range(count)]
    child = world.version(seed=99, edges=[EdgeSpec("merge-input", ("merged",), parent=p) for p in parents])
    with CaptureQueriesContext(connection) as captured:
        found: Any = queries.lineage(world.cast.ada, child)
    assert len(found.nodes) == count + 1
    assert len(captured) <= 10


def test_data_whose_state_nobody_knows_stands_by_the_record_about_it(world: World) -> None:
    from registry.provenance import services as provenance

    row = provenance.register_dataset_version(
        actor=world.cast.ada, dataset=world.dataset("mix"), licence=world.licence("LicenseRef-pressmark-unknown"),
        origin="A published mix.", uses=["training"], state_unknown=True,
    )  # fmt: skip
    version = world.version(edges=[EdgeSpec("data", dataset_version=row)])
    assert queries.lineage(world.cast.ada, version).nodes[0].digest == row.document_digest
    found = queries.effective_terms(version)
    assert found.answers["commercial_use"] == "unknown"
    assert found.because("commercial_use")[0].source == "search/mix@1"


def test_the_ancestors_as_rows_are_parents_and_edges_the_nearest_first(world: World) -> None:
    base = world.version(world.model("base"))
    middle = world.derived_version(base, data=[world.dataset_version(uses=["calibration"])])
    child = world.derived_version(middle)
    found = queries.load_ancestors(child)
    assert [row.pk for row in found.parents] == [middle.pk, base.pk]
    assert [(edge.child_id, edge.role) for edge in found.edges] == [
        (child.pk, "base"), (middle.pk, "base"), (middle.pk, "data"),
    ]  # fmt: skip
    assert not found.truncated


def test_a_lineage_beyond_the_limit_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    version = world.version()
    for seed in range(2, 6):
        version = world.version(seed=seed, edges=[EdgeSpec("base", parent=version)])
    monkeypatch.setattr(lineage, "MAX_NODES", 2)
    found = queries.lineage(world.cast.ada, version)
    assert found.truncated
    assert any("more than 2 sources" in note for note in queries.effective_terms(version).notes)


def test_what_lies_beyond_the_limit_frees_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    version = world.version()
    for seed in range(2, 6):
        version = world.version(seed=seed, edges=[EdgeSpec("base", parent=version)])
    assert queries.effective_terms(version).answers["commercial_use"] == "allowed"
    monkeypatch.setattr(lineage, "MAX_NODES", 2)
    found = queries.effective_terms(version)
    assert set(found.answers.values()) == {"unknown"}
    assert "what lies beyond 2 sources" in found.because("commercial_use")[0].source


def test_a_circle_written_past_the_services_ends_everywhere_and_frees_nothing(world: World) -> None:
    first = world.version(world.model("first"))
    second = world.version(world.model("second"), seed=2, edges=[EdgeSpec("base", parent=first)])
    Edge.objects.bulk_create([
        Edge(model=first.model, child=first, parent=second, parent_digest=second.digest, role="base", operations=[],
             grade="declared", created_at=second.created_at)
    ])  # fmt: skip
    found = queries.effective_terms(second)
    assert set(found.answers.values()) == {"unknown"}
    assert any("runs in a circle" in note for note in found.notes)
    assert {row.source for row in found.considered} >= {"search/first@1", "search/second@1"}
    shown = queries.lineage(world.cast.ada, second)
    assert {node.label for node in shown.nodes} == {"search/first@1", "search/second@1"}
    assert queries.load_ancestors(second).parents == [first]
    assert {key for key, _ in queries.descendants_of(version_ids=[first.pk])} >= {second.pk}
    browser = Client()
    browser.force_login(world.cast.people["ada"])
    page = browser.get("/models/search/second@1/")
    assert page.status_code == 200
    assert "runs in a circle" in page.content.decode()

"""Evidence binds to digests, declared is never shown as measured, and its set has one digest."""

from __future__ import annotations

from typing import Any

import pytest

from audit.models import Entry
from registry.catalog import queries, services
from registry.catalog.models import Evidence
from registry.digests import parse_canonical, sha256
from registry.errors import Conflict, Forbidden, Invalid
from registry.storage import read_bytes
from tests.provenance.http import client_for, problem
from tests.world import World
from tests.worlds.catalog import figure

COSINE = figure("cosine_mean", "0.9993", "cosine", low="0.9991", high="0.9995", n=300)


def declared(digest: str, **change: Any) -> dict[str, Any]:
    document = {
        "environment": [], "figures": [figure("accuracy", "0.91", "share", n=50)], "kind": "quality",
        "method": {"name": "their_report", "version": "1"}, "seed": None, "source": "declared",
        "subjects": [{"digest": digest, "role": "version"}], "type": "pressmark/evidence/1",
    }  # fmt: skip
    return document | change


def test_measured_evidence_is_bound_to_version_parent_and_data(world: World) -> None:
    parent, data = world.version(), world.dataset_version()
    child = world.derived_version(parent)
    row = world.evidence(child, "fidelity", [COSINE], parent=parent, dataset_version=data)
    assert (row.version_digest, row.parent, row.dataset_version) == (child.digest, parent, data)
    document: Any = parse_canonical(read_bytes(row.digest))
    assert {"digest": parent.digest, "role": "parent"} in document["subjects"]
    entry: Any = parse_canonical(bytes(Entry.objects.order_by("-position")[0].entry))
    assert entry["event"]["kind"] == "evidence.attached"
    assert entry["stream"] == f"model:{child.model_id}"
    assert entry["event"]["refs"] == [{"digest": row.digest, "name": "evidence", "size_bytes": row.size_bytes}]


def test_the_same_measurement_again_is_the_same_row(world: World) -> None:
    version = world.version()
    first = world.evidence(version, "fidelity", [COSINE])
    before = Entry.objects.count()
    assert world.evidence(version, "fidelity", [COSINE]).pk == first.pk
    assert Entry.objects.count() == before


def test_the_digest_of_the_evidence_set_changes_with_every_piece(world: World) -> None:
    version = world.version()
    before, _, _ = queries.evidence_set(version)
    row = world.evidence(version, "fidelity", [COSINE])
    after, document, rows = queries.evidence_set(version)
    assert before != after == sha256(document)
    parsed: Any = parse_canonical(document)
    assert parsed["evidence"] == sorted(r.digest for r in rows)
    assert row in rows


def test_the_newest_of_each_kind_comes_first(world: World) -> None:
    version = world.version()
    old = world.evidence(version, "fidelity", [COSINE])
    world.evidence(version, "size", [figure("size_ratio", "3.9")])
    new = world.evidence(version, "fidelity", [COSINE], seed=1)
    order = [(row.kind, row.pk) for row, _ in queries.evidence_documents(version)]
    assert [kind for kind, _ in order] == ["fidelity", "size", "structure", "fidelity"]
    assert (order[0][1], order[-1][1]) == (new.pk, old.pk)


def test_a_figure_is_the_newest_measured_one_over_the_whole(world: World) -> None:
    version = world.version()
    part = figure("cosine_mean", "0.1", "cosine", slice=[{"name": "race", "value": "2"}])
    world.evidence(version, "fidelity", [part, COSINE])
    world.evidence(version, "fidelity", [figure("cosine_mean", "0.8", "cosine")], source="declared")
    found = queries.figure(version, "fidelity", "cosine_mean")
    assert found is not None
    assert found["value"] == "0.9993"
    assert queries.figure(version, "fidelity", "nothing") is None
    assert queries.figure(version, "size", "cosine_mean") is None
    stated = queries.figure(version, "fidelity", "cosine_mean", source="declared")
    assert stated is not None
    assert stated["value"] == "0.8"


def test_nobody_attaches_measured_evidence_from_outside(world: World) -> None:
    version = world.version()
    with pytest.raises(Invalid, match="declared") as refused:
        services.attach_evidence(
            actor=world.cast.ada, version=version, document=declared(version.digest, source="measured")
        )
    assert refused.value.code == "evidence-measured"
    assert not Evidence.objects.filter(kind="quality").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"subjects": []}, "subject in the role version"),
        ({"subjects": [{"digest": "sha256:" + "ab" * 32, "role": "version"}]}, "subject in the role version"),
        ({"kind": "Quality!"}, "kind"),
        ({"type": "pressmark/evidence/2"}, "members"),
        ({"extra": 1}, "members"),
        ({"figures": [{"metric": "m"}]}, "figure"),
        ({"figures": [figure("m", "0.50")]}, "decimal"),
        ({"figures": [figure("m", None, reason="")]}, "reason"),
        ({"figures": "many"}, "evidence document"),
        ({"figures": None}, "evidence document"),
        ({"subjects": [1]}, "evidence document"),
        ({"method": None}, "evidence document"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
    ],
)
def test_a_document_that_breaks_a_rule_is_refused(world: World, change: dict[str, Any], told: str) -> None:
    version = world.version()
    before = Entry.objects.count()
    with pytest.raises(Invalid, match=told):
        services.attach_evidence(actor=world.cast.ada, version=version, document=declared(version.digest, **change))
    assert Entry.objects.count() == before


def test_a_parent_that_the_document_does_not_name_is_refused(world: World) -> None:
    version, other = world.version(), world.version(seed=2)
    document = declared(version.digest)
    with pytest.raises(Invalid, match="is no subject"):
        services.check_evidence(services.EvidenceSpec("quality", "declared", document, parent=other), version.digest)


def test_who_is_no_engineer_attaches_nothing(world: World) -> None:
    version = world.version()
    for name in ("omar", "carla", "otto", "eve"):
        with pytest.raises(Forbidden):
            services.attach_evidence(
                actor=getattr(world.cast, name), version=version, document=declared(version.digest)
            )


def test_the_same_statement_twice_is_a_conflict(world: World) -> None:
    version = world.version()
    services.attach_evidence(actor=world.cast.ada, version=version, document=declared(version.digest))
    with pytest.raises(Conflict, match="already"):
        services.attach_evidence(actor=world.cast.ada, version=version, document=declared(version.digest))


def test_evidence_over_http_comes_with_sentences_and_says_declared(world: World) -> None:
    version = world.version(world.model("net"))
    ada = client_for(world.cast, "ada")
    url = "/api/v1/teams/search/models/net/versions/1/evidence"
    answer = ada.post(url, {"document": declared(version.digest)}, format="json")
    assert answer.status_code == 201, answer.content
    assert answer["Pressmark-Receipt"]
    assert answer.json()["source"] == "declared"
    assert answer.json()["sentences"] == ["The model is right on 91 % of the rows (n = 50)."]
    assert [(e["kind"], e["source"]) for e in ada.get(url).json()["items"]] == [
        ("quality", "declared"), ("structure", "measured"),
    ]  # fmt: skip
    assert ada.get(f"{url}/{answer.json()['digest']}").json()["document"] == declared(version.digest)
    problem(ada.get(f"{url}/sha256:{'0' * 64}"), 404, "not-found")
    for wrong in (declared(version.digest, source="measured"), "text", [1], None, {"kind": 5}):
        assert ada.post(url, {"document": wrong}, format="json").status_code == 422

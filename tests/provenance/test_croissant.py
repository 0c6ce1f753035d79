"""Croissant 1.1 out: the vocabulary of the specification, what is known, and nothing that is not.

Checked by hand after the specification of 2026-01-29: the context of its appendix, the required members with their types, ids that
are unique and references that lead somewhere.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from audit import erasure
from registry.oversight.subjects import of_dataset_version
from registry.provenance.croissant import MEDIA_TYPE
from registry.provenance.models import DatasetVersion
from registry.release.services import confirm_purge, request_purge
from tests.provenance.http import client_for, problem
from tests.world import World

DAY = datetime.date(2024, 2, 29)
# properties of the RAI vocabulary 1.0 that say what we know
RAI = {
    "rai:dataCollection", "rai:dataCollectionRawData", "rai:dataCollectionTimeframe", "rai:dataBiases", "rai:dataUseCases",
    "rai:personalSensitiveInformation",
}  # fmt: skip


def document_of(world: World, version: DatasetVersion) -> dict[str, Any]:
    door = f"/api/v1/teams/search/datasets/{version.dataset.slug}/versions/{version.number}/croissant.json"
    answer = client_for(world.cast, "ada").get(door)
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"] == MEDIA_TYPE
    document: dict[str, Any] = answer.json()
    check_rules(document)
    return document


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of the document but the context."""
    if isinstance(value, dict):
        yield value
        for name, inner in value.items():
            if name != "@context":
                yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def check_rules(document: dict[str, Any]) -> None:
    """What the specification asks of every document."""
    context = document["@context"]
    assert (context["@vocab"], context["sc"]) == ("http://schema.org/", "http://schema.org/")
    assert context["cr"] == "http://mlcommons.org/croissant/"
    assert context["rai"] == "http://mlcommons.org/croissant/RAI/"
    assert context["conformsTo"] == "dct:conformsTo"
    assert context["dataType"] == {"@id": "cr:dataType", "@type": "@vocab"}
    assert document["@type"] == "sc:Dataset"
    assert "http://mlcommons.org/croissant/1.1" in document["conformsTo"]
    for required in ("name", "description", "license", "url", "creator", "datePublished", "distribution"):
        assert document[required], required
    assert all(row["@type"] in ("cr:FileObject", "cr:FileSet") for row in document["distribution"])
    prefixes = {name for name, meaning in context.items() if isinstance(meaning, str) and meaning[-1] in "/#:"}
    for node in nodes({name: value for name, value in document.items() if name != "@context"}):
        for name in node:
            prefix, colon, _ = name.partition(":")
            assert not colon or prefix in prefixes, name
    with_more = [node for node in nodes(document) if "@id" in node and len(node) > 1]
    ids = [node["@id"] for node in with_more]
    assert len(ids) == len(set(ids)), "an id stands for one node"
    only_id = [node["@id"] for node in nodes(document) if list(node) == ["@id"]]
    assert set(only_id) <= set(ids), "a reference leads somewhere"


def test_a_measured_version_has_digest_fields_and_everything_that_was_stated(world: World) -> None:
    version = world.dataset_version(
        [{"text": "One.", "größe/cm": 1}], slug="talk", licence="CC-BY-4.0", uses=["training", "evaluation"],
        origin="Recorded in Bern.", collection="By telephone.", owner="Verlag", known_biases="Mostly adults.",
        personal_data="yes", consent="unknown", third_party_works="yes", third_party_basis="A contract.",
        opt_out_honoured="no", collected_from=DAY, retain_until=datetime.date(2999, 1, 1),
    )  # fmt: skip
    document = document_of(world, version)
    (file,) = document["distribution"]
    raw = bytes.fromhex(str(version.digest)[7:])
    assert file["sha256"] == raw.hex()
    assert file["contentUrl"] == "ni:///sha-256;" + base64.urlsafe_b64encode(raw).decode().rstrip("=")
    assert (file["name"], file["encodingFormat"]) == ("talk-1.jsonl", "application/jsonlines")
    assert file["contentSize"] == f"{version.size_bytes} B"
    assert document["license"] == "https://spdx.org/licenses/CC-BY-4.0"
    assert document["creator"] == {"@type": "Organization", "name": "Verlag"}
    (rows,) = document["recordSet"]
    assert sorted(field["source"]["extract"]["column"] for field in rows["field"]) == ["größe/cm", "text"]
    assert all(field["@id"].isascii() and field["@id"].count("/") == 1 for field in rows["field"])
    assert rows["annotation"]["value"] == 1
    assert set(document) >= RAI
    assert document["rai:personalSensitiveInformation"] == "Personal data: yes. Consent: unknown."
    assert document["rai:dataCollectionTimeframe"] == "2024-02-29/.."
    assert document["prov:wasGeneratedBy"]["prov:startedAtTime"] == "2024-02-29"
    assert document["prov:wasDerivedFrom"]["prov:label"] == "Recorded in Bern."
    assert document["pressmark:source"] == "measured"
    assert document["pressmark:optOutHonoured"] == "no"
    assert {row["name"] for row in document["usageInfo"]} >= {"commercial_use", "share_alike"}


def test_arrays_say_type_and_shape(world: World) -> None:
    data = world.arrays(x=np.zeros((3, 4, 2), np.float32), label=np.arange(3))
    document = document_of(world, world.dataset_version(data=data, slug="arrays"))
    fields = {field["name"]: field for field in document["recordSet"][0]["field"]}
    assert (fields["x"]["dataType"], fields["x"]["isArray"], fields["x"]["arrayShape"]) == ("sc:Float", True, "4,2")
    assert fields["label"]["dataType"] == "sc:Integer"
    assert "isArray" not in fields["label"]


def test_what_is_not_known_is_left_out_and_not_invented(world: World) -> None:
    version = world.dataset_version(
        slug="far", declared_digest="sha256:" + "ab" * 32, licence="LicenseRef-pressmark-unknown"
    )
    document = document_of(world, version)
    assert document["license"] == {"@type": "CreativeWork", "name": "LicenseRef-pressmark-unknown"}
    assert document["distribution"][0]["sha256"] == "ab" * 32
    left_out = {
        "recordSet",
        "rai:dataBiases",
        "rai:dataCollection",
        "rai:dataCollectionTimeframe",
        "prov:wasGeneratedBy",
    }
    assert not left_out & set(document)
    assert document["pressmark:thirdPartyWorks"] == "unknown"


def test_a_list_of_files_and_a_state_that_nobody_knows(world: World) -> None:
    from registry.provenance import services

    given: dict[str, Any] = {
        "actor": world.cast.ada, "licence": world.licence("MIT AND CC-BY-4.0"), "origin": "x", "uses": ["training"],
    }  # fmt: skip
    files = [{"path": f"part {n}.csv", "digest": f"sha256:{n:064x}", "size_bytes": n} for n in (1, 2)]
    listed = services.register_dataset_version(dataset=world.dataset("listed"), declared_files=files, **given)
    document = document_of(world, listed)
    assert [(f["@id"], f["name"]) for f in document["distribution"]] == [
        ("part%201.csv", "part 1.csv"), ("part%202.csv", "part 2.csv"),
    ]  # fmt: skip
    assert document["license"]["name"] == listed.licence.expression
    unknown = services.register_dataset_version(dataset=world.dataset("hazy"), state_unknown=True, **given)
    (file,) = document_of(world, unknown)["distribution"]
    assert "sha256" not in file
    assert "Nobody knows" in file["description"]


def test_erased_words_and_purged_bytes_are_not_brought_back(world: World) -> None:
    version = world.dataset_version(slug="gone", origin="Told by Erika.")
    erasure.erase(actor=world.officer(), texts=[version.origin], reason="Asked to be forgotten.")
    asked = request_purge(actor=world.cast.carla, subject=of_dataset_version(version), reason="Consent withdrawn.")
    confirm_purge(actor=world.cast.root, purge=asked)
    document = document_of(world, version)
    assert "Erika" not in str(document)
    assert document["pressmark:purged"] is True
    assert document["distribution"][0]["sha256"] == str(version.digest)[7:]


def test_outsiders_find_nothing(world: World) -> None:
    world.dataset_version(slug="inside")
    world.person("oscar")
    from registry.access import services as access
    from registry.access.models import Role
    from tests.worlds.http import api

    team = access.create_team(actor=world.cast.root, slug="elsewhere")
    access.grant_membership(actor=world.cast.root, person=world.cast.people["oscar"], role=Role.ENGINEER, team=team)
    problem(api("oscar").get("/api/v1/teams/search/datasets/inside/versions/1/croissant.json"), 404, "not-found")


@pytest.mark.parametrize("name", ["a/b", "a b", "%", "rows", "x" * 300])
def test_odd_names_of_columns_stay_names_and_make_no_new_ids(world: World, name: str) -> None:
    document = document_of(world, world.dataset_version([{name: 1, "other": 2}]))
    assert name in {field["name"] for field in document["recordSet"][0]["field"]}

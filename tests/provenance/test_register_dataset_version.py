"""Datasets, their versions and licences: what is recorded, what is refused, who may."""

from __future__ import annotations

import datetime
import hashlib
import json
import threading
from typing import Any

import pytest
from django.db import connections

from audit.models import Entry
from registry.access.models import Team, Text
from registry.digests import canonical, parse_canonical
from registry.errors import Conflict, Forbidden, Invalid, NotFound
from registry.provenance import licences, queries, services
from registry.provenance.models import Dataset, DatasetVersion, Licence
from registry.storage import is_stored, read_bytes
from tests.provenance.http import client_for, make_eve_engineer_of, problem, upload
from tests.world import Cast, World

TODAY = datetime.datetime.now(datetime.UTC).date()
DAY = datetime.timedelta(days=1)
ROWS = [{"text": "One sentence."}, {"text": "Another one."}]
LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


def last_event() -> dict[str, Any]:
    entry: Any = parse_canonical(bytes(Entry.objects.order_by("-position")[0].entry))
    return dict(entry["event"])


def test_a_measured_version_knows_digest_size_and_rows_of_the_bytes(world: World) -> None:
    version = world.dataset_version(ROWS, uses=["evaluation", "calibration", "evaluation"])
    assert version.digest == f"sha256:{hashlib.sha256(LINES).hexdigest()}"
    assert (version.number, version.source, version.row_count, version.size_bytes) == (1, "measured", 2, len(LINES))
    assert version.uses == ["calibration", "evaluation"]


def test_the_document_of_a_version_is_sealed_by_digest_with_its_columns(world: World) -> None:
    version = world.dataset_version(ROWS, uses=["evaluation"], personal_data="no")
    document: Any = parse_canonical(read_bytes(version.document_digest))
    assert document == {
        "collected_from": None, "collected_until": None, "columns": [{"dtype": "", "name": "text", "shape": ""}],
        "consent": "unknown", "digest": version.digest, "files": None, "format": "jsonl", "licence": "PSF-2.0",
        "opt_out_honoured": "unknown", "personal_data": "no", "retain_until": None, "row_count": 2,
        "size_bytes": len(LINES), "source": "measured", "third_party_works": "unknown", "type": "pressmark/dataset/1",
        "uses": ["evaluation"],
    }  # fmt: skip
    event = last_event()
    assert event["kind"] == "dataset_version.registered"
    assert [(ref["name"], ref["digest"]) for ref in event["refs"]] == [("dataset", version.document_digest)]
    assert sorted(r["type"] for r in event["records"]) == ["access.text/1", "provenance.dataset_version/1"]


def test_a_declared_version_is_never_called_measured(world: World) -> None:
    digest = "sha256:" + "ab" * 32
    version = world.dataset_version(declared_digest=digest, uses=["training"])
    assert (version.source, version.row_count, version.size_bytes) == ("declared", None, None)
    document: Any = parse_canonical(read_bytes(version.document_digest))
    assert document["columns"] is None
    assert not is_stored(digest)


def test_what_people_write_about_a_dataset_is_no_clear_text_in_the_ledger(world: World) -> None:
    world.dataset_version(ROWS, origin="Gesammelt von Jürgen.", collection="By hand.")
    sealed = bytes(Entry.objects.order_by("-position")[0].entry)
    assert b"rgen" not in sealed
    assert b"hand" not in sealed
    assert Text.objects.filter(purpose="origin", value="Gesammelt von Jürgen.").exists()


def test_numbers_count_from_one_for_each_dataset(world: World) -> None:
    dataset = world.dataset("counted")
    numbers = [world.dataset_version(dataset=dataset).number for _ in range(3)]
    assert numbers == [1, 2, 3]
    assert world.dataset_version(slug="other").number == 1


def test_the_same_bytes_in_a_dataset_name_the_version_that_is_there(world: World) -> None:
    dataset = world.dataset("twice")
    world.dataset_version(ROWS, dataset=dataset)
    with pytest.raises(Conflict, match="search/twice@1") as refused:
        world.dataset_version(ROWS, dataset=dataset)
    assert refused.value.members["existing"] == "search/twice@1"
    assert DatasetVersion.objects.filter(dataset=dataset).count() == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"uses": []}, "uses"),
        ({"uses": ["decoration"]}, "uses"),
        ({"origin": "  "}, "comes from"),
        ({"consent": "perhaps"}, "consent"),
        ({"digest": None}, "either"),
        ({"state_unknown": True}, "either"),
        ({"declared_digest": "sha256:" + "ab" * 32}, "either"),
        ({"digest": "sha256:zz"}, "digest"),
        ({"digest": "sha256:" + "ab" * 32}, "not uploaded by you"),
        ({"third_party_works": "no", "third_party_basis": "A contract."}, "said to be none"),
        ({"collected_from": TODAY, "collected_until": TODAY - DAY}, "before it begins"),
        ({"collected_until": TODAY + DAY}, "still to come"),
        ({"retain_until": TODAY - DAY}, "has passed"),
        ({"licence": None}, "licence"),
    ],
)
def test_what_is_missing_or_wrong_is_named_and_nothing_is_kept(world: World, change: dict[str, Any], told: str) -> None:
    dataset = world.dataset("careful")
    given: dict[str, Any] = {
        "licence": world.licence(), "origin": "Written.", "uses": ["evaluation"], "digest": world.upload(LINES).digest,
    }  # fmt: skip
    before = Entry.objects.count()
    with pytest.raises(Invalid, match=told) as refused:
        services.register_dataset_version(actor=world.cast.ada, dataset=dataset, **(given | change))
    assert refused.value.hint
    assert not DatasetVersion.objects.filter(dataset=dataset).exists()
    assert Entry.objects.count() == before


def test_declared_data_whose_exact_state_nobody_knows_has_no_digest_and_says_so(world: World) -> None:
    row = services.register_dataset_version(
        actor=world.cast.ada, dataset=world.dataset("mix"), licence=world.licence("LicenseRef-pressmark-unknown"),
        origin="A published mix of collections; their states are not stated.", uses=["training"], state_unknown=True,
    )  # fmt: skip
    assert row.digest is None
    assert row.source == "declared"
    assert row.bound_digest == row.document_digest


def test_broken_bytes_make_no_version(world: World) -> None:
    dataset = world.dataset("broken")
    with pytest.raises(Invalid, match="Line 2 is not JSON"):
        world.dataset_version(data=b'{"a":1}\n{"a":\n', dataset=dataset)
    assert not DatasetVersion.objects.filter(dataset=dataset).exists()


def test_who_is_no_engineer_registers_no_dataset(world: World) -> None:
    for name in ("omar", "carla", "otto", "eve"):
        with pytest.raises(Forbidden):
            services.register_dataset(actor=getattr(world.cast, name), team=world.team, slug="mine")
    assert not Dataset.objects.filter(slug="mine").exists()


def test_a_steward_belongs_to_the_team(world: World) -> None:
    with pytest.raises(Invalid, match="steward"):
        services.register_dataset(actor=world.cast.ada, team=world.team, slug="s", steward=world.cast.people["eve"])
    dataset = services.register_dataset(
        actor=world.cast.ada, team=world.team, slug="s", steward=world.cast.people["carla"]
    )
    assert dataset.steward == world.cast.people["carla"]


def test_a_dataset_name_is_taken_once_in_a_team(world: World, outsider_team: Team) -> None:
    world.dataset("once")
    with pytest.raises(Conflict, match="search/once"):
        services.register_dataset(actor=world.cast.ada, team=world.team, slug="once")
    make_eve_engineer_of(world.cast, outsider_team)
    assert world.dataset("once", actor=world.cast.eve, team=outsider_team).team == outsider_team


def test_a_licence_is_registered_once_while_its_terms_stay(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = world.licence("apache-2.0")
    before = Entry.objects.count()
    assert world.licence("Apache-2.0").pk == first.pk
    assert Entry.objects.count() == before
    changed = licences.terms_of("MIT")
    monkeypatch.setattr(licences, "terms_of", lambda expression: changed)
    second = world.licence("Apache-2.0")
    assert (first.number, second.number) == (1, 2)
    assert Licence.objects.get(pk=first.pk).terms == first.terms


@pytest.mark.usefixtures("committed_db")
@pytest.mark.db_guarantee
def test_a_licence_that_eight_register_at_once_stands_once() -> None:
    cast = Cast.assemble()
    found: list[object] = []
    start = threading.Barrier(8)

    def register() -> None:
        try:
            start.wait()
            found.append(services.register_licence(actor=cast.ada, team=cast.team, expression="MIT").pk)
        except BaseException as error:
            found.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=register) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {Licence.objects.get().pk}


def test_a_reference_names_a_version_by_number_or_digest(world: World) -> None:
    version = world.dataset_version(slug="named")
    ada = world.cast.ada
    assert queries.get_dataset_version(ada, "search/named@1") == version
    assert queries.get_dataset_version(ada, f"search/named@{version.digest[:19]}") == version
    for ref in ("search/named", "search/named@0", "search/named@sha256:abc", "named@1", "search/named@1@1"):
        with pytest.raises(Invalid, match="no reference"):
            queries.get_dataset_version(ada, ref)
    with pytest.raises(NotFound):
        queries.get_dataset_version(world.cast.eve, "search/named@1")


# --- over HTTP --------------------------------------------------------------------------------------------------------


def prepared(cast: Cast) -> tuple[Any, str, str]:
    """Ada's client, the URL of the versions of a new dataset, and the digest of uploaded rows."""
    client = client_for(cast, "ada")
    answer = client.post("/api/v1/teams/search/datasets", {"slug": "sentences", "title": "Sentences"}, format="json")
    assert answer.status_code == 201, answer.content
    return client, "/api/v1/teams/search/datasets/sentences/versions", upload(client, LINES).json()["digest"]


def test_a_dataset_version_over_http_carries_a_receipt(cast: Cast) -> None:
    client, url, digest = prepared(cast)
    body = {"licence": "psf-2.0", "origin": "Cut from prose.", "uses": ["evaluation"], "digest": digest}
    answer = client.post(url, body, format="json")
    assert answer.status_code == 201, answer.content
    assert answer["Pressmark-Receipt"]
    assert answer.json()["ref"] == "search/sentences@1"
    assert answer.json()["licence"] == "PSF-2.0"
    assert client.get(f"{url}/1").json()["row_count"] == 2
    assert [item["number"] for item in client.get(url).json()["items"]] == [1]


def test_a_dataset_without_a_licence_is_refused_over_http_and_nothing_is_kept(cast: Cast) -> None:
    client, url, digest = prepared(cast)
    before = Entry.objects.count()
    for licence in ({}, {"licence": ""}, {"licence": "  "}):
        answer = client.post(
            url, {"origin": "Prose.", "uses": ["evaluation"], "digest": digest, **licence}, format="json"
        )
        body = problem(answer, 422, "licence-missing")
        assert "LicenseRef-pressmark-unknown" in body["hint"]
    assert not DatasetVersion.objects.exists()
    assert Entry.objects.count() == before


def test_an_unknown_licence_is_refused_over_http_with_close_ids_and_nothing_is_kept(cast: Cast) -> None:
    client, url, digest = prepared(cast)
    before = Entry.objects.count()
    answer = client.post(
        url, {"licence": "Apache2", "origin": "Prose.", "uses": ["evaluation"], "digest": digest}, format="json"
    )
    body = problem(answer, 422, "licence-unknown")
    assert body["unknown"] == ["Apache2"]
    assert "Apache-2.0" in body["close"]
    assert not DatasetVersion.objects.exists()
    assert not Licence.objects.exists()
    assert Entry.objects.count() == before


def test_a_repeat_with_the_same_key_gets_the_same_answer_and_makes_nothing_new(cast: Cast) -> None:
    client, url, digest = prepared(cast)
    body = {"licence": "MIT", "origin": "Prose.", "uses": ["evaluation"], "digest": digest}
    first = client.post(url, body, format="json", HTTP_IDEMPOTENCY_KEY="once")
    second = client.post(url, body, format="json", HTTP_IDEMPOTENCY_KEY="once")
    assert first.json() == second.json()
    assert first["Pressmark-Receipt"] == second["Pressmark-Receipt"]
    assert DatasetVersion.objects.count() == 1


def test_whoever_may_not_see_a_dataset_does_not_find_it_over_http(cast: Cast, outsider_team: Team) -> None:
    _, url, digest = prepared(cast)
    make_eve_engineer_of(cast, outsider_team)
    eve = client_for(cast, "eve")
    for path in (url, url.removesuffix("/versions"), f"{url}/1", "/api/v1/teams/search/datasets"):
        problem(eve.get(path), 404, "not-found")
    body = {"licence": "MIT", "origin": "Prose.", "uses": ["evaluation"], "digest": digest}
    problem(eve.post(url, body, format="json"), 404, "not-found")


def test_the_pack_and_the_registered_licences_are_listed(cast: Cast) -> None:
    client = client_for(cast, "carla")
    listed = client.get("/api/v1/licences").json()
    assert any(item["expression"] == "Apache-2.0" and item["answers"]["notice"] for item in listed["items"])
    answer = client.post("/api/v1/teams/search/licences", {"expression": "mit"}, format="json")
    assert answer.status_code == 201, answer.content
    assert [i["expression"] for i in client.get("/api/v1/teams/search/licences").json()["items"]] == ["MIT"]


def test_what_is_stated_about_collection_others_and_retention_is_kept_days_in_clear_sentences_as_texts(
    world: World,
) -> None:
    version = world.dataset_version(
        ROWS, third_party_works="yes", third_party_basis="A contract with the publisher.", opt_out_honoured="yes",
        owner="Musterverlag GmbH", known_biases="Mostly adults.", collected_from=TODAY - 9 * DAY,
        collected_until=TODAY - DAY, retain_until=TODAY + 99 * DAY,
    )  # fmt: skip
    document: Any = parse_canonical(read_bytes(version.document_digest))
    assert (document["collected_from"], document["collected_until"], document["retain_until"]) == tuple(
        day.isoformat() for day in (TODAY - 9 * DAY, TODAY - DAY, TODAY + 99 * DAY)
    )
    assert document["opt_out_honoured"] == "yes"
    sealed = bytes(Entry.objects.order_by("-position")[0].entry)
    assert not any(words in sealed for words in (b"contract", b"Musterverlag", b"adults"))
    kept = DatasetVersion.objects.get(pk=version.pk)
    assert (str(kept.third_party_basis), str(kept.owner), str(kept.known_biases)) == (
        "A contract with the publisher.", "Musterverlag GmbH", "Mostly adults.",
    )  # fmt: skip


FILES = [
    {"path": "part/2.parquet", "digest": "sha256:" + "22" * 32, "size_bytes": 5},
    {"path": "part/1.parquet", "digest": "sha256:" + "11" * 32, "size_bytes": 7},
]


def test_files_elsewhere_are_bound_by_the_digest_of_their_list_whatever_its_order(world: World) -> None:
    given: dict[str, Any] = {"licence": world.licence(), "origin": "A bucket.", "uses": ["training"]}
    versions = [
        services.register_dataset_version(
            actor=world.cast.ada, dataset=world.dataset(slug), declared_files=files, **given
        )
        for slug, files in (("forwards", FILES), ("backwards", FILES[::-1]))
    ]
    by_path = [{"digest": f["digest"], "path": f["path"], "size_bytes": f["size_bytes"]} for f in FILES[::-1]]
    wanted = canonical({"files": by_path, "type": "pressmark/dataset_files/1"})
    assert [v.digest for v in versions] == [f"sha256:{hashlib.sha256(wanted).hexdigest()}"] * 2
    assert {(v.source, v.size_bytes, v.row_count) for v in versions} == {("declared", 12, None)}
    document: Any = parse_canonical(read_bytes(versions[0].document_digest))
    assert document["files"] == by_path


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ([FILES[0], FILES[0]], "stands twice"),
        ([FILES[0] | {"path": "../up"}], "no allowed path"),
        ([FILES[0] | {"digest": "md5:1"}], "no digest"),
        ([FILES[0] | {"size_bytes": -1}], "no size"),
        ([], "either"),
    ],
)
def test_a_list_of_files_that_names_no_state_is_refused(world: World, files: list[Any], told: str) -> None:
    with pytest.raises(Invalid, match=told):
        services.register_dataset_version(
            actor=world.cast.ada, dataset=world.dataset("listed"), licence=world.licence(), origin="A bucket.",
            uses=["training"], declared_files=files,
        )  # fmt: skip


def test_over_http_everything_that_is_stated_comes_back(world: World) -> None:
    ada = client_for(world.cast, "ada")
    world.dataset("stated")
    body = {
        "licence": "CC-BY-4.0", "origin": "A publisher.", "uses": ["training"], "declared_files": FILES, "owner": "Verlag",
        "third_party_works": "yes", "third_party_basis": "A contract.", "opt_out_honoured": "no",
        "known_biases": "Old people are missing.", "collected_from": "2020-01-01", "collected_until": "2020-02-01",
        "retain_until": "2999-12-31",
    }  # fmt: skip
    answer = ada.post("/api/v1/teams/search/datasets/stated/versions", body, format="json")
    assert answer.status_code == 201, answer.content
    shown = ada.get("/api/v1/teams/search/datasets/stated/versions/1").json()
    assert shown | {"created_at": ""} == answer.json() | {"created_at": ""}
    same = {name: value for name, value in body.items() if name not in ("licence", "declared_files")}
    assert {name: shown[name] for name in same} == same
    wrong = ada.post(
        "/api/v1/teams/search/datasets/stated/versions", body | {"retain_until": "soon", "owner": "x"}, format="json"
    )
    assert "retain_until" in problem(wrong, 422, "invalid")["fields"]

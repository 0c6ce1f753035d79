"""A state of data of several uploaded files: one digest over their list, each file by its own; read, profiled and judged by one."""

from __future__ import annotations

from typing import Any

import pytest

from audit.models import Entry
from registry import storage
from registry.access import services as access
from registry.access.models import Membership, Role, Team
from registry.compression.material import rows_are_here, rows_file
from registry.digests import canonical, parse_canonical, sha256
from registry.errors import Conflict, Gone, Invalid, NotFound
from registry.provenance import queries, services
from registry.provenance.croissant import croissant
from registry.provenance.croissant_api import described
from registry.provenance.dataset_files import files_of, get_file, states_holding, states_within
from registry.provenance.models import DatasetFile, DatasetVersion
from registry.release import recall_reach
from tests.failing import keeps_nothing_without_ledger
from tests.provenance.http import client_for, make_eve_engineer_of, problem, upload
from tests.world import World

TRAIN = b'{"text":"one","label":1}\n{"text":"two","label":0}\n'
TEST = b'{"text":"three","label":1}\n'


def last_events(count: int) -> list[dict[str, Any]]:
    rows = Entry.objects.order_by("-position")[:count]
    return [dict(parse_canonical(bytes(row.entry))["event"]) for row in reversed(rows)]  # type: ignore[arg-type,call-overload,index]


def test_the_digest_is_that_of_the_sorted_list_and_rows_are_those_of_all_files(world: World) -> None:
    version = world.files_version({"b/test.jsonl": TEST, "a/train.jsonl": TRAIN})
    files = [
        {"digest": sha256(TRAIN), "path": "a/train.jsonl", "size_bytes": len(TRAIN)},
        {"digest": sha256(TEST), "path": "b/test.jsonl", "size_bytes": len(TEST)},
    ]
    assert version.digest == sha256(canonical({"files": files, "type": "pressmark/dataset_files/1"}))
    assert (version.row_count, version.size_bytes, version.source) == (3, len(TRAIN) + len(TEST), "measured")
    document: Any = parse_canonical(storage.read_bytes(version.document_digest))
    assert (document["files"], document["format"], document["row_count"]) == (files, "jsonl", 3)
    assert [c["name"] for c in document["columns"]] == ["label", "text"]
    (event,) = last_events(1)
    assert [r["type"] for r in event["records"]].count("provenance.dataset_file/1") == 2


def test_a_file_that_stands_alone_names_the_state_by_its_own_digest(world: World) -> None:
    alone = world.files_version({"rows.jsonl": TEST})
    assert alone.digest == sha256(TEST)
    with pytest.raises(Conflict, match="same bytes"):
        world.dataset_version(data=TEST, dataset=alone.dataset)
    assert [(f.path, f.row_count) for f in files_of(world.dataset_version(data=TEST, slug="plain"))] == [("data", 1)]


def test_files_of_several_formats_agree_on_neither_format_nor_columns(world: World) -> None:
    version = world.files_version({"a.jsonl": TRAIN, "b.csv": b"x,y\n1,2\n"})
    document: Any = parse_canonical(storage.read_bytes(version.document_digest))
    assert (document["format"], document["columns"], document["row_count"]) == (None, None, 3)


def test_many_files_are_sealed_in_several_events_of_one_unit(world: World) -> None:
    version = world.files_version({f"part-{n:03}.csv": f"x\n{n}\n".encode() for n in range(130)})
    events = last_events(3)
    assert [e["kind"] for e in events] == [
        "dataset_version.registered",
        "dataset_file.registered",
        "dataset_file.registered",
    ]
    assert len({e["unit"] for e in events}) == 1
    assert version.files.count() == version.row_count == 130


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({"../a.csv": TRAIN}, "allowed path"),
        ({"a.csv": TRAIN, "A.CSV": TEST}, "twice"),
        ({"a.jsonl": TRAIN, "notes.md": b"\x00binary"}, r"notes\.md: "),
    ],
)
def test_a_path_or_a_file_that_is_no_data_is_refused_by_name(world: World, files: dict[str, bytes], match: str) -> None:
    with pytest.raises(Invalid, match=match):
        world.files_version(files)
    assert not DatasetVersion.objects.exists()


def test_bytes_of_others_and_two_ways_at_once_are_refused_and_nothing_is_kept_without_a_ledger(world: World) -> None:
    rows = world.upload(TRAIN)
    given = {
        "actor": world.cast.ada,
        "dataset": world.dataset(),
        "licence": world.licence(),
        "origin": "A test.",
        "uses": ["training"],
    }
    with pytest.raises(Invalid, match=r"'x\.csv' .* not uploaded by you"):
        services.register_dataset_version(**given, files=[{"path": "x.csv", "digest": "sha256:" + "ab" * 32}])
    with pytest.raises(Invalid) as refused:
        services.register_dataset_version(**given, digest=rows.digest, files=[{"path": "x.csv", "digest": rows.digest}])
    assert refused.value.code == "one-digest"
    again = [{"path": "x.jsonl", "digest": rows.digest}]
    keeps_nothing_without_ledger(
        lambda: services.register_dataset_version(**given, files=again), DatasetVersion, DatasetFile
    )


def test_whoever_may_download_gets_one_file_over_http_and_nobody_else(world: World, outsider_team: Team) -> None:
    ada = client_for(world.cast, "ada")
    dataset = world.dataset("shards")
    files = [
        {"path": p, "digest": upload(ada, d).json()["digest"]} for p, d in (("a/x.jsonl", TRAIN), ("y.jsonl", TEST))
    ]
    body = {"licence": "MIT", "origin": "A test.", "uses": ["training"], "files": files}
    made = ada.post("/api/v1/teams/search/datasets/shards/versions", body, format="json")
    assert made.status_code == 201, made.content
    assert [(f["path"], f["row_count"]) for f in made.json()["files"]] == [("a/x.jsonl", 2), ("y.jsonl", 1)]
    door = "/api/v1/teams/search/datasets/shards/versions/1/files"
    got = ada.get(f"{door}/a/x.jsonl")
    assert b"".join(got.streaming_content) == TRAIN
    assert got["Pressmark-Digest"] == sha256(TRAIN)
    assert "y.jsonl" in problem(ada.get(f"{door}/z.jsonl"), 404, "not-found")["hint"]
    viewer = world.cast.people["eve"]
    access.grant_membership(actor=world.cast.root, person=viewer, role=Role.VIEWER, team=world.team)
    eve = client_for(world.cast, "eve")
    assert eve.get("/api/v1/teams/search/datasets/shards/versions/1").status_code == 200
    problem(eve.get(f"{door}/y.jsonl"), 403, "forbidden")
    access.end_membership(actor=world.cast.root, membership=Membership.objects.get(actor=viewer, team=world.team))
    make_eve_engineer_of(world.cast, outsider_team)
    problem(client_for(world.cast, "eve").get(f"{door}/y.jsonl"), 404, "not-found")
    assert queries.usable_digests(world.cast.ada, {sha256(TRAIN)}) == {sha256(TRAIN)}
    assert dataset.versions.count() == 1


def test_a_run_reads_one_file_which_is_named_where_there_are_several(world: World) -> None:
    version = world.files_version({"test.jsonl": TEST, "train.jsonl": TRAIN}, uses=["evaluation"])
    with pytest.raises(Invalid, match=r"test\.jsonl, train\.jsonl") as refused:
        rows_file(version, None, "evaluation_file")
    assert refused.value.code == "data-of-several-files"
    assert "evaluation_file" in refused.value.hint
    assert rows_file(version, "test.jsonl").digest == sha256(TEST)
    with pytest.raises(NotFound):
        rows_file(version, "nothing.jsonl")
    assert rows_are_here(version)


def test_a_purge_takes_every_file_but_what_others_need(world: World) -> None:
    from registry.oversight.subjects import of_dataset_version
    from registry.release.services import confirm_purge, request_purge

    version = world.files_version({"test.jsonl": TEST, "train.jsonl": TRAIN})
    other = world.dataset_version(data=TEST, slug="other")
    asked = request_purge(actor=world.cast.carla, subject=of_dataset_version(version), reason="Withdrawn.")
    done = confirm_purge(actor=world.cast.root, purge=asked)
    assert done.freed_bytes == len(TRAIN)
    assert (storage.is_stored(sha256(TRAIN)), storage.is_stored(sha256(TEST))) == (False, True)
    with pytest.raises(Gone, match=r"Withdrawn\."):
        get_file(DatasetVersion.objects.get(pk=version.pk), "test.jsonl")
    assert not rows_are_here(DatasetVersion.objects.get(pk=version.pk))
    again = request_purge(actor=world.cast.carla, subject=of_dataset_version(other), reason="Withdrawn.")
    assert confirm_purge(actor=world.cast.root, purge=again).freed_bytes == len(TEST)


def test_croissant_names_every_file(world: World) -> None:
    version = world.files_version({"a/test.jsonl": TEST, "train.jsonl": TRAIN})
    document = croissant(described(version, "https://registry.example/data"))
    assert [(f["@id"], f["sha256"], f["encodingFormat"]) for f in document["distribution"]] == [
        ("a/test.jsonl", sha256(TEST)[7:], "application/jsonlines"),
        ("train.jsonl", sha256(TRAIN)[7:], "application/jsonlines"),
    ]
    assert [(r["@id"], r["annotation"]["value"]) for r in document["recordSet"]] == [("rows-1", 1), ("rows-2", 2)]
    read = {field["source"]["fileObject"]["@id"] for records in document["recordSet"] for field in records["field"]}
    assert read == {"a/test.jsonl", "train.jsonl"}
    keys = [field["@id"] for records in document["recordSet"] for field in records["field"]]
    assert len(keys) == len(set(keys)) == 4


def test_a_recall_of_rows_reaches_whatever_holds_all_of_them(world: World) -> None:
    alone = world.dataset_version(data=TEST, slug="alone")
    both = world.files_version({"test.jsonl": TEST, "train.jsonl": TRAIN}, slug="both")
    assert recall_reach.same_rows(alone.pk) == {alone.pk, both.pk}
    assert recall_reach.same_rows(both.pk) == {both.pk}
    assert states_holding([alone]) == {alone.pk, both.pk}
    assert states_within([both]) == {alone.pk, both.pk}
    assert states_within([alone]) == {alone.pk}

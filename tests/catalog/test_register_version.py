"""Registering a version: what is recorded, and which files are refused."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connections

from audit.models import Entry
from registry.access.models import Team
from registry.catalog import queries, services
from registry.catalog.edges import EdgeSpec
from registry.catalog.manifest import FileSpec
from registry.catalog.models import Artifact, Edge, ModelVersion
from registry.digests import parse_canonical, sha256
from registry.errors import Conflict, Forbidden, Invalid, NotFound
from registry.storage import path_of, read_bytes
from tests.catalog import hostile
from tests.provenance.http import make_eve_engineer_of
from tests.world import Cast, World
from tests.worlds.catalog import make_onnx


def events(count: int) -> list[dict[str, Any]]:
    rows = Entry.objects.order_by("-position")[:count]
    entries: list[Any] = [parse_canonical(bytes(row.entry)) for row in reversed(rows)]
    return [dict(entry["event"]) for entry in entries]


def test_a_version_is_named_by_the_digest_of_its_manifest(world: World) -> None:
    version = world.version(
        files={("model.onnx", "weights"): world.tiny_onnx(), ("config.json", "configuration"): b"{}"}
    )
    document: Any = parse_canonical(read_bytes(version.digest))
    assert document["type"] == "pressmark/version/1"
    assert [(f["path"], f["role"]) for f in document["files"]] == [
        ("config.json", "configuration"), ("model.onnx", "weights"),
    ]  # fmt: skip
    assert version.digest == sha256(queries.version_document(version))
    assert (version.number, version.format, version.origin) == (1, "onnx", "uploaded")
    assert version.size_bytes == len(world.tiny_onnx()) + 2


def test_registering_is_one_event_with_files_and_note_and_one_with_the_structure(world: World) -> None:
    version = world.version(note="Für die Suche.")
    registered, attached = events(2)
    assert registered["kind"] == "version.registered"
    assert sorted(r["type"] for r in registered["records"]) == [
        "access.text/1", "catalog.artifact/1", "catalog.version/1",
    ]  # fmt: skip
    assert [r["digest"] for r in registered["refs"]] == [version.digest]
    assert attached["kind"] == "evidence.attached"
    assert registered["unit"] == attached["unit"]


def test_structure_is_evidence_from_the_first_moment(world: World) -> None:
    version = world.version()
    ((row, document),) = queries.evidence_documents(version)
    assert (row.kind, row.source) == ("structure", "measured")
    values = {f["metric"]: f["value"] for f in document["figures"]}
    assert values["parameter_count"] == str(64 * 128 * 2)
    assert values["weight_bytes"] == str(64 * 128 * 2 * 4)


def test_many_files_go_into_several_events_that_each_fit(world: World) -> None:
    files = {("model.onnx", "weights"): world.tiny_onnx()}
    files |= {(f"{'long-name' * 20}/{'deep-folder' * 17}/{n:04}.txt", "other"): b"x" for n in range(250)}
    version = world.version(files=files)
    assert version.artifacts.count() == 251
    kinds = [e["kind"] for e in events(5)]
    assert kinds == ["version.registered", *["artifact.registered"] * 3, "evidence.attached"]


def test_numbers_count_up_and_the_same_files_name_the_version_that_is_there(world: World) -> None:
    model = world.model("line")
    assert [world.version(model, seed=seed).number for seed in (1, 2, 3)] == [1, 2, 3]
    before = Entry.objects.count()
    with pytest.raises(Conflict, match="search/line@2") as refused:
        world.version(model, seed=2)
    assert refused.value.code == "duplicate"
    assert refused.value.members["existing"] == "search/line@2"
    assert Entry.objects.count() == before


def test_the_same_files_may_live_in_two_models(world: World) -> None:
    assert world.version(world.model()).digest == world.version(world.model()).digest


def test_external_data_that_comes_with_the_model_is_taken(world: World) -> None:
    version = world.version(
        files={
            ("net/model.onnx", "weights"): hostile.external_onnx("model.data"),
            ("net/model.data", "external_data"): hostile.external_bytes(),
        }
    )
    assert version.artifacts.count() == 2


def test_safetensors_are_a_format_of_their_own(world: World) -> None:
    assert world.version(files={("w.safetensors", "weights"): hostile.safetensors()}).format == "safetensors"


ONNX = make_onnx(1)


def named(value: Any) -> str:
    """The name of a case: its words, not its bytes."""
    return value if isinstance(value, str) else type(value).__name__


@pytest.mark.parametrize(
    ("files", "code", "told"),
    [
        ({("model.onnx", "weights"): hostile.TRUNCATED}, "file-truncated", "model.onnx"),
        ({("model.onnx", "weights"): b""}, "file-truncated", "empty"),
        ({("model.onnx", "weights"): hostile.PICKLE}, "pickle-refused", "pickle"),
        ({("model.pt2", "weights"): hostile.torch_archive()}, "pickle-refused", "pickle"),
        ({("model.bin", "weights"): hostile.torch_archive()}, "pickle-refused", "pickle"),
        ({("model.onnx", "weights"): ONNX, ("extra.txt", "other"): hostile.PICKLE}, "pickle-refused", "extra.txt"),
        ({("model.onnx", "weights"): ONNX, ("tokenizer.json", "tokenizer"): hostile.torch_archive()}, "pickle-refused", ""),
        ({("model.safetensors", "weights"): ONNX}, "format-mismatch", "holds onnx"),
        ({("model.onnx", "weights"): hostile.safetensors()}, "format-mismatch", "holds safetensors"),
        ({("model.bin", "weights"): b"GGUF" + bytes(64)}, "format-unknown", "GGUF"),
        ({("model.onnx", "weights"): ONNX, ("aside.onnx", "other"): hostile.TRUNCATED}, "file-truncated", "aside.onnx"),
        ({("model.onnx", "weights"): hostile.external_onnx("../secret")}, "external-data-refused", "leaves the folder"),
        ({("model.onnx", "weights"): hostile.external_onnx("/etc/passwd")}, "external-data-refused", "absolute"),
        ({("model.onnx", "weights"): hostile.external_onnx("w.data")}, "external-data-refused", "not among the files"),
        ({("model.onnx", "weights"): hostile.external_onnx("w.data"), ("sub/w.data", "external_data"): b"x" * 256},
         "external-data-refused", "not among"),
        ({("model.onnx", "weights"): hostile.external_onnx("w.data"), ("w.data", "other"): b"x" * 256},
         "manifest", "whose role is 'other'"),
        ({("model.onnx", "weights"): ONNX, ("w.data", "external_data"): b"x" * 256}, "manifest", "no weights file refers"),
        ({("config.json", "configuration"): b"{}"}, "manifest", "No file has the role weights"),
        ({("model.onnx", "weights"): ONNX, ("w.safetensors", "weights"): hostile.safetensors()}, "manifest", "formats"),
        ({("model.onnx", "weights"): ONNX, ("MODEL.onnx", "other"): ONNX}, "manifest", "twice"),
        ({("../model.onnx", "weights"): ONNX}, "manifest", "path"),
        ({("model.onnx", "weights"): ONNX, ("nul.txt", "other"): b"x"}, "manifest", "path"),
        ({("model.onnx", "decoration"): ONNX}, "manifest", "role"),
    ],
    ids=named,
)  # fmt: skip
def test_bad_files_are_refused_by_name_and_nothing_is_kept(world: World, files: Any, code: str, told: str) -> None:
    model = world.model()
    licence = world.licence()
    specs = [FileSpec(path, role, world.upload(data).digest) for (path, role), data in files.items()]
    before = Entry.objects.count()
    with pytest.raises(Invalid) as refused:
        services.register_version(
            actor=world.cast.ada, model=model, files=specs, licence=licence, training_data="complete"
        )
    assert refused.value.code == code
    assert told in refused.value.detail
    assert refused.value.hint
    assert not ModelVersion.objects.exists()
    assert not Artifact.objects.exists()
    assert Entry.objects.count() == before


def test_a_digest_that_nobody_uploaded_and_one_of_another_team_get_the_same_answer(
    world: World, outsider_team: Team
) -> None:
    make_eve_engineer_of(world.cast, outsider_team)
    world.version()
    theirs = world.model(actor=world.cast.eve, owner=world.cast.people["eve"], team=outsider_team)
    told = []
    for digest in (sha256(world.tiny_onnx()), "sha256:" + "ab" * 32):
        with pytest.raises(Invalid) as refused:
            services.register_version(
                actor=world.cast.eve, model=theirs, files=[FileSpec("model.onnx", "weights", digest)],
                licence=world.licence(), training_data="unknown",
            )  # fmt: skip
        told.append(refused.value.detail.replace(digest, "D"))
        assert refused.value.code == "not-uploaded"
    assert told[0] == told[1]


def test_files_of_a_version_that_one_may_download_may_be_named_without_an_upload(world: World) -> None:
    version = world.version()
    (artifact,) = version.artifacts.all()
    with pytest.raises(Invalid):  # otto registers nothing and so has uploaded nothing, but he may download
        services.inspect_files(actor=world.cast.eve, files=[FileSpec("m.onnx", "weights", artifact.digest)])
    manifest = services.inspect_files(actor=world.cast.otto, files=[FileSpec("m.onnx", "weights", artifact.digest)])
    assert manifest.format == "onnx"


def test_a_viewer_cannot_bring_bytes_that_he_may_only_see_into_a_team_of_his_own(
    world: World, outsider_team: Team
) -> None:
    from registry.access import services as access
    from registry.access.models import Role

    make_eve_engineer_of(world.cast, outsider_team)
    access.grant_membership(actor=world.cast.root, person=world.cast.people["eve"], role=Role.VIEWER, team=world.team)
    (artifact,) = world.version().artifacts.all()
    with pytest.raises(Invalid, match="not uploaded by you"):
        services.inspect_files(actor=world.cast.eve, files=[FileSpec("m.onnx", "weights", artifact.digest)])


def test_bytes_that_were_swept_away_are_asked_for_again(world: World) -> None:
    digest = world.upload(world.tiny_onnx()).digest
    path_of(digest).unlink()
    with pytest.raises(Invalid, match="not here"):
        services.inspect_files(actor=world.cast.ada, files=[FileSpec("m.onnx", "weights", digest)])


def test_who_is_no_engineer_registers_no_version(world: World) -> None:
    model = world.model()
    for name in ("omar", "carla", "otto", "eve"):
        with pytest.raises(Forbidden):
            services.register_version(
                actor=getattr(world.cast, name),
                model=model,
                files=[],
                licence=world.licence(),
                training_data="complete",
            )


# --- edges ------------------------------------------------------------------------------------------------------------


def test_edges_are_recorded_as_declared(world: World) -> None:
    base, data = world.version(), world.dataset_version(uses=["training"])
    outside = "sha256:" + "cd" * 32
    child = world.version(
        seed=2,
        edges=[
            EdgeSpec("base", ("fine-tuned", "pruned"), parent=base),
            EdgeSpec("data", dataset_version=data),
            EdgeSpec("teacher", ("distilled",), parent_digest=outside),
        ],
    )
    rows = {e.role: e for e in child.parent_edges.all()}
    assert {e.grade for e in rows.values()} == {"declared"}
    assert rows["base"].operations == ["fine-tuned", "pruned"]
    assert [rows[r].parent_digest for r in ("base", "data", "teacher")] == [base.digest, data.digest, outside]


@pytest.mark.parametrize(
    ("edge", "told"),
    [
        ({"role": "friend", "parent_digest": "sha256:" + "cd" * 32}, "role 'friend' is not known"),
        ({"role": "base", "operations": ("shrunk",), "parent_digest": "sha256:" + "cd" * 32}, "'shrunk' is not known"),
        ({"role": "base", "grade": "executed", "parent_digest": "sha256:" + "cd" * 32}, "declared"),
        ({"role": "base", "grade": "re-derived", "parent_digest": "sha256:" + "cd" * 32}, "declared"),
        ({"role": "base"}, "no parent"),
        ({"role": "base", "parent_digest": "cd"}, "no parent"),
    ],
)
def test_an_edge_that_breaks_a_rule_is_refused(world: World, edge: dict[str, Any], told: str) -> None:
    with pytest.raises(Invalid, match=told):
        world.version(edges=[EdgeSpec(**edge)])
    assert not Edge.objects.exists()


def test_a_dataset_is_no_base_and_a_model_is_no_data(world: World) -> None:
    base, data = world.version(), world.dataset_version()
    for edge in (EdgeSpec("base", dataset_version=data), EdgeSpec("data", parent=base)):
        with pytest.raises(Invalid):
            world.version(seed=2, edges=[edge])
    with pytest.raises(Invalid, match="twice"):
        world.version(seed=2, edges=[EdgeSpec("base", parent=base), EdgeSpec("base", ("pruned",), parent=base)])


def test_deriving_needs_read_on_the_parent(world: World, outsider_team: Team) -> None:
    make_eve_engineer_of(world.cast, outsider_team)
    theirs = world.model(actor=world.cast.eve, owner=world.cast.people["eve"], team=outsider_team)
    with pytest.raises(NotFound, match="no such parent"):
        services.register_version(
            actor=world.cast.eve, model=theirs, files=[], licence=world.licence(), training_data="complete",
            edges=[EdgeSpec("base", parent=world.version())],
        )  # fmt: skip


def test_a_derived_version_has_executed_edges_and_the_terms_and_uploader_of_its_origin(world: World) -> None:
    parent = world.version(licence="MIT", training_data="incomplete")
    data = world.dataset_version(uses=["calibration"])
    child = world.derived_version(parent, data=[data])
    assert (child.number, child.origin, child.licence.expression) == (2, "derived", "MIT")
    assert child.training_data == "incomplete"
    assert child.created_by == world.cast.people["ada"]
    assert {(e.role, e.grade, tuple(e.operations)) for e in child.parent_edges.all()} == {
        ("base", "executed", ("quantized",)), ("data", "executed", ()),
    }  # fmt: skip
    event = events(2)[0]
    assert event["actor"]["role"] == "system"
    assert event["actor"]["on_behalf_of"] == str(world.cast.ada.actor_id)


# --- several at once --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("committed_db")
@pytest.mark.db_guarantee
def test_eight_at_once_get_gapless_numbers_and_all_stand_in_the_ledger() -> None:
    cast = Cast.assemble()
    world = World(cast)
    model, licence = world.model("busy"), world.licence()
    specs = [FileSpec("model.onnx", "weights", world.upload(make_onnx(seed, 8)).digest) for seed in range(24)]
    failures: list[BaseException] = []
    start = threading.Barrier(8)

    def register(mine: list[FileSpec]) -> None:
        try:
            start.wait()
            for spec in mine:
                services.register_version(
                    actor=cast.ada, model=model, files=[spec], licence=licence, training_data="unknown"
                )
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=register, args=(specs[n::8],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(ModelVersion.objects.values_list("number", flat=True)) == list(range(1, 25))
    sealed: list[Any] = [parse_canonical(bytes(e.entry)) for e in Entry.objects.filter(stream=f"model:{model.pk}")]
    numbers = [
        record["row"]["number"]
        for entry in sorted(sealed, key=lambda entry: entry["stream_seq"])
        for record in entry["event"]["records"]
        if record["type"] == "catalog.version/1"
    ]
    assert numbers == list(range(1, 25))
    assert sorted(entry["stream_seq"] for entry in sealed) == list(range(1, len(sealed) + 1))

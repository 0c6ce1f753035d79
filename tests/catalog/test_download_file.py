"""The bytes of a version: downloads, ranges, copies for a run, and what happens when bytes are not what they were."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from registry.access import services as access
from registry.access.models import Role
from registry.catalog import queries
from registry.catalog.models import ModelVersion
from registry.errors import BytesDiffer
from registry.storage import path_of
from tests.provenance.http import client_for, problem
from tests.world import Cast, World

URL = "/api/v1/teams/search/models/net/versions/1/files/"
DATA = bytes(range(256)) * 8


@pytest.fixture
def version(world: World) -> ModelVersion:
    files = {("model.onnx", "weights"): world.tiny_onnx(), ("sub dir/data (1).txt", "other"): DATA}
    return world.version(world.model("net"), files=files)


@pytest.fixture
def ada(cast: Cast, version: ModelVersion) -> Any:
    return client_for(cast, "ada")


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


def tamper(digest: str, data: bytes) -> None:
    path = path_of(digest)
    os.chmod(path, 0o644)
    path.write_bytes(data)


def test_a_file_comes_as_an_attachment_with_its_digest(ada: Any) -> None:
    answer = ada.get(URL + "sub dir/data (1).txt")
    assert answer.status_code == 200
    assert body(answer) == DATA
    digest = hashlib.sha256(DATA)
    assert answer["Pressmark-Digest"] == f"sha256:{digest.hexdigest()}"
    assert answer["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert answer["Content-Disposition"] == 'attachment; filename="data (1).txt"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Length"] == str(len(DATA))


def test_the_head_of_a_file_says_the_same_and_leaves_no_file_open(ada: Any) -> None:
    answer = ada.head(URL + "sub dir/data (1).txt")
    assert answer.status_code == 200
    assert answer["Content-Length"] == str(len(DATA))
    assert answer["ETag"]
    answer.close()
    held = [
        os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")
    ]
    assert not [path for path in held if hashlib.sha256(DATA).hexdigest() in path]


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-9", 0, 9), ("bytes=10-", 10, 2047), ("bytes=-5", 2043, 2047), ("bytes=2000-9999", 2000, 2047),
     ("bytes=-9999", 0, 2047)],
)  # fmt: skip
def test_one_range_is_honoured(ada: Any, asked: str, first: int, last: int) -> None:
    answer = ada.get(URL + "sub dir/data (1).txt", HTTP_RANGE=asked)
    assert answer.status_code == 206
    assert answer["Content-Range"] == f"bytes {first}-{last}/2048"
    assert body(answer) == DATA[first : last + 1]
    assert answer["Content-Length"] == str(last - first + 1)


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,5-6", "lines=0-1", "bytes=9-5", "bytes=-", "nonsense", f"bytes={'9' * 5000}-"]
)
def test_a_range_that_is_not_understood_gives_the_whole_file(ada: Any, asked: str) -> None:
    answer = ada.get(URL + "sub dir/data (1).txt", HTTP_RANGE=asked)
    assert answer.status_code == 200
    assert body(answer) == DATA


@pytest.mark.parametrize("asked", ["bytes=2048-", "bytes=5000-6000", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(ada: Any, asked: str) -> None:
    problem(ada.get(URL + "sub dir/data (1).txt", HTTP_RANGE=asked), 416, "range")


def test_a_range_of_other_bytes_than_before_gives_the_whole_file(ada: Any) -> None:
    whole = ada.get(URL + "sub dir/data (1).txt")
    body(whole)
    same = ada.get(URL + "sub dir/data (1).txt", HTTP_RANGE="bytes=0-9", HTTP_IF_RANGE=whole["ETag"])
    assert same.status_code == 206
    body(same)
    other = ada.get(URL + "sub dir/data (1).txt", HTTP_RANGE="bytes=0-9", HTTP_IF_RANGE='"else"')
    assert other.status_code == 200
    assert body(other) == DATA


def test_a_viewer_sees_a_version_but_does_not_get_its_bytes(cast: Cast, version: ModelVersion) -> None:
    access.grant_membership(actor=cast.root, person=cast.people["eve"], role=Role.VIEWER, team=cast.team)
    eve = client_for(cast, "eve")
    assert eve.get("/api/v1/teams/search/models/net/versions/1").status_code == 200
    problem(eve.get(URL + "model.onnx"), 403, "forbidden")


@pytest.mark.parametrize("path", ["nothing.txt", "../../secret", "sub dir"])
def test_a_path_outside_the_manifest_is_not_found(ada: Any, path: str) -> None:
    assert ada.get(URL + path).status_code == 404


def test_missing_or_shortened_bytes_are_refused_before_the_first(ada: Any, version: ModelVersion) -> None:
    digest = version.artifacts.get(path="sub dir/data (1).txt").digest
    tamper(digest, DATA[:-1])
    problem(ada.get(URL + "sub dir/data (1).txt"), 409, "bytes-differ")
    path_of(digest).unlink()
    problem(ada.get(URL + "sub dir/data (1).txt"), 409, "bytes-differ")


def test_changed_bytes_of_the_same_size_are_found_by_reading_again(version: ModelVersion) -> None:
    queries.rehash_version(version)
    artifact = version.artifacts.get(path="sub dir/data (1).txt")
    tamper(artifact.digest, DATA[:-1] + b"?")
    with pytest.raises(BytesDiffer, match=artifact.digest):
        queries.rehash_version(version)


def test_a_changed_manifest_is_found_by_reading_again(version: ModelVersion) -> None:
    tamper(version.digest, queries.version_document(version).replace(b"weights", b"weightz"))
    with pytest.raises(BytesDiffer):
        queries.rehash_version(version)


def test_files_are_laid_out_under_their_paths_as_copies(version: ModelVersion, tmp_path: Path) -> None:
    queries.materialise(version, tmp_path / "job")
    copy = tmp_path / "job" / "sub dir" / "data (1).txt"
    assert copy.read_bytes() == DATA
    copy.write_bytes(b"a run does what it likes")
    queries.rehash_version(version)


def test_changed_bytes_are_never_laid_out(version: ModelVersion, tmp_path: Path) -> None:
    artifact = version.artifacts.get(path="sub dir/data (1).txt")
    tamper(artifact.digest, DATA[:-1] + b"?")
    with pytest.raises(BytesDiffer):
        queries.materialise(version, tmp_path)
    assert not (tmp_path / "sub dir" / "data (1).txt").exists()


def test_a_purged_version_keeps_its_facts_and_says_that_its_bytes_are_gone(
    ada: Any, cast: Cast, version: ModelVersion, tmp_path: Path
) -> None:
    version = World(cast).purged(version)
    problem(ada.get(URL + "model.onnx"), 410, "purged")
    for act in (queries.rehash_version, lambda v: queries.materialise(v, tmp_path)):
        with pytest.raises(BytesDiffer, match="purged"):
            act(version)
    assert ada.get("/api/v1/teams/search/models/net/versions/1").json()["files"]

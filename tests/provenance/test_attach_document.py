"""Documents kept as proof: about what, by whom, what their bytes are, and how they come out again."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest

from audit.models import Entry
from registry import storage
from registry.access import services as access
from registry.access.models import Role
from registry.digests import parse_canonical
from registry.errors import Conflict, Forbidden, Invalid, NotFound
from registry.oversight.queries_proofs import documents_of
from registry.oversight.subjects import find_subject
from registry.provenance.documents import media_type_of
from registry.provenance.models import Document
from registry.provenance.services_documents import attach_document
from tests.failing import keeps_nothing_without_ledger
from tests.provenance.http import client_for, problem, upload
from tests.world import Cast, World
from tests.worlds.http import api

PDF = b"%PDF-1.7\n1 0 obj\n"


def attach(world: World, about: str, data: bytes = PDF, name: str = "ada", **given: Any) -> Document:
    caller = getattr(world.cast, name)
    digest = world.upload(data, actor=caller).digest
    subject = find_subject(caller, about)
    return attach_document(actor=caller, subject=subject, digest=digest, **({"kind": "test-report"} | given))


@pytest.fixture
def names(world: World) -> dict[str, str]:
    """One reference of each kind of thing that a document may be about."""
    version = world.version(world.model("documented"))
    world.use_case("documented-use")
    rows = world.dataset_version(slug="documented-rows")
    return {
        "model": "model:search/documented", "version": f"version:search/documented@{version.number}",
        "dataset": "dataset:search/documented-rows", "dataset_version": f"dataset_version:{world.reference(rows)}",
        "use_case": "use_case:search/documented-use", "licence": "licence:PSF-2.0",
    }  # fmt: skip


def test_a_document_is_sealed_by_digest_in_the_stream_of_what_it_is_about(world: World, names: dict[str, str]) -> None:
    for kind, about in names.items():
        row = attach(world, about, title="Prüfbericht")
        subject = find_subject(world.cast.ada, about)
        assert (row.stream, row.about, row.media_type) == (subject.stream, subject.about, "application/pdf"), kind
        entry: Any = parse_canonical(bytes(Entry.objects.order_by("-position")[0].entry))
        assert (entry["event"]["kind"], entry["stream"]) == ("document.attached", subject.stream)
        assert entry["event"]["refs"] == [{"digest": row.digest, "name": "document", "size_bytes": len(PDF)}]
        assert b"bericht" not in bytes(Entry.objects.order_by("-position")[0].entry)
        assert list(documents_of(subject.about)) == [row]


def test_a_document_about_a_version_is_not_one_about_its_model(world: World, names: dict[str, str]) -> None:
    attach(world, names["version"])
    assert not documents_of(find_subject(world.cast.ada, names["model"]).about)


@pytest.mark.parametrize(("name", "may"), [("ada", True), ("carla", True), ("omar", True), ("otto", False)])
def test_engineers_officers_and_approvers_attach(world: World, names: dict[str, str], name: str, may: bool) -> None:
    digest = world.upload(PDF, actor=getattr(world.cast, name)).digest if may else world.upload(PDF).digest
    for about in (names["version"], names["licence"]):
        subject = find_subject(getattr(world.cast, name), about)
        given: dict[str, Any] = {"subject": subject, "kind": "legal-opinion", "digest": digest}
        if may:
            attach_document(actor=getattr(world.cast, name), **given)
        else:
            with pytest.raises(Forbidden, match=r"document\.attach"):
                attach_document(actor=getattr(world.cast, name), **given)


def test_what_one_may_not_see_is_not_found(world: World, names: dict[str, str]) -> None:
    for about in names.values():
        with pytest.raises(NotFound):
            find_subject(world.cast.eve, about)
    for about in ("search/documented", "model:", "recipe:search/x", "model:documented", "version:search/documented"):
        with pytest.raises(Invalid):
            find_subject(world.cast.ada, about)


def test_bytes_of_others_kinds_that_are_none_and_repeats_are_refused(world: World, names: dict[str, str]) -> None:
    subject = find_subject(world.cast.ada, names["version"])
    row = attach(world, names["version"])
    with pytest.raises(Conflict) as again:
        attach(world, names["version"])
    assert again.value.members["existing"] == str(row.pk)
    with pytest.raises(Invalid, match="not uploaded by you"):
        attach_document(actor=world.cast.carla, subject=subject, kind="other", digest=row.digest)
    with pytest.raises(Invalid, match="no kind"):
        attach(world, names["version"], kind="novel")
    with pytest.raises(Invalid, match="0 bytes"):
        attach(world, names["version"], b"")


def test_without_a_ledger_nothing_is_attached(world: World, names: dict[str, str]) -> None:
    keeps_nothing_without_ledger(lambda: attach(world, names["dataset"], title="Report"), Document)


def zipped(**members: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "/").replace("TYPES", "[Content_Types].xml"), text)
    return target.getvalue()


OPEN_TEXT = "application/vnd.oasis.opendocument.text"


def packed(method: int) -> bytes:
    """An archive whose first member says a type, packed, with its packed bytes spoilt."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.writestr("mimetype", OPEN_TEXT * 50)
    data = bytearray(target.getvalue())
    begin = data.index(b"mimetype") + len("mimetype")
    data[begin : begin + 9] = b"\xff" * 9
    return bytes(data)


def endless_names() -> bytes:
    """An archive of 23 MB with half a million names: reading them all would cost two hundred."""
    name = b"PK\x01\x02" + bytes(42)
    names = name * 500_000
    end = b"PK\x05\x06" + bytes(8) + len(names).to_bytes(4, "little") + (4).to_bytes(4, "little") + bytes(2)
    return b"PK\x03\x04" + names + end


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PDF, "application/pdf"),
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"\xff\xd8\xff\xe0....", "image/jpeg"),
        ("Gutachten: zulässig.\n".encode(), "text/plain"),
        (b"<html><script>alert(1)</script>", "text/plain"),
        (b"caf\xe9", "application/octet-stream"),
        (b"MZ\x90\x00", "application/octet-stream"),
        (zipped(a="1"), "application/zip"),
        (
            zipped(TYPES="x", word__document="x"),
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ),
        (zipped(TYPES="x", xl__workbook="x"), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (zipped(mimetype=OPEN_TEXT, content="x"), OPEN_TEXT),
        (zipped(mimetype="text/html", content="x"), "application/zip"),
        (b"PK\x03\x04 cut off", "application/octet-stream"),
        (packed(zipfile.ZIP_DEFLATED), "application/zip"),
        (packed(zipfile.ZIP_LZMA), "application/zip"),
        (endless_names(), "application/octet-stream"),
        (b"", "application/octet-stream"),
    ],
)
def test_the_media_type_is_told_from_the_bytes_and_is_none_that_runs(data: bytes, media_type: str) -> None:
    assert media_type_of(io.BytesIO(data)) == media_type


def test_over_http_a_document_is_attached_listed_and_comes_back_as_an_attachment_in_a_sandbox(
    world: World, names: dict[str, str]
) -> None:
    ada = client_for(world.cast, "ada")
    page = b"<html><script>alert(1)</script></html>"
    body = {"about": names["dataset_version"], "kind": "privacy-assessment", "title": "DPIA"}
    made = ada.post("/api/v1/documents", body | {"digest": upload(ada, page).json()["digest"]}, format="json")
    assert made.status_code == 201, made.content
    assert made.json()["media_type"] == "text/plain"
    listed = ada.get("/api/v1/documents", {"about": names["dataset_version"]}).json()["items"]
    assert listed == [made.json()] == [ada.get(f"/api/v1/documents/{made.json()['id']}").json()]
    sent = ada.get(f"/api/v1/documents/{made.json()['id']}/content")
    assert b"".join(sent.streaming_content) == page
    assert sent["Content-Disposition"].startswith('attachment; filename="privacy-assessment-')
    assert sent["X-Content-Type-Options"] == "nosniff"
    assert sent["Content-Security-Policy"].startswith("sandbox")
    problem(ada.post("/api/v1/documents", body | {"digest": "x", "kind": "novel"}, format="json"), 422, "invalid")
    problem(ada.get("/api/v1/documents"), 422, "about")


def test_viewers_read_what_a_document_is_and_do_not_get_its_bytes_and_outsiders_find_nothing(
    world: World, names: dict[str, str], cast: Cast
) -> None:
    row = attach(world, names["version"])
    access.grant_membership(actor=cast.root, person=cast.people["eve"], role=Role.VIEWER, team=cast.team)
    eve = client_for(cast, "eve")
    assert eve.get(f"/api/v1/documents/{row.pk}").status_code == 200
    problem(eve.get(f"/api/v1/documents/{row.pk}/content"), 403, "forbidden")
    elsewhere = access.create_team(actor=cast.root, slug="elsewhere")
    olga = world.person("olga")
    access.grant_membership(actor=cast.root, person=olga, role=Role.ENGINEER, team=elsewhere)
    problem(api("olga").get(f"/api/v1/documents/{row.pk}"), 404, "not-found")
    problem(api("olga").get(f"/api/v1/documents/{row.pk}/content"), 404, "not-found")


def test_a_document_that_changed_on_disk_is_not_sent(world: World, names: dict[str, str]) -> None:
    row = attach(world, names["model"])
    path = storage.path_of(row.digest)
    path.chmod(0o644)
    path.write_bytes(b"%PDF-1.7\nanother")
    problem(client_for(world.cast, "ada").get(f"/api/v1/documents/{row.pk}/content"), 409, "bytes-differ")

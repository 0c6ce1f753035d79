"""The page that checks a bundle: the verifier's four answers about an upload, with what the reader knows and nothing else."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from audit import bundles, check_pages, checkpoints, keys, services
from tests.world import World

PAGE = "/bundles/check/"


@pytest.fixture
def officer(world: World) -> Client:
    client = Client()
    client.force_login(world.cast.people["carla"])
    return client


@pytest.fixture
def zipped(world: World, tmp_path: Path) -> bytes:
    """A bundle about a model."""
    model = world.parent_version().model
    row = services.issue_bundle(actor=world.cast.carla, model=model)
    world.checkpoint()
    return bundles.build(row, tmp_path / "bundle.zip").read_bytes()


def check(client: Client, data: bytes, **given: Any) -> str:
    answer = client.post(PAGE, {"bundle": SimpleUploadedFile("handed-over.zip", data), **given})
    assert answer.status_code == 200
    return answer.content.decode()


def test_without_anything_known_nothing_is_called_good(officer: Client, zipped: bytes) -> None:
    shown = check(officer, zipped)
    assert "Nothing is wrong, but not everything was checked." in shown
    assert "no key line" in shown


def test_with_a_key_and_a_checkpoint_that_the_reader_knows_all_four_answers_are_yes(
    officer: Client, zipped: bytes
) -> None:
    kept = SimpleUploadedFile("kept.note", checkpoints.outside_notes()[-1])
    shown = check(officer, zipped, keys=keys.log_signer().key_line, checkpoint=kept)
    assert "All four answers are yes." in shown
    assert "was used as known from outside" not in shown


def test_a_changed_byte_is_a_no_with_its_file(officer: Client, zipped: bytes) -> None:
    at = zipped.index(b"pressmark/texts/1")
    shown = check(officer, zipped[:at] + b"P" + zipped[at + 1 :])
    assert "do not rely on this bundle" in shown
    assert "texts.json" in shown


def test_something_that_is_no_zip_is_a_no_and_not_an_error(officer: Client) -> None:
    assert "cannot be read" in check(officer, b"nothing of the kind")


def test_what_this_installation_knows_counts_only_when_asked_for_and_is_said(
    world: World, officer: Client, zipped: bytes
) -> None:
    world.teams(3)
    world.checkpoint()
    shown = check(officer, zipped, ours="on")
    assert "All four answers are yes." in shown
    assert "not whether it is honest" in shown


def test_a_bundle_of_another_history_disagrees_with_what_this_installation_knows(
    world: World, officer: Client, zipped: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.teams(3)
    other = world.checkpoint()
    forged = checkpoints.notes.sign_checkpoint(keys.log_signer(), other.size, b"\x05" * 32).decode()
    monkeypatch.setattr(check_pages.Checkpoint.objects, "order_by", lambda *names: Newest(other.size, forged))
    assert "do not rely on this bundle" in check(officer, zipped, ours="on")


class Newest:
    """A table of checkpoints whose newest is another one."""

    def __init__(self, size: int, note: str) -> None:
        self.size, self.note = size, note

    def first(self) -> Newest:
        return self


@pytest.mark.parametrize(
    ("given", "said"),
    [({"keys": "not a key"}, "not a key line"), ({"checkpoint": SimpleUploadedFile("c", b"x")}, "not a signed note")],
)
def test_what_cannot_be_read_beside_the_bundle_is_named_and_nothing_is_judged(
    officer: Client, zipped: bytes, given: dict[str, Any], said: str
) -> None:
    answer = officer.post(PAGE, {"bundle": SimpleUploadedFile("b.zip", zipped), **given})
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert "nothing was judged" in answer.content.decode()


def test_a_form_that_was_refused_comes_back_with_what_was_typed(officer: Client, zipped: bytes) -> None:
    given = {"keys": "not a key", "witnesses": "w.example+1", "ours": "on"}
    shown = officer.post(PAGE, {"bundle": SimpleUploadedFile("b.zip", zipped), **given}).content.decode()
    assert "Key lines that you know: not a key line" in shown
    assert ">not a key</textarea>" in shown
    assert ">w.example+1</textarea>" in shown
    assert 'type="checkbox" checked' in shown
    assert "--key" not in shown


def test_a_form_without_a_bundle_and_one_that_is_too_large_say_what_to_do(
    officer: Client, zipped: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Choose the zip file" in officer.post(PAGE, {}).content.decode()
    monkeypatch.setattr(check_pages, "BUNDLE_LIMIT_BYTES", 100)
    answer = officer.post(PAGE, {"bundle": SimpleUploadedFile("b.zip", zipped)})
    assert "pressmark verify" in answer.content.decode()


def test_the_page_asks_for_a_login_and_is_linked_from_the_bundles(officer: Client) -> None:
    assert Client().get(PAGE).status_code == 302
    assert PAGE in officer.get("/bundles/").content.decode()
    assert officer.get(PAGE).status_code == 200


def test_the_answers_speak_of_the_fields_of_the_form_and_not_of_a_command_line(
    world: World, officer: Client, zipped: bytes
) -> None:
    world.teams(3)
    world.checkpoint()
    newer = SimpleUploadedFile("kept.note", checkpoints.outside_notes()[-1])
    for given, named in (({}, "Checkpoint that you kept"), ({"checkpoint": newer}, "Consistency proof")):
        shown = check(officer, zipped, **given)
        assert "“Key lines that you know”" in shown
        assert f"“{named}”" in shown
        for option in ("--key", "--checkpoint", "--witness", "--proof", "--receipt"):
            assert option not in shown


def test_a_packed_receipt_is_named_as_what_it_is_under_the_name_of_its_field(officer: Client, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "receipt.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pressmark-receipt-3/entries/3.json", "{}")
    data = (tmp_path / "receipt.zip").read_bytes()
    answer = officer.post(PAGE, {"bundle": SimpleUploadedFile("receipt.zip", data)})
    assert answer.status_code == 422
    assert "Bundle: it is the zip of a completed receipt; unpack it" in answer.content.decode()

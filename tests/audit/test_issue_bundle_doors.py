"""The doors of bundles: API, pages and `pressmark bundle`, each over HTTP as a user meets it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from rest_framework.test import APIClient

from audit import checkpoints
from audit.models import Bundle, Entry
from registry.catalog.models import ModelVersion
from registry.cli import main as cli
from registry.cli import remote_bundle
from registry.digests import sha256
from tests.access.test_api import log_in
from tests.audit.handed_over import newest, outside, verifier
from tests.world import PASSWORD, Cast, World

API = "/api/v1"


def post(client: APIClient, where: str, body: dict[str, Any] | None = None) -> Any:
    return client.post(API + where, body or {}, format="json")


def visitor(world: World, name: str) -> Client:
    found = Client()
    found.force_login(world.cast.people[name])
    return found


# --- API ---


def test_a_version_and_everything_are_issued_over_http(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    world.officer()
    carla, model = log_in("carla"), story[0].model
    early = world.checkpoint().note
    where = f"/teams/{model.team.slug}/models/{model.slug}/bundles"
    for path, body, subject, number in (
        (where, {"version": 2}, f"model:{model.pk}", 2),
        (where, {}, f"model:{model.pk}", None),
        ("/ledger/bundles", {}, "instance", None),
    ):
        answer = post(carla, path, {**body, "checkpoint": early})
        assert answer.status_code == 201, answer.content
        assert "Pressmark-Receipt" in answer
        issued = answer.json()
        assert (issued["subject"], issued["version"]) == (subject, number)
        assert carla.get(f"{API}/bundles/{issued['id']}").json()["state"] == "pending"
        signed = checkpoints.sign_next()
        assert signed is not None
        state = carla.get(f"{API}/bundles/{issued['id']}").json()
        assert (state["state"], state["tree_size"], state["problem"]) == ("ready", signed.size, None)
        zipped = carla.get(f"{API}/bundles/{issued['id']}/bundle.zip")
        data = b"".join(zipped)
        assert zipped["Pressmark-Digest"] == sha256(data)
        target = tmp_path / f"{issued['id']}.zip"
        target.write_bytes(data)
        assert verifier(target, *outside(tmp_path, early.encode()))[0] == 0
        assert carla.get(API + path).json()["items"][0]["id"] == issued["id"]


def test_issuing_seals_one_entry_and_asking_for_the_state_none(
    world: World, story: tuple[ModelVersion, ModelVersion]
) -> None:
    carla, model = log_in("carla"), story[0].model
    before = Entry.objects.count()
    issued = post(carla, f"/teams/{model.team.slug}/models/{model.slug}/bundles", {"version": 1}).json()
    assert Entry.objects.count() == before + 1
    carla.get(f"{API}/bundles/{issued['id']}")
    carla.get("/bundles/")
    assert Entry.objects.count() == before + 1


@pytest.mark.parametrize("version", [0, 99, "two", -1])
def test_a_version_that_is_not_there_is_refused(
    world: World, story: tuple[ModelVersion, ModelVersion], version: object
) -> None:
    carla, model = log_in("carla"), story[0].model
    answer = post(carla, f"/teams/{model.team.slug}/models/{model.slug}/bundles", {"version": version})
    assert answer.status_code == (404 if version == 99 else 422)
    assert not Bundle.objects.exists()


def test_everything_is_closed_to_who_has_one_team_only(world: World) -> None:
    ada = log_in("ada")
    answer = post(ada, "/ledger/bundles")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:pressmark:problem:forbidden")
    world.officer()
    carla = log_in("carla")
    issued = post(carla, "/ledger/bundles").json()
    checkpoints.sign_next()
    assert ada.get(f"{API}/ledger/bundles").json()["items"] == []
    for rest in ("", "/bundle.zip"):
        assert ada.get(f"{API}/bundles/{issued['id']}{rest}").status_code == 404
        answer = carla.get(f"{API}/bundles/{issued['id']}{rest}")
        assert b"".join(answer)
        assert answer.status_code == 200


def test_a_bundle_that_is_gone_answers_410_with_what_to_do(
    world: World, story: tuple[ModelVersion, ModelVersion]
) -> None:
    carla, model = log_in("carla"), story[0].model
    issued = post(carla, f"/teams/{model.team.slug}/models/{model.slug}/bundles").json()
    checkpoints.sign_next()
    world.revoke_keys()
    answer = carla.get(f"{API}/bundles/{issued['id']}/bundle.zip")
    assert (answer.status_code, answer.json()["type"]) == (410, "urn:pressmark:problem:key-revoked")
    assert "Issue a new bundle" in answer.json()["hint"]
    state = carla.get(f"{API}/bundles/{issued['id']}").json()
    assert (state["state"], state["problem"]["status"]) == ("gone", 410)
    page = visitor(world, "carla").get(f"/bundles/{issued['id']}/").content.decode()
    assert "Issue a new bundle" in page
    assert "Download" not in page


# --- pages ---


def test_an_officer_hands_over_a_version_from_its_page(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    early = world.checkpoint().note.encode()
    carla = visitor(world, "carla")
    place = f"/models/{story[1].model.team.slug}/{story[1].model.slug}"
    assert "Issue a bundle of this version" in carla.get(f"{place}@2/").content.decode()
    assert "Issue a bundle of this version" not in visitor(world, "ada").get(f"{place}@2/").content.decode()
    held = SimpleUploadedFile("checkpoint", early)
    answer = carla.post(f"{place}/bundles/issue/", {"version": "2", "checkpoint": held}, follow=True)
    bundle = Bundle.objects.get()
    page = answer.content.decode()
    assert f"/bundles/{bundle.pk}/" in answer.redirect_chain[0][0]
    assert "It waits for the next checkpoint" in page
    assert carla.get(f"/bundles/{bundle.pk}/state").json() == {"finished": False, "state": "pending"}
    checkpoints.sign_next()
    assert carla.get(f"/bundles/{bundle.pk}/state").json() == {"finished": True, "state": "ready"}
    page = carla.get(f"/bundles/{bundle.pk}/").content.decode()
    assert "Download" in page
    assert f"{story[1]}" in page
    target = tmp_path / "bundle.zip"
    target.write_bytes(b"".join(carla.get(f"/bundles/{bundle.pk}/bundle.zip")))  # type: ignore[arg-type]
    assert verifier(target, *outside(tmp_path, early))[0] == 0


def test_the_list_shows_each_reader_what_is_theirs(world: World, story: tuple[ModelVersion, ModelVersion]) -> None:
    world.officer()
    carla = visitor(world, "carla")
    place = f"/models/{story[1].model.team.slug}/{story[1].model.slug}"
    carla.post(f"{place}/bundles/issue/", {"version": "1"})
    answer = carla.post("/bundles/issue/", follow=True)
    assert "Bundle of the whole installation" in answer.content.decode()
    of_all = Bundle.objects.get(subject="instance")
    listed = carla.get("/bundles/").content.decode()
    for shown in ("The whole installation", f"{story[0]}", "Issue a bundle of everything"):
        assert shown in listed
    listed = visitor(world, "ada").get("/bundles/").content.decode()
    assert f"{story[0]}" in listed
    assert "Issue a bundle of everything" not in listed
    assert str(of_all.pk) not in listed
    nobody = visitor(world, "eve")
    assert "No bundle has been issued yet" in nobody.get("/bundles/").content.decode()
    for rest in ("", "state", "bundle.zip"):
        assert visitor(world, "ada").get(f"/bundles/{of_all.pk}/{rest}").status_code == 404
    assert Client().get("/bundles/").status_code == 302


def test_a_form_that_cannot_be_used_says_why(world: World, story: tuple[ModelVersion, ModelVersion]) -> None:
    carla = visitor(world, "carla")
    place = f"/models/{story[1].model.team.slug}/{story[1].model.slug}/bundles/issue/"
    for sent, said in (
        ({"version": "two"}, "version"),
        ({"checkpoint": SimpleUploadedFile("c", b"hello\n")}, "no checkpoint"),
        ({"checkpoint": SimpleUploadedFile("c", b"x" * 100_000)}, "too long"),
    ):
        answer = carla.post(place, sent)
        assert answer.status_code == 422
        assert said in answer.content.decode()
    assert carla.post(place, {"version": "9"}).status_code == 404
    assert carla.get(place).status_code == 405
    assert not Bundle.objects.exists()


# --- command line ---


@pytest.fixture
def told(committed_db: None) -> tuple[World, tuple[ModelVersion, ModelVersion]]:
    """A story with real commits, for a server in a thread of its own."""
    world = World(Cast.assemble())
    story = world.story()
    world.officer()
    return world, story


@pytest.fixture
def words(live_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run `pressmark WORDS` against the live server as carla, in a folder of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(remote_bundle, "PENDING_SECONDS", 5)
    (tmp_path / "password").write_text(PASSWORD)
    assert cli.main(["login", live_server.url, "--username", "carla", "--password-file", "password"]) == 0
    return lambda *said: cli.main(list(said))


class Keeper:
    """Signs a checkpoint some moments after a bundle was issued, as the keeper does."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        from django.db import connection

        while not self._over.wait(0.3):
            checkpoints.sign_next()
        connection.close()

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join()


def test_the_verb_issues_waits_and_fetches_what_then_verifies(
    told: tuple[World, tuple[ModelVersion, ModelVersion]],
    words: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world, story = told
    held = tmp_path / "held"
    held.write_text(world.checkpoint().note)
    with Keeper():
        assert words("bundle", f"{story[1]}", "--since", str(held), "--output", "version.zip") == 0
        assert words("bundle", f"{story[1].model}@production", "--since", str(held), "--output", "alias.zip") == 0
        assert words("bundle", "--instance", "--since", str(held), "--output", "all.zip") == 0
        assert words("bundle", f"{story[1].model}") == 0
    said = capsys.readouterr().out
    by_default = next(tmp_path.glob("pressmark-bundle-*.zip"))
    for name in ("version.zip", "alias.zip", "all.zip", by_default.name):
        path = tmp_path / name
        assert f"{sha256(path.read_bytes())}  {name}" in said
        assert verifier(path, *outside(tmp_path, newest()))[0] in (0, 3)  # the keeper may have signed on since
    for name in ("version.zip", "alias.zip", "all.zip"):
        assert verifier(tmp_path / name, *outside(tmp_path, held.read_bytes()))[0] == 0
    subjects = [row.version.number if row.version else row.subject for row in Bundle.objects.order_by("pk")]
    assert subjects == [2, 1, "instance", f"model:{story[0].model_id}"]


def test_what_cannot_be_issued_is_said_before_anything_is_sealed(
    told: tuple[World, tuple[ModelVersion, ModelVersion]],
    words: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = f"{told[1][0].model}"
    (tmp_path / "there.zip").write_bytes(b"mine")
    (tmp_path / "noise").write_bytes(b"\xff\xfe")
    for said, wanted in (
        ([], "about one thing"),
        ([name, "--instance"], "about one thing"),
        ([name, "--output", "there.zip"], "there already"),
        ([name, "--since", "nowhere"], "nowhere"),
        ([name, "--since", "noise"], "is no checkpoint"),
        ([name, "--since", "password"], "That is no checkpoint"),
        (["search"], "names no model"),
        ([f"{name}@99"], "no such"),
    ):
        assert words("bundle", *said) == 1
        error = capsys.readouterr().err
        assert wanted in error, error
        assert "what to do" in error or wanted == "no such"
    assert not Bundle.objects.exists()
    assert (tmp_path / "there.zip").read_bytes() == b"mine"


def test_without_a_keeper_the_verb_ends_and_says_where_the_bundle_will_be(
    told: tuple[World, tuple[ModelVersion, ModelVersion]],
    words: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(remote_bundle, "PENDING_SECONDS", 1.2)
    monkeypatch.setattr(remote_bundle, "SILENT_SECONDS", 0.1)
    assert words("bundle", f"{told[1][0].model}", "--output", "none.zip") == 1
    error = capsys.readouterr().err
    assert error.count("Waiting for the keeper to sign a checkpoint past it, 1 s at most.") == 1
    waits, gives_up = error.split("issued all the same")
    assert "`pressmark keeper` starts it" in waits
    assert "`pressmark keeper` starts it" in gives_up
    assert f"/bundles/{Bundle.objects.get().pk}/" in error
    assert not (tmp_path / "none.zip").exists()

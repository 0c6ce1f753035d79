"""What holds for every page: the door, the policy of contents, errors in words."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from registry.desk.pages.home import Home
from registry.desk.urls import _PAGES
from tests.desk.conftest import Visitor, words
from tests.desk.scene import Scene
from tests.world import PASSWORD, Cast

Visit = Callable[[str], Visitor]


def test_logging_in_and_out(cast: Cast, client: Client) -> None:
    answer = client.post("/login/", {"username": "ada", "password": PASSWORD, "next": "/models/"})
    assert answer["Location"] == "/models/"
    assert client.get("/models/").status_code == 200
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/")["Location"] == "/login/"
    assert client.get("/models/").status_code == 302


def test_a_wrong_password_says_so_without_saying_which_of_the_two(cast: Cast, client: Client) -> None:
    pages = [
        words(client.post("/login/", {"username": name, "password": "not the password"})) for name in ("ada", "nobody")
    ]
    assert all("That name and password do not go together." in page for page in pages)


def test_an_ended_account_does_not_come_in(cast: Cast, client: Client) -> None:
    from registry.access import services

    services.end_actor(actor=cast.root, person=cast.people["ada"])
    assert client.post("/login/", {"username": "ada", "password": PASSWORD}).status_code == 200


def test_the_door_does_not_lead_to_other_sites(cast: Cast, client: Client) -> None:
    fields = {"username": "ada", "password": PASSWORD, "next": "https://elsewhere.example/"}
    assert client.post("/login/", fields)["Location"] == "/"


def test_a_form_without_its_token_is_refused(cast: Cast, released: Scene) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.people["omar"])
    answer = client.post(reverse("desk:suspend", args=["search", "minilm", "production"]), {"reason": "No token."})
    assert answer.status_code == 403
    assert "You may not do this" in words(answer)


def test_a_missing_page_says_what_to_do(visit: Visit) -> None:
    answer = visit("ada").get("/nowhere/")
    assert answer.status_code == 404
    assert "search by name or digest" in words(answer)


def test_a_fault_of_ours_shows_nothing_of_the_inside(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(cast.people["ada"])

    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(Home, "context", broken)
    answer = client.get("/")
    assert answer.status_code == 500
    assert "Something went wrong here" in words(answer)
    assert "secret detail" not in answer.content.decode()


def test_every_page_is_for_people_who_logged_in(client: Client) -> None:
    fill = {
        "team": "search",
        "model": "minilm",
        "version": "1",
        "alias": "production",
        "dataset": "rows",
        "number": "1",
    }
    for route in _PAGES:
        needed = {name: fill.get(name, "01890a5d-ac96-774b-bcce-b302099a8057") for name in route.pattern.converters}
        answer = client.get(reverse(f"desk:{route.name}", kwargs=needed))
        assert answer.status_code == 302, route.name
        assert answer["Location"].startswith("/login/"), route.name


def test_nothing_on_a_page_asks_for_an_exception_from_the_policy(visit: Visit, released: Scene) -> None:
    model = ["search", "minilm"]
    paths = ["/", "/models/", "/runs/", "/approvals/", "/monitors/", "/datasets/", "/search/?q=minilm",
             reverse("desk:model", args=model), reverse("desk:version", args=[*model, 2]),
             reverse("desk:request-run", args=[*model, 1])]  # fmt: skip
    for path in paths:
        answer = visit("ada").get(path)
        page = answer.content.decode()
        assert not re.search(r"<style|\sstyle=|<script(?![^>]*src=)|\son[a-z]+=|javascript:", page), path
        assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page), path
        policy = answer["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy

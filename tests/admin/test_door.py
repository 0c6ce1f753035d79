"""The admin site has no door of its own: passwords are tried at the one where guessing is slow."""

from __future__ import annotations

from django.test import Client

from tests.world import PASSWORD, Cast


def test_a_password_sent_to_the_admin_site_is_not_looked_at(cast: Cast) -> None:
    client = Client()
    answer = client.post("/admin/login/", {"username": "omar", "password": PASSWORD})
    assert (answer.status_code, answer["Location"]) == (302, "/login/?next=/admin/")
    assert "_auth_user_id" not in client.session


def test_whoever_is_not_logged_in_is_led_to_the_one_door_and_back(cast: Cast) -> None:
    client = Client()
    asked = client.get("/admin/registry/approval/", follow=True)
    assert asked.redirect_chain[-1][0] == "/login/?next=/admin/registry/approval/"
    form = {"username": "omar", "password": PASSWORD, "next": "/admin/registry/approval/"}
    answer = client.post("/login/", form, follow=True)
    assert answer.status_code == 200
    assert answer.request["PATH_INFO"] == "/admin/registry/approval/"


def test_whoever_may_not_enter_is_told_so_and_not_sent_in_circles(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.people["ada"])
    answer = client.get("/admin/", follow=True)
    assert answer.status_code == 200
    assert b"not authorized" in answer.content


def test_the_admin_site_leads_nobody_to_another_host(cast: Cast) -> None:
    client = Client()
    client.get("/admin/login/?next=https://evil.example/", follow=True)
    form = {"username": "omar", "password": PASSWORD, "next": "https://evil.example/"}
    assert client.post("/login/", form)["Location"] == "/"

"""A token ends: by its owner, or by an administrator when it leaked."""

from __future__ import annotations

from registry.access.models import Token
from tests.access.events import last_events
from tests.world import Cast
from tests.worlds.http import api


def test_an_administrator_ends_the_token_of_somebody_else_and_it_opens_nothing(cast: Cast) -> None:
    ada, token = api("ada"), Token.objects.get()
    listed = api("root").get("/api/v1/tokens?username=ada").json()["items"]
    assert [row["id"] for row in listed] == [str(token.pk)]
    assert api("root").post(f"/api/v1/tokens/{token.pk}/end").status_code == 200
    assert ada.get("/api/v1/who-am-i").status_code == 401
    event = last_events(1)[0]
    assert (event["kind"], event["actor"]["id"]) == ("token.ended", str(cast.root.actor_id))


def test_nobody_else_sees_or_ends_the_token_of_another(cast: Cast) -> None:
    api("ada")
    token = Token.objects.get()
    assert api("carla").get("/api/v1/tokens?username=ada").status_code == 403
    assert api("carla").post(f"/api/v1/tokens/{token.pk}/end").status_code == 404
    token.refresh_from_db()
    assert token.ended_at is None


def test_the_list_shows_ones_own_tokens_newest_first_and_never_the_token_itself(cast: Cast) -> None:
    first, second = api("ada"), api("ada")
    api("omar")
    listed = second.get("/api/v1/tokens").json()["items"]
    assert [row["id"] for row in listed] == [
        str(row.pk) for row in Token.objects.filter(actor=cast.people["ada"]).order_by("-pk")
    ]
    for client in (first, second):
        assert client._credentials["HTTP_AUTHORIZATION"].split()[1] not in str(listed)

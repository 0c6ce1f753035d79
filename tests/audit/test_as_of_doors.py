"""History through its doors: who may ask, what other teams' things look like, errors in words, the page, the command line."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from audit.models import Entry
from registry.access import services as access
from registry.access.models import Role, Team
from registry.catalog.edges import EdgeSpec
from registry.catalog.models import RegisteredModel
from registry.cli.main import main
from registry.cli.remote_as_of import model_lines, team_lines
from registry.digests import time_text
from registry.release import services
from tests.world import World, as_caller
from tests.worlds.audit import Story
from tests.worlds.http import api

API = "/api/v1/teams"


@pytest.fixture
def model(story: Story) -> RegisteredModel:
    return story[0].model


def address(model: RegisteredModel, query: str = "") -> str:
    return f"{API}/{model.team.slug}/models/{model.slug}/as-of{query}"


def page(model: RegisteredModel, query: str = "") -> str:
    return f"/models/{model.team.slug}/{model.slug}/as-of/{query}"


def visitor(world: World, name: str) -> Client:
    client = Client()
    client.force_login(world.cast.people[name])
    return client


def words(content: bytes) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", content.decode())))


# --- who may ---


def whoever_may_read_the_model_may_read_its_history(world: World, model: RegisteredModel) -> None:
    for name in ("ada", "omar", "carla", "otto"):
        answer = api(name).get(address(model))
        assert answer.status_code == 200
        assert answer.json()["name"] == "search/sentences"
        assert visitor(world, name).get(page(model)).status_code == 200


def for_everybody_else_there_is_no_such_thing(world: World, model: RegisteredModel) -> None:
    missing = f"{API}/search/models/no-such/as-of"
    nobody = access.create_team(actor=world.cast.root, slug="elsewhere")
    eve = world.cast.people["eve"]
    access.grant_membership(actor=world.cast.root, person=eve, role=Role.VIEWER, team=nobody)
    client, browser = api("eve"), visitor(world, "eve")
    for path in (address(model), address(model, "?at=nonsense"), missing, f"{API}/search/as-of", f"{API}/none/as-of"):
        answer = client.get(path)
        assert answer.status_code == 404
    assert client.get(address(model)).json()["detail"] == client.get(missing).json()["detail"]
    assert browser.get(page(model)).status_code == 404
    assert browser.get("/teams/search/as-of/").status_code == 404
    assert APIClient().get(address(model)).status_code == 401
    assert Client().get(page(model)).status_code == 302


def test_a_role_that_has_ended_ends_the_view_of_the_past_as_well(world: World, model: RegisteredModel) -> None:
    otto = world.cast.people["otto"]
    client = api("otto")
    assert client.get(address(model, "?position=40")).status_code == 200
    for membership in otto.memberships.all():
        access.end_membership(actor=world.cast.root, membership=membership)
    assert client.get(address(model, "?position=40")).status_code in {401, 404}


def test_ancestors_of_other_teams_are_their_digests_alone(world: World, outsider_team: Team) -> None:
    ada, eve = world.cast.people["ada"], world.cast.people["eve"]
    for person, role in ((ada, Role.ENGINEER), (eve, Role.VIEWER)):
        access.grant_membership(actor=world.cast.root, person=person, role=role, team=outsider_team)
    secret = world.model("secret-project")
    parent = world.version(secret, seed=71)
    data = world.dataset_version(slug="secret-rows", uses=("training",))
    child_model = world.model("open-child", team=outsider_team)
    edges = [EdgeSpec("base", ("quantized",), parent=parent), EdgeSpec("data", dataset_version=data)]
    world.version(child_model, seed=72, edges=edges)
    seen = api("eve").get(address(child_model))
    assert {(e["name"], e["kind"], e["digest"]) for e in seen.json()["versions"][0]["edges"]} == {
        (None, "version", parent.digest), (None, "dataset", data.bound_digest),
    }  # fmt: skip
    shown = visitor(world, "eve").get(page(child_model)).content.decode()
    for answer in (seen.content.decode(), shown):
        assert "secret" not in answer
        assert str(parent.pk) not in answer
        assert str(data.pk) not in answer
    named = api("ada").get(address(child_model)).json()["versions"][0]["edges"]
    assert {e["name"] for e in named} == {"search/secret-project@1", "search/secret-rows@1"}
    assert (
        "/models/search/secret-project/as-of/?position="
        in visitor(world, "ada").get(page(child_model)).content.decode()
    )


# --- what is wrong is said ---


NO_MOMENTS = {
    "?at=2999-01-01": "lies in the future",
    "?at=1999-01-01T12:00:00Z": "The ledger begins at",
    "?at=last%20week": "'last week' is no time",
    "?at=2026-03-01T12:00:00+01:00": "is no time",  # the plus sign was not written as %2B
    "?position=99999": "The ledger ends at position",
    "?position=-1": "is no position",
    "?at=2026-01-01&position=4": "not by both",
    "?compare_at=x": "'x' is no time",
    "?position=4&compare_position=9999": "The ledger ends at position",
    "?at=%00": "is no time",
}


def a_moment_that_cannot_be_is_refused_with_a_remedy(world: World, model: RegisteredModel) -> None:
    client, visiting = api("ada"), visitor(world, "ada")
    for query, said in NO_MOMENTS.items():
        answer = client.get(address(model, query))
        assert answer.status_code == 422, query
        assert answer["Content-Type"] == "application/problem+json"
        assert said in answer.json()["detail"], query
        assert answer.json()["hint"], query
        shown = visiting.get(page(model, query))
        assert shown.status_code == 422, query
        assert said in words(shown.content), query
        assert 'type="datetime-local"' in shown.content.decode(), query


def test_an_entry_that_was_overwritten_with_rubbish_is_said_and_no_fault(world: World, model: RegisteredModel) -> None:
    from tests.worlds.audit import tamper

    position = Entry.objects.filter(stream=f"model:{model.pk}").order_by("-position")[3].position
    rubbish = bytes(Entry.objects.get(position=position).entry)[:-1] + b'"type":"release.alias/1"'
    tamper("audit_entry", "UPDATE audit_entry SET entry = %s WHERE position = %s", [rubbish, position])
    answer = api("ada").get(address(model))
    assert answer.status_code == 409
    assert answer.json()["detail"] == f"The entry at position {position} is missing or cannot be read."
    assert "verify-ledger" in answer.json()["hint"]
    assert visitor(world, "ada").get(page(model)).status_code == 409


# --- the page ---


def the_page_is_reached_from_the_model_and_says_from_where_it_read(world: World, model: RegisteredModel) -> None:
    ada = visitor(world, "ada")
    assert page(model) in ada.get(f"/models/search/{model.slug}/").content.decode()
    before = Entry.objects.count()
    shown = ada.get(page(model, "?position=30"))
    assert "As of position 30 of" in words(shown.content)
    assert "read from the ledger." in words(shown.content)
    assert Entry.objects.count() == before
    for forbidden in ("style=", "<script>", "onclick"):
        assert forbidden not in shown.content.decode().replace('<script src="', "")


def the_page_steps_from_act_to_act(world: World, model: RegisteredModel) -> None:
    ada = visitor(world, "ada")
    here, visited = page(model), 0
    while True:
        content = ada.get(here).content.decode()
        back = re.search(r'href="(\?position=\d+)">Before the last act', content)
        if back is None:
            break
        here, visited = page(model, back[1]), visited + 1
    assert visited == len({json.loads(bytes(e))["event"]["unit"] for e in Entry.objects.filter(
        stream=f"model:{model.pk}").values_list("entry", flat=True)})  # fmt: skip
    assert "was not registered yet" in words(ada.get(here).content)


def the_page_tells_what_changed_and_keeps_what_was_asked(world: World, model: RegisteredModel) -> None:
    entry = Entry.objects.filter(stream=f"model:{model.pk}").order_by("position")[4]
    shown = visitor(world, "ada").get(page(model, f"?at={entry.at}&compare_position={Entry.objects.count() - 1}"))
    assert "What changed" in words(shown.content)
    assert "Alias production served nothing, then version 1" in words(shown.content)
    assert f'name="at" value="{entry.at}"' in shown.content.decode()


def test_erased_words_are_nowhere_on_the_page(world: World, model: RegisteredModel) -> None:
    from audit import erasure

    ada = visitor(world, "ada")
    assert "Answers moved; back to the parent." in words(ada.get(page(model)).content)
    texts = erasure.typed_by(world.cast.root, world.cast.people["omar"])
    erasure.erase(actor=world.cast.root, texts=texts, reason="Asked for.")
    assert "Answers moved" not in words(ada.get(page(model)).content)
    assert "erased on" in words(ada.get(page(model)).content)


def test_an_emergency_is_told_with_who_why_and_until_when_and_whether_that_was_over(
    world: World, model: RegisteredModel
) -> None:
    other = world.version(model, seed=71)
    move = services.break_glass(actor=world.cast.otto, version=other, alias="production", reason="Clerks wait.")
    glass = move.broken_glass
    assert glass is not None
    answer = api("carla").get(address(model)).json()
    told = answer["aliases"][0]["serves"]["emergency"]
    assert (told["by"]["name"], told["by"]["role"], told["over"]) == ("Otto", "operator", False)
    assert (told["ends_at"], told["policy_in_force"]) == (time_text(glass.expires_at), True)
    said = words(visitor(world, "carla").get(page(model)).content)
    until = glass.expires_at.strftime("%Y-%m-%d %H:%M")
    assert re.search(rf"Without an approval , in an emergency: by Otto as operator, until {until}", said), said
    assert "which was over then" not in said
    assert "Why: Clerks wait." in said
    team = words(visitor(world, "carla").get(f"/teams/{model.team.slug}/as-of/").content)
    assert f"without an approval , until {until}" in team
    in_lines = "\n".join(model_lines(answer))
    assert f"WITHOUT AN APPROVAL, in an emergency until {time_text(glass.expires_at)}: Clerks wait." in in_lines
    of_team = api("carla").get(f"{API}/{model.team.slug}/as-of").json()
    assert "WITHOUT AN APPROVAL" in "\n".join(team_lines(of_team))


def the_team_page_leads_to_each_model_at_the_same_position(world: World, model: RegisteredModel) -> None:
    shown = visitor(world, "carla").get("/teams/search/as-of/?position=40").content.decode()
    assert f"{page(model)}?position=40" in shown
    assert "limited@1" in shown
    assert visitor(world, "carla").get("/teams/search/as-of/?at=x").status_code == 422


def test_doors_that_only_read_tell_one_story(world: World, model: RegisteredModel) -> None:
    """What fails is named by its function."""
    for holds in (
        whoever_may_read_the_model_may_read_its_history,
        for_everybody_else_there_is_no_such_thing,
        a_moment_that_cannot_be_is_refused_with_a_remedy,
        the_page_is_reached_from_the_model_and_says_from_where_it_read,
        the_page_steps_from_act_to_act,
        the_page_tells_what_changed_and_keeps_what_was_asked,
        the_team_page_leads_to_each_model_at_the_same_position,
    ):
        holds(world, model)


# --- the command line ---


@pytest.fixture
def told(committed_db: None) -> RegisteredModel:
    """Committed before the server starts."""
    from tests.world import Cast

    world = World(Cast.assemble())
    first, _ = world.released_pair()
    services.roll_back(actor=world.cast.omar, model=first.model, alias="production", reason="It answers worse.")
    return first.model


def run(told: RegisteredModel, server: Any, tmp_path: Path, *words: str) -> int:
    from registry.access.models import Actor

    token = tmp_path / "token"
    if not token.exists():
        ada = Actor.objects.get(username="ada")
        _, secret = access.create_token(actor=as_caller(ada), person=ada)
        token.write_text(secret)
    return main(["as-of", *words, "--server", server.url, "--token-file", str(token)])


def test_the_command_line_says_what_was_served_and_by_whom_it_was_allowed(
    told: RegisteredModel, live_server: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = Entry.objects.count() - 1
    assert run(told, live_server, tmp_path, str(told), "--position", str(last)) == 0
    out = capsys.readouterr().out
    assert f"As of position {last} of {last + 1}" in out
    assert re.search(r"production: version 1  sha256:\w{64}  rolled-back .* by Omar as approver; granted by Omar", out)
    assert "version 2 for production: granted  requested by Ada as engineer, granted by Omar as approver." in out
    assert "(base, quantized, executed)" in out
    begin = Entry.objects.filter(stream=f"model:{told.pk}").order_by("position")[0].position
    assert run(told, live_server, tmp_path, str(told), "--compare-position", str(begin)) == 0
    assert "Alias production served nothing, then version 1: rolled back by Omar as approver" in capsys.readouterr().out
    assert run(told, live_server, tmp_path, str(told), "--position", str(begin - 1)) == 0
    assert "was not registered yet" in capsys.readouterr().out


def test_the_command_line_tells_of_a_team_and_gives_everything_as_json(
    told: RegisteredModel, live_server: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(told, live_server, tmp_path, "search") == 0
    out = capsys.readouterr().out
    assert "Team search, 1 models" in out
    assert "production: version 1" in out
    assert run(told, live_server, tmp_path, str(told), "--json") == 0
    body = json.loads(capsys.readouterr().out)
    assert body == api("ada").get(address(told, f"?at={body['as_of']['time']}")).json() | {"as_of": body["as_of"]}


MISTAKES = [
    (["search/model-9", "--at", "soon"], "no such"),
    (["MODEL", "--at", "soon"], "'soon' is no time"),
    (["MODEL", "--at", "2999-01-01T00:00:00+02:00"], "lies in the future"),
    (["MODEL", "--at", "2026-01-01&position=2"], "is no moment"),
    (["search", "--compare-at", "2026-01-01"], "compared for one model"),
    (["search/"], "names no model"),
]


def test_a_mistake_on_the_command_line_is_answered_with_cause_and_remedy(
    told: RegisteredModel, live_server: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, said in MISTAKES:
        asked = [str(told) if word == "MODEL" else word for word in words]
        assert run(told, live_server, tmp_path, *asked) == 1, words
        error = capsys.readouterr().err
        assert said in error, words
        assert "what to do:" in error, words
        assert "Traceback" not in error, words

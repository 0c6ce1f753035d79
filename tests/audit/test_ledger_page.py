"""Looking through the ledger: every filter against reading all, what a member may see, pages that end, one entry with its proof."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.test import Client

from audit import merkle, notes
from audit.browsing import entries_found
from audit.models import Entry
from registry.access import services as access
from registry.access.models import Role, Team
from registry.catalog.models import RegisteredModel
from registry.digests import time_text
from registry.errors import Invalid, NotFound
from registry.events import Caller
from tests.world import World
from tests.worlds.audit import Story, tamper
from tests.worlds.http import api

pytestmark = pytest.mark.db_guarantee


@pytest.fixture
def model(story: Story) -> RegisteredModel:
    return story[0].model


def visitor(world: World, name: str) -> Client:
    client = Client()
    client.force_login(world.cast.people[name])
    return client


def words(content: bytes) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", content.decode())))


def events() -> list[tuple[int, dict[str, Any], str, str]]:
    rows = Entry.objects.order_by("-position").values_list("position", "entry", "stream", "at")
    return [(position, json.loads(bytes(data))["event"], stream, at) for position, data, stream, at in rows]


def positions(caller: Caller, **query: str) -> list[int]:
    """Every page, one after the other."""
    search, found, before = entries_found.parse_search(caller, query), [], ""
    while True:
        page = entries_found.browse(caller, search, before)
        found += [row.position for row in page.entries]
        if page.following is None:
            return found
        assert not before or page.following < int(before)
        before = str(page.following)


@pytest.mark.parametrize(("page_size", "looked_at"), [(50, 20_000), (3, 7), (1, 1), (5, 1000)])
def test_every_filter_finds_what_reading_all_finds(
    world: World, model: RegisteredModel, monkeypatch: pytest.MonkeyPatch, page_size: int, looked_at: int
) -> None:
    monkeypatch.setattr(entries_found, "PAGE_ENTRIES", page_size)
    monkeypatch.setattr(entries_found, "LOOKED_AT", looked_at)
    monkeypatch.setattr(entries_found, "_READ", 4)
    root, omar = world.cast.root, str(world.cast.people["omar"].pk)
    every, stream = events(), f"model:{model.pk}"
    middle, late = every[len(every) // 2][3], every[5][3]
    expected: list[tuple[dict[str, str], Callable[[Any], bool]]] = [
        ({}, lambda e: True),
        ({"stream": stream}, lambda e: e[2] == stream),
        ({"stream": "search/sentences"}, lambda e: e[2] == stream),
        ({"stream": "instance"}, lambda e: e[2] == "instance"),
        ({"actor": "omar"}, lambda e: e[1]["actor"]["id"] == omar),
        ({"actor": omar, "stream": stream}, lambda e: e[1]["actor"]["id"] == omar and e[2] == stream),
        ({"kind": "alias.promoted"}, lambda e: e[1]["kind"] == "alias.promoted"),
        ({"kind": "alias"}, lambda e: e[1]["kind"].startswith("alias.")),
        ({"kind": "alias.", "actor": "omar"}, lambda e: e[1]["kind"].startswith("alias.") and e[1]["actor"]["id"] == omar),
        ({"kind": "run"}, lambda e: e[1]["kind"].startswith("run.")),
        ({"begin": middle}, lambda e: e[3] >= middle),
        ({"end": middle}, lambda e: e[3] <= middle),
        ({"begin": middle, "end": late}, lambda e: middle <= e[3] <= late),
        ({"begin": middle, "end": late, "stream": stream}, lambda e: middle <= e[3] <= late and e[2] == stream),
        ({"begin": "2999-01-01"}, lambda e: False),
        ({"end": "1999-01-01"}, lambda e: False),
        ({"stream": "model:01890a5d-ac96-774b-bcce-b302099a8057"}, lambda e: False),
    ]  # fmt: skip
    for query, fits in expected:
        assert positions(root, **query) == [e[0] for e in every if fits(e)], query


def test_a_member_sees_the_entries_of_their_team_and_of_the_instance_alone(
    world: World, model: RegisteredModel, outsider_team: Team
) -> None:
    world.model("hidden", actor=_engineer_of(world, outsider_team), team=outsider_team)
    eve = world.cast.people["eve"]
    access.grant_membership(actor=world.cast.root, person=eve, role=Role.VIEWER, team=outsider_team)
    every = events()
    own = [e[0] for e in every if e[1]["team"] in {None, str(outsider_team.pk)}]
    assert positions(world.cast.eve) == own
    assert positions(world.cast.ada) == [
        e[0] for e in every if e[1]["team"] in {None, str(world.team.pk), *_teams_of_ada(world)}
    ]
    for position in (e[0] for e in every if e[0] not in own):
        for path in (f"/ledger/{position}/", f"/ledger/{position}/entry.json", f"/ledger/{position}/proof.tlog-proof"):
            assert visitor(world, "eve").get(path).status_code == 404
    assert positions(world.cast.eve, stream=f"model:{model.pk}") == []
    with pytest.raises(NotFound):
        positions(world.cast.eve, stream="search/sentences")
    listed = api("eve").get("/api/v1/ledger/entries").json()
    assert listed["items"]
    assert [item["position"] for item in listed["items"]] == positions(world.cast.eve)[: len(listed["items"])]


def _engineer_of(world: World, team: Team) -> Caller:
    access.grant_membership(actor=world.cast.root, person=world.cast.people["ada"], role=Role.ENGINEER, team=team)
    return world.cast.ada


def _teams_of_ada(world: World) -> set[str]:
    return {str(m.team_id) for m in world.cast.people["ada"].memberships.all()}


def test_somebody_without_any_role_sees_nothing(world: World, model: RegisteredModel) -> None:
    assert positions(world.cast.eve) == []
    assert "Nothing of that was found" in words(visitor(world, "eve").get("/ledger/").content)
    assert Client().get("/ledger/").status_code == 302


def test_a_page_looks_at_so_many_entries_and_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.teams(30)
    monkeypatch.setattr(entries_found, "LOOKED_AT", 10)
    last = Entry.objects.count() - 1
    page = entries_found.browse(world.cast.root, entries_found.parse_search(world.cast.root, {"kind": "alias"}))
    assert (page.entries, page.highest, page.lowest, page.following) == ([], last, last - 9, last - 9)
    shown = visitor(world, "root").get("/ledger/?kind=alias")
    assert f"at positions {last - 9} to {last}" in words(shown.content)
    assert f"?kind=alias&amp;before={last - 9}" in shown.content.decode()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("kind=A%20b", "is no kind of event"),
        ("stream=model", "is no stream"),
        ("stream=search/none", "may not see it"),
        ("actor=nobody-here", "There is no actor"),
        ("begin=soon", "is no time"),
        ("end=2026-02-30", "is no time"),
        ("before=x", "is no position"),
        ("actor=%00", "There is no actor"),
    ],
)
def test_what_cannot_be_looked_for_is_said(world: World, query: str, said: str) -> None:
    shown = visitor(world, "ada").get(f"/ledger/?{query}")
    assert shown.status_code == 422
    assert said in words(shown.content)
    assert 'name="kind"' in shown.content.decode()
    answer = api("ada").get(f"/api/v1/ledger/entries?{query}")
    assert answer.status_code in {404, 422}
    assert said in answer.json()["detail"]


def test_an_entry_shows_what_it_says_its_bytes_and_a_proof_that_was_followed(
    world: World, model: RegisteredModel
) -> None:
    signed = world.checkpoint()
    row = next(r for r in Entry.objects.order_by("-position") if b'"kind":"approval.granted"' in bytes(r.entry))
    carla = visitor(world, "carla")
    text = words(carla.get(f"/ledger/{row.position}/").content)
    for said in ("approval granted", "Omar as approver", "search/sentences", "Evidence read; fine.", "holds"):
        assert said in text
    assert f"signed checkpoint over {signed.size} entries" in text
    assert bytes(row.entry).decode() in unescape(carla.get(f"/ledger/{row.position}/").content.decode())
    downloaded = carla.get(f"/ledger/{row.position}/entry.json")
    assert downloaded.content == bytes(row.entry)
    assert downloaded["X-Content-Type-Options"] == "nosniff"
    proof = notes.parse_tlog_proof(carla.get(f"/ledger/{row.position}/proof.tlog-proof").content)
    leaf = merkle.leaf_hash(downloaded.content)
    assert merkle.verify_inclusion(leaf, row.position, signed.size, proof.path, bytes(signed.root))


def test_without_a_checkpoint_past_it_the_proof_is_pending(world: World) -> None:
    world.teams(1)
    last = Entry.objects.count() - 1
    shown = visitor(world, "root").get(f"/ledger/{last}/")
    assert shown.status_code == 200
    assert "has not signed a checkpoint past this entry yet" in words(shown.content)
    assert visitor(world, "root").get(f"/ledger/{last}/proof.tlog-proof").status_code == 503


def test_an_entry_that_was_changed_does_not_pass_for_sealed(world: World, model: RegisteredModel) -> None:
    world.checkpoint()
    position = Entry.objects.filter(stream=f"model:{model.pk}")[3].position
    changed = bytes(Entry.objects.get(position=position).entry).replace(b'"role":"', b'"role":"x', 1)
    tamper("audit_entry", "UPDATE audit_entry SET entry = %s WHERE position = %s", [changed, position])
    text = words(visitor(world, "root").get(f"/ledger/{position}/").content)
    assert "not in the tree" in text
    assert "is not the hash of these bytes" in text
    assert "in the tree" not in text.replace("not in the tree", "")


def test_an_entry_overwritten_with_rubbish_is_shown_as_what_it_is(world: World) -> None:
    world.checkpoint()
    for rubbish in (b"\xff\x00 <b>", b"[]", b'{"event":{}}', b'{"event":7}', b'{"event":{"actor":1,"team":null}}'):
        tamper("audit_entry", "UPDATE audit_entry SET entry = %s WHERE position = %s", [rubbish, 3])
        root = visitor(world, "root")
        assert "cannot be read" in words(root.get("/ledger/").content)
        shown = root.get("/ledger/3/")
        assert shown.status_code == 200
        assert "overwrote this entry" in words(shown.content)
        assert "<b>" not in shown.content.decode()
        listed = {i["position"]: i["read"] for i in api("root").get("/api/v1/ledger/entries").json()["items"]}
        assert listed[3] is None
        nobody_s = b'"team":null' not in rubbish
        assert visitor(world, "ada").get("/ledger/3/").status_code == (404 if nobody_s else 200)
        assert (3 in positions(world.cast.ada)) != nobody_s


def test_texts_of_the_instance_open_to_readers_of_the_whole_of_it_alone(world: World) -> None:
    world.rotate_keys()
    last = Entry.objects.count() - 1
    root, ada = (words(visitor(world, name).get(f"/ledger/{last}/").content) for name in ("root", "ada"))
    assert "It is time." in root
    assert "key rotated" in ada
    assert "It is time." not in ada


def test_an_erased_text_is_not_on_the_page_of_its_entry(world: World, model: RegisteredModel) -> None:
    from audit import erasure

    row = next(r for r in Entry.objects.order_by("-position") if b'"kind":"alias.rolled_back"' in bytes(r.entry))
    ada = visitor(world, "ada")
    assert "Answers moved; back to the parent." in words(ada.get(f"/ledger/{row.position}/").content)
    texts = erasure.typed_by(world.cast.root, world.cast.people["omar"])
    erasure.erase(actor=world.cast.root, texts=texts, reason="Asked for.")
    text = words(ada.get(f"/ledger/{row.position}/").content)
    assert "Answers moved" not in text
    assert "erased on" in text


def test_a_period_is_asked_for_in_utc(world: World) -> None:
    with pytest.raises(Invalid, match="is no time"):
        entries_found.parse_search(world.cast.root, {"begin": "noon"})
    first = Entry.objects.get(position=0)
    search = entries_found.parse_search(world.cast.root, {"begin": first.at, "end": time_text(_later())})
    assert (search.first, search.last) == (0, Entry.objects.count() - 1)


def _later() -> Any:
    import datetime

    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)

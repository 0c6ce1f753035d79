"""What somebody typed is erased: nobody reads it any more, every proof still verifies, and replay says erased, not wrong."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from django.apps import apps
from django.test import Client

from audit import bundles, checkpoints, erasure, services
from audit.models import Bundle, Entry
from audit.verification import replay, verify_ledger
from registry.access import services_erasing
from registry.access.models import IdempotencyKey, Role, Text
from registry.access.services import grant_membership, new_text
from registry.catalog import services as catalog
from registry.catalog.models import ModelVersion
from registry.digests import commitment
from registry.errors import Conflict, Forbidden, Invalid, NotFound
from registry.events import emit, unit
from tests.access.events import kinds_of_last_unit, last_events
from tests.audit.test_issue_bundle import outside, verifier
from tests.world import PASSWORD, World
from tests.worlds.audit import rewrite_entry, tamper
from tests.worlds.http import api

pytestmark = pytest.mark.db_guarantee
GRANTED = "Evidence read; fine."
ROLLED_BACK = "Answers moved; back to the parent."
WHY = "Asked for by the person, ticket 71."
Story = tuple[ModelVersion, ModelVersion]


def erase_omars(world: World, reason: str = WHY) -> services_erasing.Erased:
    texts = erasure.typed_by(world.cast.root, world.cast.people["omar"])
    return erasure.erase(actor=world.cast.root, texts=texts, reason=reason)


def logged_in(name: str) -> Client:
    client = Client()
    assert client.login(username=name, password=PASSWORD)
    return client


def issued(world: World, story: Story) -> Bundle:
    bundle = services.issue_bundle(actor=world.cast.carla, model=story[0].model)
    checkpoints.sign_next()
    return bundle


# --- which texts ---


def test_what_an_actor_typed_is_found_by_the_entries_that_sealed_it_and_nothing_else(
    world: World, story: Story
) -> None:
    found = {text.value for text in erasure.typed_by(world.cast.root, world.cast.people["omar"])}
    assert found == {GRANTED, ROLLED_BACK}
    assert all(text.value != GRANTED for text in erasure.typed_by(world.cast.root, world.cast.people["ada"]))


def test_a_text_in_an_entry_that_only_names_the_person_is_of_whoever_typed_it(world: World) -> None:
    catalog.register_model(
        actor=world.cast.ada, team=world.team, slug="owned", owner=world.cast.people["omar"], title="By Ada, for Omar"
    )
    assert erasure.typed_by(world.cast.root, world.cast.people["omar"]) == []
    assert [text.value for text in erasure.typed_by(world.cast.root, world.cast.people["ada"])] == ["By Ada, for Omar"]


def test_an_entry_that_was_overwritten_hides_only_its_own_texts(world: World, story: Story) -> None:
    sealed = [row for row in Entry.objects.order_by("position") if b'"approval.granted"' in bytes(row.entry)]
    rewrite_entry(sealed[0].position, b'"event":{', b'"event":[')
    left = {text.value for text in erasure.typed_by(world.cast.root, world.cast.people["omar"])}
    assert left == {GRANTED, ROLLED_BACK}
    assert len(erasure.typed_by(world.cast.root, world.cast.people["omar"])) == 3


def test_texts_that_name_somebody_are_found_by_words_and_given_by_id(world: World, story: Story) -> None:
    catalog.register_model(
        actor=world.cast.ada, team=world.team, slug="named", owner=world.cast.people["ada"],
        title="Ranking by Grete Meier",
    )  # fmt: skip
    found = erasure.holding(world.cast.root, "grete meier")
    assert [text.value for text in found] == ["Ranking by Grete Meier"]
    assert erasure.named(world.cast.root, [str(found[0].pk)] * 2) == found
    with pytest.raises(Invalid, match="at least 3"):
        erasure.holding(world.cast.root, " G ")
    with pytest.raises(NotFound, match=str(story[0].pk)):
        erasure.named(world.cast.root, [str(story[0].pk)])
    with pytest.raises(Invalid, match="no id"):
        erasure.named(world.cast.root, ["grete"])


def test_only_administrators_and_officers_of_the_whole_instance_look_or_erase(world: World, story: Story) -> None:
    omar = world.cast.people["omar"]
    text = Text.objects.filter(value=GRANTED)[0]
    for name in ("ada", "omar", "otto", "eve"):
        caller = getattr(world.cast, name)
        for look in (lambda c: erasure.typed_by(c, omar), lambda c: erasure.holding(c, "fine"),
                     lambda c: erasure.named(c, [str(text.pk)])):  # fmt: skip
            with pytest.raises(Forbidden):
                look(caller)
        with pytest.raises(Forbidden):
            erasure.erase(actor=caller, texts=[text], reason=WHY)
    assert Text.objects.filter(value=GRANTED).exists()
    world.officer()
    assert erasure.typed_by(world.cast.carla, omar)


# --- the act ---


def test_one_unit_seals_one_erasure_for_each_stream_with_its_team_and_the_reason(world: World, story: Story) -> None:
    done = erase_omars(world)
    assert (done.count, done.left) == (4, 0)
    assert kinds_of_last_unit() == ["text.erased", "text.erased"]
    streams = set()
    for event in last_events(2):
        assert event["team"] == str(world.team.pk)
        assert event["actor"]["id"] == str(world.cast.root.actor_id)
        rows = [record["row"] for record in event["records"]]
        assert {row["stream"] for row in rows} == {rows[0]["stream"]}
        streams.add(rows[0]["stream"].partition(":")[0])
        reasons = [row for row in rows if row["erased_at"] is None]
        assert [row["purpose"] for row in reasons] == ["reason"]
    assert streams == {"model", "monitor"}
    assert Text.objects.filter(value=WHY).count() == 2
    assert not Text.objects.filter(value__in=(GRANTED, ROLLED_BACK)).exists()


def test_a_reason_is_demanded_and_nothing_goes_without_it(world: World, story: Story) -> None:
    with pytest.raises(Invalid, match="reason"):
        erase_omars(world, reason="  ")
    assert Text.objects.filter(value=GRANTED).exists()


def test_what_is_erased_is_not_erased_again(world: World, story: Story) -> None:
    erase_omars(world)
    with pytest.raises(Conflict, match="nothing to erase"):
        erase_omars(world)
    again = list(Text.objects.filter(erased_at__isnull=False))
    with pytest.raises(Conflict, match="nothing to erase"):
        erasure.erase(actor=world.cast.root, texts=again, reason=WHY)


def test_what_does_not_fit_into_one_unit_is_left_for_the_next_call(
    world: World, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services_erasing, "TEXTS_PER_EVENT", 1)
    monkeypatch.setattr(services_erasing, "EVENTS_PER_UNIT", 3)
    assert erase_omars(world) == services_erasing.Erased(3, 1)
    assert erase_omars(world) == services_erasing.Erased(1, 0)
    assert replay.compare() == []


def test_the_reason_stands_once_in_a_stream_however_many_events_it_takes(
    world: World, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services_erasing, "TEXTS_PER_EVENT", 1)
    erase_omars(world)
    assert kinds_of_last_unit() == ["text.erased"] * 4
    assert Text.objects.filter(value=WHY).count() == 2


def test_a_thousand_texts_of_one_stream_fit_into_one_unit(world: World) -> None:
    model = world.model()
    stream = f"model:{model.pk}"
    for start in range(0, 1000, 100):
        with unit(world.cast.ada, role="engineer") as opened:
            rows = [
                new_text(stream=stream, purpose="note", value=f"Note {start + n}", now=opened.now) for n in range(100)
            ]
            emit("text.written", *rows, team=model.team_id)
    done = erasure.erase(
        actor=world.cast.root, texts=erasure.holding(world.cast.root, "Note "), reason="Much was typed."
    )
    assert (done.count, done.left) == (1000, 0)
    assert len(kinds_of_last_unit()) == 10
    assert verify_ledger.verify().ok
    assert replay.compare() == []


# --- what is shown afterwards, and what still holds ---


def test_the_ledger_still_verifies_and_replay_says_erased_not_wrong(world: World, story: Story) -> None:
    world.checkpoint()
    size = Entry.objects.count()
    erase_omars(world)
    assert verify_ledger.verify().flaws == []
    assert replay.compare() == []
    assert Entry.objects.count() == size + 2
    world.checkpoint()
    assert verify_ledger.verify().flaws == []


def test_an_erasure_by_sql_without_its_event_is_named_by_replay(world: World, story: Story) -> None:
    text = Text.objects.filter(value=GRANTED)[0]
    Text.objects.filter(pk=text.pk).update(value=None, salt=None)
    found = replay.compare()
    assert [(item.id, item.column) for item in found] == [(str(text.pk), "value")]
    assert "text.erased" in found[0].sentence


def test_a_text_brought_back_by_sql_after_its_erasure_is_named_by_replay(world: World, story: Story) -> None:
    text = Text.objects.filter(value=GRANTED)[0]
    erase_omars(world)
    changed = "UPDATE access_text SET value = %s, salt = %s WHERE erased_at IS NOT NULL AND stream = %s"
    assert tamper("access_text", changed, ["Never said.", b"x" * 32, text.stream])
    assert {item.column for item in replay.compare()} == {"value"}


def test_every_page_that_showed_a_text_says_erased(world: World, story: Story) -> None:
    world.officer()
    parent, child = story
    approval = parent.approvals.get()
    incident = child.model.monitors.get().incidents.get()
    granted = [f"/approvals/{approval.pk}/", f"/admin/registry/approval/{approval.pk}/decide/"]
    rolled_back = [f"/incidents/{incident.pk}/", f"/models/search/{parent.model.slug}@{parent.number}/"]
    carla = logged_in("carla")
    for words, pages in ((GRANTED, granted), (ROLLED_BACK, rolled_back)):
        for page in pages:
            assert words in carla.get(page).content.decode(), page
    erase_omars(world)
    for words, pages in ((GRANTED, granted), (ROLLED_BACK, rolled_back)):
        for page in pages:
            shown = carla.get(page).content.decode()
            assert words not in shown, page
            assert "(erased)" in shown, page


def test_an_answer_as_of_a_moment_before_the_erasure_says_erased_too(world: World, story: Story) -> None:
    moment, model = {"position": Entry.objects.count() - 1}, story[0].model.slug
    asked = [
        (logged_in("carla"), f"/models/search/{model}/as-of/"),
        (api("carla"), f"/api/v1/teams/search/models/{model}/as-of"),
    ]
    for client, address in asked:
        assert ROLLED_BACK in client.get(address, moment).content.decode()
    erase_omars(world)
    for client, address in asked:
        shown = client.get(address, moment).content.decode()
        assert ROLLED_BACK not in shown
        assert "erased" in shown


def test_the_api_says_erased(world: World, story: Story) -> None:
    incident = story[1].model.monitors.get().incidents.get()
    door = f"/api/v1/incidents/{incident.pk}"
    assert api("omar").get(door).json()["resolution"] == ROLLED_BACK
    erase_omars(world)
    assert api("omar").get(door).json()["resolution"] == "(erased)"


def test_a_report_made_afterwards_says_erased_and_an_issued_one_stays_as_it_left(world: World, story: Story) -> None:
    first = services.issue_assessment(actor=world.cast.carla, model=story[0].model)
    report = services.issue_report(actor=world.cast.carla, assessment=first)
    erase_omars(world)
    second = services.issue_assessment(actor=world.cast.carla, model=story[0].model)
    later = services.report_of(second)
    assert GRANTED.encode() not in later
    assert b"(erased)" in later
    kept = api("carla").get(f"/api/v1/reports/{report.pk}/report.json").content
    assert GRANTED.encode() in kept


def test_a_bundle_issued_before_stays_as_it_left_and_made_again_differs_by_the_texts_alone(
    world: World, story: Story, tmp_path: Path
) -> None:
    bundle = issued(world, story)
    known = outside(tmp_path, checkpoints.outside_notes()[-1])
    before = bundles.build(bundle, tmp_path / "before.zip")
    erase_omars(world)
    world.checkpoint()
    after = bundles.build(bundle, tmp_path / "after.zip")
    for zipped in (before, after):
        assert verifier(zipped, *known)[0] == 0
    with zipfile.ZipFile(before) as old, zipfile.ZipFile(after) as new:
        assert old.namelist() == new.namelist()
        other = {name for name in old.namelist() if old.read(name) != new.read(name)}
        gone = {row["id"] for row in json.loads(old.read("texts.json"))["texts"]}
        gone -= {row["id"] for row in json.loads(new.read("texts.json"))["texts"]}
        assert b"".join(new.read(name) for name in new.namelist()).count(GRANTED.encode()) == 0
    assert other == {"texts.json", "manifest.json", "manifest.json.sig", "manifest.sig"}
    assert gone == {str(text.pk) for text in Text.objects.filter(erased_at__isnull=False)}


def test_a_bundle_issued_afterwards_holds_the_erasure_and_not_the_text(
    world: World, story: Story, tmp_path: Path
) -> None:
    erase_omars(world)
    target = bundles.build(issued(world, story), tmp_path / "bundle.zip")
    assert verifier(target, *outside(tmp_path, checkpoints.outside_notes()[-1]))[0] == 0
    with zipfile.ZipFile(target) as archive:
        entries = archive.read("log/entries.jsonl")
        everything = b"".join(archive.read(name) for name in archive.namelist())
    assert b'"text.erased"' in entries
    assert GRANTED.encode() not in everything
    assert WHY.encode() in everything


# --- over HTTP ---


def test_a_dry_run_lists_what_would_go_and_erases_nothing(world: World, story: Story) -> None:
    answer = api("root").get("/api/v1/texts?by=omar")
    assert answer.status_code == 200
    assert answer.json()["count"] == 4
    assert {row["value"] for row in answer.json()["items"]} == {GRANTED, ROLLED_BACK}
    assert {row["purpose"] for row in answer.json()["items"]} == {"reason", "resolution"}
    assert not Text.objects.filter(erased_at__isnull=False).exists()
    by_id = api("root").get(f"/api/v1/texts?by={world.cast.omar.actor_id}").json()
    assert by_id == answer.json()


def test_texts_are_erased_over_http_and_the_receipt_comes_with_it(world: World, story: Story) -> None:
    root = api("root")
    ids = [row["id"] for row in root.get("/api/v1/texts?holding=evidence read").json()["items"]]
    answer = root.post("/api/v1/texts/erase", {"ids": ids, "reason": WHY}, format="json")
    assert answer.status_code == 200, answer.content
    assert answer.json() == {"erased": 2, "left": 0}
    assert answer["Pressmark-Receipt"]
    again = root.post("/api/v1/texts/erase", {"by": "omar", "reason": WHY}, format="json")
    assert again.json() == {"erased": 2, "left": 0}
    assert root.get("/api/v1/texts?by=omar").json() == {"count": 0, "items": []}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"reason": WHY}, "one way"),
        ({"by": "omar", "ids": ["x"], "reason": WHY}, "one way"),
        ({"by": "nobody", "reason": WHY}, "no actor"),
        ({"by": "omar"}, "reason"),
        ({"ids": ["x"], "reason": WHY}, "no id"),
    ],
)
def test_what_cannot_be_erased_is_said(world: World, body: dict[str, object], said: str) -> None:
    answer = api("root").post("/api/v1/texts/erase", body, format="json")
    assert answer.status_code in (404, 422)
    assert said in answer.json()["detail"]


def test_who_may_not_erase_sees_no_text_over_http(world: World, story: Story) -> None:
    grant_membership(
        actor=world.cast.root, person=world.cast.people["eve"], role=Role.COMPLIANCE_OFFICER, team=world.team
    )
    for name in ("ada", "omar", "eve"):
        assert api(name).get("/api/v1/texts?by=omar").status_code == 403
        erased = api(name).post("/api/v1/texts/erase", {"by": "omar", "reason": WHY}, format="json")
        assert erased.status_code == 403


def test_a_stored_answer_to_a_repeated_call_loses_the_text_too(world: World) -> None:
    ada, body = api("ada"), {
        "slug": "find", "tier": "limited", "sector": "retail", "jurisdiction": "EU", "owner": "ada",
        "purpose": "Find what Grete Meier sold.", "reason": "Little can go wrong.",
    }  # fmt: skip
    first = ada.post("/api/v1/teams/search/use-cases", body, format="json", HTTP_IDEMPOTENCY_KEY="k")
    assert first.json()["purpose"] == body["purpose"]
    texts = erasure.holding(world.cast.root, "Grete")
    erasure.erase(actor=world.cast.root, texts=texts, reason=WHY)
    assert "Grete" not in str(list(IdempotencyKey.objects.values()))
    again = ada.post("/api/v1/teams/search/use-cases", body, format="json", HTTP_IDEMPOTENCY_KEY="k")
    assert again.json() == {**first.json(), "purpose": "(erased)"}
    assert again["Pressmark-Receipt"] == first["Pressmark-Receipt"]


def test_no_trace_of_the_text_stays_in_any_table(world: World, story: Story) -> None:
    erase_omars(world)
    for model in apps.get_models():
        for row in model._default_manager.values():
            assert GRANTED not in str(row), model
            assert ROLLED_BACK not in str(row), model


def test_the_commitment_stays_so_that_whoever_kept_text_and_salt_can_still_prove_it(world: World, story: Story) -> None:
    text = Text.objects.filter(value=GRANTED)[0]
    salt = bytes(text.salt or b"")
    erase_omars(world)
    text.refresh_from_db()
    assert (text.value, text.salt) == (None, None)
    assert commitment(salt, GRANTED) == text.commitment

"""What was served, and who allowed it, at each moment of one story: promotion, roll-back, revocation, policy, expiry, erasure."""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audit import erasure
from audit.history.answers import model_as_of, team_as_of
from audit.models import Entry
from registry import storage
from registry.access.models import Team
from registry.catalog.models import RegisteredModel
from registry.catalog.services_corrections import correct_version
from registry.cli.remote_as_of import model_lines
from registry.digests import time_text
from registry.events import Caller
from registry.oversight import services as oversight
from registry.oversight.subjects import of_version
from registry.release import queries, services
from registry.release.models import Policy
from tests.world import World
from tests.worlds.audit import tamper

pytestmark = pytest.mark.db_guarantee
Shape = dict[str, Any]


@dataclass
class Story:
    """The model, and the position after each act by name."""

    world: World
    model: RegisteredModel
    after: dict[str, int]

    def ask(self, act: str, caller: Caller | None = None, **query: str) -> Shape:
        """The model as of the end of an act."""
        return model_as_of(caller or self.world.cast.ada, self.model, {"position": str(self.after[act]), **query})

    def mark(self, act: str) -> None:
        self.after[act] = Entry.objects.count() - 1


@pytest.fixture
def story(world: World) -> Story:
    cast = world.cast
    model = world.governed_model("limited", slug="sentences")
    told = Story(world, model, {})
    parent = world.parent_version(model)
    told.mark("parent registered")
    first = world.granted(parent)
    told.mark("parent granted")
    services.promote(actor=cast.otto, model=model, alias="production", approval=first)
    told.mark("parent promoted")
    child = world.child_version(parent)
    second = world.granted(child)
    services.promote(actor=cast.otto, model=model, alias="production", approval=second)
    told.mark("child promoted")
    services.roll_back(actor=cast.omar, model=model, alias="production", reason="It answers worse.")
    told.mark("rolled back")
    services.revoke_approval(actor=cast.omar, approval=second, reason="It should not have been granted.")
    told.mark("child revoked")
    world.policy("limited", lambda document: document.update(title="A stricter one"))
    told.mark("policy changed")
    oversight.change_tier(actor=cast.carla, use_case=model.use_case, tier="high", reason="It decides about people.")
    told.mark("tier raised")
    text = erasure.typed_by(cast.root, cast.people["omar"])
    erasure.erase(actor=cast.root, texts=text, reason="Omar asked for it.")
    told.mark("omar erased")
    return told


def served(answer: Shape) -> int | None:
    alias = next((a for a in answer["aliases"] if a["alias"] == "production"), None)
    return alias["serves"]["version"] if alias and alias["serves"] else None


def words(answer: Shape) -> dict[int, str]:
    return {row["version"]: row["status"] for row in answer["approvals"]}


def what_was_served_at_each_moment(story: Story) -> None:
    told = {act: served(story.ask(act)) for act in story.after}
    assert told == {
        "parent registered": None, "parent granted": None, "parent promoted": 1, "child promoted": 2, "rolled back": 1,
        "child revoked": 1, "policy changed": 1, "tier raised": 1, "omar erased": 1,
    }  # fmt: skip


def what_approvals_were_worth_at_each_moment(story: Story) -> None:
    assert words(story.ask("parent registered")) == {}
    assert words(story.ask("parent granted")) == {1: "granted"}
    assert words(story.ask("child promoted")) == {1: "granted", 2: "granted"}
    assert words(story.ask("child revoked")) == {1: "granted", 2: "revoked"}
    assert words(story.ask("policy changed")) == {1: "stale", 2: "revoked"}
    reasons = next(row["status_reasons"] for row in story.ask("policy changed")["approvals"] if row["version"] == 1)
    assert reasons == ["Another policy is in force than the one that the approval was asked under."]
    later = next(row["status_reasons"] for row in story.ask("tier raised")["approvals"] if row["version"] == 1)
    assert "The tier of the use case has changed." in later


def by_whose_approval_it_was_served_and_since_when(story: Story) -> None:
    alias = story.ask("child promoted")["aliases"][0]
    move = Entry.objects.get(position=story.after["child promoted"])
    assert alias["serves"]["position"] == move.position
    assert alias["serves"]["since"] <= move.at
    assert alias["serves"]["by"]["name"] == "Otto"
    assert alias["serves"]["by"]["role"] == "operator"
    assert [(p["name"], p["role"]) for p in alias["approval"]["granted_by"]] == [("Omar", "approver")]
    assert alias["approval"]["requested_by"]["name"] == "Ada"
    back = story.ask("rolled back")["aliases"][0]
    assert back["approval"]["id"] != alias["approval"]["id"]
    assert [m["kind"] for m in back["moves"]] == ["rolled-back", "promoted", "promoted"]


def which_policy_judged_and_by_whom_it_was_approved(story: Story) -> None:
    before = [p for p in story.ask("child promoted")["policies"] if p["judges"]]
    after = [p for p in story.ask("policy changed")["policies"] if p["judges"]]
    assert [p["policy"] for p in before] == ["limited@1"]
    assert [p["policy"] for p in after] == ["limited@2"]
    assert before[0]["digest"] == Policy.objects.get(slug="limited", number=1).digest
    assert after[0]["approved_by"]["name"] == "Carla"
    assert [p for p in story.ask("tier raised")["policies"] if p["judges"]] == []


def a_version_has_its_lineage_licence_and_the_evidence_of_that_moment(story: Story) -> None:
    early = story.ask("parent registered")
    assert [v["number"] for v in early["versions"]] == [1]
    late = story.ask("child promoted")["versions"][1]
    row = story.model.versions.get(number=2)
    assert (late["digest"], late["licence"]) == (row.digest, "Apache-2.0")
    assert late["edges"] == [{
        "digest": row.parent_edges.get().parent_digest, "grade": "executed", "kind": "version",
        "name": "search/sentences@1", "operations": ["quantized"], "position": late["position"], "role": "base",
    }]  # fmt: skip
    assert {e["digest"] for e in late["evidence"]} == set(row.evidence.values_list("digest", flat=True))


def test_evidence_that_came_later_is_not_there_yet(story: Story) -> None:
    before = story.ask("omar erased")["versions"][0]
    story.world.evidence(story.model.versions.get(number=1), "outputs", [], source="declared")
    story.mark("declared")
    after = story.ask("declared")["versions"][0]
    assert len(after["evidence"]) == len(before["evidence"]) + 1
    assert story.ask("omar erased")["versions"][0] == before


def test_an_erased_text_is_erased_whatever_the_moment_and_others_are_read(story: Story) -> None:
    erased_at = story.world.cast.people["omar"]
    for act in ("child promoted", "omar erased"):
        decision = story.ask(act)["approvals"][0]["decisions"][0]
        assert decision["by"]["id"] == str(erased_at.pk)
        assert decision["reason"]["state"] == "erased"
        assert decision["reason"]["value"] is None
        assert decision["reason"]["erased_at"] is not None
    assert story.ask("child promoted")["approvals"][0]["reason"]["value"] == "It is smaller and answers the same."


def test_a_text_that_does_not_open_its_commitment_is_not_shown(story: Story) -> None:
    reason = queries.approvals(story.world.cast.ada).last().reason
    tamper("access_text", "UPDATE access_text SET value = %s WHERE id = %s", ["Rewritten later.", _key(reason.pk)])
    shown = story.ask("parent granted")["approvals"][0]["reason"]
    assert shown == {"erased_at": None, "state": "differs", "value": None}


def _key(pk: Any) -> str:
    from django.db import connection

    return str(pk) if connection.vendor == "postgresql" else pk.hex


def test_an_approval_expires_by_itself_between_two_acts(story: Story) -> None:
    world = story.world
    oversight.change_tier(actor=world.cast.carla, use_case=_use_case(story), tier="limited", reason="No longer.")
    end = timezone.now() + datetime.timedelta(milliseconds=500)
    row = services.request_approval(
        actor=world.cast.ada,
        version=story.model.versions.get(number=1),
        alias="canary",
        reason="Short.",
        expires_at=end,
    )
    services.grant_approval(actor=world.cast.omar, approval=row, reason="For a moment.")
    story.mark("short grant")
    time.sleep(max(0.0, (end - timezone.now()).total_seconds()) + 0.05)
    assert _word(story.ask("short grant"), row.pk) == "granted"
    just_after = {"at": time_text(end + datetime.timedelta(milliseconds=1))}
    late = model_as_of(world.cast.ada, story.model, just_after)
    assert late["as_of"]["position"] == story.after["short grant"]
    assert _word(late, row.pk) == "expired"
    changed = model_as_of(
        world.cast.ada, story.model, {**just_after, "compare_position": str(story.after["short grant"])}
    )
    assert [(c["what"], c["after"], c["position"]) for c in changed["changes"]["found"]] == [
        ("approval-status", "expired", None)
    ]


def _use_case(story: Story) -> Any:
    return RegisteredModel.objects.get(pk=story.model.pk).use_case


def _word(answer: Shape, key: Any) -> str:
    return next(row["status"] for row in answer["approvals"] if row["id"] == str(key))


def before_its_registration_there_is_no_model(story: Story) -> None:
    registered = Entry.objects.filter(stream=f"model:{story.model.pk}").order_by("position")[0].position
    answer = model_as_of(story.world.cast.ada, story.model, {"position": str(registered - 1)})
    assert answer["model"] is None
    assert (answer["versions"], answer["aliases"], answer["approvals"], answer["entries"]) == ([], [], [], 0)
    assert answer["steps"]["forward"] == registered


def test_a_policy_whose_document_is_lost_leaves_statuses_unknown_and_the_rest_told(story: Story) -> None:
    first = Policy.objects.get(slug="limited", number=1)
    queries._parsed.cache_clear()
    storage.path_of(first.digest).unlink()
    answer = story.ask("child promoted")
    assert words(answer) == {1: "unknown", 2: "unknown"}
    assert words(story.ask("child revoked")) == {1: "unknown", 2: "revoked"}
    assert "not stored here" in answer["approvals"][0]["status_reasons"][0]
    assert served(answer) == 2
    assert answer["policies"][0]["tiers"] is None
    queries._parsed.cache_clear()


# --- what changed ---


def what_changed_between_two_moments_names_what_who_and_which_entry(story: Story) -> None:
    found = story.ask("tier raised", compare_position=str(story.after["parent promoted"]))["changes"]
    assert (found["from"]["position"], found["to"]["position"]) == (
        story.after["parent promoted"], story.after["tier raised"],
    )  # fmt: skip
    told = [(c["what"], c["before"], c["after"]) for c in found["found"]]
    assert ("version-registered", None, story.model.versions.get(number=2).digest) in told
    assert ("approval-decided", None, "revoked") in told
    assert ("tier-changed", "limited", "high") in told
    assert ("approval-status", "granted", "stale") in told
    moved = next(c for c in found["found"] if c["what"] == "alias-moved")
    assert (moved["before"], moved["after"], moved["position"]) == (
        "version 1", "version 1", story.after["rolled back"],
    )  # fmt: skip
    assert "the last of 2 moves" in moved["sentence"]
    positions = [c["position"] for c in found["found"] if c["position"] is not None]
    assert positions == sorted(positions)
    assert {c["what"] for c in found["found"] if c["position"] is None} == {"approval-status", "policy-out-of-force"}


def the_order_in_which_moments_are_given_does_not_matter(story: Story) -> None:
    one = story.ask("tier raised", compare_position=str(story.after["parent promoted"]))
    other = story.ask("parent promoted", compare_position=str(story.after["tier raised"]))
    assert one["changes"] == other["changes"]


def test_the_ledger_alone_tells_the_story_at_each_moment(story: Story) -> None:
    """Reads only, so one story is enough for all; what fails is named by its function."""
    for holds in (
        what_was_served_at_each_moment,
        what_approvals_were_worth_at_each_moment,
        by_whose_approval_it_was_served_and_since_when,
        which_policy_judged_and_by_whom_it_was_approved,
        a_version_has_its_lineage_licence_and_the_evidence_of_that_moment,
        before_its_registration_there_is_no_model,
        what_changed_between_two_moments_names_what_who_and_which_entry,
        the_order_in_which_moments_are_given_does_not_matter,
    ):
        holds(story)


# --- the team ---


def test_a_team_shows_what_each_alias_of_each_model_served(story: Story, outsider_team: Team) -> None:
    world = story.world
    other = world.model("another", use_case=world.use_case())
    world.version(other)

    def ask(act: str) -> Shape:
        return team_as_of(world.cast.ada, world.team, {"position": str(story.after[act])})

    early, late = ask("child promoted"), team_as_of(world.cast.ada, world.team, {})
    assert [m["model"] for m in early["models"]] == ["search/sentences"]
    assert [m["model"] for m in late["models"]] == ["search/another", "search/sentences"]
    assert late["total"] == 2
    sentences = early["models"][0]
    assert (sentences["versions"], sentences["newest_version"]) == (2, 2)
    assert sentences["use_case"]["tier"] == "limited"
    assert late["models"][1]["use_case"]["tier"] == "high"
    alias = sentences["aliases"][0]
    assert (alias["alias"], alias["version"], alias["by"]["name"]) == ("production", 2, "Otto")
    assert [p["name"] for p in alias["granted_by"]] == ["Omar"]
    assert ask("rolled back")["models"][0]["aliases"][0]["version"] == 1
    assert [p["policy"] for p in early["policies"]] == ["limited@1"]
    assert team_as_of(world.cast.root, outsider_team, {})["models"] == []


def test_a_large_team_comes_in_pages_by_name(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from audit.history import team as history_team

    monkeypatch.setattr(history_team, "PAGE_MODELS", 3)
    for number in range(7):
        world.model(f"model-{number}")
    seen, after = [], ""
    while after is not None:
        page = team_as_of(world.cast.ada, world.team, {"after": after})
        assert page["total"] == 7
        seen += [m["model"] for m in page["models"]]
        after = page["next"]
    assert seen == [f"search/model-{number}" for number in range(7)]


def test_what_was_stated_and_what_a_recall_stopped_is_told_as_it_was_then(world: World) -> None:
    version = world.parent_version(world.governed_model("limited", slug="sentences"))
    told = Story(world, version.model, {})
    told.mark("registered")
    correct_version(
        actor=world.cast.carla, version=version, licence=world.licence("CC-BY-NC-4.0"), training_data="unknown",
        reason="Its card says so.",
    )  # fmt: skip
    recall = services.start_recall(
        actor=world.cast.carla, subject=of_version(version), reason="Its rows were taken back."
    )
    told.mark("stopped")
    services.end_recall(actor=world.cast.carla, recall=recall, reason="They may be used again.")
    told.mark("free again")
    seen = [
        (v["licence"], v["training_data"], v["quarantined"]) for act in told.after for v in told.ask(act)["versions"]
    ]
    assert seen == [
        ("Apache-2.0", "complete", False), ("CC-BY-NC-4.0", "unknown", True), ("CC-BY-NC-4.0", "unknown", False),
    ]  # fmt: skip
    changed = told.ask("registered", compare_position=str(told.after["free again"]))["changes"]["found"]
    assert [(c["what"], c["before"], c["after"]) for c in changed if c["subject"] == "version 1"] == [
        ("version-corrected", "Apache-2.0", "CC-BY-NC-4.0"),
        ("version-corrected", "complete", "unknown"),
        ("version-stopped", None, str(recall.pk)),
        ("version-free-again", str(recall.pk), None),
    ]
    assert None not in [c["position"] for c in changed]
    assert "QUARANTINED" in "\n".join(model_lines(told.ask("stopped")))
    assert "QUARANTINED" not in "\n".join(model_lines(told.ask("free again")))
    client = Client()
    client.force_login(world.cast.people["carla"])
    page = f"/models/{version.model.team.slug}/{version.model.slug}/as-of/"
    assert "quarantined" in client.get(f"{page}?position={told.after['stopped']}").content.decode()
    assert "quarantined" not in client.get(page).content.decode()

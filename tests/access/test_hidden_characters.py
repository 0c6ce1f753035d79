"""What people write shows as it is: nothing that a terminal obeys, nothing that turns text around, a title in one line."""

from __future__ import annotations

import pytest

from registry.access.models import Text
from registry.access.services import check_shows
from registry.catalog.models import RegisteredModel
from registry.errors import Invalid
from registry.oversight.models import TierTable
from registry.oversight.services_tiers import author_tier_table
from registry.oversight.tiers import ready_made
from registry.release.models import Policy
from registry.release.services import author_policy
from tests.world import Cast, World
from tests.worlds.http import api


@pytest.mark.parametrize("hidden", ["\x1b[2J", "\x07", "\x7f", "\x9b1m", "\u202etxt.exe", "\u2066", "\u2028"])
def test_text_that_hides_something_is_refused_and_its_character_named(hidden: str) -> None:
    for purpose in ("title", "reason", "statement"):
        with pytest.raises(Invalid, match=f"{purpose} holds the character U\\+{ord(hidden[0]):04X}"):
            check_shows(purpose, f"All good. {hidden}")


def test_paragraphs_tables_and_every_script_are_kept(db: None) -> None:
    check_shows("reason", "First.\r\n\tSecond: größer, 图, نص, می‌خواهم, \u200fשלום, 👩‍🔬.\n")
    with pytest.raises(Invalid, match=r"U\+000A"):
        check_shows("title", "Two\nlines")


@pytest.mark.parametrize("title", ["two\nlines", "red \x1b[31m", "evil \u202ecod.exe"])
def test_it_is_refused_at_the_door_and_nothing_is_kept(cast: Cast, title: str) -> None:
    body = {"slug": "m", "title": title, "owner": "ada"}
    answer = api("ada").post("/api/v1/teams/search/models", body, format="json")
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:pressmark:problem:hidden-characters")
    assert not RegisteredModel.objects.exists()
    assert not Text.objects.filter(value=title).exists()


def test_what_people_write_into_a_finding_is_no_exception(cast: Cast) -> None:
    made = api("ada").post("/api/v1/teams/search/models", {"slug": "m", "title": "M", "owner": "ada"}, format="json")
    assert made.status_code == 201
    body = {"subject": "odd", "description": "See \x1b[2J", "owner": "ada", "due_on": "2099-01-01"}
    answer = api("ada").post("/api/v1/teams/search/models/m/findings", body, format="json")
    assert answer.json()["type"] == "urn:pressmark:problem:hidden-characters"


def test_nor_is_a_policy_that_others_approve_by_its_title_and_reasons(world: World) -> None:
    before = Policy.objects.count()
    for said, hidden in (
        ("title", {"title": "Limited \u202egnihton"}),
        ("title", {"title": "Two\nlines"}),
        ("about", {"about": "Asks \x1b[8mfor nothing"}),
    ):
        document = world.policy_document(change=lambda d, hidden=hidden: d.update(hidden))
        with pytest.raises(Invalid, match=f"The {said} holds the character"):
            author_policy(actor=world.cast.root, slug="limited", document=document)
    shown = world.policy_document(change=lambda d: d["rules"][0].update(about="Asks\u2028for nothing"))
    with pytest.raises(Invalid, match="The about holds the character"):
        author_policy(actor=world.cast.root, slug="limited", document=shown)
    assert Policy.objects.count() == before


def test_nor_is_a_questionnaire_that_gives_a_tier(cast: Cast) -> None:
    table = ready_made()
    table["questions"][0]["answers"][0]["text"] = "Nobody \u202esi ti"
    with pytest.raises(Invalid, match=r"The text holds the character U\+202E"):
        author_tier_table(actor=cast.root, document=table)
    assert not TierTable.objects.filter(author=cast.root.actor_id).exists()

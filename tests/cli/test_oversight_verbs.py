"""The verbs of use cases, reviews, holds, findings and ready-made policies, over a real server."""

from __future__ import annotations

import json

import pytest

from registry.oversight.models import Finding, Hold, Review, UseCase
from registry.oversight.tiers import ready_made
from registry.release.models import Policy
from tests.cli.conftest import Pressmark
from tests.oversight.test_answer_tier_table import in_force
from tests.world import World

Said = pytest.CaptureFixture[str]
PURPOSE = ("--purpose", "Sort files.", "--sector", "credit", "--jurisdiction", "EU", "--owner", "carla")


def test_a_use_case_is_registered_by_hand_only_while_no_table_is_in_force(
    pressmark: Pressmark, served: World, capsys: Said
) -> None:
    assert pressmark("ada", "register-use-case", "search/triage") == 1
    assert "No tier table is in force" in capsys.readouterr().err
    assert pressmark("ada", "register-use-case", "search/triage", *PURPOSE, "--tier", "limited") == 1
    assert "reason is empty" in capsys.readouterr().err
    why = ("--reason", "Little can go wrong.")
    assert pressmark("ada", "register-use-case", "search/triage", *PURPOSE, "--tier", "limited", *why) == 0
    assert "search/triage  tier limited  (by hand)" in capsys.readouterr().out
    in_force(served)
    assert pressmark("ada", "register-use-case", "search/other", *PURPOSE, "--tier", "limited", *why) == 1
    assert "follows from answers to tier table 1" in capsys.readouterr().err


def test_a_use_case_is_registered_with_answers_shown_assessed_again_and_raised(
    pressmark: Pressmark, served: World, capsys: Said
) -> None:
    in_force(served)
    words = [f"{row['question']}={row['answer']}" for row in served.answers_for("limited")]
    why = ("--reason", "Looked at with the team.")
    assert pressmark("ada", "register-use-case", "search/triage") == 0
    assert "effect: What can an answer" in capsys.readouterr().out
    assert pressmark("ada", "register-use-case", "search/triage", *words, "--tier", "minimal", *why) == 1
    assert "Add --purpose, --sector, --jurisdiction, --owner" in capsys.readouterr().err
    assert pressmark("ada", "register-use-case", "search/triage", *words, *PURPOSE, "--tier", "minimal", *why) == 1
    assert "answers give the tier limited" in capsys.readouterr().err
    assert pressmark("ada", "register-use-case", "search/triage", *words, *PURPOSE, *why) == 0
    assert "search/triage  tier limited  (by answers to tier table 1)" in capsys.readouterr().out
    assert pressmark("ada", "change-tier", "search/triage", "high", "--reason", "Its users are children.") == 0
    assert "tier high" in capsys.readouterr().out
    assert pressmark("carla", "change-tier", "search/triage", "minimal", "--reason", "A pilot.") == 1
    assert "answers give the tier limited" in capsys.readouterr().err
    assert pressmark("omar", "show-use-case", "search/triage") == 0
    told = capsys.readouterr().out
    assert "tier high  (by answers to tier table 1, which say limited)" in told
    assert "purpose       Sort files." in told
    assert pressmark("ada", "answer-tier-table", "search/triage", "--tier", "high", "--reason", "Still so.") == 1
    assert "has these answers already" in capsys.readouterr().err
    assert pressmark("omar", "list-use-cases", "search", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["slug"], row["tier"], UseCase.objects.get().slug) == ("triage", "high", "triage")
    assert pressmark("ada", "show-use-case", "elsewhere/triage") == 1
    assert len(UseCase.objects.get().answers) == len(ready_made()["questions"])


def test_a_review_is_signed_and_listed(pressmark: Pressmark, served: World, capsys: Said) -> None:
    about = f"version:{served.parent_version()}"
    with pytest.raises(SystemExit):
        pressmark("carla", "sign-review", about, "--kind", "legal", "--statement", "Read.")
    assert "one of the arguments --accept --refuse is required" in capsys.readouterr().err
    assert pressmark("ada", "sign-review", about, "--kind", "legal", "--accept", "--statement", "Mine.") == 1
    capsys.readouterr()
    assert pressmark("carla", "sign-review", about, "--kind", "beauty", "--accept", "--statement", "Read.") == 1
    assert "vetting, privacy, legal" in capsys.readouterr().err
    assert (
        pressmark("carla", "sign-review", about, "--kind", "legal", "--refuse", "--statement", "A clause is odd.") == 0
    )
    assert pressmark("carla", "sign-review", about, "--kind", "legal", "--accept", "--statement", "Asked; fine.") == 0
    capsys.readouterr()
    assert pressmark("omar", "list-reviews", about) == 0
    newest, older = capsys.readouterr().out.splitlines()
    assert "accepted" in newest
    assert newest.endswith("counts. Asked; fine.")
    assert "refused" in older
    assert "counts no longer" in older
    assert Review.objects.count() == 2


def test_a_hold_is_placed_listed_and_ended(pressmark: Pressmark, served: World, capsys: Said) -> None:
    about = f"version:{served.parent_version()}"
    assert pressmark("ada", "place-hold", about, "--reason", "A complaint.") == 1
    capsys.readouterr()
    assert pressmark("carla", "place-hold", about, "--reason", "A complaint.") == 0
    key = str(Hold.objects.get().pk)
    assert key in capsys.readouterr().out
    assert pressmark("omar", "list-holds", about) == 0
    assert "A complaint." in capsys.readouterr().out
    assert pressmark("carla", "end-hold", key, "--reason", "Settled.") == 0
    assert pressmark("carla", "end-hold", key, "--reason", "Settled.") == 1
    assert "has ended already" in capsys.readouterr().err
    assert pressmark("omar", "list-holds", about, "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["ended_reason"] == "Settled."


def test_a_finding_is_opened_and_listed_as_json(pressmark: Pressmark, served: World, capsys: Said) -> None:
    model = str(served.parent_version().model)
    words = ("--subject", "recall", "--description", "It forgets Bavarian.", "--owner", "ada")
    assert pressmark("carla", "open-finding", model, *words, "--due-on", "2020-01-01") == 1
    assert "has passed" in capsys.readouterr().err
    assert pressmark("carla", "open-finding", model, *words, "--due-on", "2099-01-31") == 0
    capsys.readouterr()
    assert pressmark("ada", "list-findings", "--mine", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["subject"], row["id"]) == ("recall", str(Finding.objects.get().pk))


def test_a_policy_that_ships_is_listed_and_authored_as_it_is(pressmark: Pressmark, served: World, capsys: Said) -> None:
    served.officer()
    assert pressmark("carla", "list-policies") == 0
    assert "There is nothing" in capsys.readouterr().out
    assert pressmark("carla", "list-policies", "--ready-made") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["high", "limited", "minimal"]
    assert pressmark("carla", "author-policy", "high", "--ready-made", "highest") == 1
    assert "There are: high, limited, minimal" in capsys.readouterr().err
    assert pressmark("carla", "author-policy", "high") == 1
    assert "One document is needed" in capsys.readouterr().err
    assert pressmark("carla", "author-policy", "high", "missing.json") == 1
    assert "There is no file missing.json" in capsys.readouterr().err
    assert pressmark("carla", "author-policy", "high", "--ready-made", "high") == 0
    assert pressmark("root", "approve-policy", "high@1") == 0
    capsys.readouterr()
    assert pressmark("omar", "list-policies") == 0
    assert "high@1            in force" in capsys.readouterr().out
    assert Policy.objects.get().slug == "high"

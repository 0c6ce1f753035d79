"""The verbs of policies, tier tables, alias rules and findings, over a real server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from registry.access import services as access
from registry.access.models import Role
from registry.oversight.models import Finding
from registry.oversight.tiers import parse, ready_made
from registry.release import queries
from registry.release.serving_models import AliasRule
from tests.cli.conftest import Pressmark
from tests.world import World

Said = pytest.CaptureFixture[str]


def test_a_policy_is_written_tried_and_put_in_force(
    pressmark: Pressmark, served: World, capsys: Said, tmp_path: Path
) -> None:
    served.released_pair()
    stricter = served.policy_document("limited", lambda d: d["rules"][8].update(limit="5"))
    assert stricter["rules"][8]["id"] == "smaller"
    draft = tmp_path / "draft.json"
    draft.write_text(json.dumps(stricter))
    assert pressmark("root", "dry-run-policy", str(draft), "--name", "limited") == 3
    told = capsys.readouterr().out
    assert "1 of 1 live versions are judged by it: 1 pass now, 0 would pass; 1 approvals" in told
    assert "smaller: passed -> blocked. " in told
    assert pressmark("root", "author-policy", "limited", str(draft)) == 0
    assert "limited@2  judges nothing yet" in capsys.readouterr().out
    assert pressmark("root", "dry-run-policy", "limited@2", "--json") == 3
    assert json.loads(capsys.readouterr().out)["counts"]["newly_blocked"] == 1
    assert pressmark("root", "approve-policy", "limited@2") == 1
    assert "You wrote this policy" in capsys.readouterr().err
    assert pressmark("carla", "approve-policy", "limited@2") == 0
    assert str(queries.policy_in_force("limited")) == "limited@2"
    assert pressmark("carla", "end-policy", "limited@2") == 0
    assert queries.policy_in_force("limited") is None
    assert pressmark("root", "dry-run-policy", "limited") == 1
    assert "Write it like limited@2" in capsys.readouterr().err


def test_a_tier_table_is_written_approved_and_answered(pressmark: Pressmark, served: World, capsys: Said) -> None:
    served.officer()
    use_case = served.use_case(tier="limited")
    assert pressmark("ada", "answer-tier-table", "search/support-search") == 1
    assert "No tier table is in force" in capsys.readouterr().err
    assert pressmark("root", "author-tier-table") == 0
    assert pressmark("carla", "approve-tier-table", "1") == 0
    assert pressmark("ada", "answer-tier-table", "search/support-search") == 0
    assert "serious      Loss of money" in capsys.readouterr().out
    answers = {q.id: q.answers[0].id for q in parse(ready_made()).questions} | {"effect": "serious"}
    words = [f"{question}={answer}" for question, answer in answers.items()]
    assert pressmark("ada", "answer-tier-table", "search/support-search", *words, "--reason", "Looked at.") == 0
    assert (
        "tier high  (by answers to tier table 1)\n    effect=serious: An error changes somebody's life."
        in capsys.readouterr().out
    )
    use_case.refresh_from_db()
    assert use_case.tier == "high"
    assert pressmark("carla", "answer-tier-table", "search/support-search", "effect=none", "--reason", "A pilot.") == 0
    use_case.refresh_from_db()
    assert use_case.tier == "minimal"


def test_an_act_on_an_alias_is_kept_for_a_role(pressmark: Pressmark, served: World, capsys: Said) -> None:
    assert pressmark("carla", "author-alias-rule", "search", "production", "promote", "approver") == 0
    key = str(AliasRule.objects.get().pk)
    assert key in capsys.readouterr().out
    assert pressmark("omar", "approve-alias-rule", key) == 0
    assert pressmark("ada", "author-alias-rule", "search") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["production", "promote", "approver", "by", "rule"] in lines
    assert pressmark("omar", "end-alias-rule", key) == 0


def test_a_finding_is_listed_worked_on_and_closed(pressmark: Pressmark, served: World, capsys: Said) -> None:
    from tests.oversight.test_accept_finding import a_finding

    key = str(a_finding(served).pk)
    assert pressmark("ada", "list-findings", "--mine") == 0
    assert "recall in Bavarian" in capsys.readouterr().out
    assert pressmark("omar", "list-findings", "--mine") == 0
    assert capsys.readouterr().out == ""
    assert pressmark("ada", "accept-finding", key, "--note", "More rows.") == 0
    assert pressmark("ada", "fix-finding", key, "--note", "Added.") == 0
    assert pressmark("omar", "reopen-finding", key, "--note", "Not enough.") == 0
    assert pressmark("ada", "assign-finding", key, "--note", "His field.", "--owner", "otto") == 0
    assert "open" in capsys.readouterr().out
    Finding.objects.filter(pk=key).update(due_on="2020-01-01")
    assert pressmark("otto", "list-findings", "--mine") == 3
    assert "OVERDUE" in capsys.readouterr().out
    assert pressmark("ada", "close-finding", key, "--closure", "x") == 1
    assert pressmark("carla", "close-finding", key, "--closure", "Measured again.") == 0
    assert pressmark("otto", "list-findings") == 0


def test_findings_of_other_teams_are_not_listed(pressmark: Pressmark, served: World, capsys: Said) -> None:
    from tests.oversight.test_accept_finding import a_finding

    key = str(a_finding(served).pk)
    elsewhere = access.create_team(actor=served.cast.root, slug="elsewhere")
    access.grant_membership(
        actor=served.cast.root, person=served.cast.people["eve"], role=Role.ENGINEER, team=elsewhere
    )
    assert pressmark("eve", "list-findings") == 0
    assert capsys.readouterr().out == ""
    assert pressmark("eve", "accept-finding", key, "--note", "x") == 1
    assert "no such finding" in capsys.readouterr().err

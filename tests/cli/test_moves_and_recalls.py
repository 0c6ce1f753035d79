"""The verbs that move aliases, go through drills, start and end recalls, over a real server."""

from __future__ import annotations

import pytest
from django.utils import timezone

from registry.catalog.models import ModelVersion
from registry.release import queries
from registry.release.models import AliasAssignment
from registry.release.quarantines import quarantined
from registry.release.stopping_models import Recall
from tests.cli.conftest import Pressmark
from tests.world import World

Said = pytest.CaptureFixture[str]


def serving(version: ModelVersion) -> ModelVersion | None:
    return queries.served(version.model, "production")


def test_an_alias_is_promoted_drilled_rolled_back_and_suspended_from_a_shell(
    pressmark: Pressmark, served: World, capsys: Said
) -> None:
    parent = served.parent_version()
    served.promoted(parent)
    child = served.child_version(parent)
    approval = served.granted(child)
    alias = f"{parent.model}@production"
    assert pressmark("otto", "drill-rollback", alias) == 1
    assert "served no other version before" in capsys.readouterr().out
    assert pressmark("otto", "promote", f"{parent.model}@edge", str(child)) == 1
    assert "has no such approval" in capsys.readouterr().err
    assert pressmark("otto", "promote", alias, str(child)) == 0
    assert f"{alias} serves {child}" in capsys.readouterr().out
    between = timezone.now().isoformat()
    assert pressmark("otto", "drill-rollback", alias) == 0
    said = capsys.readouterr().out
    assert f"would go to {parent}" in said
    assert "Decided in " in said
    assert serving(parent) == child
    assert pressmark("ada", "roll-back", alias, "--reason", "r") == 1
    assert pressmark("otto", "roll-back", alias, "--reason", "It answers worse.") == 0
    assert serving(parent) == parent
    assert pressmark("otto", "suspend", alias, "--reason", "Harm was reported.") == 0
    capsys.readouterr()
    assert pressmark("carla", "served-at", alias, between) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{child}  {child.digest}\n")
    assert "promoted by Otto" in said
    assert f"on the approval {approval.pk}, granted by Omar; today it counts as granted" in said
    assert pressmark("carla", "served-at", alias, timezone.now().isoformat()) == 0
    assert "served nothing" in capsys.readouterr().out
    assert pressmark("carla", "served-at", alias, "2001-01-01 12:00") == 1
    assert "did not exist" in capsys.readouterr().err
    assert pressmark("carla", "served-at", alias, "yesterday") == 1
    assert "is no time" in capsys.readouterr().err


def test_the_glass_is_broken_from_a_shell_and_says_what_that_is(
    pressmark: Pressmark, served: World, capsys: Said
) -> None:
    version = served.parent_version()
    assert pressmark("ada", "break-glass", str(version), "production", "--reason", "Down.") == 1
    assert pressmark("otto", "break-glass", f"{version.model}@staging", "production", "--reason", "Down.") == 1
    assert "names no version by its number" in capsys.readouterr().err
    assert pressmark("otto", "break-glass", str(version), "production", "--reason", "Down.") == 0
    assert "WITHOUT AN APPROVAL until" in capsys.readouterr().out
    assert AliasAssignment.objects.get().kind == "broken-glass"
    assert pressmark("carla", "served-at", f"{version.model}@production", timezone.now().isoformat()) == 0
    told = capsys.readouterr().out
    assert "WITHOUT AN APPROVAL, in an emergency until " in told
    assert told.rstrip().endswith(": Down.")


def test_a_recall_is_shown_started_left_and_ended_from_a_shell(
    pressmark: Pressmark, served: World, capsys: Said
) -> None:
    parent, child = served.released_pair()
    about = f"version:{parent}"
    assert pressmark("carla", "start-recall", about, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "would stop 2 versions in 1 model of 1 team; 1 of them is live." in said
    assert "LIVE as production" in said
    assert not Recall.objects.exists()
    assert pressmark("carla", "start-recall", about) == 1
    assert "needs a reason" in capsys.readouterr().err
    assert pressmark("ada", "start-recall", about, "--reason", "r") == 1
    assert pressmark("carla", "start-recall", about, "--reason", "Taken back.") == 0
    assert "2 versions are in quarantine" in capsys.readouterr().out
    assert pressmark("ada", "pull", f"{child.model}@production", "elsewhere") == 1
    assert "in quarantine since" in capsys.readouterr().err
    assert pressmark("ada", "request-quarantine-release", str(child), "--reason", "Not those rows.") == 0
    assert pressmark("ada", "grant-quarantine-release", str(child), "--reason", "Mine.") == 1
    assert pressmark("omar", "refuse-quarantine-release", str(child), "--reason", "Show it.") == 0
    assert pressmark("ada", "request-quarantine-release", str(child), "--reason", "Shown.") == 0
    assert pressmark("omar", "grant-quarantine-release", str(child), "--reason", "Seen.") == 0
    assert not quarantined(child)
    assert quarantined(parent)
    assert pressmark("omar", "grant-quarantine-release", str(child), "--reason", "Seen.") == 1
    assert "in no such quarantine" in capsys.readouterr().err
    assert pressmark("carla", "end-recall", about, "--reason", "Cleared.") == 0
    assert not quarantined(parent)
    assert pressmark("carla", "end-recall", about, "--reason", "Cleared.") == 1

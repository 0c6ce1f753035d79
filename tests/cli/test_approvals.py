"""The verbs about approvals, deputies and targets, over a real server."""

from __future__ import annotations

import pytest
from django.utils import timezone

from registry.access.models import Deputyship, Role
from registry.release import queries
from registry.release.models import Approval
from registry.release.serving_models import Target
from tests.cli.conftest import Pressmark
from tests.world import World
from tests.worlds.release import DAY

Said = pytest.CaptureFixture[str]


def word() -> str:
    return queries.approval_status(Approval.objects.order_by("-pk")[0])


def test_a_release_is_asked_for_questioned_answered_and_granted_from_a_shell(
    pressmark: Pressmark, served: World, capsys: Said
) -> None:
    served.needing(2, officers=1)
    version = str(served.parent_version())
    soon = (timezone.now() + DAY).isoformat()
    assert (
        pressmark(
            "otto", "register-target", "search/edge", "--runtime", "ort", "--hardware", "8 cores", "--limit", "ms=5"
        )
        == 0
    )
    assert "search/edge@1" in capsys.readouterr().out
    assert pressmark("ada", "request-approval", version, "--reason", "Smaller.") == 0
    assert "missing: 1 by approver, 1 by compliance officer" in capsys.readouterr().out
    assert pressmark("ada", "grant-approval", version, "--reason", "Mine.") == 1
    assert "Deciding needs the role" in capsys.readouterr().err
    assert pressmark("omar", "list-approvals") == 0
    assert f"{version}  to production  requested" in capsys.readouterr().out
    assert pressmark("omar", "return-approval", version, "--reason", "On which rows?") == 0
    assert pressmark("ada", "list-approvals", "--returned") == 0
    assert "  returned  " in capsys.readouterr().out
    assert pressmark("ada", "answer-approval", version, "--reason", "The held-out ones.") == 0
    assert (
        pressmark("omar", "grant-approval", version, "--reason", "Fine.", "--target", "search/edge", "--until", soon)
        == 0
    )
    assert pressmark("carla", "grant-approval", version, "--alias", "production", "--reason", "In order.") == 0
    assert "granted  2 of 2 grants" in capsys.readouterr().out
    assert pressmark("otto", "end-target", "search/edge@1") == 0
    assert word() == "stale"
    assert Target.objects.get().limits == {"ms": "5"}
    assert pressmark("carla", "revoke-approval", version, "--reason", "A fault.") == 0
    assert word() == "revoked"


def test_a_request_is_rejected_or_withdrawn_from_a_shell(pressmark: Pressmark, served: World, capsys: Said) -> None:
    version = str(served.parent_version())
    assert pressmark("ada", "request-approval", version, "--reason", "Smaller.") == 0
    assert pressmark("omar", "reject-approval", version, "--reason", "No.") == 0
    assert word() == "rejected"
    assert pressmark("ada", "request-approval", version, "--reason", "Smaller.") == 0
    assert pressmark("ada", "withdraw-approval", version, "--reason", "Not yet.") == 0
    assert word() == "withdrawn"
    assert pressmark("omar", "list-approvals") == 0
    assert "There is nothing." in capsys.readouterr().out
    assert pressmark("omar", "grant-approval", "search/none@1", "--reason", "r") == 1
    assert pressmark("omar", "grant-approval", version, "--alias", "edge", "--reason", "r") == 1
    assert "has no such approval" in capsys.readouterr().err


def test_a_deputy_is_appointed_decides_and_ends_from_a_shell(pressmark: Pressmark, served: World, capsys: Said) -> None:
    version = str(served.parent_version())
    served.person("dora", Role.VIEWER)
    soon = (timezone.now() + DAY).isoformat()
    words = (
        "appoint-deputy",
        "dora",
        "--role",
        "approver",
        "--team",
        "search",
        "--until",
        soon,
        "--reason",
        "On leave.",
    )
    assert pressmark("ada", *words) == 1
    assert pressmark("omar", *words) == 0
    assert "dora stands for you as approver" in capsys.readouterr().out
    assert pressmark("ada", "request-approval", version, "--reason", "Smaller.") == 0
    assert pressmark("dora", "grant-approval", version, "--reason", "Fine.") == 0
    assert word() == "granted"
    capsys.readouterr()
    assert pressmark("carla", "as-of", version.partition("@")[0]) == 0
    assert "granted by Dora as approver in the place of Omar" in capsys.readouterr().out
    assert pressmark("dora", "end-deputyship") == 0
    assert "dora for omar" in capsys.readouterr().out
    assert pressmark("omar", "end-deputyship", str(Deputyship.objects.get().pk)) == 0
    assert pressmark("dora", "revoke-approval", version, "--reason", "No.") == 1


def test_a_request_that_the_gate_blocks_names_every_rule_that_blocks(
    pressmark: Pressmark, served: World, capsys: Said
) -> None:
    model = served.governed_model()
    version = str(served.version(model, licence="LicenseRef-pressmark-unknown", training_data="unknown"))
    assert pressmark("ada", "request-approval", version, "--reason", "Now.") == 1
    said = capsys.readouterr().err
    assert "  - commercial-use: " in said
    assert "  - training-data: " in said


def test_an_act_of_the_whole_instance_says_that_a_role_in_a_team_does_not_count(
    pressmark: Pressmark, served: World, capsys: Said
) -> None:
    served.person("paul", Role.APPROVER)
    assert pressmark("paul", "approve-tier-table", "1") == 1
    assert pressmark("root", "author-tier-table") == 0
    assert pressmark("paul", "approve-tier-table", "1") == 1
    assert "for the whole instance, not in one team alone: Administrator, Approver" in capsys.readouterr().err

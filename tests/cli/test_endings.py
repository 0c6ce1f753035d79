"""The verbs that end and erase, over a real server: what they ask, what they refuse, and what is then so."""

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from registry.access import services as access
from registry.access.models import Actor, Membership, Text, Token
from registry.access.services_erasing import EVENTS_PER_UNIT
from registry.cli.main import main
from registry.monitoring.models import Monitor
from registry.oversight import services as oversight
from registry.oversight.models import Attestation
from tests.cli.conftest import Pressmark
from tests.world import World

Said = pytest.CaptureFixture[str]


def test_end_actor_ends_the_account_and_says_what_stays(pressmark: Pressmark, served: World, capsys: Said) -> None:
    assert pressmark("root", "end-actor", "ada") == 0
    assert "What it did stays on record." in capsys.readouterr().out
    assert Actor.objects.get(username="ada").ended_at is not None
    assert pressmark("root", "end-actor", "nobody&x=1") == 1
    assert "no account is called 'nobody&x=1'" in capsys.readouterr().err
    assert pressmark("root", "end-actor", "root") == 1
    assert "root is the last administrator" in capsys.readouterr().err
    assert pressmark("carla", "end-actor", "omar") == 1
    assert "Administrator" in capsys.readouterr().err


def test_end_membership_ends_exactly_the_role_that_is_named(pressmark: Pressmark, served: World, capsys: Said) -> None:
    assert pressmark("root", "end-membership", "omar", "approver") == 1
    assert "omar is no approver in the whole instance" in capsys.readouterr().err
    assert pressmark("root", "end-membership", "omar", "approver", "--team", "search") == 0
    assert not Membership.objects.filter(actor__username="omar", ended_at=None).exists()
    assert Membership.objects.filter(actor__username="ada", ended_at=None).exists()
    assert pressmark("root", "end-membership", "root", "administrator") == 1
    assert "last administrator" in capsys.readouterr().err


def test_give_responsibility_names_who_answers_for_a_service_account(
    pressmark: Pressmark, served: World, capsys: Said
) -> None:
    served.cast.service_account("robot")
    assert pressmark("root", "give-responsibility", "nobody", "ada") == 1
    assert "there is no account 'nobody'" in capsys.readouterr().err
    assert pressmark("root", "give-responsibility", "robot", "ada") == 0
    assert "ada answers for robot from now on" in capsys.readouterr().out
    assert pressmark("root", "end-actor", "ada") == 1
    assert "answers for 1 service account: robot" in capsys.readouterr().err


def test_list_service_accounts_tells_who_answers_and_when_tokens_end(
    pressmark: Pressmark, served: World, capsys: Said
) -> None:
    robot = served.cast.service_account("robot", "service_account", answers="ada")
    assert pressmark("carla", "list-service-accounts", "--team", "search") == 0
    assert "no token: it cannot act" in capsys.readouterr().out
    token, _ = access.create_token(actor=served.cast.root, person=robot, days=30)
    assert pressmark("carla", "list-service-accounts") == 0
    said = capsys.readouterr().out
    assert "robot  ada answers since" in said
    assert "service_account in search" in said
    assert f"token by root ends {token.expires_at:%Y-%m-%dT%H:%M}" in said


def test_end_token_lists_and_ends(pressmark: Pressmark, served: World, capsys: Said) -> None:
    _, secret = access.create_token(actor=served.cast.ada, person=served.cast.people["ada"])
    token = Token.objects.get(actor__username="ada")
    assert pressmark("root", "end-token", "--of", "ada") == 0
    said = capsys.readouterr().out
    assert str(token.pk) in said
    assert secret not in said
    assert pressmark("root", "end-token", str(token.pk)) == 0
    token.refresh_from_db()
    assert token.ended_at is not None
    assert pressmark("omar", "end-token") == 0
    assert str(token.pk) not in capsys.readouterr().out


def test_end_monitor_and_end_attestation(pressmark: Pressmark, served: World, capsys: Said) -> None:
    _, child = served.released_pair()
    monitor = served.monitor(child)
    model = f"search/{child.model.slug}"
    assert pressmark("otto", "end-monitor", model, monitor.slug) == 0
    assert Monitor.objects.get().ended_at is not None
    for _ in range(2):
        oversight.sign_attestation(
            actor=served.cast.carla, stream=f"model:{child.model_id}", team_id=served.team.pk,
            framework="nist_ai_rmf_1_0", requirement="MAP 1.1", statement="Read.",
            expires_at=timezone.now() + datetime.timedelta(days=9),
        )  # fmt: skip
    assert pressmark("carla", "end-attestation", model, "MAP 1.1") == 1
    ids = [str(row.pk) for row in Attestation.objects.all()]
    said = capsys.readouterr().err
    assert all(key in said for key in ids)
    assert pressmark("carla", "end-attestation", model, ids[0]) == 0
    assert pressmark("carla", "end-attestation", model, "MAP 1.1") == 0
    assert pressmark("carla", "end-attestation", model, "MAP 1.1") == 1
    assert "no statement about MAP 1.1" in capsys.readouterr().err


def test_erase_texts_shows_what_would_go_and_erases_with_a_reason(
    pressmark: Pressmark, served: World, capsys: Said
) -> None:
    served.granted(served.parent_version())
    assert pressmark("root", "erase-texts", "--by", "omar", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "Evidence read; fine." in said
    assert "1 texts; nothing is erased." in said
    assert pressmark("root", "erase-texts", "--holding", "evidence READ; f", "--dry-run") == 0
    key = capsys.readouterr().out.split()[0]
    assert pressmark("root", "erase-texts", key) == 1
    assert "asks for a reason" in capsys.readouterr().err
    assert Text.objects.filter(pk=key, erased_at=None).exists()
    assert pressmark("root", "erase-texts", key, "--reason", "Asked for, ticket 71.") == 0
    assert "1 texts are erased." in capsys.readouterr().out
    assert Text.objects.get(pk=key).value is None
    assert pressmark("root", "erase-texts", "--by", "omar", "--reason", "Again.") == 1
    assert "nothing to erase" in capsys.readouterr().err


def test_erase_texts_goes_on_until_nothing_is_left(
    pressmark: Pressmark, served: World, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert EVENTS_PER_UNIT < 10_000
    monkeypatch.setattr("registry.access.services_erasing.EVENTS_PER_UNIT", 1)
    for _ in range(3):
        served.model()
    assert pressmark("root", "erase-texts", "--by", "ada", "--reason", "Asked for.") == 0
    assert "3 texts are erased." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "in one way"),
        (["x", "--by", "ada"], "in one way"),
        (["--holding", "Grete", "--reason", "Asked for."], "Words alone erase nothing"),
    ],
)
def test_what_erase_texts_needs_is_said_before_any_server_is_asked(words: list[str], said: str, capsys: Said) -> None:
    assert main(["erase-texts", *words, "--server", "http://127.0.0.1:1"]) == 1
    assert said in capsys.readouterr().err


def test_erase_actor_takes_an_ended_account_and_names_the_way_to_its_texts(
    pressmark: Pressmark, served: World, capsys: Said
) -> None:
    ada = served.cast.people["ada"]
    assert pressmark("root", "erase-actor", "ada", "--reason", "Asked for.") == 1
    assert "in use" in capsys.readouterr().err
    assert pressmark("root", "end-actor", "ada") == 0
    assert pressmark("root", "erase-actor", "ada") == 1
    assert "asks for a reason" in capsys.readouterr().err
    assert pressmark("root", "erase-actor", "ada", "--reason", "Asked for.") == 0
    assert f"pressmark erase-texts --by {ada.pk}" in capsys.readouterr().out
    ada.refresh_from_db()
    assert ada.username == f"erased-{ada.pk}"

"""The verbs of webhooks, over a real server."""

from __future__ import annotations

import json

import pytest
from django.utils import timezone

from registry.notices import queries, services
from registry.notices.models import Outgoing, Webhook
from tests.cli.conftest import Pressmark
from tests.world import World

URL = "https://hooks.example.org/in"
Said = pytest.CaptureFixture[str]


def test_a_webhook_is_registered_listed_rotated_and_ended(pressmark: Pressmark, served: World, capsys: Said) -> None:
    assert pressmark("root", "register-webhook", URL, "--kind", "alias.promoted", "--kind", "run.failed") == 0
    said = capsys.readouterr().out
    row = Webhook.objects.get()
    assert (row.kinds, row.team) == (["alias.promoted", "run.failed"], None)
    assert row.secret in said
    assert pressmark("root", "list-webhooks") == 0
    listed = capsys.readouterr().out
    assert f"{row.pk}  whole installation  in force  {URL}  alias.promoted,run.failed" in listed
    assert "waiting 0, given up 0, last taken never" in listed
    assert row.secret not in listed
    assert pressmark("root", "rotate-webhook", str(row.pk)) == 0
    rotated = capsys.readouterr().out
    row.refresh_from_db()
    assert row.secret in rotated
    assert pressmark("root", "end-webhook", str(row.pk)) == 0
    assert pressmark("root", "end-webhook", str(row.pk)) == 1
    assert "This webhook has ended" in capsys.readouterr().err
    assert pressmark("root", "list-webhooks") == 0
    assert capsys.readouterr().out == ""
    assert pressmark("root", "list-webhooks", "--all", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["ended_at"]


def test_what_was_given_up_is_seen_and_sent_again(pressmark: Pressmark, served: World, capsys: Said) -> None:
    hook, _ = services.register_webhook(actor=served.cast.root, url=URL, kinds=["approval.requested"])
    served.approval(served.parent_version())
    lost = {
        "given_up_at": timezone.now(),
        "next_attempt_at": None,
        "last_error": "the receiver answers with status 500",
    }
    Outgoing.objects.filter(webhook=hook).update(attempts=12, **lost)
    assert pressmark("root", "list-webhooks") == 3
    assert "given up 1" in (said := capsys.readouterr().out)
    assert "last failure: the receiver answers with status 500" in said
    assert pressmark("root", "resend-webhook", str(hook.pk)) == 0
    assert "1 notices wait to be sent again" in capsys.readouterr().out
    assert pressmark("root", "list-webhooks") == 0
    assert pressmark("carla", "resend-webhook", str(hook.pk)) == 1
    assert "no such webhook" in capsys.readouterr().err


def test_one_lists_what_one_was_told_and_chooses_mail(pressmark: Pressmark, served: World, capsys: Said) -> None:
    approval = served.approval(served.parent_version())
    capsys.readouterr()
    assert pressmark("omar", "list-notices", "--limit", "1") == 0
    said = capsys.readouterr().out
    assert f"A decision is asked for: {approval.version} for production" in said
    assert f"/approvals/{approval.pk}/" in said
    assert pressmark("omar", "list-notices", "--limit", "0") == 1
    assert "1 or more" in capsys.readouterr().err
    assert pressmark("omar", "choose-mail", "off") == 0
    assert not queries.wants_mail(served.cast.omar)


def test_what_is_refused_is_said_with_what_to_do(pressmark: Pressmark, served: World, capsys: Said) -> None:
    assert pressmark("root", "register-webhook", "http://10.0.0.1/", "--kind", "*") == 1
    assert "what to do: Use https." in capsys.readouterr().err
    assert pressmark("root", "register-webhook", URL, "--kind", "alias.flown") == 1
    assert "'alias.flown' is no kind" in capsys.readouterr().err
    assert pressmark("ada", "register-webhook", URL, "--kind", "*", "--team", "search") == 1
    assert "Administrator" in capsys.readouterr().err
    assert not Webhook.objects.exists()

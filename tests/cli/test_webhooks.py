"""The verbs of webhooks, over a real server."""

from __future__ import annotations

import pytest

from registry.notices.models import Webhook
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
    assert pressmark("root", "end-webhook") == 0
    listed = capsys.readouterr().out
    assert f"{row.pk}  whole installation  in force  {URL}  alias.promoted,run.failed" in listed
    assert row.secret not in listed
    assert pressmark("root", "rotate-webhook", str(row.pk)) == 0
    rotated = capsys.readouterr().out
    row.refresh_from_db()
    assert row.secret in rotated
    assert pressmark("root", "end-webhook", str(row.pk)) == 0
    assert pressmark("root", "end-webhook", str(row.pk)) == 1
    assert "This webhook has ended" in capsys.readouterr().err


def test_what_is_refused_is_said_with_what_to_do(pressmark: Pressmark, served: World, capsys: Said) -> None:
    assert pressmark("root", "register-webhook", "http://10.0.0.1/", "--kind", "*") == 1
    assert "what to do: Use https." in capsys.readouterr().err
    assert pressmark("root", "register-webhook", URL, "--kind", "alias.flown") == 1
    assert "'alias.flown' is no kind" in capsys.readouterr().err
    assert pressmark("ada", "register-webhook", URL, "--kind", "*", "--team", "search") == 1
    assert "Administrator" in capsys.readouterr().err
    assert not Webhook.objects.exists()

"""Notices by mail, to a real mail server: once, plainly, again when it failed, and never to whom they no longer concern."""

from __future__ import annotations

import datetime
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from registry.access import services as access
from registry.access.models import Actor
from registry.cli import check
from registry.notices import queries, sending, services
from registry.notices.models import Channel, Outgoing
from registry.release.models import Approval
from tests.notices.servers import Mailbox, certificate_for, mail_server
from tests.world import World

Asking = Callable[[], Approval]


def waiting() -> list[Outgoing]:
    return list(Outgoing.objects.filter(next_attempt_at__isnull=False))


def due_again() -> None:
    """As if the time to try again had come."""
    Outgoing.objects.filter(next_attempt_at__isnull=False).update(next_attempt_at="2026-01-01T00:00:00Z")


def test_a_request_reaches_who_decides_with_what_to_do_and_where(asking: Asking, mailbox: Mailbox) -> None:
    approval = asking()
    assert sending.send_due() == 2
    receivers = {mail["To"]: mail for _, mail in mailbox.mails}
    assert set(receivers) == {"omar@example.org", "carla@example.org"}
    mail = receivers["omar@example.org"]
    assert mail["Subject"] == f"[Pressmark] A decision is asked for: {approval.version} for production"
    assert mail["From"] == "registry@pressmark.example"
    text = mail.get_payload()
    assert f"https://pressmark.example/approvals/{approval.pk}/" in text
    assert "You are told because you are approver there." in text
    assert "grant, reject or ask back" in text
    assert "https://pressmark.example/notices/" in text
    assert waiting() == []


def test_what_was_sent_is_not_sent_again(asking: Asking, mailbox: Mailbox) -> None:
    asking()
    assert (sending.send_due(), sending.send_due()) == (2, 0)
    assert len(mailbox.mails) == 2


def test_a_mail_that_left_before_the_process_died_leaves_again_with_the_same_id(
    asking: Asking, mailbox: Mailbox
) -> None:
    asking()
    claimed = sending.claim(datetime.datetime.now(datetime.UTC))
    assert len(claimed) == 2
    assert sending.send_due() == 0, "what another process holds is not ours"
    Outgoing.objects.update(lease_until="2026-01-01T00:00:00Z")  # its lease ran out
    sending.send_due()
    Outgoing.objects.update(sent_at=None, next_attempt_at="2026-01-01T00:00:00Z")  # killed before the row was written
    sending.send_due()
    assert len(mailbox.mails) == 4
    assert len(set(mailbox.ids)) == 2


def test_a_mail_server_that_is_down_delays_no_webhook(
    asking: Asking, mailbox: Mailbox, hook: Any, register: Any, settings: Any
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        settings.PRESSMARK_MAIL_PORT = nobody.getsockname()[1]  # bound, and nobody listens
        register("approval.requested")
        asking()
        assert sending.send_due() == 1
    assert len(hook.calls) == 1
    assert {(row.attempts, row.channel) for row in waiting()} == {(1, "mail")}
    assert all("does not answer" in row.last_error for row in waiting())
    assert all(row.next_attempt_at > row.created_at for row in waiting())


def test_where_the_mail_server_stands_is_said_by_the_check_and_the_log_and_not_on_the_open_page(
    asking: Asking, settings: Any, caplog: pytest.LogCaptureFixture, client: Any
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = settings.PRESSMARK_MAIL_PORT = nobody.getsockname()[1]
        settings.PRESSMARK_MAIL_HOST = "127.0.0.1"
        asking()
        for _ in range(sending.ATTEMPTS):
            due_again()
            sending.send_due()
    (said,) = queries.troubles()
    assert "the mail server does not answer" in said
    page = client.get("/health/").content.decode()
    assert "the mail server does not answer" in page
    assert str(port) not in page
    assert f"127.0.0.1:{port}" in caplog.text
    assert f"notices leave by mail over 127.0.0.1:{port}" in [line for _, line, _ in check._lines(before_start=False)]


def test_it_arrives_when_the_server_is_back(asking: Asking, mailbox: Mailbox, settings: Any) -> None:
    mailbox.greeting = "421 not now"
    asking()
    assert sending.send_due() == 0
    assert sending.send_due() == 0  # its time has not come
    mailbox.greeting = "220 here again"
    due_again()
    assert sending.send_due() == 2
    assert len(mailbox.mails) == 2


def test_what_fails_too_often_is_given_up_and_said(asking: Asking, mailbox: Mailbox) -> None:
    mailbox.after_data = "451 no room"
    asking()
    for _ in range(sending.ATTEMPTS):
        assert queries.troubles() == []
        due_again()
        sending.send_due()
    assert waiting() == []
    assert Outgoing.objects.filter(given_up_at__isnull=False, channel=Channel.MAIL).count() == 2
    (said,) = queries.troubles()
    assert said.startswith(
        "2 notices by mail were given up in the last week; the last one: the mail server refuses the mail (451)"
    )


def test_an_address_that_is_refused_for_good_is_given_up_at_once_and_stops_nobody_else(
    asking: Asking, mailbox: Mailbox
) -> None:
    mailbox.refuses["omar@example.org"] = "550 nobody here"
    asking()
    assert sending.send_due() == 1
    assert [mail["To"] for _, mail in mailbox.mails] == ["carla@example.org"]
    given_up = Outgoing.objects.get(given_up_at__isnull=False)
    assert (given_up.actor.username, given_up.attempts) == ("omar", 1)
    assert "nobody here" not in given_up.last_error


def test_an_address_that_cannot_be_used_stops_nobody_else(asking: Asking, mailbox: Mailbox) -> None:
    Actor.objects.filter(username="omar").update(email="omar\r\nBcc: eve@example.org")
    asking()
    assert sending.send_due() == 1
    assert [mail["To"] for _, mail in mailbox.mails] == ["carla@example.org"]


@pytest.mark.parametrize("change", ["role", "account", "mind", "address"])
def test_whoever_may_or_wants_to_know_no_longer_gets_no_mail(
    world: World, asking: Asking, mailbox: Mailbox, change: str
) -> None:
    asking()
    omar = world.cast.people["omar"]
    if change == "role":
        access.end_membership(actor=world.cast.root, membership=omar.memberships.get())
    elif change == "account":
        access.end_actor(actor=world.cast.root, person=omar)
    elif change == "mind":
        services.choose_mail(actor=world.cast.omar, wanted=False)
    else:
        Actor.objects.filter(pk=omar.pk).update(email="")
    Outgoing.objects.exclude(kind="approval.requested").update(next_attempt_at=None)
    sending.send_due()
    assert [mail["To"] for _, mail in mailbox.mails] == ["carla@example.org"]
    assert Outgoing.objects.get(actor=omar, kind="approval.requested").channel == Channel.PAGE


def test_whoever_has_no_role_any_more_is_mailed_of_himself_alone(
    world: World, asking: Asking, mailbox: Mailbox
) -> None:
    """What belongs to no team, such as a policy, is for whoever has some role when the mail leaves."""
    asking()
    omar = world.cast.people["omar"]
    Outgoing.objects.filter(actor=omar).update(kind="policy.authored", body=_body_of_no_team())
    access.end_membership(actor=world.cast.root, membership=omar.memberships.get())
    sending.send_due()
    said = [mail["Subject"] for to, mail in mailbox.mails if to == ["omar@example.org"]]
    assert said == ["[Pressmark] A role of yours, or one that you gave, has ended"]


def _body_of_no_team() -> dict[str, Any]:
    return {**Outgoing.objects.exclude(actor=None)[0].body, "team": None, "path": "/policies/other@1/"}


def test_the_password_is_read_from_its_file_and_a_wrong_one_is_said(
    asking: Asking, mailbox: Mailbox, settings: Any, tmp_path: Path
) -> None:
    mailbox.log_in = "registry right"
    settings.PRESSMARK_MAIL_USER = "registry"
    settings.PRESSMARK_MAIL_PASSWORD_FILE = str(tmp_path / "password")
    asking()
    for content, said in ((None, "cannot be read"), ("wrong\n", "does not take user and password (535)")):
        if content:
            (tmp_path / "password").write_text(content)
        due_again()
        assert sending.send_due() == 0
        assert all(said in row.last_error for row in waiting())
    (tmp_path / "password").write_text("right\n")
    due_again()
    assert sending.send_due() == 2


def test_a_server_without_encryption_gets_nothing_when_encryption_is_asked_for(
    asking: Asking, mailbox: Mailbox, settings: Any
) -> None:
    settings.PRESSMARK_MAIL_SECURITY = "starttls"
    asking()
    assert sending.send_due() == 0
    assert mailbox.mails == []
    assert all("PRESSMARK_MAIL_SECURITY" in row.last_error for row in waiting())


def test_waits_grow_and_never_march_together() -> None:
    waits = [[sending.wait_seconds(n) for _ in range(50)] for n in range(1, sending.ATTEMPTS + 1)]
    assert all(15 <= w <= 45 for w in waits[0])
    assert all(3 * 3600 <= w <= 9 * 3600 for w in waits[-1])
    assert all(len(set(some)) > 40 for some in waits)


def test_a_server_elsewhere_takes_over_where_the_settings_say(asking: Asking, mailbox: Mailbox, settings: Any) -> None:
    asking()
    with mail_server() as other:
        settings.PRESSMARK_MAIL_PORT = other.port
        sending.send_due()
        assert (len(mailbox.mails), len(other.mails)) == (0, 2)


def test_the_health_page_warns_of_what_was_given_up_and_stays_in_order(
    asking: Asking, mailbox: Mailbox, client: Client
) -> None:
    mailbox.refuses["omar@example.org"] = "550 nobody here"
    asking()
    sending.send_due()
    (said,) = client.get("/health/").json()["warnings"]
    assert "1 notices by mail were given up" in said
    assert "omar" not in said


def test_mail_goes_over_starttls_to_a_server_whose_certificate_holds(
    asking: Asking, mailbox: Mailbox, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted, mailbox.context = certificate_for("localhost", tmp_path)
    settings.PRESSMARK_MAIL_SECURITY = "starttls"
    settings.PRESSMARK_MAIL_HOST = "localhost"
    asking()
    assert sending.send_due() == 0
    assert mailbox.mails == []
    assert all("certificate" in row.last_error for row in waiting())
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    due_again()
    assert sending.send_due() == 2


def test_a_notice_that_ends_every_process_that_sends_it_is_given_up(asking: Asking, mailbox: Mailbox) -> None:
    asking()
    now = datetime.datetime.now(datetime.UTC)
    for n in range(sending.ATTEMPTS):
        assert len(sending.claim(now + n * 2 * sending.LEASE)) == 2, n  # and then the process is killed
    assert sending.claim(now + sending.ATTEMPTS * 2 * sending.LEASE) == []
    assert Outgoing.objects.filter(given_up_at__isnull=False).count() == 2
    assert "ended each time" in queries.troubles()[0]


def test_a_turn_that_a_wrong_clock_wrote_bars_nothing(asking: Asking, mailbox: Mailbox) -> None:
    asking()
    Outgoing.objects.update(next_attempt_at="2099-01-01T00:00:00Z", lease_until="2099-01-01T00:00:00Z")
    Outgoing.objects.filter(channel=Channel.PAGE).update(next_attempt_at=None)
    assert sending.send_due() == 2

"""Webhooks, to a real receiver: signed, pinned, at least once; and never into networks that only this machine can reach."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.positions import position_of
from registry.digests import canonical
from registry.errors import Conflict, Forbidden, Invalid
from registry.notices import addresses, calls, queries, sending, services
from registry.notices.models import Outgoing, Webhook
from registry.release.models import Approval
from tests.notices.servers import Receiver, certificate_for, dripping, receiver
from tests.world import World

Asking = Callable[[], Approval]
Register = Callable[..., tuple[Webhook, str]]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "notices.md"


def the_verifier_of_the_documentation() -> Callable[..., bool]:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    names: dict[str, Any] = {}
    exec(code, names)
    found: Callable[..., bool] = names["verify"]
    return found


def due_again() -> None:
    Outgoing.objects.filter(next_attempt_at__isnull=False).update(next_attempt_at="2026-01-01T00:00:00Z")


def test_a_call_says_what_happened_where_it_stands_and_is_signed(
    asking: Asking, hook: Receiver, register: Register
) -> None:
    _, secret = register("approval.requested")
    approval = asking()
    assert sending.send_due(position_of) == 1
    (call,) = hook.calls
    said = json.loads(call.body)
    assert call.body == canonical(said)
    assert call.path == "/in?room=1"
    assert (said["type"], said["kind"], said["team"]) == ("pressmark/notice/1", "approval.requested", "search")
    assert {"id": str(approval.pk), "type": "release.approval"} in said["subjects"]
    assert said["subject"] == f"{approval.version} for production"
    from audit.models import Entry

    entry = json.loads(bytes(Entry.objects.get(position=said["position"]).entry))
    assert entry["event"]["id"] == said["event"] == call.headers["Pressmark-Event"]
    assert entry["stream"] == said["stream"]
    assert the_verifier_of_the_documentation()(secret, call.headers, call.body, set())


def test_the_documented_verifier_refuses_what_is_forged_old_or_seen(
    asking: Asking, hook: Receiver, register: Register
) -> None:
    _, secret = register()
    asking()
    sending.send_due()
    (call,) = hook.calls
    verify, seen = the_verifier_of_the_documentation(), set()
    assert not verify("another", call.headers, call.body, seen)
    assert not verify(secret, call.headers, call.body + b" ", seen)
    assert not verify(secret, call.headers, call.body, seen, now=time.time() + 400)
    assert not verify(secret, {**call.headers, "Pressmark-Timestamp": str(int(time.time()) + 1)}, call.body, seen)
    assert not verify(secret, {**call.headers, "Pressmark-Signature": "v1=\xe9"}, call.body, seen)
    assert not verify(secret, {}, call.body, seen)
    assert verify(secret, call.headers, call.body, seen)
    assert not verify(secret, call.headers, call.body, seen)
    other_id = {**call.headers, "Pressmark-Event": "01890a5d-ac96-774b-bcce-b302099a80ff"}
    assert not verify(secret, other_id, call.body, seen), "a recorded call under another id is the same call"


def test_nothing_that_somebody_typed_leaves(world: World, asking: Asking, hook: Receiver, register: Register) -> None:
    register("*")
    world.approval(asking().version, alias="staging")
    sending.send_due()
    sent = b"".join(call.body for call in hook.calls)
    assert b"staging" in sent
    assert b"smaller and answers" not in sent
    assert not re.search(rb"\bada\b", sent.lower())  # the three letters may come up inside of an id


def test_a_webhook_of_a_team_hears_of_its_team_only(
    world: World, outsider_team: Any, asking: Asking, hook: Receiver, register: Register
) -> None:
    elsewhere, _ = register("*", team=outsider_team)
    here, _ = register("*", team=world.team)
    Outgoing.objects.filter(webhook=elsewhere).delete()
    asking()
    assert Outgoing.objects.filter(webhook=here, kind="approval.requested").count() == 1
    assert not Outgoing.objects.filter(webhook=elsewhere).exists()


def test_only_the_kinds_that_were_asked_for_leave(
    world: World, asking: Asking, hook: Receiver, register: Register
) -> None:
    register("alias.promoted")
    asking()
    assert sending.send_due() == 0
    world.promoted(world.parent_version(seed=8))
    sending.send_due()
    assert [json.loads(call.body)["kind"] for call in hook.calls] == ["alias.promoted"]


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 500, 503])
def test_anything_but_yes_is_tried_again_with_the_same_event(
    asking: Asking, hook: Receiver, register: Register, status: int
) -> None:
    register()
    asking()
    hook.status, hook.location = status, hook.url
    assert sending.send_due() == 0
    assert f"status {status}" in Outgoing.objects.get(webhook__isnull=False).last_error
    hook.status = 200
    due_again()
    assert sending.send_due() == 1
    assert len(hook.calls) == 2, "a redirect is not followed"
    assert len({call.headers["Pressmark-Event"] for call in hook.calls}) == 1


def test_a_receiver_that_drips_is_cut(
    asking: Asking, hook: Receiver, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "DEADLINE_SECONDS", 0.4)
    register()
    asking()
    hook.drips = True
    began = time.monotonic()
    assert sending.send_due() == 0
    assert time.monotonic() - began < 5
    assert "does not answer" in Outgoing.objects.get(webhook__isnull=False).last_error


def test_a_receiver_that_drips_its_greeting_is_cut(
    asking: Asking, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "DEADLINE_SECONDS", 0.4)
    with dripping() as port:
        register(url=f"https://127.0.0.1:{port}/in")
        asking()
        began = time.monotonic()
        assert sending.send_due() == 0
        assert time.monotonic() - began < 5
    assert "does not" in Outgoing.objects.get(webhook__isnull=False).last_error


def test_what_was_given_up_is_sent_again_when_somebody_asks(
    world: World, asking: Asking, hook: Receiver, register: Register
) -> None:
    row, _ = register("approval.requested")
    asking()
    Outgoing.objects.filter(webhook=row).update(attempts=sending.ATTEMPTS - 1)
    hook.status = 500
    due_again()
    sending.send_due()
    assert queries.delivery(row).given_up == 1
    hook.status = 204
    assert sending.send_due() == 0
    assert services.resend_webhook(actor=world.cast.root, webhook=row) == 1
    assert sending.send_due() == 1
    fares = queries.delivery(row)
    assert (fares.waiting, fares.given_up, fares.last_error) == (0, 0, "")
    assert services.resend_webhook(actor=world.cast.root, webhook=row) == 0, "what was taken is not sent twice"
    with pytest.raises(Forbidden):
        services.resend_webhook(actor=world.cast.carla, webhook=row)


def test_a_receiver_that_hangs_delays_no_other_and_is_asked_once(
    world: World, asking: Asking, hook: Receiver, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "DEADLINE_SECONDS", 1.0)
    with receiver() as hanging:
        hanging.holds = True
        slow, _ = register("approval.requested", url=hanging.url)
        quick, _ = register("approval.requested")
        version = asking().version
        world.approval(version, alias="staging")
        assert sending.send_due() == 2
        assert len(hanging.calls) == 1
        left = Outgoing.objects.filter(webhook=slow)
        assert {row.attempts for row in left} == {1}
        assert not Outgoing.objects.filter(webhook=quick, sent_at=None).exists()


def test_after_a_turn_is_used_up_the_rest_waits_without_losing_an_attempt(
    world: World, asking: Asking, hook: Receiver, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "TURN_SECONDS", -1.0)
    register()
    asking()
    assert sending.send_due() == 0
    row = Outgoing.objects.get(webhook__isnull=False)
    assert (row.attempts, row.lease_until, hook.calls) == (0, None, [])


def test_a_new_secret_signs_at_once_and_an_ended_webhook_hears_nothing_more(
    world: World, asking: Asking, hook: Receiver, register: Register
) -> None:
    row, old = register("approval.requested")
    _, new = services.rotate_webhook(actor=world.cast.root, webhook=row)
    version = asking().version
    sending.send_due()
    (call,) = hook.calls
    verify = the_verifier_of_the_documentation()
    assert not verify(old, call.headers, call.body, set())
    assert verify(new, call.headers, call.body, set())
    world.approval(version, alias="staging")
    services.end_webhook(actor=world.cast.root, webhook=row)
    assert queries.delivery(row).waiting == 0
    world.approval(version, alias="third")
    assert sending.send_due() == 0
    assert len(hook.calls) == 1
    with pytest.raises(Conflict, match="has ended"):
        services.rotate_webhook(actor=world.cast.root, webhook=row)


def test_a_webhook_that_fails_too_often_is_given_up_and_said_without_its_address(
    asking: Asking, hook: Receiver, register: Register
) -> None:
    row, _ = register("approval.requested")
    asking()
    hook.status = 500
    for _ in range(sending.ATTEMPTS):
        due_again()
        sending.send_due()
    (said,) = [s for s in queries.troubles() if "webhook" in s]
    assert str(row.pk) in said
    assert "127.0.0.1" not in said
    assert queries.delivery(row).given_up == 1


# --- where it may lead ---

REFUSED = [
    "http://hooks.example.org/in", "ftp://hooks.example.org/", "https://", "https:///path", "hooks.example.org",
    "https://user:word@hooks.example.org/", "https://hooks.example.org/#part", "https://hooks.example.org:0/",
    "https://hooks.example.org:99999/", "https://hooks.example.org/a b", "https://höks.example.org/", "https://[::1/",
    "https://127.0.0.1/", "https://10.0.0.1/", "https://192.168.1.1/", "https://172.16.0.1/", "https://169.254.169.254/latest",
    "https://192.0.0.192/opc/v2/", "https://168.63.129.16/", "https://192.88.99.1/", "https://[fec0::1]/", "https://[3fff::1]/",
    "https://0.0.0.0/", "https://100.64.0.1/", "https://224.0.0.1/", "https://[::1]/", "https://[fe80::1]/", "https://[fd00::1]/",
    "https://[::ffff:10.0.0.1]/", "https://[64:ff9b::a00:1]/", "https://[2002:a00:1::]/", "https://[::10.0.0.1]/", "https://[::]/", "http://127.0.0.1:8000/",
    "https://hooks.example.org/" + "a" * 500,
]  # fmt: skip


@pytest.mark.parametrize("url", REFUSED)
def test_an_address_that_no_webhook_may_have_is_refused_when_it_is_registered(world: World, url: str) -> None:
    with pytest.raises(Invalid) as refused:
        services.register_webhook(actor=world.cast.root, url=url, kinds=["alias.promoted"])
    assert refused.value.hint
    assert not Webhook.objects.exists()


@pytest.mark.parametrize(
    "answer", ["127.0.0.1", "10.9.8.7", "169.254.169.254", "::1", "fe80::1%eth0", "::ffff:192.168.0.1", "2002:7f00:1::"]
)
def test_a_name_that_leads_inside_is_not_called(monkeypatch: pytest.MonkeyPatch, settings: Any, answer: str) -> None:
    family = socket.AF_INET6 if ":" in answer else socket.AF_INET
    public = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 443))
    found = [public, (family, socket.SOCK_STREAM, 6, "", (answer, 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    settings.PRESSMARK_WEBHOOK_NETWORKS = []
    with pytest.raises(addresses.NotAllowed, match="not public") as refused:
        addresses.resolve("https://hooks.example.org/")
    assert "example" not in str(refused.value)  # everybody reads it on /health
    settings.PRESSMARK_WEBHOOK_NETWORKS = [ipaddress.ip_network("10.9.0.0/16")]
    if answer == "10.9.8.7":
        assert addresses.resolve("https://hooks.example.org/").address == "93.184.215.14"


def test_the_call_goes_to_the_address_that_was_looked_at(
    asking: Asking, hook: Receiver, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that answers with a public address first and with this machine a moment later is asked once only."""
    register()
    asking()
    real, asked = socket.getaddrinfo, []

    def once(host: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(host)
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", once)
    connected: list[Any] = []
    create = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda to, *a, **k: connected.append(to) or create(to, *a, **k))
    assert sending.send_due() == 1
    assert asked[0] == "127.0.0.1"
    assert connected[0][0] == "127.0.0.1"
    place = addresses.Place("http", "hooks.invalid", int(hook.url.split(":")[2].split("/")[0]), "/in?pinned")
    pinned = calls._Connection(addresses.Destination(place, "127.0.0.1"))
    pinned.request("POST", place.target, b"{}", {"Content-Length": "2"})
    assert pinned.getresponse().status == 204
    pinned.close()
    assert hook.calls[-1].headers["Host"].startswith("hooks.invalid")


def test_plain_http_never_leaves_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    with pytest.raises(addresses.NotAllowed, match="plain http"):
        addresses.resolve("http://localhost/")


def test_https_needs_a_certificate_that_holds_for_the_name(
    world: World, asking: Asking, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PRESSMARK_WEBHOOK_NETWORKS = [ipaddress.ip_network("127.0.0.0/8")]
    trusted, context = certificate_for("hooks.example.org", tmp_path)
    with receiver(context) as kept:
        port = int(kept.url.rpartition(":")[2].partition("/")[0])
        here = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: here)
        for name in ("hooks", "other"):
            services.register_webhook(
                actor=world.cast.root, url=f"https://{name}.example.org:{port}/in", kinds=["approval.requested"]
            )
        asking()
        assert sending.send_due() == 0
        assert kept.calls == []
        assert all("certificate" in row.last_error for row in Outgoing.objects.exclude(last_error=""))
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        due_again()
        assert sending.send_due() == 1, "the certificate is not for the other name"
    (call,) = kept.calls
    assert call.headers["Host"] == f"hooks.example.org:{port}"

"""Whoever acts on a page is offered the receipt of the act, can take it along, and nobody else sees it."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest
from django.test import Client, RequestFactory

from audit import eras, keys, offline_verify
from audit.models import Checkpoint
from registry.access import receipts
from registry.release import queries
from registry.release.models import Approval
from tests.access.events import last_events
from tests.world import PASSWORD, World

LINK = re.compile(r'<a href="(/receipts/([0-9]+)/)">Receipt</a>')


def logged_in(name: str) -> Client:
    client = Client()
    assert client.login(username=name, password=PASSWORD)
    return client


@pytest.fixture
def approval(world: World) -> Approval:
    return world.approval(world.parent_version())


def granted(client: Client, approval: Approval) -> tuple[str, int]:
    """The address of the receipt that the page offers after a grant, and its first position."""
    door = f"/admin/registry/approval/{approval.pk}/grant/"
    shown = client.post(door, {"reason": "Read."}, follow=True).content.decode()
    found = LINK.search(shown)
    assert found, shown
    return found[1], int(found[2])


def test_who_approves_on_a_page_gets_the_receipt_of_exactly_that_act(world: World, approval: Approval) -> None:
    omar = logged_in("omar")
    address, first = granted(omar, approval)
    answer = omar.get(f"{address}receipt.note")
    assert answer["Content-Disposition"] == f'attachment; filename="pressmark-receipt-{first}.note"'
    receipt = eras.open_receipt(eras.read(), answer.content)
    assert last_events(receipt.count)[0]["kind"] == "approval.granted"
    assert receipt.first == first


def test_the_completed_receipt_is_offered_once_a_checkpoint_is_past_it_and_stands_alone(
    world: World, approval: Approval, tmp_path: Path
) -> None:
    omar = logged_in("omar")
    address, first = granted(omar, approval)
    if not Checkpoint.objects.filter(size__gt=first).exists():
        pending = omar.get(address).content.decode()
        assert "not signed a checkpoint past it yet" in pending
        assert "receipt.zip" not in pending
        assert "Nothing was changed" not in pending
        assert omar.get(f"{address}receipt.zip").status_code == 503
    world.checkpoint()
    page = omar.get(address).content.decode()
    assert "receipt.zip" in page
    assert f'<dt>Position {first}</dt><dd><a href="/ledger/{first}/">approval.granted</a></dd>' in page
    packed = omar.get(f"{address}receipt.zip").content
    zipfile.ZipFile(io.BytesIO(packed)).extractall(tmp_path)
    checkpoint = Checkpoint.objects.order_by("-size")[0].note.encode()
    verdict = offline_verify.verify_receipt(
        tmp_path / f"pressmark-receipt-{first}", keys=[keys.log_signer().key_line], checkpoint=checkpoint
    )
    assert verdict.exit_code == 0, offline_verify.show(verdict)


def test_a_receipt_is_of_the_session_that_acted(world: World, approval: Approval) -> None:
    address, _ = granted(logged_in("omar"), approval)
    for other in (logged_in("omar"), logged_in("ada")):
        assert other.get(address).status_code == 404
        assert other.get(f"{address}receipt.note").status_code == 404
    assert Client().get(address).status_code == 302


def test_an_act_on_a_page_of_the_desk_offers_it_too_and_a_refused_one_does_not(
    world: World, approval: Approval
) -> None:
    ada = logged_in("ada")
    door = f"/approvals/{approval.pk}/withdraw/"
    refused = ada.post(door, {"reason": " "}).content.decode()
    assert not LINK.search(refused)
    done = ada.post(door, {"reason": "Not yet."}, follow=True).content.decode()
    assert LINK.search(done)
    assert queries.approval_status(Approval.objects.get(pk=approval.pk)) == "withdrawn"


def test_issuing_on_a_page_offers_it(world: World) -> None:
    model = world.parent_version().model
    shown = logged_in("carla").post(f"/models/search/{model.slug}/bundles/issue/", follow=True).content.decode()
    assert LINK.search(shown)


def test_a_session_keeps_the_newest_receipts_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "KEPT", 2)
    carla = logged_in("carla")
    model = world.parent_version().model
    addresses = []
    for _ in range(3):
        shown = carla.post(f"/models/search/{model.slug}/bundles/issue/", follow=True).content.decode()
        addresses.append(LINK.findall(shown)[-1][0])
    assert [carla.get(address).status_code for address in addresses] == [404, 200, 200]


def test_every_grant_of_a_bulk_action_has_its_own_receipt(world: World) -> None:
    approvals = [world.approval(world.parent_version()), world.approval(world.parent_version(seed=5))]
    shown = logged_in("omar").post(
        "/admin/registry/approval/",
        {"action": "grant_selected", "_selected_action": [str(row.pk) for row in approvals], "reason": "Both read."},
        follow=True,
    ).content.decode()  # fmt: skip
    assert len(set(LINK.findall(shown))) == 2


def test_an_act_that_commits_nothing_offers_no_receipt_of_an_earlier_one(world: World, rf: RequestFactory) -> None:
    world.teams(1)
    request = rf.post("/")
    request.session = {}  # type: ignore[assignment]
    with receipts.receipt_of_act(request) as told:
        pass
    assert told.with_receipt("Nothing was to be done.") == "Nothing was to be done."
    with receipts.receipt_of_act(request) as told:
        world.model()
    assert "/receipts/" in told.with_receipt("Done.")

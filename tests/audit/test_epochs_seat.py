"""Where an installation stands: what was moved or copied is not signed until somebody says which of the two it was."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as live
from django.test import Client

from audit import checkpoints, keeper, keys, seat
from audit.models import Ledger
from audit.services_interventions import confirm_move
from registry.errors import Forbidden
from tests.audit.acts import act
from tests.world import World


@pytest.fixture
def standing(world: World, settings: Any) -> World:
    """An installation that has signed on host `one`."""
    settings.PRESSMARK_HOST_ID = "one"
    world.checkpoint()
    act(world, "more")
    return world


def copy_folder(settings: Any, name: str = "elsewhere") -> None:
    old = Path(live.PRESSMARK_CHECKPOINTS)
    new = old.with_name(name)
    shutil.copytree(old, new)
    settings.PRESSMARK_CHECKPOINTS = new


def test_the_first_signature_takes_the_seat(standing: World) -> None:
    said = json.loads((Path(live.PRESSMARK_CHECKPOINTS) / seat.FILE).read_text())
    assert said["path"] == str(Path(live.PRESSMARK_CHECKPOINTS).resolve())
    assert said["origin"] == keys.log_signer().name
    assert "one" not in said["host"]  # a hash: the id of a machine is nobody's business


def test_it_goes_on_where_it_stands(standing: World) -> None:
    assert standing.checkpoint()


def test_a_folder_that_was_copied_to_another_path_is_not_signed(standing: World, settings: Any) -> None:
    copy_folder(settings)
    with pytest.raises(checkpoints.LedgerRefused, match="elsewhere") as refused:
        checkpoints.sign_next()
    assert "confirm-move" in refused.value.hint
    assert "--copied" in refused.value.hint


def test_a_folder_that_was_copied_to_another_host_is_not_signed(standing: World, settings: Any) -> None:
    settings.PRESSMARK_HOST_ID = "two"
    with pytest.raises(checkpoints.LedgerRefused, match="another host"):
        checkpoints.sign_next()


def test_a_link_to_the_same_folder_is_the_same_place(standing: World, settings: Any) -> None:
    old = Path(live.PRESSMARK_CHECKPOINTS)
    link = old.with_name("link")
    link.symlink_to(old)
    settings.PRESSMARK_CHECKPOINTS = link
    assert standing.checkpoint()


@pytest.mark.parametrize("said", ["", "{}", "[]", "not json"])
def test_a_damaged_seat_is_refused(standing: World, said: str) -> None:
    (Path(live.PRESSMARK_CHECKPOINTS) / seat.FILE).write_text(said)
    with pytest.raises(checkpoints.LedgerRefused, match="damaged"):
        checkpoints.sign_next()
    confirm_move(actor=standing.cast.root)
    assert standing.checkpoint()


def test_checkpoints_without_a_seat_are_refused(standing: World) -> None:
    (Path(live.PRESSMARK_CHECKPOINTS) / seat.FILE).unlink()
    with pytest.raises(checkpoints.LedgerRefused, match="does not say where it is used"):
        checkpoints.sign_next()


def test_without_any_id_of_the_host_the_path_alone_counts(
    world: World, settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.PRESSMARK_HOST_ID = ""
    monkeypatch.setattr(seat, "MACHINE_ID", tmp_path / "none")
    world.checkpoint()
    act(world, "more")
    settings.PRESSMARK_HOST_ID = "named later"
    assert world.checkpoint()
    act(world, "even-more")
    copy_folder(settings)
    with pytest.raises(checkpoints.LedgerRefused, match="elsewhere"):
        checkpoints.sign_next()


def test_the_id_of_the_machine_counts_where_nothing_is_set(
    world: World, settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.PRESSMARK_HOST_ID = ""
    machine = tmp_path / "machine-id"
    monkeypatch.setattr(seat, "MACHINE_ID", machine)
    machine.write_text("0123456789abcdef\n")
    world.checkpoint()
    machine.write_text("fedcba9876543210\n")
    with pytest.raises(checkpoints.LedgerRefused, match="another host"):
        checkpoints.sign_next()


def test_whoever_says_that_it_was_moved_goes_on_under_the_same_origin(standing: World, settings: Any) -> None:
    origin = Ledger.objects.get().origin
    copy_folder(settings)
    settings.PRESSMARK_HOST_ID = "two"
    old, new = confirm_move(actor=standing.cast.root)
    assert old is not None
    assert Path(old.path).name == "checkpoints"
    assert Path(new.path).name == "elsewhere"
    assert standing.checkpoint().note.startswith(origin)


def test_the_old_place_is_refused_once_the_folder_came_back_from_the_new_one(standing: World, settings: Any) -> None:
    old = live.PRESSMARK_CHECKPOINTS
    copy_folder(settings)
    confirm_move(actor=standing.cast.root)
    shutil.rmtree(old)
    shutil.copytree(live.PRESSMARK_CHECKPOINTS, old)
    settings.PRESSMARK_CHECKPOINTS = old
    with pytest.raises(checkpoints.LedgerRefused, match=r"was used at .*elsewhere"):
        checkpoints.sign_next()


def test_moving_puts_no_other_refusal_right(standing: World, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_folder(settings)
    monkeypatch.setattr(checkpoints, "ledger_size", lambda: 2)
    with pytest.raises(checkpoints.LedgerRefused, match=r"not signed yet.*a checkpoint over"):
        confirm_move(actor=standing.cast.root)


def test_a_copy_that_is_reopened_signs_under_an_origin_of_its_own(standing: World, settings: Any) -> None:
    copy_folder(settings)
    settings.PRESSMARK_HOST_ID = "two"
    standing.reopen_ledger(copied=True)
    assert seat.taken() == seat.here(Ledger.objects.get(ended_at=None).origin)
    signed = standing.checkpoint()
    assert signed.note.startswith(Ledger.objects.get(ended_at=None).origin)
    assert Path(json.loads((live.PRESSMARK_CHECKPOINTS / seat.FILE).read_text())["path"]).name == "elsewhere"


def test_a_reopening_that_was_killed_before_it_took_its_seat_is_no_dead_end(
    standing: World, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_folder(settings)
    with monkeypatch.context() as killed:
        killed.setattr(seat, "take", lambda origin: None)
        standing.reopen_ledger(copied=True)
    assert standing.checkpoint()
    assert seat.taken() == seat.here(Ledger.objects.get(ended_at=None).origin)


@pytest.mark.parametrize("name", ["ada", "otto", "eve"])
def test_only_an_administrator_says_that_it_was_moved(standing: World, settings: Any, name: str) -> None:
    copy_folder(settings)
    with pytest.raises(Forbidden):
        confirm_move(actor=getattr(standing.cast, name))
    with pytest.raises(checkpoints.LedgerRefused):
        checkpoints.sign_next()


def test_the_health_page_and_the_log_say_what_to_do(
    standing: World, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    copy_folder(settings)
    keeper.prepare()
    spec = next(spec for spec in keeper.TICKS if spec.name == checkpoints.TICK)
    assert keeper.turn(spec, uuid.uuid4())
    said = " ".join(Client().get("/health/").json()["troubles"])
    assert "LedgerRefused" in said
    assert "confirm-move" in said
    assert len([r for r in caplog.records if "confirm-move" in r.getMessage()]) == 1

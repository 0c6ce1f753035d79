"""Real installations that are killed, backed up, restored, copied and moved, through the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.audit.homes import Home, born, copy_of

pytestmark = [pytest.mark.db_guarantee, pytest.mark.slow]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return born(tmp_path_factory.mktemp("born") / "home")


@pytest.fixture
def home(template: Home, tmp_path: Path) -> Iterator[Home]:
    with copy_of(template, tmp_path / "home") as made:
        yield made


def key_files(home: Home) -> list[str]:
    return sorted(path.name for path in (home.home / "keys").iterdir())


def refused(home: Home) -> str:
    """What `pressmark check` says is wrong, and what to do."""
    done = home.pressmark("check", "--quiet")
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr


def is_in_order(home: Home) -> None:
    done = home.pressmark("check")
    assert done.returncode == 0, done.stderr


# --- killed ---


def test_a_rotation_killed_before_its_commit_leaves_an_installation_that_signs_with_the_old_keys(home: Home) -> None:
    assert home.acts("act", "die-before-commit", "rotate")[-1] is None  # nothing was said any more
    assert len(key_files(home)) == 4
    act, signed = home.acts("act", "sign")
    assert (act["era"], signed["size"]) == (0, act["position"] + 1)
    is_in_order(home)


@pytest.mark.long
def test_a_rotation_killed_before_its_commit_can_be_done_again_at_the_same_position(home: Home) -> None:
    home.acts("die-before-commit", "rotate")
    left = set(key_files(home))
    done = home.pressmark("rotate-keys", *home.administrator())
    assert done.returncode == 0, done.stderr
    assert {name for name in key_files(home) if "set-aside" not in name} == left
    act, signed = home.acts("act", "sign")
    assert (act["era"], signed["size"]) == (act["position"] - 1, act["position"] + 1)
    is_in_order(home)


def test_a_rotation_killed_after_its_commit_is_done(home: Home) -> None:
    home.acts("die-after-commit", "rotate")
    act, signed = home.acts("act", "sign")
    assert (act["era"], signed["size"]) == (act["position"] - 1, act["position"] + 1)
    is_in_order(home)


def test_a_revocation_killed_after_its_commit_is_finished_by_the_keeper(home: Home) -> None:
    home.acts("sign", "die-after-commit", "revoke")
    assert "log.key" in key_files(home)
    keeper = home.keeper()
    home.wait_for(lambda: "log.key" not in key_files(home) and "issuer.key" not in key_files(home), seconds=30)
    home.kill(keeper)
    act, _ = home.acts("act", "sign")
    assert act["era"] == act["position"] - 1
    assert home.pressmark("check", "--before-start").returncode == 0


@pytest.mark.parametrize("how", ["--restored", pytest.param("--copied", marks=pytest.mark.long)])
def test_a_reopening_killed_after_its_commit_is_finished_by_the_same_verb_and_done_once(home: Home, how: str) -> None:
    home.acts("act", "sign")
    old = seat_of(home)["origin"]
    assert home.acts("die-after-commit", "copied" if how == "--copied" else "reopen") == [None]
    assert seat_of(home)["origin"] == old
    told = home.pressmark("reopen-ledger", how, *home.administrator())
    assert told.returncode == 0, told.stderr
    assert "It was reopened already, by an attempt that was interrupted" in told.stdout
    origin = seat_of(home)["origin"]
    assert origin.endswith("/2")
    assert f"{origin}+" in told.stdout, "the new key lines are told"
    assert ("log.key" in key_files(home)) is (how == "--restored")
    assert home.acts("act", "sign")[-1]["origin"] == origin
    again = home.pressmark("reopen-ledger", how, *home.administrator())
    assert again.returncode == 1
    assert "Nothing is wrong here" in again.stderr
    assert home.pressmark("keys").stdout.count(" from position ") == 2
    is_in_order(home)


@pytest.mark.parametrize("how", ["reopen", pytest.param("copied", marks=pytest.mark.long)])
def test_a_reopening_killed_after_its_commit_is_finished_by_the_keeper(home: Home, how: str) -> None:
    home.acts("act", "sign")
    home.acts("die-after-commit", how)
    keeper = home.keeper()
    home.wait_for(lambda: seat_of(home)["origin"].endswith("/2"), seconds=30)
    home.wait_for(lambda: ("log.key" in key_files(home)) is (how == "reopen"), seconds=30)
    home.kill(keeper)
    done = home.pressmark("reopen-ledger", "--copied" if how == "copied" else "--restored", *home.administrator())
    assert (done.returncode, "Nothing is wrong here" in done.stderr) == (1, True)
    is_in_order(home)


def test_a_reopening_killed_before_its_commit_has_not_happened(home: Home) -> None:
    home.acts("act", "sign", "die-before-commit", "reopen")
    assert home.pressmark("keys").stdout.count(" from position ") == 1
    done = home.pressmark("reopen-ledger", "--restored", "--although-whole", *home.administrator())
    assert done.returncode == 0, done.stderr
    assert home.acts("act", "sign")[-1]["origin"].endswith("/2")
    is_in_order(home)


def seat_of(home: Home) -> dict[str, str]:
    return json.loads((home.home / "checkpoints" / "seat.json").read_text())  # type: ignore[no-any-return]


# --- other processes ---


def test_a_process_that_has_signed_before_signs_its_next_receipt_with_the_new_key(home: Home) -> None:
    with home.talk("act", "wait", "act", "wait", "act") as other:
        assert home.heard(other)["era"] == 0
        first = home.acts("rotate", "act")[-1]
        home.tell(other)
        home.heard(other)
        assert home.heard(other)["era"] == first["era"] > 0
        done = home.pressmark("revoke-keys", *home.administrator(second=True))
        assert done.returncode == 0, done.stderr
        home.tell(other)
        home.heard(other)
        assert home.heard(other)["era"] > first["era"]


@pytest.mark.long
def test_a_process_that_saw_the_new_files_before_their_commit_signs_with_them_after_it(home: Home) -> None:
    with home.talk("trusting", "act", "wait", "look", "wait", "act") as other:
        home.heard(other)
        assert home.heard(other)["era"] == 0
        with home.talk("slow", "rotate") as rotating:
            home.heard(rotating)
            assert home.heard(rotating) == "all is written, but COMMIT"
            home.tell(other)
            home.heard(other)
            assert home.heard(other) in home.pressmark("keys").stdout  # it is still the old one
            home.tell(rotating)
            home.heard(rotating)
        home.tell(other)
        home.heard(other)
        assert home.heard(other)["era"] > 0


# --- old backups ---


def test_an_old_backup_is_not_signed_and_the_newest_one_puts_it_right(home: Home) -> None:
    home.acts("act", "sign")
    old = home.back_up()
    home.acts("act", "act", "sign")
    newest = home.back_up()
    home.restore(old)
    said = refused(home)
    assert "but a checkpoint over" in said
    assert "reopen-ledger --restored" in said
    assert "refused" in home.acts("sign")[0]
    serving = home.pressmark("serve", "--port", "18765")
    assert serving.returncode == 1
    home.restore(newest)
    is_in_order(home)
    assert home.acts("act", "sign")[1]["size"]


@pytest.mark.long
def test_an_old_backup_that_grew_again_is_not_signed(home: Home) -> None:
    home.acts("act", "sign")
    old = home.back_up()
    home.acts("act", "act", "sign")
    home.restore(old)
    signed = home.acts("act", "act", "act", "act", "sign")[-1]
    assert "another root" in signed["refused"]
    assert "another root" in refused(home)


def test_an_old_backup_goes_on_under_a_new_epoch(home: Home) -> None:
    home.acts("act", "sign")
    old = home.back_up()
    lost = home.acts("act", "act", "sign")[-1]
    home.restore(old)
    done = home.pressmark("reopen-ledger", "--restored", *home.administrator())
    assert done.returncode == 0, done.stderr
    assert f"was over {lost['size']} entries" in done.stdout
    assert f"up to {lost['size'] - 2}" in done.stdout
    act, signed = home.acts("act", "sign")
    assert act["receipt"] is not None
    assert signed["origin"].endswith("/2")
    is_in_order(home)


@pytest.mark.long
def test_an_old_backup_of_before_a_rotation_goes_on_too(home: Home) -> None:
    home.acts("act", "sign")
    old = home.back_up()
    home.acts("rotate", "act", "sign")
    home.restore(old)
    assert "not of this ledger" in refused(home)
    done = home.pressmark("reopen-ledger", "--restored", *home.administrator())
    assert done.returncode == 0, done.stderr
    act, signed = home.acts("act", "sign")
    assert signed["size"] == act["position"] + 1
    is_in_order(home)


# --- copies ---


def test_a_database_without_its_file_of_checkpoints_is_not_signed(home: Home) -> None:
    home.acts("act", "sign")
    shutil.rmtree(home.home / "checkpoints")
    assert "is gone" in refused(home)
    assert "is gone" in home.acts("sign")[0]["refused"]


def test_a_home_that_was_copied_is_not_signed_there_and_goes_on_here(home: Home, tmp_path: Path) -> None:
    home.acts("act", "sign")
    copy = home.copy_to(tmp_path / "copy")
    said = refused(copy)
    assert f"was used at {home.home / 'checkpoints'}" in said
    assert "confirm-move" in said
    assert "reopen-ledger --copied" in said
    assert "refused" in copy.acts("sign")[0]
    is_in_order(home)


@pytest.mark.long
def test_a_copy_that_is_reopened_and_its_original_both_go_on(home: Home, tmp_path: Path) -> None:
    origin = home.acts("act", "sign")[1]["origin"]
    copy = home.copy_to(tmp_path / "copy")
    done = copy.pressmark("reopen-ledger", "--copied", *copy.administrator())
    assert done.returncode == 0, done.stderr
    assert "Nobody vouches" in done.stdout
    theirs, ours = copy.acts("act", "sign")[1], home.acts("act", "sign")[1]
    assert theirs["origin"].split("/")[1] != origin.split("/")[1]
    assert ours["origin"] == origin
    is_in_order(copy)
    is_in_order(home)


def test_a_home_that_was_moved_goes_on_under_the_same_origin(home: Home, tmp_path: Path) -> None:
    origin = home.acts("act", "sign")[1]["origin"]
    moved = home.copy_to(tmp_path / "moved")
    shutil.rmtree(home.home)
    options = moved.administrator()[:4]
    done = moved.pressmark("confirm-move", *options)
    assert done.returncode == 0, done.stderr
    assert "must never run at the old place again" in done.stdout
    assert moved.acts("act", "sign")[1]["origin"] == origin
    is_in_order(moved)

"""The verbs that act on the ledger itself: who logs in, what is asked for, what is said."""

from __future__ import annotations

import getpass
import io
import json
import sys
from pathlib import Path

import pytest
from django.conf import settings

from audit import checkpoints, eras, keys, seat
from audit.models import Entry, Intervention, Ledger
from registry.cli.main import main
from tests.audit.acts import act, lost_checkpoint, write_outside
from tests.world import PASSWORD, World

VERBS = [["rotate-keys"], ["revoke-keys"], ["reopen-ledger", "--restored"], ["reopen-ledger", "--copied"],
         ["correct-clock"], ["confirm-move"]]  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Passwords in files, as a script gives them."""
    for name, password in {"root": PASSWORD, "rhea": "a second pair of eyes", "wrong": "not the password"}.items():
        (tmp_path / name).write_text(password + "\n")
    return {name: str(tmp_path / name) for name in ("root", "rhea", "wrong")}


@pytest.fixture
def one(world: World, files: dict[str, str]) -> list[str]:
    return ["--administrator", "root", "--password-file", files["root"], "--reason", "Grüße; a test."]


@pytest.fixture
def two(world: World, one: list[str], files: dict[str, str]) -> list[str]:
    world.second_administrator()
    return [*one, "--second", "rhea", "--second-password-file", files["rhea"]]


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_rotate_keys_prints_the_two_new_lines(one: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rotate-keys", *one]) == 0
    said = capsys.readouterr().out
    assert keys.log_signer().key_line in said
    assert keys.issuer_signer().key_line in said
    assert Intervention.objects.get().reason.value == "Grüße; a test."


def test_revoke_keys_takes_two_administrators(two: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["revoke-keys", *two]) == 0
    said = capsys.readouterr().out
    assert "Nobody vouches for the new ones" in said
    assert keys.log_signer().key_line in said
    done = Intervention.objects.get()
    assert (done.done_by.username, done.agreed_by.username) == ("root", "rhea")


def test_reopen_ledger_says_what_is_lost(world: World, one: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    agreed = world.checkpoint().size
    write_outside(lost_checkpoint(keys.log_signer(), 7))
    assert main(["reopen-ledger", "--restored", *one]) == 0
    said = capsys.readouterr().out
    assert "/2.\n" in said
    assert f"up to {agreed}." in said
    assert f"Entries from position {agreed} on that were sealed before are lost" in said


def test_reopen_ledger_takes_checkpoints_that_were_kept_elsewhere(world: World, one: list[str], tmp_path: Path) -> None:
    world.checkpoint()
    note = lost_checkpoint(keys.log_signer(), 33)
    (tmp_path / "kept.note").write_bytes(note)
    assert main(["reopen-ledger", "--restored", "--checkpoint", str(tmp_path / "kept.note"), *one]) == 0
    assert Intervention.objects.get().old_size == Entry.objects.count() - 1 + 33


def test_reopen_ledger_of_a_checkpoint_that_is_not_there_names_the_file(
    one: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reopen-ledger", "--restored", "--checkpoint", str(tmp_path / "none"), *one]) == 1
    assert f"{tmp_path / 'none'}: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("why", "remedy"), [("--restored", "--checkpoint FILE"), ("--copied", "on the copy, not here")]
)
def test_reopen_ledger_of_a_ledger_that_is_whole_changes_nothing(
    world: World, one: list[str], capsys: pytest.CaptureFixture[str], why: str, remedy: str
) -> None:
    """Somebody tries the verb out: no origin ends for that, and no key is set aside."""
    world.checkpoint()
    before = sorted(path.name for path in Path(settings.PRESSMARK_KEYS).iterdir())
    assert main(["reopen-ledger", why, *one]) == 1
    said = capsys.readouterr().err
    assert "Nothing is wrong here" in said
    assert remedy in said
    assert not Intervention.objects.exists()
    assert sorted(path.name for path in Path(settings.PRESSMARK_KEYS).iterdir()) == before


def test_reopen_ledger_with_a_checkpoint_that_it_continues_changes_nothing(
    world: World, one: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kept.note").write_text(world.checkpoint().note)
    act(world, "later")
    assert main(["reopen-ledger", "--restored", "--checkpoint", str(tmp_path / "kept.note"), *one]) == 1
    assert "Nothing is wrong here" in capsys.readouterr().err
    assert not Intervention.objects.exists()


def test_reopen_ledger_without_what_a_witness_showed_is_refused(
    world: World, one: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Sealed without it, the end of the old origin would be the backup's, and the loss would be sealed nowhere."""
    world.checkpoint()
    evidence = Path(settings.PRESSMARK_CHECKPOINTS) / "other-history-7-0707070707070707.note"
    evidence.write_bytes(lost_checkpoint(keys.log_signer(), 7))
    assert main(["reopen-ledger", "--restored", *one]) == 1
    assert f"--checkpoint {evidence}" in capsys.readouterr().err
    assert not Intervention.objects.exists()
    assert main(["reopen-ledger", "--restored", "--checkpoint", str(evidence), *one]) == 0
    assert Intervention.objects.get().old_size == Entry.objects.count() - 1 + 7


def test_reopen_ledger_although_whole_is_done(world: World, one: list[str]) -> None:
    """A copy that nothing tells from its original has no other way."""
    world.checkpoint()
    assert main(["reopen-ledger", "--copied", "--although-whole", *one]) == 0
    assert Intervention.objects.get().kind == Intervention.Kind.LEDGER_COPIED


@pytest.mark.parametrize("words", [[], ["--restored", "--copied"]])
def test_reopen_ledger_wants_to_know_which_of_the_two(
    words: list[str], one: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["reopen-ledger", *words, *one])
    assert stopped.value.code == 2
    assert "--restored" in capsys.readouterr().err


def test_correct_clock_with_a_clock_that_is_right_says_so(two: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["correct-clock", *two]) == 1
    assert "nothing to set right" in capsys.readouterr().err


def test_confirm_move_warns_of_the_old_place(one: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    origin = Ledger.objects.get(ended_at=None).origin
    seat.take(origin)
    assert main(["confirm-move", *one[:4]]) == 0
    said = capsys.readouterr().out
    assert "Nothing had moved" in said
    assert "old place" not in said
    place = Path(settings.PRESSMARK_CHECKPOINTS) / seat.FILE
    here = json.loads(place.read_text())
    for change, told in (
        ({"path": "/before"}, f"Moved: it was used at /before, now it is at {here['path']}."),
        ({"path": "/before", "host": "sha256:0"}, "on another host."),
        ({"host": "sha256:0"}, f"Moved: it was used at {here['path']} on another host, now on this one."),
    ):
        place.write_text(json.dumps(here | change))
        assert main(["confirm-move", *one[:4]]) == 0
        said = capsys.readouterr().out
        assert told in said
        assert "must never run at the old place again" in said
    place.unlink()
    assert main(["confirm-move", *one[:4]]) == 0
    assert "nothing said where it was used before" in capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_wrong_password_does_nothing(
    verb: list[str], two: list[str], files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    size = Entry.objects.count()
    assert main([*verb, "--administrator", "root", "--password-file", files["wrong"]]) == 1
    assert "'root' or its password is wrong" in capsys.readouterr().err
    assert Entry.objects.count() == size


@pytest.mark.parametrize("verb", ["revoke-keys", "correct-clock"])
def test_a_wrong_password_of_the_second_does_nothing(
    verb: str, two: list[str], files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    size = Entry.objects.count()
    assert main([verb, *two[:-1], files["wrong"]]) == 1
    assert "'rhea' or its password is wrong" in capsys.readouterr().err
    assert Entry.objects.count() == size


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_without_a_terminal_the_options_are_named(
    verb: list[str], world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(verb) == 1
    assert "Give --administrator NAME." in capsys.readouterr().err
    assert main([*verb, "--administrator", "root"]) == 1
    assert "Give --password-file FILE." in capsys.readouterr().err


def test_without_a_reason_nothing_is_done(one: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rotate-keys", *one[:4]]) == 1
    assert "Give --reason TEXT." in capsys.readouterr().err
    assert main(["rotate-keys", *one[:4], "--reason", " "]) == 1
    assert "The reason is missing." in capsys.readouterr().err
    assert not Intervention.objects.exists()


def test_at_a_terminal_everything_is_asked_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.second_administrator()
    monkeypatch.setattr(sys, "stdin", Terminal("root\nrhea\nThey were stolen.\n"))
    passwords = {"root": PASSWORD, "rhea": "a second pair of eyes"}
    monkeypatch.setattr(getpass, "getpass", lambda prompt: passwords[prompt.removeprefix("Password of ").rstrip(": ")])
    assert main(["revoke-keys"]) == 0
    assert Intervention.objects.get().reason.value == "They were stolen."


def test_a_terminal_that_is_closed_is_no_answer(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(""))
    assert main(["rotate-keys"]) == 1
    assert "user name of the administrator is missing" in capsys.readouterr().err


def test_a_service_account_does_not_log_in_here(
    world: World, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    robot = world.cast.service_account()
    robot.set_password(PASSWORD)  # no service gives it one
    robot.save()
    assert main(["rotate-keys", "--administrator", "robot", "--password-file", files["root"]]) == 1
    assert "'robot' or its password is wrong" in capsys.readouterr().err


def test_whoever_is_no_administrator_is_told_which_role_is_needed(
    world: World, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--administrator", "ada", "--password-file", files["root"], "--reason", "Mine."]
    assert main(["rotate-keys", *words]) == 1
    assert "Administrator" in capsys.readouterr().err


def test_keys_prints_every_era_and_the_last_is_in_force(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.rotate_keys()
    world.revoke_keys()
    world.reopen_ledger(copied=True)
    assert main(["keys"]) == 0
    said = capsys.readouterr().out
    for era in eras.read():
        assert era.keys.log.key_line in said
        assert era.keys.issuer.key_line in said
    assert said.count("in force") == 1
    assert main(["keys", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["kind"] for row in rows] == ["ledger.created", "key.rotated", "key.revoked", "ledger.reopened"]
    assert [row["revoked"] for row in rows] == [False, True, False, False]
    assert [row["vouched"] for row in rows] == [False, True, False, False]
    assert rows[-1]["last_position"] is None
    assert [row["last_position"] for row in rows[:-1]] == [row["first_position"] - 1 for row in rows[1:]]


def test_check_prints_the_keys_in_force(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.rotate_keys()
    main(["check"])
    said = capsys.readouterr().out
    assert f"the log key since position {eras.read()[-1].first}: {keys.log_signer().key_line}" in said


def test_check_says_what_is_refused_and_what_to_do(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.checkpoint()
    act(world, "more")
    write_outside(lost_checkpoint(keys.log_signer(), 7))
    assert main(["check", "--quiet"]) == 1
    said = capsys.readouterr().err
    assert "but a checkpoint over" in said
    assert "what to do: Restore the newest backup" in said
    assert checkpoints.TICK not in said

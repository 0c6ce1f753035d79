"""What a newcomer gets wrong on the command line is answered with cause and remedy, never with a traceback."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from registry.cli.main import main


def _home(folder: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A verb in a process of its own, since a home is read once when Django starts."""
    environment = {"PATH": os.environ["PATH"], "PRESSMARK_HOME": str(folder), **settings}
    command = [sys.executable, "-m", "registry.cli.main", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("verb", ["web", "worker", "keeper", "upgrade"])
def test_a_verb_in_a_home_that_is_not_set_up_names_init(verb: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = _home(home, verb)
    assert done.returncode == 1
    assert f"{home} is not set up." in done.stderr
    assert "pressmark init" in done.stderr
    assert "Traceback" not in done.stderr


def test_verifying_the_ledger_of_an_empty_database_names_init(tmp_path: Path) -> None:
    done = _home(tmp_path, "verify-ledger")
    assert done.returncode == 1
    assert "no such table" in done.stderr
    assert "pressmark init" in done.stderr
    assert "Traceback" not in done.stderr


def test_init_below_a_file_says_which_path_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    done = _home(file, "init")
    assert done.returncode == 1
    assert f"{file}: File exists." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_new_home_is_closed_to_other_users_of_the_machine(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = _home(home, "init", "--password-file", str(tmp_path / "none"))
    assert done.returncode == 1
    assert home.stat().st_mode & 0o077 == 0


def test_serve_refuses_a_port_in_use_before_anything_starts(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 1
    said = capsys.readouterr().err
    assert f"127.0.0.1:{port} cannot be used: Address already in use." in said
    assert "another --port" in said


def test_serve_refuses_a_port_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "80000"]) == 1
    assert "There is no port 80000." in capsys.readouterr().err


@pytest.mark.parametrize("address", ["ftp://127.0.0.1", "http://127.0.0.1:port"])
def test_an_address_that_is_none_is_refused_with_an_example(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["login", address, "--username", "ada"]) == 1
    said = capsys.readouterr().err
    assert f"{address!r} is no address of a server." in said
    assert "http://127.0.0.1:8000" in said


def test_a_password_file_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["login", "http://127.0.0.1:1", "--username", "ada", "--password-file", str(tmp_path / "none")]
    assert main(words) == 1
    assert f"{tmp_path / 'none'}: No such file or directory." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "remedy"), [([], "--username NAME"), (["--username", "ada"], "--password-file FILE")]
)
def test_a_login_without_a_terminal_names_the_option(
    words: list[str], remedy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(["login", "http://127.0.0.1:1", *words]) == 1
    said = capsys.readouterr().err
    assert "There is no terminal to ask" in said
    assert f"Give {remedy}." in said


def test_a_model_with_a_slash_too_many_is_refused_before_the_server_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PRESSMARK_TOKEN", "unused")
    assert main(["as-of", "risk/scorer/x", "--server", "http://127.0.0.1:1"]) == 1
    assert "Write TEAM/MODEL." in capsys.readouterr().err


@pytest.mark.parametrize("given", ["none", "."])
def test_what_is_no_receipt_is_named(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["receipt", "complete", given]) == 1
    said = capsys.readouterr().err
    assert f"{given} is " in said
    assert "pressmark receipt list" in said


def test_a_receipt_that_is_still_zipped_is_not_called_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The verifier would answer NO to a zip that is no bundle."""
    with zipfile.ZipFile(tmp_path / "receipt.zip", "w") as archive:
        archive.writestr("pressmark-receipt-7/receipt.note", "")
    assert main(["receipt", "verify", str(tmp_path / "receipt.zip")]) == 1
    assert "Unpack it" in capsys.readouterr().err


def test_a_remembered_login_that_is_broken_asks_for_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "pressmark").mkdir()
    (tmp_path / "pressmark" / "login.json").write_text("{")
    assert main(["show", "risk/scorer@1"]) == 1
    assert "pressmark login SERVER" in capsys.readouterr().err


def test_a_receiving_model_without_its_team_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compress", "risk/scorer@1", "--recipe", "risk/r@1", "--evaluation", "risk/e@1", "--into", "risk"]
    monkeypatch.setenv("PRESSMARK_TOKEN", "unused")
    assert main([*words, "--server", "http://127.0.0.1:1"]) == 1
    assert "'risk' names no model." in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_not_called_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PRESSMARK_TOKEN", "unused")
    words = ["register-version", "risk/scorer", str(tmp_path / "none"), "--licence", "MIT"]
    assert main([*words, "--server", "http://127.0.0.1:1"]) == 1
    assert f"There is no {tmp_path / 'none'}." in capsys.readouterr().err


def test_a_fault_of_the_product_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> int:
        raise AssertionError("a fault")

    monkeypatch.setattr("registry.cli.remote_login.run", broken)
    with pytest.raises(AssertionError, match="a fault"):
        main(["login", "http://127.0.0.1:1"])

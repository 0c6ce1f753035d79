"""`pressmark witness`: what its operator is told, and that a slip is answered with cause and remedy."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from audit.signing import Signer, issuer_name
from audit.witnessing.cosignatures import parse_cosigner_line
from registry.cli.main import main

ORIGIN = "pressmark/01890a5d-ac96-774b-bcce-b302099a8057/1"
LOG = Signer.from_seed(ORIGIN, b"\x01" * 32)


@pytest.fixture
def state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["witness", "init", "--name", "witness.example.org/w1", "--state", str(tmp_path / "w")]) == 0
    said = capsys.readouterr().out
    assert parse_cosigner_line(said.splitlines()[0]).name == "witness.example.org/w1"
    assert "PRESSMARK_HOME/witnesses" in said
    return tmp_path / "w"


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["witness", *words]) == 1
    said = capsys.readouterr().err
    assert "what to do:" in said
    assert "Traceback" not in said
    return said


def test_its_key_is_its_owners_alone_and_is_never_made_twice(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = (state / "witness.key").read_bytes()
    assert (state / "witness.key").stat().st_mode & 0o777 == 0o600
    assert "never overwritten" in refused(capsys, "init", "--name", "other.example.org", "--state", str(state))
    assert (state / "witness.key").read_bytes() == key
    (state / "witness.key").chmod(0o644)
    assert "chmod 600" in refused(capsys, "status", "--state", str(state))


@pytest.mark.parametrize("name", ["", "two words", "a+b", "x" * 201, "zeuge-\u00fc.example.org"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, "init", "--name", name, "--state", str(tmp_path / "w"))
    assert not (tmp_path / "w" / "witness.key").exists()


def test_a_slip_in_a_log_key_line_or_address_is_explained(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    issuer = Signer.from_seed(issuer_name(ORIGIN), b"\x02" * 32)
    empty, good = tmp_path / "empty", tmp_path / "lines"
    empty.write_text("# nothing\n\n")
    good.write_text(f"# the ledger\n{LOG.key_line}\n")
    serve = ["serve", "--state", str(state)]
    for line, reason in (
        ("nonsense", "not a key line"),
        (LOG.key_line[:-4], "the key line holds no Ed25519 key"),
        (LOG.key_line.replace("+", "+0", 1)[:-1], "not a key line"),
        (issuer.key_line, "is the issuer key"),
        (str(tmp_path), "not a key line"),
        (str(empty), "holds no key line"),
        ("x" * 5000, "not a key line"),
    ):
        assert reason in refused(capsys, *serve, "--log", line), line
    for address in ("8100", "host:", ":80", "127.0.0.1:99999", "127.0.0.1:x", "no-such-host.invalid:80"):
        refused(capsys, *serve, "--log", str(good), "--listen", address)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert "in use" in refused(capsys, *serve, "--log", str(good), "--listen", address)


def test_a_folder_without_a_witness_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "pressmark witness init" in refused(capsys, "status", "--state", str(tmp_path))
    assert "pressmark witness init" in refused(capsys, "serve", "--state", str(tmp_path), "--log", LOG.key_line)


def test_status_of_a_new_witness_is_its_key_line(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["witness", "status", "--state", str(state)]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("witness.example.org/w1+")

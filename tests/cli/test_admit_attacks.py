"""`pressmark admit` with a verdict that was kept: every way to make it say yes wrongly is refused, in one line."""

from __future__ import annotations

import base64
import datetime
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.signing import Signer
from registry.cli.main import main
from registry.client import Client
from registry.digests import time_text
from tests.cli.deployed import DIGEST, ISSUER, LOG, MODEL, NAME, Deployed, deploy, subject

Said = pytest.CaptureFixture[str]
ADMITTED, NO, WRONG_CALL, NOT_CHECKED = 0, 1, 2, 3
SECOND = datetime.timedelta(seconds=1)


@pytest.fixture
def here(tmp_path: Path) -> Deployed:
    return deploy(tmp_path)


def admit(here: Deployed, *words: str, key: str | None = None, alias: str | None = "production") -> int:
    said = ["admit", str(here.folder), "--verdict", str(here.verdict), "--key", key or ISSUER.key_line]
    return main([*said, *(["--alias", alias] if alias else []), *words])


def test_the_form_that_is_attacked_here_is_admitted_as_it_is(here: Deployed, capsys: Said) -> None:
    assert admit(here, "--served", "--model", MODEL, "--digest", DIGEST) == ADMITTED
    assert capsys.readouterr().out.startswith(f"admitted: {NAME} may run: 'production' serves it")


# --- time ---


def test_an_expired_verdict_is_no_from_its_last_moment_on(here: Deployed, capsys: Said) -> None:
    end = here.moment("expires_at")
    assert admit(here, "--at", time_text(end - datetime.timedelta(microseconds=1))) == ADMITTED
    assert admit(here, "--at", time_text(end)) == NO
    assert "ask for a new one" in capsys.readouterr().err


def test_a_clock_that_stands_behind_the_verdict_is_no(here: Deployed, capsys: Said) -> None:
    begin = here.moment("evaluated_at")
    assert admit(here, "--at", time_text(begin - 59 * SECOND)) == ADMITTED
    assert admit(here, "--at", time_text(begin - 61 * SECOND)) == NO
    assert "the clock here is behind" in capsys.readouterr().err


def test_a_moment_in_another_zone_is_that_moment(here: Deployed) -> None:
    end = here.moment("expires_at")
    east = datetime.timezone(datetime.timedelta(hours=5, minutes=45))
    assert admit(here, "--at", (end - SECOND).astimezone(east).isoformat()) == ADMITTED
    assert admit(here, "--at", end.astimezone(east).isoformat()) == NO


# --- for something else ---


def test_a_verdict_for_another_alias_target_model_or_version_is_no(here: Deployed, capsys: Said) -> None:
    asked: list[tuple[tuple[str, ...], str | None]] = [
        ((), "staging"), ((), None), (("--target", "edge"), "production"), (("--model", "search/other"), "production"),
        (("--digest", "sha256:" + "0" * 64), "production"),
    ]  # fmt: skip
    for words, alias in asked:
        assert admit(here, *words, alias=alias) == NO
    assert "for the alias 'production', not for the alias 'staging'" in capsys.readouterr().err


def test_a_verdict_for_one_target_is_good_by_both_of_its_names_and_for_nothing_wider(here: Deployed) -> None:
    here.sign(lambda s: s["predicate"]["asked"].update(target="edge", target_meant="search/edge@2"))
    assert admit(here, "--target", "edge") == ADMITTED
    assert admit(here, "--target", "search/edge@2") == ADMITTED
    for words in ((), ("--target", "search/edge@1"), ("--target", "edge@2")):
        assert admit(here, *words) == NO


def test_merely_approved_is_no_where_served_is_demanded(here: Deployed, capsys: Said) -> None:
    here.sign(lambda s: s["predicate"].update(standing="approved"))
    assert admit(here) == ADMITTED
    assert admit(here, "--served") == NO
    assert "no alias serves it" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["added", "hidden", "taken", "changed", "renamed", "other case", "link", "empty"])
def test_a_folder_that_is_not_exactly_the_version_is_no(here: Deployed, capsys: Said, what: str) -> None:
    weights = here.folder / "onnx" / "model.onnx"
    if what in ("added", "hidden"):
        (here.folder / ("run.py" if what == "added" else ".run.py")).write_text("print(1)")
    elif what == "taken":
        weights.unlink()
    elif what == "changed":
        weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    elif what == "renamed":
        weights.rename(weights.with_name("weights.bin"))
    elif what == "other case":
        weights.rename(weights.with_name("Model.onnx"))
    elif what == "link":
        weights.rename(here.folder.parent / "elsewhere")
        weights.symlink_to(here.folder.parent / "elsewhere")
    else:
        shutil.rmtree(here.folder)
        here.folder.mkdir()
    assert admit(here) == NO
    assert capsys.readouterr().err.startswith("no: ")


def test_the_manifest_that_lies_beside_the_files_is_that_of_the_version(here: Deployed, capsys: Said) -> None:
    (here.folder / ".pressmark-version.json").write_bytes(b"{}")
    assert admit(here) == NO
    assert f"The manifest that lies here is not that of {NAME}" in capsys.readouterr().err


# --- forged, damaged, dressed up ---


def test_another_key_and_a_log_key_admit_nothing(here: Deployed, capsys: Said) -> None:
    stranger = Signer.from_seed("pressmark/other/1/issuer", b"\x07" * 32)
    assert admit(here, key=stranger.key_line) == NO
    assert "none of the keys that you gave" in capsys.readouterr().err
    assert admit(here, key=LOG.key_line) == WRONG_CALL
    here.sign(signer=LOG)
    assert admit(here) == NO
    assert "which is no issuer key" in capsys.readouterr().err


def test_a_key_of_the_same_name_made_by_somebody_else_admits_nothing(here: Deployed, capsys: Said) -> None:
    here.sign(signer=Signer.from_seed(ISSUER.name, b"\x07" * 32))
    assert admit(here) == NO
    lied = json.loads(here.verdict.read_bytes())
    lied["signatures"][0]["keyid"] = ISSUER.public.keyid
    here.verdict.write_text(json.dumps(lied))
    assert admit(here) == NO
    assert "The signature does not hold" in capsys.readouterr().err


def test_after_a_rotation_the_new_key_is_needed_and_the_old_one_admits_only_while_it_is_trusted(
    here: Deployed, tmp_path: Path
) -> None:
    rotated = Signer.from_seed(ISSUER.name, b"\x09" * 32)
    trusted = tmp_path / "issuers.key"
    trusted.write_text(f"{ISSUER.key_line}\n")
    here.sign(signer=rotated)
    assert admit(here, key=str(trusted)) == NO
    trusted.write_text(f"# until the last old verdict has ended\n{ISSUER.key_line}\n{rotated.key_line}\n")
    assert admit(here, key=str(trusted)) == ADMITTED
    here.sign()
    assert admit(here, key=str(trusted)) == ADMITTED
    trusted.write_text(f"{rotated.key_line}\n")
    assert admit(here, key=str(trusted)) == NO


def test_a_verdict_signed_for_another_ledger_is_no(here: Deployed, capsys: Said) -> None:
    here.sign(lambda s: s["predicate"]["ledger"].update(origin="pressmark/other/1"))
    assert admit(here) == NO
    assert "another ledger" in capsys.readouterr().err


def damaged(data: bytes) -> Iterator[tuple[str, bytes]]:
    envelope = json.loads(data)
    signature = envelope["signatures"][0]
    yield "nothing", b""
    yield "cut off", data[: len(data) // 2]
    yield "cut at the end", data[:-1]
    yield "two signatures", json.dumps({**envelope, "signatures": [signature, signature]}).encode()
    yield "no signature", json.dumps({**envelope, "signatures": []}).encode()
    yield "a member more", json.dumps({**envelope, "key": "pressmark/x+00000000+AA"}).encode()
    yield "a member twice", data.replace(b'{"payload":', b'{"payload":"e30=","payload":', 1)
    yield "another payload", json.dumps({**envelope, "payload": base64.b64encode(b"{}").decode()}).encode()
    yield "another type", json.dumps({**envelope, "payloadType": "text/plain"}).encode()
    yield "a list", b"[]"
    yield "deep", b"[" * 100_000
    yield "no text", b"\xff\xfe\x00"


def test_a_verdict_that_is_damaged_or_dressed_up_is_no(here: Deployed, capsys: Said) -> None:
    for what, data in damaged(here.verdict.read_bytes()):
        here.verdict.write_bytes(data)
        assert admit(here) == NO, what
        said = capsys.readouterr().err
        assert said.startswith("no: "), what
        assert said.count("\n") == 1, what


def test_a_statement_of_another_kind_by_the_same_key_is_no_verdict(here: Deployed, capsys: Said) -> None:
    changes: list[Callable[[dict[str, Any]], object]] = [
        lambda s: s.update(predicateType="urn:pressmark:predicate:evidence:1"),
        lambda s: s["predicate"].pop("expires_at"),
        lambda s: s["predicate"].update(expires_at="9999"),
        lambda s: s["predicate"].update(expires_at=None),
        lambda s: s["predicate"].update(reasons=[]),
        lambda s: s["predicate"].update(reasons=None),
        lambda s: s["predicate"].update(decision="maybe"),
        lambda s: s["predicate"].update(decision="YES"),
        lambda s: s["predicate"].update(ledger=None),
        lambda s: s["predicate"]["asked"].update(alias=["production"]),
        lambda s: s["predicate"]["asked"].update(target={}),
        lambda s: s["predicate"].update(model=7),
        lambda s: s["predicate"].update(standing=["approved"]),
        lambda s: s.update(subject=s["subject"][:1]),
        lambda s: s.update(subject=[*s["subject"], subject("else/else@1", "0" * 64)]),
        lambda s: s.update(subject=[*s["subject"], s["subject"][0]]),
        lambda s: s.update(subject=[*s["subject"], subject(f"{MODEL}@8", "0" * 64)]),
        lambda s: s.update(subject=None),
    ]
    for number, change in enumerate(changes):
        here.sign(change)
        assert admit(here) == NO, number
        assert capsys.readouterr().err.count("\n") == 1, number


# --- keys that came with it, wrong calls, nothing checked ---


def test_a_key_that_came_with_the_model_or_in_the_verdict_is_refused(
    here: Deployed, tmp_path: Path, capsys: Said
) -> None:
    inside = here.folder / "issuer.key"
    inside.write_text(ISSUER.key_line)
    assert admit(here, key=str(inside)) == WRONG_CALL
    assert "it came with it" in capsys.readouterr().err
    (tmp_path / "looks-outside.key").symlink_to(inside)
    assert admit(here, key=str(tmp_path / "looks-outside.key")) == WRONG_CALL
    inside.unlink()
    assert admit(here, key=str(here.verdict)) == WRONG_CALL
    outside = tmp_path / "keys.txt"
    outside.write_text(f"# the installation\n{LOG.key_line}\n{ISSUER.key_line}\n")
    assert admit(here, key=str(outside)) == ADMITTED


def test_without_a_key_a_yes_is_not_checked_and_a_no_is_no(here: Deployed, capsys: Said) -> None:
    words = ["admit", str(here.folder), "--verdict", str(here.verdict), "--alias"]
    assert main([*words, "production"]) == NOT_CHECKED
    assert "no key was given" in capsys.readouterr().err
    assert main([*words, "staging"]) == NO


@pytest.mark.parametrize(
    "words", [["--at", "yesterday"], ["--at", "2026-03-01T12:00:00"], ["--save", "x.json"], ["--key", "no key line"]]
)
def test_a_wrong_call_judges_nothing(here: Deployed, words: list[str]) -> None:
    assert admit(here, *words) == WRONG_CALL


def test_what_is_not_there_is_a_wrong_call(here: Deployed, tmp_path: Path) -> None:
    assert admit(Deployed(tmp_path / "nothing", here.verdict)) == WRONG_CALL
    assert admit(Deployed(here.folder, tmp_path / "nothing.json")) == WRONG_CALL
    words = ["admit", str(here.folder), "--at", "2026-03-01T12:00:00Z", "--key", ISSUER.key_line]
    assert main(words) == WRONG_CALL


def test_the_verdict_is_never_saved_over_what_it_is_about(here: Deployed, tmp_path: Path, capsys: Said) -> None:
    weights = here.folder / "onnx" / "model.onnx"
    words = ["admit", str(here.folder), "--key", ISSUER.key_line, "--save"]
    for place in (weights, here.folder / "verdict.json", here.folder, tmp_path / "no" / "folder.json"):
        assert main([*words, str(place)]) == WRONG_CALL
        assert str(place) in capsys.readouterr().err
    assert weights.read_bytes() == b"weights"


def test_exit_statuses_stand_in_the_help(capsys: Said) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["admit", "--help"])
    assert ended.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "exit status: 0 admitted; 1 no; 2 wrong call; 3 nothing says no, but something could not be checked" in said


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A server that does not answer; nothing of the user's own configuration."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    monkeypatch.setenv("PRESSMARK_SERVER", "http://127.0.0.1:9")
    monkeypatch.setenv("PRESSMARK_TOKEN", "none")


def test_a_server_that_is_not_there_is_not_checked(
    here: Deployed, unreachable: None, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    assert main(["admit", str(here.folder), "--key", ISSUER.key_line]) == NOT_CHECKED
    assert "does not answer" in capsys.readouterr().err
    monkeypatch.delenv("PRESSMARK_SERVER")
    assert main(["admit", str(here.folder), "--key", ISSUER.key_line]) == WRONG_CALL


def test_a_server_that_repeats_an_old_answer_is_refused(
    here: Deployed, unreachable: None, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    old = json.loads(here.verdict.read_bytes())
    monkeypatch.setattr(Client, "post", lambda *a, **k: old)
    assert main(["admit", str(here.folder), "--key", ISSUER.key_line, "--alias", "production"]) == NO
    assert "not the answer to what was asked just now" in capsys.readouterr().err

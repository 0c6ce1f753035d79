"""`pressmark admit`: what lies here may run, or not, by exit status; and every way to make it say yes wrongly is refused."""

from __future__ import annotations

import base64
import datetime
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audit import dsse, keys
from audit.signing import Signer
from registry import storage
from registry.catalog.models import ModelVersion
from registry.cli.main import main
from registry.digests import parse_time, time_text
from registry.release import services
from tests.cli.conftest import Pressmark
from tests.world import World

Said = pytest.CaptureFixture[str]
ADMITTED, NO, WRONG_CALL, NOT_CHECKED = 0, 1, 2, 3


def lay_out(version: ModelVersion, folder: Path) -> Path:
    """The files of a version in a folder, as a deploy would have them."""
    for artifact in version.artifacts.all():
        target = folder / artifact.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(storage.read_bytes(artifact.digest))
    return folder


@pytest.fixture
def released(world: World, tmp_path: Path) -> tuple[ModelVersion, Path]:
    """A version that production serves, and its files in a folder."""
    version = world.parent_version()
    world.promoted(version)
    return version, lay_out(version, tmp_path / "model")


@pytest.fixture
def verdict(released: tuple[ModelVersion, Path], world: World, tmp_path: Path) -> Path:
    """The verdict about it for production, kept in a file."""
    return kept(world, released[0], tmp_path / "verdict.json", alias="production")


def kept(world: World, version: ModelVersion, path: Path, **asked: Any) -> Path:
    from audit.admissions import Question, answer_admission
    from registry.release.admission import Asked

    path.write_bytes(answer_admission(world.cast.otto, Question(version.digest, [], None, Asked(**asked))))
    return path


def issuer() -> str:
    return keys.issuer_signer().key_line


def admit(folder: Path, verdict: Path, *words: str, key: str | None = None, alias: str | None = "production") -> int:
    said = ["admit", str(folder), "--verdict", str(verdict), "--key", key or issuer()]
    return main([*said, *(["--alias", alias] if alias else []), *words])


def signed_again(verdict: Path, change: Callable[[dict[str, Any]], None], signer: Signer | None = None) -> None:
    """The same verdict, changed and signed by somebody."""
    statement = json.loads(base64.b64decode(json.loads(verdict.read_bytes())["payload"]))
    change(statement)
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
    verdict.write_bytes(dsse.sign_envelope(signer or keys.issuer_signer(), payload))


def moment(verdict: Path, name: str) -> datetime.datetime:
    body = json.loads(base64.b64decode(json.loads(verdict.read_bytes())["payload"]))["predicate"]
    return parse_time(body[name])


# --- yes ---


def test_what_is_served_is_admitted_with_a_kept_verdict(
    released: tuple[ModelVersion, Path], verdict: Path, capsys: Said
) -> None:
    version, folder = released
    assert admit(folder, verdict, "--served", "--model", str(version.model), "--digest", version.digest) == ADMITTED
    said = capsys.readouterr().out
    assert said.startswith(f"admitted: {version} may run: 'production' serves it")


def test_the_server_is_asked_and_its_verdict_kept(
    pressmark: Pressmark, served: World, tmp_path: Path, capsys: Said
) -> None:
    version = served.parent_version()
    folder, saved = lay_out(version, tmp_path / "model"), tmp_path / "verdict.json"
    words = ["admit", str(folder), "--key", issuer(), "--alias", "production"]
    assert pressmark("otto", *words) == NO
    assert "It was never approved for 'production'." in capsys.readouterr().err
    approval = served.promoted(version).approval
    assert pressmark("otto", *words, "--save", str(saved)) == ADMITTED
    assert admit(folder, saved) == ADMITTED
    assert pressmark("otto", "admit", str(folder), "--key", issuer(), "--json") == ADMITTED
    assert json.loads(capsys.readouterr().out.split("\n", 1)[1].split("\n", 1)[1])["answer"] == "admitted"
    assert approval is not None
    services.revoke_approval(actor=served.cast.omar, approval=approval, reason="A fault.")
    assert pressmark("otto", *words) == NO
    (folder / "extra.bin").write_bytes(b"x")
    assert pressmark("otto", *words) == NO
    assert "not known here" in capsys.readouterr().err


def test_a_pulled_folder_is_admitted_with_its_manifest(
    pressmark: Pressmark, served: World, tmp_path: Path, capsys: Said
) -> None:
    version = served.parent_version()
    served.promoted(version)
    folder = tmp_path / "pulled"
    assert pressmark("otto", "pull", f"{version.model}@production", str(folder)) == 0
    assert pressmark("otto", "admit", str(folder), "--key", issuer()) == ADMITTED
    manifest = folder / ".pressmark-version.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")
    assert pressmark("otto", "admit", str(folder), "--key", issuer()) == NO
    assert "The manifest that lies here is not that of" in capsys.readouterr().err


def test_one_file_is_the_version_of_one_file_under_any_name(
    world: World, released: tuple[ModelVersion, Path], verdict: Path, tmp_path: Path, capsys: Said
) -> None:
    version, _ = released
    weights = version.artifacts.get(role="weights")
    alone = tmp_path / "renamed.onnx"
    alone.write_bytes(storage.read_bytes(weights.digest))
    whole = version.artifacts.count() == 1
    assert admit(alone, verdict) == (ADMITTED if whole else NO)
    if not whole:
        assert "is missing" in capsys.readouterr().err


# --- attacks ---


def test_an_expired_verdict_is_no_from_its_last_moment_on(
    released: tuple[ModelVersion, Path], verdict: Path, capsys: Said
) -> None:
    end = moment(verdict, "expires_at")
    before = time_text(end - datetime.timedelta(microseconds=1))
    assert admit(released[1], verdict, "--at", before) == ADMITTED
    assert admit(released[1], verdict, "--at", time_text(end)) == NO
    assert "ask for a new one" in capsys.readouterr().err


def test_a_clock_that_stands_behind_the_verdict_is_no(
    released: tuple[ModelVersion, Path], verdict: Path, capsys: Said
) -> None:
    begin = moment(verdict, "evaluated_at")
    assert admit(released[1], verdict, "--at", time_text(begin - datetime.timedelta(seconds=59))) == ADMITTED
    assert admit(released[1], verdict, "--at", time_text(begin - datetime.timedelta(seconds=61))) == NO
    assert "the clock here is behind" in capsys.readouterr().err


def test_a_verdict_for_another_alias_target_or_model_is_no(
    world: World, released: tuple[ModelVersion, Path], verdict: Path, capsys: Said
) -> None:
    _, folder = released
    for words, alias in [
        ((), "staging"),
        ((), None),
        (("--target", "edge"), "production"),
        (("--model", "search/other"), "production"),
        (("--digest", "sha256:" + "0" * 64), "production"),
    ]:
        assert admit(folder, verdict, *words, alias=alias) == NO
    assert "for the alias 'production', not for the alias 'staging'" in capsys.readouterr().err


def test_merely_approved_is_no_where_served_is_demanded(world: World, tmp_path: Path, capsys: Said) -> None:
    version = world.parent_version()
    world.granted(version)
    folder = lay_out(version, tmp_path / "model")
    verdict = kept(world, version, tmp_path / "verdict.json", alias="production")
    assert admit(folder, verdict) == ADMITTED
    assert admit(folder, verdict, "--served") == NO
    assert "no alias serves it" in capsys.readouterr().err


def test_a_verdict_of_another_version_is_no(
    world: World, released: tuple[ModelVersion, Path], verdict: Path, tmp_path: Path, capsys: Said
) -> None:
    other = world.parent_version(released[0].model, seed=2)
    assert admit(lay_out(other, tmp_path / "other"), verdict) == NO
    assert f"What lies here is not {released[0]}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "what", ["added", "taken", "changed", "link", "link-to-itself", "empty", "hidden", "renamed", "pipe"]
)
def test_a_folder_that_is_not_exactly_the_version_is_no(
    released: tuple[ModelVersion, Path], verdict: Path, tmp_path: Path, capsys: Said, what: str
) -> None:
    import os

    version, folder = released
    weights = folder / version.artifacts.get(role="weights").path
    if what in ("added", "hidden"):
        (folder / ("run.py" if what == "added" else ".run.py")).write_text("print(1)")
    if what == "taken":
        weights.rename(tmp_path / "elsewhere")
    if what == "changed":
        weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    if what == "renamed":
        weights.rename(weights.with_name("weights.bin"))
    if what == "link":
        shutil.copy(weights, tmp_path / "elsewhere")
        weights.unlink()
        weights.symlink_to(tmp_path / "elsewhere")
    if what == "link-to-itself":
        (folder / "again").symlink_to(folder)
    if what == "pipe":
        os.mkfifo(folder / "pipe")
    if what == "empty":
        shutil.rmtree(folder)
        folder.mkdir()
    assert admit(folder, verdict) == NO
    assert capsys.readouterr().err.startswith("no: ")


def test_a_link_to_the_folder_is_no(released: tuple[ModelVersion, Path], verdict: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(released[1])
    assert admit(tmp_path / "current", verdict) == NO


def test_another_key_and_a_log_key_admit_nothing(
    released: tuple[ModelVersion, Path], verdict: Path, capsys: Said
) -> None:
    stranger = Signer.from_seed("pressmark/other/1/issuer", b"\x07" * 32)
    assert admit(released[1], verdict, key=stranger.key_line) == NO
    assert "none of the keys that you gave" in capsys.readouterr().err
    log = keys.log_signer()
    assert admit(released[1], verdict, key=log.key_line) == WRONG_CALL
    signed_again(verdict, lambda statement: None, log)
    assert admit(released[1], verdict) == NO
    assert "which is no issuer key" in capsys.readouterr().err


def test_a_key_of_the_same_name_made_by_somebody_else_admits_nothing(
    released: tuple[ModelVersion, Path], verdict: Path, capsys: Said
) -> None:
    forged = Signer.from_seed(keys.issuer_signer().name, b"\x07" * 32)
    signed_again(verdict, lambda statement: None, forged)
    assert admit(released[1], verdict) == NO
    lied = json.loads(verdict.read_bytes())
    lied["signatures"][0]["keyid"] = keys.issuer_signer().public.keyid
    verdict.write_text(json.dumps(lied))
    assert admit(released[1], verdict) == NO
    assert "The signature does not hold" in capsys.readouterr().err


def test_a_verdict_signed_for_another_ledger_is_no(
    released: tuple[ModelVersion, Path], verdict: Path, capsys: Said
) -> None:
    signed_again(verdict, lambda statement: statement["predicate"]["ledger"].update(origin="pressmark/other/1"))
    assert admit(released[1], verdict) == NO
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


def test_a_verdict_that_is_damaged_or_dressed_up_is_no(
    released: tuple[ModelVersion, Path], verdict: Path, capsys: Said
) -> None:
    for what, data in damaged(verdict.read_bytes()):
        verdict.write_bytes(data)
        assert admit(released[1], verdict) == NO, what
        said = capsys.readouterr().err
        assert said.startswith("no: "), what
        assert said.count("\n") == 1, what


def test_a_statement_of_another_kind_by_the_same_key_is_no_verdict(
    released: tuple[ModelVersion, Path], verdict: Path, capsys: Said
) -> None:
    whole = verdict.read_bytes()
    changes: list[Callable[[dict[str, Any]], None]] = [
        lambda s: s.update(predicateType="urn:pressmark:predicate:evidence:1"),
        lambda s: s["predicate"].pop("expires_at"),
        lambda s: s["predicate"].update(expires_at="9999"),
        lambda s: s["predicate"].update(reasons=[]),
        lambda s: s["predicate"].update(decision="maybe"),
        lambda s: s.update(subject=s["subject"][:1]),
        lambda s: s.update(subject=[*s["subject"], {"name": "else/else@1", "digest": {"sha256": "0" * 64}}]),
        lambda s: s.update(subject=[*s["subject"], s["subject"][0]]),
        lambda s: s.update(subject=None),
    ]
    for change in changes:
        verdict.write_bytes(whole)
        signed_again(verdict, change)
        assert admit(released[1], verdict) == NO
        assert capsys.readouterr().err.count("\n") == 1


def test_a_no_of_the_server_stays_no_whatever_else_is_wrong(world: World, tmp_path: Path, capsys: Said) -> None:
    version = world.parent_version()
    verdict = kept(world, version, tmp_path / "verdict.json", alias="production")
    assert admit(lay_out(version, tmp_path / "model"), verdict) == NO
    assert "never approved" in capsys.readouterr().err


# --- keys that came with it, wrong calls, nothing checked ---


def test_a_key_that_came_with_the_model_is_refused(
    released: tuple[ModelVersion, Path], verdict: Path, tmp_path: Path, capsys: Said
) -> None:
    inside = released[1] / "issuer.key"
    inside.write_text(issuer())
    assert admit(released[1], verdict, key=str(inside)) == WRONG_CALL
    assert "it came with it" in capsys.readouterr().err
    inside.unlink()
    outside = tmp_path / "keys.txt"
    outside.write_text(f"# the installation\n{keys.log_signer().key_line}\n{issuer()}\n")
    assert admit(released[1], verdict, key=str(outside)) == ADMITTED


def test_without_a_key_a_yes_is_not_checked_and_a_no_is_no(
    world: World, released: tuple[ModelVersion, Path], verdict: Path, capsys: Said
) -> None:
    words = ["admit", str(released[1]), "--verdict", str(verdict), "--alias"]
    assert main([*words, "production"]) == NOT_CHECKED
    assert "no key was given" in capsys.readouterr().err
    assert main([*words, "staging"]) == NO


@pytest.mark.parametrize(
    "words",
    [
        ["--at", "yesterday"],
        ["--at", "2026-03-01T12:00:00"],
        ["--save", "x.json"],
        ["--key", "no key line"],
    ],
)
def test_a_wrong_call_judges_nothing(released: tuple[ModelVersion, Path], verdict: Path, words: list[str]) -> None:
    assert admit(released[1], verdict, *words) == WRONG_CALL


def test_what_is_not_there_is_a_wrong_call(released: tuple[ModelVersion, Path], verdict: Path, tmp_path: Path) -> None:
    assert admit(tmp_path / "nothing", verdict) == WRONG_CALL
    assert admit(released[1], tmp_path / "nothing.json") == WRONG_CALL
    assert main(["admit", str(released[1]), "--at", "2026-03-01T12:00:00Z", "--key", issuer()]) == WRONG_CALL


def test_a_server_that_is_not_there_is_not_checked(
    released: tuple[ModelVersion, Path], monkeypatch: pytest.MonkeyPatch, configuration: Path, capsys: Said
) -> None:
    assert main(["admit", str(released[1]), "--key", issuer()]) == WRONG_CALL
    monkeypatch.setenv("PRESSMARK_SERVER", "http://127.0.0.1:9")
    monkeypatch.setenv("PRESSMARK_TOKEN", "none")
    assert main(["admit", str(released[1]), "--key", issuer()]) == NOT_CHECKED
    assert "does not answer" in capsys.readouterr().err


def test_a_server_that_repeats_an_old_answer_is_refused(
    released: tuple[ModelVersion, Path],
    verdict: Path,
    monkeypatch: pytest.MonkeyPatch,
    configuration: Path,
    capsys: Said,
) -> None:
    from registry.client import Client

    monkeypatch.setenv("PRESSMARK_SERVER", "http://127.0.0.1:9")
    monkeypatch.setenv("PRESSMARK_TOKEN", "none")
    old = json.loads(verdict.read_bytes())
    monkeypatch.setattr(Client, "post", lambda *a, **k: old)
    assert main(["admit", str(released[1]), "--key", issuer(), "--alias", "production"]) == NO
    assert "not the answer to what was asked just now" in capsys.readouterr().err

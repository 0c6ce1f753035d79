"""`pressmark prove-consistency`: a recipient whose checkpoint is newer than the bundle gets to four times yes."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from audit import bundles, keys, offline_verify, services
from registry.access import services as access
from registry.events import Caller
from tests.cli.conftest import Pressmark
from tests.world import World


@pytest.fixture
def handed_over(served: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A bundle, and a checkpoint that is newer; the arguments of the verifier."""
    monkeypatch.chdir(tmp_path)
    row = services.issue_bundle(actor=served.cast.carla, model=served.parent_version().model)
    served.checkpoint()
    bundles.build(row, tmp_path / "bundle.zip")
    served.teams(3)
    (tmp_path / "kept.note").write_text(served.checkpoint().note)
    return ["bundle.zip", "--key", keys.log_signer().key_line, "--checkpoint", "kept.note"]


def verdict(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    return offline_verify.main(arguments), capsys.readouterr().out


def test_the_verifier_says_what_to_ask_for_and_the_verb_answers_it(
    pressmark: Pressmark, handed_over: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = verdict(handed_over, capsys)
    assert code == 3
    assert "no checkpoint from outside" not in said
    asked = re.search(r"`pressmark (prove-consistency \d+ \d+ --output) FILE`", said)
    assert asked, said
    assert pressmark("carla", *asked[1].split(), "proof.json") == 0
    assert verdict([*handed_over, "--proof", "proof.json"], capsys)[0] == 0


def test_the_sizes_may_be_read_from_the_bundle_and_the_checkpoint_in_any_order(
    pressmark: Pressmark, handed_over: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert pressmark("ada", "prove-consistency", "kept.note", "bundle.zip") == 0
    (written,) = Path().glob("pressmark-proof-*.json")
    sizes = re.fullmatch(r"pressmark-proof-(\d+)-(\d+).json", written.name)
    assert sizes
    proof = json.loads(written.read_bytes())
    assert [proof["proofs"][0]["old_size"], proof["size"]] == [int(sizes[1]), int(sizes[2])]
    assert verdict([*handed_over, "--proof", written.name], capsys)[0] == 0
    assert pressmark("ada", "prove-consistency", "kept.note", "bundle.zip") == 1
    assert "is there already" in capsys.readouterr().err


def test_the_answer_of_the_api_as_it_comes_is_a_proof_file(
    pressmark: Pressmark, handed_over: list[str], served: World, client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = re.search(r"GET (/api/v1/ledger/consistency\?old=\d+&new=\d+)", verdict(handed_over, capsys)[1])
    assert asked
    ada = served.cast.people["ada"]
    _, secret = access.create_token(actor=Caller(actor_id=ada.pk, via="cli"), person=ada)
    answer = client.get(asked[1], headers={"Authorization": f"Token {secret}"})
    Path("proof.json").write_bytes(answer.content)
    assert verdict([*handed_over, "--proof", "proof.json"], capsys)[0] == 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("nowhere", "3", "nowhere is no number and no file"),
        ("password", "3", "not a signed note"),
        ("other.zip", "3", "it holds no log/checkpoint"),
        ("3", "3", "no proof is needed"),
        ("0", "3", "There is no proof from 0 to 3"),
        ("3", "99999", "There is no proof from 3 to 99999"),
    ],
)
def test_what_is_no_size_is_said(
    pressmark: Pressmark, handed_over: list[str], capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    Path("password").write_text("not a note\n")
    with zipfile.ZipFile("other.zip", "w") as archive:
        archive.writestr("a", "b")
    assert pressmark("ada", "prove-consistency", old, new, "--output", "proof.json") == 1
    error = capsys.readouterr().err
    assert said in error
    assert "what to do" in error
    assert not Path("proof.json").exists()

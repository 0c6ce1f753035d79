"""`pressmark admit` with what a real server says: what lies here may run, or not, by exit status. Attacks: `test_admit_attacks`."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from audit import keys
from audit.admissions import Question, answer_admission
from registry import storage
from registry.catalog.models import ModelVersion
from registry.cli.main import main
from registry.release import services
from registry.release.admission import Asked
from tests.cli.conftest import Pressmark
from tests.cli.deployed import statement
from tests.world import World

Said = pytest.CaptureFixture[str]
ADMITTED, NO = 0, 1


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
    path.write_bytes(answer_admission(world.cast.otto, Question(version.digest, [], None, Asked(**asked))))
    return path


def issuer() -> str:
    return keys.issuer_signer().key_line


def admit(folder: Path, verdict: Path, *words: str, key: str | None = None, alias: str | None = "production") -> int:
    said = ["admit", str(folder), "--verdict", str(verdict), "--key", key or issuer()]
    return main([*said, *(["--alias", alias] if alias else []), *words])


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


def test_merely_approved_is_no_where_served_is_demanded(world: World, tmp_path: Path, capsys: Said) -> None:
    version = world.parent_version()
    world.granted(version)
    folder = lay_out(version, tmp_path / "model")
    verdict = kept(world, version, tmp_path / "verdict.json", alias="production")
    assert admit(folder, verdict) == ADMITTED
    assert admit(folder, verdict, "--served") == NO
    assert "no alias serves it" in capsys.readouterr().err


def test_a_no_of_the_server_stays_no_whatever_else_is_wrong(world: World, tmp_path: Path, capsys: Said) -> None:
    version = world.parent_version()
    verdict = kept(world, version, tmp_path / "verdict.json", alias="production")
    assert admit(lay_out(version, tmp_path / "model"), verdict) == NO
    assert "never approved" in capsys.readouterr().err


def test_the_form_that_attacks_start_from_is_that_of_the_server(
    world: World, released: tuple[ModelVersion, Path], verdict: Path
) -> None:
    said = json.loads(base64.b64decode(json.loads(verdict.read_bytes())["payload"]))

    def form(value: Any) -> Any:
        return {name: form(inner) for name, inner in value.items()} if isinstance(value, dict) else None

    same = form(statement())
    same["predicate"]["ledger"] = form(said["predicate"]["ledger"])  # with or without a checkpoint
    assert form(said) == same
    assert [set(row) for row in said["subject"][:2]] == [set(row) for row in statement()["subject"][:2]]
    assert said["subject"][0]["name"] == str(released[0])


def test_a_verdict_of_another_version_is_no(
    world: World, released: tuple[ModelVersion, Path], verdict: Path, tmp_path: Path, capsys: Said
) -> None:
    other = world.parent_version(released[0].model, seed=2)
    assert admit(lay_out(other, tmp_path / "other"), verdict) == NO
    assert f"What lies here is not {released[0]}" in capsys.readouterr().err

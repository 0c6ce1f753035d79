"""`pressmark pull`, `measure` and `--push`: from the registry to the serving host and back, bound to what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from registry.catalog.models import Evidence
from registry.cli.main import main
from registry.digests import canonical, sha256
from tests.cli.conftest import Pressmark
from tests.engine import nets
from tests.world import World

Said = pytest.CaptureFixture[str]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return nets.save_rows(nets.rows_for("x"), tmp_path / "rows.npz")


@pytest.fixture
def pulled(pressmark: Pressmark, tmp_path: Path) -> Path:
    """A real model that was registered and pulled again, as on a serving host."""
    nets.save(nets.mlp(), tmp_path / "made")
    (tmp_path / "made" / "labels.txt").write_text("one\ntwo\n")
    assert pressmark("ada", "register-model", "search/net") == 0
    assert pressmark("ada", "register-version", "search/net", str(tmp_path / "made"), "--licence", "MIT") == 0
    assert pressmark("otto", "pull", "search/net@1", str(tmp_path / "host")) == 0
    return tmp_path / "host"


def test_pull_leaves_the_manifest_whose_digest_is_the_versions(
    pressmark: Pressmark, pulled: Path, tmp_path: Path, capsys: Said
) -> None:
    manifest = (pulled / ".pressmark-version.json").read_bytes()
    assert pressmark("otto", "pull", "search/net@1", str(tmp_path / "again")) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"search/net@1  {sha256(manifest)}"
    assert (tmp_path / "again" / ".pressmark-version.json").read_bytes() == manifest
    assert [entry["path"] for entry in json.loads(manifest)["files"]] == ["labels.txt", "model.onnx"]


def test_what_was_measured_is_pushed_and_becomes_evidence_of_exactly_that_version(
    pressmark: Pressmark, pulled: Path, rows: Path, tmp_path: Path, served: World, capsys: Said
) -> None:
    found = tmp_path / "found.json"
    words = ["measure", str(pulled), "--data", str(rows), "--output", str(found), "--quick", "--setting", "replicas=2"]
    assert pressmark("otto", *words, "--push", "search/net@1") == 0
    said = capsys.readouterr().out
    assert "The model answers one row on 1 thread within" in said
    document = json.loads(found.read_bytes())
    assert found.read_bytes() == canonical(document)
    assert document["version_digest"] == sha256((pulled / ".pressmark-version.json").read_bytes())
    row = Evidence.objects.get(kind="target")
    assert row.version_digest == document["version_digest"]
    assert row.digest in said
    assert (
        pressmark("otto", "measure", str(found), "--push", "search/net@1") == 1
    )  # the same again is no second evidence
    refused = capsys.readouterr().err
    assert "kept already" in refused
    assert "sends it again" not in refused
    assert (
        pressmark("ada", "measure", str(found), "--push", "search/net@1") == 1
    )  # an engineer measures nothing for a target
    assert "sends it again" in capsys.readouterr().err


def test_who_may_not_keep_it_is_told_before_anything_is_measured(
    pressmark: Pressmark, pulled: Path, rows: Path, tmp_path: Path, capsys: Said
) -> None:
    found = tmp_path / "found.json"
    call = ["measure", str(pulled), "--data", str(rows), "--output", str(found), "--quick", "--push", "search/net@1"]
    assert pressmark("ada", *call) == 1
    refused = capsys.readouterr().err
    assert "needs the role operator or service account" in refused
    assert "leave --push out" in refused
    assert not found.exists()


def test_a_file_that_was_changed_on_the_host_is_not_measured_as_the_version(
    pulled: Path, rows: Path, tmp_path: Path, capsys: Said
) -> None:
    (pulled / "labels.txt").write_text("two\none\n")
    assert main(["measure", str(pulled), "--data", str(rows), "--output", str(tmp_path / "found.json"), "--quick"]) == 1
    refused = capsys.readouterr().err
    assert "labels.txt is not what the version's manifest says" in refused
    assert "Pull the version again" in refused
    assert not (tmp_path / "found.json").exists()


def test_it_is_not_pushed_to_another_version(
    pressmark: Pressmark, pulled: Path, rows: Path, tmp_path: Path, capsys: Said
) -> None:
    nets.save(nets.mlp(opset=18), tmp_path / "other")
    assert pressmark("ada", "register-version", "search/net", str(tmp_path / "other"), "--licence", "MIT") == 0
    found = tmp_path / "found.json"
    assert main(["measure", str(pulled), "--data", str(rows), "--output", str(found), "--quick"]) == 0
    assert pressmark("otto", "measure", str(found), "--push", "search/net@2") == 1
    assert "What was measured is sha256:" in capsys.readouterr().err
    assert not Evidence.objects.filter(kind="target").exists()


def test_slips_are_told_in_plain_words(rows: Path, tmp_path: Path, configuration: Path, capsys: Said) -> None:
    nets.save(nets.mlp(), tmp_path / "net")
    (tmp_path / "no.json").write_text("[]")
    call = [str(tmp_path / "net"), "--data", str(rows), "--output", str(tmp_path / "found.json")]
    for words, reason in (
        ([str(tmp_path / "net")], "needs rows"),
        ([str(tmp_path / "none"), *call[1:]], "no model file"),
        ([*call, "--setting", "replicas"], "is not NAME=VALUE"),
        ([*call, "--setting", "Replicas=2"], "cannot be kept"),
        ([*call, "--setting", "a=1", "--setting", "a=2"], "stands twice"),
        ([*call, "--provider", "NoSuchProvider"], "no execution provider"),
        ([*call, "--plan", str(tmp_path / "none.json")], "no file"),
        ([*call, "--push", "net"], "No server and token"),
        ([str(tmp_path / "no.json")], "was measured before"),
        ([str(tmp_path / "no.json"), "--push", "search/net@1"], "No server"),
    ):
        assert main(["measure", *words]) == 1, words
        said = capsys.readouterr().err
        assert reason in said, words
        assert "what to do:" in said
        assert "Traceback" not in said
    assert not (tmp_path / "found.json").exists()
    (tmp_path / "found.json").write_text("mine")
    assert main(["measure", *call]) == 1
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "found.json").read_text() == "mine"

"""What lies in a folder, file by file: nothing is followed out of it or left out, and what no version can hold is refused."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from audit.admission_verdict import ALONE
from registry.cli.deployed_files import NotDeployable, read


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "deployed"
    (made / "onnx").mkdir(parents=True)
    (made / "onnx" / "model.onnx").write_bytes(b"weights")
    (made / "config.json").write_bytes(b"{}")
    return made


def test_every_file_counts_hidden_ones_included_and_the_manifest_stands_apart(folder: Path) -> None:
    (folder / ".hidden").write_bytes(b"h")
    (folder / ".pressmark-version.json").write_bytes(b"m")
    (folder / "onnx" / ".pressmark-version.json").write_bytes(b"not at the top")
    (folder / "empty").mkdir()
    lying = read(folder)
    assert lying.manifest == digest(b"m")
    assert lying.files == {
        ".hidden": digest(b"h"), "config.json": digest(b"{}"), "onnx/model.onnx": digest(b"weights"),
        "onnx/.pressmark-version.json": digest(b"not at the top"),
    }  # fmt: skip
    assert read(folder / "config.json").files == {ALONE: digest(b"{}")}


def deep(folder: Path) -> None:
    """Deeper than any path of a version is long."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(400):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def many(folder: Path) -> None:
    for number in range(10_002):
        os.link(folder / "config.json", folder / f"f{number}")


WAYS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link to a file": (lambda f: (f / "again").symlink_to(f / "config.json"), "'again' is a link"),
    "a link to a folder": (lambda f: (f / "again").symlink_to(f), "'again' is a link"),
    "a dangling link": (lambda f: (f / "onnx" / "again").symlink_to("/nowhere"), "'onnx/again' is a link"),
    "a pipe": (lambda f: os.mkfifo(f / "pipe"), "neither a file nor a folder"),
    "names that differ in case": (lambda f: (f / "CONFIG.json").write_bytes(b"{}"), "config.json"),
    "a name that no version has": (lambda f: (f / "a\nb").write_bytes(b""), "'a\\nb' is a name that no file"),
    "a name of a Windows device": (lambda f: (f / "nul.txt").write_bytes(b""), "'nul.txt' is a name that no file"),
    "a folder of such a name": (lambda f: (f / "con").mkdir(), "'con' is a name that no folder"),
    "folders without end": (deep, "is a name that no folder of a version has"),
    "more files than any version": (many, "more than 10,000 files"),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_no_version_can_hold_is_refused_in_one_sentence(folder: Path, way: str) -> None:
    make, said = WAYS[way]
    make(folder)
    with pytest.raises(NotDeployable) as refused:
        read(folder)
    assert said in str(refused.value)
    assert len(str(refused.value)) < 700


def test_nothing_lies_in_an_empty_folder_and_a_link_to_one_is_no_folder(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotDeployable, match="holds no file"):
        read(tmp_path / "empty")
    (tmp_path / "current").symlink_to(folder)
    with pytest.raises(NotDeployable, match="is a link"):
        read(tmp_path / "current")

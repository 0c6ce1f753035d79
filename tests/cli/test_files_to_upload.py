"""Which files of a folder are uploaded: its own, and nothing that a link in it leads to; refused before the first byte is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.cli.remote_register_version import files_of
from registry.errors import Invalid


def test_every_file_below_a_folder_is_uploaded_but_hidden_ones(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    for name in ("b.onnx", "a/c.json", ".hidden"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    assert files_of(folder) == [folder / "a" / "c.json", folder / "b.onnx"]
    assert files_of(folder / "b.onnx") == [folder / "b.onnx"]


@pytest.mark.parametrize("kind", ["file", "folder", "nothing"])
def test_a_link_in_the_folder_is_refused_for_it_may_lead_to_what_nobody_meant_to_send(
    tmp_path: Path, kind: str
) -> None:
    secret = tmp_path / "secret"
    (folder := tmp_path / "model").mkdir()
    (folder / "model.onnx").write_text("x")
    if kind == "folder":
        secret.mkdir()
    elif kind == "file":
        secret.write_text("the key")
    (folder / "weights.onnx").symlink_to(secret)
    with pytest.raises(Invalid, match=r"weights\.onnx is a link") as refused:
        files_of(folder)
    assert "cp -rL" in refused.value.hint


def test_names_and_numbers_that_no_version_has_are_refused_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "odd\nname.onnx").write_text("x")
    with pytest.raises(Invalid, match="no allowed path"):
        files_of(tmp_path)
    (many := tmp_path / "many").mkdir()
    for number in range(10_001):
        (many / f"{number}").touch()
    with pytest.raises(Invalid, match="10001 files"):
        files_of(many)

"""A folder to go on from that somebody changed by hand, or that two attempts share, never decides what a child is."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from compression_engine.canonical import CanonicalError, canonical, parse_canonical
from compression_engine.errors import EngineError
from compression_engine.steps import self_told, work_files
from compression_engine.training import keeping
from tests.engine.learning import Weights, handed, learned, place, same
from tests.engine.test_resume_points import SHORT, Killed, killed_at

Tensors = dict[str, torch.Tensor]
POINT = "step-1-0.json"


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the point of an attempt that was killed in its second epoch; the tests take copies."""
    folder = tmp_path_factory.mktemp("killed")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(keeping, "_SHARE_OF_TIME", float("inf"))
        learned(handed(folder, resume=place(folder / "points")), schedule=SHORT, after_update=killed_at(14))
    return folder / "points"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """The weights of an attempt that nothing interrupted."""
    return learned(handed(tmp_path_factory.mktemp("whole")), schedule=SHORT)[0]


@pytest.fixture
def points(killed: Path, tmp_path: Path) -> Path:
    """A copy of the killed attempt's folder."""
    return Path(shutil.copytree(killed, tmp_path / "points"))


def gone_on(folder: Path) -> Weights:
    """The weights of the next attempt."""
    return learned(handed(folder.parent, resume=place(folder)), schedule=SHORT)[0]


def with_tensors(folder: Path, change: Callable[[Tensors], Tensors]) -> None:
    """Other tensors, with every digest written anew, as one does who knows the form."""
    path = folder / POINT
    document = self_told.document_of(path.read_bytes(), "pressmark/resume_point/2")
    partial = folder / "changed"
    save_file(change(load_file(folder / document["tensors"])), partial)
    document["tensors"] = f"step-1-0-{hashlib.sha256(partial.read_bytes()).hexdigest()}.safetensors"
    partial.rename(folder / document["tensors"])
    path.write_bytes(self_told.bytes_of(document))


@pytest.mark.parametrize(
    "facts", [{}, {"best": 99}, {"points": "none"}, {"epoch": -5}, {"total": "much"}, {"begun": 1}]
)
def test_facts_that_were_changed_by_hand_are_not_gone_on_from(
    points: Path, whole: Weights, facts: dict[str, Any]
) -> None:
    path = points / POINT
    document = parse_canonical(path.read_bytes())
    document["facts"] = document["facts"] | facts if facts else {}
    path.write_bytes(canonical(document))
    assert same(gone_on(points), whole)


@pytest.mark.parametrize("kind", ["now/", "best/", "momenta/"])
@pytest.mark.parametrize("how", ["shape", "stranger", "missing"])
def test_tensors_that_are_none_of_this_training_are_not_gone_on_from(
    points: Path, whole: Weights, kind: str, how: str
) -> None:
    def change(tensors: Tensors) -> Tensors:
        mine = {name for name, value in tensors.items() if name.startswith(kind) and value.ndim > 1}
        if how == "missing" and kind != "momenta/":
            return {name: value for name, value in tensors.items() if name not in mine}
        if how == "shape":
            return {name: value[:1].clone() if name in mine else value for name, value in tensors.items()}
        return tensors | {f"{kind}weight/stranger/exp_avg": torch.zeros(3)}

    with_tensors(points, change)
    assert same(gone_on(points), whole)


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_plain_file_is_refused_and_not_waited_for(points: Path, kind: str) -> None:
    (points / POINT).unlink()
    (points / POINT).mkdir() if kind == "folder" else os.mkfifo(points / POINT)
    with pytest.raises(EngineError) as caught:
        gone_on(points)
    assert caught.value.code == "work_differs"


def test_a_document_that_was_changed_is_told_apart() -> None:
    data = self_told.bytes_of({"a": 1, "type": "kind"})
    assert self_told.document_of(data, "kind") == {"a": 1, "type": "kind"}
    for other in (data.replace(b"1", b"2", 1), canonical({"a": 1, "type": "kind"}), data[:-1]):
        with pytest.raises(CanonicalError):
            self_told.document_of(other, "kind")
    with pytest.raises(CanonicalError):
        self_told.document_of(data, "other")


def test_two_attempts_are_not_in_one_folder_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_files, "_SECONDS_WAITED", 0.0)
    folder = tmp_path / "resume"
    with work_files.alone_in(folder), pytest.raises(EngineError) as caught, work_files.alone_in(folder):
        pass
    assert caught.value.code == "work_differs"
    with work_files.alone_in(folder):
        assert list(folder.iterdir()) == []

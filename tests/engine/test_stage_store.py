"""What a finished stage gave is found again after a kill, and only by those whom it belongs to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from compression_engine.canonical import digest_of
from compression_engine.errors import EngineError
from compression_engine.stage_store import StageStore

INPUTS = digest_of(b"rows of one corruption")


def test_what_was_put_is_found_again_by_another_process(tmp_path: Path) -> None:
    StageStore(tmp_path / "stages", "one").put("robustness", INPUTS, b"\x00scores")
    assert StageStore(tmp_path / "stages", "one").get("robustness", INPUTS) == b"\x00scores"


@pytest.mark.parametrize(
    ("identity", "stage", "inputs"),
    [
        ("two", "robustness", INPUTS),
        ("one", "calibration", INPUTS),
        ("one", "robustness", digest_of(b"rows of another corruption")),
    ],
)
def test_another_evaluation_stage_or_input_finds_nothing(
    tmp_path: Path, identity: str, stage: str, inputs: str
) -> None:
    StageStore(tmp_path, "one").put("robustness", INPUTS, b"scores")
    assert StageStore(tmp_path, identity).get(stage, inputs) is None


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "of another key"])
def test_what_is_not_what_was_written_is_thrown_away_and_made_again(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "stages"
    store = StageStore(folder)
    store.put("robustness", INPUTS, b"scores of rows")
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    if damage == "of another key":
        store.put("robustness", digest_of(b"else"), b"scores of other rows")
        (other,) = set(folder.iterdir()) - {path}
        other.rename(path)
    else:
        path.write_bytes({"cut": whole[:-1], "changed": whole[:-1] + b"!", "empty": b""}[damage])
    assert store.get("robustness", INPUTS) is None
    assert not path.exists()
    store.put("robustness", INPUTS, b"scores of rows")
    assert store.get("robustness", INPUTS) == b"scores of rows"


@pytest.mark.parametrize("what", ["the stage", "what is written beside it", "the folder"])
def test_a_link_is_not_followed(tmp_path: Path, what: str) -> None:
    stranger, folder = tmp_path / "of-somebody-else", tmp_path / "stages"
    StageStore(folder).put("robustness", INPUTS, b"scores")
    (path,) = folder.iterdir()
    if what == "the folder":
        folder.rename(stranger)
        folder.symlink_to(stranger)
        with pytest.raises(EngineError, match="is a link") as refused:
            StageStore(folder)
        assert refused.value.code == "work_differs"
        return
    store = StageStore(folder)
    stranger.write_bytes(path.read_bytes())
    if what == "the stage":
        path.unlink()
        path.symlink_to(stranger)
        with pytest.raises(EngineError, match="is a link"):
            store.get("robustness", INPUTS)
    else:
        path.with_suffix(".stage.partial").symlink_to(stranger)
        with pytest.raises(EngineError, match="is a link"):
            store.put("robustness", INPUTS, b"other scores")
        assert stranger.read_bytes() == path.read_bytes()


def test_nothing_is_kept_where_there_is_no_folder() -> None:
    store = StageStore()
    store.put("robustness", INPUTS, b"scores")
    assert store.get("robustness", INPUTS) is None


def test_empty_bytes_are_kept_too(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    store.put("robustness", INPUTS, b"")
    assert store.get("robustness", INPUTS) == b""


def test_a_kill_between_puts_leaves_whole_stages_alone(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from compression_engine.stage_store import StageStore\n"
        "store = StageStore(Path(sys.argv[1]))\n"
        "for number in range(10_000):\n"
        "    store.put('stage', str(number), b'%d' % number * 10_000)\n"
        "    print(number, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(20)]
        os.kill(child.pid, signal.SIGKILL)
    store = StageStore(tmp_path)
    assert [store.get("stage", str(number)) for number in told] == [b"%d" % number * 10_000 for number in told]

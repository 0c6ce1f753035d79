"""Resume points: an attempt that is killed goes on to the same bytes; what does not belong or is damaged is never gone on with."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compression_engine.canonical import canonical, parse_canonical
from compression_engine.errors import EngineError
from compression_engine.progress import silent
from compression_engine.steps.step_states import State, StepStates
from compression_engine.training import keeping
from compression_engine.training.resume import ResumePoint
from tests.engine.killed import run_and_kill
from tests.engine.learning import FAST, Weights, handed, learned, net, place, same

ROOT = Path(__file__).resolve().parents[2]
SHORT = replace(FAST, epochs=2, batch_size=32)
UPDATES = 18


class Killed(BaseException):
    """Stands for a signal that nothing catches."""


def killed_at(update: int) -> Any:
    """A hook that ends training after so many updates."""
    count = [0]

    def hook() -> None:
        count[0] += 1
        if count[0] == update:
            raise Killed

    return hook


@pytest.fixture
def points_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points are written after every update, however long that takes."""
    monkeypatch.setattr(keeping, "_SHARE_OF_TIME", float("inf"))


def counted(folder: Path, place: ResumePoint | None, **settings: Any) -> tuple[Weights, int]:
    """The weights after a training, and how many updates were made for them."""
    count = [0]

    def hook() -> None:
        count[0] += 1

    weights, _ = learned(handed(folder, resume=place), schedule=SHORT, after_update=hook, **settings)
    return weights, count[0]


@pytest.mark.parametrize(
    ("update", "optimiser"), [(1, "adamw"), (8, "adamw"), (9, "sgd"), (10, "adamw"), (14, "sgd"), (18, "adamw")]
)
@pytest.mark.usefixtures("points_at_once")
def test_an_attempt_that_was_killed_goes_on_to_the_same_bytes(tmp_path: Path, update: int, optimiser: str) -> None:
    schedule = replace(SHORT, optimiser=optimiser)
    whole, curve = learned(handed(tmp_path), schedule=schedule)
    training = handed(tmp_path, resume=place(tmp_path / "points"))
    with pytest.raises(Killed):
        learned(training, schedule=schedule, after_update=killed_at(update))
    hook = killed_at(UPDATES - update + 2)
    again, curve_again = learned(training, schedule=schedule, after_update=hook)
    assert same(again, whole)
    assert curve_again == curve


@pytest.mark.usefixtures("points_at_once")
def test_an_attempt_that_is_killed_again_and_again_comes_to_the_same_bytes(tmp_path: Path) -> None:
    whole, _ = learned(handed(tmp_path), schedule=SHORT)
    training = handed(tmp_path, resume=place(tmp_path / "points"))
    attempts = 0
    while True:
        attempts += 1
        try:
            weights, _ = learned(training, schedule=SHORT, after_update=killed_at(4))
        except Killed:
            continue
        break
    assert same(weights, whole)
    assert attempts == 6  # three updates are kept of each attempt but the last


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    kept = place(tmp_path / "points")
    first, updates = counted(tmp_path, kept)
    assert updates == UPDATES
    again, updates = counted(tmp_path, kept)
    assert updates == 0
    assert same(first, again)
    assert len(list((tmp_path / "points").iterdir())) == 2


def test_several_trainings_of_one_step_have_points_of_their_own(tmp_path: Path) -> None:
    from compression_engine.training.loop import Beside

    kept = place(tmp_path / "points")
    one, _ = counted(tmp_path, kept, beside=lambda given: Beside(phase=0))
    two, updates = counted(tmp_path, kept, beside=lambda given: Beside(phase=1))
    assert updates == UPDATES
    assert not same(one, two)  # another order of rows
    assert counted(tmp_path, kept, beside=lambda given: Beside(phase=0))[1] == 0
    assert counted(tmp_path, kept, beside=lambda given: Beside(phase=1))[1] == 0


@pytest.mark.parametrize(
    "change", [{"parent": "q"}, {"recipe": "q"}, {"rows": "q"}, {"teacher": "q"}, {"student": "q"}, {"plan": "q"}]
)
def test_a_point_of_another_run_is_refused_and_stays(tmp_path: Path, change: dict[str, str]) -> None:
    counted(tmp_path, place(tmp_path / "points"))
    before = {path.name: path.read_bytes() for path in (tmp_path / "points").iterdir()}
    with pytest.raises(EngineError) as caught:
        counted(tmp_path, place(tmp_path / "points", **change))
    assert caught.value.code == "resume_differs"
    assert {path.name: path.read_bytes() for path in (tmp_path / "points").iterdir()} == before


def changed_facts(folder: Path, **changes: Any) -> None:
    path = folder / "step-1-0.json"
    path.write_bytes(canonical(parse_canonical(path.read_bytes()) | changes))


@pytest.mark.parametrize("damage", ["tensors", "cut", "gone", "facts", "empty", "older", "begun", "elsewhere"])
def test_what_is_damaged_or_of_another_engine_is_told_and_not_used(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "points"
    whole, _ = counted(tmp_path, place(folder))
    tensors = next(folder.glob("*.safetensors"))
    data = bytearray(tensors.read_bytes())
    if damage == "tensors":
        data[-3] ^= 1
        tensors.write_bytes(data)
    elif damage == "cut":
        tensors.write_bytes(data[: len(data) // 2])
    elif damage == "gone":
        tensors.unlink()
    elif damage == "facts":
        (folder / "step-1-0.json").write_bytes(b'{"type":"pressmark/resume_point/1"')
    elif damage == "empty":
        (folder / "step-1-0.json").write_bytes(b"")
    elif damage == "older":
        changed_facts(folder, surroundings="sha256:" + "0" * 64)
    elif damage == "begun":
        changed_facts(folder, start="sha256:" + "0" * 64)
    else:
        changed_facts(folder, tensors="../rows.npz")
    told: list[str] = []
    weights, updates = counted(tmp_path, place(folder), progress=lambda *line: told.append(line[3]))
    assert updates == UPDATES
    assert same(weights, whole)
    assert [line for line in told if "training begins anew" in line]


def test_other_weights_at_the_beginning_do_not_take_up_a_point(tmp_path: Path) -> None:
    kept = place(tmp_path / "points")
    counted(tmp_path, kept)
    weights, updates = counted(tmp_path, kept, model=net(seed=3))
    assert updates == UPDATES
    assert same(weights, counted(tmp_path, None, model=net(seed=3))[0])


def test_a_link_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "points", tmp_path / "outside"
    counted(tmp_path, place(folder))
    (folder / "step-1-0.json").rename(outside)
    (folder / "step-1-0.json").symlink_to(outside)
    with pytest.raises(EngineError) as caught:
        counted(tmp_path, place(folder))
    assert caught.value.code == "work_differs"


def test_writing_points_takes_a_small_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = []
    original = ResumePoint.save

    def save(self: ResumePoint, *given: Any) -> None:
        saved.append(1)
        original(self, *given)

    monkeypatch.setattr(ResumePoint, "save", save)
    begun = time.monotonic()
    counted(tmp_path, place(tmp_path / "points"))
    # the first is due after half a second, and one is written at the end
    assert len(saved) <= 1 + (time.monotonic() - begun) / 0.5


def compressed(folder: Path, output: str, points: Path | None) -> list[str]:
    """The call that trains the net of `prepared` by the real command line."""
    call = [sys.executable, "-m", "compression_engine", "compress", str(folder / "model.onnx")]
    call += ["--recipe", str(folder / "recipe.json"), "--training", str(folder / "rows.npz")]
    call += ["--output", str(folder / output)]
    return call if points is None else [*call, "--resume", str(points)]


def prepared(folder: Path, epochs: int) -> None:
    handed(folder)
    parameters = [{"name": "epochs", "value": epochs}, {"name": "batch_size", "value": 4}]
    step = {"method": "fine_tune", "parameters": parameters}
    (folder / "recipe.json").write_bytes(
        canonical({"name": "longer", "seed": 3, "steps": [step], "type": "pressmark/recipe/1"})
    )


def killed(call: list[str], until: Any) -> bool:
    """Runs a call and kills it as soon as `until` says so; whether it was."""
    process = subprocess.Popen(call, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            if until():
                process.kill()
                process.wait()
                return True
            time.sleep(0.01)
        assert process.returncode == 0
        return False
    finally:
        process.kill()
        process.wait()


@pytest.mark.long
def test_a_worker_that_is_killed_leaves_what_the_next_one_goes_on_from(tmp_path: Path) -> None:
    prepared(tmp_path, epochs=3)
    points = tmp_path / "points"
    run_and_kill(compressed(tmp_path, "a.onnx", points)[3:], step=1, points=100)  # of 68 updates an epoch
    assert list(points.rglob("step-1-0.json"))
    assert not (tmp_path / "a.onnx").exists()
    call = [*compressed(tmp_path, "a.onnx", points), "--json"]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "going on in epoch" in done.stdout + done.stderr
    assert not list((points / "training").iterdir())  # nobody goes on inside of a step that is finished
    subprocess.run(compressed(tmp_path, "b.onnx", None), cwd=ROOT, capture_output=True, check=True)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


class Moment:
    """Some time after a point was written, drawn at random."""

    def __init__(self, points: Path, draw: random.Random) -> None:
        self.points, self.wait = points, draw.uniform(0, 1.5)
        self.before = self.written()
        self.end: float | None = None

    def written(self) -> dict[str, bytes]:
        """The points as they lie there."""
        return {path.name: path.read_bytes() for path in self.points.rglob("step-1-0.json")}

    def __call__(self) -> bool:
        if self.end is None and self.written() != self.before:
            self.end = time.monotonic() + self.wait
        return self.end is not None and time.monotonic() >= self.end


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_a_worker_that_is_killed_at_any_moments_comes_to_the_same_bytes(tmp_path: Path, seed: int) -> None:
    prepared(tmp_path, epochs=300)
    draw, points, kills = random.Random(seed), tmp_path / "points", 0
    while kills < 6 and killed(compressed(tmp_path, "a.onnx", points), Moment(points, draw)):
        kills += 1
    assert kills > 1
    if not (tmp_path / "a.onnx").exists():
        subprocess.run(compressed(tmp_path, "a.onnx", points), cwd=ROOT, capture_output=True, check=True)
    subprocess.run(compressed(tmp_path, "b.onnx", None), cwd=ROOT, capture_output=True, check=True)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_points_that_a_finished_step_left_behind_when_it_was_killed_go(tmp_path: Path) -> None:
    StepStates(tmp_path / "work", {"parent": "p"}, "cpu").keep(1, State(net(), {"method": "fine_tune"}, []))
    again = StepStates(tmp_path / "work", {"parent": "p"}, "cpu")
    again.training.mkdir()
    for name in ("step-1-0.json", "step-1-0-ab.safetensors", "step-2-0.json"):
        (again.training / name).write_bytes(b"left")
    found = again.read(1, silent)
    assert found is not None
    assert found.record == {"method": "fine_tune"}
    assert [path.name for path in again.training.iterdir()] == ["step-2-0.json"]

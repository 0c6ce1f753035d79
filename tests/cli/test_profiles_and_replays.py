"""`pressmark profile-dataset` and `pressmark replay-version` over a real server, with a worker beside."""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from compression_engine.formats import onnx_io
from compression_engine.pipeline import compress, make
from compression_engine.progress import silent
from compression_engine.recipe import shipped_recipes
from registry import storage
from registry.catalog.models import ModelVersion
from registry.compression import execution, profiling
from registry.compression import queries as compression
from registry.compression.models import Run
from registry.provenance.models import DataProfile
from tests.cli.conftest import Pressmark
from tests.world import World

Said = pytest.CaptureFixture[str]
ROWS = [{"a": number, "label": "yes" if number % 2 else "no"} for number in range(40)]


class WorkerBeside:
    """Works on the first thing that waits, as the worker of an installation does."""

    def __init__(self, waiting: Callable[[], Any], work: Callable[[uuid.UUID], bool]) -> None:
        self._waiting, self._work = waiting, work
        self._thread = threading.Thread(target=self._act)
        self._thread.start()

    def _act(self) -> None:
        try:
            end = time.monotonic() + 60
            while time.monotonic() < end and not (row := self._waiting()):
                time.sleep(0.1)
            assert row is not None
            self._work(row.pk)
        finally:
            connections.close_all()

    def join(self) -> None:
        self._thread.join()


def profiler() -> WorkerBeside:
    return WorkerBeside(lambda: DataProfile.objects.filter(finished_at=None).first(), profiling.execute)


def replayer() -> WorkerBeside:
    return WorkerBeside(lambda: Run.objects.filter(state="queued", kind="replay").first(), execution.execute)


def registering(model: object, made: Path, result: Path, parent: ModelVersion) -> list[str]:
    """The call that registers what a shell made of `parent`, with its result."""
    return [
        "register-version",
        str(model),
        str(made),
        "--licence",
        "MIT",
        "--result",
        str(result),
        "--base",
        str(parent),
    ]


def test_a_profile_is_asked_for_and_waits(pressmark: Pressmark, served: World, capsys: Said) -> None:
    version = served.dataset_version(ROWS)
    assert pressmark("ada", "profile-dataset", served.reference(version), "--label", "label") == 0
    assert f"of {served.reference(version)} is waiting for a worker." in capsys.readouterr().out
    assert DataProfile.objects.get().settings["label"] == "label"


def test_a_profile_is_watched_and_told(pressmark: Pressmark, served: World, capsys: Said) -> None:
    version = served.dataset_version([*ROWS, ROWS[1]])
    training = served.dataset_version(ROWS[:3], uses=("training",))
    worker = profiler()
    words = ["--against", served.reference(training), "--wait"]
    assert pressmark("ada", "profile-dataset", served.reference(version), *words) == 0
    worker.join()
    said = capsys.readouterr().out
    assert f"{served.reference(version)}, 41 rows" in said
    assert "duplicates, by line: 2 and 41" in said
    assert "1 is 1 there; 2 is 2 there; 3 is 3 there" in said
    last = "Conclusion: look first at repeated rows (1), rows that stand in other data (4)."
    assert said.splitlines()[-1] == last


def test_a_profile_that_fails_says_why_and_one_as_json_is_whole(
    pressmark: Pressmark, served: World, capsys: Said
) -> None:
    version = served.dataset_version(ROWS)
    worker = profiler()
    assert pressmark("ada", "profile-dataset", served.reference(version), "--label", "nobody", "--wait") == 1
    worker.join()
    assert "label_missing" in capsys.readouterr().out
    worker = profiler()
    assert pressmark("ada", "profile-dataset", served.reference(version), "--json") == 0
    worker.join()
    assert json.loads(capsys.readouterr().out)["document"]["type"] == "pressmark/data_profile/1"


def test_what_differs_is_named_with_another_exit_status(pressmark: Pressmark, served: World, capsys: Said) -> None:
    child = served.executed_child(served.version())
    worker = replayer()
    assert pressmark("ada", "replay-version", str(child), "--wait") == 1
    worker.join()
    assert "differs. Made again, the model differs: the tensor" in capsys.readouterr().out


def test_what_a_shell_made_is_registered_with_its_recipe_and_a_replay_ends_with_the_outcome_as_status(
    pressmark: Pressmark, served: World, capsys: Said, tmp_path: Path
) -> None:
    parent, model = served.version(), served.model("elsewhere")
    source = tmp_path / "parent.onnx"
    source.write_bytes(storage.read_bytes(parent.artifacts.get(role="weights").digest))
    recipe = shipped_recipes()["smaller-same-speed"].recipe
    made = tmp_path / "model.onnx"
    output = onnx_io.save(make(onnx_io.load(source), recipe, silent).model, made)
    result = tmp_path / "RESULT.json"
    told = {"command": "compress", "recipe": recipe.document(), "parent": {"digest": parent.artifacts.get().digest}}
    result.write_text(json.dumps(told | {"outputs": [{"digest": output}], "data": []}))
    words = ["register-version", str(model), str(made), "--licence", "MIT", "--result", str(result)]
    assert pressmark("ada", *words, "--base", str(served.version(seed=3))) == 1
    assert "about another parent" in capsys.readouterr().err
    assert pressmark("ada", *words, "--base", str(parent)) == 0
    said = capsys.readouterr().out
    child = ModelVersion.objects.get(model=model)
    (edge,) = child.parent_edges.all()
    assert (edge.parent, edge.operations, edge.grade) == (parent, ["quantized"], "declared")
    (command,) = re.findall(r"pressmark (replay-version [^`]*)", said)
    worker = replayer()
    assert pressmark("ada", *command.split(), "--wait") == 0
    worker.join()
    assert f"{child}: bit-exact. Made again, the model is the same to the byte" in capsys.readouterr().out
    assert pressmark("ada", *command.split()) == 0
    assert "is queued." in capsys.readouterr().out
    edge.refresh_from_db()
    assert edge.grade == "re-derived"
    result.write_text(json.dumps(told | {"outputs": [{"digest": "sha256:" + "0" * 64}], "data": []}))
    assert pressmark("ada", *words, "--base", str(parent)) == 1
    assert "about other bytes" in capsys.readouterr().err
    result.write_text("{}")
    assert pressmark("ada", *words, "--base", str(parent)) == 1
    assert "does not say" in capsys.readouterr().err


def test_rows_licence_and_map_of_what_a_shell_made_hold_when_it_is_made_again(
    pressmark: Pressmark, served: World, capsys: Said, tmp_path: Path
) -> None:
    parent, model, rows = served.version(), served.model("elsewhere"), served.arrays_dataset(uses=("calibration",))
    (tmp_path / "parent.onnx").write_bytes(storage.read_bytes(parent.artifacts.get(role="weights").digest))
    (tmp_path / "rows.npz").write_bytes(storage.read_bytes(rows.digest))
    licence = str(parent.licence)
    compress(
        tmp_path / "parent.onnx", shipped_recipes()["smallest-4-bit"].recipe, output_folder=tmp_path / "made",
        calibration=tmp_path / "rows.npz", licence=licence,
    )  # fmt: skip
    made, result = tmp_path / "made" / "parent.onnx", tmp_path / "made" / "RESULT.json"
    words = registering(model, made, result, parent)
    assert pressmark("ada", *words) == 1
    assert "A step looked at rows" in capsys.readouterr().err
    named = f"{rows.dataset.team.slug}/{rows}"
    assert pressmark("ada", *words, "--data", named) == 0
    said = capsys.readouterr().out
    (command,) = re.findall(r"pressmark (replay-version [^`]*)", said)
    assert command.endswith(f" --calibration {named}")
    assert "The file says that its parent is under" not in said
    child = ModelVersion.objects.get(model=model)
    again = Run.objects.filter(rederives=child)
    assert compression.map_in(again) == []  # nobody but its maker has said anything yet
    worker = replayer()
    assert pressmark("ada", *command.split(), "--wait") == 0
    worker.join()
    assert f"{child}: bit-exact." in capsys.readouterr().out
    told = json.loads(result.read_text("utf-8"))
    assert compression.map_in(again.all()) == told["quantization_map"] != []
    assert {one["dtype"] for one in told["quantization_map"]} == {"int4"}
    assert told["licence"] == licence


def test_a_licence_in_the_file_that_is_not_the_one_stated_here_is_told_at_once(
    pressmark: Pressmark, served: World, capsys: Said, tmp_path: Path
) -> None:
    parent, model = served.version(), served.model("elsewhere")
    (tmp_path / "parent.onnx").write_bytes(storage.read_bytes(parent.artifacts.get(role="weights").digest))
    recipe = shipped_recipes()["smaller-same-speed"].recipe
    compress(tmp_path / "parent.onnx", recipe, output_folder=tmp_path / "made", licence="LicenseRef-other")
    made, result = tmp_path / "made" / "parent.onnx", tmp_path / "made" / "RESULT.json"
    words = registering(model, made, result, parent)
    assert pressmark("ada", *words) == 0
    assert "The file says that its parent is under LicenseRef-other" in capsys.readouterr().out


def test_what_no_run_made_is_refused(pressmark: Pressmark, served: World, capsys: Said) -> None:
    assert pressmark("ada", "replay-version", str(served.version())) == 1
    assert "not made by a run" in capsys.readouterr().err

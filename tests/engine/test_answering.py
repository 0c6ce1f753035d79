"""Answers of several models to the same rows: streamed, gone on with after a kill, along sequences with carried state."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from compression_engine.answers.answering import answer, identity_of, usable
from compression_engine.answers.outputs import Outputs
from compression_engine.data import Encoder, Feed, read_rows
from compression_engine.errors import DataError, EngineError
from compression_engine.plan import Plan, State
from compression_engine.runtime import Model
from tests.engine import nets

CLASSES = Plan(task="classification", inputs=(("x", "x"),), label="label", slices=("group",))


class Counting(Model):
    """A model that counts the rows it was asked for."""

    asked = 0

    def run(self, feed: Feed) -> list[np.ndarray]:
        self.asked += len(feed["x"])
        return super().run(feed)


def labelled(folder: Path, count: int = 100) -> Path:
    """Rows for the small perceptron with a label (one of them impossible) and a group."""
    label = np.arange(count) % 48
    label[7] = 99
    return nets.save_rows(
        nets.rows_for("x", count) | {"label": label, "group": np.arange(count) % 3}, folder / "rows.npz"
    )


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".values", ".sizes")}


def opened(tmp_path: Path) -> tuple[dict[str, Model], Encoder]:
    version, parent = nets.mlp(), nets.mlp()
    bias = next(tensor for tensor in version.graph.initializer if tensor.name == "second_bias")
    bias.raw_data = np.linspace(-1, 1, 48).astype(np.float32).tobytes()
    models: dict[str, Model] = {
        role: Counting(nets.save(net, tmp_path / role), 1) for role, net in (("version", version), ("parent", parent))
    }
    encoder = Encoder(read_rows(labelled(tmp_path), CLASSES), models["version"].inputs(), None, CLASSES)
    return models, usable(models, encoder, CLASSES)


def test_every_model_answers_the_same_rows_beside_labels_and_slices(tmp_path: Path) -> None:
    models, encoder = opened(tmp_path)
    assert encoder.rows.broken == ("row 8: label 99 is no class of 48",)
    outputs = answer(models, encoder, CLASSES, folder=tmp_path / "work")
    assert len(outputs) == 99
    rows = np.delete(nets.rows_for("x", 100)["x"], 7, axis=0)
    for role in ("version", "parent"):
        expected = nets.answer(tmp_path / role / "model.onnx", {"x": rows})[0]
        assert np.allclose(outputs.answer(role).values, expected, atol=1e-5)
    assert not np.array_equal(outputs.answer("version").values, outputs.answer("parent").values)
    assert outputs.labels is not None
    assert outputs.labels.values[:9].tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    assert outputs.slices["group"].values == ("0", "1", "2")
    assert len(outputs.slices["group"].codes) == 99
    assert outputs.inputs["group"].tolist()[:3] == [0, 1, 2]


def test_what_was_answered_is_not_answered_again(tmp_path: Path) -> None:
    models, encoder = opened(tmp_path)
    answer(models, encoder, CLASSES, folder=tmp_path / "work")
    before = models["version"].asked  # type: ignore[attr-defined]
    answer(models, encoder, CLASSES, folder=tmp_path / "work")
    again = models["version"].asked - before  # type: ignore[attr-defined]
    assert again <= 2 * 16  # which output, how many classes: no row for its answer


def test_a_model_in_two_roles_answers_once(tmp_path: Path) -> None:
    models, encoder = opened(tmp_path)
    answer(models, encoder, CLASSES, folder=tmp_path / "two")
    before = models["parent"].asked  # type: ignore[attr-defined]
    outputs = answer(models | {"first": models["parent"]}, encoder, CLASSES, folder=tmp_path / "three")
    assert models["parent"].asked - before <= 99 + 4 * 16  # type: ignore[attr-defined]
    assert np.array_equal(outputs.answer("first").values, outputs.answer("parent").values)


def test_a_folder_of_other_answers_is_refused(tmp_path: Path) -> None:
    models, encoder = opened(tmp_path)
    one, other = (identity_of(models, encoder, CLASSES, {"version": f"sha256:{letter}"}) for letter in "ab")
    answer(models, encoder, CLASSES, folder=tmp_path / "work", identity=one)
    with pytest.raises(EngineError, match="other models") as refused:
        answer(models, encoder, CLASSES, folder=tmp_path / "work", identity=other)
    assert refused.value.code == "work_differs"
    (tmp_path / "work" / "state.json").write_text("{")
    with pytest.raises(EngineError, match="none of ours"):
        answer(models, encoder, CLASSES, folder=tmp_path / "work")
    assert (tmp_path / "work" / "state.json").read_text() == "{"


KILLED = """
import os, signal, sys
from pathlib import Path
from compression_engine.answers import answer_store
from tests.engine.test_answering import CLASSES, opened
from compression_engine.answers.answering import answer, identity_of
answer_store._SECONDS_BETWEEN_SAVES = 0
models, encoder = opened(Path(sys.argv[1]))
def progress(stage, done, total, message):
    if done >= 48:
        for part in (Path(sys.argv[1]) / "work").glob("*.values"):
            with part.open("ab") as file:
                file.write(b"half a row")
        os.kill(os.getpid(), signal.SIGKILL)
answer(models, encoder, CLASSES, folder=Path(sys.argv[1]) / "work", progress=progress)
"""


def test_a_run_that_is_killed_goes_on_where_it_stopped_and_gives_the_same_bytes(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, check=False, timeout=60)
    assert done.returncode == -9, done.stderr
    whole = json.loads((tmp_path / "work" / "state.json").read_bytes())["rows"]
    assert 32 <= whole <= 48
    models, encoder = opened(tmp_path)
    before = models["version"].asked  # type: ignore[attr-defined]
    answer(models, encoder, CLASSES, folder=tmp_path / "work")
    assert models["version"].asked - before <= 99 - whole + 2 * 16  # type: ignore[attr-defined]
    answer(models, encoder, CLASSES, folder=tmp_path / "unbroken")
    assert files(tmp_path / "work") == files(tmp_path / "unbroken")


def test_answers_that_were_damaged_are_given_again(tmp_path: Path) -> None:
    models, encoder = opened(tmp_path)
    answer(models, encoder, CLASSES, folder=tmp_path / "work")
    whole = files(tmp_path / "work")
    path = tmp_path / "work" / "0.values"
    held = path.read_bytes()
    for damaged in (held[:100] + b"\0\0\0\0" + held[104:], held[:-4]):
        path.write_bytes(damaged)
        before = models["version"].asked  # type: ignore[attr-defined]
        answer(models, encoder, CLASSES, folder=tmp_path / "work")
        assert models["version"].asked - before >= 99  # type: ignore[attr-defined]
        assert files(tmp_path / "work") == whole


def test_a_state_without_content_as_a_power_cut_leaves_it_starts_over(tmp_path: Path) -> None:
    models, encoder = opened(tmp_path)
    answer(models, encoder, CLASSES, folder=tmp_path / "work")
    whole = files(tmp_path / "work")
    (tmp_path / "work" / "state.json").write_bytes(b"")
    answer(models, encoder, CLASSES, folder=tmp_path / "work")
    assert files(tmp_path / "work") == whole


@pytest.mark.parametrize("name", ["0.values", "1.sizes", "state.json", "state.json.partial"])
def test_a_link_in_the_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    models, encoder = opened(tmp_path)
    folder, stranger = tmp_path / "answers", tmp_path / "of-somebody-else"
    answer(models, encoder, CLASSES, folder=folder)
    path = folder / name
    if path.exists():
        path.rename(stranger)
    else:
        stranger.write_bytes(b"kept")
    before = stranger.read_bytes()
    path.symlink_to(stranger)
    with pytest.raises(EngineError, match="is a link") as refused:
        answer(models, encoder, CLASSES, folder=folder)
    assert (refused.value.code, stranger.read_bytes()) == ("work_differs", before)


def test_answers_of_other_libraries_are_not_mixed_with_new_ones(tmp_path: Path) -> None:
    models, encoder = opened(tmp_path)
    answer(models, encoder, CLASSES, folder=tmp_path / "work", surroundings="onnxruntime 1")
    for again, asked in (("onnxruntime 1", 0), ("onnxruntime 2", 99)):
        before = models["version"].asked  # type: ignore[attr-defined]
        answer(models, encoder, CLASSES, folder=tmp_path / "work", surroundings=again)
        assert asked <= models["version"].asked - before <= asked + 3 * 16  # type: ignore[attr-defined]


def recurrent(batch: Any = "batch") -> Any:
    """state' = state / 2 + x; y = state'."""
    nodes = [
        helper.make_node("Mul", ["h", "half"], ["k"]), helper.make_node("Add", ["k", "x"], ["h_new"]),
        helper.make_node("Identity", ["h_new"], ["y"]),
    ]  # fmt: skip
    return nets.model(
        nodes, {"half": np.array(0.5, dtype=np.float32)},
        {"x": (TensorProto.FLOAT, [batch, 2]), "h": (TensorProto.FLOAT, [batch, 2])},
        {"y": (TensorProto.FLOAT, [batch, 2]), "h_new": (TensorProto.FLOAT, [batch, 2])},
    )  # fmt: skip


@pytest.mark.parametrize("batch", ["batch", 1, 3])
def test_state_goes_from_row_to_row_and_starts_at_zero_with_each_sequence(tmp_path: Path, batch: Any) -> None:
    plan = Plan(inputs=(("x", "x"),), sequence="who", states=(State("h", "h_new"),))
    lengths = [3, 1, 5, 2, 4]
    who = np.repeat(np.arange(5), lengths)
    x = np.random.default_rng(0).normal(size=(15, 2)).astype(np.float32)
    rows = read_rows(nets.save_rows({"x": x, "who": who}, tmp_path / "rows.npz"), plan)
    model = Model(nets.save(recurrent(batch), tmp_path), 1)
    outputs = answer({"version": model}, Encoder(rows, model.inputs(), None, plan), plan, folder=tmp_path / "work")
    expected, state = [], np.zeros(2, dtype=np.float32)
    for row in range(15):
        state = x[row] if row == 0 or who[row] != who[row - 1] else state / 2 + x[row]
        expected.append(state)
    assert np.allclose(outputs.answer("version").values, expected)
    assert outputs.sequences is not None
    assert outputs.sequences.tolist() == who.tolist()


def test_a_state_that_the_model_lacks_is_named(tmp_path: Path) -> None:
    rows = nets.save_rows({"x": np.ones((2, 2), dtype=np.float32), "who": np.zeros(2)}, tmp_path / "rows.npz")
    model = Model(nets.save(recurrent(), tmp_path), 1)
    for state, named in ((State("g", "h_new"), "'g' is no input"), (State("h", "g_new"), "'g_new' is no output")):
        plan = Plan(inputs=(("x", "x"),), sequence="who", states=(state,))
        with pytest.raises(DataError, match=named):
            encoder = Encoder(read_rows(rows, plan), model.inputs(), None, plan)
            answer({"version": model}, encoder, plan, folder=tmp_path / "work")


def test_rows_of_differing_length_lie_flat_with_offsets(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["f", "a"], ["y"]),
    ]
    ports: dict[str, Any] = {
        "input_ids": (TensorProto.INT64, ["b", "t"]),
        "attention_mask": (TensorProto.INT64, ["b", "t"]),
    }
    net = nets.model(nodes, {"a": np.array([2])}, ports, {"y": (TensorProto.FLOAT, ["b", "t", 1])})
    lengths = np.arange(40) % 5 + 1
    mask = (np.arange(5)[None] < lengths[:, None]).astype(np.int64)
    arrays = {"input_ids": np.arange(200).reshape(40, 5), "attention_mask": mask}
    model = Model(nets.save(net, tmp_path), 1)
    rows = read_rows(nets.save_rows(arrays, tmp_path / "rows.npz"))
    outputs: Outputs = answer({"version": model}, Encoder(rows, model.inputs(), None), Plan(), folder=tmp_path / "work")
    field = outputs.answer("version")
    assert field.offsets is not None
    assert np.diff(field.offsets).tolist() == lengths.tolist()
    assert field.row(39).tolist() == [195, 196, 197, 198, 199]
    assert field.row(1).tolist() == [5, 6]


def test_of_a_language_model_a_few_numbers_for_each_token_are_kept(tmp_path: Path) -> None:
    ports: dict[str, Any] = {
        "input_ids": (TensorProto.INT64, [4, "t"]),
        "attention_mask": (TensorProto.INT64, [4, "t"]),
    }
    models, table = {}, np.random.default_rng(0).normal(size=(9, 9)).astype(np.float32)
    for role, scale in (("version", 1.0), ("parent", 2.0)):
        node = helper.make_node("Gather", ["table", "input_ids"], ["logits"])
        net = nets.model([node], {"table": table * scale}, ports, {"logits": (TensorProto.FLOAT, [4, "t", 9])})
        models[role] = Model(nets.save(net, tmp_path / role), 1)
    lengths = np.arange(10) % 4 + 2  # batches of exactly four rows: the last one is filled up
    ids = np.random.default_rng(1).integers(0, 9, size=(10, 5))
    arrays = {"input_ids": ids, "attention_mask": (np.arange(5)[None] < lengths[:, None]).astype(np.int64)}
    plan = Plan(task="language-model")
    rows = read_rows(nets.save_rows(arrays, tmp_path / "rows.npz"), plan)
    outputs = answer(models, Encoder(rows, models["version"].inputs(), None, plan), plan, folder=tmp_path / "work")
    assert len(outputs) == 10
    losses = outputs.models["parent"]["token_nll"]
    assert [len(losses.row(row)) for row in range(10)] == (lengths - 1).tolist()
    scores = 2.0 * table[ids[5, 0]].astype(np.float64)
    assert losses.row(5)[0] == pytest.approx(np.log(np.exp(scores).sum()) - scores[ids[5, 1]], rel=1e-5)
    assert "kl_to_parent" in outputs.models["version"]
    assert max(len(data) for data in files(tmp_path / "work").values()) < 500  # no logits


def test_no_usable_label_and_wrong_classes_are_refused(tmp_path: Path) -> None:
    models, _ = opened(tmp_path)
    rows = nets.save_rows(
        nets.rows_for("x", 10) | {"label": np.full(10, 99), "group": np.zeros(10)}, tmp_path / "r.npz"
    )
    encoder = Encoder(read_rows(rows, CLASSES), models["version"].inputs(), None, CLASSES)
    with pytest.raises(DataError, match="row 1: label 99 is no class of 48") as refused:
        usable(models, encoder, CLASSES)
    assert refused.value.code == "no_usable_row"
    with pytest.raises(DataError, match="2 classes, the model tells 48"):
        usable(models, encoder, Plan(task="classification", label="label", classes=("a", "b")))


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """400 MB of rows and 150 MB of answers: the process may not hold either (mapped pages are the system's)."""
    code = """
import sys, time
from pathlib import Path
import numpy as np
from compression_engine.data import Encoder, read_rows
from compression_engine.answers.answering import answer
from compression_engine.plan import Plan
from compression_engine.runtime import Model
folder = Path(sys.argv[1])
model = Model(folder / "model.onnx", 1)
def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
encoder = Encoder(read_rows(folder / "rows.npy"), model.inputs(), None)
before, most = anonymous(), 0
def progress(*arguments):
    global most
    most = max(most, anonymous())
outputs = answer({"version": model}, encoder, Plan(), folder=folder / "work", progress=progress)
assert len(outputs) == 120_000
print((most - before) // 1024)
"""
    net = nets.model(
        [helper.make_node("ReduceMean", ["x"], ["y"], axes=[1])], {},
        {"x": (TensorProto.FLOAT, ["b", 400])}, {"y": (TensorProto.FLOAT, ["b", 1])},
    )  # fmt: skip
    nets.save(net, tmp_path)
    np.lib.format.open_memmap(tmp_path / "rows.npy", "w+", np.float32, (120_000, 400)).flush()
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 60, f"{done.stdout} MiB more"


def test_pacing_by_the_clock_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models, encoder = opened(tmp_path)
    answer(models, encoder, CLASSES, folder=tmp_path / "a")
    now = iter(range(0, 10**9, 5))
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    answer(models, encoder, CLASSES, folder=tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")


@pytest.mark.parametrize("judged", [None, "y"])
def test_a_model_that_answers_a_batch_as_one_row_is_refused(tmp_path: Path, judged: str | None) -> None:
    x = {"x": (TensorProto.FLOAT, ["n", 64])}
    mean = helper.make_node("ReduceMean", ["x"], ["y"], axes=[0], keepdims=1)
    net = nets.model([mean], {}, x, {"y": (TensorProto.FLOAT, [1, 64])})
    rows = nets.save_rows(nets.rows_for("mlp", 40), tmp_path / "rows.npz")
    one = Model(nets.save(net, tmp_path), 1)
    encoder = Encoder(read_rows(rows), one.inputs(), None)
    with pytest.raises(EngineError, match="1 answers to 16 rows") as refused:
        answer({"version": one}, encoder, Plan(output=judged), folder=tmp_path / "work")
    assert refused.value.code == "output_does_not_run"

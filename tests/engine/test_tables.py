"""Rows with columns: CSV, JSON lines, Parquet and Arrow read as a plan says; labels, slices and sequences made of them."""

from __future__ import annotations

import builtins
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compression_engine.answers.outputs import Column, Field
from compression_engine.data import Encoder, ModelInput, Rows, mapped, read_rows
from compression_engine.data.labels import cut_columns, labels_of, sequence_numbers, slices_of
from compression_engine.errors import DataError
from compression_engine.plan import Plan

TABULAR = Plan(
    task="classification",
    inputs=(("x", "income"), ("x", "age")),
    label="approved",
    classes=("no", "yes"),
    slices=("race",),
)
CSV = "income,age,approved,race,name\n1.5,20,yes,a,n\n2,30,no,,n\nfew,40,no,b,n\n3,50,perhaps,b,n\n4,60,,a,n\n1,2\n5,70,yes,a,n\n"


def model_input(name: str = "x", dtype: str = "float32", shape: tuple[Any, ...] | None = (None, 2)) -> ModelInput:
    return ModelInput(name, np.dtype(dtype), None, shape)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def people(path: Path) -> Path:
    """The same rows as Parquet or Arrow."""
    table = pa.table(
        {
            "income": pa.array([1.5, 2.0, None, 3.0, 4.0, 5.0]),
            "age": pa.array([20, 30, 40, 50, 60, 70], pa.int16()),
            "approved": pa.array(["yes", "no", "no", "perhaps", None, "yes"]).dictionary_encode(),
            "race": ["a", None, "b", "b", "a", "a"],
            "image": pa.array([[[1.0, 2.0], [3.0, 4.0]]] * 6),
            "tokens": pa.array([[1], [1, 2], [], [3], [4], [5, 6, 7]]),
            "born": pa.array([0] * 6, pa.date32()),
        }
    )
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=4)
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=4)
    return path


def test_csv_becomes_inputs_labels_and_slices_and_broken_rows_are_named(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path / "rows.csv", CSV), TABULAR)
    assert rows.broken == ("line 4: no number in 'income'", "line 7: 2 cells, the first line names 5")
    encoder = Encoder(rows, [model_input()], None, TABULAR)
    assert encoder.batch([0, 1])["x"].tolist() == [[1.5, 20], [2, 30]]
    assert encoder.batch([0])["x"].dtype == np.float32
    labels = labels_of(encoder.rows, TABULAR, 2)
    assert labels.broken == {2: "label 'perhaps' is no class", 3: "label missing"}
    kept = encoder.with_rows(encoder.rows.without(labels.broken))
    assert kept.rows.broken[2:] == ("line 5: label 'perhaps' is no class", "line 6: label missing")
    assert labels_of(kept.rows, TABULAR, 2).given is not None
    assert labels_of(kept.rows, TABULAR, 2).given.values.tolist() == [1, 0, 1]  # type: ignore[union-attr]
    race = slices_of(kept.rows, TABULAR)["race"]
    assert (race.codes.tolist(), race.values) == ([0, -1, 0], ("a",))
    assert sorted(cut_columns(kept, TABULAR)) == ["age", "income"]


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_parquet_and_arrow_give_the_same_as_csv(tmp_path: Path, suffix: str) -> None:
    path = people(tmp_path / f"rows.{suffix}")
    (tmp_path / "rows").write_bytes(path.read_bytes())  # told apart by content, as the registry hands files over
    for name in (path, tmp_path / "rows"):
        rows = read_rows(name, TABULAR)
        assert rows.broken == ("row 3: missing, NaN or infinity in 'income'",)
        encoder = Encoder(rows, [model_input()], None, TABULAR)
        assert encoder.batch([0, 4])["x"].tolist() == [[1.5, 20], [5, 70]]
        assert labels_of(rows, TABULAR, 2).broken == {2: "label 'perhaps' is no class", 3: "label missing"}
        assert slices_of(rows, TABULAR)["race"].codes.tolist() == [0, -1, 1, 0, 0]
    image = read_rows(path, Plan(inputs=(("x", "image"),)))
    assert image.arrays["image"].shape == (6, 2, 2)
    tokens = read_rows(path, Plan(task="sequence", inputs=(("x", "age"),), label="tokens")).columns["tokens"]
    assert isinstance(tokens, Field)
    assert [tokens.row(index).tolist() for index in (1, 2, 5)] == [[1, 2], [], [5, 6, 7]]
    for column in ("race", "born", "tokens"):
        with pytest.raises(DataError, match=column) as refused:
            read_rows(path, Plan(inputs=(("x", column),)))
        assert refused.value.code == "data_does_not_fit"


def test_a_parquet_file_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = people(tmp_path / "rows.parquet")
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ModuleNotFoundError("No module named 'pyarrow'", name="pyarrow")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"pressmark\[parquet\]") as refused:
        read_rows(path)
    assert refused.value.code == "missing_package"


@pytest.mark.parametrize("content", [b"PAR1 and nothing else", b"ARROW1\x00\x00broken"])
def test_a_broken_parquet_or_arrow_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rows").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        read_rows(tmp_path / "rows")


def test_damaged_files_are_refused_and_never_believed(tmp_path: Path) -> None:
    """Bytes changed, cut and put in at random: rows are read or refused with a reason, and nothing else happens."""
    drawn = random.Random(5)
    numbers = {
        "income": np.arange(4.0),
        "age": np.arange(4),
        "approved": np.array(["yes", "no"] * 2),
        "race": np.array(["a"] * 4),
    }
    np.savez(tmp_path / "stored.npz", allow_pickle=False, **numbers)
    np.savez_compressed(tmp_path / "packed.npz", allow_pickle=False, **numbers)
    written(tmp_path / "rows.csv", CSV)
    for path in (people(tmp_path / "rows.parquet"), people(tmp_path / "rows.arrow"), *tmp_path.glob("*.[nc]*")):
        whole, refused = path.read_bytes(), 0
        for number in range(60):
            data = bytearray(whole)
            place = drawn.randrange(len(data))
            data[place : place + drawn.choice([0, 1, 1, 9])] = drawn.randbytes(drawn.choice([0, 1, 1, 5]))
            damaged = tmp_path / f"{number}-{path.name}"
            damaged.write_bytes(data)
            try:
                rows = read_rows(damaged, TABULAR)
                labels_of(rows, TABULAR, 2)
                slices_of(rows, TABULAR)
            except DataError:
                refused += 1
        assert refused > 5, path.name


def test_json_lines_with_columns(tmp_path: Path) -> None:
    lines = [
        {"x": [1, 2], "y": 0, "who": "a", "note": {"free": 1}},
        {"x": [1], "y": 1, "who": "a"},
        {"x": [3, 4.5], "y": 1},
        {"x": [3, float("nan")], "y": 1, "who": "b"},
        {"y": 1, "who": "b"},
    ]
    path = written(tmp_path / "rows.jsonl", "".join(json.dumps(line) + "\n" for line in lines) + "[1]\n")
    rows = read_rows(path, Plan(task="classification", label="y", slices=("who",)))
    assert rows.broken == (
        "line 2: 'x' has the shape [1], the first row's is [2]",
        "line 4: NaN or infinity",
        "line 5: no member 'x'",
        "line 6: no member 'of a column'",
    )
    assert rows.arrays["x"].tolist() == [[1, 2], [3, 4.5]]
    assert slices_of(rows, Plan(slices=("who",)))["who"].codes.tolist() == [0, -1]


def test_a_line_that_says_something_twice_is_broken_and_says_what(tmp_path: Path) -> None:
    long = "n" * 900
    lines = [
        '{"x": [1], "y": 0, "y": 1}',
        '{"x": [1], "y": 1}',
        '{"x": [2], "y": 1, "note": {"a": 1, "a": 1}}',
        f'{{"x": [3], "y": 0, "{long}": 1, "{long}": 2}}',
    ]
    path = written(tmp_path / "rows.jsonl", "\n".join(lines))
    rows = read_rows(path, Plan(task="classification", label="y"))
    assert rows.broken[:2] == ("line 1: the member 'y' stands twice", "line 3: the member 'a' stands twice")
    assert "stands twice" in rows.broken[2]
    assert len(rows.broken[2]) < 300
    assert rows.arrays["x"].tolist() == [[1]]


def test_text_with_labels_and_slices(tmp_path: Path) -> None:
    lines = '{"text":"good","label":"b","kind":1}\n{"text":"","label":"a","kind":2}\n{"text":"fine","kind":2}\n'
    plan = Plan(task="classification", label="label", classes=("a", "b"), slices=("kind",))
    rows = read_rows(written(tmp_path / "rows.jsonl", lines), plan)
    assert rows.texts == ("good", "fine")
    assert labels_of(rows, plan, 2).broken == {1: "label missing"}
    assert slices_of(rows, plan)["kind"].values == ("1", "2")


@pytest.mark.parametrize("name", ["inputs", "label", "slices", "sequence"])
def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, name: str) -> None:
    changes: dict[str, dict[str, Any]] = {
        "inputs": {"inputs": (("x", "gone"),)}, "label": {"task": "regression", "label": "gone"},
        "slices": {"slices": ("gone",)}, "sequence": {"sequence": "gone"},
    }  # fmt: skip
    np.savez(tmp_path / "rows.npz", x=np.ones((2, 3)))
    files = [people(tmp_path / "r.parquet"), written(tmp_path / "r.csv", CSV), tmp_path / "rows.npz"]
    for path in files:
        with pytest.raises(DataError, match="no column 'gone'") as refused:
            read_rows(path, Plan(**changes[name]))
        assert "They have: " in refused.value.hint


def columns(**given: Any) -> Rows:
    first = next(iter(given.values()))
    count = len(first.codes if isinstance(first, Column) else first)
    return Rows("sha256:" + "0" * 64, (), {"x": np.zeros((count, 1))}, (), given)


def test_labels_by_task() -> None:
    def labels(task: str, column: Any, **more: Any) -> Any:
        return labels_of(columns(y=column), Plan(task=task, label="y", **more), 3)

    found = labels("classification", np.array([0.0, 2.0, 3.0, -1.0, 1.5, np.nan]))
    assert found.given.values[:2].tolist() == [0, 2]
    assert found.broken == {
        2: "label 3 is no class of 3", 3: "label -1 is no class of 3", 4: "label 1.5 is no class of 3", 5: "label missing",
    }  # fmt: skip
    assert labels("regression", np.array([1.5, np.nan])).broken == {1: "label missing"}
    names = Column(np.array([1, 0, 1, -1], dtype=np.int32), ("a", "b"))
    assert labels("embedding", names).given.values[:3].tolist() == [1, 0, 1]
    assert labels("embedding", np.array([7.0, 3.0, 7.0])).given.values.tolist() == [1, 0, 1]
    words = Column(np.array([0, 1, -1, 2], dtype=np.int32), ("ab", "b?", "ba"))
    spelled = labels("sequence", words, classes=("-", "a", "b"))
    assert [spelled.given.row(row).tolist() for row in (0, 3)] == [[1, 2], [2, 1]]
    assert spelled.broken == {1: "label has '?', which is not in the alphabet", 2: "label missing"}
    with pytest.raises(DataError, match="no classes"):
        labels("classification", names)
    with pytest.raises(DataError, match="no classes"):
        labels("sequence", words)


def test_many_numbers_are_cut_at_their_quartiles_and_many_names_are_refused() -> None:
    rows = columns(a=np.array([*range(100), np.nan]), b=np.array([2.5, 1.0, np.nan] * 10))
    found = slices_of(rows, Plan(slices=("a", "b")))
    assert found["a"].values == ("below 25", "25 to below 50", "50 to below 75", "75 or more")
    assert np.bincount(found["a"].codes + 1).tolist() == [1, 25, 25, 25, 25]
    assert (found["b"].values, found["b"].codes[:3].tolist()) == (("1", "2.5"), [1, 0, -1])
    names = Column(np.arange(300, dtype=np.int32), tuple(map(str, range(300))))
    with pytest.raises(DataError, match="300 values"):
        slices_of(columns(a=names), Plan(slices=("a",)))


def test_numbers_to_cut_by_are_finite_whatever_the_column_holds() -> None:
    rows = columns(far=np.array([1.0, np.inf, -1e300, np.nan]))
    found = cut_columns(Encoder(rows, [model_input(shape=(None, 1))], None), Plan(slices=("far",)))["far"]
    assert np.isfinite(found.astype(np.float32)).tolist() == [True, True, True, False]
    assert np.isnan(found[3])
    assert found[2] < found[0] < found[1]


def test_sequences_are_numbered_and_may_not_lie_apart() -> None:
    plan = Plan(sequence="s")
    found = sequence_numbers(columns(s=np.array([5, 5, 2, 9, 9])), plan)
    assert found is not None
    assert found.tolist() == [0, 0, 1, 2, 2]
    with pytest.raises(DataError, match="row 4: its sequence began earlier"):
        sequence_numbers(columns(s=np.array([5, 5, 2, 5])), plan)
    with pytest.raises(DataError, match="in every row"):
        sequence_numbers(columns(s=np.array([1.0, np.nan])), plan)


def test_states_caches_and_single_numbers_are_filled_in() -> None:
    inputs = [
        ModelInput("frame", np.dtype("float32"), None, (None, 3)),
        ModelInput("state", np.dtype("float32"), None, (2, None, 4)),
        ModelInput("rate", np.dtype("int64"), None, ()),
        ModelInput("past_key_values.0.key", np.dtype("float32"), None, ("batch", 2, "past", 8)),
    ]
    plan = Plan.parse(
        {"type": "pressmark/evaluation_plan/1", "sequence": "s", "states": [{"input": "state", "output": "n"}]}
    )
    rows = Rows("", (), {"frame": np.ones((4, 3)), "rate": np.array([8, 8, 8, 16])}, ())
    feed = Encoder(rows, inputs, None, plan).batch([0, 1])
    assert feed["state"].shape == (2, 2, 4)
    assert not feed["state"].any()
    assert feed["past_key_values.0.key"].shape == (2, 2, 0, 8)
    assert feed["rate"].shape == ()
    with pytest.raises(DataError, match="one number for a batch"):
        Encoder(rows, inputs, None, plan).batch([2, 3])


def test_large_arrays_are_mapped_and_never_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "SMALL_BYTES", 1000)
    values = np.arange(3000, dtype=np.float32).reshape(1000, 3)
    values[5, 1] = np.inf
    np.savez(tmp_path / "stored.npz", x=values)
    np.savez_compressed(tmp_path / "packed.npz", x=values)
    np.save(tmp_path / "only.npy", np.asfortranarray(values))
    for name in ("stored.npz", "packed.npz", "only.npy"):
        assert isinstance(next(iter(mapped.numpy_arrays(tmp_path / name).values())), np.memmap)
        rows = read_rows(tmp_path / name)
        array = next(iter(rows.arrays.values()))
        assert isinstance(array, np.memmap)
        assert rows.broken == ("row 6: NaN or infinity",)
        assert np.array_equal(array, np.delete(values, 5, axis=0))
    stored = mapped.numpy_arrays(tmp_path / "stored.npz")["x"]
    assert isinstance(stored, np.memmap)
    assert stored.filename == str(tmp_path / "stored.npz")  # where it lies, not a copy
    left = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert left == {"stored.npz", "packed.npz", "only.npy"}


def test_what_is_no_table_of_commas_is_read_as_lines(tmp_path: Path) -> None:
    path = written(tmp_path / "rows", 'broken, and with a comma\n{"text": "good"}\n')
    assert read_rows(path).broken == ("line 1: not JSON",)
    path = written(tmp_path / "rows", CSV)
    assert read_rows(path, TABULAR).broken[0] == "line 4: no number in 'income'"


def test_rows_that_come_in_blocks_are_the_same_in_memory_and_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "SMALL_BYTES", 100)
    growing = mapped.Growing()
    for start in range(0, 100, 7):
        growing.append(np.arange(start, min(start + 7, 100), dtype=np.int64))
    assert np.array_equal(growing.array(), np.arange(100))


def test_the_same_row_has_the_same_bytes_wherever_it_stands(tmp_path: Path) -> None:
    rows = Rows("", (), {"x": np.array([[1, 2], [3, 4], [1, 2]])}, ())
    found = Encoder(rows, [model_input()], None).row_bytes([0, 1, 2])
    assert found[0] == found[2] != found[1]


def test_infinite_labels_and_slice_values_are_said_in_words(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "rows.npz",
        x=np.ones((4, 2)),
        y=np.array([0, np.inf, 1, -np.inf]),
        far=np.array([1, np.inf, 1, -np.inf]),
    )
    plan = Plan(task="classification", label="y", slices=("far",))
    rows = read_rows(tmp_path / "rows.npz", plan)
    assert labels_of(rows, plan, 2).broken == {
        1: "label infinity is no class of 2",
        3: "label -infinity is no class of 2",
    }
    assert slices_of(rows, plan)["far"].values == ("-infinity", "1", "infinity")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.array([1j, 2j]), "holds complex128"),
        (np.array(["2026-01-01", "2026-01-02"], dtype="M8[D]"), "holds datetime64"),
        (np.zeros(2, dtype=[("a", "f4")]), "holds \\[\\('a'"),
        (np.array([b"\xff\xfe", b"a"]), "holds what is no text"),
        (np.array([[0xD800], [97]], dtype=np.uint32).view("U1")[:, 0], "holds what is no text"),
        (np.array([[0x7FFFFFFF], [97]], dtype=np.uint32).view("U1")[:, 0], "holds what is no text"),
        (np.array(["a\0b", "c"]), "holds U\\+0000"),
        (np.array([["a", "b"], ["c", "d"]]), "holds lists"),
        (np.array(["a" * 201, "c"]), "has 201 characters"),
    ],
)
def test_a_named_column_that_is_neither_numbers_nor_text_is_refused(tmp_path: Path, values: Any, said: str) -> None:
    np.savez(tmp_path / "rows.npz", x=np.ones((2, 2)), s=values)
    plan = Plan(slices=("s",))
    with pytest.raises(DataError, match=f"[Tt]he (slice )?column 's' {said}"):
        slices_of(read_rows(tmp_path / "rows.npz", plan), plan)


def test_bytes_of_utf_8_in_an_array_are_text(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", x=np.ones((2, 2)), s=np.array(["Zoë".encode(), b""]))
    plan = Plan(slices=("s",))
    assert slices_of(read_rows(tmp_path / "rows.npz", plan), plan)["s"].values == ("Zoë",)


@pytest.mark.parametrize("inputs", [(), (("x", "a"),)])
def test_a_slice_may_be_missing_in_some_lines_and_not_in_all(
    tmp_path: Path, inputs: tuple[tuple[str, str], ...]
) -> None:
    path, plan = tmp_path / "rows.jsonl", Plan(slices=("region",), inputs=inputs)
    path.write_text('{"a": 1.5}\n{"a": 2.5, "region": "north"}\n')
    column = read_rows(path, plan).columns["region"]
    assert isinstance(column, Column)
    assert (column.codes.tolist(), column.values) == ([-1, 0], ("north",))
    path.write_text('{"a": 1.5}\n{"a": 2.5}\n')
    with pytest.raises(DataError, match="no column 'region'") as refused:
        read_rows(path, plan)
    assert "They have: a." in refused.value.hint


def test_a_file_that_holds_no_rows_is_told_which_kinds_do(tmp_path: Path) -> None:
    path = tmp_path / "notes.py"
    path.write_text("import numpy\nprint(1)\n")
    with pytest.raises(DataError, match="line 1: not JSON") as refused:
        read_rows(path)
    assert ".npz" in refused.value.hint
    assert ".csv" in refused.value.hint


def test_minus_zero_does_not_make_a_row_another_one() -> None:
    rows = Rows("", (), {"x": np.array([[0.0, 1.0], [-0.0, 1.0], [0.0, -1.0]])}, ())
    found = Encoder(rows, [model_input()], None).row_bytes([0, 1, 2])
    assert found[0] == found[1] != found[2]

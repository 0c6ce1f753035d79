"""Rows of which something is missing, too large or half broken: no row is ever taken for another, no number for another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from compression_engine.answers.answering import answer, usable
from compression_engine.answers.outputs import Field
from compression_engine.command_line import main
from compression_engine.data import Encoder, ModelInput, Rows, read_rows
from compression_engine.data.labels import labels_of
from compression_engine.errors import DataError, EngineError
from compression_engine.evaluation import Beside, evaluate
from compression_engine.plan import Plan
from compression_engine.runtime import Model
from tests.engine import nets

XLG = Plan(task="classification", inputs=(("x", "x"),), label="l", slices=("g",))


def jsonl(folder: Path, *lines: str | bytes) -> Path:
    data = [line if isinstance(line, bytes) else line.encode("utf-8", "surrogatepass") for line in lines]
    (folder / "rows.jsonl").write_bytes(b"\n".join(data))
    return folder / "rows.jsonl"


def parquet(folder: Path, **columns: Any) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as written

    written.write_table(pyarrow.table(columns), folder / "rows.parquet")
    return folder / "rows.parquet"


def values(rows: Rows, name: str) -> list[Any]:
    column = rows.columns[name]
    assert isinstance(column, np.ndarray)
    return list(column.tolist())


def test_a_row_that_breaks_half_way_shifts_no_column(tmp_path: Path) -> None:
    path = jsonl(tmp_path, '{"x":[1,2],"l":0,"g":"a"}', '{"x":[5,6],"l":7,"g":"\\ud800"}', '{"x":[3,4],"l":1,"g":"b"}')
    rows = read_rows(path, XLG)
    assert rows.broken == ("line 2: not valid UTF-8 text",)
    assert rows.arrays["x"].tolist() == [[1, 2], [3, 4]]
    assert values(rows, "l") == [0, 1]
    assert [rows.name(index) for index in range(2)] == ["line 1", "line 3"]


def test_a_first_row_that_lacks_a_member_breaks_alone(tmp_path: Path) -> None:
    for first in ('{"x":[1,2],"g":"a"}', '{"l":1,"g":"a"}', '{"x":[1,2],"l":1}'):
        rows = read_rows(jsonl(tmp_path, first, '{"x":[3,4],"l":1,"g":"b"}'), XLG)
        assert rows.arrays["x"].tolist()[-1] == [3, 4]
    with pytest.raises(DataError, match="no column 'l'"):
        read_rows(jsonl(tmp_path, '{"x":[1,2],"g":"a"}', '{"x":[3,4],"g":"b"}'), XLG)
    with pytest.raises(DataError, match="no column 'x'"):
        read_rows(jsonl(tmp_path, '{"l":1,"g":"a"}', '{"l":1,"g":"b"}'), XLG)
    review = Plan(text="review")
    found = read_rows(jsonl(tmp_path, '{"other":1}', '{"review":"good"}'), review)
    assert (list(found.texts), found.broken) == (["good"], ("line 1: no member 'review'",))
    with pytest.raises(DataError, match="no column 'review'"):
        read_rows(jsonl(tmp_path, '{"other":1}'), review)


def test_a_mark_of_byte_order_is_no_part_of_the_first_row(tmp_path: Path) -> None:
    rows = read_rows(jsonl(tmp_path, b'\xef\xbb\xbf{"text":"one"}', '{"text":"two"}'))
    assert (list(rows.texts), rows.broken) == (["one", "two"], ())


def test_why_a_line_is_no_row_is_said_in_plain_words(tmp_path: Path) -> None:
    path = jsonl(tmp_path, '{"text":' + "[" * 100_000, '{"text":' + "9" * 5000 + "}", '{"text":"good"}')
    assert read_rows(path).broken == ("line 1: lists in lists without end", "line 2: a number of too many digits")


def test_a_label_beyond_64_bits_breaks_its_row_alone(tmp_path: Path) -> None:
    rows = read_rows(jsonl(tmp_path, '{"x":[1,2],"l":1,"g":1}', '{"x":[3,4],"l":99999999999999999999,"g":1}'), XLG)
    assert list(labels_of(rows, XLG, 2).broken) == [1]


def test_a_row_of_csv_stands_by_the_line_on_which_it_begins(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text('a,g\n1,"two\nlines"\nx,b\n3,"c\nd"\ny,e\n')
    rows = read_rows(tmp_path / "rows.csv", Plan(inputs=(("x", "a"),), slices=("g",)))
    assert rows.broken == ("line 4: no number in 'a'", "line 7: no number in 'a'")


def test_a_text_of_csv_that_spells_nothing_is_a_text(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text('text,g\nNA,NA\nNone,a\n"",b\n')
    rows = read_rows(tmp_path / "rows.csv", Plan(slices=("g",)))
    assert (list(rows.texts), rows.broken) == (["NA", "None"], ("line 4: the text is empty or not text",))


@pytest.mark.parametrize(
    ("numbers", "wanted"),
    [
        (np.array([[1, 2], [1, 300], [-128, 127], [0, -129]]), np.int8),
        (np.array([[1, 2], [1, 1e39], [3e38, 0], [-1e300, 0]]), np.float32),
        (np.array([[1, 2], [1, 70_000], [65_504, 0], [0, -70_000]]), np.float16),
        (np.array([[1, 2], [1, 2**63], [0, 5], [2**64 - 1, 0]], dtype=np.uint64), np.int64),
    ],
)
def test_a_number_that_the_models_type_cannot_hold_breaks_its_row(numbers: np.ndarray, wanted: type) -> None:
    rows = Rows("sha256:0", (), {"x": numbers}, (), {"l": np.arange(4)})
    encoder = Encoder(rows, [ModelInput("x", np.dtype(wanted), None, ("n", 2))], None)
    said = f"a number in 'x' is too large for the model's {np.dtype(wanted)}"
    assert encoder.rows.broken == (f"row 2: {said}", f"row 4: {said}")
    assert encoder.rows.arrays["x"].tolist() == numbers[[0, 2]].astype(wanted).tolist()
    assert values(encoder.rows, "l") == [0, 2]
    with pytest.raises(DataError, match="No row fits the model's inputs: row 2"):
        Encoder(rows.take(np.array([1, 3])), encoder.inputs, None)


def test_a_number_that_is_missing_in_a_list_is_not_zero(tmp_path: Path) -> None:
    path = parquet(tmp_path, x=[[1, 2], [3, None], [5, 6]], l=[0, 1, 1], g=["a", "b", "c"])
    rows = read_rows(path, XLG)
    assert rows.broken == ("row 2: missing, NaN or infinity in 'x'",)
    assert rows.arrays["x"].tolist() == [[1, 2], [5, 6]]


def test_a_list_that_is_missing_within_a_list_is_refused(tmp_path: Path) -> None:
    import pyarrow

    kind = pyarrow.list_(pyarrow.list_(pyarrow.int32(), 2), 2)
    cells = pyarrow.array([[[1, 2], [1, 2]], [None, [3, 4]]], kind)
    with pytest.raises(DataError, match="'x' lack a list within"):
        read_rows(parquet(tmp_path, x=cells), Plan(inputs=(("x", "x"),)))


def test_a_parquet_file_without_rows_has_no_usable_row(tmp_path: Path) -> None:
    import pyarrow

    for kind in (pyarrow.float32(), pyarrow.list_(pyarrow.float32()), pyarrow.string()):
        with pytest.raises(DataError) as refused:
            read_rows(parquet(tmp_path, x=pyarrow.array([], kind)), Plan(inputs=(("x", "x"),)))
        assert refused.value.code == "no_usable_row"


def test_a_name_that_is_missing_in_a_dictionary_is_missing(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import ipc

    names = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0, 1, 0]), pyarrow.array([None, "b"]))
    table = pyarrow.table({"x": [1.0, 2.0, 3.0], "g": names})
    with ipc.new_file(tmp_path / "rows.arrow", table.schema) as file:
        file.write_table(table)
    column = read_rows(tmp_path / "rows.arrow", Plan(inputs=(("x", "x"),), slices=("g",))).columns["g"]
    assert (column.codes.tolist(), column.values) == ([-1, 0, -1], ("b",))  # type: ignore[union-attr]


@pytest.mark.parametrize("ragged", [False, True])
def test_a_symbol_that_is_no_index_breaks_its_row(ragged: bool) -> None:
    plan = Plan(task="sequence", label="l", classes=("a", "b"))
    column: Any = np.array([[0, 1], [0, 1.5], [np.nan, 1], [1, -1], [1, 0]])
    if ragged:
        column = Field(np.array([0, 1, 1.5, np.nan, 1, 1, -1, 1]), np.array([0, 2, 3, 5, 5, 7, 8]))
    labels = labels_of(Rows("sha256:0", (), {}, (), {"l": column}), plan, None)
    expected = {1: "label has 1.5", 2: "label has nothing", 4 if ragged else 3: "label has -1"}
    assert labels.broken == {row: f"{said}, which is no index of a symbol" for row, said in expected.items()}


def test_arrays_of_no_numbers_are_said_to_hold_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", x=np.ones((3, 2), dtype=complex))
    with pytest.raises(DataError, match="hold complex128, a model takes numbers"):
        read_rows(tmp_path / "rows.npz")


def test_a_file_of_seen_rows_that_does_not_fit_is_named(mlp_folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "training.npz", other=np.ones((3, 2), dtype=np.float32))
    with pytest.raises(DataError, match=r"training\.npz: The data lack the model's input x"):
        evaluate(mlp_folder, data=mlp_folder / "rows.npz", beside=Beside(seen=[tmp_path / "training.npz"]))


def test_a_model_that_answers_nothing_is_refused(tmp_path: Path) -> None:
    cut = {"from": np.array([0]), "to": np.array([0]), "axis": np.array([1])}
    net = nets.model(
        [helper.make_node("Slice", ["x", "from", "to", "axis"], ["y"])], cut,
        {"x": (TensorProto.FLOAT, ["n", 2])}, {"y": (TensorProto.FLOAT, ["n", 0])},
    )  # fmt: skip
    model = Model(nets.save(net, tmp_path), 1)
    rows = Rows("sha256:0", (), {"x": np.ones((3, 2), dtype=np.float32)}, ())
    encoder = usable({"version": model}, Encoder(rows, model.inputs(), None), Plan())
    with pytest.raises(EngineError, match="answers every row with nothing"):
        answer({"version": model}, encoder, Plan(), folder=tmp_path / "work")


def test_a_path_that_is_no_text_is_said_to_be_none(mlp_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "m\udcff.onnx"
    path.write_bytes((mlp_folder / "model.onnx").read_bytes())
    with pytest.raises(EngineError, match="no UTF-8 text"):
        evaluate(path, data=mlp_folder / "rows.npz")


@pytest.mark.parametrize("outputs", ["out", "out/answers.safetensors", "../{}/out"])
@pytest.mark.parametrize("command", ["evaluate", "compress"])
def test_answers_and_results_do_not_overwrite_one_another(
    command: str, outputs: str, mlp_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / outputs.format(tmp_path.name)
    rows = str(mlp_folder / "rows.npz")
    words = {"evaluate": ["--data", rows], "compress": ["--evaluation", rows, "--recipe", "smaller-same-speed"]}
    call = [command, str(mlp_folder), *words[command], "--output", str(tmp_path / "out"), "--outputs", str(kept)]
    assert main([*call, "--quick", "--json"]) == 1
    assert '"output_exists"' in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["x\0y", "x\ny"])
def test_an_input_whose_name_cannot_be_written_is_refused(name: str, tmp_path: Path) -> None:
    ports = ({name: (TensorProto.FLOAT, ["n", 2])}, {"y": (TensorProto.FLOAT, ["n", 2])})
    path = nets.save(nets.model([helper.make_node("Identity", [name], ["y"])], {}, *ports), tmp_path)
    np.save(tmp_path / "rows.npy", np.ones((3, 2), dtype=np.float32))
    with pytest.raises(DataError, match="a name that cannot be written"):
        evaluate(path, data=tmp_path / "rows.npy")


def test_rows_whose_answer_has_no_entry_are_not_averaged(tmp_path: Path) -> None:
    """The model answers a batch with as many columns as its rows add up to: none for the first batch."""
    places = {"axis": np.array([0]), "zero": np.array([0]), "one": np.array([1])}
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0), helper.make_node("Cast", ["most"], ["k"], to=7),
        helper.make_node("Unsqueeze", ["k", "axis"], ["to"]), helper.make_node("Slice", ["x", "zero", "to", "one"], ["y"]),
    ]  # fmt: skip
    ports = ({"x": (TensorProto.FLOAT, ["n", 2])}, {"y": (TensorProto.FLOAT, ["n", "m"])})
    path = nets.save(nets.model(nodes, places, *ports), tmp_path)
    x = np.concatenate([np.zeros((16, 2)), np.ones((16, 2))]).astype(np.float32)
    np.savez(tmp_path / "rows.npz", x=x)
    found = evaluate(path, data=tmp_path / "rows.npz", plan=Plan(measures=("fidelity",)))
    (mean,) = (figure for e in found.evidence for figure in e.measurements if figure.metric == "output_mean")
    assert (mean.value, mean.n) == (1, 16)

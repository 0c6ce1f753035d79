"""Rows from files: what is usable is used, what is broken is named, what cannot be used is refused."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from compression_engine.canonical import digest_of
from compression_engine.data import Encoder, ModelInput, read_rows
from compression_engine.errors import DataError
from compression_engine.plan import Plan


def inputs(*names: str, dtype: str = "int64", fixed: int | None = None) -> list[ModelInput]:
    return [ModelInput(name, np.dtype(dtype), fixed) for name in names]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    made = Tokenizer(WordLevel({"[PAD]": 0, "[UNK]": 1, "a": 2, "b": 3, "c": 4}, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def test_broken_lines_are_left_out_counted_and_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [b'{"text": "good"}', b"not json", b'{"other": 1}', b"", b'{"text": "  "}', b'{"text": 3}', b"\xff\xfe",
             b'{"text": "\\ud800"}', b'["text"]', b'{"text": "also good"}']  # fmt: skip
    path.write_bytes(b"\n".join(lines))
    rows = read_rows(path)
    assert rows.texts == ("good", "also good")
    assert [entry.split(":")[0] for entry in rows.broken] == [f"line {number}" for number in (2, 3, 5, 6, 7, 8, 9)]
    assert rows.record("evaluation") == {
        "broken": list(rows.broken),
        "digest": digest_of(path.read_bytes()),
        "role": "evaluation",
        "rows": 2,
    }


def test_at_most_twenty_broken_rows_are_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "good"}\n' + "broken\n" * 50)
    assert read_rows(path).record("evaluation")["broken"][-1] == "and 30 more"


@pytest.mark.parametrize("content", [b"", b"\n\n", b"broken\n", b'{"text": ""}'])
def test_a_file_without_a_usable_row_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError) as refused:
        read_rows(path)
    assert refused.value.code == "no_usable_row"


def test_rows_of_arrays_with_nan_are_left_out_and_named(tmp_path: Path) -> None:
    values = np.ones((4, 3), dtype=np.float32)
    values[1, 2] = np.nan
    np.savez(tmp_path / "rows.npz", x=values, other=np.arange(4))
    rows = read_rows(tmp_path / "rows.npz")
    assert len(rows) == 3
    assert rows.broken == ("row 2: NaN or infinity",)
    assert rows.arrays["other"].tolist() == [0, 2, 3]


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read") as refused:
        read_rows(tmp_path / "rows.npy")
    assert refused.value.code == "data_does_not_fit"


@pytest.mark.parametrize(
    ("shape", "dtype", "why"),
    [
        ((10**12, 0), "<f4", "1,000,000,000,000 rows of rows.npy hold no entry"),
        ((10**12,), "<U0", "1,000,000,000,000 rows of rows.npy hold no entry"),
        ((10**12, 3), "<f4", "tells of 12,000,000,000,000 bytes, and it holds 8"),
        ((0, 10**30), "<f4", "cannot be read"),
        ((-3, 2), "<f4", "cannot be read"),
    ],
)
def test_a_header_that_tells_of_more_than_there_is_does_not_fit(
    shape: tuple[int, ...], dtype: str, why: str, tmp_path: Path
) -> None:
    with (tmp_path / "rows.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
        file.write(bytes(8))
    with pytest.raises(DataError, match=why) as refused:
        read_rows(tmp_path / "rows.npy")
    assert refused.value.code == "data_does_not_fit"


def test_a_header_that_breaks_off_is_refused(tmp_path: Path) -> None:
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (("
    (tmp_path / "rows.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head)
    with pytest.raises(DataError, match="cannot be read") as refused:
        read_rows(tmp_path / "rows.npy")
    assert refused.value.code == "data_does_not_fit"


def test_arrays_of_different_lengths_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", x=np.ones((4, 3)), y=np.ones((5, 3)))
    with pytest.raises(DataError, match="different numbers"):
        read_rows(tmp_path / "rows.npz")


def test_a_single_array_fits_the_only_input_and_is_cast_within_its_kind(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.ones((4, 3)))
    encoder = Encoder(read_rows(tmp_path / "rows.npy"), inputs("x", dtype="float32"), None)
    assert encoder.batch([0, 1])["x"].dtype == np.float32
    with pytest.raises(DataError, match="holds float64"):
        Encoder(read_rows(tmp_path / "rows.npy"), inputs("x"), None)


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", x=np.ones((4, 3)))
    with pytest.raises(DataError, match="input z"):
        Encoder(read_rows(tmp_path / "rows.npz"), inputs("x", "z", dtype="float64"), None)


def test_texts_are_padded_to_the_longest_of_their_batch(tmp_path: Path, tokenizer: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("a b c", "a", "b c")))
    encoder = Encoder(read_rows(path), inputs("input_ids", "attention_mask"), tokenizer)
    assert encoder.batch([1, 2])["input_ids"].tolist() == [[2, 0], [3, 4]]
    assert encoder.batch([0, 1])["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    counts = encoder.token_counts()
    assert counts is not None
    assert counts.tolist() == [3, 1, 2]
    assert encoder.preprocessing is not None
    assert digest_of(tokenizer.read_bytes()) in encoder.preprocessing


def test_long_texts_are_cut_at_128_tokens(tmp_path: Path, tokenizer: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"text": "a " * 500}))
    assert Encoder(read_rows(path), inputs("input_ids"), tokenizer).batch([0])["input_ids"].shape == (1, 128)


def test_text_without_a_tokenizer_or_for_another_kind_of_model_is_refused(tmp_path: Path, tokenizer: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}')
    for found, name, code in ((None, "input_ids", "tokenizer_missing"), (tokenizer, "pixels", "data_does_not_fit")):
        with pytest.raises(DataError) as refused:
            Encoder(read_rows(path), inputs(name), found)
        assert refused.value.code == code
    tokenizer.write_text("{}")
    with pytest.raises(DataError, match="cannot be used"):
        Encoder(read_rows(path), inputs("input_ids"), tokenizer)


def test_a_packed_array_that_would_fill_the_disk_is_not_unpacked(tmp_path: Path) -> None:
    member = io.BytesIO()
    np.save(member, np.zeros(8, dtype=np.float32))
    with zipfile.ZipFile(tmp_path / "rows.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", member.getvalue())
        archive.getinfo("x.npy").file_size = 2**60  # what the directory of a bomb says, and would keep
    with pytest.raises(DataError, match="unpacked, an array takes 1152921504606846976 bytes"):
        read_rows(tmp_path / "rows.npz")


@pytest.mark.parametrize("plan", [Plan(task="classification", label="z"), Plan(slices=("z",)), Plan(sequence="z")])
def test_a_single_array_has_no_column_that_a_plan_could_name(tmp_path: Path, plan: Plan) -> None:
    np.save(tmp_path / "rows.npy", np.ones((4, 3)))
    with pytest.raises(DataError, match=r"no column 'z': rows\.npy holds a single array"):
        read_rows(tmp_path / "rows.npy", plan)

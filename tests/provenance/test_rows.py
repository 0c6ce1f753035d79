"""Counting rows by walking: what is right is counted, what is broken is named, nothing is executed."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
import pytest

from registry.errors import Invalid
from registry.provenance.rows import measure_rows


def npy(array: Any, **options: Any) -> bytes:
    target = io.BytesIO()
    np.save(target, array, **options)
    return target.getvalue()


def npz(**arrays: Any) -> bytes:
    target = io.BytesIO()
    np.savez(target, **arrays)
    return target.getvalue()


def found(data: bytes) -> tuple[str, int, list[tuple[str, str, str]]]:
    measured = measure_rows(io.BytesIO(data))
    return measured.format, measured.row_count, [(c.name, c.dtype, c.shape) for c in measured.columns]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"text":"a"}\n{"text":"b"}\n', ("jsonl", 2, [("text", "", "")])),
        (b'\n  {"b":1,"a":2}', ("jsonl", 1, [("a", "", ""), ("b", "", "")])),
        (b'\xef\xbb\xbf{"text":"a"}\n', ("jsonl", 1, [("text", "", "")])),
        (b"age,race\n30,2\n40,1\n", ("csv", 2, [("age", "", ""), ("race", "", "")])),
        (b'text,label\n"two\nlines, one row",1\n', ("csv", 1, [("text", "", ""), ("label", "", "")])),
        (npy(np.zeros((3, 4), np.float32)), ("npy", 3, [("", "<f4", "[4]")])),
        (npy(np.array(["ab", "c"])), ("npy", 2, [("", "<U2", "[]")])),
        (npz(x=np.zeros((5, 2)), y=np.zeros(5, np.int64)), ("npz", 5, [("x", "<f8", "[2]"), ("y", "<i8", "[]")])),
    ],
)
def test_rows_and_columns_are_counted(data: bytes, expected: Any) -> None:
    assert found(data) == expected


def test_a_compressed_npz_is_counted_too() -> None:
    target = io.BytesIO()
    np.savez_compressed(target, x=np.zeros((7, 1000)))
    assert found(target.getvalue())[1] == 7


def archive(**members: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as opened:
        for name, data in members.items():
            opened.writestr(name.replace("__", "."), data)
    return target.getvalue()


WHOLE = npy(np.zeros((100, 8)))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "empty"),
        (b'{"text":"a"}\n{"text":\n', "Line 2 is not JSON"),
        (b'{"text":"a"}\n[1,2]\n', "Line 2 is not a JSON object"),
        (b'{"text":"a"}\n{"text":"\xff"}\n', "Line 2 is not UTF-8"),
        (b"[" * 100_000, "Line 1 is not JSON"),
        (b"a,b\n1,2\n3\n", "line 3 has 1 values, not 2"),
        (b"a,a\n1,2\n", "names a column twice"),
        (b"a,b\n", "holds no row"),
        (b"\n \n", "header"),
        (b'a,b\n"1,2\n', "no CSV"),
        (b"a,b\n1,\x00\n", "binary"),
        (b"a,b\n" + b"1,2\n" * 2000 + b"\x00,1\n", "NUL"),
        (b"PAR1\x00\x00binary", "binary data in no format"),
        (WHOLE[:-1], "needs 6400 bytes for its shape"),
        (WHOLE + b"x", "the file holds 6401"),
        (WHOLE[:20], "cut off"),
        (npy(np.zeros(())), "single number"),
        (npz(x=np.zeros(5), y=np.zeros(6)), "x: 5, y: 6"),
        (npz(x=np.zeros(5))[:-30], "cannot be read"),
        (archive(x__npy=WHOLE[:-1]), "needs 6400 bytes"),
        (archive(**{"evil__pkl": b"\x80\x04."}), "holds 'evil.pkl'"),
        (archive(), "no format"),
    ],
)
def test_what_is_broken_is_refused_by_place(data: bytes, told: str) -> None:
    with pytest.raises(Invalid) as refused:
        measure_rows(io.BytesIO(data))
    assert told in refused.value.detail
    assert refused.value.code == "data-unreadable"
    assert refused.value.hint


@pytest.mark.parametrize("data", [npy(np.array([{}, 1], dtype=object)), npz(x=np.array([{}], dtype=object))])
def test_arrays_of_python_objects_are_refused_as_pickles(data: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        measure_rows(io.BytesIO(data))
    assert refused.value.code == "pickle-refused"


def test_a_header_that_claims_much_costs_nothing() -> None:
    header = json.dumps({"descr": "<f8", "fortran_order": False, "shape": [2**60]})
    text = header.replace("false", "False").replace("[", "(").replace("]", ",)").encode()
    data = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    with pytest.raises(Invalid, match="no valid shape"):
        measure_rows(io.BytesIO(data))


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    class Endless(io.BytesIO):
        def readline(self, size: int | None = -1) -> bytes:
            assert size is not None
            assert 0 < size < 64 * 1024 * 1024
            return b"x" * size

    source = Endless(b'{"text":"' + b"x" * 5000)
    with pytest.raises(Invalid, match="Line 1 is longer"):
        measure_rows(source)

"""Several files as one table: the rows of all by path, one digest over their list, and no guess where they do not fit."""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from compression_engine.canonical import canonical
from compression_engine.errors import DataError
from compression_engine.profiling.folder import read_table
from compression_engine.profiling.profile import profile


def a_folder(root: Path, **files: bytes) -> Path:
    folder = root / "rows"
    for name, data in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def lines(*rows: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_the_rows_of_all_files_stand_one_after_the_other_and_repeats_across_files_are_found(tmp_path: Path) -> None:
    first, second = lines({"x": 1, "t": "a"}, {"x": 2, "t": "b"}), lines({"x": 1, "t": "a"}, {"x": 3, "t": "c", "n": 5})
    folder = a_folder(tmp_path, a__one_jsonl=first, b_jsonl=second)
    document: Any = profile(folder).document
    listed = [
        {"digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "path": path, "size_bytes": len(data)}
        for path, data in (("a/one.jsonl", first), ("b.jsonl", second))
    ]
    wanted = hashlib.sha256(canonical({"files": listed, "type": "pressmark/dataset_files/1"})).hexdigest()
    assert document["data"]["digest"] == f"sha256:{wanted}"
    assert (document["data"]["rows"], document["data"]["counted"]) == (4, "row")
    shares = {f["metric"]: f["value"] for f in document["figures"] if not f["slice"]}
    assert shares["duplicate_rows_share"] == "0.25"
    assert document["examples"]["duplicates"] == [[1, 3]]
    missing = {column["name"]: column["missing"] for column in document["columns"]}
    assert missing == {"n": 3, "t": 0, "x": 0}


def test_one_file_in_a_folder_is_that_file(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, only_csv=b"x,y\n1,2\n3,4\n")
    assert profile(folder).canonical() == profile(folder / "only.csv").canonical()


def test_rows_that_stand_elsewhere_are_counted_for_each_file(tmp_path: Path) -> None:
    many, few = lines(*({"x": n, "t": "a"} for n in range(8))), lines({"x": 50, "t": "b"}, {"x": 51, "t": "b"})
    other = tmp_path / "other.jsonl"
    other.write_bytes(lines({"x": 50, "t": "b"}, {"x": 51, "t": "b"}, {"x": 7, "t": "c"}))
    document: Any = profile(a_folder(tmp_path, a_jsonl=many, b_jsonl=few), against=[other]).document
    told = [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in (many, few)]
    assert document["data"]["files"] == [{"digest": told[0], "rows": 8}, {"digest": told[1], "rows": 2}]
    (beside,) = document["against"]
    counted = {"digest": told[1], "near_rows": 0, "same_rows": 2, "same_rows_without_identifiers": 2}
    without = [f for f in beside["files"] if f["digest"] == told[0]]
    assert (beside["same_rows"], beside["files"][-1]) == (2, counted)
    assert sum(f["same_rows_without_identifiers"] for f in beside["files"]) == beside["same_rows_without_identifiers"]
    assert all(f["same_rows"] == 0 for f in without)
    schema = json.loads((resources.files("compression_engine") / "schemas" / "data_profile-1.json").read_text("utf-8"))
    Draft202012Validator(schema).validate(document)


def test_arrays_and_texts_are_joined_and_a_folder_is_laid_beside_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "arrays"
    folder.mkdir()
    np.savez(folder / "1.npz", x=np.arange(6.0).reshape(3, 2), y=np.array(["a", "b", "a"]))
    np.savez(folder / "2.npz", x=np.arange(6.0, 10.0).reshape(2, 2), y=np.array(["c", ""]))
    table = read_table(folder)
    assert table.columns["x"].numbers is not None
    assert table.columns["x"].numbers.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    codes = table.columns["y"].codes
    assert codes is not None
    assert [table.columns["y"].values[code] if code >= 0 else None for code in codes] == ["a", "b", "a", "c", None]
    other = tmp_path / "other.npz"
    np.savez(other, x=np.array([[4.0, 5.0], [9.0, 9.0]]), y=np.array(["a", "z"]))
    beside: Any = profile(other, against=[folder]).document["against"]
    assert [(entry["digest"], entry["same_rows"], entry["same_pairs"]) for entry in beside] == [
        (table.digest, 1, [[1, 3]])
    ]


@pytest.mark.parametrize(
    ("files", "code", "said"),
    [
        ({"a_csv": b"x\n1\n", "b_jsonl": b'{"x": 1}\n'}, "formats_differ", r"csv: a\.csv; jsonl: b\.jsonl"),
        (
            {"a_csv": b"x\n1\n", "b_csv": b"x\nmany\n"},
            "data_does_not_fit",
            r"'x' is numbers in a\.csv and none in b\.csv",
        ),
    ],
)
def test_what_does_not_fit_together_is_said_by_file_and_not_guessed(
    tmp_path: Path, files: dict[str, bytes], code: str, said: str
) -> None:
    with pytest.raises(DataError, match=said) as refused:
        profile(a_folder(tmp_path, **files))
    assert refused.value.code == code


def test_an_empty_folder_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no file"):
        profile(tmp_path / "empty")

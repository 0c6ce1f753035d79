"""A data profile: what is planted in a file is found, counted exactly, and named by row; the same file gives the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from sklearn.datasets import load_digits

from compression_engine.canonical import parse_canonical
from compression_engine.errors import DataError
from compression_engine.profiling.profile import profile


def table(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def found(path: Path, **asked: Any) -> dict[str, Any]:
    document: dict[str, Any] = parse_canonical(profile(path, **asked).canonical())
    text = (resources.files("compression_engine") / "schemas" / "data_profile-1.json").read_text("utf-8")
    Draft202012Validator(json.loads(text)).validate(document)
    return document


def figure(document: dict[str, Any], metric: str, **where: str) -> dict[str, Any]:
    slices = [{"name": name, "value": value} for name, value in where.items()]
    return next(entry for entry in document["figures"] if entry["metric"] == metric and entry["slice"] == slices)


def value(document: dict[str, Any], metric: str, **where: str) -> float:
    return float(figure(document, metric, **where)["value"])


PEOPLE = [
    "name,age,city,label",
    "ada,36,london,yes",
    "ada,36,london,yes",  # line 3 repeats line 2
    "ada,36,london,no",  # line 4 contradicts both
    "omar,41,,no",
    "OMAR ,41,,no",  # line 6 is line 5 but for case and spacing
    "eve,NA,paris,yes",
    "one,cell",
    "zoe,29,rome,",
]


def test_gaps_doubles_contradictions_and_broken_lines_are_counted_and_named_by_line(tmp_path: Path) -> None:
    document = found(table(tmp_path / "people.csv", PEOPLE), label="label")
    assert (document["data"]["rows"], document["data"]["broken_rows"], document["data"]["counted"]) == (7, 1, "line")
    assert document["data"]["broken"] == ["line 8: 2 cells, the first line names 4"]
    columns = {column["name"]: column for column in document["columns"]}
    assert {name: column["missing"] for name, column in columns.items()} == {"name": 0, "age": 1, "city": 2, "label": 1}
    assert (columns["age"]["kind"], columns["age"]["distinct"], columns["age"]["maximum"]) == ("number", 3, "41")
    assert document["examples"]["duplicates"] == [[2, 3]]
    assert document["examples"]["near_duplicates"] == [[5, 6]]
    assert document["examples"]["conflicting_labels"] == [[2, 4]]
    assert value(document, "duplicate_rows_share") == pytest.approx(1 / 7)
    assert value(document, "near_duplicate_rows_share") == pytest.approx(1 / 7)
    assert value(document, "conflicting_label_rows_share") == pytest.approx(3 / 7)
    assert value(document, "missing_label_share") == pytest.approx(1 / 7)
    assert value(document, "smallest_class_share") == pytest.approx(0.5)
    assert figure(document, "class_share", **{"class": "yes"})["n"] == 6


def test_no_value_of_a_text_column_leaves(tmp_path: Path) -> None:
    text = profile(table(tmp_path / "people.csv", PEOPLE), label="label").canonical().decode()
    assert not [word for word in ("ada", "omar", "OMAR", "london", "paris") if word in text]


def test_a_column_of_one_value_is_constant(tmp_path: Path) -> None:
    document = found(table(tmp_path / "rows.csv", ["a,b", "1,x", "1,y", "1,z"]))
    assert [c["name"] for c in document["columns"] if c["constant"]] == ["a"]
    assert value(document, "constant_columns") == 1


def test_outliers_are_found_by_the_modified_z_score_and_by_the_fence(tmp_path: Path) -> None:
    values = [*range(1, 41), 500]
    mostly_zero = [0] * 24 + [1] * 16 + [90]
    np.savez(tmp_path / "rows.npz", a=np.array(values), b=np.array(mostly_zero), c=np.ones(41))
    document = found(tmp_path / "rows.npz")
    told = {c["name"]: (c["outliers"], c["outlier_rule"]) for c in document["columns"]}
    assert told == {"a": (1, "modified_z_score"), "b": (1, "interquartile_fence"), "c": (None, None)}
    assert document["examples"]["outliers"] == [41]
    assert value(document, "outlier_rows_share") == pytest.approx(1 / 41)


def test_arrays_in_rows_are_outliers_by_their_distance(tmp_path: Path) -> None:
    pictures = np.random.default_rng(1).standard_normal((60, 4, 4))
    pictures[17] += 9
    np.savez(tmp_path / "rows.npz", x=pictures)
    document = found(tmp_path / "rows.npz")
    assert document["examples"]["outliers"] == [18]
    assert document["columns"][0]["shape"] == [4, 4]


def test_the_same_rows_in_csv_json_lines_arrays_and_parquet_have_the_same_figures(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    random = np.random.default_rng(3)
    a, b = random.integers(0, 9, 80), random.standard_normal(80).round(3)
    rows = list(zip(a.tolist(), b.tolist(), strict=True))
    table(tmp_path / "rows.csv", ["a,b", *(f"{x},{y}" for x, y in rows)])
    table(tmp_path / "rows.jsonl", [json.dumps({"b": y, "a": x}) for x, y in rows])
    np.savez(tmp_path / "rows.npz", a=a, b=b)
    parquet.write_table(pyarrow.table({"a": a, "b": b}), tmp_path / "rows.parquet")
    documents = [found(tmp_path / f"rows.{kind}") for kind in ("csv", "jsonl", "npz", "parquet")]
    assert documents[0]["figures"] == documents[1]["figures"] == documents[2]["figures"] == documents[3]["figures"]
    assert documents[0]["columns"] == documents[1]["columns"] == documents[2]["columns"] == documents[3]["columns"]


# --- beside other files ---


def test_rows_that_stand_in_another_file_are_found_however_they_are_written_and_copies_by_a_hair_apart(
    tmp_path: Path,
) -> None:
    judged = table(tmp_path / "judged.csv", ["a,b,label", "1,x,0", "2.5,y,1", "3,z,0", "4,w,1"])
    # line 1 is the second row in other words, line 2 the first but for case, line 3 nobody; the label is another one
    trained = table(
        tmp_path / "trained.jsonl",
        ['{"b": "y", "a": 2.50, "label": 7}', '{"a": 1, "b": "X"}', '{"a": "none of them", "b": "q"}'],
    )
    document = found(judged, label="label", against=[trained])
    (other,) = document["against"]
    assert (other["rows"], other["columns"], other["same_rows"], other["near_rows"]) == (3, ["a", "b"], 1, 1)
    assert other["same_pairs"] == [[3, 1]]
    assert other["near_pairs"] == [[2, 2]]
    assert value(document, "rows_seen_share", against=other["digest"]) == 0.25
    assert value(document, "rows_seen_share_worst") == 0.25


def test_a_column_that_only_numbers_rows_or_names_the_file_does_not_hide_copies(tmp_path: Path) -> None:
    random = np.random.default_rng(9)
    values = [f"{a:.4f},{b:.4f}" for a, b in random.standard_normal((30, 2))]
    judged = [f"{number},k{number:03d},test,{row}" for number, row in enumerate([*values[:20], values[0]])]
    trained = [f"{number + 500},m{number:03d},train,{row}" for number, row in enumerate(values[15:])]
    head = "id,key,part,a,b"
    document = found(
        table(tmp_path / "judged.csv", [head, *judged]), against=[table(tmp_path / "trained.csv", [head, *trained])]
    )
    (other,) = document["against"]
    assert (other["same_rows"], other["same_rows_without_identifiers"]) == (0, 5)
    assert other["identifiers"] == ["id", "key", "part"]
    assert value(document, "rows_seen_share_without_identifiers", against=other["digest"]) == pytest.approx(5 / 21)
    assert value(document, "duplicate_rows_share") == 0
    assert document["identifiers"] == ["id", "key"]
    assert value(document, "duplicate_rows_share_without_identifiers") == pytest.approx(1 / 21)


def test_numbers_in_another_precision_are_near_and_not_the_same(tmp_path: Path) -> None:
    rows = np.random.default_rng(2).standard_normal((50, 3))
    np.savez(tmp_path / "wide.npz", x=rows)
    np.savez(tmp_path / "narrow.npz", x=rows[:20].astype(np.float32))
    (other,) = found(tmp_path / "wide.npz", against=[tmp_path / "narrow.npz"])["against"]
    assert (other["same_rows"], other["near_rows"]) == (0, 20)


def test_files_without_a_column_in_common_are_refused_and_said(tmp_path: Path) -> None:
    one, other = table(tmp_path / "one.csv", ["a,c", "1,2"]), table(tmp_path / "other.csv", ["b,d", "1,2"])
    with pytest.raises(DataError, match="no column in common"):
        profile(one, against=[other])


def test_what_changed_since_the_version_before_is_counted_by_row_and_by_column(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    steady, moved = random.standard_normal(400), random.standard_normal(400)
    np.savez(tmp_path / "before.npz", steady=steady, moved=moved, gone=moved)
    np.savez(
        tmp_path / "now.npz", steady=steady[10:], moved=np.where(np.arange(390) < 300, moved[10:], 9), new=moved[10:]
    )
    document = found(tmp_path / "now.npz", previous=tmp_path / "before.npz")
    previous = document["previous"]
    assert (previous["rows_added"], previous["rows_removed"]) == (90, 100)
    assert (previous["columns_added"], previous["columns_removed"]) == (["new"], ["gone"])
    index = {entry["name"]: float(entry["psi"]) for entry in previous["shifts"]}
    assert index["steady"] < 0.01
    assert index["moved"] > 0.1
    assert value(document, "shift_psi_worst") == pytest.approx(index["moved"])


def test_an_unchanged_version_says_that_nothing_changed(tmp_path: Path) -> None:
    path = table(tmp_path / "people.csv", PEOPLE)
    previous = found(path, previous=path)["previous"]
    assert (previous["rows_added"], previous["rows_removed"]) == (0, 0)
    assert {entry["psi"] for entry in previous["shifts"]} == {"0"}


# --- labels ---


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[int]]:
    """Five classes of the handwritten digits with one label in a hundred changed, and the rows of these."""
    pixels, labels = load_digits(return_X_y=True)
    pixels, labels = pixels[labels < 5], labels[labels < 5]
    random = np.random.default_rng(5)
    wrong = random.choice(len(labels), len(labels) // 100, replace=False)
    given = labels.copy()
    given[wrong] = (labels[wrong] + random.integers(1, 5, len(wrong))) % 5
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    np.savez(path, x=pixels.astype(np.float32), label=given)
    return path, {int(row) + 1 for row in wrong}


def test_planted_wrong_labels_are_reported(digits: tuple[Path, set[int]]) -> None:
    path, wrong = digits
    document = found(path, label="label")
    suspects = {entry["row"] for entry in document["label"]["suspects"]}
    assert len(suspects & wrong) >= 0.75 * len(wrong)
    assert len(suspects & wrong) >= 0.75 * len(suspects)
    assert document["label"]["suspected"] == len(suspects)
    tried = figure(document, "planted_errors_found_share")
    assert tried["n"] == len(wrong)
    assert float(tried["low"]) <= float(tried["value"]) <= float(tried["high"])


def test_the_same_file_and_seed_give_the_same_bytes_in_another_process(
    digits: tuple[Path, set[int]], tmp_path: Path
) -> None:
    path = tmp_path / "few.npz"
    with np.load(digits[0]) as whole:
        np.savez(path, **{name: whole[name][:240] for name in whole.files})
    call = [sys.executable, "-m", "compression_engine", "profile", str(path), "--label", "label", "--json"]
    done = subprocess.run(
        [*call, "--output", str(tmp_path / "p.json")], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1])["type"] == "result", done.stdout
    assert (tmp_path / "p.json").read_bytes() == profile(path, label="label").canonical()


def test_quantities_and_single_classes_are_not_doubted_and_the_reason_is_said(tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    np.savez(tmp_path / "rows.npz", x=random.standard_normal(50), price=random.standard_normal(50), one=np.ones(50))
    for label, why in (("price", "quantities"), ("one", "fewer than two classes")):
        document = found(tmp_path / "rows.npz", label=label)
        assert why in document["label"]["reason"]
        assert figure(document, "suspected_label_errors_share")["value"] is None


def test_labels_of_texts_are_doubted_by_their_words(tmp_path: Path) -> None:
    random = np.random.default_rng(8)
    words = {"good": ["fine", "lovely", "great", "warm"], "bad": ["awful", "cold", "broken", "sad"]}
    lines, wrong = [], set()
    for number in range(1, 161):
        told = "good" if number % 2 else "bad"
        text = " ".join([*random.choice(words[told], 4), f"order{number}"])
        if number in (31, 90):
            wrong.add(number)
            told = "bad" if told == "good" else "good"
        lines.append(json.dumps({"text": text, "label": told}))
    document = found(table(tmp_path / "reviews.jsonl", lines), label="label")
    assert document["label"]["model"] == "logistic_regression_of_words"
    assert {entry["row"] for entry in document["label"]["suspects"]} == wrong


# --- what is no table ---


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("empty.csv", b"", "data_does_not_fit"),
        ("head.csv", b"a,b\n", "no_usable_row"),
        ("twice.csv", b"a,a\n1,2\n", "data_does_not_fit"),
        ("latin.csv", b"a,b\n\xff,2\n", "data_does_not_fit"),
        ("none.jsonl", b"[1]\n{", "no_usable_row"),
        ("cut.npz", b"PK\x03\x04rest", "data_does_not_fit"),
        ("cut.npy", b"\x93NUMPY\x01\x00", "data_does_not_fit"),
        ("cut.parquet", b"PAR1", "data_does_not_fit"),
    ],
)
def test_what_is_no_file_of_rows_is_refused_with_a_remedy(tmp_path: Path, name: str, content: bytes, code: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as refused:
        profile(tmp_path / name)
    assert refused.value.code == code
    assert refused.value.hint


def test_a_label_that_is_no_column_is_refused_with_those_that_are(tmp_path: Path) -> None:
    path = table(tmp_path / "people.csv", PEOPLE)
    with pytest.raises(DataError, match="They have: age, city, label, name") as refused:
        profile(path, label="Label")
    assert refused.value.code == "label_missing"


def test_odd_values_are_described_and_stop_nothing(tmp_path: Path) -> None:
    rows = [
        '{"a": 1, "b": {"x": [1]}, "c": [1, 2], "d": true, "e": 12345678901234567890, "f": Infinity}',
        '{"a": "one", "c": [3], "d": null, "e": 12345678901234567891, "f": 1e308}',
        '{"g": "\\ud800"}',
    ]
    document = found(table(tmp_path / "odd.jsonl", rows))
    kinds = {column["name"]: column["kind"] for column in document["columns"]}
    assert kinds == {"a": "mixed", "b": "object", "c": "list", "d": "truth value", "e": "text", "f": "number"}
    assert document["data"]["broken"] == ["line 3: no JSON object in valid UTF-8"]
    assert next(c for c in document["columns"] if c["name"] == "e")["distinct"] == 2

"""What the engine wrote counts only when it is whole, well formed, and about the bytes that it was given."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from registry.compression import results
from registry.compression.results import Expected, WorkFailed
from registry.digests import canonical, sha256


def digest(character: str) -> str:
    return "sha256:" + character * 64


FIGURE = {
    "high": None, "low": None, "metric": "size_bytes", "n": 1, "reason": None, "slice": [], "spread": None,
    "unit": "byte", "value": "10",
}  # fmt: skip
RESULT: dict[str, Any] = {
    "command": "compress",
    "data": [{"broken": [], "digest": digest("d"), "role": "evaluation", "rows": 3}],
    "engine": {"name": "compression_engine", "version": "0.1.0"},
    "environment": [{"name": "python", "value": "3.11"}],
    "evidence": [
        {
            "document": {
                "environment": [], "figures": [FIGURE], "kind": "size", "method": {"name": "size", "version": "1"},
                "seed": None, "source": "measured", "subjects": [], "type": "pressmark/evidence/1",
            },
            "plain": ["It is small."],
        }
    ],
    "graph_digest": None,
    "outputs": [{"digest": digest("c"), "path": "model.onnx", "role": "weights", "size_bytes": 10}],
    "parent": {"digest": digest("a"), "path": "model.onnx", "size_bytes": 40},
    "recipe": {}, "recipe_digest": digest("e"), "seed": 0, "steps": [], "tensors": [],
    "type": "pressmark/engine_result/1",
}  # fmt: skip
EXPECTED = Expected(digest("a"), None, digest("e"), {"evaluation": digest("d")})


def read(tmp_path: Path, document: Any, expected: Expected = EXPECTED) -> results.EngineResult:
    path = tmp_path / "RESULT.json"
    path.write_bytes(document if isinstance(document, bytes) else canonical(document))
    return results.read_result(path, expected)


def test_a_whole_result_about_the_given_bytes_counts(tmp_path: Path) -> None:
    found = read(tmp_path, RESULT)
    assert (found.engine_version, found.output["digest"]) == ("0.1.0", digest("c"))
    assert found.evidence[0]["kind"] == "size"


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["data"][0].update(digest=digest("f")),
        lambda d: d.update(data=[]),
        lambda d: d.update(parent=None),
        lambda d: d["parent"].update(digest=digest("f")),
        lambda d: d.update(recipe_digest=digest("f")),
    ],
)
def test_a_result_about_other_bytes_does_not_count(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    other = deepcopy(RESULT)
    change(other)
    with pytest.raises(WorkFailed) as failed:
        read(tmp_path, other)
    assert failed.value.failure.code == "bytes_differ"


@pytest.mark.parametrize(
    ("handed", "role", "character", "counts"),
    [
        ({"teacher": digest("8")}, "teacher", "8", True),
        ({"teacher": digest("8")}, "teacher", "9", False),
        ({}, "teacher", "a", True),  # the parent taught
        ({}, "teacher", "9", False),
        ({"student": digest("8")}, "student-start", "8", True),
        ({}, "student-start", "a", False),
    ],
)
def test_a_child_that_learned_from_or_began_as_a_model_that_nobody_handed_in_does_not_count(
    tmp_path: Path, handed: dict[str, str], role: str, character: str, counts: bool
) -> None:
    origin = {"digest": digest(character), "path": "model.onnx", "role": role, "size_bytes": 40}
    expected = Expected(digest("a"), None, digest("e"), {"evaluation": digest("d")}, learned=handed)
    if counts:
        assert read(tmp_path, {**RESULT, "origins": [origin]}, expected).document["origins"] == [origin]
        return
    with pytest.raises(WorkFailed, match="learned from another model") as failed:
        read(tmp_path, {**RESULT, "origins": [origin]}, expected)
    assert failed.value.failure.code == "bytes_differ"


ARCHITECTURE = {"digest": digest("7"), "path": "architecture.json", "size_bytes": 90}


@pytest.mark.parametrize("declared", ["7", "6", None])
@pytest.mark.parametrize("role", ["parent", "teacher", "student-start"])
def test_tensors_that_were_taken_for_another_architecture_than_their_version_declares_do_not_count(
    tmp_path: Path, role: str, declared: str | None
) -> None:
    document: dict[str, Any] = json.loads(json.dumps(RESULT))
    origin = {"digest": digest("8"), "path": "model.safetensors", "role": role, "size_bytes": 40}
    if role == "parent":
        document["parent"]["architecture"] = ARCHITECTURE
    else:
        document["origins"] = [origin | {"architecture": ARCHITECTURE}]
    learned = {} if role == "parent" else {role.partition("-")[0]: digest("8")}
    known = {} if declared is None else {role: digest(declared)}
    rows = {"evaluation": digest("d")}
    expected = Expected(digest("a"), None, digest("e"), rows, learned=learned, architectures=known)
    if declared == "7":
        read(tmp_path, document, expected)
        return
    with pytest.raises(WorkFailed, match="for another architecture than the version declares") as failed:
        read(tmp_path, document, expected)
    assert failed.value.failure.code == "bytes_differ"


EVALUATED: dict[str, Any] = {
    **RESULT,
    "command": "evaluate",
    "data": [
        {"broken": [], "digest": digest("d"), "role": "evaluation", "rows": 3},
        {"broken": ["row 2: no number"], "digest": digest("9"), "role": "out-of-distribution", "rows": 2},
    ],
    "others": [
        {"digest": digest("1"), "path": "model.onnx", "role": "incumbent", "size_bytes": 7},
        {"digest": digest("2"), "path": "model.onnx", "role": "first", "size_bytes": 7},
    ],
    "outputs_file": {"digest": digest("3"), "path": "outputs.safetensors", "size_bytes": 99},
    "plan": {"type": "pressmark/evaluation_plan/1"},
    "plan_digest": sha256(canonical({"type": "pressmark/evaluation_plan/1"})),
    "recipe": None, "recipe_digest": None,
}  # fmt: skip
JUDGED = Expected(
    digest("a"), digest("c"), None, {"evaluation": digest("d"), "out-of-distribution": digest("9")},
    {"incumbent": digest("1"), "first": digest("2")}, EVALUATED["plan_digest"],
)  # fmt: skip


def test_an_evaluation_counts_that_is_about_every_version_plan_and_row_it_was_given(tmp_path: Path) -> None:
    found = read(tmp_path, EVALUATED, JUDGED)
    assert found.outputs_file is not None
    assert found.outputs_file["digest"] == digest("3")
    assert read(tmp_path, RESULT).outputs_file is None


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(others=[]),
        lambda d: d["others"].pop(),
        lambda d: d["others"][0].update(digest=digest("f")),
        lambda d: d["others"][0].update(role="first") or d["others"][1].update(role="incumbent"),
        lambda d: d["data"].pop(),
        lambda d: d["data"][1].update(digest=digest("d")),
        lambda d: d.update(plan_digest=digest("f")),
        lambda d: d.update(plan_digest=None, plan=None),
        lambda d: d["plan"].update(task="none"),
        lambda d: d["outputs"][0].update(digest=digest("f")),
    ],
)
def test_an_evaluation_of_other_versions_rows_or_by_another_plan_does_not_count(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    other = deepcopy(EVALUATED)
    change(other)
    with pytest.raises(WorkFailed) as failed:
        read(tmp_path, other, JUDGED)
    assert failed.value.failure.code == "bytes_differ"


def test_a_measurement_of_another_file_does_not_count(tmp_path: Path) -> None:
    with pytest.raises(WorkFailed) as failed:
        read(tmp_path, RESULT, Expected(digest("a"), digest("b"), digest("e"), {"evaluation": digest("d")}))
    assert failed.value.failure.code == "bytes_differ"


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("seed"),
        lambda d: d.update(more=1),
        lambda d: d.update(type="pressmark/engine_result/2"),
        lambda d: d["outputs"][0].update(path="../model.onnx"),
        lambda d: d.update(outputs=[]),
        lambda d: d["evidence"][0]["document"].update(source="declared"),
        lambda d: d["evidence"][0]["document"].update(subjects=[{"digest": digest("a"), "role": "version"}]),
        lambda d: d["evidence"][0]["document"]["figures"][0].update(value="1e3"),
        lambda d: d["evidence"][0]["document"]["figures"][0].update(value=None),
        lambda d: d["engine"].update(version="0.1\n0"),
    ],
)
def test_a_result_of_another_shape_does_not_count(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    broken = deepcopy(RESULT)
    change(broken)
    with pytest.raises(WorkFailed) as failed:
        read(tmp_path, broken)
    assert failed.value.failure.code == "result_invalid"
    assert failed.value.failure.hint


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", canonical(RESULT) + b"\n", canonical(RESULT)[:-1]])
def test_bytes_that_are_not_canonical_do_not_count(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(WorkFailed) as failed:
        read(tmp_path, raw)
    assert failed.value.failure.code == "result_invalid"


def test_a_result_that_is_not_there_does_not_count(tmp_path: Path) -> None:
    with pytest.raises(WorkFailed) as failed:
        results.read_result(tmp_path / "RESULT.json", EXPECTED)
    assert failed.value.failure.code == "result_invalid"


def test_subjects_are_a_set_in_the_order_of_their_bytes() -> None:
    document = RESULT["evidence"][0]["document"]
    subjects = [("version", digest("c")), ("dataset", digest("d")), ("version", digest("c")), ("parent", digest("a"))]
    named = results.named_evidence(document, subjects)
    assert named["subjects"] == [
        {"digest": digest("a"), "role": "parent"}, {"digest": digest("c"), "role": "version"},
        {"digest": digest("d"), "role": "dataset"},
    ]  # fmt: skip
    assert {**named, "subjects": []} == document

"""The file of answers: the same bytes for the same answers, read back whole, refused when it is not one."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from compression_engine.answers.figures import recompute
from compression_engine.answers.outputs import Column, Field, Outputs
from compression_engine.answers.outputs_file import read_outputs, write_outputs
from compression_engine.canonical import canonical, digest_of
from compression_engine.errors import EngineError
from compression_engine.plan import Plan

PLAN = Plan(task="classification", label="y", slices=("räce",))
HEADER: dict[str, Any] = {"data": [{"digest": "sha256:0", "role": "evaluation"}], "seed": 3}


def some() -> Outputs:
    generator = np.random.default_rng(0)
    ragged = Field(generator.normal(size=7).astype(np.float16), np.array([0, 2, 2, 7]))
    return Outputs(
        {"version": {"answer": Field(generator.normal(size=(3, 4)).astype(np.float32)), "token_nll": ragged},
         "parent": {"answer": Field(generator.normal(size=(3, 4)).astype(np.float32))}},
        Field(np.array([1, 0, 3])),
        {"räce": Column(np.array([0, -1, 1], dtype=np.int32), ("a", "b"))},
        np.array([0, 0, 1]),
        {"income": np.array([1.5, 2.5, 3.5])},
    )  # fmt: skip


def same(a: Field, b: Field) -> bool:
    offsets = (a.offsets is None) == (b.offsets is None) and (a.offsets is None or np.array_equal(a.offsets, b.offsets))  # type: ignore[arg-type]
    return a.values.dtype == b.values.dtype and np.array_equal(a.values, b.values) and offsets


def test_what_is_written_is_read_back_with_plan_and_header(tmp_path: Path) -> None:
    record = write_outputs(tmp_path / "o.safetensors", some(), PLAN, HEADER)
    found, plan, header = read_outputs(tmp_path / "o.safetensors")
    assert (plan, header) == (PLAN, HEADER)
    for role, fields in some().models.items():
        assert all(same(found.models[role][name], field) for name, field in fields.items())
    assert found.labels is not None
    assert found.labels.values.tolist() == [1, 0, 3]
    assert found.slices["räce"].values == ("a", "b")
    assert found.slices["räce"].codes.tolist() == [0, -1, 1]
    assert found.sequences is not None
    assert found.sequences.tolist() == [0, 0, 1]
    assert found.inputs["income"].tolist() == [1.5, 2.5, 3.5]
    data = (tmp_path / "o.safetensors").read_bytes()
    assert record == {"digest": digest_of(data), "path": "o.safetensors", "size_bytes": len(data)}
    assert isinstance(found.answer("version").values, np.memmap)


def test_the_same_answers_give_the_same_bytes_and_others_do_not(tmp_path: Path) -> None:
    digests = [write_outputs(tmp_path / name, some(), PLAN, HEADER)["digest"] for name in ("a", "b")]
    digests.append(write_outputs(tmp_path / "c", some(), PLAN, HEADER | {"seed": 4})["digest"])
    assert digests[0] == digests[1] != digests[2]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["a", "b", "c"]


def test_the_format_s_own_library_reads_it(tmp_path: Path) -> None:
    write_outputs(tmp_path / "o.safetensors", some(), PLAN, HEADER)
    assert load_file(tmp_path / "o.safetensors")["0.answer"].shape == (3, 4)


def damaged(document: dict[str, Any], path: Path, tail: bytes = b"") -> Path:
    head = json.dumps(document).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + tail)
    return path


def test_what_is_no_outputs_file_is_refused(tmp_path: Path) -> None:
    write_outputs(tmp_path / "good", some(), PLAN, HEADER)
    good = (tmp_path / "good").read_bytes()
    length = int.from_bytes(good[:8], "little")
    entries: dict[str, Any] = json.loads(good[8 : 8 + length])
    tail = good[8 + length :]
    metadata: dict[str, Any] = json.loads(entries["__metadata__"]["pressmark"])

    def with_metadata(**changes: Any) -> dict[str, Any]:
        return entries | {"__metadata__": {"pressmark": canonical(metadata | changes).decode()}}

    shorter = [dict(member) for member in metadata["members"]]
    shorter[1]["offsets"] = None
    swapped = [dict(member) for member in metadata["members"]]
    swapped[4]["values"] = ["a"]
    cases = {
        "empty": b"", "short": b"\xff" * 8, "cut": good[:-1], "text": b"[" * 3000, "other": b"\x02" + b"\0" * 7 + b"{}",
    }  # fmt: skip
    paths = [tmp_path / name for name in cases]
    for path, (_, data) in zip(paths, cases.items(), strict=True):
        path.write_bytes(data)
    changed: list[dict[str, Any]] = [{"type": "a/b/1"}, {"members": []}, {"members": shorter}, {"members": swapped}]
    for number, changes in enumerate(changed):
        paths.append(damaged(with_metadata(**changes), tmp_path / f"m{number}", tail))
    for path in paths:
        with pytest.raises(EngineError) as refused:
            read_outputs(path)
        assert refused.value.code == "outputs_invalid", path.name
    with pytest.raises(EngineError) as refused:
        read_outputs(damaged(with_metadata(plan={"type": "no"}), tmp_path / "p", tail))
    assert refused.value.code == "plan_invalid"
    with pytest.raises(EngineError) as refused:
        read_outputs(tmp_path / "nothing")
    assert refused.value.code == "not_found"


_ODD: tuple[Any, ...] = (
    None,
    -1,
    0,
    1,
    2**40,
    True,
    "",
    "version",
    "parent",
    "answer",
    "label",
    [],
    ["a"],
    {},
    {"a": 1},
)


def changed(value: Any, draw: random.Random) -> Any:
    """The same with one thing in it left out, doubled, or put in the place of another."""
    if not value or not isinstance(value, dict | list) or draw.random() < 0.15:
        return draw.choice(_ODD)
    made = value.copy()
    place = draw.choice(sorted(value)) if isinstance(value, dict) else draw.randrange(len(value))
    kind = draw.random()
    if kind < 0.15:
        del made[place]
    elif kind < 0.3 and isinstance(made, list):
        made.append(value[place])
    else:
        made[place] = changed(value[place], draw)
    return made


def test_whatever_was_changed_in_a_file_it_is_read_or_refused_with_a_reason(tmp_path: Path) -> None:
    told = {"environment": [], "measures": ["quality"], "models": [{"role": "version"}], "plan_given": True}
    write_outputs(tmp_path / "good", some(), PLAN, HEADER | told)
    good = (tmp_path / "good").read_bytes()
    length = int.from_bytes(good[:8], "little")
    entries: dict[str, Any] = json.loads(good[8 : 8 + length])
    metadata: dict[str, Any] = json.loads(entries["__metadata__"]["pressmark"])
    draw, codes = random.Random(5), list[str]()
    recompute(damaged(entries, tmp_path / "changed", good[8 + length :]))
    for _ in range(400):
        if draw.random() < 0.7:
            text = canonical(changed(metadata, draw)).decode()
            made = entries | {"__metadata__": {"pressmark": text}}
        else:
            made = changed(entries, draw)
        try:
            recompute(damaged(made, tmp_path / "changed", good[8 + length :]), measures=["quality"])
        except EngineError as error:
            codes.append(error.code)
    assert set(codes) <= {"outputs_invalid", "plan_invalid", "nothing_to_compute"}
    assert len(codes) > 200

"""Whatever a header, an index or a graph says, what reads it answers with a typed error or a result, and writes nowhere else."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from compression_engine.errors import EngineError
from compression_engine.expanding import expand
from compression_engine.identifying.identify import identify
from compression_engine.pipeline import compress
from compression_engine.recipe import Recipe, Step
from tests.engine import nets

TRIED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NAMES = st.sampled_from(
    ["w", "w_scale", "w_packed", "w_shape", "w_zero_point", "../up", "__metadata__", "", "a\u0000", "\ud800", "v"]
)
SIZES = st.one_of(st.integers(-2, 70), st.sampled_from([2**31, 2**53, 2**63, True, "3", None, 1.5]))
DTYPES = st.sampled_from(
    ["F32", "F16", "BF16", "F64", "I8", "I32", "I64", "U8", "BOOL", "F8_E4M3", "C64", "X", 4, None]
)
STEPS = st.sampled_from(
    [
        Step("quantize_weights", {"min_elements": 1}),
        Step("quantize_weights", {"min_elements": 1, "bits": 4, "granularity": "block", "symmetric": False}),
        Step("convert_fp16", {"min_elements": 1}),
    ]
)
ENTRIES = st.fixed_dictionaries(
    {"dtype": DTYPES, "shape": st.lists(SIZES, max_size=4), "data_offsets": st.lists(SIZES, min_size=1, max_size=3)}
)
HEADERS = st.dictionaries(
    NAMES, st.one_of(ENTRIES, st.none(), st.dictionaries(NAMES, st.text(max_size=3), max_size=2)), max_size=5
)


def tried(path: Path, step: Step, folder: Path) -> None:
    """Everything that reads a file in safetensors; every error but a typed one fails the test."""
    out = folder / "out"
    for call in (
        lambda: compress(path, Recipe("r", (step,)), output_folder=out / "small"),
        lambda: expand(path, out / "large"),
        lambda: identify(path, folder / "among"),
    ):
        with contextlib.suppress(EngineError):
            call()
    known = {"among", "out", path.name}
    assert {entry.name for entry in folder.iterdir()} <= known
    assert {entry.name for entry in out.iterdir()} <= {"small", "large"} if out.exists() else True
    for made in out.rglob("*"):
        if made.is_file():
            made.unlink()
    for made in sorted(out.rglob("*"), reverse=True):
        made.rmdir()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    nets.save(nets.mlp(), tmp_path / "f" / "among")
    return tmp_path / "f"


@TRIED
@given(header=HEADERS, more=st.binary(max_size=64), step=STEPS)
def test_no_header_gets_past_the_checks(folder: Path, header: dict[str, Any], more: bytes, step: Step) -> None:
    text = json.dumps(header).encode()
    path = folder / "m.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + more)
    tried(path, step, folder)


@TRIED
@given(
    shape=st.lists(st.integers(0, 9), max_size=4),
    parts=st.dictionaries(
        st.sampled_from(["w", "w_scale", "w_packed", "w_shape", "w_zero_point", "v"]),
        st.tuples(
            st.sampled_from(["f4", "f2", "f8", "i1", "i4", "i8", "u1"]),
            st.lists(st.integers(0, 9), max_size=3),
            st.integers(-9, 90),
        ),
        max_size=5,
    ),
    step=STEPS,
)
def test_no_tensors_that_do_not_fit_together_get_past(
    folder: Path, shape: list[int], parts: dict[str, tuple[str, list[int], int]], step: Step
) -> None:
    held = {
        name: np.full(sizes, number, dtype=kind)
        for name, (kind, sizes, number) in parts.items()
        if kind != "u1" or number >= 0
    }
    path = folder / "m.safetensors"
    path.write_bytes(save(held | {"x": np.ones(shape, dtype=np.float32)}))
    tried(path, step, folder)


@TRIED
@given(
    place=st.integers(0, 10**6),
    value=st.integers(0, 255),
    kind=st.sampled_from(["plain", "int4", "dynamic", "branches"]),
)
def test_a_changed_byte_of_a_graph_never_crashes_who_looks_for_its_parent(
    folder: Path, place: int, value: int, kind: str
) -> None:
    model = nets.with_constant_and_branch() if kind == "branches" else nets.encoder()
    if kind == "int4":
        model = nets.applied(model, "quantize_weights", bits=4, granularity="block")[0]
    if kind == "dynamic":
        model = nets.applied(model, "quantize_dynamic")[0]
    for tensor in model.graph.initializer:
        tensor.ClearField("doc_string")
    data = bytearray(model.SerializeToString())
    # the graph itself is a small part of the file: its last bytes, and the first of each tensor
    data[place % len(data) if place % 2 else -1 - place % 3000] = value
    path = folder / "m.onnx"
    path.write_bytes(data)
    with contextlib.suppress(EngineError):
        identify(path, folder / "among")
    path.unlink()

"""safetensors: the header is attacker's data until it agrees with the bytes."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from compression_engine.errors import FileRefused
from compression_engine.inspect import Inspection, inspect_file
from compression_engine.structure.pickles import looks_pickled


def build(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def look(data: bytes, name: str = "model.safetensors") -> Inspection:
    return inspect_file(io.BytesIO(data), name=name)


def refusal(data: bytes, name: str = "model.safetensors") -> FileRefused:
    with pytest.raises(FileRefused) as refused:
        look(data, name)
    assert refused.value.hint
    return refused.value


def entry(start: int, end: int, shape: list[int] | None = None, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": [(end - start) // 4] if shape is None else shape, "data_offsets": [start, end]}


def test_a_file_of_the_real_library_is_described() -> None:
    arrays = {"a": np.ones((3, 4), dtype=np.float32), "b": np.arange(5), "c": np.ones(2, dtype=np.float16)}
    found = look(save(arrays, metadata={"framework": "numpy"}))
    assert (found.format, found.tensor_count, found.parameter_count) == ("safetensors", 3, 19)
    assert found.bytes_by_dtype == (("F16", 4), ("F32", 48), ("I64", 40))
    assert found.metadata == (("framework", "numpy"),)


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        ({"a": entry(0, 8), "b": entry(4, 12)}, b"x" * 12, "overlaps"),
        ({"a": entry(0, 8), "b": entry(12, 16)}, b"x" * 16, "gap"),
        ({"a": entry(4, 8)}, b"x" * 8, "gap"),
        ({"a": entry(0, 8, [3])}, b"x" * 8, "needs 12 bytes"),
        ({"a": entry(0, 8, [2**52, 2**52])}, b"x" * 8, "needs"),
        ({"a": entry(8, 0, [2])}, b"x" * 8, "offsets"),
        ({"a": entry(0, 8, [-2])}, b"x" * 8, "shape"),
        ({"a": entry(0, 8, [True, 2])}, b"x" * 8, "shape"),
        ({"a": entry(0, 8, dtype="F33")}, b"x" * 8, "dtype"),
        ({"a": {"dtype": "F32", "shape": [2]}}, b"x" * 8, "described by"),
        ({"a": [1, 2]}, b"", "described by"),
        ({"__metadata__": {"k": 1}}, b"", "metadata"),
        ({"a": entry(0, 8)}, b"x" * 9, "belong to no tensor"),
        ({"\ud800": entry(0, 8)}, b"x" * 8, "cannot be written down"),
        ({"a\0b": entry(0, 8)}, b"x" * 8, "cannot be written down"),
        ({"__metadata__": {"k": "\udfff"}}, b"", "cannot be written down"),
        (b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{}}', b"xxxx", "twice"),
        (b"{[", b"", "not JSON"),
        (b'{"a":' + b"[" * 100_000, b"", "not JSON"),
        (b'{"a":{"dtype":"F32","shape":[' + b"9" * 5_000 + b'],"data_offsets":[0,4]}}', b"xxxx", "not JSON"),
    ],
)
def test_a_header_that_disagrees_with_itself_is_refused(header: Any, data: bytes, message: str) -> None:
    error = refusal(build(header, data))
    assert error.code == "structure_invalid"
    assert message in error.message


@pytest.mark.parametrize("header_bytes", [128, 384, 1408, 65664])
def test_a_header_whose_length_opens_like_a_pickle_is_read(header_bytes: int) -> None:
    text = json.dumps({"a": entry(0, 8)}).encode()
    data = build(text + b" " * (header_bytes - len(text)), b"x" * 8)
    assert data[0] == 0x80
    assert look(data).tensor_count == 1


@pytest.mark.parametrize("opcode", range(0x81))
def test_what_a_pickle_could_act_behind_is_refused_whatever_its_length_says(opcode: int) -> None:
    head = bytes([0x80, 2, opcode]) + b"\0\0\0\0\0{"
    if not looks_pickled(head):
        for more in (b"", b"\n", b"\0\0", b"}\n"):
            with pytest.raises((pickle.UnpicklingError, IndexError, EOFError)):
                pickle.loads(head + more + b"cos\ngetpid\n(tR.")


def test_a_file_that_is_cut_is_refused() -> None:
    data = save({"a": np.ones((3, 4), dtype=np.float32)})
    for length in (3, 8, 20, len(data) - 1):
        assert refusal(data[:length]).code == "file_truncated"


def test_a_header_of_nine_megabytes_is_not_read() -> None:
    tracemalloc.start()
    error = refusal((9 * 1024**2).to_bytes(8, "little") + b"{" + b" " * 1000)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error.code == "limit_exceeded"
    assert peak_bytes < 1024**2


def test_a_header_length_of_2_to_the_63_is_refused() -> None:
    assert refusal((2**63).to_bytes(8, "little") + b"{}").code in {"limit_exceeded", "structure_invalid"}


def test_safetensors_under_another_name_is_refused() -> None:
    data = save({"a": np.ones(3, dtype=np.float32)})
    assert refusal(data, "model.onnx").code == "format_mismatch"
    assert refusal(data, "model.pt2").code == "format_mismatch"
    assert refusal(data, "model").code == "format_unknown"


def test_a_file_of_two_gigabytes_is_walked_in_little_memory(tmp_path: Path) -> None:
    size_bytes = 2 * 1024**3
    path = tmp_path / "model.safetensors"
    head = build({"a": entry(0, size_bytes)})
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size_bytes)
    tracemalloc.start()
    found = inspect_file(path, name=path.name)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.parameter_count == size_bytes // 4
    assert peak_bytes < 1024**2


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 200), st.integers(0, 255))
def test_a_changed_byte_never_crashes_the_reader(place: int, value: int) -> None:
    data = bytearray(save({"a": np.ones((3, 4), dtype=np.float32), "b": np.arange(5)}))
    data[place % len(data)] = value
    with contextlib.suppress(FileRefused):  # every other exception fails the test
        look(bytes(data))

"""Pickles under every name, archives of PyTorch, and files that are no models."""

from __future__ import annotations

import collections
import io
import json
import pickle
import pickletools
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from compression_engine.errors import FileRefused
from compression_engine.inspect import inspect_file


class Exploit:
    """What a hostile pickle holds: opening it would leave a mark."""

    marks: list[str] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return (Exploit.marks.append, ("executed",))


def refusal(data: bytes, name: str) -> FileRefused:
    with pytest.raises(FileRefused) as refused:
        inspect_file(io.BytesIO(data), name=name)
    assert Exploit.marks == []
    assert refused.value.hint
    return refused.value


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def exported(**changes: bytes | None) -> dict[str, bytes]:
    """The members of a small exported program, as torch.export.save lays them out."""
    meta = {"dtype": 7, "sizes": [{"as_int": 2}, {"as_int": 3}]}
    config = {"config": {"w": {"path_name": "weight_0", "is_param": True, "use_pickle": False, "tensor_meta": meta}}}
    members = {
        "archive_format": b"pt2",
        "models/model.json": b"{}",
        "data/weights/weight_0": b"\0" * 24,
        "data/weights/model_weights_config.json": json.dumps(config).encode(),
        "data/constants/model_constants_config.json": b'{"config": {}}',
    }
    for name, data in changes.items():
        members[name] = data or b""
    return {f"net/{name}": data for name, data in members.items() if data}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ["model.pkl", "model.onnx", "model.safetensors", "model.pt2", "model"])
def test_a_pickle_of_every_protocol_is_refused_under_every_name(protocol: int, name: str) -> None:
    for value in (Exploit(), {"weights": [1.0, 2.0]}, [1, 2], collections.OrderedDict(a=1)):
        if value.__class__ is Exploit and protocol < 2:
            continue
        assert refusal(pickle.dumps(value, protocol=protocol), name).code == "pickle_refused"


def test_a_text_pickle_that_would_call_a_shell_is_refused() -> None:
    data = b"cos\nsystem\n(S'echo hello'\ntR."
    assert any(opcode.name == "REDUCE" for opcode, _, _ in pickletools.genops(data))
    assert refusal(data, "model.onnx").code == "pickle_refused"


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.pt2", "model.onnx", "model.bin"])
def test_a_checkpoint_of_pytorch_is_called_the_pickle_that_it_is(name: str) -> None:
    data = zipped({"archive/data.pkl": pickle.dumps(Exploit()), "archive/version": b"3\n"})
    assert refusal(data, name).code == "pickle_refused"


def test_real_files_of_pytorch_are_told_apart(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    state = {"w": torch.zeros(2, 3)}
    torch.save(state, tmp_path / "new.pt")
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("new.pt", "old.pt"):
        assert refusal((tmp_path / name).read_bytes(), name).code == "pickle_refused"


def test_a_really_exported_program_is_described(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    program = torch.export.export(torch.nn.Linear(4, 8), (torch.zeros(3, 4),))
    torch.export.save(program, tmp_path / "model.pt2")
    found = inspect_file(tmp_path / "model.pt2", name="model.pt2")
    assert (found.format, found.tensor_count, found.parameter_count) == ("pt2", 2, 40)
    assert found.bytes_by_dtype == (("float32", 160),)


def test_the_small_archive_of_these_tests_is_accepted() -> None:
    found = inspect_file(io.BytesIO(zipped(exported())), name="model.pt2")
    assert (found.tensor_count, found.parameter_count) == (1, 6)


def test_an_exported_program_under_another_name_is_refused() -> None:
    assert refusal(zipped(exported()), "model.onnx").code == "format_mismatch"


def test_a_sample_input_that_calls_anything_else_is_refused() -> None:
    for hostile in (
        pickle.dumps(Exploit(), protocol=2),
        b"cos\nsystem\n(S'x'\ntR.",
        pickle.dumps(Exploit(), protocol=4),
    ):
        sample = zipped({"archive/data.pkl": hostile})
        error = refusal(zipped(exported(**{"data/sample_inputs/model.pt": sample})), "model.pt2")
        assert error.code == "pickle_refused"


@pytest.mark.parametrize("place", ["data/constants/custom_obj_0", "data/extra/x", "models/other.json"])
def test_a_pickle_in_any_other_member_is_refused(place: str) -> None:
    for hostile in (pickle.dumps(Exploit(), protocol=2), zipped({"a/data.pkl": b"x"})):
        assert refusal(zipped(exported(**{place: hostile})), "model.pt2").code == "pickle_refused"


def test_a_weight_stored_as_pickle_is_refused() -> None:
    config = {"config": {"w": {"path_name": "weight_0", "use_pickle": True, "tensor_meta": {"dtype": 7, "sizes": []}}}}
    data = zipped(exported(**{"data/weights/model_weights_config.json": json.dumps(config).encode()}))
    assert refusal(data, "model.pt2").code == "pickle_refused"


def test_a_weight_with_too_few_bytes_or_none_is_refused() -> None:
    assert refusal(zipped(exported(**{"data/weights/weight_0": b"\0" * 20})), "model.pt2").code == "structure_invalid"
    assert refusal(zipped(exported(**{"data/weights/weight_0": None})), "model.pt2").code == "file_truncated"


def test_a_compressed_archive_is_refused_before_it_is_unpacked() -> None:
    bomb = exported(**{"data/weights/weight_1": b"\0" * 50_000_000})
    assert refusal(zipped(bomb, zipfile.ZIP_DEFLATED), "model.pt2").code == "limit_exceeded"


@pytest.mark.parametrize("name", ["net/../../evil", "/net/evil", "net//evil"])
def test_a_member_that_leaves_its_folder_is_refused(name: str) -> None:
    members = exported() | {name: b"x"}
    assert refusal(zipped(members), "model.pt2").code == "structure_invalid"


def test_a_doubled_member_is_refused() -> None:
    members = exported() | {"other/archive_format": b"pt2"}
    assert "two members" in refusal(zipped(members), "model.pt2").message


def test_a_broken_archive_is_refused_and_never_called_clean() -> None:
    data = zipped(exported())
    for broken in (data[:-30], data[: len(data) // 2], b"PK\x03\x04" + b"\0" * 200):
        assert refusal(broken, "model.pt2").code in {"file_truncated", "structure_invalid"}


def test_a_tar_and_other_files_are_named() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("pickle"), io.BytesIO())
    assert refusal(out.getvalue(), "model.pt").code == "pickle_refused"
    for data, word in ((b"GGUF\x03\0\0\0", "GGUF"), (b"#!/bin/sh\necho", "script"), (b"\x89HDF\r\n\x1a\n", "HDF5")):
        error = refusal(data, "model.onnx")
        assert error.code == "format_unknown"
        assert word in error.message
    assert refusal(zipped({"a.txt": b"x"}), "model.pt2").code == "format_unknown"

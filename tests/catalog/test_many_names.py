"""One small file under thousands of names costs no more than one: the paths are the client's, and so cheap to send."""

from __future__ import annotations

from typing import Any

import pytest

from registry.catalog import manifest
from registry.catalog.manifest import FileSpec, check_manifest
from registry.errors import Invalid
from registry.provenance import services
from tests.world import World


def test_weights_under_many_names_are_looked_into_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    look = manifest.inspect_file

    def counted(source: Any, *, name: str, siblings: Any) -> Any:
        looked.append(name)
        return look(source, name=name, siblings=siblings)

    monkeypatch.setattr(manifest, "inspect_file", counted)
    digest = world.upload(world.tiny_onnx(1)).digest
    found = check_manifest([FileSpec(f"part/{number:03}.onnx", "weights", digest) for number in range(300)])
    assert (len(found.inspections), looked) == (300, ["part/000.onnx"])
    with pytest.raises(Invalid, match=r"named\.safetensors"):
        check_manifest([FileSpec("a.onnx", "weights", digest), FileSpec("named.safetensors", "weights", digest)])


def test_the_files_beside_one_are_those_below_its_folder_and_not_itself() -> None:
    paths = {"a/m.onnx": 1, "a/w.bin": 2, "a/b/x.bin": 3, "top.bin": 4, "ab/y.bin": 5}
    assert set(manifest._Beside("a/m.onnx", paths)) == {"w.bin", "b/x.bin"}
    assert set(manifest._Beside("top.bin", paths)) == {"a/m.onnx", "a/w.bin", "a/b/x.bin", "ab/y.bin"}
    for name in ("m.onnx", "../top.bin", "./w.bin", "top.bin", ""):
        assert name not in manifest._Beside("a/m.onnx", paths)
    assert len(manifest._Beside("a/m.onnx", paths)) == 2


def test_rows_under_many_names_are_walked_once_and_each_name_keeps_its_count(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    walked: list[int] = []
    walk = services.measure_rows

    def counted(file: Any) -> Any:
        walked.append(1)
        return walk(file)

    monkeypatch.setattr(services, "measure_rows", counted)
    digest = world.upload(b'{"a": 1}\n{"a": 2}\n').digest
    files = [(f"{number}.jsonl", digest) for number in range(300)]
    found = services.measure_uploads(actor=world.cast.ada, files=files)
    assert [(file.path, file.digest) for file in found] == files
    assert (len(walked), sum(file.measured.row_count or 0 for file in found)) == (1, 600)

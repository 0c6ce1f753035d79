"""A packed model gives back every byte or nothing: round trips, sizes against entropy, torn and hostile files."""

from __future__ import annotations

import hashlib
import json
import lzma
import struct
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from compression_engine.canonical import canonical
from compression_engine.command_line import main
from compression_engine.errors import EngineError, FileRefused
from compression_engine.inspect import inspect_file
from compression_engine.limits import Limits, within
from compression_engine.packed import header
from compression_engine.packed.blocks import BLOCK_BYTES, HEAD, decode_block, encode_block
from compression_engine.packed.packing import pack
from compression_engine.packed.placed import Placing
from compression_engine.packed.unpacking import unpack
from compression_engine.pipeline import compress
from compression_engine.recipe import shipped_recipes

RNG = np.random.default_rng(7)

# 40 plain bytes as they are, then 320 integers, three of four of them zero, in the lanes and by the table that stand there
VECTOR_BYTES = bytes(range(40)) + bytes([0, 0, 0, 1, 0, 0, 255, 0, 0, 0, 2, 0, 0, 0, 0, 1] * 20)


def _model(folder: Path, *, apart: bool = False) -> Path:
    """A net of one product: dense integers, sparse nibbles, floats of both lengths; most bytes in weights."""
    dense = np.clip(np.round(RNG.normal(0, 30, (128, 96))), -127, 127).astype(np.int8)
    sparse = np.where(RNG.random((96, 128)) < 0.9, 0, RNG.integers(-7, 8, (96, 128))).astype(np.int8)
    weights = [
        numpy_helper.from_array(dense, "dense"),
        numpy_helper.from_array(sparse, "sparse"),
        numpy_helper.from_array(RNG.normal(0, 0.1, (64, 64)).astype(np.float32), "single"),
        numpy_helper.from_array(RNG.normal(0, 0.1, (64, 64)).astype(np.float16), "half"),
    ]
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "net", ports[:1], ports[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    onnx.save(model, str(path), save_as_external_data=apart, location="model.data")
    return path


@cache
def _packed_once() -> tuple[bytes, bytes]:
    """The model and what it is packed to."""
    with tempfile.TemporaryDirectory() as folder:
        model, path = _model(Path(folder)), Path(folder) / "model.onnx.packed"
        pack(model, path)
        return model.read_bytes(), path.read_bytes()


def _packed(tmp_path: Path) -> Path:
    """A packed file with the model beside it, which a test may spoil."""
    path = tmp_path / "made" / "model.onnx.packed"
    path.parent.mkdir(parents=True, exist_ok=True)
    for place, data in zip((path.with_suffix(""), path), _packed_once(), strict=True):
        place.write_bytes(data)
    return path


def test_every_byte_of_an_onnx_file_comes_back(tmp_path: Path) -> None:
    model = _model(tmp_path / "a")
    made = pack(model, tmp_path / "p.packed")
    written = unpack(tmp_path / "p.packed", tmp_path / "back.onnx")
    assert (tmp_path / "back.onnx").read_bytes() == model.read_bytes()
    assert (
        written[0]["digest"] == made["holds"][0]["digest"] == f"sha256:{hashlib.sha256(model.read_bytes()).hexdigest()}"
    )
    assert made["size_bytes"] == (tmp_path / "p.packed").stat().st_size < 0.8 * model.stat().st_size


def test_where_models_are_kept_unpacked_a_packed_one_is_called_so_whatever_its_name(tmp_path: Path) -> None:
    packed = _packed(tmp_path)
    for name in ("model.onnx.packed", "model.onnx", "model.safetensors"):
        with pytest.raises(FileRefused, match="is a packed model") as refused:
            inspect_file(packed, name=name)
        assert refused.value.code == "model_packed"
        assert "compression_engine unpack" in refused.value.hint


def test_external_data_come_back_beside_their_model(tmp_path: Path) -> None:
    model = _model(tmp_path / "a", apart=True)
    pack(model, tmp_path / "p.packed")
    unpack(tmp_path / "p.packed", tmp_path / "back")
    for name in ("model.onnx", "model.data"):
        assert (tmp_path / "back" / name).read_bytes() == (model.parent / name).read_bytes()
    with pytest.raises(EngineError, match="Give a folder"):
        unpack(tmp_path / "p.packed", tmp_path / "one.onnx")


def test_safetensors_and_exported_programs_come_back(tmp_path: Path) -> None:
    tensors = tmp_path / "w.safetensors"
    save_file({"a": RNG.integers(-8, 8, (80, 80)).astype(np.int8), "b": np.zeros((40, 40), np.float32)}, str(tensors))
    archive = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(torch.nn.Linear(40, 40), (torch.zeros(1, 40),)), archive)
    for model in (tensors, archive):
        pack(model, tmp_path / f"{model.name}.packed")
        unpack(tmp_path / f"{model.name}.packed", tmp_path / f"back{model.suffix}")
        assert (tmp_path / f"back{model.suffix}").read_bytes() == model.read_bytes()


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    model = _model(tmp_path / "a")
    digests = {pack(model, tmp_path / f"{number}.packed")["digest"] for number in range(2)}
    assert len(digests) == 1


@pytest.mark.parametrize(
    "share_of_zeros", [0.0, 0.9, *(pytest.param(share, marks=pytest.mark.long) for share in (0.5, 0.99))]
)
def test_integers_take_what_their_entropy_says_within_two_percent(share_of_zeros: float) -> None:
    values = np.clip(np.round(RNG.normal(0, 25, 262_144)), -127, 127).astype(np.int8)
    values[RNG.random(values.size) < share_of_zeros] = 0
    data = values.tobytes()
    coded = encode_block(data, Placing(integers=True, shape=(512, 512)))
    assert len(coded) <= 1.02 * _entropy_bytes(values.view(np.uint8), 256) + 300  # the table
    assert len(coded) < len(lzma.compress(data, preset=9))
    assert decode_block(coded[0], memoryview(coded)[HEAD.size :], len(data)) == data


def test_two_integers_in_a_byte_take_what_their_entropy_says_within_two_percent() -> None:
    halves = np.where(RNG.random(262_144) < 0.8, 0, RNG.integers(1, 16, 262_144)).astype(np.uint8)
    coded = encode_block((halves[0::2] | halves[1::2] << 4).tobytes(), Placing(integers=True, shape=(512, 256)))
    assert len(coded) <= 1.02 * _entropy_bytes(halves, 16) + 40


def test_channels_that_spread_differently_get_tables_of_their_own() -> None:
    scales = np.repeat([2, 8, 40], 100)[:, None]
    rows = np.clip(np.round(RNG.normal(0, 1, (300, 400)) * scales), -127, 127).astype(np.int8)
    for values in (rows, np.ascontiguousarray(rows.T)):
        coded = encode_block(values.tobytes(), Placing(integers=True, shape=values.shape))
        assert len(coded) < 0.9 * _entropy_bytes(values.reshape(-1).view(np.uint8), 256)


def test_zeros_that_come_in_runs_take_less_than_their_share_says() -> None:
    values = np.repeat(RNG.random(4096) < 0.2, 32) * RNG.integers(1, 100, 131_072)
    coded = encode_block(values.astype(np.uint8).tobytes(), Placing(integers=True))
    assert len(coded) < 0.95 * _entropy_bytes(values.astype(np.uint8), 256)


def test_pruned_floats_take_what_is_left_of_them() -> None:
    values = RNG.normal(0, 0.1, 65_536).astype(np.float32)
    values[RNG.random(values.size) < 0.8] = 0
    data = values.tobytes()
    coded = encode_block(data, Placing(width=4))
    assert len(coded) < 0.24 * len(data)
    assert decode_block(coded[0], memoryview(coded)[HEAD.size :], len(data)) == data


def test_a_file_of_another_origin_is_read_as_the_description_says(tmp_path: Path) -> None:
    """The test vector of docs/storage.md, put together by hand."""
    plain, integers = VECTOR_BYTES[:40], VECTOR_BYTES[40:]
    table = bytearray(32)
    table[0], table[31] = 0b111, 0b10000000
    # 0: 12,288 of 16,384; 1: 2,048; 2 and 255: 1,024 each
    frequencies = b"\x80\x60" + b"\x80\x10" + b"\x80\x08" + b"\x80\x08"
    coded = bytes.fromhex(VECTOR_CODED)
    body = struct.pack("<BBI", 0, 0, 1) + bytes(table) + frequencies + coded
    blocks = struct.pack("<BI", 0, 40) + plain + struct.pack("<BI", 2, len(body)) + body
    document = canonical(
        {
            "files": [
                {
                    "digest": f"sha256:{hashlib.sha256(VECTOR_BYTES).hexdigest()}",
                    "name": "a.onnx",
                    "size_bytes": 360,
                    "stretches": [-40, 320],
                }
            ],
            "format": "pressmark/packed/1",
        }
    )
    start = b"\x93PMPACK\n" + struct.pack("<II", 1, len(document)) + document + hashlib.sha256(document).digest()
    (tmp_path / "v.packed").write_bytes(start + blocks)
    unpack(tmp_path / "v.packed", tmp_path / "v")
    assert (tmp_path / "v" / "a.onnx").read_bytes() == VECTOR_BYTES
    assert integers[3:7] == b"\x01\x00\x00\xff"


VECTOR_CODED = (
    "c807c1ea72cb1906ea280f6b5d1dda3fa0345d34aae831940e6f0f49f467b0d5f605a811eabf95f264165b006c178da600183570"
)


_HOW: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow],
}
"""The same bytes are changed on every machine, however slow."""


@given(st.data())
@settings(max_examples=20, **_HOW)
def test_changed_bytes_are_refused_or_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    _change(tmp_path_factory, data)


@pytest.mark.long
@given(st.data())
@settings(max_examples=300, **_HOW)
def test_changed_bytes_are_refused_or_change_nothing_many_times(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    _change(tmp_path_factory, data)


def _change(factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = factory.mktemp("flips")
    packed = bytearray(_once(factory).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    _refused_or_same(factory, folder, bytes(packed))


@given(st.data())
@settings(max_examples=12, **_HOW)
def test_torn_and_lengthened_files_are_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    _tear(tmp_path_factory, data)


@pytest.mark.long
@given(st.data())
@settings(max_examples=150, **_HOW)
def test_torn_and_lengthened_files_are_refused_wherever_they_end(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    _tear(tmp_path_factory, data)


def _tear(factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = factory.mktemp("torn")
    packed = _once(factory).read_bytes()
    end = data.draw(st.integers(0, len(packed) - 1))
    (folder / "p.packed").write_bytes(data.draw(st.sampled_from([packed[:end], packed + b"\0"])))
    with pytest.raises(FileRefused):
        unpack(folder / "p.packed", folder / "back")
    assert not (folder / "back").exists()


def test_a_file_that_claims_more_than_there_is_room_for_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    claimed = header.PackedFile("model.onnx", "sha256:" + "0" * 64, 2**52, (2**52,))
    (tmp_path / "p.packed").write_bytes(header.header_bytes([claimed]))
    with pytest.raises(EngineError) as refused:
        unpack(tmp_path / "p.packed", tmp_path / "back")
    assert refused.value.code == "disk_full"
    packed = _packed(tmp_path)
    with within(Limits(disk_bytes=20_000)), pytest.raises(EngineError, match="disk"):
        unpack(packed, tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("name", ["../up.onnx", "/etc/x.onnx", "a/../../x", "c:\\x.onnx", "", "a//b", "a\nb"])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    claimed = header.PackedFile(name, "sha256:" + hashlib.sha256(b"abc").hexdigest(), 3, (-3,))
    (folder / "p.packed").write_bytes(header.header_bytes([claimed]) + struct.pack("<BI", 0, 3) + b"abc")
    with pytest.raises(FileRefused, match="plain path"):
        unpack(folder / "p.packed", folder / "back")
    assert [path.name for path in folder.iterdir()] == ["p.packed"]
    assert not (tmp_path / "up.onnx").exists()


def test_a_block_that_would_grow_is_stopped_at_its_size() -> None:
    bomb = lzma.compress(
        bytes(BLOCK_BYTES * 8), format=lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": BLOCK_BYTES}]
    )
    with pytest.raises(FileRefused, match="holds more than it says"):
        decode_block(1, memoryview(bomb), BLOCK_BYTES)


def test_nothing_is_packed_twice_or_over_something(tmp_path: Path) -> None:
    packed = _packed(tmp_path)
    with pytest.raises(FileRefused, match="packed already"):
        pack(packed, tmp_path / "again.packed")
    with pytest.raises(EngineError, match="exists already"):
        pack(tmp_path / "made" / "model.onnx", packed)


def _entropy_bytes(symbols: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], alphabet: int) -> float:
    counts = np.bincount(symbols, minlength=alphabet)
    shares = counts[counts > 0] / symbols.size
    return float(-(shares * np.log2(shares)).sum() * symbols.size / 8)


def _once(factory: pytest.TempPathFactory) -> Path:
    path = factory.getbasetemp() / "packed-once" / "made" / "model.onnx.packed"
    return path if path.exists() else _packed(path.parent.parent)


def _refused_or_same(factory: pytest.TempPathFactory, folder: Path, packed: bytes) -> None:
    (folder / "p.packed").write_bytes(packed)
    try:
        unpack(folder / "p.packed", folder / "back")
    except EngineError:
        assert [path.name for path in folder.iterdir()] == ["p.packed"]
        return
    original = (_once(factory).parent / "model.onnx").read_bytes()
    assert [path.read_bytes() for path in (folder / "back").iterdir()] == [original]


def test_a_packed_model_may_be_named_wherever_a_model_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = _packed(tmp_path)
    assert main(["inspect", str(packed), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["inspection"]["format"] == "onnx"
    assert main(["pack", str(packed), "--output", str(tmp_path / "twice"), "--json"]) == 1
    assert "packed already" in capsys.readouterr().out
    assert main(["unpack", str(packed), "--output", str(tmp_path / "back.onnx"), "--json"]) == 0
    assert (tmp_path / "back.onnx").read_bytes() == (packed.parent / "model.onnx").read_bytes()


def test_compress_packs_what_it_made_and_says_both_sizes(tmp_path: Path) -> None:
    parent = tmp_path / "a" / "model.onnx"
    parent.parent.mkdir()
    weight = numpy_helper.from_array(RNG.normal(0, 0.1, (64, 64)).astype(np.float32), "w")
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 64]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "net", ports[:1], ports[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(parent))
    recipe = shipped_recipes()["smaller-same-speed"].recipe
    result = compress(parent, recipe, output_folder=tmp_path / "out", pack=True)
    packed = tmp_path / "out" / "model.onnx.packed"
    said = result.document()["packed"]
    assert (said["path"], said["size_bytes"]) == (packed.name, packed.stat().st_size)
    assert said["digest"] == f"sha256:{hashlib.sha256(packed.read_bytes()).hexdigest()}"
    assert result.value("packed_size_bytes") == packed.stat().st_size
    unpack(packed, tmp_path / "back.onnx")
    assert (tmp_path / "back.onnx").read_bytes() == (tmp_path / "out" / "model.onnx").read_bytes()
    assert compress(parent, recipe, output_folder=tmp_path / "plain").document()["packed"] is None

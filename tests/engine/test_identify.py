"""A stranger's file is named after the model that it was made from, whoever compressed it; or it is unknown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, version_converter
from safetensors.numpy import save_file

from compression_engine.errors import EngineError
from compression_engine.identifying.identify import Identity, identify
from compression_engine.identifying.weights import weights_of
from tests.engine import nets


def net(seed: int, *, opset: int = 17) -> onnx.ModelProto:
    """ids -> embedding (700 x 64) -> MatMul (64 x 96) -> Relu -> Gemm (32 x 96, transposed) -> LSTM (32 -> 16)."""
    generator = np.random.default_rng(seed)

    def weight(*shape: int) -> np.ndarray:
        return (0.1 * generator.normal(size=shape)).astype(np.float32)

    nodes = [
        helper.make_node("Gather", ["words", "ids"], ["e"]),
        helper.make_node("MatMul", ["e", "up"], ["u"]),
        helper.make_node("Relu", ["u"], ["r"]),
        helper.make_node("Transpose", ["down"], ["down_turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["r", "down_turned"], ["d"]),
        helper.make_node("LSTM", ["d", "w", "r_w"], ["", "y"], hidden_size=16),
    ]
    tensors = {
        "words": weight(700, 64), "up": weight(64, 96), "down": weight(32, 96), "w": weight(1, 64, 32), "r_w": weight(1, 64, 16)
    }  # fmt: skip
    ports = ({"ids": (TensorProto.INT64, [5, 6])}, {"y": (TensorProto.FLOAT, [1, 6, 16])})
    return nets.model(nodes, tensors, *ports, opset=opset)


@pytest.fixture(scope="module")
def among(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six models, the first two of one architecture with four others."""
    folder = tmp_path_factory.mktemp("among")
    for seed in range(4):
        nets.save(net(seed), folder / f"net{seed}")
    nets.save(nets.mlp(), folder, "mlp.onnx")
    nets.save(nets.convolution(), folder, "convolution.onnx")
    return folder


def weights(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def named(found: Identity, among: Path) -> str | None:
    return None if found.nearest is None else found.nearest.path.relative_to(among).as_posix()


def ours(method: str, **parameters: Any) -> Callable[[Path], onnx.ModelProto]:
    return lambda folder: nets.applied(net(1), method, **parameters)[0]


def ort_dynamic(**settings: Any) -> Callable[[Path], onnx.ModelProto]:
    def made(folder: Path) -> onnx.ModelProto:
        from onnxruntime.quantization import quantize_dynamic

        quantize_dynamic(nets.save(net(1), folder), folder / "out.onnx", **settings)
        return onnx.load(folder / "out.onnx")

    return made


def ort_blocks(folder: Path) -> onnx.ModelProto:
    """The first product as MatMulNBits: blocks of 32 with zero points, two to a byte; onnxruntime's answers say that it is one."""
    model = net(1)
    weight = weights(model)["up"].T.reshape(96, 2, 32)
    least, most = np.minimum(weight.min(axis=2), 0), np.maximum(weight.max(axis=2), 0)
    scale = (most - least) / 15
    zero = np.rint(-least / scale)
    values = np.clip(np.rint(weight / scale[..., None]) + zero[..., None], 0, 15).astype(np.uint8)
    held = {
        "up_packed": values[..., 0::2] | (values[..., 1::2] << 4),
        "up_scales": scale.astype(np.float32).reshape(-1),
        "up_zeros": (zero[:, 0] + 16 * zero[:, 1]).astype(np.uint8),
    }
    node = helper.make_node(
        "MatMulNBits", ["e", *held], ["u"], domain="com.microsoft", K=64, N=96, bits=4, block_size=32
    )
    model.graph.node[1].CopyFrom(node)
    kept = [tensor for tensor in model.graph.initializer if tensor.name != "up"]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, *(numpy_helper.from_array(array, name) for name, array in held.items())])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    feed = {"ids": np.arange(30).reshape(5, 6)}
    answers = (nets.answer(one, feed)[0].reshape(1, -1) for one in (net(1), model))
    assert nets.least_cosine(*answers) > 0.9
    return model


def renamed(folder: Path) -> onnx.ModelProto:
    model = net(1)
    names = {tensor.name: f"tensor_{number}" for number, tensor in enumerate(model.graph.initializer)}
    for tensor in model.graph.initializer:
        tensor.name = names[tensor.name]
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    return model


def scaled(folder: Path) -> onnx.ModelProto:
    """Rows and columns scaled, some rows with a negative scale, as folding a normalisation does."""
    model, generator = net(1), np.random.default_rng(9)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        scale = generator.uniform(0.1, 9, size=(array.shape[0], *(1,) * (array.ndim - 1)))
        scale = scale * (np.where(generator.random(scale.shape) < 0.3, -1, 1) if array.ndim == 2 else 1)
        tensor.CopyFrom(numpy_helper.from_array((array * scale).astype(np.float32), tensor.name))
    return model


def tuned(folder: Path) -> onnx.ModelProto:
    """Every number moved by a tenth of what numbers are large."""
    model, generator = net(1), np.random.default_rng(8)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        moved = array + 0.1 * array.std() * generator.normal(size=array.shape)
        tensor.CopyFrom(numpy_helper.from_array(moved.astype(np.float32), tensor.name))
    return model


CHILDREN: dict[str, Callable[[Path], onnx.ModelProto]] = {
    "int8": ours("quantize_weights"),
    "int8 blocks": ours("quantize_weights", granularity="block", symmetric=False),
    "int4": ours("quantize_weights", bits=4, granularity="block"),
    "int4 mse with zero points": ours("quantize_weights", bits=4, granularity="block", symmetric=False, rounding="mse"),
    "dynamic": ours("quantize_dynamic"),
    "float16": ours("convert_fp16"),
    "bfloat16": ours("convert_fp16", storage="bfloat16"),
    "onnxruntime dynamic": ort_dynamic(),
    "onnxruntime dynamic per channel": ort_dynamic(per_channel=True),
    "onnxruntime 4 bits": ort_blocks,
    "renamed": renamed,
    "operator set 21": lambda folder: version_converter.convert_version(net(1), 21),
    "scaled": scaled,
    "tuned": tuned,
}


@pytest.mark.filterwarnings("ignore")  # of the quantisers of others
@pytest.mark.parametrize("kind", sorted(CHILDREN))
def test_a_child_is_named_after_its_parent(among: Path, tmp_path: Path, kind: str) -> None:
    child = nets.save(CHILDREN[kind](tmp_path), tmp_path / "child", "stranger.onnx")
    found = identify(child, among)
    assert named(found, among) == "net1/model.onnx"
    assert found.margin > 0.5
    assert found.nearest is not None
    assert found.chance(found.nearest).startswith("1e-")
    assert {match.theirs for match in found.nearest.matches} >= {"words", "up", "w"}


@pytest.mark.parametrize("kind", ["plain", "int4", "turned"])
def test_a_child_in_safetensors_is_found_too(among: Path, tmp_path: Path, kind: str) -> None:
    """As PyTorch has it: other names, [out, in], the gates in another order."""
    held = weights(net(1))
    gates = [0, 2, 3, 1]  # i o f c in i f g o

    def cell(name: str) -> np.ndarray:
        blocks = held[name][0].reshape(4, 16, -1)
        return np.ascontiguousarray(blocks[gates]).reshape(64, -1)

    up = held["up"] if kind == "turned" else np.ascontiguousarray(held["up"].T)
    torch_names = {"emb.weight": held["words"], "up.weight": up, "down.weight": held["down"]}
    torch_names |= {"l.weight_ih_l0": cell("w"), "l.weight_hh_l0": cell("r_w")}
    path = tmp_path / "model.safetensors"
    save_file(torch_names, path)
    if kind == "int4":
        from compression_engine.pipeline import compress
        from compression_engine.recipe import Recipe, Step

        step = Step("quantize_weights", {"bits": 4, "granularity": "block", "symmetric": False})
        compress(path, Recipe("r", (step,)), output_folder=tmp_path / "out")
        path = tmp_path / "out" / "model.safetensors"
    found = identify(path, among)
    assert named(found, among) == "net1/model.onnx"
    assert found.nearest is not None
    assert len(found.nearest.matches) == 5


def test_a_twin_that_was_made_apart_is_unknown(among: Path, tmp_path: Path) -> None:
    for seed in range(10, 20):
        found = identify(nets.save(net(seed), tmp_path / str(seed)), among)
        assert named(found, among) is None
        assert found.candidates[0].share == 0


def test_the_tuned_model_is_nearer_to_its_child_than_what_it_was_tuned_from(among: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    nets.save(net(1), folder, "base.onnx")
    nets.save(tuned(tmp_path), folder, "tuned.onnx")
    for name, parent in (("base", net(1)), ("tuned", tuned(tmp_path))):
        child = nets.applied(parent, "quantize_weights", bits=4, granularity="block")[0]
        assert named(identify(nets.save(child, tmp_path / name), folder), folder) == f"{name}.onnx"


def test_models_that_cannot_be_told_apart_are_all_named(among: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    for name in ("a.onnx", "b.onnx"):
        nets.save(net(1), folder, name)
    found = identify(nets.save(renamed(tmp_path), tmp_path / "child"), folder)
    assert [found.nearest, *found.equals] == list(found.candidates)
    assert found.margin == 1


def test_half_of_a_models_weights_is_not_enough(among: Path, tmp_path: Path) -> None:
    model, other = net(1), weights(net(30))
    for tensor in model.graph.initializer:
        if tensor.name == "words":
            tensor.CopyFrom(numpy_helper.from_array(other["words"], "words"))
    found = identify(nets.save(model, tmp_path / "child"), among)
    assert named(found, among) is None
    assert found.candidates[0].path.parent.name == "net1"
    assert 0 < found.candidates[0].share < 0.5


def test_what_cannot_be_read_is_told_and_the_rest_compared(among: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    nets.save(net(1), folder, "good.onnx")
    (folder / "broken.onnx").write_bytes(b"\x08\x07rubbish")
    (folder / "pickle.safetensors").write_bytes(b"\x80\x04K\x01.")
    found = identify(nets.save(renamed(tmp_path), tmp_path / "child"), folder)
    assert named(found, folder) == "good.onnx"
    assert {path.name for path, _ in found.left_out} == {"broken.onnx", "pickle.safetensors"}


def test_the_file_itself_is_no_candidate(tmp_path: Path) -> None:
    path = nets.save(net(1), tmp_path)
    with pytest.raises(EngineError, match="no other model"):
        identify(path, tmp_path)
    nets.save(net(2), tmp_path, "other.onnx")
    assert identify(path, tmp_path).nearest is None


def test_a_graph_that_doubles_itself_costs_nothing(among: Path, tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", [f"w{i}", f"w{i}"], [f"w{i + 1}"]) for i in range(80)]
    nodes.append(helper.make_node("MatMul", ["x", "w80"], ["y"]))
    ports = ({"x": (TensorProto.FLOAT, ["n", 64])}, {"y": (TensorProto.FLOAT, ["n", 96])})
    model = nets.model(nodes, {"w0": weights(net(1))["up"]}, *ports)
    found = identify(nets.save(model, tmp_path), among)
    assert found.elements == 64 * 96


def test_few_numbers_are_read_and_none_is_kept(tmp_path: Path) -> None:
    """A weight of 64 MiB, in the file and beside it: the process stays far below."""
    script = """
import sys
from contextlib import ExitStack
from pathlib import Path
from compression_engine.identifying.fingerprint import print_of
from compression_engine.identifying.weights import weights_of
from tests.own_memory import held_bytes, peak_bytes
def look(path):
    with ExitStack() as stack:
        return [print_of(one) for one in weights_of(path, stack)]
look(Path(sys.argv[1]))
before = held_bytes()
found = look(Path(sys.argv[2])) + look(Path(sys.argv[3]))
print(peak_bytes() - before, len(found))
"""
    paths = [nets.save(net(1), tmp_path / "small")]
    for name, external in (("inside", False), ("beside", True)):
        tensor = numpy_helper.from_array(np.zeros((4096, 4096), dtype=np.float32), "w")
        node = helper.make_node("MatMul", ["x", "w"], ["y"])
        ports = [helper.make_tensor_value_info(port, TensorProto.FLOAT, [1, 4096]) for port in "xy"]
        graph = helper.make_graph([node], "g", ports[:1], ports[1:], [tensor])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        paths.append(tmp_path / f"{name}.onnx")
        onnx.save(model, paths[-1], save_as_external_data=external, location=f"{name}.data")
    call = [sys.executable, "-c", script, *map(str, paths)]
    done = subprocess.run(call, check=True, capture_output=True, text=True, timeout=300)
    more, count = map(int, done.stdout.split())
    assert count == 2
    assert more < 16 * 1024**2


def test_the_command_says_it_as_json_and_in_words(among: Path, tmp_path: Path) -> None:
    child = nets.save(renamed(tmp_path), tmp_path / "child")
    call = [sys.executable, "-m", "compression_engine", "identify", str(child), "--among", str(among)]
    said = subprocess.run(call, check=True, capture_output=True, text=True, env=os.environ).stdout
    assert "net1/model.onnx: 100.0% of the numbers" in said
    lines = subprocess.run([*call, "--json"], check=True, capture_output=True, text=True).stdout.splitlines()
    identity = json.loads(lines[-1])["identity"]
    assert identity["match"] == "net1/model.onnx"
    assert {one["name"] for one in identity["weights"]} == {f"tensor_{number}" for number in range(5)}
    assert len(identity["candidates"]) == 6


def test_weights_in_branches_are_seen(tmp_path: Path) -> None:
    from contextlib import ExitStack

    path = nets.save(nets.with_constant_and_branch(), tmp_path)
    with ExitStack() as stack:
        assert {weight.name for weight in weights_of(path, stack)} == {"w", "then_weight", "else_weight"}

"""Small real ONNX networks for the engine's tests, with weights drawn from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]


def weights(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Array:
    """Weights as training leaves them: centred, small, with some channels much larger than others."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=shape) / np.sqrt(shape[0])
    scaled: Array = (values * generator.lognormal(sigma=1.0, size=shape[-1])).astype(dtype)
    return scaled


def model(
    nodes: Sequence[onnx.NodeProto],
    tensors: dict[str, Array],
    inputs: dict[str, tuple[int, list[Any]]],
    outputs: dict[str, tuple[int, list[Any]]],
    *,
    opset: int = 17,
    ir_version: int = 8,
    extra_inputs: Sequence[str] = (),
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    """A checked model of these parts; `extra_inputs` lists initializers among the inputs, as old files do."""
    values = [helper.make_tensor_value_info(name, *what) for name, what in inputs.items()]
    for name in extra_inputs:
        kind = helper.np_dtype_to_tensor_dtype(tensors[name].dtype)
        values.append(helper.make_tensor_value_info(name, kind, list(tensors[name].shape)))
    graph = helper.make_graph(
        list(nodes),
        "net",
        values,
        [helper.make_tensor_value_info(name, *what) for name, what in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    made = helper.make_model(graph, opset_imports=opsets, producer_name="tests")
    made.ir_version = ir_version
    onnx.checker.check_model(made)
    return made


def mlp(*, opset: int = 17, dtype: Any = np.float32) -> onnx.ModelProto:
    """x [batch, 64] -> Gemm (transposed) -> Relu -> MatMul -> y [batch, 48]."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [
        helper.make_node("Gemm", ["x", "first", "first_bias"], ["h"], transB=1, name="gemm"),
        helper.make_node("Relu", ["h"], ["a"]),
        helper.make_node("MatMul", ["a", "second"], ["m"], name="matmul"),
        helper.make_node("Add", ["m", "second_bias"], ["y"]),
    ]
    tensors = {
        "first": weights(256, 64, seed=1, dtype=dtype),
        "first_bias": weights(256, seed=2, dtype=dtype),
        "second": weights(256, 48, seed=3, dtype=dtype),
        "second_bias": weights(48, seed=4, dtype=dtype),
    }
    return model(nodes, tensors, {"x": (kind, ["batch", 64])}, {"y": (kind, ["batch", 48])}, opset=opset)


def encoder(*, tied: bool = False) -> onnx.ModelProto:
    """ids [batch, 6] -> embedding -> three products of one input -> mean -> y [batch, 64], or logits of tied words."""
    nodes = [
        helper.make_node("Gather", ["words", "ids"], ["e"]),
        helper.make_node("MatMul", ["e", "wq"], ["q"], name="q"),
        helper.make_node("MatMul", ["e", "wk"], ["k"], name="k"),
        helper.make_node("MatMul", ["e", "wv"], ["v"], name="v"),
        helper.make_node("Mul", ["q", "k"], ["qk"]),
        helper.make_node("Add", ["qk", "v"], ["s"]),
        helper.make_node("ReduceMean", ["s"], ["m"], axes=[1], keepdims=0),
    ]
    tensors = {"words": weights(700, 64, seed=5)} | {
        name: weights(64, 64, seed=6 + i) for i, name in enumerate(("wq", "wk", "wv"))
    }
    width = 64
    if tied:
        width = 700
        nodes += [
            helper.make_node("Transpose", ["words"], ["words_turned"], perm=[1, 0]),
            helper.make_node("MatMul", ["m", "words_turned"], ["y"], name="head"),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["m"], ["y"]))
    return model(
        nodes, tensors, {"ids": (TensorProto.INT64, ["batch", 6])}, {"y": (TensorProto.FLOAT, ["batch", width])}
    )


def convolution() -> onnx.ModelProto:
    """x [batch, 3, 8, 8] -> Conv -> Relu -> Conv -> mean -> y [batch, 32]."""
    nodes = [
        helper.make_node("Conv", ["x", "one"], ["a"], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "two"], ["c"], kernel_shape=[3, 3]),
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["y"]),
    ]
    tensors = {"one": weights(64, 3, 3, 3, seed=9), "two": weights(32, 64, 3, 3, seed=10)}
    ports = ({"x": (TensorProto.FLOAT, ["batch", 3, 8, 8])}, {"y": (TensorProto.FLOAT, ["batch", 32])})
    return model(nodes, tensors, *ports)


def with_constant_and_branch() -> onnx.ModelProto:
    """Weights in a Constant node and inside the branches of an If, where stock quantisers do not look."""
    branches = []
    for name, seed in (("then", 11), ("else", 12)):
        weight = numpy_helper.from_array(weights(64, 64, seed=seed), f"{name}_weight")
        node = helper.make_node("MatMul", ["h", f"{name}_weight"], [f"{name}_out"])
        out = helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None)
        branches.append(helper.make_graph([node], name, [], [out], [weight]))
    value = numpy_helper.from_array(weights(64, 64, seed=13), "unused")
    nodes = [
        helper.make_node("Constant", [], ["w"], value=value),
        helper.make_node("MatMul", ["x", "w"], ["h"], name="matmul"),
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Greater", ["total", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    ports = ({"x": (TensorProto.FLOAT, ["batch", 64])}, {"y": (TensorProto.FLOAT, ["batch", 64])})
    return model(nodes, {"zero": np.zeros((), dtype=np.float32)}, *ports)


def rows_for(name: str, count: int = 40, seed: int = 0) -> dict[str, Array]:
    """Inputs for one of the nets above: x for numbers, images for the convolution, ids for words."""
    generator = np.random.default_rng(seed)
    if name == "ids":
        return {"ids": generator.integers(0, 700, size=(count, 6))}
    shape = (count, 3, 8, 8) if name == "images" else (count, 64)
    return {"x": generator.normal(size=shape).astype(np.float32)}


def save(net: onnx.ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    """Writes a net into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(net.SerializeToString())
    return path


def save_rows(arrays: dict[str, Array], path: Path) -> Path:
    """Writes rows as .npz."""
    np.savez(path, allow_pickle=False, **arrays)
    return path


def answer(net: onnx.ModelProto | Path, feed: dict[str, Array]) -> list[Array]:
    """What onnxruntime answers."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    source = str(net) if isinstance(net, Path) else net.SerializeToString()
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return [np.asarray(value) for value in session.run(None, feed)]


def applied(
    net: onnx.ModelProto, method: str, calibration: Any = None, **parameters: Any
) -> tuple[onnx.ModelProto, Any]:
    """The net after one method, with the method's report; the net itself stays as it is."""
    from importlib import import_module

    from compression_engine.formats import onnx_io
    from compression_engine.methods import METHODS
    from compression_engine.methods.report import Report
    from compression_engine.progress import silent
    from compression_engine.recipe import Step

    changed = onnx.ModelProto()
    changed.CopyFrom(net)
    onnx_io.prepare(changed)
    report = Report()
    step = Step(method, parameters)
    looked_at = () if calibration is None else (calibration,)
    import_module(METHODS[method].module).apply(changed, dict(step.parameters), report, silent, *looked_at)
    return changed, report


def least_cosine(a: Array, b: Array) -> float:
    """The least cosine of two sets of rows."""
    a, b = a.reshape(len(a), -1).astype(np.float64), b.reshape(len(b), -1).astype(np.float64)
    return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())

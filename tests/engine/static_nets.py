"""Networks for the tests of quantize_static, what they become, and what onnxruntime makes of that."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from compression_engine.methods.report import Report
from compression_engine.steps.calibration import Calibration
from tests.engine import nets

METHOD = "quantize_static"
ANY: dict[str, Any] = {"most_change_per_mille": 1000}


def images(count: int = 40, seed: int = 0, *shape: int) -> Any:
    return np.random.default_rng(seed).normal(size=(count, *(shape or (3, 8, 8)))).astype(np.float32)


def static(net: onnx.ModelProto, looked_at: Calibration, **parameters: Any) -> tuple[onnx.ModelProto, Report]:
    changed, report = nets.applied(net, METHOD, looked_at, **ANY | parameters)
    onnx.checker.check_model(changed)
    return changed, report


def fused(net: onnx.ModelProto, folder: Path) -> Counter[str]:
    """The operators that onnxruntime runs, after it has rewritten the graph."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "fused.onnx")
    onnxruntime.InferenceSession(net.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "fused.onnx").graph.node)


def conv(source: str, weight: str, output: str, bias: str = "", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, weight, *([bias] if bias else [])], [output], **attributes)


def residual() -> onnx.ModelProto:
    """x [n, 3, 16, 16] -> Conv, Relu -> two Convs with a way round them -> pools -> Gemm -> y [n, 10]."""
    nodes = [
        conv("x", "stem", "a", "stem_bias", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        conv("b", "one", "c", pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["c", "zero", "six"], ["d"]),
        conv("d", "two", "e", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["e", "b"], ["f"]),
        helper.make_node("Relu", ["f"], ["g"]),
        helper.make_node("MaxPool", ["g"], ["h"], kernel_shape=[2, 2], strides=[2, 2]),
        conv("h", "three", "i", pads=[1, 1, 1, 1]),
        helper.make_node("Concat", ["i", "h"], ["j"], axis=1),
        helper.make_node("GlobalAveragePool", ["j"], ["k"]),
        helper.make_node("Flatten", ["k"], ["l"]),
        helper.make_node("Gemm", ["l", "last", "last_bias"], ["y"], transB=1),
    ]
    tensors = {
        "stem": nets.weights(32, 3, 3, 3), "stem_bias": nets.weights(32), "zero": np.float32(0), "six": np.float32(6),
        "one": nets.weights(32, 32, 3, 3, seed=1), "two": nets.weights(32, 32, 3, 3, seed=2),
        "three": nets.weights(32, 32, 3, 3, seed=3), "last": nets.weights(10, 64, seed=4), "last_bias": nets.weights(10),
    }  # fmt: skip
    ports: Any = ({"x": (TensorProto.FLOAT, ["n", 3, 16, 16])}, {"y": (TensorProto.FLOAT, ["n", 10])})
    return nets.model(nodes, {name: np.asarray(array) for name, array in tensors.items()}, *ports)


def wide(*, opset: int = 17) -> onnx.ModelProto:
    """x [n, 256] -> MatMul, Add -> Relu -> Gemm -> y [n, 64]."""
    nodes = [
        helper.make_node("MatMul", ["x", "one"], ["a"]),
        helper.make_node("Add", ["one_bias", "a"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Gemm", ["c", "two", "two_bias"], ["y"], transB=1),
    ]
    tensors = {
        "one": nets.weights(256, 512), "one_bias": nets.weights(512),
        "two": nets.weights(64, 512, seed=1), "two_bias": nets.weights(64),
    }  # fmt: skip
    ports: Any = ({"x": (TensorProto.FLOAT, ["n", 256])}, {"y": (TensorProto.FLOAT, ["n", 64])})
    return nets.model(nodes, tensors, *ports, opset=opset)

"""Weights as they really are: of any shape and type, on any side, behind any operator, stored in any way."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.engine import nets
from tests.engine.odd_catalogue import DOUBLE, FLOAT, HALF, INT64, answers, node, odd, rows, w


@odd()
def weight_on_the_left() -> onnx.ModelProto:
    """The product is W @ x, so the rows of W are its channels."""
    return nets.model(
        [node("MatMul", ["w", "x"], ["y"])], {"w": w(48, 64)}, {"x": (FLOAT, [64, "n"])}, answers(48, "n")
    )


@odd()
def batched_weights() -> onnx.ModelProto:
    """Three-dimensional weights: one matrix for each head."""
    return nets.model(
        [node("MatMul", ["x", "w"], ["y"])],
        {"w": w(4, 64, 16)},
        {"x": (FLOAT, ["n", 4, 5, 64])},
        answers("n", 4, 5, 16),
    )


@odd()
def experts_of_two_layers() -> onnx.ModelProto:
    """Both weights have an axis of experts in front."""
    nodes = [node("MatMul", ["x", "a"], ["h"]), node("Relu", ["h"], ["r"]), node("MatMul", ["r", "b"], ["y"])]
    return nets.model(nodes, {"a": w(3, 32, 64), "b": w(3, 64, 32)}, {"x": (FLOAT, [3, "n", 32])}, answers(3, "n", 32))


@odd()
def sums_by_letters() -> onnx.ModelProto:
    """Einsum reads the weight; its channels stand in the equation."""
    nodes = [node("Einsum", ["x", "w"], ["y"], equation="nk,kh->nh")]
    return nets.model(nodes, {"w": w(64, 48)}, rows(), answers("n", 48))


@odd()
def sums_by_letters_with_heads() -> onnx.ModelProto:
    """An attention's projection as Einsum: x [n, t, d] and w [h, d, k]."""
    nodes = [node("Einsum", ["x", "w"], ["y"], equation="n t d, h d k -> n h t k")]
    return nets.model(nodes, {"w": w(4, 64, 16)}, {"x": (FLOAT, ["n", 5, 64])}, answers("n", 4, 5, 16))


@odd()
def depthwise() -> onnx.ModelProto:
    """One kernel for each channel (group = channels)."""
    nodes = [node("Conv", ["x", "w"], ["y"], group=160)]
    return nets.model(nodes, {"w": w(160, 1, 3, 3)}, {"x": (FLOAT, ["n", 160, 6, 6])}, answers("n", 160, 4, 4))


@odd()
def grouped_transposed_convolution() -> onnx.ModelProto:
    """ConvTranspose in groups: output channels of all groups share the second axis."""
    nodes = [node("ConvTranspose", ["x", "w"], ["y"], group=2, strides=[2, 2])]
    return nets.model(nodes, {"w": w(16, 12, 3, 3)}, {"x": (FLOAT, ["n", 16, 5, 5])}, answers("n", 24, 11, 11))


@odd()
def convolution_in_three_dimensions() -> onnx.ModelProto:
    """Conv over time, height and width."""
    nodes = [node("Conv", ["x", "w", "b"], ["y"])]
    tensors = {"w": w(16, 4, 3, 3, 3), "b": w(16)}
    return nets.model(nodes, tensors, {"x": (FLOAT, ["n", 4, 5, 6, 7])}, answers("n", 16, 3, 4, 5))


@odd()
def gemm_with_everything() -> onnx.ModelProto:
    """Gemm with both sides turned, factors and a matrix to add."""
    nodes = [node("Gemm", ["x", "w", "c"], ["y"], transA=1, transB=1, alpha=0.5, beta=2.0)]
    tensors = {"w": w(48, 64), "c": w(1, 48)}
    return nets.model(nodes, tensors, {"x": (FLOAT, [64, "n"])}, answers("n", 48))


@odd()
def gemm_with_the_weight_on_the_left() -> onnx.ModelProto:
    """Gemm whose first input is the weight, turned."""
    nodes = [node("Gemm", ["w", "x"], ["y"], transA=1)]
    return nets.model(nodes, {"w": w(64, 48)}, {"x": (FLOAT, [64, "n"])}, answers(48, "n"))


@odd(left={"p": "Slice"}, least=0.98)
def recurrent_in_both_directions() -> onnx.ModelProto:
    """RNN, LSTM with peepholes and GRU, both directions, with lengths of sequences and biases."""
    generator = np.random.default_rng(3)

    def draw(*shape: int) -> nets.Array:
        return generator.uniform(-0.3, 0.3, shape).astype(np.float32)

    nodes, tensors = [], {"lengths": np.array([4, 3], dtype=np.int32), "p": draw(2, 1100)}
    nodes.append(node("Slice", ["p", "zero", "forty", "one"], ["cut"]))
    tensors |= {"zero": np.array([0]), "forty": np.array([48]), "one": np.array([1])}
    last = "x"
    for operator, gates in (("RNN", 1), ("LSTM", 4), ("GRU", 3)):
        width = 32
        tensors |= {
            f"{operator}_w": draw(2, gates * 16, width), f"{operator}_r": draw(2, gates * 16, 16),
            f"{operator}_b": draw(2, 2 * gates * 16),
        }  # fmt: skip
        read = [last, f"{operator}_w", f"{operator}_r", f"{operator}_b", "lengths"]
        read += ["", "", "cut"] if operator == "LSTM" else []
        nodes.append(node(operator, read, [f"{operator}_y"], hidden_size=16, direction="bidirectional"))
        nodes.append(node("Transpose", [f"{operator}_y"], [f"{operator}_t"], perm=[0, 2, 1, 3]))
        nodes.append(node("Reshape", [f"{operator}_t", "flat"], [f"{operator}_f"]))
        last = f"{operator}_f"
    tensors["flat"] = np.array([0, 0, 32])
    nodes.append(node("Identity", [last], ["y"]))
    made = nets.model(nodes, tensors, {"x": (FLOAT, [4, 2, 32])}, answers(4, 2, 32))
    return made


@odd(left={"b": "it is bfloat16"})
def weights_of_every_float() -> onnx.ModelProto:
    """Half, single, double and bfloat16 side by side, cast where they meet."""
    nodes, tensors, last = [], {}, "x"
    for kind, dtype in ((FLOAT, np.float32), (HALF, np.float16), (DOUBLE, np.float64)):
        name = f"w{kind}"
        tensors[name] = w(64, 64, seed=kind, dtype=dtype)
        nodes += [node("Cast", [last], [f"{name}_x"], to=kind), node("MatMul", [f"{name}_x", name], [f"{name}_y"])]
        last = f"{name}_y"
    nodes += [
        node("Cast", ["b"], ["b_f"], to=FLOAT), node("Cast", [last], ["last"], to=FLOAT), node("MatMul", ["last", "b_f"], ["y"])
    ]  # fmt: skip
    made = nets.model(nodes, tensors | {"b": w(64, 48)}, rows(), answers("n", 48))
    tensor = next(tensor for tensor in made.graph.initializer if tensor.name == "b")
    bits = (numpy_helper.to_array(tensor).view(np.uint32) >> 16).astype(np.uint16)
    tensor.CopyFrom(helper.make_tensor("b", TensorProto.BFLOAT16, [64, 48], bits.tobytes(), raw=True))
    return made


@odd()
def a_model_of_halves() -> onnx.ModelProto:
    """Inputs, weights and outputs are float16."""
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Relu", ["h"], ["r"]), node("MatMul", ["r", "v"], ["y"])]
    tensors = {"w": w(64, 64, dtype=np.float16), "v": w(64, 48, dtype=np.float16)}
    return nets.model(nodes, tensors, {"x": (HALF, ["n", 64])}, answers("n", 48, kind=HALF))


@odd()
def a_model_of_doubles() -> onnx.ModelProto:
    """Everything is float64."""
    nodes = [node("Gemm", ["x", "w", "b"], ["y"], transB=1)]
    tensors = {"w": w(48, 64, dtype=np.float64), "b": w(48, dtype=np.float64)}
    return nets.model(nodes, tensors, {"x": (DOUBLE, ["n", 64])}, answers("n", 48, kind=DOUBLE))


@odd()
def numbers_kept_one_by_one() -> onnx.ModelProto:
    """A weight in float_data, not in raw bytes, as old exporters write it."""
    made = nets.model([node("MatMul", ["x", "w"], ["y"])], {"w": w(64, 48)}, rows(), answers("n", 48))
    array = numpy_helper.to_array(made.graph.initializer[0])
    made.graph.initializer[0].CopyFrom(helper.make_tensor("w", FLOAT, array.shape, array.reshape(-1).tolist()))
    return made


@odd(left={"flat": "it has one dimension"})
def a_constant_list_of_floats() -> onnx.ModelProto:
    """A weight in a Constant's list of floats, reshaped before its product."""
    flat = node("Constant", [], ["flat"], value_floats=w(64 * 48).reshape(-1).tolist())
    nodes = [flat, node("Reshape", ["flat", "shape"], ["w"]), node("MatMul", ["x", "w"], ["y"])]
    return nets.model(nodes, {"shape": np.array([64, 48])}, rows(), answers("n", 48))


@odd()
def read_through_reshape() -> onnx.ModelProto:
    """A weight is stored in another shape than its product wants, as torch exports attention projections."""
    nodes = [node("Reshape", ["w", "shape"], ["m"]), node("MatMul", ["x", "m"], ["y"])]
    return nets.model(nodes, {"w": w(64, 4, 12), "shape": np.array([64, 48])}, rows(), answers("n", 48))


@odd()
def read_through_squeeze_and_expand() -> onnx.ModelProto:
    """A weight with an axis too many, squeezed and expanded before its product."""
    nodes = [
        node("Squeeze", ["w", "first"], ["m"]),
        node("Unsqueeze", ["m", "first"], ["u"]),
        node("Expand", ["u", "sizes"], ["e"]),
        node("MatMul", ["x", "e"], ["y"]),
    ]
    tensors = {"w": w(1, 64, 48), "first": np.array([0]), "sizes": np.array([3, 64, 48])}
    return nets.model(nodes, tensors, {"x": (FLOAT, [3, "n", 64])}, answers(3, "n", 48))


@odd()
def split_among_queries_keys_and_values() -> onnx.ModelProto:
    """One stored weight is split into three that are multiplied apart."""
    nodes = [node("Split", ["w", "sizes"], ["q", "k", "v"], axis=1)]
    nodes += [node("MatMul", ["x", part], [f"{part}_y"]) for part in "qkv"]
    nodes.append(node("Concat", ["q_y", "k_y", "v_y"], ["y"], axis=1))
    return nets.model(nodes, {"w": w(64, 96), "sizes": np.array([32, 32, 32])}, rows(), answers("n", 96))


@odd()
def a_product_of_weights_alone() -> onnx.ModelProto:
    """Two weights are multiplied with each other before the input comes in (low rank)."""
    nodes = [node("MatMul", ["a", "b"], ["w"]), node("MatMul", ["x", "w"], ["y"])]
    return nets.model(nodes, {"a": w(64, 32), "b": w(32, 48)}, rows(), answers("n", 48))


@odd()
def scaled_by_another_constant() -> onnx.ModelProto:
    """A weight is multiplied by a constant before its product, as weight normalisation leaves it."""
    nodes = [node("Mul", ["w", "g"], ["m"]), node("MatMul", ["x", "m"], ["y"])]
    return nets.model(nodes, {"w": w(64, 48), "g": np.abs(w(1, 48))}, rows(), answers("n", 48))


@odd()
def looked_up_along_another_axis() -> onnx.ModelProto:
    """An embedding whose words are columns."""
    nodes = [node("Gather", ["w", "ids"], ["g"], axis=1), node("Transpose", ["g"], ["y"], perm=[1, 0])]
    return nets.model(nodes, {"w": w(48, 64)}, {"ids": (INT64, ["n"])}, answers("n", 48))


@odd()
def tied_and_turned() -> onnx.ModelProto:
    """An embedding is also the last layer, turned."""
    nodes = [
        node("Gather", ["w", "ids"], ["h"]),
        node("Transpose", ["w"], ["t"], perm=[1, 0]),
        node("MatMul", ["h", "t"], ["y"]),
    ]
    return nets.model(nodes, {"w": w(64, 48)}, {"ids": (INT64, ["n"])}, answers("n", 64))


@odd()
def padding_slicing_and_where() -> onnx.ModelProto:
    """A weight is padded and masked by constants before its product."""
    nodes = [
        node("Pad", ["w", "pads"], ["p"]),
        node("Where", ["mask", "p", "none"], ["m"]),
        node("MatMul", ["x", "m"], ["y"]),
    ]
    tensors = {
        "w": w(60, 48), "pads": np.array([2, 0, 2, 0]), "mask": np.arange(64 * 48).reshape(64, 48) % 5 > 0,
        "none": np.zeros((), dtype=np.float32),
    }  # fmt: skip
    return nets.model(nodes, tensors, rows(), answers("n", 48))

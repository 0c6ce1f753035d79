"""Graphs around weights as they really are: branches, loops, functions, domains, names, ports; and the catalogue of all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.engine import nets, odd_weights
from tests.engine.odd_catalogue import (
    CATALOGUE,
    FLOAT,
    INT64,
    Ports,
    answers,
    node,
    odd,
    rows,
    value_info,
    w,
)

__all__ = ["CATALOGUE", "every_model", "odd_weights"]


@odd(left={"w": "the caller may replace it"})
def a_weight_that_the_caller_may_replace() -> onnx.ModelProto:
    """An initializer that is listed among the inputs, in a file new enough that this means something."""
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("MatMul", ["h", "v"], ["y"])]
    return nets.model(nodes, {"w": w(64, 64), "v": w(64, 48)}, rows(), answers("n", 48), extra_inputs=["w"])


@odd()
def weights_listed_as_inputs_in_an_old_file() -> onnx.ModelProto:
    """IR version 3 lists every weight among the inputs."""
    nodes = [node("MatMul", ["x", "w"], ["y"])]
    return nets.model(nodes, {"w": w(64, 48)}, rows(), answers("n", 48), extra_inputs=["w"], opset=8, ir_version=3)


@odd(left={"w": "it is an output of the model"})
def a_weight_that_is_an_output() -> onnx.ModelProto:
    """An initializer is given back as it is."""
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("MatMul", ["h", "v"], ["y"])]
    ports = answers("n", 48) | {"w": (FLOAT, [64, 64])}
    return nets.model(nodes, {"w": w(64, 64), "v": w(64, 48)}, rows(), ports)


@odd(left={"forgotten": "it is read by nothing only"})
def unused_weights() -> onnx.ModelProto:
    """A weight that nothing reads."""
    return nets.model(
        [node("MatMul", ["x", "w"], ["y"])], {"w": w(64, 48), "forgotten": w(64, 64)}, rows(), answers("n", 48)
    )


@odd()
def names_of_any_length_and_alphabet() -> onnx.ModelProto:
    """Tensors named in other alphabets, with slashes, colons, spaces, and a thousand characters."""
    long = "层/веса:0 " + "x" * 1000
    nodes = [node("MatMul", ["x", long], ["ü"], name="ξ::1"), node("MatMul", ["ü", "/model/0/weight_int8"], ["y"])]
    return nets.model(nodes, {long: w(64, 64), "/model/0/weight_int8": w(64, 48)}, rows(), answers("n", 48))


@odd()
def nodes_without_names() -> onnx.ModelProto:
    """No node has a name, and names of tensors are numbers."""
    nodes = [node("MatMul", ["x", "1"], ["2"]), node("Relu", ["2"], ["3"]), node("MatMul", ["3", "4"], ["y"])]
    return nets.model(nodes, {"1": w(64, 64), "4": w(64, 48)}, rows(), answers("n", 48))


@odd()
def sizes_of_zero() -> onnx.ModelProto:
    """A tensor without entries is joined to what is computed."""
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Concat", ["h", "none"], ["y"], axis=1)]
    tensors = {"w": w(64, 48), "none": np.zeros((1, 0), dtype=np.float32)}
    return nets.model(nodes, tensors, {"x": (FLOAT, [1, 64])}, answers(1, 48))


@odd()
def an_operator_of_nobody_knows_whom() -> onnx.ModelProto:
    """A function of the model's own domain reads the weight: it is put in the place of its call."""
    body = [node("MatMul", ["a", "b"], ["c"])]
    function = helper.make_function("my.own", "Linear", ["a", "b"], ["c"], body, [helper.make_opsetid("", 17)])
    nodes = [node("Linear", ["x", "w"], ["h"], domain="my.own"), node("MatMul", ["h", "v"], ["y"])]
    graph = helper.make_graph(
        nodes, "g", [value_info("x", FLOAT, ["n", 64])], [value_info("y", FLOAT, ["n", 48])],
        [numpy_helper.from_array(w(64, 64), "w"), numpy_helper.from_array(w(64, 48), "v")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my.own", 1)]
    made = helper.make_model(graph, opset_imports=opsets, functions=[function], ir_version=8)
    onnx.checker.check_model(made)
    return made


@odd()
def weights_inside_of_a_function() -> onnx.ModelProto:
    """A function of the model holds its weight in a Constant, beside a product of the main graph."""
    constant = node("Constant", [], ["b"], value=numpy_helper.from_array(w(64, 64, seed=5), "value"))
    body = [constant, node("MatMul", ["a", "b"], ["c"])]
    function = helper.make_function("my.own", "Fixed", ["a"], ["c"], body, [helper.make_opsetid("", 17)])
    nodes = [node("Fixed", ["x"], ["h"], domain="my.own"), node("MatMul", ["h", "v"], ["y"])]
    graph = helper.make_graph(
        nodes, "g", [value_info("x", FLOAT, ["n", 64])], [value_info("y", FLOAT, ["n", 48])],
        [numpy_helper.from_array(w(64, 48), "v")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my.own", 1)]
    made = helper.make_model(graph, opset_imports=opsets, functions=[function], ir_version=8)
    onnx.checker.check_model(made)
    return made


@odd()
def words_and_a_sparse_tensor() -> onnx.ModelProto:
    """String tensors and a sparse initializer stand beside an ordinary weight."""
    values = helper.make_tensor("thin", FLOAT, [2], [1.0, 2.0])
    sparse = helper.make_sparse_tensor(values, helper.make_tensor("places", INT64, [2], [0, 130]), [64, 48])
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("MatMul", ["x", "thin"], ["t"]), node("Add", ["h", "t"], ["y"])]
    graph = helper.make_graph(
        [*nodes, node("Identity", ["labels"], ["names"])], "g", [value_info("x", FLOAT, ["n", 64])],
        [value_info("y", FLOAT, ["n", 48]), value_info("names", TensorProto.STRING, [2])],
        [numpy_helper.from_array(w(64, 48), "w"), helper.make_tensor("labels", TensorProto.STRING, [2], [b"yes", b"no"])],
        sparse_initializer=[sparse],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@odd()
def answers_as_maps() -> onnx.ModelProto:
    """A classifier as scikit-learn's converters write it: labels, and a list of maps from ZipMap."""
    nodes = [
        node("MatMul", ["x", "w"], ["scores"]),
        node("Softmax", ["scores"], ["probabilities"], axis=1),
        node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
        node("ZipMap", ["probabilities"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=list(range(48))),
    ]
    graph = helper.make_graph(
        nodes, "g", [value_info("x", FLOAT, ["n", 64])],
        [value_info("label", INT64, ["n"]), helper.make_value_info(
            "maps", helper.make_sequence_type_proto(helper.make_map_type_proto(INT64, helper.make_tensor_type_proto(FLOAT, []))),
        )],
        [numpy_helper.from_array(w(64, 48), "w")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@odd()
def answers_as_a_sequence() -> onnx.ModelProto:
    """The output is a sequence of tensors."""
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("SplitToSequence", ["h"], ["y"], axis=1)]
    graph = helper.make_graph(
        nodes, "g", [value_info("x", FLOAT, ["n", 64])], [helper.make_tensor_sequence_value_info("y", FLOAT, None)],
        [numpy_helper.from_array(w(64, 48), "w")],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@odd(least=0.97)
def training_mode_left_on() -> onnx.ModelProto:
    """Dropout and BatchNormalization as a careless export leaves them: with the outputs of training."""
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("BatchNormalization", ["h", "s", "b", "m", "v"], ["n", "rm", "rv"], training_mode=1),
        node("Dropout", ["n", "ratio", "off"], ["y", "kept"]),
    ]
    tensors = {"w": w(64, 48), "ratio": np.array(0.5, dtype=np.float32), "off": np.array(False)}
    tensors |= {name: np.abs(w(48, seed=index)) for index, name in enumerate("sbmv")}
    return nets.model(nodes, tensors, rows(), answers("n", 48))


@odd()
def an_optional_input_that_is_left_out() -> onnx.ModelProto:
    """Empty names stand for inputs that are not given."""
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("Clip", ["h", "", "most"], ["c"]),
        node("Resize", ["c4", "", "", "sizes"], ["r"], mode="nearest"),
        node("Reshape", ["r", "flat"], ["y"]),
    ]
    nodes.insert(2, node("Reshape", ["c", "four"], ["c4"]))
    tensors = {
        "w": w(64, 48), "most": np.array(1.0, dtype=np.float32), "four": np.array([1, 1, -1, 48]),
        "sizes": np.array([1, 1, 4, 96]), "flat": np.array([4, 96]),
    }  # fmt: skip
    return nets.model(nodes, tensors, {"x": (FLOAT, [4, 64])}, answers(4, 96))


def branching(operator: str, weight: str, *, on: str) -> list[onnx.NodeProto]:
    """An If on the largest of `on`, whose branches each read a table of their own under one name, [64, 48]."""

    def branch(name: str, seed: int) -> onnx.GraphProto:
        read = [on, weight] if operator == "MatMul" else [weight, on]
        return helper.make_graph(
            [node(operator, read, [f"{name}_y"])], name, [], [value_info(f"{name}_y", FLOAT, ["n", 48])],
            [numpy_helper.from_array(w(64, 48, seed=seed), weight)],
        )  # fmt: skip

    return [
        node("ReduceMax", [on], ["top"], keepdims=0),
        node("Greater", ["top", "limit"], ["yes"]),
        node("If", ["yes"], ["y"], then_branch=branch("then", 1), else_branch=branch("else", 2)),
    ]


@odd()
def the_same_names_in_both_branches() -> onnx.ModelProto:
    """Both branches of an If have a weight of the same name."""
    return nets.model(
        branching("MatMul", "w", on="x"), {"limit": np.array(0.5, dtype=np.float32)}, rows(), answers("n", 48)
    )


@odd()
def words_in_both_branches() -> onnx.ModelProto:
    """Both branches of an If look words up in tables of the same name."""
    return nets.model(
        branching("Gather", "table", on="ids"), {"limit": np.array(50)}, {"ids": (INT64, ["n"])}, answers("n", 48)
    )


@odd()
def a_branch_within_a_loop() -> onnx.ModelProto:
    """A Loop holds an If whose branch reads a weight of the main graph."""
    then = helper.make_graph([node("MatMul", ["s", "w"], ["a"])], "then", [], [value_info("a", FLOAT, ["n", 64])])
    other = helper.make_graph([node("Identity", ["s"], ["b"])], "else", [], [value_info("b", FLOAT, ["n", 64])])
    body = helper.make_graph(
        [node("If", ["go"], ["s2"], then_branch=then, else_branch=other), node("Identity", ["go"], ["go2"])], "body",
        [value_info("i", INT64, []), value_info("go", TensorProto.BOOL, []), value_info("s", FLOAT, ["n", 64])],
        [value_info("go2", TensorProto.BOOL, []), value_info("s2", FLOAT, ["n", 64])],
    )  # fmt: skip
    nodes = [node("Loop", ["times", "", "x"], ["h"], body=body), node("MatMul", ["h", "w"], ["y"])]
    return nets.model(nodes, {"w": w(64, 64), "times": np.array(2)}, rows(), answers("n", 64))


@odd(left={"w": "com.microsoft"})
def operators_of_a_vendor() -> onnx.ModelProto:
    """com.microsoft's fused product reads a weight; a plain one stands behind it."""
    nodes = [
        node("FusedMatMul", ["x", "w"], ["h"], domain="com.microsoft", alpha=0.5),
        node("FastGelu", ["h"], ["g"], domain="com.microsoft"),
        node("MatMul", ["g", "v"], ["y"]),
    ]
    return nets.model(nodes, {"w": w(64, 64), "v": w(64, 48)}, rows(), answers("n", 48), domains=["com.microsoft"])


@odd(left={"w": "com.microsoft"})
def fused_attention() -> onnx.ModelProto:
    """com.microsoft's Attention holds queries, keys and values in one weight."""
    nodes = [
        node("Attention", ["x", "w", "b"], ["h"], domain="com.microsoft", num_heads=4),
        node("MatMul", ["h", "v"], ["y"]),
    ]
    tensors = {"w": w(64, 192), "b": w(192), "v": w(64, 48)}
    return nets.model(nodes, tensors, {"x": (FLOAT, ["n", 6, 64])}, answers("n", 6, 48), domains=["com.microsoft"])


@odd()
def several_inputs_and_outputs() -> onnx.ModelProto:
    """Two inputs of different kinds and three outputs, one of which nothing else reads."""
    nodes = [
        node("Gather", ["table", "ids"], ["e"]),
        node("ReduceMean", ["e"], ["pooled"], axes=[1], keepdims=0),
        node("Concat", ["pooled", "x"], ["both"], axis=1),
        node("MatMul", ["both", "w"], ["y"]),
        node("ArgMax", ["y"], ["best"], axis=1),
    ]
    inputs: Ports = {"ids": (INT64, ["n", "length"]), "x": (FLOAT, ["n", 32])}
    outputs: Ports = {"y": (FLOAT, ["n", 48]), "best": (INT64, ["n", 1]), "pooled": (FLOAT, ["n", 32])}
    return nets.model(nodes, {"table": w(100, 32), "w": w(64, 48)}, inputs, outputs)


def every_model() -> Sequence[tuple[str, onnx.ModelProto]]:
    """All of them, for whoever mutates them."""
    return [(name, entry.build()) for name, entry in CATALOGUE.items()]

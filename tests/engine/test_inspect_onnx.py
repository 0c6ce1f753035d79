"""ONNX files: what is said about honest ones, and every hostile one refused with its own code."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from compression_engine.errors import EngineError, FileRefused
from compression_engine.inspect import Inspection, inspect_file
from tests.engine import nets


def look(net: onnx.ModelProto | bytes, name: str = "model.onnx", siblings: frozenset[str] = frozenset()) -> Inspection:
    data = net if isinstance(net, bytes) else net.SerializeToString()
    return inspect_file(io.BytesIO(data), name=name, siblings=siblings)


def refusal(
    net: onnx.ModelProto | bytes, name: str = "model.onnx", siblings: frozenset[str] = frozenset()
) -> FileRefused:
    with pytest.raises(FileRefused) as refused:
        look(net, name, siblings)
    assert refused.value.hint
    return refused.value


def external(location: str, **more: str) -> TensorProto:
    tensor = TensorProto(name="outside", data_type=TensorProto.FLOAT, dims=[4, 4])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def test_structure_of_an_honest_model_is_said_in_full() -> None:
    found = look(nets.mlp())
    assert (found.format, found.ir_version, found.opsets, found.producer) == ("onnx", 8, (("ai.onnx", 17),), "tests")
    assert found.node_count == 4
    assert found.operators == (("Add", 1), ("Gemm", 1), ("MatMul", 1), ("Relu", 1))
    assert found.tensor_count == 4
    assert found.parameter_count == 256 * 64 + 256 + 256 * 48 + 48
    assert found.bytes_by_dtype == (("float32", 4 * found.parameter_count),)
    assert [(port.name, port.dtype, port.shape) for port in found.inputs] == [("x", "float32", "[batch, 64]")]
    assert [(port.name, port.dtype, port.shape) for port in found.outputs] == [("y", "float32", "[batch, 48]")]
    assert found.external_files == ()


def test_branches_and_constants_are_walked_too() -> None:
    found = look(nets.with_constant_and_branch())
    assert dict(found.operators) == {"Constant": 1, "Greater": 1, "If": 1, "MatMul": 3, "ReduceSum": 1}
    assert found.tensor_count == 4
    assert found.parameter_count == 3 * 64 * 64 + 1


def test_weights_listed_among_the_inputs_of_an_old_file_are_no_inputs() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    ports = ({"x": (TensorProto.FLOAT, ["n", 8])}, {"y": (TensorProto.FLOAT, ["n", 8])})
    net = nets.model(nodes, {"w": nets.weights(8, 8)}, *ports, opset=8, ir_version=3, extra_inputs=["w"])
    assert [port.name for port in look(net).inputs] == ["x"]


def test_typed_values_are_counted_as_well_as_raw_bytes() -> None:
    tensors = {
        "f": helper.make_tensor("f", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0]),
        "i": helper.make_tensor("i", TensorProto.INT64, [2], [-1, 2**60]),
        "h": helper.make_tensor("h", TensorProto.FLOAT16, [2], [1.0, 2.0]),
        "s": helper.make_tensor("s", TensorProto.STRING, [2], [b"a", b"b"]),
    }
    net = nets.mlp()
    net.graph.initializer.extend(tensors.values())
    assert look(net).tensor_count == 8
    for name, tensor in tensors.items():
        broken = nets.mlp()
        broken.graph.initializer.add().CopyFrom(tensor)
        broken.graph.initializer[-1].dims[0] += 1
        assert name in refusal(broken).message


def test_a_file_cut_anywhere_is_refused() -> None:
    data = nets.mlp().SerializeToString()
    for length in [*range(1, 200), *range(200, len(data), 997), len(data) - 1]:
        assert refusal(data[:length]).code in {"file_truncated", "structure_invalid", "format_unknown"}
    assert refusal(data[:-1]).code == "file_truncated"


def test_an_empty_file_is_refused() -> None:
    assert refusal(b"").code == "file_truncated"


def test_a_tensor_whose_bytes_do_not_fit_its_shape_is_refused() -> None:
    net = nets.mlp()
    net.graph.initializer[0].raw_data = net.graph.initializer[0].raw_data[:-4]
    error = refusal(net)
    assert error.code == "structure_invalid"
    assert "first" in error.message


def test_a_shape_whose_product_overflows_is_refused() -> None:
    net = nets.mlp()
    del net.graph.initializer[0].dims[:]
    net.graph.initializer[0].dims.extend([2**40, 2**40])
    assert refusal(net).code == "structure_invalid"


def test_a_doubled_initializer_is_refused() -> None:
    net = nets.mlp()
    net.graph.initializer.add().CopyFrom(net.graph.initializer[0])
    assert "two initializers named 'first'" in refusal(net).message


def test_a_doubled_graph_is_refused() -> None:
    data = nets.mlp().SerializeToString()
    assert "two graphs" in refusal(data + data).message


@pytest.mark.parametrize(
    "location",
    ["/etc/passwd", "../secret", "data/../../secret", "C:\\secret", "c:secret", "..\\secret", "a\\b", "./weights",
     "a//b", "", "weights\n", "other.bin"],
)  # fmt: skip
def test_external_data_outside_the_listed_siblings_is_refused(location: str) -> None:
    net = nets.mlp()
    net.graph.initializer.append(external(location))
    # even a caller that lists what the file asks for does not open a way out of the folder
    siblings = frozenset({"weights", "secret"} | ({location} - {"other.bin"}))
    error = refusal(net, siblings=siblings)
    assert error.code == "external_data_refused"
    assert "outside" in error.message


def test_external_data_in_a_listed_sibling_is_accepted_and_named() -> None:
    net = nets.mlp()
    net.graph.initializer.append(external("parts/weights.bin", offset="64", length="64"))
    found = look(net, siblings=frozenset({"parts/weights.bin"}))
    assert found.external_files == ("parts/weights.bin",)


@pytest.mark.parametrize("more", [{"offset": "-1"}, {"length": "1e9"}, {"basepath": "/"}, {"secret": "x"}])
def test_external_data_with_strange_entries_is_refused(more: dict[str, str]) -> None:
    net = nets.mlp()
    net.graph.initializer.append(external("weights", **more))
    assert refusal(net, siblings=frozenset({"weights"})).code == "external_data_refused"


def test_a_doubled_location_is_refused_since_readers_disagree_which_one_holds() -> None:
    net = nets.mlp()
    tensor = external("weights")
    tensor.external_data.add(key="location", value="/etc/passwd")
    net.graph.initializer.append(tensor)
    assert "twice" in refusal(net, siblings=frozenset({"weights"})).message


def test_entries_of_external_data_count_even_if_the_tensor_says_it_is_inside() -> None:
    net = nets.mlp()
    tensor = external("/etc/passwd")
    tensor.data_location = TensorProto.DEFAULT
    net.graph.initializer.append(tensor)
    assert refusal(net).code == "external_data_refused"


def _in_constant(net: onnx.ModelProto) -> None:
    net.graph.node.append(helper.make_node("Constant", [], ["c"], value=external("../x")))


def _in_branch(net: onnx.ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [], [])
    inner.initializer.append(external("../x"))
    net.graph.node.append(helper.make_node("If", ["a"], ["b"], then_branch=inner, else_branch=inner))


def _in_list_of_tensors(net: onnx.ModelProto) -> None:
    node = net.graph.node.add(op_type="Custom")
    node.attribute.add(name="many", type=onnx.AttributeProto.TENSORS).tensors.append(external("../x"))


def _in_sparse_values(net: onnx.ModelProto) -> None:
    sparse = net.graph.sparse_initializer.add(dims=[4, 4])
    sparse.values.CopyFrom(external("../x"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.zeros(1, dtype=np.int64)))


def _in_sparse_indices(net: onnx.ModelProto) -> None:
    sparse = net.graph.sparse_initializer.add(dims=[4, 4])
    sparse.values.CopyFrom(numpy_helper.from_array(np.zeros(1, dtype=np.float32), "sparse"))
    sparse.indices.CopyFrom(external("../x"))


def _in_sparse_attribute(net: onnx.ModelProto) -> None:
    node = net.graph.node.add(op_type="Constant", output=["c"])
    node.attribute.add(name="s", type=onnx.AttributeProto.SPARSE_TENSOR).sparse_tensor.values.CopyFrom(external("../x"))


def _in_function(net: onnx.ModelProto) -> None:
    function = net.functions.add(name="f", domain="d")
    function.node.append(helper.make_node("Constant", [], ["c"], value=external("../x")))


def _in_training(net: onnx.ModelProto) -> None:
    net.training_info.add().initialization.initializer.append(external("../x"))


@pytest.mark.parametrize(
    "hide",
    [_in_constant, _in_branch, _in_list_of_tensors, _in_sparse_values, _in_sparse_indices, _in_sparse_attribute,
     _in_function, _in_training],
)  # fmt: skip
def test_external_data_is_found_wherever_it_hides(hide: Callable[[onnx.ModelProto], None]) -> None:
    net = nets.mlp()
    hide(net)
    assert refusal(net).code == "external_data_refused"


def with_functions(*bodies: list[tuple[str, str]]) -> onnx.ModelProto:
    """x [n, 4] -> F0; function number i applies the operators (domain, name) of bodies[i], one behind the other."""
    net = nets.model(
        [helper.make_node("Relu", ["x"], ["y"])], {}, {"x": (1, ["n", 4])}, {"y": (1, ["n", 4])}, domains=["own"]
    )
    net.graph.node[0].op_type, net.graph.node[0].domain = "F0", "own"
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    for number, body in enumerate(bodies):
        nodes = [helper.make_node(op, [f"v{i}"], [f"v{i + 1}"], domain=at) for i, (at, op) in enumerate(body)]
        net.functions.append(helper.make_function("own", f"F{number}", ["v0"], [f"v{len(body)}"], nodes, opsets))
    return net


def test_functions_count_as_often_as_they_are_called() -> None:
    twice = [[("own", f"F{number + 1}")] * 2 for number in range(18)]
    assert look(with_functions(*twice, [("", "Relu")] * 2)).node_count == 39, "2 ** 19 nodes are few enough"
    found = refusal(with_functions(*twice, [("", "Relu")] * 4))
    assert (found.code, "functions" in found.message) == ("limit_exceeded", True)


def test_a_deep_chain_of_functions_is_walked_without_recursion() -> None:
    assert (
        look(with_functions(*[[("own", f"F{number + 1}")] for number in range(3000)], [("", "Relu")])).node_count
        == 3002
    )


@pytest.mark.parametrize(
    "bodies", [[[("own", "F0")]], [[("own", "F1"), ("own", "F2")], [("", "Relu")], [("own", "F0")]]]
)
def test_a_function_that_calls_itself_is_refused(bodies: list[list[tuple[str, str]]]) -> None:
    found = refusal(with_functions(*bodies))
    assert (found.code, "calls itself" in found.message) == ("structure_invalid", True)


def test_two_functions_of_one_name_are_refused() -> None:
    net = with_functions([("", "Relu")])
    net.functions.append(net.functions[0])
    assert refusal(net).code == "structure_invalid"


def test_endless_nesting_is_refused_without_recursion_error() -> None:
    node = b"\x22\x01a"
    for _ in range(2000):
        graph = b"\x0a" + _length(node) + node
        attribute = b"\x32" + _length(graph) + graph
        node = b"\x2a" + _length(attribute) + attribute + b"\x22\x01a"
    graph = b"\x0a" + _length(node) + node
    assert refusal(b"\x08\x08\x3a" + _length(graph) + graph + b"\x42\x02\x10\x11").code == "limit_exceeded"


def test_a_length_that_reaches_over_the_message_is_refused() -> None:
    assert refusal(b"\x08\x08\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f").code == "file_truncated"


def test_groups_long_numbers_and_field_zero_are_refused() -> None:
    for tail in (b"\x0b", b"\x00\x01", b"\x08" + b"\xff" * 11, b"\x08" + b"\xff" * 9 + b"\x7f"):
        assert refusal(b"\x08\x08" + tail).code == "structure_invalid"


def test_a_name_of_a_megabyte_is_refused() -> None:
    net = nets.mlp()
    net.graph.node[0].op_type = "x" * 100_000
    assert refusal(net).code == "limit_exceeded"


def test_text_that_is_not_utf8_is_refused() -> None:
    assert refusal(b"\x08\x08\x12\x02\xff\xfe").code == "structure_invalid"


def test_onnx_under_another_name_is_refused() -> None:
    data = nets.mlp().SerializeToString()
    assert refusal(data, "model.safetensors").code == "format_mismatch"
    assert refusal(data, "model.bin").code == "format_unknown"
    assert refusal(b"just some text, no model at all", "model.onnx").code in {"structure_invalid", "file_truncated"}


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="There is no file") as refused:
        inspect_file(tmp_path / "no.onnx", name="no.onnx")
    assert refused.value.code == "not_found"


def test_a_file_of_two_gigabytes_is_walked_in_little_memory(tmp_path: Path) -> None:
    size_bytes = 2 * 1024**3 - 64
    tensor = TensorProto(name="huge", data_type=TensorProto.INT8, dims=[size_bytes]).SerializeToString()
    tensor += b"\x4a" + _varint(size_bytes)
    graph_bytes = len(_field(5, len(tensor) + size_bytes)) + len(tensor) + size_bytes
    head = b"\x08\x08\x42\x02\x10\x11" + _field(7, graph_bytes) + _field(5, len(tensor) + size_bytes) + tensor
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:  # the bytes of the tensor are a hole: they take no space and read as zeros
        file.write(head)
        file.truncate(len(head) + size_bytes)
    tracemalloc.start()
    found = inspect_file(path, name="model.onnx")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.parameter_count == size_bytes
    assert peak_bytes < 1024**2


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_changed_byte_never_crashes_the_walk(data: st.DataObject) -> None:
    original = _small()
    changed = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(FileRefused):  # every other exception fails the test
        look(bytes(changed))


def _small() -> bytes:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    ports = ({"x": (TensorProto.FLOAT, ["n", 4])}, {"y": (TensorProto.FLOAT, ["n", 4])})
    return bytes(nets.model(nodes, {"w": nets.weights(4, 4)}, *ports).SerializeToString())


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _length(data: bytes) -> bytes:
    return _varint(len(data))


def _field(number: int, length: int) -> bytes:
    return _varint(number << 3 | 2) + _varint(length)


def test_values_of_another_type_than_the_tensor_says_are_refused(tmp_path: Path) -> None:
    """Readers look for a type's own field only: what lies in another is not there for them."""
    net = nets.mlp()
    tensor = net.graph.initializer.add()
    tensor.name, tensor.data_type = "labels", TensorProto.INT64
    tensor.dims.append(2)
    tensor.string_data.extend([b"yes", b"no"])
    path = nets.save(net, tmp_path / "odd")
    with pytest.raises(FileRefused, match="'labels' holds values of another type"):
        inspect_file(path, name=path.name)


def test_a_vocabulary_in_the_metadata_stands_by_its_size_and_digest() -> None:
    words = "größe\n" * 20_000
    net = nets.mlp()
    helper.set_model_props(net, {"character": words, "short": "yes"})
    digest = hashlib.sha256(words.encode()).hexdigest()
    assert dict(look(net).metadata) == {"character": f"({len(words.encode())} bytes, sha256:{digest})", "short": "yes"}
    broken = net.SerializeToString().replace("größe\n".encode(), b"gr\xff\xffsse\n")
    assert refusal(broken).code == "structure_invalid"

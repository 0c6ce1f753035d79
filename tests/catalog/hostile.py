"""Model files that must not be taken, made from nothing but the standard library and onnx."""

from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np
from onnx import TensorProto, helper

from tests.worlds.catalog import make_onnx


def torch_archive() -> bytes:
    """What `torch.save` writes: a zip with a pickle in it."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps({"weight": [1.0]}, protocol=2))
        archive.writestr("model/version", "3\n")
    return target.getvalue()


def safetensors() -> bytes:
    """A right safetensors file with one tensor."""
    header = b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    return len(header).to_bytes(8, "little") + header + bytes(16)


def external_onnx(location: str, *, offset: str = "0", length: str = "256") -> bytes:
    """A net whose weight lies in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[8, 8], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "external",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8])],
        [tensor],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def external_bytes() -> bytes:
    """The 256 bytes that `external_onnx` points to."""
    return np.arange(64, dtype=np.float32).tobytes()


PICKLE = pickle.dumps({"weight": [1.0]}, protocol=4)
TRUNCATED = make_onnx(1)[:-100]

"""What the operators of a graph say about its quantisation, where a file carries no map: files of other programs.

Rules:
- operators of quantisation in ONNX and in onnxruntime's own domain whose integers are constants of the graph (and not all the
  same); a weight that is read by several is told once; names are those of this file, since the parent's are not known;
- integers, scales and zero points are told by type and digest; whether zero points are all zero decides symmetric or not;
- what the integers mean to an operator that is not listed is not guessed.
Sources: the ONNX operators DequantizeLinear, QuantizeLinear, DynamicQuantizeLinear, QLinearMatMul, QLinearConv, MatMulInteger and
ConvInteger; onnxruntime's contrib operators MatMulNBits, GatherBlockQuantized, QGemm, DynamicQuantizeMatMul, MatMulIntegerToFloat.
"""

from __future__ import annotations

import math

import onnx
from onnx import TensorProto

from compression_engine.formats.onnx_graph import constants_of, elements, graphs_of, integer
from compression_engine.formats.parked import pieces, size_bytes
from compression_engine.methods.report import Stored

_UNKNOWN = "unknown"
_BITS = {
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "uint8",
    TensorProto.INT4: "int4",
    TensorProto.UINT4: "uint4",
}
# of each operator: which inputs are integers, scales and zero points; None where it has none
_WEIGHTS: dict[str, tuple[tuple[int, int | None, int | None], ...]] = {
    "DequantizeLinear": ((0, 1, 2),),
    "QLinearMatMul": ((0, 1, 2), (3, 4, 5)),
    "QLinearConv": ((3, 4, 5),),
    "QGemm": ((3, 4, 5),),
    "MatMulInteger": ((0, None, 2), (1, None, 3)),
    "ConvInteger": ((1, None, 3),),
    "MatMulIntegerToFloat": ((1, 3, 5),),
    "DynamicQuantizeMatMul": ((1, 2, 3),),
    "MatMulNBits": ((1, 2, 3),),
    "GatherBlockQuantized": ((0, 2, 3),),
}
_BLOCKS = ("MatMulNBits", "GatherBlockQuantized")


def marks_of(model: onnx.ModelProto) -> list[Stored]:
    """Weights that operators of quantisation read, and activations that they round, in the order of the graph; empty for none."""
    found: dict[tuple[str, bool], Stored] = {}
    held: dict[str, TensorProto] = {}
    for graph in graphs_of(model.graph):
        held |= {tensor.name: tensor for tensor in graph.initializer}
        held |= _constants(graph)
    for graph in graphs_of(model.graph):
        for node in graph.node:
            for places in _WEIGHTS.get(node.op_type, ()):
                mark = _weight(node, held, places)
                if mark is not None:
                    found.setdefault((mark.tensor, True), mark)
            mark = _activation(node, held)
            if mark is not None:
                found.setdefault((mark.tensor, False), mark)
    return list(found.values())


def _constants(graph: onnx.GraphProto) -> dict[str, TensorProto]:
    found = {}
    for name, value in constants_of(graph):
        found[name] = TensorProto()
        found[name].CopyFrom(value)
        found[name].name = name
    return found


def _weight(
    node: onnx.NodeProto, held: dict[str, TensorProto], places: tuple[int, int | None, int | None]
) -> Stored | None:
    values, scale, zero = (_input(node, held, place) for place in places)
    if values is None or values.data_type not in _BITS or is_constant(values):
        return None
    dtype = _BITS[values.data_type]
    if node.op_type in _BLOCKS and values.data_type == TensorProto.UINT8:
        dtype = f"uint{integer(node, 'bits', 4)}"
    return Stored.of(
        values.name,
        dtype=dtype,
        scheme="asymmetric" if _is_shifted(node, dtype, zero) else "symmetric",
        granularity=_granularity(node, scale),
        rounding=_UNKNOWN,
        values=values,
        scale=scale,
        zero=zero,
    )


def _activation(node: onnx.NodeProto, held: dict[str, TensorProto]) -> Stored | None:
    if node.op_type not in ("QuantizeLinear", "DynamicQuantizeLinear", "DynamicQuantizeMatMul"):
        return None
    if not node.input or node.input[0] in held:
        return None
    scale, zero = (_input(node, held, place) if node.op_type == "QuantizeLinear" else None for place in (1, 2))
    dtype = "uint8" if zero is None else _BITS.get(zero.data_type)
    if dtype is None:
        return None
    symmetric = node.op_type == "QuantizeLinear" and not _is_shifted(node, dtype, zero)
    return Stored.of(
        node.input[0],
        dtype=dtype,
        scheme="symmetric" if symmetric else "asymmetric",
        granularity="tensor" if scale is None or elements(scale) == 1 else "channel",
        rounding=_UNKNOWN,
        scale=scale,
        zero=zero,
    )


def _input(node: onnx.NodeProto, held: dict[str, TensorProto], place: int | None) -> TensorProto | None:
    return None if place is None or place >= len(node.input) else held.get(node.input[place])


def _is_shifted(node: onnx.NodeProto, dtype: str, zero: TensorProto | None) -> bool:
    """Whether zero stands elsewhere than in the middle of the integers: at 0 of signed ones, at 128 or 8 of the others.

    Without a zero point it stands at 0, but for onnxruntime's operators of blocks, where it is the middle.
    """
    if zero is None:
        return dtype.startswith("u") and node.op_type not in _BLOCKS
    middle = {"int8": b"\x00", "int4": b"\x00", "uint8": b"\x80", "uint4": b"\x88"}[dtype]
    stored = b"".join(pieces(zero))
    # of an odd number of 4-bit integers the last one stands alone in its byte
    return bool(stored.strip(middle)) and not (dtype == "uint4" and stored.strip(middle) == b"\x08")


def _granularity(node: onnx.NodeProto, scale: TensorProto | None) -> str:
    size = integer(node, "block_size", 0)
    if size > 0:
        return f"block-{size}"
    if scale is None:
        return _UNKNOWN
    return "tensor" if elements(scale) == 1 else "channel"


def is_constant(tensor: TensorProto) -> bool:
    """Whether all numbers of a tensor are the same: such a one helps to compute, and is no weight."""
    size = max(1, size_bytes(tensor) // max(1, math.prod(tensor.dims)))
    found: set[bytes] = set()
    for piece in pieces(tensor):
        found |= {piece[:size]}
        # pieces are of whole numbers, and the first one settles it for every weight
        if len(found) > 1 or piece != piece[:size] * (len(piece) // size):
            return False
    return True
